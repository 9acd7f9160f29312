//! `explain`: what a configuration means, for people: what is fetched as whom, when it renews, what
//! happens on expiry, and the least that a store has to grant for it.
//!
//! Nothing is contacted and no credential is read. Times come from the functions that the running
//! engine uses ([`crate::schedule`]), with TTLs that are assumed where no store was asked; who
//! acknowledges comes from [`crate::notify_app`]. Names, paths and lengths are shown; no value and no
//! credential.

mod assumptions;
mod course;
mod drawing;
mod ending;
mod page;
mod provider;
mod secret;
mod uses;

use crate::app;
use crate::client::{Line, View};
use crate::config::Config;
use crate::config::model::{Files, OnFailure, Verify};
use crate::events::words::human;
use crate::hook;
pub use assumptions::{Assumptions, TermFlag};
use page::{Page, counted};
use uses::Uses;

/// The columns where no terminal says how many there are.
const COLUMNS: usize = 80;

/// The whole page.
///
/// # Errors
/// An assumption that does not fit the configuration, in words.
pub(crate) fn explain(config: &Config, assumptions: &Assumptions, view: View) -> Result<Vec<Line>, String> {
    assumptions.check(config)?;
    let view = View { columns: Some(view.columns.unwrap_or(COLUMNS)), ..view };
    let mut page = Page::new(view);
    head(&mut page, config);
    let mode = if config.env.is_empty() { app::Mode::Run } else { app::Mode::Exec };
    let charges = app::charges(config, mode);
    let uses = Uses::of(config);
    for charge in &charges {
        provider::write(&mut page, config, charge);
        for (name, plan) in &charge.plans {
            let about = secret::About { config, charge, name, plan, mode, uses: &uses };
            secret::write(&mut page, &about, assumptions);
        }
    }
    ending::write(&mut page, config);
    for name in config.providers.keys() {
        provider::write_policy(&mut page, config, name);
    }
    Ok(page.lines())
}

/// The policy alone, as an administrator uses it; for a store without one, what is to be known.
///
/// # Errors
/// There is no such provider.
pub(crate) fn policy(config: &Config, name: &str) -> Result<String, String> {
    let grants = provider::grants(config, name).ok_or_else(|| {
        let known: Vec<&str> = config.providers.keys().map(String::as_str).collect();
        format!("--policy names no provider of the configuration; there are: {}", known.join(", "))
    })?;
    Ok(match grants.text.is_empty() {
        true => grants.notes.join("\n"),
        false => grants.text,
    })
}

fn head(page: &mut Page, config: &Config) {
    let files = match &config.files {
        Files::EveryField => "a file for every field".to_owned(),
        Files::Named(files) => counted(files.len(), "file"),
    };
    page.text(&format!(
        "{}, {}, {files}. Nothing was contacted and no credential was read; what only a store can say is \
         assumed here, and said so.",
        counted(config.providers.len(), "provider"),
        counted(config.secrets.len(), "secret"),
    ));
    if !config.env.is_empty() {
        page.text(
            "`env` is not empty, so this is read as `exec` runs it: with a command that is told of changes.",
        );
    }
    if let Some(verify) = &config.verify {
        page.text(&check(verify));
    }
}

fn check(verify: &Verify) -> String {
    let finally = match verify.on_failure {
        OnFailure::Keep => "is given back, and the set in place stays (on_failure: keep)",
        OnFailure::Publish => "is published all the same (on_failure: publish)",
    };
    format!(
        "Before a changed set is in place it is tried by {} ({} a try). What is refused until half an overlap before \
         the end of what it replaces {finally}.",
        hook::label(&verify.hook.kind),
        human(verify.hook.timeout),
    )
}

#[cfg(test)]
mod tests;
