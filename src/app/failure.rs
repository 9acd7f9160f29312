//! Why a process ends before its time, in words for a person. The exit code follows in `cli/exit.rs`.

use std::fmt;
use std::time::Duration;

use leasehold_core::{Error, Failed};

use super::length;
use crate::keeper::Fatal;
use crate::publisher::NoSet;

/// Why the process ends before its time.
#[derive(Debug)]
pub enum Failure {
    /// A store's answer that no waiting mends.
    Store(Error),
    /// The start took too long; what was still missing, in words.
    Deadline {
        /// The deadline.
        after: Duration,
        /// What was missing, and why.
        missing: String,
    },
    /// A secret with `on_expiry: exit` expired.
    Expired {
        /// Which.
        secret: String,
    },
    /// The output or the state directory cannot be used.
    Output(String),
    /// The files cannot be made of what the store gave.
    Render(String),
    /// It was told to end before the first generation (`init` only).
    Interrupted,
    /// The command of `exec` cannot be started.
    Command {
        /// What it is called.
        name: String,
        /// Why.
        failed: Failed,
    },
    /// Our own fault.
    Internal(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Deadline { after, missing } => {
                write!(
                    f,
                    "no whole set of secrets within {} (lifecycle.startup_deadline): {missing}",
                    length(*after)
                )
            }
            Self::Expired { secret } => {
                write!(f, "secret \"{secret}\" has expired without a successor, and its on_expiry is exit")
            }
            Self::Output(text) | Self::Render(text) | Self::Internal(text) => f.write_str(text),
            Self::Command { name, failed } => {
                let remedy = match failed {
                    Failed::NotFound => "; is it in this image, and on PATH? Or give its whole path",
                    Failed::NoInterpreter => "; install what it needs",
                    Failed::NotExecutable => "; give our uid the right to execute it",
                    _ => "",
                };
                write!(f, "the command \"{}\" cannot be started: {failed}{remedy}", name.escape_debug())
            }
            Self::Interrupted => f.write_str("told to end before the first set was in place"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Fatal> for Failure {
    fn from(fatal: Fatal) -> Self {
        match fatal {
            Fatal::Store(error) => Self::Store(error),
            Fatal::Expired { secret } => Self::Expired { secret },
        }
    }
}

impl From<NoSet> for Failure {
    fn from(no_set: NoSet) -> Self {
        match no_set {
            NoSet::Render(text) => Self::Render(text),
            NoSet::Volume(text) => Self::Output(text),
        }
    }
}
