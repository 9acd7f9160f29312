//! What settings say of themselves: for people who read a configuration before it runs. No store is
//! asked for any of it, no file is read, and no credential and no value stands in it.

use std::time::Duration;

/// A store, and who we are there. Each text is one or more sentences without a line end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Portrait {
    /// What it is, and where.
    pub store: String,
    /// How we log in, and as whom.
    pub login: String,
    /// What becomes of the session.
    pub session: String,
}

/// What a secret is, as far as its reference tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Character {
    /// How it lives.
    pub nature: Nature,
    /// What it is to this store, in a few words.
    pub words: String,
    /// How long it lives, where the settings say that.
    pub terms: Option<Terms>,
}

/// How a secret lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// Made at each request, and held under a lease.
    Leased,
    /// Made at each request, with an end that nothing moves.
    Issued,
    /// Kept by the store, which replaces it from time to time and says when.
    Rotating,
    /// Kept by the store until somebody changes it.
    Kept,
    /// Only the store knows.
    Open,
}

/// How long a secret lives, before any store said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Its TTL.
    pub ttl: Duration,
    /// How long renewals can stretch it, where that is said, too.
    pub max_ttl: Option<Duration>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Who says so: `its \`data\``.
    pub source: String,
}

/// The least that the store has to grant for some secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// What `text` is: `a policy of Vault or OpenBao`.
    pub language: String,
    /// What an administrator uses as it stands. Empty: there is nothing to write.
    pub text: String,
    /// What the text cannot say.
    pub notes: Vec<String>,
}

impl Character {
    /// Without terms.
    pub fn new(nature: Nature, words: impl Into<String>) -> Self {
        Self { nature, words: words.into(), terms: None }
    }
}
