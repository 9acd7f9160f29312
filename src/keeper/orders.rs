//! What a keeper is told from outside: by an operator, the application, a changed file, the end.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{Charge, EndMode, Keeper, Kept, Left, LeftOut, Orphan, Phase};
use crate::clock::Moment;
use crate::events::{Event, Was};
use crate::handover::{EntryId, Role};
use crate::schedule;
use crate::slot::{Retry, Revocation, Suspicion, Want};

/// An order to a keeper.
#[derive(Debug)]
pub enum Order {
    /// Fetch a successor now.
    Refresh {
        /// Of which secret.
        secret: String,
        /// What came of it.
        reply: oneshot::Sender<Refreshed>,
    },
    /// The application was refused: look whether the lease still lives.
    Stale {
        /// Of which secret.
        secret: String,
        /// What is done about it, in words.
        reply: oneshot::Sender<String>,
    },
    /// Look whether the lease still lives, now; a lost one is replaced at once.
    LookUp {
        /// Of which secret.
        secret: String,
    },
    /// What made requests fail is over: what waits for its next try is tried again soon.
    TryAgain {
        /// For which secret; `None`: for all of the provider, and its sessions.
        secret: Option<String>,
    },
    /// A file that the provider named has changed.
    LookAgain,
    /// Keep this from now on.
    Reload(Box<Charge>),
    /// A termination signal came: go on renewing, rotate only what would die before then.
    Wait {
        /// The end of the wait; `None`: when the application ends.
        until: Option<Moment>,
    },
    /// The end.
    End {
        /// What is taken back.
        mode: EndMode,
        /// Within which time.
        timeout: Duration,
        /// What is left at the store.
        reply: oneshot::Sender<Left>,
    },
}

/// What came of a `refresh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// A successor is in place with this generation.
    Published(u64),
    /// The store has nothing new.
    Unchanged,
    /// It failed; the one in place stays.
    Failed(String),
}

impl Keeper {
    /// Does what it is told; the end is the run loop's.
    pub(super) fn follow(&mut self, order: Order) {
        match order {
            Order::Refresh { secret, reply } => self.refresh(&secret, reply),
            Order::Stale { secret, reply } => {
                let word = self.stale(&secret);
                // The application may have hung up; the look-up is worth it all the same.
                let _ = reply.send(word);
            }
            Order::LookUp { secret } => {
                let now = self.links.clock.now();
                if let Some(kept) = self.secrets.get_mut(&secret) {
                    look(kept, now);
                }
            }
            Order::TryAgain { secret } => self.try_again(secret.as_deref()),
            Order::LookAgain => self.look_again(),
            Order::Reload(charge) => self.reload(*charge),
            Order::Wait { until } => self.phase = Phase::Waiting(until),
            Order::End { .. } => {}
        }
    }

    fn refresh(&mut self, secret: &str, reply: oneshot::Sender<Refreshed>) {
        let Some(kept) = self.secrets.get_mut(secret) else {
            let _ = reply.send(Refreshed::Failed(format!("there is no secret \"{secret}\"")));
            return;
        };
        kept.waiting.push(reply);
        if kept.slot.candidate.is_none() {
            kept.slot.want = Some(Want::Asked);
            kept.slot.fetch_retry = Retry::default();
        }
        if self.gate.hurry() {
            self.sessions.hurry();
        }
    }

    fn stale(&mut self, secret: &str) -> String {
        let now = self.links.clock.now();
        let Some(kept) = self.secrets.get_mut(secret) else {
            return format!("there is no secret \"{secret}\"");
        };
        let looked = kept.slot.stale_checked.map(|checked| now.since(checked));
        let done = match looked.filter(|ago| *ago < schedule::STALE_WINDOW) {
            Some(ago) => format!(
                "looked at {} s ago, and once in {} s is enough",
                ago.as_secs(),
                schedule::STALE_WINDOW.as_secs()
            ),
            None => {
                kept.slot.stale_checked = Some(now);
                look(kept, now).to_owned()
            }
        };
        self.links.events.emit(&Event::ReportedStale { secret, done: &done });
        done
    }

    /// What failed for a reason that is over does not wait as if it were not: the store is asked at once, and
    /// each secret's next try comes within the splay.
    fn try_again(&mut self, secret: Option<&str>) {
        // What has failed meanwhile failed for that reason, too.
        while let Some(done) = self.inflight.try_join_next() {
            self.joined(done);
        }
        let now = self.links.clock.now();
        if secret.is_none() {
            self.gate.hurry();
            self.sessions.hurry();
            for session in self.sessions.held.values_mut() {
                session.retry.at = None;
            }
            for orphan in &mut self.orphans {
                soon(&mut orphan.revocation);
            }
        }
        for (_, kept) in self.secrets.iter_mut().filter(|(name, _)| secret.is_none_or(|only| only == *name)) {
            let newest = kept.slot.newest();
            let end =
                newest.and_then(|held| schedule::effective_end(held, self.sessions.held(&held.session)));
            let splay = kept.plan.policy.heal_splay;
            let slot = &mut kept.slot;
            for retry in [&mut slot.fetch_retry, &mut slot.renew_retry, &mut slot.lookup_retry] {
                *retry = schedule::again(*retry, end, splay, now, &mut self.dice);
            }
            if secret.is_some() {
                // The next denial is the store's own.
                slot.denied_under = None;
            } else {
                slot.retiring.iter_mut().for_each(|retiring| soon(&mut retiring.revocation));
            }
        }
    }

    /// A token file or the mock's values changed: log in anew where the credential was given, and
    /// read again what is polled.
    fn look_again(&mut self) {
        let now = self.links.clock.now();
        let given =
            self.sessions.current().is_none_or(|held| held.session.origin == leasehold_core::Origin::Given);
        if given {
            self.sessions.login_now(now);
        }
        for kept in self.secrets.values_mut() {
            if kept.slot.newest().is_none_or(|held| held.life.is_none()) {
                kept.slot.poll_at = Some(now);
                kept.slot.fetch_retry = Retry::default();
            }
        }
    }

    /// Keeps another set of secrets. What is equal keeps its leases; what is gone is revoked after
    /// its overlap; what is changed is fetched anew and then retired like any other.
    fn reload(&mut self, charge: Charge) {
        let now = self.links.clock.now();
        self.session_rooms = charge.session_rooms;
        self.replan_session_file(charge.session_file);
        let mut before = std::mem::take(&mut self.secrets);
        for (name, plan) in charge.plans {
            let kept = match before.remove(&name) {
                Some(mut kept) => {
                    let same = kept.plan.fingerprint == plan.fingerprint;
                    kept.plan = plan;
                    if !same {
                        self.change(&name, &mut kept);
                    } else if kept.slot.poll_at.is_some() {
                        let soonest = now + kept.plan.policy.refresh;
                        kept.slot.poll_at = kept.slot.poll_at.map(|at| at.min(soonest));
                    }
                    kept
                }
                None => Kept::new(plan),
            };
            self.secrets.insert(name, kept);
        }
        for (name, kept) in before {
            self.part_with(name, kept);
        }
        self.learn();
    }

    /// A secret stands for something else now.
    fn change(&mut self, name: &str, kept: &mut Kept) {
        kept.left_out = LeftOut::No;
        kept.slot.fetch_retry = Retry::default();
        kept.slot.busy = None;
        if let Some(candidate) = kept.slot.candidate.take() {
            self.take_back_offer(name, &candidate.held.key);
            self.unrecord(&EntryId::held(&candidate.held.key));
            if candidate.held.is_revocable() {
                self.orphan(name, &kept.plan.reference, candidate.held, Duration::ZERO, Was::Unneeded);
            }
        }
        match &mut kept.slot.current {
            // Nothing is learnt from the version of another thing.
            Some(current) => {
                current.version = None;
                kept.slot.want = Some(Want::Asked);
            }
            None => kept.slot.want = None,
        }
    }

    /// A secret is gone from the configuration.
    fn part_with(&mut self, name: String, kept: Kept) {
        let reference = kept.plan.reference.clone();
        let overlap = kept.plan.policy.room.overlap;
        for held in kept.slot.all_held() {
            if held.is_revocable() {
                let grant = schedule::effective_grant(held, self.sessions.held(&held.session));
                let wait = grant.map_or(Duration::ZERO, |grant| schedule::overlap(overlap, grant));
                self.orphan(&name, &reference, held.clone(), wait, Was::Unneeded);
            } else {
                self.let_go(&held.key);
            }
        }
        self.links.board.write(|board| board.secrets.remove(&name));
        self.links.events.emit(&Event::Note {
            text: &format!(
                "secret \"{name}\" is gone from the configuration; what was held of it is given back"
            ),
        });
    }

    /// Holds what is not wanted any more until it is given back, not before `wait`.
    pub(super) fn orphan(
        &mut self,
        secret: &str,
        reference: &leasehold_core::SecretRef,
        held: crate::slot::Held,
        wait: Duration,
        was: Was,
    ) {
        let now = self.links.clock.now();
        self.record_held(secret, String::new(), &held, Role::Unwanted);
        self.orphans.push(Orphan {
            was,
            secret: secret.to_owned(),
            reference: reference.clone(),
            held,
            at: now + wait,
            revocation: Revocation::Due(Retry::default()),
        });
    }
}

/// Has the store asked about a secret. Returns what that means, in words.
fn look(kept: &mut Kept, now: Moment) -> &'static str {
    if kept.slot.newest().is_some_and(|held| held.lease.is_some()) {
        kept.slot.suspect = Some(Suspicion::Reported);
        kept.slot.lookup_retry = Retry::default();
        if let Some(Want::Lost(_)) = kept.slot.want {
            kept.slot.want = Some(Want::Lost(now));
        }
        "asking the store whether the lease still lives"
    } else {
        kept.slot.want = Some(Want::Asked);
        kept.slot.fetch_retry = Retry::default();
        "reading it again"
    }
}

/// A revocation that waits for its next try is tried now.
fn soon(revocation: &mut Revocation) {
    if let Revocation::Due(retry) = revocation {
        retry.at = None;
    }
}
