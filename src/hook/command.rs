//! A command: started, bounded, its output kept from showing a value.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Failed, Program, Ran, SecretBytes, Status};
use rustix::fs::Access;

use super::{Done, Failure, Surroundings};

/// More than this on standard output, and it is stopped.
const OUTPUT: usize = 1024 * 1024;
/// Of standard error the beginning is kept.
const ERRORS: usize = 16 * 1024;
/// Of standard output so much is looked at: its end.
const LOOKED_AT: usize = 16 * 1024;
/// So many lines are shown, the last ones.
const LINES: usize = 5;
/// So much of a line is shown.
const LINE: usize = 300;

pub(super) struct Call<'a> {
    pub(super) command: &'a [String],
    pub(super) environment: &'a BTreeMap<String, Arc<SecretBytes>>,
    pub(super) variables: &'a BTreeMap<String, String>,
    pub(super) timeout: Duration,
}

pub(super) async fn run(call: Call<'_>, surroundings: &Surroundings) -> Result<Done, Failure> {
    let ran = surroundings.spawn.run(program(&call, surroundings)).await;
    let Ran { status, output, errors } = ran.map_err(|failed| match failed {
        Failed::TimedOut(limit) => Failure::TimedOut(limit),
        other => Failure::NotRun(other),
    })?;
    let said = || {
        let written: Vec<&SecretBytes> = call.environment.values().map(AsRef::as_ref).collect();
        let known = &surroundings.known;
        let mut lines = shown(&known.redacted(end_of(output.expose()), &written));
        lines.extend(shown(&known.redacted(beginning_of(errors.expose()), &written)));
        lines.drain(..lines.len().saturating_sub(LINES));
        lines
    };
    match status {
        Status::Exited(0) => Ok(Done { status: None, said: said() }),
        Status::Exited(code) => Err(Failure::Exited { code, said: said() }),
        Status::Signalled(signal) => Err(Failure::Signalled { signal, said: said() }),
    }
}

fn program(call: &Call<'_>, surroundings: &Surroundings) -> Program {
    let mut environment = BTreeMap::new();
    let mut set = |name: &str, value: &[u8]| {
        environment.insert(name.to_owned(), SecretBytes::new(value.to_vec()));
    };
    set("PATH", surroundings.path.as_bytes());
    for (name, value) in call.environment {
        set(name, value.expose());
    }
    for (name, value) in call.variables {
        set(name, value.as_bytes());
    }
    Program {
        command: call.command.to_vec(),
        environment,
        directory: None,
        input: SecretBytes::new(Vec::new()),
        time_limit: call.timeout,
        output_limit: OUTPUT,
        error_limit: ERRORS,
    }
}

/// The end of a text, from a line's begin on: half a value is not recognised as one.
fn end_of(text: &[u8]) -> &[u8] {
    let Some(cut) = text.len().checked_sub(LOOKED_AT).filter(|cut| *cut > 0) else { return text };
    let end = &text[cut..];
    end.iter().position(|byte| *byte == b'\n').map_or(&[], |line| &end[line + 1..])
}

/// What was kept of a text, up to a line's end where it may go on.
fn beginning_of(text: &[u8]) -> &[u8] {
    if text.len() < ERRORS {
        return text;
    }
    text.iter().rposition(|byte| *byte == b'\n').map_or(&[], |line| &text[..line])
}

/// Its lines as they are shown: without control characters, none too long, none empty.
fn shown(text: &str) -> Vec<String> {
    let plain = |line: &str| {
        let line = line.trim();
        let mut plain: String =
            line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE).collect();
        if line.chars().nth(LINE).is_some() {
            plain.push('…');
        }
        plain
    };
    text.lines().map(plain).filter(|line| !line.is_empty()).collect()
}

/// Why this command could not be started as things are now, if that can be seen.
pub fn missing(command: &[String], path: &str) -> Option<Failure> {
    let name = command.first()?;
    let places: Vec<PathBuf> = match name.contains('/') {
        true => vec![name.into()],
        false => path.split(':').map(|folder| Path::new(folder).join(name)).collect(),
    };
    let files: Vec<&PathBuf> = places.iter().filter(|place| place.exists()).collect();
    if files.is_empty() {
        return Some(Failure::NotRun(Failed::NotFound));
    }
    let may_run =
        |file: &PathBuf| file.is_file() && rustix::fs::access(file.as_path(), Access::EXEC_OK).is_ok();
    match files.into_iter().any(may_run) {
        true => None,
        false => Some(Failure::NotRun(Failed::NotExecutable)),
    }
}
