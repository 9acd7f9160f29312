//! `verify`.

use std::time::Duration;

use super::{Context, hooks};
use crate::config::model::{Files, Hook, HookKind, OnFailure, Verify};
use crate::config::raw;
use crate::config::report::KeyPath;

const TIMEOUT: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_millis(100);
/// A check that takes longer holds up every rotation.
const LONGEST: Duration = Duration::from_secs(3_600);

/// What candidates are tried with, where it can be.
pub(super) fn verify(mut raw: raw::Verify, files: &Files, cx: &mut Context<'_>) -> Option<Verify> {
    let path = KeyPath::of(&["verify"]);
    let timeout = cx.length(raw.timeout.take(), TIMEOUT, SHORTEST, &path.key("timeout"));
    if timeout > LONGEST {
        cx.problem(&path.key("timeout"), "longer than an hour; is the unit right?");
    }
    if files.is_empty() {
        cx.problem(&path, "there is nothing to try: `files` is empty, and a candidate is its files");
    }
    let on_failure = match raw.on_failure {
        Some(raw::OnFailure::Publish) => OnFailure::Publish,
        Some(raw::OnFailure::Keep) | None => OnFailure::Keep,
    };
    let kind = kind(raw, &path, cx)?;
    Some(Verify { hook: Hook { kind, timeout }, on_failure })
}

fn kind(raw: raw::Verify, path: &KeyPath, cx: &mut Context<'_>) -> Option<HookKind> {
    if raw.command.is_none() && raw.environment.is_some() {
        cx.problem(&path.key("environment"), "this key belongs to `command`");
    }
    match (raw.command, raw.http) {
        (Some(words), None) => hooks::command(words, raw.environment, path, cx),
        (None, Some(http)) => hooks::http(http, &path.key("http"), cx),
        (None, None) => {
            cx.problem(path, "a check is a `command` or a request (`http`); name one of the two");
            None
        }
        (Some(_), Some(_)) => {
            cx.problem(path, "a check is either a `command` or a request (`http`); use one of them");
            None
        }
    }
}
