//! `check`: everything that is wrong with the configuration; with `--online`, what the stores say.

use leasehold_core::Environment;

use super::arguments::Online;
use super::{Exit, Sources, answer, fail, load};
use crate::config::Config;
use crate::config::model::Files;
use crate::notify_app;
use crate::preflight::{Mint, Request, preflight};
use crate::process;

pub(super) fn check(given: Sources, online: Online, environment: &Environment) -> Exit {
    match load(given, environment) {
        Ok(config) if online.online => ask(&config, online),
        Ok(config) => answer(&summary(&config)),
        Err((exit, _)) => exit,
    }
}

/// What the stores say. All of it is the answer; the exit code is the first problem's.
fn ask(config: &Config, online: Online) -> Exit {
    let mint = if online.mint { Mint::GiveBack } else { Mint::Nothing };
    let request = Request { mint, jwt: online.jwt };
    let runtime = match process::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(Exit::Internal, &format!("no runtime can be had: {}", error.kind())),
    };
    let findings = runtime.block_on(preflight(config, &request));
    match (answer(&findings.to_string()), findings.problem_kind()) {
        (Exit::Done, Some(kind)) => Exit::from(kind),
        (exit, _) => exit,
    }
}

/// `ok: 1 provider, 2 secrets, 3 files (a.yaml, b.yaml)`
fn summary(config: &Config) -> String {
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
    let notes = notify_app::left_to_post(&config.lifecycle.acknowledge, &config.on_change);
    lines.extend(notes.iter().map(|note| format!("note: lifecycle.acknowledge: {note}")));
    lines.join("\n")
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_action_answers_for_is_told_what_is_expected_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leasehold.yaml");
        let text = "
providers: { store: { type: vault, address: https://vault:8200, auth: { method: kubernetes, role: web } } }
secrets: { db: { provider: store, path: database/creds/web } }
on_change:
  - { name: web, command: [/bin/reload] }
  - { name: pooler, signal: HUP, process: pooler }
lifecycle: { acknowledge: { from: [web, pooler, worker] } }
";
        std::fs::write(&path, text).unwrap();
        let config =
            Config::load(&[path], &Environment::default()).unwrap_or_else(|report| panic!("{report}"));
        let said = summary(&config);
        let notes: Vec<&str> = said.lines().skip(1).collect();
        // A signal that was sent is no answer.
        assert_eq!(notes.len(), 2, "{said}");
        assert!(notes[0].starts_with("note: lifecycle.acknowledge: from names \"pooler\""), "{said}");
        assert!(notes[1].contains("leasehold ack --name worker"), "{said}");
    }
}
