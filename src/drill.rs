//! A failure that is played in a running instance, so that a team sees what its application does
//! (`leasehold drill`, only where `admin.drills: true`).
//!
//! It stands between the engine and a provider, as a [`Provider`] itself: while a drill lasts, it answers
//! in the store's place, and what the drill is about is not sent. Providers know nothing of it, and the engine
//! is told two things: to look up at once what is said to be lost, and, at the end, that what failed meanwhile
//! may be tried again.
//! One drill at a time. It ends by its own time, by `leasehold drill stop`, and with the process's end, so
//! that what is held can be taken back.
//!
//! - *outage*: the secret's provider cannot be reached.
//! - *deny*: fetching and renewing the secret is denied.
//! - *expire*: the store has lost the lease that the secret has now: a renewal is refused, a look-up says
//!   that it is gone. The lease does live there; once its successor came and the drill is over, it is
//!   revoked.
#![allow(
    clippy::disallowed_methods,
    reason = "what the keeper asks is handed on under its deadline, and what is given back has one here"
)]

mod drilled;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use leasehold_core::{Lease, Provider, SecretRef, Session, Target};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Moment, locked};
use crate::events::words::human;
use crate::events::{Event, Events};
use crate::keeper::Order;
use crate::status::{Board, DrillState};
use drilled::Drilled;

/// The longest that a drill lasts.
pub const LONGEST: Duration = Duration::from_secs(3_600);
/// How long it lasts where nobody says.
pub const USUAL: Duration = Duration::from_secs(60);
/// How long giving back one lease may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The provider cannot be reached.
    Outage,
    /// The secret is denied.
    Deny,
    /// The store has lost the lease.
    Expire,
}

/// The drills of a process; clones share them.
#[derive(Clone)]
pub struct Drills(Arc<Inner>);

struct Inner {
    clock: Clock,
    events: Events,
    board: Board,
    /// Whom to tell, by provider.
    keepers: OnceLock<BTreeMap<String, mpsc::Sender<Order>>>,
    playing: Mutex<Option<Playing>>,
    /// Leases that the store was said to have lost.
    lost: Mutex<Vec<Lost>>,
    changed: Notify,
}

/// The drill that is played.
#[derive(Clone)]
struct Playing {
    failure: Failure,
    provider: String,
    secret: String,
    /// The lease that is lost.
    lease: Option<String>,
    until: Moment,
    words: String,
}

/// A lease that lives at the store, while the engine was told that it is gone.
struct Lost {
    provider: Arc<dyn Provider>,
    session: Session,
    lease: Lease,
    reference: SecretRef,
    /// Its successor came.
    replaced: bool,
}

impl std::fmt::Debug for Drills {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Drills")
    }
}

impl Drills {
    /// None is played.
    pub fn new(clock: Clock, events: Events, board: Board) -> Self {
        Self(Arc::new(Inner {
            clock,
            events,
            board,
            keepers: OnceLock::new(),
            playing: Mutex::default(),
            lost: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// The provider, with drills in front of it.
    pub fn before(&self, name: &str, provider: Arc<dyn Provider>) -> Arc<dyn Provider> {
        Arc::new(Drilled { name: name.to_owned(), provider, drills: self.clone() })
    }

    /// The keepers, by provider; to be called once.
    pub fn tell(&self, keepers: BTreeMap<String, mpsc::Sender<Order>>) {
        // The first ones stay.
        let _ = self.0.keepers.set(keepers);
    }

    /// Begins to play. Returns what is played, in words.
    ///
    /// # Errors
    /// One is played already, or this one makes no sense; in words.
    pub fn begin(&self, failure: Failure, secret: &str, lasts: Duration) -> Result<String, String> {
        if lasts.is_zero() || lasts > LONGEST {
            return Err(format!("a drill lasts more than nothing and at most {}", human(LONGEST)));
        }
        let board = self.0.board.snapshot();
        let Some(state) = board.secrets.get(secret) else {
            return Err(format!("there is no secret \"{secret}\""));
        };
        if board.ending {
            return Err("leasehold is ending".to_owned());
        }
        let lease = state.lease.clone().filter(|_| failure == Failure::Expire);
        if failure == Failure::Expire && lease.is_none() {
            return Err(format!("secret \"{secret}\" has no lease that the store could lose"));
        }
        let provider = state.provider.clone();
        let words = match failure {
            Failure::Outage => format!("outage of provider {provider}"),
            Failure::Deny => format!("secret {secret} is denied"),
            Failure::Expire => format!("the store has lost the lease of secret {secret}"),
        };
        let until = self.0.clock.now() + lasts;
        let mut playing = locked(&self.0.playing);
        if let Some(playing) = playing.as_ref() {
            let words = &playing.words;
            return Err(format!("a drill is played already ({words}); end it with `leasehold drill stop`"));
        }
        *playing = Some(Playing {
            failure,
            provider: provider.clone(),
            secret: secret.to_owned(),
            lease,
            until,
            words: words.clone(),
        });
        drop(playing);
        self.0.board.write(|board| board.drill = Some(DrillState { what: words.clone(), ends: until }));
        let said = format!("{words}, for {}", human(lasts));
        self.warn(&format!("drill begins: {said}; the store itself is not touched"));
        self.0.changed.notify_one();
        if failure != Failure::Expire {
            return Ok(said);
        }
        // Else it would be noticed at the next renewal only.
        Ok(match self.order(&provider, Order::LookUp { secret: secret.to_owned() }) {
            true => format!("{said}; it is looked up now, and replaced"),
            false => format!("{said}; noticed at the next renewal"),
        })
    }

    /// Ends what is played, and has what failed because of it tried again. Returns what that was.
    pub fn stop(&self) -> Option<String> {
        let ended = locked(&self.0.playing).take()?;
        self.0.board.write(|board| board.drill = None);
        self.warn(&format!("drill ends: {}", ended.words));
        self.0.changed.notify_one();
        let again = match ended.failure {
            Failure::Outage => Some(None),
            Failure::Deny => Some(Some(ended.secret)),
            Failure::Expire => None,
        };
        if let Some(secret) = again {
            self.order(&ended.provider, Order::TryAgain { secret });
        }
        Some(ended.words)
    }

    /// Tells a provider's keeper. Answers whether it hears: one that has ended does not.
    fn order(&self, provider: &str, order: Order) -> bool {
        let keeper = self.0.keepers.get().and_then(|keepers| keepers.get(provider));
        keeper.is_some_and(|keeper| keeper.try_send(order).is_ok())
    }

    /// Ends drills in their time and gives back what they left over, until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        loop {
            let until = locked(&self.0.playing).as_ref().map(|playing| playing.until);
            let over = async {
                match until {
                    Some(until) => self.0.clock.sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.0.changed.notified() => {}
                () = over => {
                    self.stop();
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.give_back() => {}
            }
        }
    }

    /// Revokes what was said to be lost, once it is replaced and no drill is played.
    async fn give_back(&self) {
        loop {
            if locked(&self.0.playing).is_some() {
                return;
            }
            let replaced = {
                let mut lost = locked(&self.0.lost);
                let at = lost.iter().position(|lost| lost.replaced);
                at.map(|at| lost.remove(at))
            };
            let Some(Lost { provider, session, lease, reference, .. }) = replaced else { return };
            let target = Target::Lease { lease: &lease, reference: &reference };
            let revoked = self.0.clock.within(PATIENCE, provider.revoke(&session, target)).await;
            if !matches!(revoked, Some(Ok(()))) {
                let text = format!(
                    "after the drill: lease {} of secret \"{}\" could not be revoked, and ends by its own TTL",
                    lease.id, reference.name
                );
                self.warn(&text);
            }
        }
    }

    fn warn(&self, text: &str) {
        self.0.events.emit(&Event::Warning { text });
    }

    /// What is played at this provider now.
    fn at(&self, provider: &str) -> Option<Playing> {
        let now = self.0.clock.now();
        let playing = locked(&self.0.playing);
        playing.as_ref().filter(|playing| playing.provider == provider && now < playing.until).cloned()
    }
}

#[cfg(test)]
mod tests;
