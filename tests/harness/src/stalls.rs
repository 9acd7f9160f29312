//! The times at which the machine stood still.
//!
//! Machines are shared: for a second or two nothing runs, neither the program under test nor a server nor the
//! test. A credential that lives for three seconds may end within that, whoever looks after it. So a test of
//! such a credential asks how much of a stretch of time was lost, and holds against the program only what
//! was not.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(10);
/// A tick that is later than this was lost.
const LATE: Duration = Duration::from_millis(250);

/// What was lost so far.
#[derive(Clone, Debug)]
pub struct Stalls(Arc<Mutex<Seen>>);

#[derive(Debug)]
struct Seen {
    lost: Vec<(Instant, Instant)>,
    last_tick: Instant,
}

/// Watches from the first call on: call it before what is to be judged.
pub fn stalls() -> &'static Stalls {
    static STALLS: LazyLock<Stalls> = LazyLock::new(|| {
        let stalls = Stalls::since(Instant::now());
        let watched = stalls.clone();
        thread::spawn(move || watched.watch());
        stalls
    });
    &STALLS
}

impl Stalls {
    fn since(now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Seen { lost: Vec::new(), last_tick: now })))
    }

    fn watch(&self) {
        loop {
            thread::sleep(TICK);
            self.tick(Instant::now());
        }
    }

    fn tick(&self, now: Instant) {
        let mut seen = self.seen();
        let late = seen.late(now);
        seen.lost.extend(late);
        seen.last_tick = now;
    }

    /// How much of that time was lost.
    pub fn lost(&self, from: Instant, to: Instant) -> Duration {
        self.lost_as_of(Instant::now(), from, to)
    }

    /// Whoever asks may run again before the watch does: a tick that is late by now is lost as well.
    fn lost_as_of(&self, now: Instant, from: Instant, to: Instant) -> Duration {
        let seen = self.seen();
        let all = seen.lost.iter().copied().chain(seen.late(now));
        all.map(|(began, ended)| to.min(ended).saturating_duration_since(from.max(began))).sum()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any of the last so much time was lost: what lived for no longer may have ended by that.
    pub fn within(&self, last: Duration) -> bool {
        let now = Instant::now();
        // The machine may run for less long.
        let from = now.checked_sub(last).unwrap_or(now);
        !self.lost(from, now).is_zero()
    }
}

impl Seen {
    fn late(&self, now: Instant) -> Option<(Instant, Instant)> {
        (now.saturating_duration_since(self.last_tick) > LATE).then_some((self.last_tick, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant) -> impl Fn(u32) -> Instant {
        move |seconds| start + Duration::from_secs(1) * seconds
    }

    #[test]
    fn only_what_lies_within_the_time_asked_for_counts() {
        let at = at(Instant::now());
        let stalls = Stalls::since(at(10));
        stalls.seen().lost.extend([(at(2), at(4)), (at(7), at(8))]);
        let lost = |from: u32, to: u32| stalls.lost_as_of(at(10), at(from), at(to)).as_secs();
        assert_eq!(lost(0, 10), 3);
        assert_eq!(lost(3, 10), 2);
        assert_eq!(lost(0, 3), 1);
        assert_eq!(lost(4, 7), 0);
        assert_eq!(lost(9, 10), 0);
    }

    #[test]
    fn a_stall_counts_before_the_watch_runs_again_and_once_after() {
        let at = at(Instant::now());
        let stalls = Stalls::since(at(1));
        stalls.tick(at(1) + TICK);
        let lost = |now: Instant| stalls.lost_as_of(now, at(0), at(10));
        assert_eq!(lost(at(1) + TICK + LATE), Duration::ZERO);
        assert_eq!(lost(at(3) + TICK), Duration::from_secs(2));
        stalls.tick(at(3) + TICK);
        assert_eq!(lost(at(3) + TICK * 2), Duration::from_secs(2));
    }
}
