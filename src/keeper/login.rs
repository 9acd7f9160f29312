//! Logging in: a session is opened, what its secrets are is learnt, a refusal is weighed.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Effect, Error, Kind, Login, Operation, Origin, Session};

use super::{Fatal, Keeper, LimitedUses};
use crate::clock::Moment;
use crate::events::Event;
use crate::handover::Entry;
use crate::schedule::{self, Room};
use crate::slot::{HeldSession, Retry};

use super::sessions::Learning;

/// How long a refused log-in that a third party confirms is tried before the first generation.
const PASSING_DENIALS: Duration = Duration::from_secs(30);

impl Keeper {
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

    pub(super) fn opened(&mut self, sent: Moment, session: Session, now: Moment) {
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
                revocable: session.revocable || !self.has_leases(),
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
            self.links.known.credential(&held.session.credential);
            self.sessions.insert(held);
        }
        self.sessions.set_current(&id);
        self.learn();
        self.sessions.login.wanted = None;
        self.sessions.login.refused_since = None;
        let due_again = self
            .sessions
            .current()
            .and_then(|held| schedule::replace_session_at(held, &self.session_rooms))
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

    /// Whether anything is taken under a session that would have to be given back.
    fn has_leases(&self) -> bool {
        self.secrets.values().any(|kept| self.provider.describe(&kept.plan.reference).effect == Effect::Mints)
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
    pub(super) fn limited_uses_will_do(&self, session: &Session) -> Result<(), Error> {
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

    pub(super) fn login_failed(&mut self, error: &Error, now: Moment) {
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
        if starting && denied {
            // No back-off puts off the try that decides.
            retry.wait = retry.wait.min((since + PASSING_DENIALS).since(now));
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

    /// What a session is replaced earlier by, and a second margin: its successor's log-in.
    pub(super) fn session_reserve(&self, granted: Duration) -> Room {
        schedule::widest(&self.session_rooms, granted, schedule::margin(granted))
    }
}
