//! The provider: the contract of `leasehold-core` on one vault.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{
    Effect, Error, Fetched, Login, MissingRight, Operation, Provider, SecretBytes, SecretRef, Session,
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
}

impl KeyVault {
    pub(crate) fn new(name: &str, settings: Settings, surroundings: Surroundings) -> Self {
        let Settings { address, resource, auth, transport } = settings;
        let observer = surroundings.observer;
        let ways = Ways::new(name, &transport, &observer);
        let wire = Arc::new(Wire::new(Client::new(name, transport), observer));
        let vault = Vault { address, resource, wire, warned: Warned::default() };
        Self { name: name.to_owned(), vault, auth, ways }
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
        Ok(Login::Session(session::of(grant)))
    }

    async fn fetch(
        &self,
        session: &Session,
        wanted: &[Wanted<'_>],
    ) -> Result<Vec<Result<Fetched, Error>>, Error> {
        let mut results = Vec::with_capacity(wanted.len());
        for one in wanted {
            let on = named(one.reference);
            results.push(self.vault.fetch(session, one, &self.site(Operation::Fetch, &on)).await);
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
        check::check(&self.vault, &self.auth, session, reference, &self.site(Operation::Check, &on)).await
    }
}

fn named(reference: &SecretRef) -> String {
    format!("secret \"{}\" ({})", reference.name, reference.path)
}
