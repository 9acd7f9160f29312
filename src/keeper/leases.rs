//! What became of a lease: renewed, looked up, revoked.

use leasehold_core::{Error, Kind, Term};

use super::Keeper;
use super::fetches::{last_error, patient};
use super::sessions::lose;
use crate::clock::Moment;
use crate::events::{Event, Was};
use crate::handover::{EntryId, Role};
use crate::schedule;
use crate::slot::{Busy, Retry, Revocation};

impl Keeper {
    pub(super) fn renewed(
        &mut self,
        name: &str,
        key: &str,
        sent: Moment,
        session: &str,
        group: &str,
        result: Result<Option<Term>, Error>,
    ) {
        let now = self.links.clock.now();
        let Some(kept) = self.secrets.get_mut(name) else { return };
        if kept.slot.busy == Some(Busy::Renewing) {
            kept.slot.busy = None;
        }
        let room = kept.plan.policy.room;
        let Some(held) = kept.slot.newest_mut().filter(|held| held.key == key) else { return };
        match result {
            Ok(Some(term)) => {
                let life = schedule::life(held.life.as_ref(), term, sent, room, &mut self.dice);
                let capped = life.capped;
                held.life = Some(life);
                let held = held.clone();
                if capped {
                    let seen = (sent + term.ttl).since(held.issued);
                    kept.slot.shortest_life =
                        Some(kept.slot.shortest_life.map_or(seen, |before| before.min(seen)));
                }
                kept.slot.renew_retry = Retry::default();
                kept.slot.denied_under = None;
                kept.slot.confirmed = Some(now);
                kept.error = None;
                let fingerprint = kept.plan.fingerprint.clone();
                self.gate.reached();
                self.links.events.emit(&Event::Renewed {
                    secret: name,
                    provider: &self.name,
                    ttl: term.ttl,
                    capped,
                });
                self.record_held(name, fingerprint, &held, Role::Current);
            }
            Ok(None) => {
                held.life = None;
                self.gate.reached();
            }
            Err(error) => {
                if matches!(error.kind, Kind::LeaseGone | Kind::Invalid | Kind::Absent) {
                    kept.slot.suspect.get_or_insert(crate::slot::Suspicion::RenewalRefused);
                }
                if error.kind == Kind::SessionEnded {
                    self.session_gone(session, &error);
                }
                let deadline = self.rotation(name);
                self.note_health(&error, group, deadline, now);
                let session_end = self.sessions.current().and_then(|held| held.end());
                let relogin = self.answer_denial(name, session, &error, now);
                let Some(kept) = self.secrets.get_mut(name) else { return };
                let mut retry =
                    schedule::retry(kept.slot.renew_retry, error.retry_after, deadline, now, &mut self.dice);
                if error.kind == Kind::Denied && !relogin {
                    retry = patient(retry, session_end, now);
                }
                kept.slot.renew_retry = retry;
                kept.error = Some(last_error(&error, retry.count, now));
                self.links.events.emit(&Event::Failed {
                    secret: Some(name),
                    error: &error,
                    retry_in: Some(retry.wait),
                });
            }
        }
    }

    pub(super) fn looked_up(
        &mut self,
        name: &str,
        key: &str,
        sent: Moment,
        session: &str,
        group: &str,
        result: Result<Option<Term>, Error>,
    ) {
        let now = self.links.clock.now();
        let nearest = self.nearest_end(name);
        let Some(kept) = self.secrets.get_mut(name) else { return };
        if kept.slot.busy == Some(Busy::LookingUp) {
            kept.slot.busy = None;
        }
        if kept.slot.newest().is_none_or(|held| held.key != key) {
            return;
        }
        match result {
            Ok(term) => {
                if let (Some(term), Some(life)) =
                    (term, kept.slot.newest_mut().and_then(|held| held.life.as_mut()))
                {
                    schedule::confirm(life, term, sent);
                }
                kept.slot.suspect = None;
                kept.slot.lookup_retry = Retry::default();
                kept.slot.confirmed = Some(now);
                self.gate.reached();
            }
            Err(error) if matches!(error.kind, Kind::LeaseGone | Kind::Absent | Kind::Invalid) => {
                self.gate.reached();
                let at = schedule::heal_at(kept.slot.suspect, &kept.plan.policy, now, &mut self.dice);
                lose(kept, at);
                if let Some(candidate) = kept.slot.candidate.take() {
                    self.take_back_offer(name, &candidate.held.key);
                    self.unrecord(&EntryId::held(&candidate.held.key));
                }
                self.links.events.emit(&Event::LeaseLost {
                    secret: name,
                    provider: &self.name,
                    replaced_in: at.since(now),
                });
            }
            Err(error) => {
                if error.kind == Kind::Denied {
                    // Unknown: it is kept, and asked about again at its next renewal.
                    kept.slot.suspect = None;
                }
                let retry =
                    schedule::retry(kept.slot.lookup_retry, error.retry_after, nearest, now, &mut self.dice);
                kept.slot.lookup_retry = retry;
                if error.kind == Kind::SessionEnded {
                    self.session_gone(session, &error);
                }
                self.note_health(&error, group, nearest, now);
                self.links.events.emit(&Event::Failed {
                    secret: Some(name),
                    error: &error,
                    retry_in: Some(retry.wait),
                });
            }
        }
    }

    pub(super) fn revoked(
        &mut self,
        name: &str,
        key: &str,
        session: &str,
        group: &str,
        result: Result<(), Error>,
    ) {
        let now = self.links.clock.now();
        let lease = self.retiring_lease(name, key).unwrap_or_default();
        let error = match result {
            Ok(()) => {
                self.gate.reached();
                let was = match self.orphans.iter().find(|orphan| orphan.held.key == key) {
                    None => Was::Replaced,
                    Some(orphan) => orphan.was,
                };
                self.links.events.emit(&Event::Revoked {
                    was,
                    secret: name,
                    provider: &self.name,
                    lease: &lease,
                });
                self.orphans.retain(|orphan| orphan.held.key != key);
                return self.forget_retired(name, key);
            }
            Err(error) => error,
        };
        let end = self.retiring_end(name, key);
        let denied = matches!(error.kind, Kind::Denied | Kind::Invalid | Kind::Internal);
        if error.kind == Kind::SessionEnded {
            self.session_gone(session, &error);
        }
        self.note_health(&error, group, end, now);
        let dice = &mut self.dice;
        let next = |revocation: &mut Revocation| {
            let before = match *revocation {
                Revocation::Due(retry) => retry,
                _ => Retry::default(),
            };
            *revocation = if denied {
                Revocation::Forgone
            } else {
                Revocation::Due(schedule::retry(before, error.retry_after, None, now, dice))
            };
        };
        let retiring = self
            .secrets
            .get_mut(name)
            .and_then(|kept| kept.slot.retiring.iter_mut().find(|retiring| retiring.held.key == key));
        match (retiring, self.orphans.iter_mut().find(|orphan| orphan.held.key == key)) {
            (Some(retiring), _) => {
                let mut next = next;
                next(&mut retiring.revocation);
            }
            (None, Some(orphan)) => {
                let mut next = next;
                next(&mut orphan.revocation);
            }
            (None, None) => return,
        }
        if denied {
            self.orphans.retain(|orphan| orphan.held.key != key);
        }
        // A right that is missing is missing for every lease: it is said once.
        self.links.events.emit(&Event::RevokeFailed {
            secret: name,
            error: &error,
            ends_in: end.map(|end| end.since(now)),
            repeated: error.kind == Kind::Denied && self.revocation_denied,
        });
        self.revocation_denied |= error.kind == Kind::Denied;
    }

    pub(super) fn start_orphan_revocation(&mut self, key: &str) {
        let Some(orphan) = self.orphans.iter_mut().find(|orphan| orphan.held.key == key) else { return };
        orphan.revocation = Revocation::Asked;
        let (secret, reference, held) =
            (orphan.secret.clone(), orphan.reference.clone(), orphan.held.clone());
        self.send_revocation(secret, reference, held);
    }

    pub(super) fn retiring_lease(&self, name: &str, key: &str) -> Option<String> {
        let retiring = self.secrets.get(name).and_then(|kept| {
            kept.slot.retiring.iter().map(|retiring| &retiring.held).find(|held| held.key == key)
        });
        let orphan = self.orphans.iter().map(|orphan| &orphan.held).find(|held| held.key == key);
        retiring.or(orphan)?.lease.as_ref().map(|lease| lease.id.clone())
    }

    pub(super) fn retiring_end(&self, name: &str, key: &str) -> Option<Moment> {
        let held = self
            .secrets
            .get(name)?
            .slot
            .retiring
            .iter()
            .map(|retiring| &retiring.held)
            .find(|held| held.key == key)?;
        schedule::effective_end(held, self.sessions.held(&held.session))
    }

    /// When a secret's successor has to be fetched.
    pub(super) fn rotation(&self, name: &str) -> Option<Moment> {
        let kept = self.secrets.get(name)?;
        let held = kept.slot.newest()?;
        schedule::rotate_at(held, self.sessions.held(&held.session), &kept.plan.policy)
    }
}
