//! The provider that stands in front of another one: what a drill is about it answers itself, the rest it
//! hands on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::{
    Error, Fetched, Kind, Lease, Login, MissingRight, Operation, Provider, SecretBytes, SecretRef, Session,
    Target, Term, Traits, Wanted,
};

use super::{Drills, Failure, Lost, Playing};
use crate::clock::locked;

/// A provider with drills in front of it.
pub(super) struct Drilled {
    pub(super) name: String,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) drills: Drills,
}

impl Drilled {
    fn played(&self, failure: Failure) -> Option<Playing> {
        self.drills.at(&self.name).filter(|playing| playing.failure == failure)
    }

    fn error(&self, kind: Kind, operation: Operation, reference: Option<&SecretRef>, words: &str) -> Error {
        let error = Error::new(kind, operation, &self.name, format!("{words} (a drill)"));
        match reference {
            Some(reference) => error.on(format!("secret \"{}\" ({})", reference.name, reference.path)),
            None => error,
        }
    }

    /// An error while the provider cannot be reached.
    fn reached(&self, operation: Operation, reference: Option<&SecretRef>) -> Result<(), Error> {
        match self.played(Failure::Outage) {
            Some(_) => {
                Err(self.error(Kind::Unavailable, operation, reference, "the store cannot be reached"))
            }
            None => Ok(()),
        }
    }

    fn denied(&self, operation: Operation, reference: &SecretRef) -> Option<Error> {
        let playing = self.played(Failure::Deny)?;
        (playing.secret == reference.name)
            .then(|| self.error(Kind::Denied, operation, Some(reference), "permission denied"))
    }

    /// Whether the store is said to have lost this lease.
    fn has_lost(&self, lease: &Lease) -> bool {
        self.played(Failure::Expire).is_some_and(|playing| playing.lease.as_ref() == Some(&lease.id))
            || self.remembers(lease)
    }

    /// What was said once stays so: the engine goes by it.
    fn remembers(&self, lease: &Lease) -> bool {
        locked(&self.drills.0.lost).iter().any(|lost| lost.lease.id == lease.id)
    }

    fn remember(&self, session: &Session, lease: &Lease, reference: &SecretRef) {
        if !self.remembers(lease) {
            locked(&self.drills.0.lost).push(Lost {
                provider: Arc::clone(&self.provider),
                session: session.clone(),
                lease: lease.clone(),
                reference: reference.clone(),
                replaced: false,
            });
        }
    }

    fn came(&self, reference: &SecretRef) {
        let mut lost = locked(&self.drills.0.lost);
        for lost in lost.iter_mut().filter(|lost| lost.reference.name == reference.name) {
            lost.replaced = true;
        }
        if lost.iter().any(|lost| lost.replaced) {
            self.drills.0.changed.notify_one();
        }
    }
}

fn of<'a>(what: &Target<'a>) -> Option<&'a SecretRef> {
    match what {
        Target::Session => None,
        Target::Lease { reference, .. } => Some(reference),
    }
}

#[async_trait]
impl Provider for Drilled {
    fn describe(&self, reference: &SecretRef) -> Traits {
        self.provider.describe(reference)
    }

    fn watched(&self) -> Vec<PathBuf> {
        self.provider.watched()
    }

    fn patience(&self) -> Duration {
        self.provider.patience()
    }

    async fn login(&self, kept: Option<&SecretBytes>) -> Result<Login, Error> {
        self.reached(Operation::Login, None)?;
        self.provider.login(kept).await
    }

    async fn learn(&self, session: &Session, references: &[&SecretRef]) -> Result<(), Error> {
        self.reached(Operation::Fetch, None)?;
        self.provider.learn(session, references).await
    }

    async fn fetch(
        &self,
        session: &Session,
        wanted: &[Wanted<'_>],
    ) -> Result<Vec<Result<Fetched, Error>>, Error> {
        let first = wanted.first().filter(|_| wanted.len() == 1).map(|wanted| wanted.reference);
        self.reached(Operation::Fetch, first)?;
        let mut denied: BTreeMap<usize, Error> = BTreeMap::new();
        let mut sent = Vec::new();
        for (at, wanted) in wanted.iter().enumerate() {
            match self.denied(Operation::Fetch, wanted.reference) {
                Some(error) => drop(denied.insert(at, error)),
                None => sent.push(*wanted),
            }
        }
        let mut answers = match sent.is_empty() {
            true => Vec::new(),
            false => self.provider.fetch(session, &sent).await?,
        }
        .into_iter();
        let mut all = Vec::new();
        for (at, wanted) in wanted.iter().enumerate() {
            let answer = match denied.remove(&at) {
                Some(error) => Err(error),
                // Fewer than were asked for is the keeper's to judge.
                None => match answers.next() {
                    Some(answer) => answer,
                    None => break,
                },
            };
            if answer.is_ok() {
                self.came(wanted.reference);
            }
            all.push(answer);
        }
        Ok(all)
    }

    async fn lookup(&self, session: &Session, what: Target<'_>) -> Result<Option<Term>, Error> {
        self.reached(Operation::Lookup, of(&what))?;
        if let Target::Lease { lease, reference } = what
            && self.has_lost(lease)
        {
            self.remember(session, lease, reference);
            let words = "the store does not know this lease";
            return Err(self.error(Kind::LeaseGone, Operation::Lookup, Some(reference), words));
        }
        self.provider.lookup(session, what).await
    }

    async fn renew(
        &self,
        session: &Session,
        what: Target<'_>,
        increment: Duration,
    ) -> Result<Option<Term>, Error> {
        self.reached(Operation::Renew, of(&what))?;
        if let Target::Lease { lease, reference } = what {
            if let Some(error) = self.denied(Operation::Renew, reference) {
                return Err(error);
            }
            if self.has_lost(lease) {
                let words = "the store does not know this lease";
                return Err(self.error(Kind::Invalid, Operation::Renew, Some(reference), words));
            }
        }
        self.provider.renew(session, what, increment).await
    }

    async fn revoke(&self, session: &Session, what: Target<'_>) -> Result<(), Error> {
        self.reached(Operation::Revoke, of(&what))?;
        self.provider.revoke(session, what).await
    }

    fn can_check(&self) -> bool {
        self.provider.can_check()
    }

    async fn check(&self, session: &Session, reference: &SecretRef) -> Result<Vec<MissingRight>, Error> {
        self.reached(Operation::Check, Some(reference))?;
        self.provider.check(session, reference).await
    }
}
