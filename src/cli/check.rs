//! `check`: everything that is wrong with the configuration; with `--online`, what the stores say.

use leasehold_core::Environment;

use super::arguments::Online;
use super::notes::{notes, programs};
use super::{Exit, Sources, answer, fail, load};
use crate::config::Config;
use crate::config::model::Files;
use crate::preflight::{Mint, Request, preflight};
use crate::process;

pub(super) fn check(given: Sources, online: Online, environment: &Environment) -> Exit {
    match load(given, environment) {
        Ok(config) if online.online => ask(&config, online, environment),
        Ok(config) => answer(&summary(&config, environment)),
        Err((exit, _)) => exit,
    }
}

/// What the stores say. All of it is the answer; the exit code is the first problem's.
fn ask(config: &Config, online: Online, environment: &Environment) -> Exit {
    let mint = if online.mint { Mint::GiveBack } else { Mint::Nothing };
    let request = Request { mint, jwt: online.jwt };
    let runtime = match process::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(Exit::Internal, &format!("no runtime can be had: {}", error.kind())),
    };
    let mut findings = runtime.block_on(preflight(config, &request));
    for (about, note) in notes(config, environment) {
        findings.note(&about, note);
    }
    match (answer(&findings.to_string()), findings.problem_kind()) {
        (Exit::Done, Some(kind)) => Exit::from(kind),
        (exit, _) => exit,
    }
}

/// `ok: 1 provider, 2 secrets, 3 files (a.yaml, b.yaml)`
fn summary(config: &Config, environment: &Environment) -> String {
    let files = match &config.files {
        Files::EveryField => "a file for every field".to_owned(),
        Files::Named(files) => counted(files.len(), "file"),
    };
    let mut sources: Vec<String> = config.sources.iter().map(|path| path.display().to_string()).collect();
    if !config.flags.is_empty() {
        sources.push("the command line".to_owned());
    }
    let mut lines = vec![format!(
        "ok: {}, {}, {files} ({})",
        counted(config.providers.len(), "provider"),
        counted(config.secrets.len(), "secret"),
        sources.join(", ")
    )];
    let notes: Vec<_> = programs(config).into_iter().chain(notes(config, environment)).collect();
    lines.extend(notes.iter().map(|(about, note)| format!("note: {about}: {note}")));
    lines.join("\n")
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}
