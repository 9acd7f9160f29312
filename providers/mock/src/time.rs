//! The mock's own time, from its beginning: tokio's, plus what a test jumped over.
#![allow(clippy::disallowed_methods, reason = "a store has a clock of its own; the engine never sees it")]

use std::time::Duration;

use tokio::time::Instant;

/// Time since the store began.
#[derive(Debug)]
pub(crate) struct Time {
    zero: Instant,
    jumped: Duration,
}

impl Time {
    pub(crate) fn start() -> Self {
        Self { zero: Instant::now(), jumped: Duration::ZERO }
    }

    pub(crate) fn now(&self) -> Duration {
        self.zero.elapsed() + self.jumped
    }

    pub(crate) fn jump(&mut self, by: Duration) {
        self.jumped += by;
    }
}

/// How long an answer takes on its way.
pub(crate) async fn pass(length: Duration) {
    tokio::time::sleep(length).await;
}
