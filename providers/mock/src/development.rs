//! A mock that stands in for another store while somebody develops: values of the shape that the
//! configuration asks for, and TTLs short enough to see a rotation.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Secret, SecretKind, Settings};
use crate::made_up::{self, normal};
use crate::shape::Shape;
use crate::values::Values;
use crate::weather;

/// How the store is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Development {
    /// How much faster than the machine's clock time runs; then TTLs are those of a store in
    /// production. `None`: as fast as it, and TTLs are short.
    pub speed: Option<u32>,
    /// A file of values, as the setting `values`.
    pub values: Option<PathBuf>,
    /// Bad weather on this seed.
    pub chaos: Option<u64>,
}

impl Development {
    /// What the file of values says for nothing, each in words.
    ///
    /// # Errors
    /// It cannot be read, or holds no values; why, in words.
    pub fn for_nothing(&self, secrets: &[Used<'_>]) -> Result<Vec<String>, String> {
        let values = Values::read(self.values.as_deref()).map_err(|failure| failure.detail)?;
        Ok(values.for_nothing(secrets))
    }
}

/// A secret, and what is used of it.
#[derive(Clone, Copy, Debug)]
pub struct Used<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it is in the store.
    pub path: &'a str,
    /// The fields that are named.
    pub shape: &'a Shape,
    /// Whether all fields are used, whatever they are called.
    pub whole: bool,
}

/// How a secret behaves in the store that is stood in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// As its path says: leased, a certificate, a static role, or static.
    ByPath,
    /// Read, with versions.
    Static,
    /// Read in one version that never changes.
    Pinned,
}

/// The lives of what a store hands out.
struct Lives {
    lease: (Duration, Duration),
    certificate: (Duration, Duration),
    changes: Duration,
    session: (Duration, Duration),
}

impl Lives {
    fn at(speed: Option<u32>) -> Self {
        let seconds = Duration::from_secs;
        let hours = |hours: u64| seconds(hours * 3_600);
        match speed {
            // A rotation of each kind about every half minute.
            None => Self {
                lease: (seconds(20), seconds(40)),
                certificate: (seconds(45), seconds(45)),
                changes: seconds(30),
                session: (seconds(600), hours(24)),
            },
            Some(_) => Self {
                lease: (hours(1), hours(2)),
                certificate: (hours(24), hours(24 * 90)),
                changes: hours(1),
                session: (hours(1), hours(24 * 32)),
            },
        }
    }
}

impl Settings {
    /// The store that stands in for the provider `name`.
    pub fn standing_in(name: &str, development: &Development) -> Self {
        let lives = Lives::at(development.speed);
        let mut settings = Self::default();
        (settings.standard.ttl, settings.standard.max_ttl) = lives.lease;
        (settings.session.ttl, settings.session.max_ttl) = (Some(lives.session.0), Some(lives.session.1));
        settings.in_development(name, development)
    }

    /// A mock that is one in production, too: it keeps its own TTLs and script.
    #[must_use]
    pub fn in_development(mut self, name: &str, development: &Development) -> Self {
        self.rate = development.speed.unwrap_or(1).max(1);
        if development.values.is_some() {
            self.values.clone_from(&development.values);
        }
        if let Some(seed) = development.chaos {
            self.script.extend(weather::lines(seed, name, self.rate));
        }
        self
    }

    /// What the secret at this path is to have, and how it behaves. Said again, both shapes count.
    pub fn expect(&mut self, development: &Development, path: &str, nature: Nature, shape: &Shape) {
        let path = normal(path);
        let lives = Lives::at(development.speed);
        let kind = match nature {
            Nature::ByPath => made_up::kind(path),
            Nature::Static | Nature::Pinned => SecretKind::Static,
        };
        let standard = &self.standard;
        let secret = self.secrets.entry(path.to_owned()).or_insert_with(|| {
            let (ttl, max_ttl) = match kind {
                SecretKind::Certificate => lives.certificate,
                SecretKind::Rotating => (lives.changes, lives.changes),
                _ => lives.lease,
            };
            let changes = (nature != Nature::Pinned).then_some(lives.changes);
            Secret { kind: Some(kind), ttl, max_ttl, changes, ..standard.clone() }
        });
        secret.shape.merge(shape);
    }

    /// What the secret at this path is to have, in a mock that keeps its own ways.
    pub fn complete(&mut self, path: &str, shape: &Shape) {
        let path = normal(path);
        let standard = self.secret(path).clone();
        self.secrets.entry(path.to_owned()).or_insert(standard).shape.merge(shape);
    }
}
