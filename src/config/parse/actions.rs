//! `on_change`.

use std::time::Duration;

use super::sections::{is_process_name, signal};
use super::{Context, hooks};
use crate::config::model::{Action, ActionKind, Files, Hook, Target};
use crate::config::raw;
use crate::config::report::{KeyPath, did_you_mean, nearest};

/// A try that takes longer is no reload.
const LONGEST_TRY: Duration = Duration::from_secs(3_600);
/// Later is not "on change".
const LONGEST_DEBOUNCE: Duration = Duration::from_secs(3_600);

pub(super) fn actions(
    raw: Vec<raw::Action>,
    files: &Files,
    secrets: &[String],
    cx: &mut Context<'_>,
) -> Vec<Action> {
    let mut actions: Vec<Action> = Vec::new();
    for (index, mut raw) in raw.into_iter().enumerate() {
        let path = KeyPath::of(&["on_change"]).index(index);
        if let Some(names) = &raw.files {
            covered(names, &path.key("files"), files, secrets, cx);
        }
        let name = raw.name.take();
        if let Some(name) = &name {
            if !is_name(name) {
                cx.problem(&path.key("name"), NO_NAME);
            } else if actions.iter().any(|other| other.name.as_ref() == Some(name)) {
                cx.problem(&path.key("name"), "another action has this name");
            }
        }
        let files = raw.files.take();
        let debounce = cx.length(raw.debounce.take(), Duration::ZERO, Duration::ZERO, &path.key("debounce"));
        if debounce > LONGEST_DEBOUNCE {
            cx.problem(&path.key("debounce"), "longer than an hour; the application is to be told on change");
        }
        let least = Duration::from_millis(100);
        let timeout = cx.length(raw.timeout.take(), Duration::from_secs(10), least, &path.key("timeout"));
        if timeout > LONGEST_TRY {
            cx.problem(&path.key("timeout"), "longer than an hour; is the unit right?");
        }
        let retries = raw.retries.unwrap_or(3);
        if let Some(kind) = kind(raw, timeout, &path, cx) {
            actions.push(Action { name, kind, files, debounce, timeout, retries });
        }
    }
    actions
}

pub(super) const NO_NAME: &str =
    "a name is made of letters, digits, `_`, `-` and `.`, begins with a letter and has at most 64 characters";

/// It appears in metrics, messages and `lifecycle.acknowledge.from`.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn kind(raw: raw::Action, timeout: Duration, path: &KeyPath, cx: &mut Context<'_>) -> Option<ActionKind> {
    let given = [raw.signal.is_some(), raw.command.is_some(), raw.http.is_some()];
    match given.iter().filter(|given| **given).count() {
        0 => {
            cx.problem(path, "an action is one of `signal`, `command` and `http`");
            return None;
        }
        1 => {}
        _ => {
            cx.problem(
                path,
                "an action is only one of `signal`, `command` and `http`; write an entry for each",
            );
            return None;
        }
    }
    if raw.signal.is_none() {
        for (key, given) in [("process", raw.process.is_some()), ("pid_file", raw.pid_file.is_some())] {
            if given {
                cx.problem(&path.key(key), "this key belongs to `signal`");
            }
        }
    }
    if raw.command.is_none() && raw.environment.is_some() {
        cx.problem(&path.key("environment"), "this key belongs to `command`");
    }
    let hook = |kind| ActionKind::Hook(Hook { kind, timeout });
    if let Some(words) = raw.command {
        return hooks::command(words, raw.environment, path, cx).map(hook);
    }
    if let Some(http) = raw.http {
        return hooks::http(http, &path.key("http"), cx).map(hook);
    }
    let signal = signal(raw.signal?);
    let target = match (raw.process, raw.pid_file) {
        (Some(name), None) => {
            if !is_process_name(&name) {
                cx.problem(&path.key("process"), "expected the name of a process, without a path");
            }
            Target::Process(name)
        }
        (None, Some(file)) => Target::PidFile(cx.absolute(&file, &path.key("pid_file"))?),
        (None, None) => {
            cx.problem(path, "a signal needs to know whom to reach: `process` or `pid_file`");
            return None;
        }
        (Some(_), Some(_)) => {
            cx.problem(path, "`process` and `pid_file` both say whom to reach; use one of them");
            return None;
        }
    };
    Some(ActionKind::Signal { signal, target })
}

/// Says which of the names are no files of ours.
fn covered(names: &[String], path: &KeyPath, files: &Files, secrets: &[String], cx: &mut Context<'_>) {
    if names.is_empty() {
        cx.problem(path, "empty, so the action would never run; leave the key out to cover every file");
    }
    for (index, name) in names.iter().enumerate() {
        let path = path.index(index);
        match files {
            Files::Named(files) if files.contains_key(name) || cx.has_file(name) => {}
            Files::Named(files) => {
                let help = nearest(name, files.keys().map(String::as_str)).map(did_you_mean);
                cx.problem_with(&path, "no file of this name under `files`", help);
            }
            Files::EveryField => {
                let secret = name.split('/').next().unwrap_or_default();
                if !secrets.iter().any(|known| known == secret) || !name.contains('/') {
                    let help = nearest(secret, secrets.iter().map(String::as_str)).map(did_you_mean);
                    cx.problem_with(
                        &path,
                        "no such file: without `files`, every file is named SECRET/FIELD",
                        help,
                    );
                }
            }
        }
    }
}

impl Context<'_> {
    /// True for a file that is there, even where something is wrong with it.
    fn has_file(&self, name: &str) -> bool {
        self.tree.at("files").is_some_and(|files| files.at(name).is_some())
    }
}
