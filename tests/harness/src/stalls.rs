//! The times at which the machine stood still.
//!
//! Machines are shared: for a second or two nothing runs, neither the program under test nor a server nor the
//! test. A credential that lives for three seconds may end within that, whoever looks after it. So a test of
//! such a credential asks how much of a stretch of time was lost, and holds against the program only what
//! was not.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(10);
/// A tick that is later than this was lost.
const LATE: Duration = Duration::from_millis(250);

/// What was lost so far.
#[derive(Clone, Debug, Default)]
pub struct Stalls(Arc<Mutex<Vec<(Instant, Instant)>>>);

/// Watches from the first call on: call it before what is to be judged.
pub fn stalls() -> &'static Stalls {
    static STALLS: LazyLock<Stalls> = LazyLock::new(|| {
        let stalls = Stalls::default();
        let seen = stalls.clone();
        thread::spawn(move || seen.watch());
        stalls
    });
    &STALLS
}

impl Stalls {
    fn watch(&self) {
        let mut last = Instant::now();
        loop {
            thread::sleep(TICK);
            let now = Instant::now();
            if now - last > LATE {
                self.add(last, now);
            }
            last = now;
        }
    }

    fn add(&self, from: Instant, to: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((from, to));
    }

    /// How much of that time was lost.
    pub fn lost(&self, from: Instant, to: Instant) -> Duration {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(began, ended)| to.min(*ended).saturating_duration_since(from.max(*began))).sum()
    }

    /// Whether any of the last so much time was lost: what lived for no longer may have ended by that.
    pub fn within(&self, last: Duration) -> bool {
        let now = Instant::now();
        // The machine may run for less long.
        let from = now.checked_sub(last).unwrap_or(now);
        !self.lost(from, now).is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_within_the_time_asked_for_counts() {
        let (stalls, second) = (Stalls::default(), Duration::from_secs(1));
        let start = Instant::now();
        stalls.add(start + second * 2, start + second * 4);
        stalls.add(start + second * 7, start + second * 8);
        let lost = |from: u32, to: u32| stalls.lost(start + second * from, start + second * to).as_secs();
        assert_eq!(lost(0, 10), 3);
        assert_eq!(lost(3, 10), 2);
        assert_eq!(lost(0, 3), 1);
        assert_eq!(lost(4, 7), 0);
        assert_eq!(lost(9, 10), 0);
    }
}
