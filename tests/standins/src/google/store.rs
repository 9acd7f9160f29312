//! What Secret Manager holds: names, versions, aliases. Pure; the interface is `secrets`'.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

/// The most bytes that a payload may have.
pub(crate) const LIMIT: usize = 64 * 1024;

/// Where a secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The global endpoint.
    Global,
    /// The endpoint in [`super::Google::LOCATION`].
    Regional,
}

/// State of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionState {
    /// It can be read.
    Enabled,
    /// It cannot be read now.
    Disabled,
    /// Its payload is gone.
    Destroyed,
}

impl VersionState {
    /// As the interface writes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
            Self::Destroyed => "DESTROYED",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) number: u64,
    pub(crate) payload: Vec<u8>,
    pub(crate) state: VersionState,
    pub(crate) created: SystemTime,
    pub(crate) destroyed: Option<SystemTime>,
    pub(crate) etag: u64,
}

#[derive(Debug)]
pub(crate) struct Secret {
    /// The newest last.
    pub(crate) versions: Vec<Version>,
    pub(crate) aliases: BTreeMap<String, u64>,
    pub(crate) created: SystemTime,
    pub(crate) expires: Option<SystemTime>,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    secrets: BTreeMap<(Place, String), Secret>,
    pub(crate) denied: BTreeSet<String>,
    pub(crate) miscounted: BTreeSet<String>,
}

impl Store {
    /// A new version, and its number; or why not.
    pub(crate) fn put(
        &mut self,
        place: Place,
        name: &str,
        payload: &[u8],
        now: SystemTime,
    ) -> Result<u64, &'static str> {
        if !is_name(name) {
            return Err("a name has 1 to 255 letters, digits, - and _");
        }
        if payload.len() > LIMIT {
            return Err("a payload has at most 64 KiB");
        }
        let new = || Secret { versions: Vec::new(), aliases: BTreeMap::new(), created: now, expires: None };
        let secret = self.secrets.entry((place, name.into())).or_insert_with(new);
        let number = secret.versions.last().map_or(1, |newest| newest.number + 1);
        secret.versions.push(Version {
            number,
            payload: payload.into(),
            state: VersionState::Enabled,
            created: now,
            destroyed: None,
            etag: 1,
        });
        Ok(number)
    }

    /// A secret that has not expired.
    pub(crate) fn secret(&self, place: Place, name: &str) -> Option<&Secret> {
        let secret = self.secrets.get(&(place, name.to_owned()))?;
        secret.expires.is_none_or(|end| SystemTime::now() < end).then_some(secret)
    }

    pub(crate) fn set_state(&mut self, name: &str, version: &str, to: VersionState) -> bool {
        let Some(version) = self.version_mut(name, version) else { return false };
        if version.state == VersionState::Destroyed {
            return false;
        }
        version.state = to;
        version.etag += 1;
        if to == VersionState::Destroyed {
            version.payload.clear();
            version.destroyed = Some(SystemTime::now());
        }
        true
    }

    pub(crate) fn set_alias(&mut self, name: &str, alias: &str, version: &str) -> bool {
        let Some(number) = self.version_mut(name, version).map(|version| version.number) else {
            return false;
        };
        if !is_alias(alias) {
            return false;
        }
        self.everywhere(name).for_each(|secret| {
            secret.aliases.insert(alias.into(), number);
        });
        true
    }

    pub(crate) fn set_expiry(&mut self, name: &str, end: SystemTime) -> bool {
        let mut any = false;
        self.everywhere(name).for_each(|secret| {
            secret.expires = Some(end);
            any = true;
        });
        any
    }

    pub(crate) fn delete(&mut self, name: &str) -> bool {
        let before = self.secrets.len();
        self.secrets.retain(|(_, known), _| known != name);
        self.secrets.len() < before
    }

    fn version_mut(&mut self, name: &str, version: &str) -> Option<&mut Version> {
        let number: u64 = version.parse().ok()?;
        self.everywhere(name).flat_map(|secret| &mut secret.versions).find(|known| known.number == number)
    }

    fn everywhere(&mut self, name: &str) -> impl Iterator<Item = &mut Secret> {
        self.secrets.iter_mut().filter(move |((_, known), _)| known == name).map(|(_, secret)| secret)
    }
}

impl Secret {
    /// A version by its number, an alias or `latest`: the newest one, whatever its state.
    pub(crate) fn version(&self, named: &str) -> Option<&Version> {
        if named == "latest" {
            return self.versions.last();
        }
        let number = named.parse().ok().or_else(|| self.aliases.get(named).copied())?;
        self.versions.iter().find(|version| version.number == number)
    }
}

/// Whether a secret can have this name.
pub(crate) fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=255).contains(&name.len()) && name.bytes().all(is_part)
}

/// Whether a version can have this alias.
fn is_alias(alias: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    alias.starts_with(|first: char| first.is_ascii_alphabetic())
        && alias.len() <= 63
        && alias.bytes().all(is_part)
        && !["latest", "NEW"].contains(&alias)
}
