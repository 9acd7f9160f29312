//! The candidate check: what `verify` asks before a set is put in place.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Moment;
use crate::config::model::OnFailure;

/// What a check says of a candidate. No value is in its words: they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be put in place.
    Good,
    /// It is no good, and why.
    Refused(String),
    /// It cannot be told whether it is: whoever would know is away, or took too long.
    Unknown(String),
}

/// A set that is written, and not in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it lies, whole; `None` where there are no files.
    pub directory: Option<PathBuf>,
    /// The number that it gets.
    pub generation: u64,
    /// The files whose bytes differ from what is in place.
    pub changed: Vec<String>,
}

/// Who says whether a candidate is good. Each call is one try, bounded in time by the check itself;
/// when to try again is the publisher's. A call that is dropped leaves nothing running.
#[async_trait]
pub trait Check: Send + Sync {
    /// Looks at a candidate.
    async fn check(&self, candidate: &Candidate) -> Verdict;
}

/// See [`super::Publisher::with_check`].
pub(super) struct Checked {
    pub(super) check: Arc<dyn Check>,
    pub(super) on_failure: OnFailure,
    pub(super) first_until: Moment,
}
