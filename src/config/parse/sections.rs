//! The sections with defaults: output, lifecycle, limits, admin, telemetry, log, exec.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::actions::{NO_NAME, is_name};
use super::scalars::{listen_address, unix_socket};
use super::{ADMIN, Context, DIRECTORY, TELEMETRY};
use crate::config::model::{
    Acknowledge, Admin, Choice, Exec, ExecChange, Lifecycle, Limits, Log, LogFormat, LogLevel, OnCrash,
    OnExpiry, Output, Overlap, Reload, RequireTmpfs, Signal, StateDirectory, Telemetry, Uid,
};
use crate::config::raw;
use crate::config::report::{KeyPath, did_you_mean, nearest};

const NONE: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn output(raw: raw::Output, cx: &mut Context<'_>) -> Output {
    let at = |key| KeyPath::of(&["output", key]);
    Output {
        directory: raw
            .directory
            .and_then(|text| cx.absolute(&text, &at("directory")))
            .unwrap_or_else(|| DIRECTORY.into()),
        mode: cx.mode(raw.mode, &at("mode")).unwrap_or(0o440),
        owner: cx.user(raw.owner, &at("owner")),
        group: cx.group(raw.group, &at("group")),
        require_tmpfs: match raw.require_tmpfs.map(|raw| raw.0) {
            Some(Value::Bool(false)) => RequireTmpfs::No,
            Some(Value::String(_)) => RequireTmpfs::Strict,
            _ => RequireTmpfs::Yes,
        },
    }
}

pub(super) fn lifecycle(raw: raw::Lifecycle, cx: &mut Context<'_>) -> Lifecycle {
    let at = |key| KeyPath::of(&["lifecycle", key]);
    let acknowledge = match raw.acknowledge {
        None => Acknowledge::Auto,
        Some(raw::Acknowledge::Word(word)) => match word {
            raw::AcknowledgeWord::Required => Acknowledge::Required,
            raw::AcknowledgeWord::None => Acknowledge::None,
            raw::AcknowledgeWord::Auto => Acknowledge::Auto,
        },
        Some(raw::Acknowledge::From(raw)) => {
            Acknowledge::From(acknowledge_from(raw.from.unwrap_or_default(), cx))
        }
    };
    let application = raw.application.and_then(|application| application.process);
    if application.as_deref().is_some_and(|name| !is_process_name(name)) {
        cx.problem(
            &KeyPath::of(&["lifecycle", "application", "process"]),
            "expected the name of a process, without a path",
        );
    }
    let revoke_delay = cx.length(raw.revoke_delay, Duration::from_secs(20), NONE, &at("revoke_delay"));
    Lifecycle {
        startup_deadline: cx.length(
            raw.startup_deadline,
            Duration::from_secs(300),
            SECOND,
            &at("startup_deadline"),
        ),
        overlap: overlap(raw.overlap, Overlap::Auto, &acknowledge, &at("overlap"), cx),
        acknowledge,
        revoke_on_shutdown: raw.revoke_on_shutdown.unwrap_or(true),
        revoke_delay,
        revoke_timeout: cx.length(raw.revoke_timeout, Duration::from_secs(5), SECOND, &at("revoke_timeout")),
        application,
        heal_splay: cx.length(raw.heal_splay, Duration::from_secs(10), NONE, &at("heal_splay")),
        reload: match raw.reload {
            Some(raw::Reload::Signal) => Reload::Signal,
            Some(raw::Reload::Off) => Reload::Off,
            Some(raw::Reload::Auto) | None => Reload::Auto,
        },
        state_directory: match raw.state_directory {
            None => StateDirectory { path: "/run/leasehold".into(), choice: Choice::Default },
            Some(text) if text == "off" => StateDirectory { path: PathBuf::new(), choice: Choice::Off },
            Some(text) => StateDirectory {
                path: cx.absolute(&text, &at("state_directory")).unwrap_or_default(),
                choice: Choice::Configured,
            },
        },
    }
}

/// Who has to acknowledge.
fn acknowledge_from(names: Vec<String>, cx: &mut Context<'_>) -> BTreeSet<String> {
    let path = KeyPath::of(&["lifecycle", "acknowledge", "from"]);
    if names.is_empty() {
        cx.problem(&path, "empty; name who has to acknowledge, or write `acknowledge: none`");
    }
    let mut known = BTreeSet::new();
    for (index, name) in names.into_iter().enumerate() {
        let at = path.index(index);
        if !is_name(&name) {
            cx.problem(&at, NO_NAME);
        } else if !known.insert(name) {
            cx.problem(&at, "named twice");
        }
    }
    known
}

/// `lifecycle.on_expiry`, the default of every secret.
pub(super) fn on_expiry(raw: Option<raw::OnExpiry>, default: OnExpiry) -> OnExpiry {
    match raw {
        None => default,
        Some(raw::OnExpiry::Keep) => OnExpiry::Keep,
        Some(raw::OnExpiry::Delete) => OnExpiry::Delete,
        Some(raw::OnExpiry::Exit) => OnExpiry::Exit,
    }
}

/// An overlap. None at all makes sense only where the application says when it has moved on.
pub(super) fn overlap(
    raw: Option<raw::LengthOrAuto>,
    default: Overlap,
    acknowledge: &Acknowledge,
    path: &KeyPath,
    cx: &mut Context<'_>,
) -> Overlap {
    let Some(raw::LengthOrAuto(text)) = raw else { return default };
    if text == "auto" {
        return Overlap::Auto;
    }
    let Some(length) = cx.length_or_auto(&text, path) else { return default };
    if length.is_zero() && !matches!(acknowledge, Acknowledge::Required | Acknowledge::From(_)) {
        cx.problem(
            path,
            "without an overlap the old credential is revoked before anybody can have read the new one; \
             give it a second or more, or set lifecycle.acknowledge to required",
        );
    }
    Overlap::Fixed(length)
}

/// The name of a process as the kernel and `ps` know it.
pub(super) fn is_process_name(name: &str) -> bool {
    !name.trim().is_empty() && !name.contains(['/', '\0', '\n'])
}

pub(super) fn limits(raw: raw::Limits) -> Limits {
    Limits { mints_per_minute: raw.mints_per_minute.unwrap_or(6) }
}

pub(super) fn admin(raw: raw::Admin, cx: &mut Context<'_>) -> Admin {
    let listen = match raw.listen {
        None => Some(ADMIN.into()),
        Some(text) => unix_socket(&text).unwrap_or_else(|message| {
            cx.problem(&KeyPath::of(&["admin", "listen"]), message);
            None
        }),
    };
    let mut uids = Vec::new();
    for (index, raw) in raw.uids.iter().flatten().enumerate() {
        let path = KeyPath::of(&["admin", "uids"]).index(index);
        let number = match &raw.0 {
            Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
            Value::String(text) if text == "own" => {
                uids.push(Uid::Own);
                continue;
            }
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) => uids.push(Uid::Number(number)),
            None => {
                let help = raw.0.as_str().and_then(|text| nearest(text, ["own"])).map(did_you_mean);
                cx.problem_with(&path, "expected `own` or the number of a user", help);
            }
        }
    }
    if raw.uids.is_none() {
        uids.push(Uid::Own);
    }
    Admin { listen, uids, drills: raw.drills.unwrap_or(false) }
}

pub(super) fn telemetry(raw: raw::Telemetry, cx: &mut Context<'_>) -> Telemetry {
    let text = raw.listen.unwrap_or_else(|| TELEMETRY.to_owned());
    let listen = listen_address(&text).unwrap_or_else(|message| {
        cx.problem(&KeyPath::of(&["telemetry", "listen"]), message);
        None
    });
    Telemetry { listen }
}

pub(super) fn log(raw: raw::Log) -> Log {
    Log {
        level: match raw.level {
            Some(raw::LogLevel::Error) => LogLevel::Error,
            Some(raw::LogLevel::Warn) => LogLevel::Warn,
            Some(raw::LogLevel::Debug) => LogLevel::Debug,
            Some(raw::LogLevel::Trace) => LogLevel::Trace,
            Some(raw::LogLevel::Info) | None => LogLevel::Info,
        },
        format: match raw.format {
            Some(raw::LogFormat::Json) => LogFormat::Json,
            Some(raw::LogFormat::Text) | None => LogFormat::Text,
        },
    }
}

pub(super) fn exec(raw: raw::Exec, cx: &mut Context<'_>) -> Exec {
    let at = |key| KeyPath::of(&["exec", key]);
    Exec {
        on_change: raw.on_change.map(|change| match change {
            raw::ExecChange::Restart => ExecChange::Restart,
            raw::ExecChange::Signal => ExecChange::Signal,
            raw::ExecChange::None => ExecChange::None,
        }),
        signal: raw.signal.map_or(Signal::Hup, signal),
        drain: cx.length(raw.drain, NONE, NONE, &at("drain")),
        grace: cx.length(raw.grace, Duration::from_secs(10), NONE, &at("grace")),
        splay: match raw.splay {
            None => None,
            Some(raw::LengthOrAuto(text)) => cx.length_or_auto(&text, &at("splay")),
        },
        on_crash: match raw.on_crash {
            Some(raw::OnCrash::Revoke) => OnCrash::Revoke,
            Some(raw::OnCrash::Keep) | None => OnCrash::Keep,
        },
    }
}

pub(super) fn signal(raw: raw::Signal) -> Signal {
    match raw {
        raw::Signal::Hup => Signal::Hup,
        raw::Signal::Int => Signal::Int,
        raw::Signal::Quit => Signal::Quit,
        raw::Signal::Term => Signal::Term,
        raw::Signal::Usr1 => Signal::Usr1,
        raw::Signal::Usr2 => Signal::Usr2,
        raw::Signal::Winch => Signal::Winch,
    }
}

/// What is ours alone has no place in the directory that the application reads.
pub(super) fn apart(output: &Output, lifecycle: &Lifecycle, admin: &Admin, cx: &mut Context<'_>) {
    if lifecycle.state_directory.path.starts_with(&output.directory) {
        cx.problem(
            &KeyPath::of(&["lifecycle", "state_directory"]),
            "inside output.directory, which the application reads; name a directory elsewhere on tmpfs",
        );
    }
    if admin.listen.as_ref().is_some_and(|socket| socket.starts_with(&output.directory)) {
        cx.problem(
            &KeyPath::of(&["admin", "listen"]),
            "inside output.directory, which the application reads; name a path elsewhere",
        );
    }
}
