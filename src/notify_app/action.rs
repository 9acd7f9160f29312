//! What the kinds of actions do. Whatever they await may be dropped when its deadline comes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::config::model::{Action, ActionKind, Signal, Target};
use crate::hook::{self, Surroundings};
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
    /// A command or a request.
    Ran(hook::Done),
}

/// Why it did not go well, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    /// What happened and what to do, for people.
    pub(super) why: String,
    /// What a command said, fit to be shown.
    pub(super) said: Vec<String>,
}

impl Failed {
    /// Not done in time.
    pub(super) fn late(limit: Duration) -> Self {
        Self { why: hook::Failure::TimedOut(limit).to_string(), said: Vec::new() }
    }
}

impl Done {
    /// What a command said, fit to be shown.
    pub(super) fn said(&self) -> &[String] {
        match self {
            Self::Signalled { .. } => &[],
            Self::Ran(done) => &done.said,
        }
    }
}

/// Whether its success says that the application uses the generation.
pub(crate) fn acknowledges(kind: &ActionKind) -> bool {
    match kind {
        ActionKind::Signal { .. } => false,
        ActionKind::Hook(_) => true,
    }
}

/// Does it, once.
pub(super) async fn perform(
    kind: &ActionKind,
    surroundings: &Surroundings,
    variables: &BTreeMap<String, String>,
) -> Result<Done, Failed> {
    match kind {
        ActionKind::Signal { signal, target } => {
            let failed =
                |error: crate::process::FindError| Failed { why: error.to_string(), said: Vec::new() };
            let process = Process::find(target).map_err(failed)?;
            process.signal(*signal).map_err(failed)?;
            Ok(Done::Signalled { pid: process.pid(), rivals: process.rivals() })
        }
        ActionKind::Hook(hook) => match hook::run(hook, surroundings, variables).await {
            Ok(done) => Ok(Done::Ran(done)),
            Err(failure) => Err(Failed { why: failure.to_string(), said: failure.said().to_vec() }),
        },
    }
}

/// Its kind, as metrics name it.
pub(super) fn operation(kind: &ActionKind) -> &'static str {
    use crate::config::model::{Hook, HookKind};
    match kind {
        ActionKind::Signal { .. } => "signal",
        ActionKind::Hook(Hook { kind: HookKind::Command { .. }, .. }) => "command",
        ActionKind::Hook(Hook { kind: HookKind::Http(_), .. }) => "http",
    }
}

/// Whether an action that is narrowed so is about this file.
pub(crate) fn covers(files: &Option<Vec<String>>, file: &String) -> bool {
    files.as_ref().is_none_or(|files| files.contains(file))
}

/// What each is called in the log and in `status`, no two of them the same.
pub(crate) fn labels(actions: &[Action]) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for action in actions {
        let label = label(action);
        let same = |label: &str, labels: &[String]| labels.iter().any(|other| other == label);
        let mut unique = label.clone();
        let mut count = 1;
        while same(&unique, &labels) {
            count += 1;
            unique = format!("{label} #{count}");
        }
        labels.push(unique);
    }
    labels
}

/// What it is called in the log and in `status`.
pub(crate) fn label(action: &Action) -> String {
    let what = match &action.kind {
        ActionKind::Signal { signal, target } => {
            let signal = signal_name(*signal);
            match target {
                Target::Process(name) => format!("signal {signal} to {name}"),
                Target::PidFile(path) => format!("signal {signal} to the pid in {}", path.display()),
            }
        }
        ActionKind::Hook(hook) => hook::label(&hook.kind),
    };
    match (&action.name, &action.files) {
        (Some(name), _) => format!("{name} ({what})"),
        (None, Some(files)) => format!("{what} for {}", files.join(", ")),
        (None, None) => what,
    }
}

fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Hup => "HUP",
        Signal::Int => "INT",
        Signal::Quit => "QUIT",
        Signal::Term => "TERM",
        Signal::Usr1 => "USR1",
        Signal::Usr2 => "USR2",
        Signal::Winch => "WINCH",
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signalled { pid, rivals: 0 } => write!(f, "ok (process {pid})"),
            Self::Signalled { pid, rivals } => {
                write!(f, "ok (process {pid}, the oldest of {} of that name)", rivals + 1)
            }
            Self::Ran(hook::Done { status: Some(status), .. }) => write!(f, "ok (status {status})"),
            Self::Ran(hook::Done { status: None, .. }) => f.write_str("ok (exit code 0)"),
        }
    }
}
