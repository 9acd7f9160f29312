//! The mock's own time, from its beginning: tokio's, plus what a test jumped over.
#![allow(clippy::disallowed_methods, reason = "a store has a clock of its own; the engine never sees it")]

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Time since the store began.
#[derive(Debug)]
pub(crate) struct Time {
    zero: Instant,
    jumped: Duration,
    /// How much faster than the machine's it runs.
    rate: u32,
}

impl Time {
    pub(crate) fn start(rate: u32) -> Self {
        Self { zero: Instant::now(), jumped: Duration::ZERO, rate }
    }

    pub(crate) fn now(&self) -> Duration {
        self.zero.elapsed().saturating_mul(self.rate) + self.jumped
    }

    /// How long this takes on the machine's clock.
    pub(crate) fn really(&self, length: Duration) -> Duration {
        length / self.rate
    }

    pub(crate) fn jump(&mut self, by: Duration) {
        self.jumped += by;
    }
}

/// The machine's date, since 1970: for certificates, which others judge by theirs.
pub(crate) fn date() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// How long an answer takes on its way.
pub(crate) async fn pass(length: Duration) {
    tokio::time::sleep(length).await;
}
