//! The keys of a file that is a keystore.

use super::Context;
use super::template;
use crate::config::model::Content;
#[cfg(feature = "keystore")]
use crate::config::model::{Entries, Keystore, KeystoreKind};
use crate::config::raw;
use crate::config::report::KeyPath;

/// Its formats.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Pkcs12,
    Jks,
}

/// Whether a format is one of a keystore.
pub(super) fn kind(format: raw::Format) -> Option<Kind> {
    match format {
        raw::Format::Pkcs12 => Some(Kind::Pkcs12),
        raw::Format::Jks => Some(Kind::Jks),
        _ => None,
    }
}

/// The keys that only a keystore has.
pub(super) struct Raw {
    password: Option<String>,
    alias: Option<String>,
    entries: Option<raw::Entries>,
}

impl Raw {
    pub(super) fn new(
        password: Option<String>,
        alias: Option<String>,
        entries: Option<raw::Entries>,
    ) -> Self {
        Self { password, alias, entries }
    }

    /// Says that these keys are for keystores.
    pub(super) fn refuse(&self, path: &KeyPath, cx: &mut Context<'_>) {
        let given = [
            ("password", self.password.is_some()),
            ("alias", self.alias.is_some()),
            ("entries", self.entries.is_some()),
        ];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            cx.problem(&path.key(key), "only a keystore has this: `format: pkcs12` or `format: jks`");
        }
    }
}

/// Says what is wrong with a keystore.
pub(super) fn content(
    kind: Kind,
    secret: String,
    raw: Raw,
    path: &KeyPath,
    secrets: &[String],
    cx: &mut Context<'_>,
) -> Option<Content> {
    if !cfg!(feature = "keystore") {
        let lacks = "this build writes no keystores: take one with the feature `keystore`";
        cx.problem(&path.key("format"), lacks);
        return None;
    }
    match &raw.password {
        None => {
            let lacks = "a keystore needs a `password`: a template, such as \"{{ store.password }}\"";
            cx.problem(path, lacks);
        }
        Some(password) if password.is_empty() => {
            cx.problem(&path.key("password"), "empty; a keystore without a password is checked by no JVM");
        }
        Some(password) => template::check(password, &path.key("password"), secrets, cx),
    }
    if let Some(why) = raw.alias.as_deref().and_then(wrong_alias) {
        cx.problem(&path.key("alias"), why);
    }
    valid(kind, secret, raw)
}

/// What is wrong with an entry's name, if anything.
fn wrong_alias(alias: &str) -> Option<&'static str> {
    const LONGEST: usize = 255;
    match alias {
        "" => Some("empty; expected the name of the entry"),
        _ if alias.len() > LONGEST => Some("longer than 255 bytes, which no entry's name is"),
        _ if alias.chars().any(|char| char.is_control() || char > '\u{ffff}') => Some(
            "an entry's name holds no control characters, and nothing beyond the first 65,536 of Unicode",
        ),
        _ => None,
    }
}

#[cfg(feature = "keystore")]
fn valid(kind: Kind, secret: String, raw: Raw) -> Option<Content> {
    let kind = match kind {
        Kind::Pkcs12 => KeystoreKind::Pkcs12,
        Kind::Jks => KeystoreKind::Jks,
    };
    let entries = match raw.entries {
        Some(raw::Entries::Trust) => Entries::Trust,
        Some(raw::Entries::Key) | None => Entries::Key,
    };
    let alias = raw.alias.unwrap_or_else(|| secret.clone());
    Some(Content::Keystore(Keystore { secret, kind, entries, alias, password: raw.password? }))
}

#[cfg(not(feature = "keystore"))]
fn valid(_: Kind, _: String, _: Raw) -> Option<Content> {
    None
}
