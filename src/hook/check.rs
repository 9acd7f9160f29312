//! `verify`: a candidate is tried by the hook of the configuration.
//!
//! A command finds the candidate's directory in `LEASEHOLD_CANDIDATE`; a request carries it as the header
//! `Leasehold-Candidate`, since whoever answers does not see our environment. One call is one try.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderName;
use leasehold_core::SecretBytes;

use super::{Failure, Surroundings, label, missing, run};
use crate::config::model::{Hook, HookKind};
use crate::publisher::{Candidate, Check, Verdict};

/// The headers of a request that say what is tried.
const CANDIDATE: HeaderName = HeaderName::from_static("leasehold-candidate");
const GENERATION: HeaderName = HeaderName::from_static("leasehold-generation");

/// Tries candidates with a command or a request.
pub struct HookCheck {
    hook: Hook,
    surroundings: Surroundings,
}

impl HookCheck {
    /// A check by this hook.
    pub fn new(hook: Hook, surroundings: Surroundings) -> Self {
        Self { hook, surroundings }
    }

    /// What will stand in its way, as far as that can be seen before it is needed.
    pub fn obstacle(&self) -> Option<String> {
        let HookKind::Command { command, .. } = &self.hook.kind else { return None };
        let why = missing(command, &self.surroundings.path)?;
        Some(format!("verify, {}: as things are it will fail: {why}", label(&self.hook.kind)))
    }

    /// What happened, in words that can be shown.
    fn words(&self, failure: &Failure) -> String {
        let mut words = format!("{}: {failure}", label(&self.hook.kind));
        if !failure.said().is_empty() {
            words.push_str(&format!(" (it said: {})", failure.said().join(" | ")));
        }
        words
    }
}

#[async_trait]
impl Check for HookCheck {
    async fn check(&self, candidate: &Candidate) -> Verdict {
        let hook = of(&self.hook, candidate);
        match run(&hook, &self.surroundings, &variables(candidate)).await {
            Ok(_) => Verdict::Good,
            Err(failure) if is_no_answer(&failure) => Verdict::Unknown(self.words(&failure)),
            Err(failure) => Verdict::Refused(self.words(&failure)),
        }
    }
}

/// Whether it says nothing of the candidate.
fn is_no_answer(failure: &Failure) -> bool {
    match failure {
        Failure::NotRun(_) | Failure::TimedOut(_) | Failure::Unreachable(_) | Failure::Socket(_) => true,
        Failure::Exited { .. } => failure.is_undecided(),
        Failure::Signalled { .. } | Failure::Status { .. } => false,
    }
}

/// What a command finds in its environment.
fn variables(candidate: &Candidate) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([
        ("LEASEHOLD_GENERATION".to_owned(), candidate.generation.to_string()),
        ("LEASEHOLD_CHANGED".to_owned(), candidate.changed.join("\n")),
    ]);
    if let Some(directory) = &candidate.directory {
        variables.insert("LEASEHOLD_CANDIDATE".to_owned(), directory.display().to_string());
    }
    variables
}

/// The hook as it is run for a candidate: a request says which.
fn of(hook: &Hook, candidate: &Candidate) -> Hook {
    let mut hook = hook.clone();
    if let HookKind::Http(http) = &mut hook.kind {
        let mut says = |name: HeaderName, value: Vec<u8>| {
            http.headers.retain(|(other, _)| *other != name);
            http.headers.push((name, Arc::new(SecretBytes::new(value))));
        };
        says(GENERATION, candidate.generation.to_string().into_bytes());
        if let Some(directory) = &candidate.directory {
            says(CANDIDATE, directory.as_os_str().as_bytes().to_vec());
        }
    }
    hook
}
