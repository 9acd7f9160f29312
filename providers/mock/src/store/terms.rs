//! Sessions and leases: how they begin, are looked up, renewed and revoked.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Fields, Kind, Origin, SecretBytes, Session, Target, Term};

use super::Store;
use crate::config::SessionKind;
use crate::failure::Failure;
use crate::made_up;

/// A session that has not ended.
#[derive(Debug)]
pub(crate) struct Living {
    pub(crate) credential: Arc<SecretBytes>,
    pub(crate) kind: SessionKind,
    pub(crate) origin: Origin,
    pub(crate) end: Option<Duration>,
    pub(crate) last_end: Option<Duration>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) uses_left: Option<u64>,
}

/// A lease that has not ended.
#[derive(Debug)]
pub(crate) struct Leased {
    pub(crate) path: String,
    /// `None` where there are no sessions.
    pub(crate) session: Option<String>,
    pub(crate) issued: Duration,
    pub(crate) end: Duration,
    pub(crate) last_end: Duration,
    pub(crate) renewable: bool,
    pub(crate) renewals: u64,
    pub(crate) fields: Arc<Fields>,
}

/// A certificate that can be revoked.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) end: Duration,
}

impl Store {
    pub(crate) fn login(&mut self) -> Result<Session, Failure> {
        if let Some(id) = &self.given {
            return match self.sessions.get(id) {
                Some(living) => Ok(living.session(id, self.time.now())),
                None => Err(Failure::new(Kind::Denied, "the given session has ended: give another one")),
            };
        }
        let settings = self.settings.session.clone();
        if settings.kind == SessionKind::Ambient {
            return Ok(Session::ambient());
        }
        let now = self.time.now();
        let mut dice = made_up::dice(self.settings.seed ^ self.run, "session", "", self.logins);
        self.logins += 1;
        let id = format!("mock-session-{}", made_up::text(&mut dice, 12));
        let living = Living {
            credential: Arc::new(SecretBytes::from_text(format!("mock.{}", made_up::text(&mut dice, 24)))),
            kind: settings.kind,
            origin: if settings.given { Origin::Given } else { Origin::LoggedIn },
            end: settings.ttl.map(|ttl| now + settings.max_ttl.map_or(ttl, |max| ttl.min(max))),
            last_end: settings.max_ttl.map(|max| now + max),
            ttl: settings.ttl,
            uses_left: settings.uses,
        };
        let session = living.session(&id, now);
        if settings.given {
            self.given = Some(id.clone());
        }
        self.sessions.insert(id, living);
        Ok(session)
    }

    pub(crate) fn lookup(&mut self, session: &Session, what: Target<'_>) -> Result<Option<Term>, Failure> {
        let under = self.use_session(session)?;
        let now = self.time.now();
        match what {
            Target::Session => match under {
                Some(id) => Ok(self.sessions.get(&id).ok_or_else(Failure::session_ended)?.term(now)),
                None => Ok(None),
            },
            Target::Lease { lease, .. } => {
                let leased = self.leases.get(&lease.id).map(|leased| (leased.end, leased.renewable));
                let issued = || self.certificates.get(&lease.id).map(|issued| (issued.end, false));
                let (end, renewable) = leased.or_else(issued).ok_or_else(Failure::lease_gone)?;
                Ok(Some(Term { ttl: end - now, renewable }))
            }
        }
    }

    pub(crate) fn renew(
        &mut self,
        session: &Session,
        what: Target<'_>,
        increment: Duration,
    ) -> Result<Option<Term>, Failure> {
        let under = self.use_session(session)?;
        let now = self.time.now();
        match what {
            Target::Session => {
                let Some(id) = under else { return Ok(None) };
                let living = self.sessions.get_mut(&id).ok_or_else(Failure::session_ended)?;
                let Some(ttl) = living.ttl else { return Ok(None) };
                if !living.renewable() {
                    return Err(Failure::new(Kind::Invalid, "this session cannot be renewed"));
                }
                let asked = match living.kind {
                    SessionKind::Periodic => ttl,
                    _ if increment.is_zero() => ttl,
                    _ => increment,
                };
                let granted = living.last_end.map_or(asked, |last| asked.min(last.saturating_sub(now)));
                living.end = Some(now + granted);
                Ok(Some(Term { ttl: granted, renewable: true }))
            }
            Target::Lease { lease, .. } if self.certificates.contains_key(&lease.id) => {
                Err(Failure::new(Kind::Invalid, "a certificate cannot be renewed"))
            }
            Target::Lease { lease, .. } => {
                let ttl = self.settings.secret(lease_path(&lease.id)).ttl;
                let leased = self.leases.get_mut(&lease.id).ok_or_else(Failure::lease_gone)?;
                if !leased.renewable {
                    return Err(Failure::new(Kind::Invalid, "this lease cannot be renewed"));
                }
                let asked = if increment.is_zero() { ttl } else { increment };
                let granted = asked.min(leased.last_end.saturating_sub(now));
                leased.end = now + granted;
                leased.renewals += 1;
                Ok(Some(Term { ttl: granted, renewable: true }))
            }
        }
    }

    pub(crate) fn revoke(&mut self, session: &Session, what: Target<'_>) -> Result<(), Failure> {
        let Target::Lease { lease, .. } = what else { return self.revoke_session(session) };
        self.use_session(session)?;
        self.leases.remove(&lease.id);
        if self.certificates.remove(&lease.id).is_some() {
            self.revoked.insert(lease.id.clone());
        }
        Ok(())
    }

    /// Counts one use. `None`: there are no sessions.
    pub(super) fn use_session(&mut self, session: &Session) -> Result<Option<String>, Failure> {
        if self.settings.session.kind == SessionKind::Ambient && session.origin == Origin::Ambient {
            return Ok(None);
        }
        let living =
            self.sessions.get_mut(&session.id).filter(|living| living.credential == session.credential);
        let living = living.ok_or_else(Failure::session_ended)?;
        living.uses_left = living.uses_left.map(|left| left.saturating_sub(1));
        Ok(Some(session.id.clone()))
    }

    fn revoke_session(&mut self, session: &Session) -> Result<(), Failure> {
        if session.origin == Origin::Ambient {
            return Ok(());
        }
        let Some(living) = self.sessions.get(&session.id) else { return Ok(()) };
        if living.origin == Origin::Given {
            return Err(Failure::new(Kind::Denied, "the session was given to us: it is not ours to revoke"));
        }
        if living.kind == SessionKind::Batch {
            return Err(Failure::new(Kind::Invalid, "a batch session cannot be revoked"));
        }
        self.sessions.remove(&session.id);
        Ok(())
    }
}

impl Living {
    fn renewable(&self) -> bool {
        matches!(self.kind, SessionKind::Service | SessionKind::Periodic)
    }

    fn term(&self, now: Duration) -> Option<Term> {
        self.end.map(|end| Term { ttl: end.saturating_sub(now), renewable: self.renewable() })
    }

    fn session(&self, id: &str, now: Duration) -> Session {
        Session {
            id: id.to_owned(),
            credential: Arc::clone(&self.credential),
            term: self.term(now),
            origin: self.origin,
            revocable: self.kind != SessionKind::Batch,
            uses_left: self.uses_left,
        }
    }
}

fn lease_path(id: &str) -> &str {
    id.rsplit_once('/').map_or(id, |(path, _)| path)
}
