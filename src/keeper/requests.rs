//! Requests on their way: each is a task of its own that ends in a [`Done`], in which the keeper
//! finds what it needs to apply the answer.

use std::time::Duration;

use leasehold_core::{
    Bound, Effect, Error, Fetched, Kind, Lease, Login, Operation, SecretRef, Session, Target, Term, Wanted,
};

use super::call::Call;
use super::gate::Lane;
use super::{Keeper, Kept};
use crate::clock::Moment;
use crate::events::Event;
use crate::handover::Entry;
use crate::slot::{Busy, Revocation};

/// What came of a request.
pub(super) enum Done {
    Login {
        sent: Moment,
        result: Result<Login, Error>,
    },
    Fetched {
        sent: Moment,
        session: String,
        secrets: Vec<(String, SecretRef)>,
        result: Result<Vec<Result<Fetched, Error>>, Error>,
        effect: Effect,
        group: String,
    },
    Renewed {
        secret: String,
        key: String,
        sent: Moment,
        session: String,
        result: Result<Option<Term>, Error>,
        group: String,
    },
    LookedUp {
        secret: String,
        key: String,
        sent: Moment,
        session: String,
        result: Result<Option<Term>, Error>,
        group: String,
    },
    Revoked {
        secret: String,
        key: String,
        session: String,
        result: Result<(), Error>,
        group: String,
    },
    Learned,
    SessionRenewed {
        id: String,
        sent: Moment,
        result: Result<Option<Term>, Error>,
    },
    SessionLookedUp {
        id: String,
        sent: Moment,
        result: Result<Option<Term>, Error>,
    },
    SessionRevoked {
        id: String,
        result: Result<(), Error>,
    },
}

impl Done {
    /// What the store may have throttled, and what went wrong. Of several secrets in one request, one
    /// refusal stands for all.
    pub(super) fn lane(&self) -> Option<(Lane, Option<&Error>)> {
        let session = |operation| (operation, String::new());
        Some(match self {
            Self::Learned => return None,
            Self::Login { result, .. } => (session(Operation::Login), result.as_ref().err()),
            Self::SessionRenewed { result, .. } => (session(Operation::Renew), result.as_ref().err()),
            Self::SessionLookedUp { result, .. } => (session(Operation::Lookup), result.as_ref().err()),
            Self::SessionRevoked { result, .. } => (session(Operation::Revoke), result.as_ref().err()),
            Self::Fetched { result, group, .. } => {
                let refused = |one: &Result<Fetched, Error>| {
                    one.as_ref().is_err_and(|error| error.kind == Kind::Throttled)
                };
                let error = match result {
                    Ok(each) => each.iter().find(|one| refused(one)).and_then(|one| one.as_ref().err()),
                    Err(error) => Some(error),
                };
                ((Operation::Fetch, group.clone()), error)
            }
            Self::Renewed { result, group, .. } => ((Operation::Renew, group.clone()), result.as_ref().err()),
            Self::LookedUp { result, group, .. } => {
                ((Operation::Lookup, group.clone()), result.as_ref().err())
            }
            Self::Revoked { result, group, .. } => {
                ((Operation::Revoke, group.clone()), result.as_ref().err())
            }
        })
    }
}

impl Keeper {
    pub(super) fn call(&self) -> Call {
        Call { provider: self.provider.clone(), name: self.name.clone(), clock: self.links.clock.clone() }
    }

    pub(super) fn send_login(&mut self, sent: Moment) {
        let (call, kept) = (self.call(), self.sessions.kept.clone());
        self.inflight.spawn(async move {
            let result = call.login(kept.as_deref()).await;
            Done::Login { sent, result }
        });
    }

    /// Lets the provider find out what its secrets are, before anything hangs on that.
    pub(super) fn send_learning(&mut self, session: Session) {
        let call = self.call();
        let references: Vec<SecretRef> =
            self.secrets.values().map(|kept| kept.plan.reference.clone()).collect();
        self.inflight.spawn(async move {
            call.learn(&session, &references).await;
            Done::Learned
        });
    }

    pub(super) fn send_session_renewal(&mut self, session: Session, increment: Duration, sent: Moment) {
        let call = self.call();
        self.inflight.spawn(async move {
            let result = call.renew(&session, Target::Session, increment).await;
            Done::SessionRenewed { id: session.id, sent, result }
        });
    }

    pub(super) fn send_session_lookup(&mut self, session: Session, sent: Moment) {
        let call = self.call();
        self.inflight.spawn(async move {
            let result = call.lookup(&session, Target::Session).await;
            Done::SessionLookedUp { id: session.id, sent, result }
        });
    }

    pub(super) fn send_session_revocation(&mut self, session: Session) {
        let call = self.call();
        self.inflight.spawn(async move {
            let result = call.revoke(&session, Target::Session).await;
            Done::SessionRevoked { id: session.id, result }
        });
    }

    /// Fetches a secret, and with it others of its kind that are due and fit into one request.
    pub(super) fn start_fetch(&mut self, name: &str, now: Moment) {
        let Some(session) = self.sessions.current().map(|held| held.session.clone()) else { return };
        let Some(traits) = self.traits(name) else { return };
        let names = self.batch(name, &traits, now);
        let mut secrets = Vec::new();
        for name in names {
            let Some(kept) = self.secrets.get_mut(&name) else { continue };
            if kept.slot.busy.is_some() {
                continue;
            }
            kept.slot.busy = Some(Busy::Fetching);
            if traits.effect == Effect::Mints {
                kept.slot.count_mint(now);
                let entry =
                    Entry::Secret { secret: name.clone(), mints: kept.slot.mints.iter().copied().collect() };
                secrets.push((name.clone(), kept.plan.reference.clone(), None));
                self.minting.push(name.clone());
                self.links.events.emit(&Event::Minting { secret: &name, provider: &self.name });
                self.record(&entry);
            } else {
                let version = kept.slot.newest().and_then(|held| held.version.clone());
                secrets.push((name, kept.plan.reference.clone(), version));
            }
        }
        if secrets.is_empty() {
            return;
        }
        let call = self.call();
        self.inflight.spawn(async move {
            let wanted: Vec<Wanted<'_>> = secrets
                .iter()
                .map(|(_, reference, version)| Wanted { reference, known_version: version.as_deref() })
                .collect();
            let result = call.fetch(&session, &wanted, traits.effect).await;
            let secrets = secrets.into_iter().map(|(name, reference, _)| (name, reference)).collect();
            Done::Fetched {
                sent: now,
                session: session.id,
                secrets,
                result,
                effect: traits.effect,
                group: traits.group,
            }
        });
    }

    /// The secrets that go into one request with this one: what is due, and polled ones that would be
    /// due within their jitter.
    fn batch(&self, first: &str, traits: &leasehold_core::Traits, now: Moment) -> Vec<String> {
        let mut names = vec![first.to_owned()];
        if traits.batch <= 1 || traits.effect == Effect::Mints {
            return names;
        }
        for (at, work) in self.due(now) {
            if names.len() >= traits.batch {
                break;
            }
            if let super::Work::Secret(name, crate::schedule::Action::Fetch) = work
                && name != first
                && at <= now + self.band(&name)
                && self.traits(&name).is_some_and(|other| other == *traits)
            {
                names.push(name);
            }
        }
        names
    }

    fn band(&self, name: &str) -> Duration {
        let refresh = self.secrets.get(name).map(|kept| kept.plan.policy.refresh).unwrap_or_default();
        crate::schedule::poll_band(refresh).max(crate::schedule::FLOOR)
    }

    pub(super) fn start_renewal(&mut self, name: &str, now: Moment) {
        let Some(question) = self.question(name) else { return };
        let Some(increment) = self
            .secrets
            .get(name)
            .and_then(|kept| kept.slot.newest())
            .and_then(|held| held.life.as_ref())
            .map(|life| life.granted)
        else {
            return;
        };
        self.set_busy(name, Busy::Renewing);
        let call = self.call();
        self.inflight.spawn(async move {
            let Question { secret, key, lease, reference, session, group } = question;
            let what = Target::Lease { lease: &lease, reference: &reference };
            let result = call.renew(&session, what, increment).await;
            Done::Renewed { secret, key, sent: now, session: session.id, result, group }
        });
    }

    pub(super) fn start_lookup(&mut self, name: &str, now: Moment) {
        let Some(question) = self.question(name) else { return };
        self.set_busy(name, Busy::LookingUp);
        let call = self.call();
        self.inflight.spawn(async move {
            let Question { secret, key, lease, reference, session, group } = question;
            let what = Target::Lease { lease: &lease, reference: &reference };
            let result = call.lookup(&session, what).await;
            Done::LookedUp { secret, key, sent: now, session: session.id, result, group }
        });
    }

    pub(super) fn start_revocation(&mut self, name: &str, key: &str) {
        let Some(kept) = self.secrets.get_mut(name) else { return };
        let Some(retiring) = kept.slot.retiring.iter_mut().find(|retiring| retiring.held.key == key) else {
            return;
        };
        let held = retiring.held.clone();
        let reference = kept.plan.reference.clone();
        if held.hangs_on_session() && self.ends_with_its_session(&held.session) {
            // The whole session is revoked once its last lease is replaced: one call for all.
            self.mark_revocation(name, key, Revocation::WithSession);
            return;
        }
        self.mark_revocation(name, key, Revocation::Asked);
        self.send_revocation(name.to_owned(), reference, held);
    }

    pub(super) fn send_revocation(&mut self, secret: String, reference: SecretRef, held: crate::slot::Held) {
        let Some(lease) = held.lease else { return };
        let Some(session) = self.sessions.for_lease(&held.session).map(|held| held.session.clone()) else {
            return;
        };
        let group = self.provider.describe(&reference).group;
        let call = self.call();
        self.inflight.spawn(async move {
            let what = Target::Lease { lease: &lease, reference: &reference };
            let result = call.revoke(&session, what).await;
            Done::Revoked { secret, key: held.key, session: session.id, result, group }
        });
    }

    fn set_busy(&mut self, name: &str, busy: Busy) {
        if let Some(kept) = self.secrets.get_mut(name) {
            kept.slot.busy = Some(busy);
        }
    }

    fn mark_revocation(&mut self, name: &str, key: &str, revocation: Revocation) {
        let retiring = self
            .secrets
            .get_mut(name)
            .and_then(|kept| kept.slot.retiring.iter_mut().find(|retiring| retiring.held.key == key));
        if let Some(retiring) = retiring {
            retiring.revocation = revocation;
        }
    }

    /// What is asked about the newest lease of a secret.
    fn question(&self, name: &str) -> Option<Question> {
        let kept: &Kept = self.secrets.get(name)?;
        let held = kept.slot.newest()?;
        let lease = held.lease.clone()?;
        let session = match lease.bound {
            Bound::Session => self.sessions.for_lease(&held.session)?,
            Bound::Itself => self.sessions.current()?,
        };
        let reference = kept.plan.reference.clone();
        Some(Question {
            secret: name.to_owned(),
            key: held.key.clone(),
            lease,
            group: self.provider.describe(&reference).group,
            reference,
            session: session.session.clone(),
        })
    }
}

struct Question {
    secret: String,
    key: String,
    lease: Lease,
    reference: SecretRef,
    session: Session,
    group: String,
}
