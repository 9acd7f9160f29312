//! The sessions of one provider: opened, renewed, replaced before they end, revoked once nothing
//! hangs on them.
//!
//! One session is current: new requests use it. An older one stays, renewed where it can be, as
//! long as a credential hangs on it; once those that are left have all been replaced and have
//! had their overlap, one revocation ends it and them.

use std::collections::BTreeMap;
use std::sync::Arc;

use leasehold_core::{Origin, SecretBytes, Term};

use super::session_file::Keeps;
use super::{Keeper, Kept, Work};
use crate::clock::Moment;
use crate::schedule::{self, Room};
use crate::slot::{HeldSession, Retry, Want};

/// All sessions of one provider.
#[derive(Default)]
pub(super) struct Sessions {
    pub(super) current: Option<String>,
    pub(super) held: BTreeMap<String, KeptSession>,
    pub(super) login: LoginState,
    /// What a one-time credential was exchanged for.
    pub(super) kept: Option<Arc<SecretBytes>>,
}

/// A session with what is under way for it.
pub(super) struct KeptSession {
    pub(super) held: HeldSession,
    pub(super) retry: Retry,
    pub(super) busy: SessionBusy,
    pub(super) suspect: Suspect,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionBusy {
    No,
    Asked,
    /// Its revocation failed for good: it ends by itself.
    Forgone,
}

/// Whether the store refused a renewal, so that a look-up has to settle what that means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspect {
    No,
    Yes,
}

#[derive(Default)]
pub(super) struct LoginState {
    pub(super) under_way: Option<Moment>,
    pub(super) retry: Retry,
    /// A new one is wanted although the current one lives: a denial, or a changed token file.
    pub(super) wanted: Option<Moment>,
    /// Refused since.
    pub(super) refused_since: Option<Moment>,
    pub(super) learning: Learning,
}

/// Whether the provider is finding out what its secrets are: until it knows, nothing is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Learning {
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
    pub(super) fn current_is_leaving(&self, rooms: &[Room], now: Moment) -> bool {
        self.current()
            .filter(|held| held.session.origin == Origin::LoggedIn)
            .and_then(|held| schedule::replace_session_at(held, rooms))
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

    pub(super) fn is_current(&self, id: &str) -> bool {
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
                Some(current) => {
                    [self.sessions.login.wanted, schedule::replace_session_at(current, &self.session_rooms)]
                        .into_iter()
                        .flatten()
                        .min()
                }
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
    pub(super) fn session_retires_at(&self, id: &str, now: Moment) -> Option<Moment> {
        if !self.minting.is_empty() {
            // The answer brings a lease that may hang on it.
            return None;
        }
        let acknowledged = *self.links.acknowledged.borrow();
        let mut at = now;
        let end = self.sessions.held(id).and_then(HeldSession::end);
        match self.session_file.as_ref().map(|file| file.keeps(id, end, acknowledged)) {
            Some(Keeps::InUse) => return None,
            Some(Keeps::Until(until)) => at = until.map_or(at, |until| at.max(until)),
            None => {}
        }
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
}

/// Marks the newest credential of a secret as lost at the store.
pub(super) fn lose(kept: &mut Kept, at: Moment) {
    kept.slot.suspect = None;
    kept.slot.want = Some(Want::Lost(at));
    kept.slot.lost_key = kept.slot.newest().map(|held| held.key.clone());
}
