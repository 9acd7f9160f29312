//! `on_change`.

use super::Context;
use super::sections::{is_process_name, signal};
use crate::config::model::{Action, ActionKind, Files, Target};
use crate::config::raw;
use crate::config::report::{KeyPath, did_you_mean, nearest};

pub(super) fn actions(
    raw: Vec<raw::Action>,
    files: &Files,
    secrets: &[String],
    cx: &mut Context<'_>,
) -> Vec<Action> {
    let mut actions = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let path = KeyPath::of(&["on_change"]).index(index);
        if let Some(names) = &raw.files {
            covered(names, &path.key("files"), files, secrets, cx);
        }
        let narrowed = raw.files.clone();
        if let Some(kind) = kind(raw, &path, cx) {
            actions.push(Action { kind, files: narrowed });
        }
    }
    actions
}

fn kind(raw: raw::Action, path: &KeyPath, cx: &mut Context<'_>) -> Option<ActionKind> {
    const EARLY: &str = "not available in this build yet; use `signal`";
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
    if let Some(command) = &raw.command {
        match command.first() {
            None => cx.problem(&path.key("command"), "empty; expected a program and its arguments"),
            Some(_) => cx.problem(&path.key("command"), EARLY),
        }
        return None;
    }
    if let Some(http) = &raw.http {
        let url = http.url.as_deref().unwrap_or_default();
        if !url.starts_with("http://") && !url.starts_with("https://") {
            cx.problem(
                &path.key("http").key("url"),
                "expected a URL that begins with `http://` or `https://`",
            );
        }
        if http.method.as_deref().is_some_and(|method| !method.bytes().all(|byte| byte.is_ascii_uppercase()))
        {
            cx.problem(&path.key("http").key("method"), "expected a method in capitals, such as POST");
        }
        let sent = http.body.is_some() && matches!(http.method.as_deref(), Some("GET" | "HEAD"));
        if sent {
            cx.problem(&path.key("http").key("body"), "a GET or HEAD carries no body");
        }
        cx.problem(&path.key("http"), EARLY);
        return None;
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
