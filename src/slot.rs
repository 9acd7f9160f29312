//! One secret's state and one session's, as plain data. Nothing in here waits, asks or reads a
//! clock: [`crate::schedule`] says what is due, the keeper does it and applies what came of it.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Bound, Fields, Lease, Session};

use crate::clock::Moment;

/// One credential or value that we hold.
#[derive(Clone, Debug)]
pub struct Held {
    /// Names its record in the hand-over; unique among all that is held. 16 hex digits.
    pub key: String,
    /// The value.
    pub fields: Arc<Fields>,
    /// The store's version of it.
    pub version: Option<String>,
    /// The handle, where there is something to renew or revoke.
    pub lease: Option<Lease>,
    /// [`Session::id`] of the session it was taken under.
    pub session: String,
    /// When the request was sent that brought it.
    pub issued: Moment,
    /// Its own term, where it dies.
    pub life: Option<Life>,
    /// When the store replaces it (a static role).
    pub changes_at: Option<Moment>,
}

impl Held {
    /// Whether it ends with its session.
    pub fn hangs_on_session(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.bound == Bound::Session)
    }
}

/// The term of a lease or a session, as granted last.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// The first grant: what every renewal asks for.
    pub granted: Duration,
    /// When it ends unless it is renewed.
    pub end: Moment,
    /// Whether the store prolongs it.
    pub renewable: bool,
    /// True once a renewal granted less than was asked: `end` is the last it can reach.
    pub capped: bool,
    /// When it is renewed (or, not renewable, rotated): drawn once per grant.
    pub renew_at: Moment,
}

/// A credential whose successor is published.
#[derive(Clone, Debug)]
pub struct Retiring {
    /// The credential.
    pub held: Held,
    /// Since when its successor is announced.
    pub announced: Moment,
    /// The generation that announced its successor.
    pub generation: u64,
    /// How long it outlives the announcement at the least.
    pub overlap: Duration,
    /// Whether an acknowledgement is expected before it is revoked.
    pub awaits: Awaits,
}

/// What a retiring lease waits for, beside its overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    /// Nothing.
    Nothing,
    /// That its generation, or a later one, is acknowledged. Until then it is neither renewed
    /// nor revoked.
    Acknowledgement,
}

/// A session that we hold.
#[derive(Clone, Debug)]
pub struct HeldSession {
    /// The session itself.
    pub session: Session,
    /// When the log-in was sent.
    pub issued: Moment,
    /// Its term; `None`: it does not end.
    pub life: Option<Life>,
}
