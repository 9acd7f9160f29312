//! What the vault holds: names, versions, attributes. Pure; the interface is `vault`'s.

use std::collections::{BTreeMap, BTreeSet};

use crate::jwt::{now, random_hex};

/// The most bytes that a value may have.
pub(crate) const LIMIT: usize = 25 * 1024;

/// Attributes of one version; times in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Whether it can be read.
    pub enabled: bool,
    /// `exp`: said, not enforced.
    pub expires: Option<u64>,
    /// `nbf`: said, not enforced.
    pub not_before: Option<u64>,
    /// When it was made.
    pub created: u64,
    /// When it was last changed.
    pub updated: u64,
}

/// What a secret is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Plain,
    /// Made for a certificate of the same name: this one, DER.
    Certificate(Vec<u8>),
}

#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) value: String,
    pub(crate) content_type: Option<String>,
    pub(crate) attributes: Attributes,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Secret {
    /// As it was written first: names know no case.
    pub(crate) name: String,
    /// The newest last.
    pub(crate) versions: Vec<Version>,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    secrets: BTreeMap<String, Secret>,
    deleted: BTreeMap<String, (Secret, u64)>,
    pub(crate) denied: BTreeSet<String>,
}

impl Store {
    /// A new version, and its name; or why not.
    pub(crate) fn put(
        &mut self,
        name: &str,
        value: &str,
        content_type: Option<&str>,
        kind: Kind,
    ) -> Result<String, &'static str> {
        if !is_name(name) {
            return Err("a name has 1 to 127 characters of 0-9, a-z, A-Z and -");
        }
        if value.len() > LIMIT {
            return Err("a value has at most 25 KiB");
        }
        if self.deleted.contains_key(&name.to_ascii_lowercase()) {
            return Err("a deleted secret has this name until it is purged");
        }
        let (id, now) = (random_hex(16), now());
        let new = || Secret { name: name.into(), versions: Vec::new() };
        let secret = self.secrets.entry(name.to_ascii_lowercase()).or_insert_with(new);
        secret.versions.push(Version {
            id: id.clone(),
            value: value.into(),
            content_type: content_type.map(Into::into),
            attributes: Attributes {
                enabled: true,
                expires: None,
                not_before: None,
                created: now,
                updated: now,
            },
            kind,
        });
        Ok(id)
    }

    pub(crate) fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(&name.to_ascii_lowercase())
    }

    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.secrets.values()
    }

    pub(crate) fn deleted(&self, name: &str) -> Option<&(Secret, u64)> {
        self.deleted.get(&name.to_ascii_lowercase())
    }

    /// A version; without one named, the newest.
    pub(crate) fn version(&self, name: &str, version: Option<&str>) -> Option<&Version> {
        let versions = &self.secret(name)?.versions;
        match version {
            Some(id) => versions.iter().find(|version| version.id == id),
            None => versions.last(),
        }
    }

    pub(crate) fn version_mut(&mut self, name: &str, version: Option<&str>) -> Option<&mut Version> {
        let versions = &mut self.secrets.get_mut(&name.to_ascii_lowercase())?.versions;
        match version {
            Some(id) => versions.iter_mut().find(|version| version.id == id),
            None => versions.last_mut(),
        }
    }

    /// Whether there was one.
    pub(crate) fn delete(&mut self, name: &str, now: u64) -> bool {
        let name = name.to_ascii_lowercase();
        let Some(secret) = self.secrets.remove(&name) else { return false };
        self.deleted.insert(name, (secret, now));
        true
    }

    pub(crate) fn purge(&mut self, name: &str) {
        self.deleted.remove(&name.to_ascii_lowercase());
    }

    pub(crate) fn denies(&self, name: &str) -> bool {
        self.denied.contains(&name.to_ascii_lowercase())
    }
}

/// Whether a secret can have this name.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=127).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
