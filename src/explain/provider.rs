//! A provider: the store, the log-in, the session, and what it has to be granted.

use leasehold_core::{Grants, SecretRef};

use super::page::{Page, listed};
use crate::config::Config;
use crate::config::model::{Content, Files};
use crate::keeper::Charge;

/// Who we are there.
pub(super) fn write(page: &mut Page, config: &Config, charge: &Charge) {
    let Some(provider) = config.providers.get(&charge.name) else { return };
    let portrait = provider.settings.portrait();
    page.heading("PROVIDER", &charge.name, &format!("{}.", portrait.store));
    page.row("Type", provider.settings.kind());
    page.row("Log-in", &format!("{}.", portrait.login));
    page.row("Session", &format!("{}.", portrait.session));
    let files = session_files(config, &charge.name);
    if !files.is_empty() {
        let text = format!("the session itself is written for the application: {}.", listed(&files));
        page.row("Session file", &text);
    }
    let names: Vec<String> = charge.plans.keys().cloned().collect();
    match names.is_empty() {
        true if files.is_empty() => page.row("Secrets", "none: it is never logged in to"),
        true => page.row("Secrets", "none"),
        false => page.row("Secrets", &listed(&names)),
    }
}

fn session_files(config: &Config, name: &str) -> Vec<String> {
    let Files::Named(files) = &config.files else { return Vec::new() };
    let is_its = |content: &Content| matches!(content, Content::Session { provider } if provider == name);
    files.iter().filter(|(_, file)| is_its(&file.content)).map(|(name, _)| name.clone()).collect()
}

/// What it has to be granted, as it is to be copied.
pub(super) fn write_policy(page: &mut Page, config: &Config, name: &str) {
    let Some(grants) = grants(config, name) else { return };
    page.heading("POLICY", name, &format!("the least that it needs: {}.", grants.language));
    for note in &grants.notes {
        page.indented(note);
    }
    if !grants.text.is_empty() {
        page.gap();
        page.verbatim(&grants.text);
    }
}

pub(super) fn grants(config: &Config, name: &str) -> Option<Grants> {
    let provider = config.providers.get(name)?;
    let secrets = config.secrets.values().filter(|secret| secret.provider == name);
    let references: Vec<&SecretRef> = secrets.map(|secret| &secret.reference).collect();
    Some(provider.settings.grants(&references))
}
