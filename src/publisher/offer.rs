//! What keepers and the publisher say to each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::Fields;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Moment;
use crate::config::model::{Files, Variable};
use crate::slot::Awaits;

/// What the publisher is told.
#[derive(Debug)]
pub enum ToPublisher {
    /// A value, or the lack of one, for the next generation.
    Offer(Offer),
    /// A replaced credential is revoked or has ended: its generations need not stay.
    Release {
        /// [`crate::slot::Held::key`].
        key: String,
    },
    /// A credential that was offered is no good any more: it is not to be published.
    Withdraw {
        /// Of which secret.
        secret: String,
        /// The key it was offered with.
        key: String,
    },
    /// Other files, or other secrets, from now on.
    Plan {
        /// What is written.
        files: Files,
        /// What the command is given, by name.
        env: BTreeMap<String, Variable>,
        /// The secrets that there are.
        secrets: BTreeSet<String>,
        /// Whether the set is in place (checked, where there is a check), or why not: then the old plan
        /// stays.
        reply: oneshot::Sender<Result<(), String>>,
    },
}

/// What a keeper offers for a secret; at most one is outstanding per secret, so the channel never
/// grows past their number.
#[derive(Debug)]
pub struct Offer {
    /// The secret.
    pub secret: String,
    /// [`crate::slot::Held::key`]; empty where there is no value.
    pub key: String,
    /// The value, or why there is none.
    pub value: Result<Value, Lack>,
    /// What it replaces, where that ends.
    pub replaces: Option<Replaced>,
    /// Over what time a restart of the application for it may be spread.
    pub splay: Duration,
    /// Where the answer goes.
    pub answer: mpsc::UnboundedSender<Answer>,
}

/// What an offer replaces.
#[derive(Clone, Copy, Debug)]
pub struct Replaced {
    /// When it ends: the publisher does not dawdle past that.
    pub end: Moment,
    /// How long it is to outlive the announcement of its successor.
    pub overlap: Duration,
}

/// Why the set is to do without a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// It is not required, and absent or unreachable: templates see it as `none`.
    LeftOut,
    /// It has expired, and its files go with it.
    Expired,
}

/// A value with what the manifest says of it.
#[derive(Clone, Debug)]
pub struct Value {
    /// The fields.
    pub fields: Arc<Fields>,
    /// The store's version.
    pub version: Option<String>,
    /// When it was issued.
    pub issued: Moment,
    /// When it ends, where that cannot move.
    pub expires: Option<Moment>,
}

/// What became of an offer.
#[derive(Debug)]
pub struct Answer {
    /// The secret.
    pub secret: String,
    /// The key it was offered with.
    pub key: String,
    /// Published, or why not.
    pub outcome: Result<Published, Refused>,
}

/// An offer is in place.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// With which generation.
    pub generation: u64,
    /// When it was announced.
    pub announced: Moment,
    /// What the replaced one waits for.
    pub awaits: Awaits,
}

/// An offer could not be published.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Why.
    pub why: String,
    /// What becomes of it.
    pub how: Refusal,
}

/// What becomes of an offer that is not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It may be offered again.
    Later,
    /// Its check has not found it good so far, and is asked again: the offer stands.
    Tried,
    /// Its check has the last word: it is to be given back.
    Finally,
}

/// Why there is no first generation.
#[derive(Clone, Debug)]
pub enum NoSet {
    /// The files cannot be made of what the store gave: the configuration is wrong.
    Render(String),
    /// They cannot be written.
    Volume(String),
}

impl NoSet {
    /// In words.
    pub fn text(&self) -> &str {
        match self {
            Self::Render(text) | Self::Volume(text) => text,
        }
    }
}
