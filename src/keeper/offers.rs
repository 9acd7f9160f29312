//! From a candidate to what the application reads, and what becomes of the one before: offered,
//! published, replaced, expired, let go.

use std::time::Duration;

use super::{Fatal, Keeper};
use crate::config::model::{OnExpiry, session_value};
use crate::events::{Event, Was};
use crate::handover::{Entry, EntryId, Role};
use crate::publisher::{Answer, Lack, Offer, Published, Refusal, Refused, Replaced, ToPublisher, Value};
use crate::schedule;
use crate::slot::{Candidate, Held, Offered, Retiring, Retry, Revocation, Want};

/// How long a secret is not minted again after its check has finally refused one.
const AFTER_REFUSAL: Duration = Duration::from_secs(300);

impl Keeper {
    /// Offers the lack of a value.
    pub(super) fn withdraw(&self, name: &str, lack: Lack) {
        let offer = Offer {
            secret: name.to_owned(),
            key: String::new(),
            value: Err(lack),
            replaces: None,
            splay: Duration::ZERO,
            answer: self.answer_to.clone(),
        };
        // The publisher outlives the keepers.
        let _ = self.links.publisher.send(ToPublisher::Offer(offer));
    }

    /// Offers the candidate.
    pub(super) fn offer(&mut self, name: &str) {
        let replaces = self.secrets.get(name).and_then(|kept| {
            let current = kept.slot.current.as_ref()?;
            let session = self.sessions.held(&current.session);
            let grant = schedule::effective_grant(current, session).unwrap_or_default();
            let overlap = schedule::overlap(kept.plan.policy.room.overlap, grant);
            Some(Replaced { end: schedule::effective_end(current, session)?, overlap })
        });
        let splay = self.splay(name);
        let Some(kept) = self.secrets.get_mut(name) else { return };
        let Some(candidate) = &mut kept.slot.candidate else { return };
        candidate.offer = Offered::Yes;
        let held = &candidate.held;
        let expires = held.life.as_ref().filter(|life| !life.renewable).map(|life| life.end);
        let offer = Offer {
            secret: name.to_owned(),
            key: held.key.clone(),
            value: Ok(Value {
                fields: held.fields.clone(),
                version: held.version.clone(),
                issued: held.issued,
                expires,
            }),
            replaces,
            splay,
            answer: self.answer_to.clone(),
        };
        let _ = self.links.publisher.send(ToPublisher::Offer(offer));
    }

    /// Over what time a restart of the application for this secret's candidate may be spread: not at
    /// all where what it has is gone or about to be.
    fn splay(&self, name: &str) -> Duration {
        let Some(kept) = self.secrets.get(name) else { return Duration::ZERO };
        let Some(current) = kept.slot.current.as_ref().filter(|_| !kept.slot.expired) else {
            return Duration::ZERO;
        };
        let lost = kept.slot.lost_key.as_ref() == Some(&current.key);
        let session = self.sessions.held(&current.session);
        let room = &kept.plan.policy.room;
        match schedule::effective_grant(current, session) {
            _ if lost => Duration::ZERO,
            None => schedule::splay_of_polled(room, kept.plan.policy.refresh),
            Some(grant) => {
                let left = schedule::effective_end(current, session)
                    .map(|end| end.since(self.links.clock.now()))
                    .unwrap_or_default();
                let later = schedule::overlap(room.overlap, grant) + room.lead.fixed;
                schedule::splay(room, grant).min(left.saturating_sub(later))
            }
        }
    }

    /// The publisher answered an offer.
    pub(super) fn published(&mut self, answer: Answer) {
        if answer.secret == session_value(&self.name) {
            return self.session_published(answer);
        }
        let now = self.links.clock.now();
        let Some(kept) = self.secrets.get_mut(&answer.secret) else { return };
        let Some(candidate) = kept.slot.candidate.take_if(|candidate| candidate.held.key == answer.key)
        else {
            return;
        };
        match answer.outcome {
            Ok(published) => self.in_place(&answer.secret, candidate.held, published),
            Err(Refused { why, how }) => {
                for waiting in kept.waiting.drain(..) {
                    let _ = waiting.send(super::Refreshed::Failed(why.clone()));
                }
                match how {
                    Refusal::Tried => kept.slot.candidate = Some(candidate),
                    Refusal::Later => {
                        let retry = schedule::retry(candidate.retry, None, None, now, &mut self.dice);
                        kept.slot.candidate =
                            Some(Candidate { held: candidate.held, offer: Offered::No, retry });
                    }
                    Refusal::Finally => self.give_back(&answer.secret, candidate.held),
                }
            }
        }
    }

    /// The check has finally refused a candidate. What dies is given back, and replaced a while later; what
    /// is only read costs nothing, and is offered again then, or once it has changed. What an earlier
    /// process had in place meanwhile is taken up again.
    fn give_back(&mut self, name: &str, held: Held) {
        let again = Retry { count: 1, wait: AFTER_REFUSAL, at: Some(self.links.clock.now() + AFTER_REFUSAL) };
        let Some(kept) = self.secrets.get_mut(name) else { return };
        if held.life.is_none() && held.lease.is_none() {
            kept.slot.candidate = Some(Candidate { held, offer: Offered::No, retry: again });
            return;
        }
        kept.slot.fetch_retry = Retry { count: 0, ..again };
        let is_in_place = kept.slot.generation != 0 || kept.slot.expired;
        if let Some(held) = kept.slot.current.take_if(|_| !is_in_place) {
            kept.slot.candidate = Some(Candidate { held, offer: Offered::No, retry: Retry::default() });
        }
        let reference = kept.plan.reference.clone();
        if held.is_revocable() {
            self.orphan(name, &reference, held, Duration::ZERO, Was::Refused);
        } else {
            self.let_go(&held.key);
        }
    }

    /// A candidate that may have been offered is no good any more.
    pub(super) fn take_back_offer(&self, name: &str, key: &str) {
        let withdrawn = ToPublisher::Withdraw { secret: name.to_owned(), key: key.to_owned() };
        // The publisher outlives the keepers.
        let _ = self.links.publisher.send(withdrawn);
    }

    pub(super) fn in_place(&mut self, name: &str, held: Held, published: Published) {
        let Some(kept) = self.secrets.get_mut(name) else { return };
        let old = kept.slot.current.replace(held);
        kept.slot.generation = published.generation;
        kept.slot.expired = false;
        kept.slot.poll_at = kept.slot.poll_at.or_else(|| {
            let current = kept.slot.current.as_ref()?;
            current.life.is_none().then(|| {
                schedule::poll_at(kept.plan.policy.refresh, None, published.announced, &mut self.dice)
            })
        });
        for waiting in kept.waiting.drain(..) {
            let _ = waiting.send(super::Refreshed::Published(published.generation));
        }
        let Some(old) = old else { return };
        let lost = kept.slot.lost_key.take_if(|key| *key == old.key).is_some();
        let grant = schedule::effective_grant(&old, self.sessions.held(&old.session));
        let overlap =
            grant.map_or(Duration::ZERO, |grant| schedule::overlap(kept.plan.policy.room.overlap, grant));
        if lost {
            self.let_go(&old.key);
            return;
        }
        if !old.is_revocable() && old.life.is_none() {
            self.let_go(&old.key);
            return;
        }
        let fingerprint = kept.plan.fingerprint.clone();
        let retiring = Retiring {
            held: old,
            announced: published.announced,
            generation: published.generation,
            overlap,
            awaits: published.awaits,
            revocation: Revocation::Due(Retry::default()),
        };
        let entry = retiring_entry(name, fingerprint, &retiring);
        kept.slot.retiring.push(retiring);
        self.record(&entry);
    }

    /// The current one has ended and nothing has replaced it.
    pub(super) fn expire(&mut self, name: &str) {
        let Some(kept) = self.secrets.get_mut(name) else { return };
        kept.slot.expired = true;
        let on_expiry = kept.plan.on_expiry;
        if kept.slot.candidate.is_none() && kept.slot.want.is_none() {
            kept.slot.want = Some(Want::Asked);
        }
        let action = match on_expiry {
            OnExpiry::Keep => "keep",
            OnExpiry::Delete => "delete",
            OnExpiry::Exit => "exit",
        };
        self.links.events.emit(&Event::Expired { secret: name, provider: &self.name, action });
        match on_expiry {
            OnExpiry::Keep => {}
            OnExpiry::Delete => {
                if self.secrets.get(name).is_some_and(|kept| kept.slot.candidate.is_none()) {
                    self.withdraw(name, Lack::Expired);
                }
            }
            OnExpiry::Exit => self.fail(Fatal::Expired { secret: name.to_owned() }),
        }
    }

    pub(super) fn record_held(&self, secret: &str, fingerprint: String, held: &Held, role: Role) {
        self.record(&Entry::Held { secret: secret.to_owned(), fingerprint, held: held.clone(), role });
    }

    /// A replaced credential is no more: its record goes, and its generations may.
    pub(super) fn let_go(&self, key: &str) {
        self.unrecord(&EntryId::held(key));
        let _ = self.links.publisher.send(ToPublisher::Release { key: key.to_owned() });
    }

    /// A replaced credential has ended by itself.
    pub(super) fn forget_retired(&mut self, name: &str, key: &str) {
        if let Some(kept) = self.secrets.get_mut(name) {
            kept.slot.retiring.retain(|retiring| retiring.held.key != key);
        }
        self.let_go(key);
    }
}

/// The hand-over's entry for a replaced credential.
pub(super) fn retiring_entry(secret: &str, fingerprint: String, retiring: &Retiring) -> Entry {
    Entry::Held {
        secret: secret.to_owned(),
        fingerprint,
        held: retiring.held.clone(),
        role: Role::Retiring {
            announced: retiring.announced,
            generation: retiring.generation,
            overlap: retiring.overlap,
            awaits: retiring.awaits,
        },
    }
}
