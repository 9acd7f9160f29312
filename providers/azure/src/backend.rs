//! The provider: the contract of `leasehold-core` on one vault.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_core::{
    Effect, Error, Fetched, Kind, Login, MissingRight, Operation, Provider, SecretBytes, SecretRef, Session,
    Surroundings, Target, Term, Traits, Wanted, async_trait,
};
use leasehold_http::Client;

use crate::auth::{Auth, Ways};
use crate::challenge::Challenge;
use crate::config::Settings;
use crate::error::Site;
use crate::fetch::{Vault, Warned};
use crate::wire::Wire;
use crate::{check, session};

/// One key vault.
pub(crate) struct KeyVault {
    name: String,
    vault: Vault,
    auth: Auth,
    ways: Ways,
    /// The session of the last log-in, until its token was accepted once.
    unproven: Mutex<Option<String>>,
}

impl KeyVault {
    pub(crate) fn new(name: &str, settings: Settings, surroundings: Surroundings) -> Self {
        let Settings { address, resource, auth, transport } = settings;
        let observer = surroundings.observer;
        let ways = Ways::new(name, &transport, &observer);
        let wire = Arc::new(Wire::new(Client::new(name, transport), observer));
        let vault = Vault { address, resource, wire, warned: Warned::default() };
        Self { name: name.to_owned(), vault, auth, ways, unproven: Mutex::default() }
    }

    /// A token that was accepted before and is no longer has ended. One that never was will not be
    /// accepted after another log-in either.
    fn weighed<T>(&self, session: &Session, result: Result<T, Error>) -> Result<T, Error> {
        let mut unproven = self.unproven.lock().unwrap_or_else(PoisonError::into_inner);
        if unproven.as_ref() != Some(&session.id) {
            return result;
        }
        match result {
            Err(error) if error.kind == Kind::SessionEnded => Err(Error {
                kind: Kind::Denied,
                detail: "the vault does not accept the token of our log-in (401): is our identity of the \
                         vault's tenant? check auth.tenant_id, and cloud"
                    .to_owned(),
                ..error
            }),
            Err(error) if matches!(error.kind, Kind::Unavailable | Kind::Malformed | Kind::Throttled) => {
                Err(error)
            }
            settled => {
                *unproven = None;
                settled
            }
        }
    }

    fn site<'a>(&'a self, operation: Operation, on: &'a str) -> Site<'a> {
        Site { provider: &self.name, operation, on }
    }
}

#[async_trait]
impl Provider for KeyVault {
    /// A vault counts what is asked of it as one.
    fn describe(&self, _: &SecretRef) -> Traits {
        Traits { effect: Effect::Reads, batch: 1, group: self.vault.address.host().to_owned() }
    }

    /// The vault says what a token is to be for, then the authority is asked for one.
    async fn login(&self, _: Option<&SecretBytes>) -> Result<Login, Error> {
        let site = self.site(Operation::Login, "");
        let Vault { address, resource, wire, .. } = &self.vault;
        let challenge = Challenge::ask(wire, address, resource.as_deref(), &site).await?;
        let grant = self.auth.token(&self.ways, &challenge, &site).await?;
        let session = session::of(grant);
        *self.unproven.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.id.clone());
        Ok(Login::Session(session))
    }

    async fn fetch(
        &self,
        session: &Session,
        wanted: &[Wanted<'_>],
    ) -> Result<Vec<Result<Fetched, Error>>, Error> {
        let mut results = Vec::with_capacity(wanted.len());
        for one in wanted {
            let on = named(one.reference);
            let result = self.vault.fetch(session, one, &self.site(Operation::Fetch, &on)).await;
            results.push(self.weighed(session, result));
        }
        Ok(results)
    }

    /// There is nothing to be learnt of a token: what was granted stands.
    async fn lookup(&self, _: &Session, _: Target<'_>) -> Result<Option<Term>, Error> {
        Ok(None)
    }

    async fn renew(&self, _: &Session, _: Target<'_>, _: Duration) -> Result<Option<Term>, Error> {
        Ok(None)
    }

    async fn revoke(&self, _: &Session, _: Target<'_>) -> Result<(), Error> {
        Ok(())
    }

    async fn check(&self, session: &Session, reference: &SecretRef) -> Result<Vec<MissingRight>, Error> {
        let on = named(reference);
        let missing =
            check::check(&self.vault, &self.auth, session, reference, &self.site(Operation::Check, &on))
                .await;
        self.weighed(session, missing)
    }
}

fn named(reference: &SecretRef) -> String {
    format!("secret \"{}\" ({})", reference.name, reference.path)
}
