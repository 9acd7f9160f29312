//! One secret's state and one session's, as plain data. Nothing in here waits, asks or reads a
//! clock: [`crate::schedule`] says what is due, the keeper does it and applies what came of it.
//!
//! A slot holds up to three kinds of credential. The *candidate* was fetched and is not published
//! yet; while there is one, nothing further is minted. The *current* one is what the application
//! reads. The *retiring* ones were replaced, and wait for their overlap (and, where one is
//! expected, for an acknowledgement) before they are revoked.

use std::collections::VecDeque;
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

    /// Whether there is something at the store to take back.
    pub fn is_revocable(&self) -> bool {
        self.lease.is_some()
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

impl Life {
    /// Whether `end` is the last that it can reach.
    pub fn is_final(&self) -> bool {
        self.capped || !self.renewable
    }
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
    /// What became of attempts to revoke it.
    pub revocation: Revocation,
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

/// How far the revocation of a retiring lease has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// Not tried, or to be tried again.
    Due(Retry),
    /// A request is under way.
    Asked,
    /// It ends with its session, which is revoked as a whole.
    WithSession,
    /// The store does not let us: it ends by itself.
    Forgone,
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

impl HeldSession {
    /// When it ends; `None`: it does not.
    pub fn end(&self) -> Option<Moment> {
        self.life.as_ref().map(|life| life.end)
    }

    /// The last end that it can reach, where that is known.
    pub fn last_end(&self) -> Option<Moment> {
        self.life.as_ref().filter(|life| life.is_final()).map(|life| life.end)
    }
}

/// Attempts at one thing that failed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// Failures in a row.
    pub count: u32,
    /// The wait that was drawn last.
    pub wait: Duration,
    /// Not again before this.
    pub at: Option<Moment>,
}

/// Why a successor is wanted now, whatever the current one's term says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// An operator asked (`refresh`), or a watched file changed.
    Asked,
    /// The store has lost the lease: not before this moment.
    Lost(Moment),
}

/// What is under way for the secret itself (revocations of retiring leases apart).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// A read or a mint.
    Fetching,
    /// A renewal.
    Renewing,
    /// A look-up.
    LookingUp,
}

/// One secret.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    /// What the application reads.
    pub current: Option<Held>,
    /// The generation that the current one came with.
    pub generation: u64,
    /// Fetched, not published yet.
    pub candidate: Option<Candidate>,
    /// Replaced, not revoked yet.
    pub retiring: Vec<Retiring>,
    /// A successor is wanted now.
    pub want: Option<Want>,
    /// What is under way.
    pub busy: Option<Busy>,
    /// Failed fetches.
    pub fetch_retry: Retry,
    /// Failed renewals of the current lease.
    pub renew_retry: Retry,
    /// Failed look-ups.
    pub lookup_retry: Retry,
    /// When the store last confirmed that the current one is what it should be.
    pub confirmed: Option<Moment>,
    /// When a polled secret is read again.
    pub poll_at: Option<Moment>,
    /// A look-up is wanted now: a renewal was refused, or the application was.
    pub suspect: Option<Suspicion>,
    /// When the last look-up on the application's word was.
    pub stale_checked: Option<Moment>,
    /// Mints sent in the last minute.
    pub mints: VecDeque<Moment>,
    /// The shortest life seen from issue to last end, for the ceiling on mints.
    pub shortest_life: Option<Duration>,
    /// True once the end of the current one was dealt with.
    pub expired: bool,
    /// [`Held::key`] of what the store has lost: there is nothing to revoke.
    pub lost_key: Option<String>,
    /// The session under which a denial was already answered by a new log-in.
    pub denied_under: Option<String>,
}

/// Why a look-up is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// The store refused a renewal.
    RenewalRefused,
    /// The application was refused, or somebody wants to know now: a lost lease is replaced at once.
    Reported,
}

/// A credential that is on its way to the application.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The credential.
    pub held: Held,
    /// Whether the publisher has it.
    pub offer: Offered,
    /// Refusals so far.
    pub retry: Retry,
}

/// Where an offer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// To be offered.
    No,
    /// The publisher has it and has not answered.
    Yes,
}

impl Slot {
    /// Everything held for this secret, the newest first.
    pub fn all_held(&self) -> impl Iterator<Item = &Held> {
        self.candidate
            .iter()
            .map(|candidate| &candidate.held)
            .chain(self.current.iter())
            .chain(self.retiring.iter().map(|retiring| &retiring.held))
    }

    /// What stands for the secret: the candidate, else the current one.
    pub fn newest(&self) -> Option<&Held> {
        self.candidate.as_ref().map(|candidate| &candidate.held).or(self.current.as_ref())
    }

    /// What stands for the secret, to be changed.
    pub fn newest_mut(&mut self) -> Option<&mut Held> {
        match &mut self.candidate {
            Some(candidate) => Some(&mut candidate.held),
            None => self.current.as_mut(),
        }
    }

    /// Notes a mint that is about to be sent.
    pub fn count_mint(&mut self, now: Moment) {
        self.forget_old_mints(now);
        self.mints.push_back(now);
    }

    /// Drops the notes of mints that no longer count.
    pub fn forget_old_mints(&mut self, now: Moment) {
        while self.mints.front().is_some_and(|sent| now.since(*sent) >= MINT_WINDOW) {
            self.mints.pop_front();
        }
    }
}

/// The time in which mints are counted against their ceiling.
pub const MINT_WINDOW: Duration = Duration::from_secs(60);
