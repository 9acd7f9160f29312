//! The course of one credential, played through with the functions that the engine decides with
//! ([`schedule::next`] and its like). The store is taken to answer at once and well.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Bound, Fields, Lease, Origin, Session, Term};

use super::assumptions::Assumed;
use crate::clock::Moment;
use crate::schedule::{self, Action, Dice, Policy, Room};
use crate::slot::{Awaits, Candidate, Held, HeldSession, Life, Offered, Retiring, Retry, Revocation, Slot};

/// Far enough from the clock's zero that nothing reaches it.
const START: Moment = Moment::from_zero(Duration::from_secs(40 * 366 * 24 * 3_600));
/// A course with more steps than this is not played to its end.
const STEPS: usize = 20_000;

/// What is played.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    /// How long the credential lives.
    pub(super) assumed: &'a Assumed,
    /// How long the session lives, where that is to count.
    pub(super) session: Option<&'a Assumed>,
    /// The secret's times.
    pub(super) policy: &'a Policy,
    /// What a session is replaced earlier by.
    pub(super) rooms: &'a [Room],
    /// What the store gives beside the value.
    pub(super) handle: Handle,
}

/// What a credential can be taken back by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Handle {
    /// A lease under the session.
    Lease,
    /// A handle that serves to revoke, and no more (a certificate).
    Revocable,
    /// None.
    None,
}

/// Something that happens to the first credential, or because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Renewed,
    LoggedIn,
    Fetched,
    Announced,
    Revoked,
    /// Dropped, without the store being told.
    LetGo,
    Expired,
}

/// All of it, from the first fetch to the end of what that brought.
#[derive(Clone, Debug)]
pub(super) struct Course {
    pub(super) events: Vec<(Duration, What)>,
    /// Until when a renewal that fails is repeated before a successor is fetched.
    pub(super) patience: Option<Duration>,
    /// When the first credential would end by itself, as it stands at the end.
    pub(super) end: Duration,
    /// The overlap that counts.
    pub(super) overlap: Duration,
}

impl Course {
    /// When something happens for the first time.
    pub(super) fn first(&self, what: What) -> Option<Duration> {
        self.events.iter().find(|(_, happened)| *happened == what).map(|(at, _)| *at)
    }

    /// When something happens, each time.
    pub(super) fn all(&self, what: What) -> Vec<Duration> {
        self.events.iter().filter(|(_, happened)| *happened == what).map(|(at, _)| *at).collect()
    }
}

/// Plays it; `chance` says where in each of its ranges a time falls, from 0 to 1.
pub(super) fn play(setting: Setting<'_>, chance: f64) -> Course {
    let mut play = Play {
        setting,
        dice: Dice::fixed(chance),
        slot: Slot::default(),
        sessions: Vec::new(),
        now: START,
        minted: 0,
        publish_at: None,
        events: Vec::new(),
        end: START,
        overlap: Duration::ZERO,
        is_over: false,
    };
    play.log_in();
    play.mint();
    let patience = play.slot.current.as_ref().filter(|held| !is_final(held)).and_then(|held| {
        let at = schedule::rotate_at(held, play.sessions.last(), setting.policy)?;
        Some(at.since(START))
    });
    for _ in 0..STEPS {
        if play.is_over || !play.step() {
            break;
        }
    }
    let end = play.end.since(START);
    let overlap = play.overlap;
    Course { events: play.events, patience, end, overlap }
}

fn is_final(held: &Held) -> bool {
    held.life.as_ref().is_none_or(Life::is_final)
}

struct Play<'a> {
    setting: Setting<'a>,
    dice: Dice,
    slot: Slot,
    /// The last one is the current one.
    sessions: Vec<HeldSession>,
    now: Moment,
    minted: u64,
    publish_at: Option<Moment>,
    events: Vec<(Duration, What)>,
    /// The first credential's own end.
    end: Moment,
    overlap: Duration,
    is_over: bool,
}

/// What is to be done next.
enum Next {
    Publish,
    RenewSession,
    LogIn,
    Do(Action),
}

impl Play<'_> {
    /// The earliest thing that is due. False: nothing is.
    fn step(&mut self) -> bool {
        let sessions = |id: &str| self.sessions.iter().find(|held| held.session.id == id);
        let due = schedule::next(&self.slot, &sessions, self.setting.policy, Some(u64::MAX), self.now);
        let mut all: Vec<(Moment, Next)> = Vec::new();
        all.extend(self.publish_at.map(|at| (at, Next::Publish)));
        if let Some(current) = self.sessions.last() {
            let renew = schedule::renew_session_at(current, Retry::default());
            all.extend(renew.map(|at| (at, Next::RenewSession)));
            let replace = schedule::replace_session_at(current, self.setting.rooms);
            all.extend(replace.map(|at| (at, Next::LogIn)));
        }
        all.extend(due.map(|(at, action)| (at, Next::Do(action))));
        let Some((at, next)) = all.into_iter().min_by_key(|(at, _)| *at) else { return false };
        self.now = self.now.max(at);
        match next {
            Next::Publish => self.publish(),
            Next::RenewSession => self.renew_session(),
            Next::LogIn => {
                self.log_in();
                self.note(What::LoggedIn);
            }
            Next::Do(action) => self.act(action),
        }
        true
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Fetch => {
                self.mint();
                self.note(What::Fetched);
            }
            Action::Renew => self.renew(),
            Action::Lookup => self.slot.confirmed = Some(self.now),
            Action::Offer => {
                if let Some(candidate) = &mut self.slot.candidate {
                    candidate.offer = Offered::Yes;
                }
            }
            Action::Expire => {
                self.slot.expired = true;
                self.note(What::Expired);
            }
            Action::Revoke { key } => self.gone(&key, What::Revoked),
            Action::Forget { key } => self.gone(&key, What::LetGo),
        }
    }

    fn note(&mut self, what: What) {
        self.events.push((self.now.since(START), what));
    }

    fn gone(&mut self, key: &str, what: What) {
        self.slot.retiring.retain(|retiring| retiring.held.key != key);
        self.note(what);
        self.is_over = true;
    }

    fn log_in(&mut self) {
        let number = self.sessions.len();
        let life = self.setting.session.map(|assumed| {
            let term = Term { ttl: assumed.ttl.min(assumed.max_ttl), renewable: assumed.renewable };
            let reserve = self.session_reserve(term.ttl);
            schedule::life(None, term, self.now, reserve, &mut self.dice)
        });
        let session =
            Session { id: format!("session {number}"), origin: Origin::LoggedIn, ..Session::ambient() };
        self.sessions.push(HeldSession { session, issued: self.now, life });
    }

    fn session_reserve(&self, granted: Duration) -> Room {
        schedule::widest(self.setting.rooms, granted, schedule::margin(granted))
    }

    fn renew_session(&mut self) {
        let Some(max_ttl) = self.setting.session.map(|assumed| assumed.max_ttl) else { return };
        let Some(current) = self.sessions.last() else { return };
        let Some(before) = current.life.clone() else { return };
        let left = (current.issued + max_ttl).since(self.now);
        let term = Term { ttl: before.granted.min(left), renewable: true };
        let reserve = self.session_reserve(before.granted);
        let life = schedule::life(Some(&before), term, self.now, reserve, &mut self.dice);
        if let Some(current) = self.sessions.last_mut() {
            current.life = Some(life);
        }
    }

    fn mint(&mut self) {
        let Setting { assumed, policy, handle, .. } = self.setting;
        let term = Term { ttl: assumed.ttl.min(assumed.max_ttl), renewable: assumed.renewable };
        let life = schedule::life(None, term, self.now, policy.room, &mut self.dice);
        let bound = if handle == Handle::Lease { Bound::Session } else { Bound::Itself };
        let lease = Lease { id: String::new(), bound, namespace: None };
        let held = Held {
            key: self.minted.to_string(),
            fields: Arc::new(Fields::new()),
            version: None,
            lease: (handle != Handle::None).then_some(lease),
            session: self.sessions.last().map(|held| held.session.id.clone()).unwrap_or_default(),
            issued: self.now,
            life: Some(life.clone()),
            changes_at: None,
        };
        self.minted += 1;
        if self.slot.current.is_none() {
            self.end = life.end;
            self.slot.current = Some(held);
            return;
        }
        let lead = schedule::lead(&policy.room, life.granted);
        let settles = schedule::settle(&policy.room, Some(life.granted));
        self.publish_at = Some(self.now + self.dice.between(settles, lead));
        self.slot.candidate = Some(Candidate { held, offer: Offered::Yes, retry: Retry::default() });
    }

    fn renew(&mut self) {
        let Setting { assumed, policy, .. } = self.setting;
        let is_first = self.slot.candidate.is_none() && self.minted == 1;
        let Some(held) = self.slot.newest_mut() else { return };
        let Some(before) = held.life.clone() else { return };
        let left = (held.issued + assumed.max_ttl).since(self.now);
        let term = Term { ttl: before.granted.min(left), renewable: true };
        let life = schedule::life(Some(&before), term, self.now, policy.room, &mut self.dice);
        if is_first {
            self.end = life.end;
        }
        held.life = Some(life);
        if is_first {
            self.note(What::Renewed);
        }
    }

    fn publish(&mut self) {
        self.publish_at = None;
        let Some(candidate) = self.slot.candidate.take() else { return };
        let Some(old) = self.slot.current.replace(candidate.held) else { return };
        self.slot.generation += 1;
        self.slot.expired = false;
        let session = self.sessions.iter().find(|held| held.session.id == old.session);
        let grant = schedule::effective_grant(&old, session).unwrap_or_default();
        let overlap = schedule::overlap(self.setting.policy.room.overlap, grant);
        self.overlap = overlap;
        if let Some(end) = schedule::effective_end(&old, session) {
            self.end = end;
        }
        self.note(What::Announced);
        self.slot.retiring.push(Retiring {
            held: old,
            announced: self.now,
            generation: self.slot.generation,
            overlap,
            awaits: Awaits::Nothing,
            revocation: Revocation::Due(Retry::default()),
        });
    }
}
