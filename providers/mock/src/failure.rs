//! A failure before it knows on which provider and secret it happened.

use std::time::Duration;

use leasehold_core::{Error, Kind, Operation};

#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) detail: String,
    pub(crate) retry_after: Option<Duration>,
    /// A denial that may pass; the inner number bounds the tries.
    pub(crate) passing: Option<Option<u32>>,
}

impl Failure {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None, passing: None }
    }

    pub(crate) fn session_ended() -> Self {
        Self::new(Kind::SessionEnded, "the session has ended: log in again")
    }

    pub(crate) fn lease_gone() -> Self {
        Self::new(Kind::LeaseGone, "the lease has ended or was revoked")
    }

    pub(crate) fn error(self, operation: Operation, provider: &str, reference: String) -> Error {
        let error = Error::new(self.kind, operation, provider, self.detail)
            .on(reference)
            .retry_after(self.retry_after);
        match self.passing {
            Some(tries) => error.passing(tries),
            None => error,
        }
    }
}
