//! A session's life after its log-in: renewed, looked up, revoked, lost.

use leasehold_core::{Error, Kind, Origin, Term};

use super::Keeper;
use crate::clock::Moment;
use crate::events::Event;
use crate::handover::{Entry, EntryId};
use crate::schedule;
use crate::slot::Retry;

use super::sessions::{SessionBusy, Suspect, lose};

impl Keeper {
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
        let over = kept.held.end().is_some_and(|end| end <= self.links.clock.now());
        if over || kept.held.session.origin != Origin::LoggedIn || !kept.held.session.revocable {
            // Over, not ours to end, or not to be ended: nothing of it is in use any more.
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
        self.session_left(id);
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
}
