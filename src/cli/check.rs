//! `check`: everything that is wrong with the configuration, before anything is asked of a store.

use std::path::PathBuf;

use leasehold_core::Environment;

use super::{Exit, answer, load};
use crate::config::Config;
use crate::config::model::Files;

pub(super) fn check(given: Vec<PathBuf>, environment: &Environment) -> Exit {
    match load(given, environment) {
        Ok(config) => answer(&summary(&config)),
        Err((exit, _)) => exit,
    }
}

/// `ok: 1 provider, 2 secrets, 3 files (a.yaml, b.yaml)`
fn summary(config: &Config) -> String {
    let files = match &config.files {
        Files::EveryField => "a file for every field".to_owned(),
        Files::Named(files) => counted(files.len(), "file"),
    };
    let sources: Vec<String> = config.sources.iter().map(|path| path.display().to_string()).collect();
    format!(
        "ok: {}, {}, {files} ({})",
        counted(config.providers.len(), "provider"),
        counted(config.secrets.len(), "secret"),
        sources.join(", ")
    )
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}
