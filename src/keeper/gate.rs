//! What holds back what is due: an unreachable store, a throttled operation, a missing session, a
//! full house, the ceiling on mints, an end that is near.

use std::collections::BTreeMap;

use leasehold_core::{Effect, Error, Kind, Operation};

use super::{Keeper, MOST_IN_FLIGHT, MOST_MINTING, Phase, Work};
use crate::clock::Moment;
use crate::events::Event;
use crate::schedule::{self, Action};
use crate::slot::Retry;

/// A store's health, as its answers show it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// It could not be reached: until then nothing is asked, and then one thing at a time.
    down: Option<Retry>,
    /// Operations that it throttles, by group, until then.
    throttled: BTreeMap<(Operation, String), Moment>,
}

impl Gate {
    /// The store answered.
    pub(super) fn reached(&mut self) {
        self.down = None;
    }

    /// Somebody asks: what could not be reached is tried now. Answers whether it waited.
    pub(super) fn hurry(&mut self) -> bool {
        let Some(down) = &mut self.down else { return false };
        down.at = None;
        true
    }
}

impl Keeper {
    /// Notes what an error says of the whole store. `nearest` is the nearest end that a pause must
    /// leave room for.
    pub(super) fn note_health(&mut self, error: &Error, group: &str, nearest: Option<Moment>, now: Moment) {
        match error.kind {
            Kind::Unavailable => {
                // Several requests fail together: that is one failure.
                if self.gate.down.is_none_or(|down| down.at.is_none_or(|at| at <= now)) {
                    let before = self.gate.down.unwrap_or_default();
                    self.gate.down =
                        Some(schedule::retry(before, error.retry_after, nearest, now, &mut self.dice));
                }
            }
            Kind::Throttled => {
                let pause =
                    schedule::retry(Retry::default(), error.retry_after, nearest, now, &mut self.dice);
                if let Some(at) = pause.at {
                    self.gate.throttled.insert((error.operation, group.to_owned()), at);
                }
                self.gate.reached();
            }
            _ => self.gate.reached(),
        }
    }

    /// When this work may start: `None` where only an event can let it.
    pub(super) fn gated(&mut self, at: Moment, work: &Work, now: Moment) -> Option<Moment> {
        match work {
            Work::Secret(_, Action::Offer | Action::Expire | Action::Forget { .. }) => return Some(at),
            _ if self.inflight.len() >= MOST_IN_FLIGHT => return None,
            _ => {}
        }
        let mut at = at;
        if let Some(down) = self.gate.down {
            if self.inflight.len() > self.minting.len() {
                return None;
            }
            at = down.at.map_or(at, |until| at.max(until));
        }
        match work {
            Work::Login => Some(self.throttled(at, Operation::Login, "")),
            Work::RenewSession(_) => Some(self.throttled(at, Operation::Renew, "")),
            Work::LookupSession(_) => Some(self.throttled(at, Operation::Lookup, "")),
            Work::RevokeSession(_) => Some(self.throttled(at, Operation::Revoke, "")),
            Work::RevokeOrphan(_) => {
                self.sessions.current()?;
                Some(self.throttled(at, Operation::Revoke, ""))
            }
            Work::Secret(name, action) => self.gated_secret(at, name, action, now),
        }
    }

    fn gated_secret(&mut self, at: Moment, name: &str, action: &Action, now: Moment) -> Option<Moment> {
        self.sessions.current()?;
        let traits = self.traits(name)?;
        let operation = match action {
            Action::Renew => Operation::Renew,
            Action::Lookup => Operation::Lookup,
            Action::Revoke { .. } => Operation::Revoke,
            _ => Operation::Fetch,
        };
        if operation == Operation::Fetch && self.sessions.is_learning() {
            return None;
        }
        let at = self.throttled(at, operation, &traits.group);
        if operation != Operation::Fetch || traits.effect == Effect::Reads {
            return Some(at);
        }
        if self.minting.len() >= MOST_MINTING {
            return None;
        }
        // What hangs on a session that is about to be replaced would die with it.
        if self.sessions.current_is_leaving(&self.session_overlaps, now) {
            return None;
        }
        if let Phase::Waiting(until) = self.phase
            && !self.dies_before(name, until)
        {
            return None;
        }
        Some(self.limited(at, name, now))
    }

    fn throttled(&self, at: Moment, operation: Operation, group: &str) -> Moment {
        self.gate.throttled.get(&(operation, group.to_owned())).map_or(at, |until| at.max(*until))
    }

    /// Whether the current credential dies before the end of the wait.
    fn dies_before(&self, name: &str, until: Option<Moment>) -> bool {
        let Some(kept) = self.secrets.get(name) else { return false };
        let Some(current) = &kept.slot.current else { return false };
        let session = self.sessions.held(&current.session);
        let lost = matches!(kept.slot.want, Some(crate::slot::Want::Lost(_)));
        let end = schedule::effective_end(current, session);
        match (end, until) {
            _ if lost => true,
            (Some(end), Some(until)) => end <= until,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// Holds a mint back where the ceiling asks for it, and says so once.
    fn limited(&mut self, at: Moment, name: &str, now: Moment) -> Moment {
        let Some(kept) = self.secrets.get_mut(name) else { return at };
        let session = kept.slot.newest().and_then(|held| self.sessions.held(&held.session));
        let ceiling = schedule::mints_ceiling(&kept.slot, session, &kept.plan.policy);
        let allowed = schedule::mint_allowed_at(&kept.slot, ceiling, now);
        if allowed > at.max(now) && at <= now && kept.limit_said.is_none_or(|said| said < allowed) {
            kept.limit_said = Some(allowed);
            self.links.events.emit(&Event::MintsLimited {
                secret: name,
                provider: &self.name,
                ceiling,
                wait: allowed.since(now),
            });
        }
        at.max(allowed)
    }
}
