//! When what is due: pure functions of a slot, its session, the policy and now. No clock, no I/O;
//! chance comes from a [`Dice`] that the caller holds. Shifting every moment by a constant shifts
//! every answer by it.
//!
//! The rules, for a lease granted for `T` with overlap `O` (at most a third of `T`) and a time `P` for
//! publishing: a tenth of `T`, at most a second, and before it what the configuration puts between the
//! store's answer and the announcement (`settle`, a restart and its splay; at most a quarter of `T`):
//!
//! - It is renewed at a fraction of `T` drawn between 0.6 and 0.7, earlier where `T - O - P` asks
//!   for it (then with a tenth of spread), so that a renewal that brings nothing leaves room for
//!   a successor and its overlap. A second more is kept for the store, which counts in seconds.
//! - A failed renewal is repeated, jittered, until `O + P` before the end; then a successor is
//!   fetched.
//! - Once the end cannot move any more (a renewal granted less than asked, or the session's end
//!   is the nearer one), a successor is fetched `O + P` before it.
//! - What cannot be renewed is rotated where others are renewed.

mod dice;
mod room;

use std::time::Duration;

use leasehold_core::Term;

use crate::clock::Moment;
use crate::slot::{
    Awaits, Held, HeldSession, Life, MINT_WINDOW, Offered, Retiring, Retry, Revocation, Slot, Suspicion, Want,
};

pub use dice::Dice;
pub use room::{
    Lead, Room, Splay, lead, lead_too_long, longest_room, margin, overlap, room, settle, splay,
    splay_of_polled, widest,
};

/// The least time between two attempts at the same thing; only an expiry comes before it.
pub const FLOOR: Duration = Duration::from_millis(500);
/// The longest time between two renewals.
pub const CEILING: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest wait between two attempts.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The least time between two look-ups on the application's word.
pub const STALE_WINDOW: Duration = Duration::from_secs(10);
/// Stores count TTLs in whole seconds: near its max TTL a renewal may even bring the end this much nearer.
const GRAIN: Duration = Duration::from_secs(1);
/// How long after its announced change a static role is looked at.
const CHANGE_LAG: Duration = Duration::from_millis(500);

/// What the configuration says of one secret's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long before its end a successor is due.
    pub room: Room,
    /// See `refresh`.
    pub refresh: Duration,
    /// See `lookup`.
    pub lookup: Option<Duration>,
    /// See `lifecycle.heal_splay`.
    pub heal_splay: Duration,
    /// See `limits.mints_per_minute`.
    pub mints_per_minute: u32,
}

/// What is to be done with a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read it, or mint a successor.
    Fetch,
    /// Renew the newest lease.
    Renew,
    /// Ask whether the newest lease still lives.
    Lookup,
    /// Offer the candidate to the publisher.
    Offer,
    /// The current one has ended: say so.
    Expire,
    /// Revoke a retiring lease.
    Revoke {
        /// [`Held::key`].
        key: String,
    },
    /// A retiring lease has ended by itself: forget it.
    Forget {
        /// [`Held::key`].
        key: String,
    },
}

/// The life of what was just granted. `before` is its life so far, for a renewal.
pub fn life(
    before: Option<&Life>,
    term: Term,
    sent: Moment,
    configured: impl Into<Room>,
    dice: &mut Dice,
) -> Life {
    let granted = before.map_or(term.ttl, |life| life.granted);
    let capped = before.is_some_and(|life| life.capped || term.ttl + margin(granted) < life.granted);
    let reserve = room(&configured.into(), granted) + margin(granted);
    let latest = term.ttl.saturating_sub(reserve);
    let latest = match term.renewable && !capped {
        true => latest.saturating_sub(GRAIN).max(FLOOR).min(latest),
        false => latest,
    };
    let high = term.ttl.mul_f64(0.7).min(latest);
    let low = high.saturating_sub(term.ttl / 10);
    let mut offset = dice.between(low, high).max(FLOOR.min(latest));
    if term.renewable {
        offset = offset.min(CEILING);
    }
    Life { granted, end: sent + term.ttl, renewable: term.renewable, capped, renew_at: sent + offset }
}

/// Takes over what a look-up said. It tells whole seconds, rounded down: an end less than a second before the
/// one that we know of is the same end.
pub fn confirm(life: &mut Life, term: Term, sent: Moment) {
    let told = sent + term.ttl;
    if told > life.end || told + GRAIN < life.end {
        life.end = told;
    }
}

/// When it truly ends: the earlier of its own end and its session's.
pub fn effective_end(held: &Held, session: Option<&HeldSession>) -> Option<Moment> {
    let own = held.life.as_ref().map(|life| life.end);
    let session = session.filter(|_| held.hangs_on_session()).and_then(HeldSession::end);
    earlier(own, session)
}

/// The grant that its overlap is measured by: its own first one, or its session's where that is
/// shorter.
pub fn effective_grant(held: &Held, session: Option<&HeldSession>) -> Option<Duration> {
    let own = held.life.as_ref().map(|life| life.granted)?;
    let session = session
        .filter(|_| held.hangs_on_session())
        .and_then(|session| session.life.as_ref())
        .map(|life| life.granted);
    Some(session.map_or(own, |session| session.min(own)))
}

/// When a successor has to be fetched at the latest, as things stand. `None`: never, as it does
/// not die.
pub fn rotate_at(held: &Held, session: Option<&HeldSession>, policy: &Policy) -> Option<Moment> {
    let life = held.life.as_ref()?;
    let grant = effective_grant(held, session)?;
    let reserve = room(&policy.room, grant) + margin(grant);
    let own = if life.renewable { life.end.before(reserve) } else { life.renew_at };
    let session_last = session
        .filter(|_| held.hangs_on_session())
        .and_then(HeldSession::last_end)
        .map(|end| end.before(reserve));
    earlier(Some(own), session_last)
}

/// What is due next for a secret. `sessions` finds a session by its id; `acknowledged` is the
/// newest generation that the application acknowledged.
pub fn next<'s>(
    slot: &Slot,
    sessions: &dyn Fn(&str) -> Option<&'s HeldSession>,
    policy: &Policy,
    acknowledged: Option<u64>,
    now: Moment,
) -> Option<(Moment, Action)> {
    let mut due = Earliest(None);
    for retiring in &slot.retiring {
        due.offer_some(retire(retiring, sessions(&retiring.held.session), acknowledged, now));
    }
    if let Some(current) = &slot.current
        && !slot.expired
        && let Some(end) = effective_end(current, sessions(&current.session))
    {
        due.offer(end, Action::Expire);
    }
    if let Some(candidate) = &slot.candidate
        && candidate.offer == Offered::No
    {
        due.offer(candidate.retry.at.unwrap_or(now), Action::Offer);
    }
    if slot.busy.is_none() {
        due.offer_some(main_line(slot, sessions, policy, now));
    }
    due.0
}

/// The mints allowed in a minute: what is configured, raised to twice what the life needs.
pub fn mints_ceiling(slot: &Slot, session: Option<&HeldSession>, policy: &Policy) -> u32 {
    let grant = slot.newest().and_then(|held| effective_grant(held, session));
    let life = match (grant, slot.shortest_life) {
        (Some(grant), Some(seen)) => grant.min(seen),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return policy.mints_per_minute,
    };
    let between = life.mul_f64(0.5).max(FLOOR);
    let needed = MINT_WINDOW.as_secs_f64() / between.as_secs_f64();
    policy.mints_per_minute.max((needed.ceil() as u32).saturating_mul(2))
}

/// When the next mint may be sent: now, or when the ceiling lets it.
pub fn mint_allowed_at(slot: &Slot, ceiling: u32, now: Moment) -> Moment {
    let live: Vec<Moment> =
        slot.mints.iter().copied().filter(|sent| now.since(*sent) < MINT_WINDOW).collect();
    let ceiling = ceiling.max(1) as usize;
    if live.len() < ceiling { now } else { live[live.len() - ceiling] + MINT_WINDOW }
}

/// The next wait after a failure: decorrelated jitter between the floor and three times the last
/// wait; not past a third of what is left until `deadline`, which wins over the floor.
pub fn retry(
    before: Retry,
    asked: Option<Duration>,
    deadline: Option<Moment>,
    now: Moment,
    dice: &mut Dice,
) -> Retry {
    let high = (before.wait * 3).clamp(FLOOR * 2, LONGEST_WAIT);
    let mut wait = dice.between(FLOOR, high);
    if let Some(asked) = asked {
        wait = wait.max(dice.between(asked, asked + asked / 10));
    }
    if let Some(left) = deadline.map(|deadline| deadline.since(now)).filter(|left| !left.is_zero()) {
        wait = wait.min((left / 3).max(FLOOR)).min(left);
    }
    Retry { count: before.count.saturating_add(1), wait, at: Some(now + wait) }
}

/// What failed for a reason that is over is tried again within `splay`, and not past a third of what is left
/// until `deadline`; what would be tried earlier stays.
pub fn again(
    before: Retry,
    deadline: Option<Moment>,
    splay: Duration,
    now: Moment,
    dice: &mut Dice,
) -> Retry {
    let Some(at) = before.at else { return before };
    let longest = deadline.map_or(splay, |deadline| splay.min(deadline.since(now) / 3));
    Retry { at: Some(at.min(now + dice.between(Duration::ZERO, longest))), ..Retry::default() }
}

/// When a polled value is read again: within its interval, at random in the last fifth of it.
pub fn poll_at(refresh: Duration, changes_in: Option<Duration>, now: Moment, dice: &mut Dice) -> Moment {
    let usual = now + dice.between(refresh - poll_band(refresh), refresh);
    match changes_in {
        Some(change) => now + change + dice.between(CHANGE_LAG, CHANGE_LAG * 2),
        None => usual,
    }
}

/// How long before it is due a polled value may be read along with others: as wide as its jitter, so
/// that secrets of one interval, once read together, stay together.
pub fn poll_band(refresh: Duration) -> Duration {
    refresh / 5
}

/// How many requests an hour so many polled secrets of one interval cost at most, read together as
/// far as the store lets them.
pub fn polls_per_hour(secrets: usize, batch: usize, refresh: Duration) -> f64 {
    let requests = u32::try_from(secrets.div_ceil(batch.max(1))).unwrap_or(u32::MAX);
    let shortest = (refresh - poll_band(refresh)).max(FLOOR);
    f64::from(requests) * 3_600.0 / shortest.as_secs_f64()
}

/// When a session has to be replaced by a new log-in at the latest, as things stand: long enough
/// before its end that what hangs on it can be fetched anew and overlap.
pub fn replace_session_at(session: &HeldSession, rooms: &[Room]) -> Option<Moment> {
    let life = session.life.as_ref()?;
    let reserve = longest_room(rooms, life.granted) + margin(life.granted) * 2;
    Some(life.end.before(reserve))
}

/// When a session is renewed; `None` where it cannot be.
pub fn renew_session_at(session: &HeldSession, retry: Retry) -> Option<Moment> {
    let life = session.life.as_ref().filter(|life| !life.is_final())?;
    Some(later(life.renew_at, retry.at))
}

fn main_line<'s>(
    slot: &Slot,
    sessions: &dyn Fn(&str) -> Option<&'s HeldSession>,
    policy: &Policy,
    now: Moment,
) -> Option<(Moment, Action)> {
    let mut due = Earliest(None);
    let Some(held) = slot.newest() else {
        due.offer(slot.fetch_retry.at.unwrap_or(now), Action::Fetch);
        return due.0;
    };
    let session = sessions(&held.session);
    let lost = matches!(slot.want, Some(Want::Lost(_)));
    if held.lease.is_some() && !lost {
        if slot.suspect.is_some() {
            due.offer(slot.lookup_retry.at.unwrap_or(now), Action::Lookup);
        } else if let Some(every) = policy.lookup {
            let from = slot.confirmed.unwrap_or(held.issued);
            due.offer(later(from + every, slot.lookup_retry.at), Action::Lookup);
        }
    }
    let rotate = rotate_at(held, session, policy);
    let pointless = || {
        let last = session.filter(|_| held.hangs_on_session()).and_then(HeldSession::last_end);
        last.is_some_and(|last| held.life.as_ref().is_some_and(|life| life.end >= last))
    };
    if let Some(life) = held.life.as_ref().filter(|life| !life.is_final())
        && held.lease.is_some()
        && !lost
        && !pointless()
    {
        let renew = later(life.renew_at, slot.renew_retry.at);
        if rotate.is_none_or(|rotate| renew <= rotate) {
            due.offer(renew, Action::Renew);
        }
    }
    let is_polled = held.lease.is_none() && held.life.is_none();
    if is_polled && slot.candidate.is_some() {
        // It is not in place, maybe for long, and it costs nothing to see whether the store has something
        // better.
        due.offer_some(successor(slot, rotate, now));
        return due.0;
    }
    if slot.candidate.is_some() {
        // One fetch is on its way to the application: no further one, unless it dies there.
        if let Some(end) = effective_end(held, session) {
            due.offer(later(end, slot.fetch_retry.at), Action::Fetch);
        }
        return due.0;
    }
    due.offer_some(successor(slot, rotate, now));
    due.0
}

/// When the current one's successor is fetched.
fn successor(slot: &Slot, rotate: Option<Moment>, now: Moment) -> Option<(Moment, Action)> {
    let wanted = match slot.want {
        Some(Want::Asked) => Some(now),
        Some(Want::Lost(at)) => Some(at),
        None => None,
    };
    let at = earlier(wanted, rotate.or(slot.poll_at))?;
    Some((later(at, slot.fetch_retry.at), Action::Fetch))
}

fn retire(
    retiring: &Retiring,
    session: Option<&HeldSession>,
    acknowledged: Option<u64>,
    now: Moment,
) -> Option<(Moment, Action)> {
    let key = || retiring.held.key.clone();
    let end = effective_end(&retiring.held, session);
    if !retiring.held.is_revocable() {
        return Some((end.map_or(now, |end| end.min(retire_at(retiring))), Action::Forget { key: key() }));
    }
    let forget = end.map(|end| (end, Action::Forget { key: key() }));
    let acked = acknowledged.is_some_and(|generation| generation >= retiring.generation);
    if retiring.awaits == Awaits::Acknowledgement && !acked {
        return forget;
    }
    let Revocation::Due(retry) = retiring.revocation else { return forget };
    let at = later(retire_at(retiring), retry.at);
    match forget {
        Some((end, forget)) if end <= at => Some((end, forget)),
        _ => Some((at, Action::Revoke { key: key() })),
    }
}

/// The end of a replaced credential's overlap.
pub fn retire_at(retiring: &Retiring) -> Moment {
    retiring.announced + retiring.overlap
}

/// Whether a replaced credential may be taken back now.
pub fn may_retire(retiring: &Retiring, acknowledged: Option<u64>, now: Moment) -> bool {
    let acked = acknowledged.is_some_and(|generation| generation >= retiring.generation);
    now >= retire_at(retiring) && (retiring.awaits == Awaits::Nothing || acked)
}

/// When a lease that the store has lost is replaced.
pub fn heal_at(suspicion: Option<Suspicion>, policy: &Policy, now: Moment, dice: &mut Dice) -> Moment {
    match suspicion {
        Some(Suspicion::Reported) => now,
        _ => now + dice.between(Duration::ZERO, policy.heal_splay),
    }
}

fn earlier(one: Option<Moment>, other: Option<Moment>) -> Option<Moment> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn later(one: Moment, other: Option<Moment>) -> Moment {
    other.map_or(one, |other| one.max(other))
}

/// Keeps the earliest of what it is offered.
struct Earliest(Option<(Moment, Action)>);

impl Earliest {
    fn offer(&mut self, at: Moment, action: Action) {
        if self.0.as_ref().is_none_or(|(earliest, _)| at < *earliest) {
            self.0 = Some((at, action));
        }
    }

    fn offer_some(&mut self, due: Option<(Moment, Action)>) {
        if let Some((at, action)) = due {
            self.offer(at, action);
        }
    }
}

#[cfg(test)]
mod tests;
