//! `secrets`.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_core::{KeyKind, SecretRef};
use serde_json::{Map, Value};

use super::Context;
use super::sections::{on_expiry, overlap};
use crate::config::model::{Lifecycle, Provider, Secret};
use crate::config::raw;
use crate::config::report::{KeyPath, did_you_mean, listed, nearest};
use crate::keys;

const REFRESH: Duration = Duration::from_secs(300);
/// More often is a burden to the store; the engine's own timers do better.
const SHORTEST: Duration = Duration::from_secs(1);

pub(super) fn secrets(
    raw: BTreeMap<String, raw::Secret>,
    provider_names: &[String],
    providers: &BTreeMap<String, Provider>,
    lifecycle: &Lifecycle,
    cx: &mut Context<'_>,
) -> Vec<(String, Secret)> {
    if raw.is_empty() {
        cx.problem(
            &KeyPath::of(&["secrets"]),
            "at least one secret is needed: without any there is nothing to do",
        );
    }
    let mut secrets = Vec::new();
    for (name, raw) in raw {
        let path = KeyPath::of(&["secrets", &name]);
        if !is_secret_name(&name) {
            let help = suggested_name(&name).map(|name| did_you_mean(&name));
            cx.problem_with(
                &path,
                "a secret's name is made of small letters, digits and `_`, and begins with a letter (it is a \
                 name in templates)",
                help,
            );
        }
        if is_reserved(&name) {
            cx.problem(&path, "templates know another thing by this name; give the secret another one");
        }
        secrets.push((name.clone(), secret(name, raw, &path, provider_names, providers, lifecycle, cx)));
    }
    secrets
}

fn secret(
    name: String,
    raw: raw::Secret,
    path: &KeyPath,
    provider_names: &[String],
    providers: &BTreeMap<String, Provider>,
    lifecycle: &Lifecycle,
    cx: &mut Context<'_>,
) -> Secret {
    let at = |key: &str| path.key(key);
    let provider = raw.provider.unwrap_or_default();
    if !provider_names.is_empty() && !provider_names.contains(&provider) {
        let names = provider_names.iter().map(String::as_str);
        let help = nearest(&provider, names.clone()).map(did_you_mean);
        let message =
            format!("no provider of this name; defined under `providers`: {}", listed(names, "and"));
        cx.problem_with(&at("provider"), message, help);
    }
    if raw.data.is_some() && raw.version.is_some() {
        cx.problem(&at("version"), "`version` pins what is read, and `data` is a write; use one of them");
    }
    if raw.version.is_some() && raw.stage.is_some() {
        cx.problem(&at("stage"), "`version` and `stage` both say which version; use one of them");
    }
    let generate_key = raw.generate_key.map(key_kind);
    if generate_key.is_some() {
        with_generated_key(raw.data.as_ref(), raw.key.is_some(), path, cx);
    }
    let says_data = raw.data.is_some();
    let reference = SecretRef {
        name,
        path: cx.words(raw.path, &at("path")).unwrap_or_default(),
        // A request is written.
        data: raw.data.or_else(|| generate_key.map(|_| Map::new())),
        version: raw.version.map(|version| match version.0 {
            Value::String(text) => text,
            other => other.to_string(),
        }),
        stage: cx.words(raw.stage, &at("stage")),
        key: cx.words(raw.key, &at("key")),
        namespace: cx.words(raw.namespace, &at("namespace")),
        revoke: raw.revoke.unwrap_or(false),
        generate_key,
    };
    if let Some(provider) = providers.get(&provider) {
        for problem in provider.settings.check_reference(&reference) {
            let key = if problem.key == "data" && !says_data { "generate_key" } else { &problem.key };
            cx.problem(&path.along(key), problem.message);
        }
    }
    Secret {
        provider,
        reference,
        refresh: cx.length(raw.refresh, REFRESH, SHORTEST, &at("refresh")),
        required: raw.required.unwrap_or(true),
        overlap: overlap(raw.overlap, lifecycle.overlap, &lifecycle.acknowledge, &at("overlap"), cx),
        on_expiry: on_expiry(raw.on_expiry, cx.on_expiry),
        lookup: raw.lookup.and_then(|raw| cx.length_of(&raw.0, SHORTEST, &at("lookup"))),
        settle: cx.length(raw.settle, Duration::ZERO, Duration::ZERO, &at("settle")),
    }
}

fn key_kind(raw: raw::KeyKind) -> KeyKind {
    match raw {
        raw::KeyKind::EcP256 => KeyKind::EcP256,
        raw::KeyKind::EcP384 => KeyKind::EcP384,
        raw::KeyKind::Ed25519 => KeyKind::Ed25519,
        raw::KeyKind::Rsa2048 => KeyKind::Rsa2048,
        raw::KeyKind::Rsa3072 => KeyKind::Rsa3072,
        raw::KeyKind::Rsa4096 => KeyKind::Rsa4096,
    }
}

/// What does not go together with a key that is made here.
fn with_generated_key(data: Option<&Map<String, Value>>, picks: bool, path: &KeyPath, cx: &mut Context<'_>) {
    if !keys::HELD {
        let lacks = "this build makes no keys; take one with the feature `generate-key`";
        cx.problem(&path.key("generate_key"), lacks);
    }
    if picks {
        let why = "`key` picks one value of the answer, and `generate_key` wants all of it; use one of them";
        cx.problem(&path.key("key"), why);
    }
    let Some(data) = data else { return };
    if data.contains_key(keys::REQUEST) {
        let why = "with `generate_key` the request is made here; use one of them";
        cx.problem(&path.along("data.csr"), why);
    }
    for problem in keys::Names::of(data).err().unwrap_or_default() {
        cx.problem(&path.along(&problem.key), problem.message);
    }
}

impl Context<'_> {
    /// Text that goes into a request: not empty, no blanks around it, no control characters.
    fn words(&mut self, text: Option<String>, path: &KeyPath) -> Option<String> {
        let text = text?;
        if text.is_empty() {
            self.problem(path, "empty; give it a value or leave the key out");
        } else if text.trim() != text {
            self.problem(path, "begins or ends with a blank or a line break");
        } else if text.chars().any(char::is_control) {
            self.problem(path, "holds a control character, such as a line break");
        }
        Some(text)
    }
}

fn is_secret_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Words of the template language, which a secret cannot be called by.
fn is_reserved(name: &str) -> bool {
    const WORDS: &[&str] =
        &["and", "else", "false", "if", "in", "is", "loop", "none", "not", "or", "self", "true"];
    WORDS.contains(&name) || super::template::knows(name)
}

fn suggested_name(name: &str) -> Option<String> {
    let name: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' })
        .collect();
    is_secret_name(&name).then_some(name)
}
