//! The sessions of one provider: opened, renewed, replaced before they end, revoked once nothing
//! hangs on them.
//!
//! One session is current: new requests use it. An older one stays, renewed where it can be, as
//! long as a credential hangs on it; once those that are left have all been replaced and have
//! had their overlap, one revocation ends it and them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Effect, Error, Kind, Login, Operation, Origin, SecretBytes, Session, Term};

use super::{Fatal, Keeper, Kept, LimitedUses, Work};
use crate::clock::Moment;
use crate::config::model::Overlap;
use crate::events::Event;
use crate::handover::{Entry, EntryId};
use crate::schedule;
use crate::slot::{HeldSession, Retry, Want};

/// How long a refused log-in that a third party confirms is tried before the first generation.
const PASSING_DENIALS: Duration = Duration::from_secs(30);

/// All sessions of one provider.
#[derive(Default)]
pub(super) struct Sessions {
    current: Option<String>,
    held: BTreeMap<String, KeptSession>,
    login: LoginState,
    /// What a one-time credential was exchanged for.
    pub(super) kept: Option<Arc<SecretBytes>>,
}

/// A session with what is under way for it.
struct KeptSession {
    held: HeldSession,
    retry: Retry,
    busy: SessionBusy,
    suspect: Suspect,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SessionBusy {
    No,
    Asked,
    /// Its revocation failed for good: it ends by itself.
    Forgone,
}

/// Whether the store refused a renewal, so that a look-up has to settle what that means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Suspect {
    No,
    Yes,
}

#[derive(Default)]
struct LoginState {
    under_way: Option<Moment>,
    retry: Retry,
    /// A new one is wanted although the current one lives: a denial, or a changed token file.
    wanted: Option<Moment>,
    /// Refused since.
    refused_since: Option<Moment>,
    learning: Learning,
}

/// Whether the provider is finding out what its secrets are: until it knows, nothing is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Learning {
    #[default]
    No,
    UnderWay,
}

impl Sessions {
    /// A log-in that waits for its next try is tried now.
    pub(super) fn hurry(&mut self) {
        self.login.retry.at = None;
    }

    /// The session that new requests use.
    pub(super) fn current(&self) -> Option<&HeldSession> {
        self.current.as_ref().and_then(|id| self.held(id))
    }

    /// A session by its id.
    pub(super) fn held(&self, id: &str) -> Option<&HeldSession> {
        self.held.get(id).map(|kept| &kept.held)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &HeldSession> {
        self.held.values().map(|kept| &kept.held)
    }

    /// Those that wait for their leases' successors.
    pub(super) fn old(&self) -> impl Iterator<Item = &HeldSession> {
        self.held
            .iter()
            .filter(|(id, _)| Some(id.as_str()) != self.current.as_deref())
            .map(|(_, kept)| &kept.held)
    }

    /// The session for a request about something taken under `id`: that one while it lives, else
    /// the current one.
    pub(super) fn for_lease(&self, id: &str) -> Option<&HeldSession> {
        self.held(id).or_else(|| self.current())
    }

    /// Whether the current session is so near its end that what hangs on it waits for the next.
    pub(super) fn current_is_leaving(&self, overlaps: &[Overlap], now: Moment) -> bool {
        self.current()
            .filter(|held| held.session.origin == Origin::LoggedIn)
            .and_then(|held| schedule::replace_session_at(held, overlaps))
            .is_some_and(|at| at <= now)
    }

    /// Takes a session over from the hand-over or from a log-in.
    pub(super) fn insert(&mut self, held: HeldSession) {
        let id = held.session.id.clone();
        self.held.insert(
            id,
            KeptSession { held, retry: Retry::default(), busy: SessionBusy::No, suspect: Suspect::No },
        );
    }

    /// Makes it the one that new requests use.
    pub(super) fn set_current(&mut self, id: &str) {
        self.current = Some(id.to_owned());
    }

    /// Forgets it.
    pub(super) fn remove(&mut self, id: &str) -> Option<HeldSession> {
        if self.current.as_deref() == Some(id) {
            self.current = None;
        }
        self.held.remove(id).map(|kept| kept.held)
    }

    /// Asks for a new log-in as soon as one is possible.
    pub(super) fn want_login(&mut self, now: Moment) {
        self.login.wanted.get_or_insert(now);
    }

    /// Asks for a new log-in at once, whatever was refused before.
    pub(super) fn login_now(&mut self, now: Moment) {
        self.login.wanted = Some(now);
        self.login.retry = Retry::default();
    }

    /// Whether it is known what the secrets are.
    pub(super) fn is_learning(&self) -> bool {
        self.login.learning == Learning::UnderWay
    }

    /// Whether a log-in is under way.
    pub(super) fn login_under_way(&self) -> bool {
        self.login.under_way.is_some()
    }

    /// The store says how long a session that was taken over still lives.
    pub(super) fn confirm(&mut self, id: &str, sent: Moment, term: Option<Term>) {
        if let Some(kept) = self.held.get_mut(id)
            && let (Some(life), Some(term)) = (&mut kept.held.life, term)
        {
            schedule::confirm(life, term, sent);
        }
    }

    fn is_current(&self, id: &str) -> bool {
        self.current.as_deref() == Some(id)
    }
}

impl Keeper {
    /// What is due for the sessions.
    pub(super) fn sessions_due(&self, now: Moment) -> Vec<(Moment, Work)> {
        let mut due = Vec::new();
        if self.sessions.login.under_way.is_none() {
            let at = match self.sessions.current() {
                None => Some(now),
                Some(current) => [
                    self.sessions.login.wanted,
                    schedule::replace_session_at(current, &self.session_overlaps),
                ]
                .into_iter()
                .flatten()
                .min(),
            };
            if let Some(at) = at {
                due.push((self.sessions.login.retry.at.map_or(at, |retry| at.max(retry)), Work::Login));
            }
        }
        for (id, kept) in &self.sessions.held {
            if kept.busy != SessionBusy::No {
                continue;
            }
            if kept.suspect == Suspect::Yes {
                due.push((kept.retry.at.unwrap_or(now), Work::LookupSession(id.clone())));
            } else if let Some(at) = schedule::renew_session_at(&kept.held, kept.retry) {
                due.push((at, Work::RenewSession(id.clone())));
            }
            if !self.sessions.is_current(id)
                && let Some(at) = self.session_retires_at(id, now)
            {
                due.push((at.max(kept.retry.at.unwrap_or(at)), Work::RevokeSession(id.clone())));
            }
        }
        due
    }

    /// When an old session may be revoked: once all that hangs on it was replaced and has had its
    /// overlap. `None`: something that is in use hangs on it, or something that has to be ended by
    /// its own id, since this session is not ours to revoke.
    fn session_retires_at(&self, id: &str, now: Moment) -> Option<Moment> {
        if !self.minting.is_empty() {
            // The answer brings a lease that may hang on it.
            return None;
        }
        let acknowledged = *self.links.acknowledged.borrow();
        let mut at = now;
        let whole = self.ends_with_its_session(id);
        for kept in self.secrets.values() {
            let in_use = kept.slot.current.iter().chain(kept.slot.candidate.iter().map(|c| &c.held));
            if in_use.clone().any(|held| held.session == id && held.hangs_on_session()) {
                return None;
            }
            for retiring in &kept.slot.retiring {
                if retiring.held.session == id && retiring.held.hangs_on_session() {
                    if !whole {
                        return None;
                    }
                    let due = schedule::retire_at(retiring);
                    if !schedule::may_retire(retiring, acknowledged, due.max(now)) {
                        return None;
                    }
                    at = at.max(due);
                }
            }
        }
        for orphan in &self.orphans {
            if orphan.held.session == id && orphan.held.hangs_on_session() {
                if !whole {
                    return None;
                }
                at = at.max(orphan.at);
            }
        }
        Some(at)
    }

    /// Whether a lease of this session is best ended with the session itself.
    pub(super) fn ends_with_its_session(&self, id: &str) -> bool {
        !self.sessions.is_current(id)
            && self
                .sessions
                .held(id)
                .is_some_and(|held| held.session.origin == Origin::LoggedIn && held.session.revocable)
    }

    pub(super) fn start_login(&mut self, now: Moment) {
        self.sessions.login.under_way = Some(now);
        if let Some(current) = self.sessions.current() {
            let why = if self.sessions.login.wanted.is_some() { "asked for" } else { "its end is near" };
            if self.sessions.login.retry.count == 0 && current.session.origin == Origin::LoggedIn {
                self.links.events.emit(&Event::SessionReplacing { provider: &self.name, why });
            }
        }
        self.send_login(now);
    }

    /// A log-in was answered.
    pub(super) fn logged_in(&mut self, sent: Moment, result: Result<Login, Error>) {
        self.sessions.login.under_way = None;
        let now = self.links.clock.now();
        match result {
            Ok(Login::Keep(bytes)) => {
                self.gate.reached();
                let bytes = Arc::new(bytes);
                self.record(&Entry::Kept {
                    provider: self.name.clone(),
                    identity: self.identity.clone(),
                    bytes: bytes.clone(),
                });
                self.sessions.kept = Some(bytes);
                self.start_login(now);
            }
            Ok(Login::Session(session)) => {
                self.gate.reached();
                self.show_error(None);
                self.opened(sent, session, now);
            }
            Err(error) => self.login_failed(&error, now),
        }
    }

    fn opened(&mut self, sent: Moment, session: Session, now: Moment) {
        let id = session.id.clone();
        if self.sessions.held(&id).is_some() {
            // The same credential was given again: only what is left of it is news.
            self.sessions.confirm(&id, sent, session.term);
        } else {
            self.links.events.emit(&Event::LoggedIn {
                provider: &self.name,
                session: &id,
                origin: session.origin,
                ttl: session.term.map(|term| term.ttl),
                revocable: session.revocable,
            });
            let life = session
                .term
                .map(|term| schedule::life(None, term, sent, self.session_reserve(term.ttl), &mut self.dice));
            let held = HeldSession { session, issued: sent, life };
            self.record(&Entry::Session {
                provider: self.name.clone(),
                identity: self.identity.clone(),
                held: held.clone(),
            });
            self.sessions.insert(held);
        }
        self.sessions.set_current(&id);
        self.learn();
        self.sessions.login.wanted = None;
        self.sessions.login.refused_since = None;
        let due_again = self
            .sessions
            .current()
            .and_then(|held| schedule::replace_session_at(held, &self.session_overlaps))
            .is_some_and(|at| at <= now);
        self.sessions.login.retry = if due_again {
            // What we were given is as near its end as before: look again, but not in a loop.
            let before = self.sessions.login.retry;
            let end = self.sessions.current().and_then(HeldSession::end);
            schedule::retry(before, None, end, now, &mut self.dice)
        } else {
            Retry::default()
        };
    }

    /// Lets the provider find out what its secrets are.
    pub(super) fn learn(&mut self) {
        let Some(session) = self.sessions.current().map(|held| held.session.clone()) else { return };
        self.sessions.login.learning = Learning::UnderWay;
        self.send_learning(session);
    }

    /// It knows as much as it can.
    pub(super) fn learned(&mut self) {
        self.sessions.login.learning = Learning::No;
        let limited = self.sessions.current().map(|held| &held.session).filter(|s| s.uses_left.is_some());
        if let Some(session) = limited
            && let Err(error) = self.limited_uses_will_do(session)
        {
            self.fail(Fatal::Store(error));
        }
    }

    /// A credential for a limited number of requests cannot look after leases.
    fn limited_uses_will_do(&self, session: &Session) -> Result<(), Error> {
        let leased = self
            .secrets
            .iter()
            .find(|(_, kept)| self.provider.describe(&kept.plan.reference).effect == Effect::Mints)
            .map(|(name, _)| name);
        let detail = match (self.limited_uses, leased) {
            (LimitedUses::StaticReads, None) => return Ok(()),
            (LimitedUses::StaticReads, Some(name)) => format!(
                "the token serves only {} more requests, which cannot look after the lease of secret \"{name}\": \
                 use a token without a limited number of uses",
                session.uses_left.unwrap_or_default()
            ),
            (LimitedUses::Refused, _) => format!(
                "the token serves only {} more requests, and a process that goes on needs more: use it with \
                 `leasehold init`, or use a token without a limited number of uses",
                session.uses_left.unwrap_or_default()
            ),
        };
        Err(Error::new(Kind::Invalid, Operation::Login, &self.name, detail))
    }

    fn login_failed(&mut self, error: &Error, now: Moment) {
        let starting = self.is_starting();
        let denied = error.kind == Kind::Denied;
        let since = *self.sessions.login.refused_since.get_or_insert(now);
        if !denied {
            self.sessions.login.refused_since = None;
        }
        let tries_are_up = error.tries.is_some_and(|tries| self.sessions.login.retry.count + 1 >= tries);
        let permanent = match error.kind {
            Kind::Denied => !error.passing || tries_are_up || now.since(since) >= PASSING_DENIALS,
            Kind::Absent | Kind::Invalid | Kind::Internal | Kind::SessionEnded | Kind::LeaseGone => true,
            Kind::Throttled | Kind::Unavailable | Kind::Malformed => false,
        };
        if permanent && starting {
            self.links.events.emit(&Event::Failed { secret: None, error, retry_in: None });
            return self.fail(Fatal::Store(error.clone()));
        }
        if self.sessions.current().is_none() && !permanent && !denied {
            self.leave_out_the_unreachable();
        }
        let end = self.sessions.current().and_then(HeldSession::end);
        self.note_health(error, "", end, now);
        let before = self.sessions.login.retry;
        let mut retry = schedule::retry(before, error.retry_after, end, now, &mut self.dice);
        if permanent && let Some(end) = end {
            // A denial is not hurried, and never slower than a fifth of what is left.
            retry.wait = (end.since(now) / 5).clamp(schedule::FLOOR, schedule::LONGEST_WAIT * 10);
            retry.at = Some(now + retry.wait);
        }
        self.sessions.login.retry = retry;
        if self.sessions.current().is_none() {
            // Whoever asked for a refresh is told now; it is done once the store lets it.
            for waiting in self.secrets.values_mut().flat_map(|kept| kept.waiting.drain(..)) {
                let _ = waiting.send(super::Refreshed::Failed(error.to_string()));
            }
        }
        self.show_error(Some((error, retry.count)));
        self.links.events.emit(&Event::Failed { secret: None, error, retry_in: Some(retry.wait) });
    }

    pub(super) fn start_session_renewal(&mut self, id: &str, now: Moment) {
        let Some(kept) = self.sessions.held.get_mut(id) else { return };
        kept.busy = SessionBusy::Asked;
        let increment = kept.held.life.as_ref().map(|life| life.granted).unwrap_or_default();
        let session = kept.held.session.clone();
        self.send_session_renewal(session, increment, now);
    }

    pub(super) fn start_session_lookup(&mut self, id: &str, now: Moment) {
        let Some(kept) = self.sessions.held.get_mut(id) else { return };
        kept.busy = SessionBusy::Asked;
        let session = kept.held.session.clone();
        self.send_session_lookup(session, now);
    }

    pub(super) fn start_session_revocation(&mut self, id: &str) {
        let Some(kept) = self.sessions.held.get_mut(id) else { return };
        if kept.held.session.origin != Origin::LoggedIn || !kept.held.session.revocable {
            // Not ours to end, or not to be ended: nothing of it is in use any more.
            self.drop_session(id);
            return;
        }
        kept.busy = SessionBusy::Asked;
        let session = kept.held.session.clone();
        self.send_session_revocation(session);
    }

    /// A session's renewal was answered.
    pub(super) fn session_renewed(&mut self, id: &str, sent: Moment, result: Result<Option<Term>, Error>) {
        let now = self.links.clock.now();
        let granted = self.sessions.held(id).and_then(|held| held.life.as_ref()).map(|life| life.granted);
        let reserve = self.session_reserve(granted.unwrap_or_default());
        let Some(kept) = self.sessions.held.get_mut(id) else { return };
        kept.busy = SessionBusy::No;
        match result {
            Ok(term) => {
                kept.retry = Retry::default();
                kept.held.life = term
                    .map(|term| schedule::life(kept.held.life.as_ref(), term, sent, reserve, &mut self.dice));
                let held = kept.held.clone();
                self.gate.reached();
                self.links
                    .events
                    .emit(&Event::SessionRenewed { provider: &self.name, ttl: term.map(|term| term.ttl) });
                self.record(&Entry::Session {
                    provider: self.name.clone(),
                    identity: self.identity.clone(),
                    held,
                });
            }
            Err(error) if error.kind == Kind::SessionEnded => self.session_gone(id, &error),
            Err(error) => {
                let end = kept.held.end();
                if matches!(error.kind, Kind::LeaseGone | Kind::Invalid | Kind::Absent) {
                    kept.suspect = Suspect::Yes;
                }
                if error.kind == Kind::Denied
                    && let Some(life) = &mut kept.held.life
                {
                    // It lives, and may not renew itself: it is replaced before its end.
                    life.renewable = false;
                }
                kept.retry = schedule::retry(kept.retry, error.retry_after, end, now, &mut self.dice);
                let wait = kept.retry.wait;
                self.note_health(&error, "", end, now);
                self.links.events.emit(&Event::Failed { secret: None, error: &error, retry_in: Some(wait) });
            }
        }
    }

    /// A session's look-up was answered.
    pub(super) fn session_looked_up(&mut self, id: &str, sent: Moment, result: Result<Option<Term>, Error>) {
        let now = self.links.clock.now();
        let Some(kept) = self.sessions.held.get_mut(id) else { return };
        kept.busy = SessionBusy::No;
        match result {
            Ok(term) => {
                kept.suspect = Suspect::No;
                if let (Some(life), Some(term)) = (&mut kept.held.life, term) {
                    schedule::confirm(life, term, sent);
                }
                self.gate.reached();
            }
            Err(error) if error.kind == Kind::SessionEnded => self.session_gone(id, &error),
            Err(error) => {
                let end = kept.held.end();
                kept.retry = schedule::retry(kept.retry, error.retry_after, end, now, &mut self.dice);
                self.note_health(&error, "", end, now);
            }
        }
    }

    /// A session's revocation was answered.
    pub(super) fn session_revoked(&mut self, id: &str, result: Result<(), Error>) {
        let now = self.links.clock.now();
        let Some(kept) = self.sessions.held.get_mut(id) else { return };
        kept.busy = SessionBusy::No;
        match result {
            Ok(()) => {
                self.gate.reached();
                self.links.events.emit(&Event::SessionRevoked { provider: &self.name, session: id });
                self.drop_session(id);
            }
            Err(error) if error.kind == Kind::SessionEnded => self.drop_session(id),
            Err(error) => {
                if error.kind == Kind::Denied {
                    kept.busy = SessionBusy::Forgone;
                }
                let end = kept.held.end();
                kept.retry = schedule::retry(kept.retry, error.retry_after, None, now, &mut self.dice);
                let wait = kept.retry.wait;
                self.note_health(&error, "", end, now);
                self.links.events.emit(&Event::Failed { secret: None, error: &error, retry_in: Some(wait) });
            }
        }
    }

    /// The store says that a session is over: what hung on it is gone, too.
    pub(super) fn session_gone(&mut self, id: &str, error: &Error) {
        let now = self.links.clock.now();
        let Some(held) = self.sessions.held(id) else { return };
        let was_current = self.sessions.is_current(id);
        if was_current {
            self.links.events.emit(&Event::SessionReplacing { provider: &self.name, why: "it is over" });
            self.show_error(Some((error, 1)));
        }
        let ours = held.session.origin == Origin::LoggedIn;
        for (name, kept) in &mut self.secrets {
            let lost = kept.slot.newest().is_some_and(|held| held.session == id && held.hangs_on_session());
            if lost {
                let at = schedule::heal_at(kept.slot.suspect, &kept.plan.policy, now, &mut self.dice);
                lose(kept, at);
                self.links.events.emit(&Event::LeaseLost {
                    secret: name,
                    provider: &self.name,
                    replaced_in: at.since(now),
                });
            }
        }
        self.drop_session(id);
        if was_current && !ours {
            // A given credential that is over: only a changed file brings another.
            let before = self.sessions.login.retry;
            self.sessions.login.retry = schedule::retry(before, None, None, now, &mut self.dice);
        }
    }

    /// Forgets a session and what is retired with it.
    pub(super) fn drop_session(&mut self, id: &str) {
        self.sessions.remove(id);
        self.unrecord(&EntryId::session(&self.name, id));
        let mut gone = Vec::new();
        for kept in self.secrets.values_mut() {
            kept.slot.retiring.retain(|retiring| {
                let ends = retiring.held.session == id && retiring.held.hangs_on_session();
                if ends {
                    gone.push(retiring.held.key.clone());
                }
                !ends
            });
        }
        self.orphans.retain(|orphan| {
            let ends = orphan.held.session == id && orphan.held.hangs_on_session();
            if ends {
                gone.push(orphan.held.key.clone());
            }
            !ends
        });
        for key in gone {
            self.let_go(&key);
        }
    }

    /// What a session is replaced earlier by, and a second margin: its successor's log-in.
    fn session_reserve(&self, granted: Duration) -> Overlap {
        Overlap::Fixed(schedule::longest_overlap(&self.session_overlaps, granted) + schedule::margin(granted))
    }
}

/// Marks the newest credential of a secret as lost at the store.
pub(super) fn lose(kept: &mut Kept, at: Moment) {
    kept.slot.suspect = None;
    kept.slot.want = Some(Want::Lost(at));
    kept.slot.lost_key = kept.slot.newest().map(|held| held.key.clone());
}
