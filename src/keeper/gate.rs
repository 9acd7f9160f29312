//! What holds back what is due: an unreachable store, a throttled operation, a missing session, a
//! full house, the ceiling on mints, an end that is near.

use std::collections::BTreeMap;

use leasehold_core::{Effect, Error, Kind, Operation};

use super::{Keeper, MOST_IN_FLIGHT, MOST_MINTING, Phase, Refreshed, Work};
use crate::clock::Moment;
use crate::events::Event;
use crate::schedule::{self, Action};
use crate::slot::Retry;

/// A store's health, as its answers show it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// It could not be reached: until then nothing is asked, and then one thing at a time.
    down: Option<Retry>,
    /// Operations that it throttles, by group.
    throttled: BTreeMap<Lane, Throttle>,
}

/// What a store throttles as one: an operation on a group of secrets; `""` for sessions.
pub(super) type Lane = (Operation, String);

/// Until `retry.at` nothing is asked; then one request, until one is answered otherwise.
#[derive(Clone, Copy, Debug, Default)]
struct Throttle {
    retry: Retry,
    asking: bool,
}

impl Gate {
    /// The store answered.
    pub(super) fn reached(&mut self) {
        self.down = None;
    }

    /// A request was sent.
    pub(super) fn asks(&mut self, lane: &Lane) {
        if let Some(throttle) = self.throttled.get_mut(lane) {
            throttle.asking = true;
        }
    }

    /// A request was answered: with 429, or otherwise.
    pub(super) fn answers(&mut self, lane: &Lane, error: Option<&Error>) {
        if error.is_none_or(|error| error.kind != Kind::Throttled) {
            self.throttled.remove(lane);
        } else if let Some(throttle) = self.throttled.get_mut(lane) {
            throttle.asking = false;
        }
    }

    fn throttled(&self, at: Moment, lane: &Lane) -> Option<Moment> {
        match self.throttled.get(lane) {
            Some(throttle) if throttle.asking => None,
            Some(Throttle { retry: Retry { at: Some(until), .. }, .. }) => Some(at.max(*until)),
            _ => Some(at),
        }
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
                let throttle = self.gate.throttled.entry((error.operation, group.to_owned())).or_default();
                // Several requests refused together are one refusal.
                if throttle.retry.at.is_none_or(|at| at <= now) {
                    let before = throttle.retry;
                    throttle.retry = schedule::retry(before, error.retry_after, nearest, now, &mut self.dice);
                }
                self.gate.reached();
            }
            _ => self.gate.reached(),
        }
        self.tell_who_waits_behind(error, group);
    }

    /// Whoever asked for a `refresh` of what is held back by this error hears of it now; it is done once the
    /// store lets it.
    fn tell_who_waits_behind(&mut self, error: &Error, group: &str) {
        for kept in self.secrets.values_mut() {
            let held_back = match error.kind {
                Kind::Unavailable => true,
                Kind::Throttled => {
                    error.operation == Operation::Fetch
                        && self.provider.describe(&kept.plan.reference).group == group
                }
                _ => false,
            };
            if held_back && kept.slot.busy.is_none() && kept.slot.candidate.is_none() {
                for waiting in kept.waiting.drain(..) {
                    let _ = waiting.send(Refreshed::Failed(format!("not tried yet, after: {error}")));
                }
            }
        }
    }

    /// When this work may start: `None` where only an event can let it.
    pub(super) fn gated(&mut self, at: Moment, work: &Work, now: Moment) -> Option<Moment> {
        match work {
            Work::OfferSession | Work::Secret(_, Action::Offer | Action::Expire | Action::Forget { .. }) => {
                return Some(at);
            }
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
        let at = self.gate.throttled(at, &self.lane(work)?)?;
        match work {
            Work::RevokeOrphan(_) => self.sessions.current().map(|_| at),
            Work::Secret(name, action) => self.gated_secret(at, name, action, now),
            _ => Some(at),
        }
    }

    /// What a store may throttle of this work.
    pub(super) fn lane(&self, work: &Work) -> Option<Lane> {
        let (operation, group) = match work {
            Work::Login => (Operation::Login, String::new()),
            Work::RenewSession(_) => (Operation::Renew, String::new()),
            Work::LookupSession(_) => (Operation::Lookup, String::new()),
            Work::RevokeSession(_) => (Operation::Revoke, String::new()),
            Work::RevokeOrphan(key) => {
                let orphan = self.orphans.iter().find(|orphan| orphan.held.key == *key)?;
                (Operation::Revoke, self.provider.describe(&orphan.reference).group)
            }
            Work::OfferSession => return None,
            Work::Secret(name, action) => (operation(action), self.traits(name)?.group),
        };
        Some((operation, group))
    }

    fn gated_secret(&mut self, at: Moment, name: &str, action: &Action, now: Moment) -> Option<Moment> {
        self.sessions.current()?;
        let traits = self.traits(name)?;
        let operation = operation(action);
        if operation == Operation::Fetch && self.sessions.is_learning() {
            return None;
        }
        if operation != Operation::Fetch || traits.effect == Effect::Reads {
            return Some(at);
        }
        if self.minting.len() >= MOST_MINTING {
            return None;
        }
        // What hangs on a session that is about to be replaced would die with it.
        if self.sessions.current_is_leaving(&self.session_rooms, now) {
            return None;
        }
        if let Phase::Waiting(until) = self.phase
            && !self.dies_before(name, until)
        {
            return None;
        }
        Some(self.limited(at, name, now))
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

fn operation(action: &Action) -> Operation {
    match action {
        Action::Renew => Operation::Renew,
        Action::Lookup => Operation::Lookup,
        Action::Revoke { .. } => Operation::Revoke,
        _ => Operation::Fetch,
    }
}
