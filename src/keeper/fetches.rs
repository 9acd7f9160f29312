//! What a read or a mint brought, or why it brought nothing.

use leasehold_core::{Effect, Error, Fetched, Kind, SecretRef};

use super::{Fatal, Keeper, LeftOut, Orphan};
use crate::clock::Moment;
use crate::config::model::Overlap;
use crate::events::{Event, Was};
use crate::handover::Role;
use crate::publisher::Lack;
use crate::schedule::{self, Room};
use crate::slot::{Candidate, Held, Offered, Retry, Revocation};

/// Why a secret that is not required is left out while its store gives no good answer.
const UNREACHABLE: &str = "the store is not reachable";

impl Keeper {
    #[expect(clippy::too_many_arguments, reason = "one per fact of an answer; all are used at once")]
    pub(super) fn fetched(
        &mut self,
        name: &str,
        reference: SecretRef,
        sent: Moment,
        session: &str,
        effect: Effect,
        group: &str,
        result: Result<Fetched, Error>,
    ) {
        let unwanted = self.secrets.get(name).is_none_or(|kept| kept.plan.reference != reference);
        if let Some(kept) = self.secrets.get_mut(name)
            && !unwanted
        {
            kept.slot.busy = None;
        }
        match result {
            Ok(fetched) if unwanted => self.orphan_answer(name, reference, sent, session, fetched),
            Ok(fetched) => self.took(name, sent, session, effect, fetched),
            Err(_) if unwanted => {}
            Err(error) => self.fetch_failed(name, session, group, error),
        }
    }

    /// A value came for a secret that the configuration no longer has, or has otherwise.
    pub(super) fn orphan_answer(
        &mut self,
        name: &str,
        reference: SecretRef,
        sent: Moment,
        session: &str,
        fetched: Fetched,
    ) {
        let Some(held) = self.held(sent, session, &fetched, Overlap::Auto.into()) else { return };
        if held.is_revocable() {
            self.record_held(name, String::new(), &held, Role::Unwanted);
            let now = self.links.clock.now();
            self.orphans.push(Orphan {
                was: Was::Unneeded,
                secret: name.to_owned(),
                reference,
                held,
                at: now,
                revocation: Revocation::Due(Retry::default()),
            });
        }
    }

    /// What a fetch brought, as something that we hold.
    pub(super) fn held(
        &mut self,
        sent: Moment,
        session: &str,
        fetched: &Fetched,
        room: Room,
    ) -> Option<Held> {
        let fields = fetched.fields.clone()?;
        Some(Held {
            key: self.dice.key(),
            fields,
            version: fetched.version.clone(),
            lease: fetched.lease.clone(),
            session: session.to_owned(),
            issued: sent,
            life: fetched.term.map(|term| schedule::life(None, term, sent, room, &mut self.dice)),
            changes_at: fetched.changes_in.map(|change| sent + change),
        })
    }

    pub(super) fn took(&mut self, name: &str, sent: Moment, session: &str, effect: Effect, fetched: Fetched) {
        let now = self.links.clock.now();
        let Some(room) = self.secrets.get(name).map(|kept| kept.plan.policy.room) else { return };
        let held = self.held(sent, session, &fetched, room);
        let Some(kept) = self.secrets.get_mut(name) else { return };
        kept.slot.fetch_retry = Retry::default();
        kept.slot.denied_under = None;
        kept.slot.confirmed = Some(now);
        kept.error = None;
        kept.left_out = LeftOut::No;
        if fetched.term.is_none() {
            kept.slot.poll_at =
                Some(schedule::poll_at(kept.plan.policy.refresh, fetched.changes_in, now, &mut self.dice));
        }
        let same = held.as_ref().is_none_or(|held| {
            held.lease.is_none()
                && held.life.is_none()
                && kept.slot.newest().is_some_and(|newest| newest.fields == held.fields)
        });
        if same {
            if let (Some(newest), Some(version)) = (kept.slot.newest_mut(), fetched.version) {
                newest.version = Some(version);
            }
            kept.slot.want = None;
            for waiting in kept.waiting.drain(..) {
                let _ = waiting.send(super::Refreshed::Unchanged);
            }
            self.links.events.emit(&Event::Unchanged { secret: name, provider: &self.name });
            return;
        }
        let Some(held) = held else { return };
        self.links.events.emit(&Event::Fetched {
            secret: name,
            provider: &self.name,
            effect,
            lease: held.lease.as_ref().map(|lease| lease.id.as_str()),
            ttl: fetched.term.map(|term| term.ttl),
            version: held.version.as_deref(),
        });
        let unseen = kept.slot.candidate.take().map(|candidate| candidate.held);
        let reference = kept.plan.reference.clone();
        kept.slot.want = None;
        kept.slot.renew_retry = Retry::default();
        kept.slot.lookup_retry = Retry::default();
        let fingerprint = kept.plan.fingerprint.clone();
        let retry = self.settling(name, &held, now);
        let Some(kept) = self.secrets.get_mut(name) else { return };
        kept.slot.candidate = Some(Candidate { held: held.clone(), offer: Offered::No, retry });
        self.say_room(name, &held);
        self.record_held(name, fingerprint, &held, Role::Current);
        if let Some(unseen) = unseen {
            self.give_up(name, &reference, unseen, room.overlap);
        }
    }

    /// When something that came at `came` is first offered: once it is known everywhere, and while what it
    /// replaces still lives.
    pub(super) fn settling(&self, name: &str, held: &Held, came: Moment) -> Retry {
        let Some(kept) = self.secrets.get(name) else { return Retry::default() };
        let grant = schedule::effective_grant(held, self.sessions.held(&held.session));
        let settle = schedule::settle(&kept.plan.policy.room, grant);
        if settle.is_zero() {
            return Retry::default();
        }
        let now = self.links.clock.now();
        let end = kept.slot.current.as_ref().filter(|_| !kept.slot.expired).and_then(|current| {
            let session = self.sessions.held(&current.session);
            let grant = schedule::effective_grant(current, session)?;
            Some(schedule::effective_end(current, session)?.before(schedule::margin(grant)))
        });
        let at = end.map_or(came + settle, |end| end.min(came + settle));
        Retry { at: Some(at.max(now)), ..Retry::default() }
    }

    /// A candidate was overtaken by another before its publication was confirmed: it has died meanwhile, or
    /// its secret left the configuration and came back, and both mints were answered. The files may hold it
    /// for a moment.
    pub(super) fn give_up(&mut self, name: &str, reference: &SecretRef, held: Held, configured: Overlap) {
        let now = self.links.clock.now();
        let session = self.sessions.held(&held.session);
        let lives = schedule::effective_end(&held, session).is_some_and(|end| end > now);
        if lives && held.is_revocable() {
            let grant = schedule::effective_grant(&held, session).unwrap_or_default();
            self.orphan(name, reference, held, schedule::overlap(configured, grant), Was::Replaced);
        } else {
            self.let_go(&held.key);
        }
    }

    /// Says once that what the store grants has less room for its successor than is configured.
    pub(super) fn say_room(&mut self, name: &str, held: &Held) {
        let session = self.sessions.held(&held.session);
        let Some(grant) = schedule::effective_grant(held, session) else { return };
        let Some(kept) = self.secrets.get_mut(name) else { return };
        let room = kept.plan.policy.room;
        // One certificate lives a second longer than another; that is nothing new.
        if kept.room_said.is_some_and(|(said, least)| said == room && grant >= least - least / 10) {
            return;
        }
        kept.room_said = Some((room, grant));
        let effective = schedule::overlap(room.overlap, grant);
        if let Overlap::Fixed(configured) = room.overlap
            && effective < configured
        {
            self.links.events.emit(&Event::OverlapShortened { secret: name, configured, effective });
        }
        if let Some(wanted) = schedule::lead_too_long(&room, grant) {
            let effective = schedule::lead(&room, grant);
            self.links.events.emit(&Event::LeadShortened { secret: name, wanted, effective });
        }
    }

    pub(super) fn fetch_failed(&mut self, name: &str, session: &str, group: &str, error: Error) {
        let now = self.links.clock.now();
        let starting = self.is_starting();
        if error.kind == Kind::SessionEnded {
            self.session_gone(session, &error);
        }
        let Some(kept) = self.secrets.get(name) else { return };
        let optional = !kept.plan.required;
        let fatal = match error.kind {
            Kind::Denied | Kind::Invalid | Kind::Internal => true,
            Kind::Absent | Kind::LeaseGone => !optional,
            _ => false,
        };
        if starting && fatal {
            self.links.events.emit(&Event::Failed { secret: Some(name), error: &error, retry_in: None });
            return self.fail(Fatal::Store(error));
        }
        let absent = error.kind == Kind::Absent;
        let unreachable = matches!(error.kind, Kind::Unavailable | Kind::Throttled | Kind::Malformed);
        if optional && (absent || (unreachable && kept.slot.newest().is_none())) {
            self.leave_out(name, if absent { "it does not exist" } else { UNREACHABLE });
        }
        if let Some(kept) = self.secrets.get_mut(name) {
            for waiting in kept.waiting.drain(..) {
                let _ = waiting.send(super::Refreshed::Failed(error.to_string()));
            }
        }
        let nearest = self.nearest_end(name);
        self.note_health(&error, group, nearest, now);
        let session_end = self.sessions.current().and_then(|held| held.end());
        let relogin = self.answer_denial(name, session, &error, now);
        let Some(kept) = self.secrets.get_mut(name) else { return };
        let before = kept.slot.fetch_retry;
        let mut retry = schedule::retry(before, error.retry_after, nearest, now, &mut self.dice);
        if error.kind == Kind::Denied && !relogin {
            retry = patient(retry, session_end, now);
        } else if absent || error.kind == Kind::Invalid {
            retry.wait = retry.wait.max(kept.plan.policy.refresh.min(schedule::LONGEST_WAIT));
            retry.at = Some(now + retry.wait);
        }
        kept.slot.fetch_retry = retry;
        kept.error = Some(last_error(&error, retry.count, now));
        self.links.events.emit(&Event::Failed {
            secret: Some(name),
            error: &error,
            retry_in: Some(retry.wait),
        });
    }

    /// A denial costs one new log-in: the role may have got its right meanwhile. One that came under
    /// an older session than the current one has had it. Answers whether it is worth another try soon.
    pub(super) fn answer_denial(&mut self, name: &str, session: &str, error: &Error, now: Moment) -> bool {
        if error.kind != Kind::Denied {
            return false;
        }
        let Some(kept) = self.secrets.get_mut(name) else { return false };
        if kept.slot.denied_under.is_some() {
            return false;
        }
        kept.slot.denied_under = Some(session.to_owned());
        if self.sessions.current().is_none_or(|current| current.session.id == session) {
            self.sessions.want_login(now);
        }
        true
    }

    /// The store cannot even be logged in at: what is not required and not there is done without.
    pub(super) fn leave_out_the_unreachable(&mut self) {
        let missing = |kept: &super::Kept| !kept.plan.required && kept.slot.newest().is_none();
        let names: Vec<String> =
            self.secrets.iter().filter(|(_, kept)| missing(kept)).map(|(name, _)| name.clone()).collect();
        for name in names {
            self.leave_out(&name, UNREACHABLE);
        }
    }

    /// Tells the publisher to do without a secret that is not required.
    pub(super) fn leave_out(&mut self, name: &str, why: &str) {
        let Some(kept) = self.secrets.get_mut(name) else { return };
        if kept.left_out == LeftOut::Told {
            return;
        }
        kept.left_out = LeftOut::Told;
        if let Some(old) = kept.slot.current.take() {
            self.let_go(&old.key);
        }
        self.links.events.emit(&Event::LeftOut { secret: name, provider: &self.name, why });
        self.withdraw(name, Lack::LeftOut);
    }

    /// The nearest end of what a secret holds.
    pub(super) fn nearest_end(&self, name: &str) -> Option<Moment> {
        let held = self.secrets.get(name)?.slot.newest()?;
        schedule::effective_end(held, self.sessions.held(&held.session))
    }
}

/// A denial after its one new log-in: no hurry, and never slower than a fifth of what is left.
pub(super) fn patient(mut retry: Retry, session_end: Option<Moment>, now: Moment) -> Retry {
    let longest = session_end.map_or(schedule::LONGEST_WAIT * 10, |end| end.since(now) / 5);
    retry.wait = longest.clamp(schedule::FLOOR, schedule::LONGEST_WAIT * 10);
    retry.at = Some(now + retry.wait);
    retry
}

pub(super) fn last_error(error: &Error, count: u32, at: Moment) -> crate::status::LastError {
    crate::status::LastError { kind: error.kind, text: error.to_string(), at, count }
}
