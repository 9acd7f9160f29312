use std::time::{Duration, SystemTime};

/// The time of day here, as a clock on the wall shows it: `14:03:07`. Where the zone is not known,
/// UTC.
pub fn time_of_day(at: SystemTime) -> String {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).as_ref().map_or(0, Duration::as_secs);
    let time = libc::time_t::try_from(seconds).unwrap_or_default();
    let mut here = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both point to values of our own that live longer than the call, and `tm` is plain
    // data for which all zeros are valid.
    let here = unsafe {
        libc::localtime_r(&raw const time, here.as_mut_ptr());
        here.assume_init()
    };
    format!("{:02}:{:02}:{:02}", here.tm_hour, here.tm_min, here.tm_sec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_time_of_day_and_runs_as_the_clock_does() {
        let at = |seconds| time_of_day(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let shown = at(1_790_000_005);
        assert!(shown.ends_with(":40:05") || shown.len() == 8, "{shown}");
        assert_eq!(at(1_790_000_005)[6..], at(1_790_000_065)[6..], "a minute later the seconds are the same");
        assert_ne!(at(1_790_000_005), at(1_790_000_006));
    }
}
