//! What will stand in an action's way, as far as it can be seen before the action is needed.

use std::time::Duration;

use crate::config::model::{Action, ActionKind, Hook, HookKind, Target};
use crate::hook::{self, Surroundings};
use crate::process::{FindError, Process};

/// After the first generation an application has so long to be there.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What stands in the way now and will then: a program that is not there, a process that we may not signal.
pub(super) fn at_start(action: &Action, surroundings: &Surroundings) -> Option<String> {
    match &action.kind {
        ActionKind::Signal { target, .. } => match reachable(target) {
            Err(error @ FindError::Denied(_)) => Some(error.to_string()),
            Ok(()) | Err(_) => None,
        },
        ActionKind::Hook(Hook { kind: HookKind::Command { command, .. }, .. }) => {
            hook::missing(command, &surroundings.path).map(|failure| failure.to_string())
        }
        ActionKind::Hook(Hook { kind: HookKind::Http(_), .. }) => None,
    }
}

/// What stands in the way once everything should run.
pub(super) fn once_all_run(action: &Action) -> Option<String> {
    match &action.kind {
        ActionKind::Signal { target, .. } => reachable(target).err().map(|error| error.to_string()),
        ActionKind::Hook(_) => None,
    }
}

fn reachable(target: &Target) -> Result<(), FindError> {
    Process::find(target)?.may_be_signalled()
}
