//! What goes wrong on demand: which requests it touches, and what they get for an answer.

use std::time::Duration;

use leasehold_core::{Kind, Operation};

use crate::failure::Failure;

/// Requests that fail. Without narrowing, all of them do, until [`crate::Mock::heal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub(crate) kind: Kind,
    pub(crate) touched: Touched,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) passing: Option<Option<u32>>,
    pub(crate) times: Option<u32>,
    pub(crate) stage: Stage,
}

/// Which requests something touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Touched {
    /// `None`: every operation.
    pub(crate) operation: Option<Operation>,
    /// `None`: every path, and what has none. `a/*`: every path that begins with `a/`.
    pub(crate) path: Option<String>,
    /// `None`: every session.
    pub(crate) session: Option<String>,
}

/// Whether the store has done what was asked when the request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Refused,
    AnswerLost,
}

impl Fault {
    /// Requests that fail with this kind.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            touched: Touched::default(),
            retry_after: None,
            passing: None,
            times: None,
            stage: Stage::Refused,
        }
    }

    /// Only this operation.
    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.touched.operation = Some(operation);
        self
    }

    /// Only the secret at this path, and its leases. A path that ends in `*`: all that begin so.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        self.touched.path = Some(path.to_owned());
        self
    }

    /// Only under the session of this id: its policy has changed.
    #[must_use]
    pub fn under(mut self, session: &str) -> Self {
        self.touched.session = Some(session.to_owned());
        self
    }

    /// Only so many requests; then it is over.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// The store says when to come back.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// A third party may lift it by itself; worth at most `tries`.
    #[must_use]
    pub fn passing(mut self, tries: Option<u32>) -> Self {
        self.passing = Some(tries);
        self
    }

    /// The store does what was asked, and its answer never arrives.
    #[must_use]
    pub fn answer_lost(mut self) -> Self {
        self.stage = Stage::AnswerLost;
        self
    }

    pub(crate) fn failure(&self) -> Failure {
        let detail = match (self.kind, self.stage) {
            (_, Stage::AnswerLost) => "the mock did it and plays a lost answer",
            (Kind::Denied, _) => "the mock plays a denial: see its script",
            (Kind::Unavailable, _) => "the mock plays an outage: see its script",
            (Kind::Throttled, _) => "the mock plays too many requests: see its script",
            _ => "the mock plays this failure",
        };
        Failure {
            kind: self.kind,
            detail: detail.to_owned(),
            retry_after: self.retry_after,
            passing: self.passing,
        }
    }
}

impl Touched {
    /// `path`: `None` asks what touches the request as a whole, `Some` what touches that path alone.
    pub(crate) fn matches(&self, operation: Operation, path: Option<&str>, session: Option<&str>) -> bool {
        let path_matches = match (&self.path, path) {
            (None, None) => true,
            (Some(pattern), Some(path)) => matches(pattern, path),
            _ => false,
        };
        path_matches
            && self.operation.is_none_or(|own| own == operation)
            && self.session.as_deref().is_none_or(|own| session == Some(own))
    }
}

/// Equal, or beginning with what stands before a final `*`.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning),
        None => pattern == path,
    }
}
