//! What one process leaves on tmpfs for the next.
//!
//! One small versioned file per session, per held lease or value, and per secret, each placed by
//! rename, each readable by us alone (0600, in a 0700 directory of our own inside the state
//! directory). The order in which they are written is the keeper's: a session before its first
//! use, a lease before it is offered, a mint's time before the mint is sent; an entry goes once
//! its revocation is confirmed.
//!
//! It promises that a crash between any two system calls leaves the old or the new entry whole,
//! and that no entry of another boot, of another uid or past its end is ever offered. It does not
//! ask a store anything: whether what it returns still lives is the keeper's question.

mod directory;
mod error;
mod id;
mod store;
#[cfg(test)]
mod tests;
mod wire;

pub use error::Error;
pub use id::EntryId;
pub use store::{Dropped, Handover, Opened, Why};

use std::collections::BTreeMap;

use leasehold_core::SecretBytes;

use crate::clock::Moment;
use crate::notify_app::Standing;
use crate::slot::{Held, HeldSession};

/// One entry of the hand-over.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A session of a provider.
    Session {
        /// The provider's name.
        provider: String,
        /// What distinguishes its store and log-in ([`crate::registry::Settings::identity`]).
        identity: String,
        /// The session.
        held: HeldSession,
    },
    /// A one-time credential's lasting successor ([`leasehold_core::Login::Keep`]).
    Kept {
        /// The provider's name.
        provider: String,
        /// What distinguishes its store and log-in.
        identity: String,
        /// What the provider wants back at the next log-in.
        bytes: std::sync::Arc<SecretBytes>,
    },
    /// A credential or value.
    Held {
        /// The secret's name.
        secret: String,
        /// What it has to match to be adopted: provider identity, path, data, version.
        fingerprint: String,
        /// The credential.
        held: Held,
        /// What it is to us.
        role: Role,
    },
    /// What is remembered of a secret beside its values.
    Secret {
        /// The secret's name.
        secret: String,
        /// When mints were sent, in the last minute before the writing.
        mints: Vec<Moment>,
    },
    /// What was announced and acknowledged.
    Announced {
        /// The newest generation that was announced.
        generation: u64,
        /// When.
        at: Moment,
        /// The newest generation that the application acknowledged.
        acknowledged: Option<u64>,
        /// The newest generation that each of `acknowledge.from` has answered for.
        answers: BTreeMap<String, u64>,
    },
}

impl Entry {
    /// What is remembered of how far the application was told and has answered; nothing before there is
    /// anything.
    pub fn announced(standing: &Standing, at: Moment) -> Option<Self> {
        let Standing { announced, acknowledged, answers } = standing;
        if announced.is_none() && acknowledged.is_none() && answers.is_empty() {
            return None;
        }
        Some(Self::Announced {
            generation: announced.unwrap_or_default(),
            at,
            acknowledged: *acknowledged,
            answers: answers.clone(),
        })
    }
}

/// What a held credential is to us.
#[derive(Clone, Debug)]
pub enum Role {
    /// Published, or about to be.
    Current,
    /// Its successor is published; the fields of [`crate::slot::Retiring`] but the credential.
    Retiring {
        /// See [`crate::slot::Retiring::announced`].
        announced: Moment,
        /// See [`crate::slot::Retiring::generation`].
        generation: u64,
        /// See [`crate::slot::Retiring::overlap`].
        overlap: std::time::Duration,
        /// See [`crate::slot::Retiring::awaits`].
        awaits: crate::slot::Awaits,
    },
    /// Nobody will publish it (its process died, or its secret is gone from the configuration):
    /// only to be revoked.
    Unwanted,
}
