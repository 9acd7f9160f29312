//! The store behind the contract: each call is one request, counted, played upon, answered.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leasehold_core::{
    Error, Fetched, Kind, Login, MissingRight, Observer, Operation, Provider, SecretBytes, SecretRef,
    Session, Target, Term, Traits, Wanted, async_trait,
};

use crate::failure::Failure;
use crate::made_up::normal;
use crate::store::Store;
use crate::time::pass;
use crate::values::Values;

/// One name under which the store is used.
pub(crate) struct Backend {
    pub(crate) name: String,
    pub(crate) store: Arc<Mutex<Store>>,
    pub(crate) observer: Arc<dyn Observer>,
}

/// The store; a panic elsewhere leaves plain data behind.
pub(crate) fn locked(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Backend {
    async fn request<T>(
        &self,
        operation: Operation,
        paths: &[&str],
        session: Option<&Session>,
        deed: impl FnOnce(&mut Store) -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        self.told(operation, paths, session, deed, |_| None).await
    }

    /// The same, where the answer itself may say that it did not go well.
    async fn told<T>(
        &self,
        operation: Operation,
        paths: &[&str],
        session: Option<&Session>,
        deed: impl FnOnce(&mut Store) -> Result<T, Failure> + Send,
        failed: fn(&T) -> Option<Kind>,
    ) -> Result<T, Failure> {
        let (started, (result, way)) = {
            let mut store = locked(&self.store);
            (store.time.now(), store.request(operation, paths, session, deed))
        };
        if !way.delay.is_zero() {
            let delay = locked(&self.store).time.really(way.delay);
            pass(delay).await;
        }
        for mut held in way.held {
            // Nothing is ever sent: it ends when the hold is released.
            while held.changed().await.is_ok() {}
        }
        let took = locked(&self.store).time.now().saturating_sub(started);
        let outcome = match &result {
            Ok(answer) => failed(answer),
            Err(failure) => Some(failure.kind),
        };
        self.observer.request(operation, outcome, took);
        result
    }

    fn error(&self, operation: Operation, reference: Option<&SecretRef>, failure: Failure) -> Error {
        let reference = reference.map(|secret| format!("secret \"{}\" ({})", secret.name, secret.path));
        failure.error(operation, &self.name, reference.unwrap_or_default())
    }
}

/// How the one secret that a request was about failed.
fn alone_and_failed(results: &Vec<Result<Fetched, Failure>>) -> Option<Kind> {
    match results.as_slice() {
        [Err(failure)] => Some(failure.kind),
        _ => None,
    }
}

/// The secret that a lease belongs to.
fn secret_of<'a>(what: &Target<'a>) -> Option<&'a SecretRef> {
    match what {
        Target::Session => None,
        Target::Lease { reference, .. } => Some(reference),
    }
}

fn paths_of<'a>(what: &Target<'a>) -> Vec<&'a str> {
    secret_of(what).map(|reference| normal(&reference.path)).into_iter().collect()
}

#[async_trait]
impl Provider for Backend {
    fn describe(&self, reference: &SecretRef) -> Traits {
        locked(&self.store).describe(reference)
    }

    fn watched(&self) -> Vec<PathBuf> {
        locked(&self.store).settings.values.iter().cloned().collect()
    }

    async fn login(&self, _kept: Option<&SecretBytes>) -> Result<Login, Error> {
        self.request(Operation::Login, &[], None, Store::login)
            .await
            .map(Login::Session)
            .map_err(|failure| self.error(Operation::Login, None, failure))
    }

    async fn fetch(
        &self,
        session: &Session,
        wanted: &[Wanted<'_>],
    ) -> Result<Vec<Result<Fetched, Error>>, Error> {
        let values = locked(&self.store).settings.values.clone();
        let values = Values::read(values.as_deref());
        let paths: Vec<&str> = wanted.iter().map(|wanted| normal(&wanted.reference.path)).collect();
        let only = match wanted {
            [one] => Some(one.reference),
            _ => None,
        };
        let results = self
            .told(
                Operation::Fetch,
                &paths,
                Some(session),
                |store| store.fetch(session, wanted, values),
                alone_and_failed,
            )
            .await
            .map_err(|failure| self.error(Operation::Fetch, only, failure))?;
        Ok(results
            .into_iter()
            .zip(wanted)
            .map(|(result, wanted)| {
                result.map_err(|failure| self.error(Operation::Fetch, Some(wanted.reference), failure))
            })
            .collect())
    }

    async fn lookup(&self, session: &Session, what: Target<'_>) -> Result<Option<Term>, Error> {
        self.request(Operation::Lookup, &paths_of(&what), Some(session), |store| store.lookup(session, what))
            .await
            .map_err(|failure| self.error(Operation::Lookup, secret_of(&what), failure))
    }

    async fn renew(
        &self,
        session: &Session,
        what: Target<'_>,
        increment: Duration,
    ) -> Result<Option<Term>, Error> {
        self.request(Operation::Renew, &paths_of(&what), Some(session), |store| {
            store.renew(session, what, increment)
        })
        .await
        .map_err(|failure| self.error(Operation::Renew, secret_of(&what), failure))
    }

    async fn revoke(&self, session: &Session, what: Target<'_>) -> Result<(), Error> {
        self.request(Operation::Revoke, &paths_of(&what), Some(session), |store| store.revoke(session, what))
            .await
            .map_err(|failure| self.error(Operation::Revoke, secret_of(&what), failure))
    }

    async fn check(&self, session: &Session, reference: &SecretRef) -> Result<Vec<MissingRight>, Error> {
        let path = normal(&reference.path);
        let denied = self
            .request(Operation::Check, &[path], Some(session), |store| store.denials(session, path))
            .await
            .map_err(|failure| self.error(Operation::Check, Some(reference), failure))?;
        Ok(denied.into_iter().map(|operation| missing(path, operation)).collect())
    }
}

fn missing(path: &str, operation: Operation) -> MissingRight {
    let purpose = match operation {
        Operation::Fetch => "to fetch the secret",
        Operation::Renew => "to renew its lease: without it, it is replaced more often",
        Operation::Lookup => {
            "to ask whether its lease still lives: without it, a lost lease is noticed later"
        }
        _ => "to revoke its lease: without it, a replaced lease ends by itself",
    };
    MissingRight {
        path: path.to_owned(),
        capabilities: vec![operation.as_str().to_owned()],
        purpose: purpose.to_owned(),
        required: operation == Operation::Fetch,
        remedy: format!("take the denial of {} out of the mock's script", operation.as_str()),
    }
}
