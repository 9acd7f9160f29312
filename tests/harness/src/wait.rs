//! Waiting for something to become true, with a deadline that a stalled machine does not reach.

use std::fmt::Display;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(10);

/// The shortest deadline that is allowed. A shared machine stalls for seconds; a test must not care.
pub(crate) const SHORTEST: Duration = Duration::from_secs(10);

/// What a question may answer: a `bool`, an `Option`, or a `Result` whose error says what is still missing.
pub trait Condition {
    /// What holds once it is met.
    type Met;
    /// Met, or why not yet.
    fn met(self) -> Result<Self::Met, String>;
}

impl Condition for bool {
    type Met = ();
    fn met(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("not yet".into()) }
    }
}

impl<T> Condition for Option<T> {
    type Met = T;
    fn met(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing yet".into())
    }
}

impl<T, E: Display> Condition for Result<T, E> {
    type Met = T;
    fn met(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}

/// Asks `condition` every 10 ms until it is met, and returns what it then gave.
///
/// # Panics
/// When `deadline` has passed, naming `what` and the last answer; and where `deadline` is under ten seconds.
#[track_caller]
pub fn eventually<C: Condition>(what: &str, deadline: Duration, mut condition: impl FnMut() -> C) -> C::Met {
    assert!(deadline >= SHORTEST, "a deadline of {deadline:?} for {what:?} is luck on a busy machine");
    let start = Instant::now();
    loop {
        match condition().met() {
            Ok(met) => return met,
            Err(why) if start.elapsed() >= deadline => panic!("{what}: not within {deadline:?}: {why}"),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_what_the_condition_found() {
        let mut asked = 0;
        let found = eventually("three questions", SHORTEST, || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(found, 3);
    }

    #[test]
    #[should_panic(expected = "is luck on a busy machine")]
    fn refuses_a_deadline_that_needs_luck() {
        eventually("anything", Duration::from_secs(1), || true);
    }
}
