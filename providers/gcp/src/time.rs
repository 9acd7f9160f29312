//! Time of day, where a protocol wants it: a signed token says when it was made and when it ends, and
//! Google says when one of its own does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::DATE;

/// Seconds since 1970, by our own clock.
#[allow(
    clippy::disallowed_methods,
    reason = "a token that we sign carries the time of day; when something is due is the engine's"
)]
pub(crate) fn since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What is left until this moment (`2026-11-24T12:00:00Z`), by the clock of whoever answered.
/// `None`: it is no such moment.
pub(crate) fn until(moment: &str, headers: &HeaderMap) -> Option<Duration> {
    let end = seconds(moment)?;
    let now = date(headers)
        .and_then(|date| date.duration_since(UNIX_EPOCH).ok())
        .map_or_else(since_1970, |since| since.as_secs());
    Some(Duration::from_secs(end.saturating_sub(now)))
}

/// The other side's clock when it answered, in whole seconds.
pub(crate) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// A moment of RFC 3339 in UTC, as Google writes all of them, in seconds since 1970.
fn seconds(moment: &str) -> Option<u64> {
    let (day, clock) = moment.strip_suffix('Z')?.split_once('T')?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.is_empty() || !digits(fraction) {
        return None;
    }
    let numbers = |text: &str, separator: char, widths: [usize; 3]| -> Option<[u64; 3]> {
        let mut parts = text.split(separator);
        let mut found = [0; 3];
        for (slot, width) in found.iter_mut().zip(widths) {
            let part = parts.next().filter(|part| part.len() == width && digits(part))?;
            *slot = part.parse().ok()?;
        }
        parts.next().is_none().then_some(found)
    };
    let [year, month, day] = numbers(day, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days before the first of March of a year, counted so that the leap day is a year's last.
    let (shifted, since_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = shifted / 4 - shifted / 100 + shifted / 400;
    let days = shifted * 365 + leaps + (153 * since_march + 2) / 5 + day - 1;
    // The same count for the first of January 1970.
    Some((days - 719_468) * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_to_the_second() {
        for (moment, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T23:59:59Z", Some(951_868_799)),
            ("2024-02-29T00:00:00.123456789Z", Some(1_709_164_800)),
            ("2026-11-24T18:00:00Z", Some(1_795_543_200)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400)),
            ("2026-11-24T18:00:00+01:00", None),
            ("2026-13-24T18:00:00Z", None),
            ("2026-11-24 18:00:00Z", None),
            ("2026-11-24T18:00Z", None),
            ("soon", None),
        ] {
            assert_eq!(seconds(moment), expected, "{moment}");
        }
    }

    #[test]
    fn what_is_left_is_counted_by_the_clock_of_the_other_side() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Tue, 24 Nov 2026 18:00:00 GMT".parse().unwrap());
        assert_eq!(until("2026-11-24T19:00:00Z", &headers), Some(Duration::from_secs(3600)));
        assert_eq!(until("2026-11-24T17:00:00Z", &headers), Some(Duration::ZERO));
    }
}
