//! What the kinds of actions do. A new kind is an arm in each of these functions; whatever it
//! awaits may be dropped when its deadline comes.

use std::fmt;

use crate::config::model::{Action, ActionKind, Signal, Target};
use crate::process::Process;

/// What came of an action that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// The signal was delivered. What the application made of it nobody knows.
    Signalled {
        /// Which process got it.
        pid: i32,
        /// How many others were meant as well.
        rivals: usize,
    },
}

/// Whether its success says that the application uses the generation.
pub(super) fn acknowledges(kind: &ActionKind) -> bool {
    match kind {
        ActionKind::Signal { .. } => false,
    }
}

/// Does it, once. The error is for people: what happened and what to do.
#[expect(clippy::unused_async, reason = "a signal has nothing to wait for; commands and requests will")]
pub(super) async fn perform(kind: &ActionKind) -> Result<Done, String> {
    match kind {
        ActionKind::Signal { signal, target } => {
            let process = Process::find(target).map_err(|error| error.to_string())?;
            process.signal(*signal).map_err(|error| error.to_string())?;
            Ok(Done::Signalled { pid: process.pid(), rivals: process.rivals() })
        }
    }
}

/// What it is called in the log and in `status`.
pub(crate) fn label(action: &Action) -> String {
    let what = match &action.kind {
        ActionKind::Signal { signal, target } => {
            let signal = match signal {
                Signal::Hup => "HUP",
                Signal::Int => "INT",
                Signal::Quit => "QUIT",
                Signal::Term => "TERM",
                Signal::Usr1 => "USR1",
                Signal::Usr2 => "USR2",
                Signal::Winch => "WINCH",
            };
            match target {
                Target::Process(name) => format!("signal {signal} to {name}"),
                Target::PidFile(path) => format!("signal {signal} to the pid in {}", path.display()),
            }
        }
    };
    match &action.files {
        Some(files) => format!("{what} for {}", files.join(", ")),
        None => what,
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signalled { pid, rivals: 0 } => write!(f, "ok (process {pid})"),
            Self::Signalled { pid, rivals } => {
                write!(f, "ok (process {pid}, the oldest of {} of that name)", rivals + 1)
            }
        }
    }
}
