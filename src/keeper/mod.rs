//! One provider's keeper: the task that owns its sessions and its secrets, and the only place
//! that awaits a [`Provider`].
//!
//! It sleeps until the earliest due time of [`crate::schedule`], starts what is due (at most
//! [`MOST_IN_FLIGHT`] requests at once) and applies what comes back. Every retry is here: a
//! provider never tries twice. A mint is counted before it is sent and never dropped; an answer
//! that nobody wants any more is revoked.
//!
//! What it holds it records in the hand-over before it relies on it: a session before its first
//! use, a credential before it is offered to the publisher. An entry goes when its revocation is
//! confirmed, or when it has ended.

mod adopt;
mod answers;
mod call;
mod ending;
mod fetches;
mod gate;
mod leases;
mod login;
mod offers;
mod orders;
mod requests;
mod session_file;
mod sessions;
mod show;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Error, Provider, SecretRef, Traits};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::clock::{Clock, Moment};
use crate::config::model::{OnExpiry, Overlap};
use crate::events::{Event, Events, Was};
use crate::handover::{Entry, EntryId, Handover};
use crate::publisher::{Answer, ToPublisher};
use crate::schedule::{Action, Dice, Policy, Room};
use crate::slot::{Held, Slot};
use crate::status::Board;

pub use ending::{EndMode, Left};
pub use orders::{Order, Refreshed};

use gate::Gate;
use requests::Done;
use session_file::SessionFile;
use sessions::Sessions;

/// Requests to one store at once.
const MOST_IN_FLIGHT: usize = 16;
/// Mints at once: a store that is slow to mint must not keep the rest from being renewed.
const MOST_MINTING: usize = 12;
/// How often the board is written while requests are in flight.
const SHOW_PACE: Duration = Duration::from_millis(50);

/// What a keeper is given of the rest of the house.
#[derive(Clone)]
pub struct Links {
    /// The time.
    pub clock: Clock,
    /// Where facts are told.
    pub events: Events,
    /// Where the state is shown.
    pub board: Board,
    /// What the next process gets.
    pub handover: Handover,
    /// Where values go.
    pub publisher: mpsc::UnboundedSender<ToPublisher>,
    /// Where an error goes that ends the process.
    pub fatal: mpsc::UnboundedSender<Fatal>,
    /// The newest generation that the application acknowledged.
    pub acknowledged: watch::Receiver<Option<u64>>,
    /// What must not be shown.
    pub known: crate::hook::Known,
    /// Latched by the first whole generation.
    pub ready: watch::Receiver<bool>,
}

/// Why the process has to end.
#[derive(Clone, Debug)]
pub enum Fatal {
    /// A store's answer that no waiting mends, before the first generation.
    Store(Error),
    /// A secret with `on_expiry: exit` expired.
    Expired {
        /// Which.
        secret: String,
    },
}

/// What a keeper knows of one secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What it is to the store.
    pub reference: SecretRef,
    /// See `required`.
    pub required: bool,
    /// See `on_expiry`.
    pub on_expiry: OnExpiry,
    /// Its times.
    pub policy: Policy,
    /// What a held value has to match to be adopted.
    pub fingerprint: String,
}

/// What a keeper is to keep.
#[derive(Clone, Debug)]
pub struct Charge {
    /// The provider's name.
    pub name: String,
    /// What distinguishes its store and log-in.
    pub identity: String,
    /// By secret.
    pub plans: BTreeMap<String, Plan>,
    /// The room that their successors need: a session is replaced by the widest of it earlier.
    pub session_rooms: Vec<Room>,
    /// Where the session itself is a file: its overlap.
    pub session_file: Option<Overlap>,
    /// Which commands may hold a credential that serves a limited number of requests.
    pub limited_uses: LimitedUses,
}

/// Whether a credential with a limited number of uses will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitedUses {
    /// `init`: for static reads.
    StaticReads,
    /// `run`: never.
    Refused,
}

/// One provider's keeper.
pub struct Keeper {
    name: String,
    identity: String,
    provider: Arc<dyn Provider>,
    session_rooms: Vec<Room>,
    limited_uses: LimitedUses,
    secrets: BTreeMap<String, Kept>,
    orphans: Vec<Orphan>,
    sessions: Sessions,
    /// The file that holds the session, where there is one.
    session_file: Option<SessionFile>,
    gate: Gate,
    phase: Phase,
    /// The store does not let us revoke single leases, and that was said.
    revocation_denied: bool,
    inflight: JoinSet<Done>,
    /// The secrets whose mint is in flight, one entry each, also those that the configuration no
    /// longer has. A mint may take long, and nothing else waits for it.
    minting: Vec<String>,
    dice: Dice,
    links: Links,
    answers: mpsc::UnboundedReceiver<Answer>,
    answer_to: mpsc::UnboundedSender<Answer>,
    /// Keys of values and ids of sessions that came from the hand-over.
    adopted: BTreeSet<String>,
    shown: Option<Moment>,
}

/// One secret with its plan.
struct Kept {
    plan: Plan,
    slot: Slot,
    /// Left out of the set: `required: false` and absent or unreachable.
    left_out: LeftOut,
    /// Who waits for a `refresh`.
    waiting: Vec<tokio::sync::oneshot::Sender<Refreshed>>,
    /// The ceiling on mints was reached and said.
    limit_said: Option<Moment>,
    /// That its room is shortened was said: of which room, and of which grant.
    room_said: Option<(Room, Duration)>,
    error: Option<crate::status::LastError>,
}

/// Whether the publisher was told to do without a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeftOut {
    No,
    Told,
}

/// A lease whose secret is gone from the configuration, or that nobody will publish.
struct Orphan {
    was: Was,
    secret: String,
    reference: SecretRef,
    held: Held,
    /// Not before this.
    at: Moment,
    revocation: crate::slot::Revocation,
}

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// A termination signal came; the end is near. `None`: when the application ends.
    Waiting(Option<Moment>),
    /// The process cannot go on; its end comes.
    Failing,
}

/// One thing to do.
#[derive(Clone, Debug)]
enum Work {
    Login,
    RenewSession(String),
    LookupSession(String),
    RevokeSession(String),
    Secret(String, Action),
    RevokeOrphan(String),
    OfferSession,
}

impl Keeper {
    /// A keeper that holds nothing yet.
    pub fn new(charge: Charge, provider: Arc<dyn Provider>, links: Links, dice: Dice) -> Self {
        let (answer_to, answers) = mpsc::unbounded_channel();
        let secrets = charge.plans.into_iter().map(|(name, plan)| (name, Kept::new(plan))).collect();
        Self {
            name: charge.name,
            identity: charge.identity,
            provider,
            session_rooms: charge.session_rooms,
            limited_uses: charge.limited_uses,
            secrets,
            orphans: Vec::new(),
            sessions: Sessions::default(),
            session_file: charge.session_file.map(SessionFile::new),
            gate: Gate::default(),
            phase: Phase::Running,
            revocation_denied: false,
            inflight: JoinSet::new(),
            minting: Vec::new(),
            dice,
            links,
            answers,
            answer_to,
            adopted: BTreeSet::new(),
            shown: None,
        }
    }

    /// Keeps until it is told to end; answers what it could not take back.
    pub async fn run(mut self, adopted: Vec<Entry>, mut orders: mpsc::Receiver<Order>) {
        self.adopt(adopted).await;
        let mut acknowledged = self.links.acknowledged.clone();
        let mut ready = self.links.ready.clone();
        loop {
            let wake = self.start_what_is_due();
            let wake = self.show_in_time(wake);
            let clock = self.links.clock.clone();
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::End { mode, timeout, reply }) => {
                        let left = self.end(mode, timeout).await;
                        // Nobody listens any more only where the process is ending without us.
                        let _ = reply.send(left);
                        return;
                    }
                    Some(order) => self.follow(order),
                    None => return,
                },
                Some(answer) = self.answers.recv() => self.published(answer),
                Some(done) = self.inflight.join_next(), if !self.inflight.is_empty() => self.joined(done),
                Ok(()) = acknowledged.changed() => {}
                Ok(()) = ready.changed() => {}
                () = clock.reaches(wake) => {}
            }
        }
    }

    /// Starts what is due and may start; answers when to look again.
    fn start_what_is_due(&mut self) -> Option<Moment> {
        loop {
            if self.phase == Phase::Failing {
                return None;
            }
            let now = self.links.clock.now();
            let mut wake: Option<Moment> = None;
            let mut started = false;
            for (at, work) in self.due(now) {
                let Some(at) = self.gated(at, &work, now) else { continue };
                if at > now {
                    wake = Some(wake.map_or(at, |wake| wake.min(at)));
                } else {
                    self.start(work, now);
                    started = true;
                }
            }
            if !started {
                return wake;
            }
        }
    }

    /// Shows what is held, at once when it is quiet, else at most every [`SHOW_PACE`]: with a
    /// thousand secrets on their way the board is not written a thousand times over.
    fn show_in_time(&mut self, wake: Option<Moment>) -> Option<Moment> {
        let now = self.links.clock.now();
        let next = self.shown.map(|shown| shown + SHOW_PACE).filter(|next| *next > now);
        match next {
            Some(next) if !self.inflight.is_empty() => Some(wake.map_or(next, |wake| wake.min(next))),
            _ => {
                self.show();
                self.shown = Some(now);
                wake
            }
        }
    }

    /// What is due for each secret and session, gates apart.
    fn due(&self, now: Moment) -> Vec<(Moment, Work)> {
        let mut due = self.sessions_due(now);
        let find = |id: &str| self.sessions.held(id);
        let acknowledged = *self.links.acknowledged.borrow();
        for (name, kept) in &self.secrets {
            if let Some((at, action)) =
                crate::schedule::next(&kept.slot, &find, &kept.plan.policy, acknowledged, now)
            {
                due.push((at, Work::Secret(name.clone(), action)));
            }
        }
        for orphan in &self.orphans {
            if let crate::slot::Revocation::Due(retry) = orphan.revocation {
                let at = retry.at.map_or(orphan.at, |at| at.max(orphan.at));
                due.push((at, Work::RevokeOrphan(orphan.held.key.clone())));
            }
        }
        due.extend(self.session_file_due(now).map(|at| (at, Work::OfferSession)));
        due.sort_by_key(|(at, _)| *at);
        due
    }

    fn start(&mut self, work: Work, now: Moment) {
        let lane = self.lane(&work);
        let before = self.inflight.len();
        self.start_one(work, now);
        if let Some(lane) = lane.filter(|_| self.inflight.len() > before) {
            self.gate.asks(&lane);
        }
    }

    fn start_one(&mut self, work: Work, now: Moment) {
        match work {
            Work::Login => self.start_login(now),
            Work::RenewSession(id) => self.start_session_renewal(&id, now),
            Work::LookupSession(id) => self.start_session_lookup(&id, now),
            Work::RevokeSession(id) => self.start_session_revocation(&id),
            Work::RevokeOrphan(key) => self.start_orphan_revocation(&key),
            Work::OfferSession => self.offer_session(),
            Work::Secret(name, action) => match action {
                Action::Fetch => self.start_fetch(&name, now),
                Action::Renew => self.start_renewal(&name, now),
                Action::Lookup => self.start_lookup(&name, now),
                Action::Offer => self.offer(&name),
                Action::Expire => self.expire(&name),
                Action::Revoke { key } => self.start_revocation(&name, &key),
                Action::Forget { key } => self.forget_retired(&name, &key),
            },
        }
    }

    /// True until there is a whole generation: then a permanent error ends the process.
    fn is_starting(&self) -> bool {
        !*self.links.ready.borrow()
    }

    fn traits(&self, secret: &str) -> Option<Traits> {
        self.secrets.get(secret).map(|kept| self.provider.describe(&kept.plan.reference))
    }

    /// Records an entry. A hand-over that cannot be written costs the next process its adoption,
    /// never this one its work.
    fn record(&self, entry: &Entry) {
        if let Err(error) = self.links.handover.put(entry) {
            self.links
                .events
                .emit(&Event::Warning { text: &format!("{error}: a restart may not find what is held") });
        }
    }

    fn unrecord(&self, id: &EntryId) {
        if let Err(error) = self.links.handover.remove(id) {
            self.links.events.emit(&Event::Warning { text: &error.to_string() });
        }
    }

    /// Asks for the end of the process, and starts nothing any more until it comes.
    fn fail(&mut self, fatal: Fatal) {
        self.phase = Phase::Failing;
        // The receiver is gone only when the process ends already.
        let _ = self.links.fatal.send(fatal);
    }
}

impl Kept {
    fn new(plan: Plan) -> Self {
        Self {
            plan,
            slot: Slot::default(),
            left_out: LeftOut::No,
            waiting: Vec::new(),
            limit_said: None,
            room_said: None,
            error: None,
        }
    }
}

#[cfg(all(test, feature = "mock"))]
mod tests;
