//! Values that are one scalar: durations, modes, accounts, addresses, paths.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::Context;
use crate::config::raw;
use crate::config::report::{KeyPath, did_you_mean, nearest};

/// Longer is a slip of the unit, and would overflow sums.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3_600);

impl Context<'_> {
    /// A length of time of at least `least`. `default` where it is not given, or wrong.
    pub(super) fn length(
        &mut self,
        raw: Option<raw::Length>,
        default: Duration,
        least: Duration,
        path: &KeyPath,
    ) -> Duration {
        raw.and_then(|raw| self.length_of(&raw.0, least, path)).unwrap_or(default)
    }

    /// A length of time, where `auto` is none.
    pub(super) fn length_or_auto(&mut self, text: &str, path: &KeyPath) -> Option<Duration> {
        const EXPECTED: &str = "\"auto\", or a duration with its unit, such as \"30s\", \"5m\" or \"24h\"";
        if text == "auto" {
            return None;
        }
        self.duration(text, Duration::ZERO, path, EXPECTED)
    }

    pub(super) fn length_of(&mut self, text: &str, least: Duration, path: &KeyPath) -> Option<Duration> {
        const EXPECTED: &str = "a duration with its unit, such as \"30s\", \"5m\" or \"24h\"";
        self.duration(text, least, path, EXPECTED)
    }

    fn duration(&mut self, text: &str, least: Duration, path: &KeyPath, expected: &str) -> Option<Duration> {
        let text = text.trim();
        if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.') {
            self.problem(path, format!("a number without a unit; expected {expected}"));
            return None;
        }
        // `M` would be months.
        if text.contains(|c: char| c.is_ascii_uppercase()) {
            self.problem(path, format!("units are written in small letters; expected {expected}"));
            return None;
        }
        let Ok(length) = humantime::parse_duration(text) else {
            self.problem(path, format!("expected {expected}"));
            return None;
        };
        if length < least {
            let least = humantime::format_duration(least);
            self.problem(path, format!("too short; at least {least}"));
            return None;
        }
        if length > LONGEST {
            self.problem(path, "longer than a year; is the unit right?");
            return None;
        }
        Some(length)
    }

    /// Permission bits.
    pub(super) fn mode(&mut self, raw: Option<raw::Mode>, path: &KeyPath) -> Option<u32> {
        let raw::Mode(text) = raw?;
        let text = text.strip_prefix("0o").map_or(text.clone(), |digits| format!("0{digits}"));
        let octal = text.len() == 4 && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        let Some(mode) = octal.then(|| u32::from_str_radix(&text, 8).ok()).flatten() else {
            self.problem(path, "expected four octal digits in quotes, such as \"0440\"");
            return None;
        };
        if mode & 0o7000 != 0 {
            self.problem(path, "setuid, setgid and sticky mean nothing on a file of secrets; begin with 0");
            return None;
        }
        if mode & 0o111 != 0 {
            self.problem(path, "a file of secrets is not executable; use \"0440\", \"0400\" or the like");
            return None;
        }
        if mode & 0o022 != 0 {
            self.problem(path, "only the owner may write; use \"0440\", \"0640\" or the like");
            return None;
        }
        if mode & 0o400 == 0 {
            self.problem(path, "the owner has to be able to read; use \"0440\", \"0400\" or the like");
            return None;
        }
        Some(mode)
    }

    /// A user, by number or name.
    pub(super) fn user(&mut self, raw: Option<raw::Account>, path: &KeyPath) -> Option<u32> {
        let file = self.accounts.users.clone();
        self.account(raw, &file, "user", path)
    }

    /// A group, by number or name.
    pub(super) fn group(&mut self, raw: Option<raw::Account>, path: &KeyPath) -> Option<u32> {
        let file = self.accounts.groups.clone();
        self.account(raw, &file, "group", path)
    }

    fn account(&mut self, raw: Option<raw::Account>, file: &Path, what: &str, path: &KeyPath) -> Option<u32> {
        let text = match raw?.0 {
            Value::Number(number) => return number.as_u64().and_then(|number| u32::try_from(number).ok()),
            Value::String(text) => text,
            _ => return None,
        };
        if let Ok(number) = text.parse::<u32>()
            && number != u32::MAX
        {
            return Some(number);
        }
        let Ok(table) = std::fs::read_to_string(file) else {
            let file = file.display();
            self.problem(
                path,
                format!("{file} cannot be read, so no name of a {what} can be looked up; write its number"),
            );
            return None;
        };
        let rows = || {
            table.lines().filter_map(|line| {
                let mut columns = line.split(':');
                Some((columns.next()?, columns.nth(1)?))
            })
        };
        if let Some((_, number)) = rows().find(|(name, _)| *name == text)
            && let Ok(number) = number.parse()
        {
            return Some(number);
        }
        let help = nearest(&text, rows().map(|(name, _)| name)).map(did_you_mean);
        let file = file.display();
        self.problem_with(
            path,
            format!("no {what} of this name in {file}; expected a name in it, or a number"),
            help,
        );
        None
    }

    /// A directory or file, absolute and without detours.
    pub(super) fn absolute(&mut self, text: &str, path: &KeyPath) -> Option<PathBuf> {
        let wrong = match Path::new(text) {
            _ if text.is_empty() => "empty; expected an absolute path",
            _ if text.contains('\0') => "a path holds no NUL",
            path if !path.is_absolute() => "expected an absolute path: it begins with `/`",
            path if path.components().any(|part| part == Component::ParentDir) => {
                "a path without `..` is expected"
            }
            path if path.parent().is_none() => "this is the root directory; name a directory of our own",
            path => return Some(path.components().collect()),
        };
        self.problem(path, wrong);
        None
    }
}

/// Where names of users and groups are looked up.
#[derive(Clone)]
pub(crate) struct Accounts {
    /// As `/etc/passwd`.
    pub(crate) users: PathBuf,
    /// As `/etc/group`.
    pub(crate) groups: PathBuf,
}

impl Default for Accounts {
    fn default() -> Self {
        Self { users: "/etc/passwd".into(), groups: "/etc/group".into() }
    }
}

/// `unix:/path` or `off`. The path of a socket has at most 107 bytes.
pub(crate) fn unix_socket(text: &str) -> Result<Option<PathBuf>, &'static str> {
    if text == "off" || text == "false" {
        return Ok(None);
    }
    let Some(path) = text.strip_prefix("unix:") else {
        return Err("expected `unix:` and an absolute path, or `off`");
    };
    // `unix:///run/…` is how others write it.
    let path = path.strip_prefix("//").unwrap_or(path);
    if !path.starts_with('/') {
        return Err("expected `unix:` and an absolute path, or `off`");
    }
    if path.len() > 107 {
        return Err("the path of a socket has at most 107 bytes");
    }
    if path.ends_with('/') {
        return Err(
            "a socket is a file, not a directory: expected `unix:/run/leasehold/admin.sock` or the like",
        );
    }
    Ok(Some(path.into()))
}

/// An IP address with a port, or `off`.
pub(crate) fn listen_address(text: &str) -> Result<Option<SocketAddr>, &'static str> {
    const EXPECTED: &str =
        "expected an IP address and a port, such as `127.0.0.1:9441` or `[::]:9441`, or `off`";
    if text == "off" || text == "false" {
        return Ok(None);
    }
    match text.parse() {
        Ok(address) => Ok(Some(address)),
        Err(_) if text.starts_with("unix:") => Err(
            "probes and Prometheus need a port, not a socket; expected an IP address and a port, or `off`",
        ),
        Err(_) if text.parse::<std::net::IpAddr>().is_ok() => {
            Err("the port is missing; expected `127.0.0.1:9441`, `[::]:9441` or the like")
        }
        Err(_) if text.starts_with(':') || text.starts_with("*:") => {
            Err("the address is missing; write `0.0.0.0:PORT` or `[::]:PORT` for all of them")
        }
        Err(_) if text.starts_with("localhost:") => Err("names are not looked up; write `127.0.0.1:PORT`"),
        Err(_) => Err(EXPECTED),
    }
}
