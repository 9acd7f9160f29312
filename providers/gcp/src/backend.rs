//! The provider: the contract of `leasehold-core` on the API.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{
    Effect, Error, Fetched, Kind, Login, MissingRight, Operation, Origin, Provider, SecretBytes, SecretRef,
    Session, Surroundings, Target, Term, Traits, Wanted, async_trait,
};

use crate::api::Ask;
use crate::config::Settings;
use crate::reference::project_of;
use crate::store::Store;
use crate::{check, fetch};

/// Google Secret Manager.
pub(crate) struct Gcp {
    store: Store,
}

impl Gcp {
    pub(crate) fn new(name: &str, settings: Settings, surroundings: Surroundings) -> Self {
        Self { store: Store::new(name, settings, surroundings) }
    }

    /// What is asked of a session that is a token: it is neither prolonged nor taken back.
    fn not_done(&self, operation: Operation) -> Error {
        let ask = Ask { operation, on: "" };
        let site = self.store.api.site(&ask);
        site.error(Kind::Internal, "access tokens of Google are neither renewed nor revoked: they end")
    }
}

#[async_trait]
impl Provider for Gcp {
    /// What Google throttles together is a project.
    fn describe(&self, reference: &SecretRef) -> Traits {
        let project = project_of(&reference.path).or(self.store.settings.project.as_deref());
        Traits { effect: Effect::Reads, batch: 1, group: project.unwrap_or_default().to_owned() }
    }

    /// The same token given again (the metadata server keeps it until five minutes before its end) is
    /// the same session.
    async fn login(&self, _: Option<&SecretBytes>) -> Result<Login, Error> {
        let ask = Ask { operation: Operation::Login, on: "" };
        let credential = self.store.settings.sources.read(&self.store.api.site(&ask))?;
        let token = credential.token(&self.store.api, &ask).await?;
        let session = Session {
            id: format!("token-{:016x}", fingerprint(token.secret.expose())),
            credential: Arc::new(token.secret),
            term: Some(Term { ttl: token.ttl, renewable: false }),
            origin: Origin::LoggedIn,
            revocable: false,
            uses_left: None,
        };
        self.store.logged_in(&session, &credential);
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
            let ask = Ask { operation: Operation::Fetch, on: &on };
            results.push(fetch::fetch(&self.store, &ask, session, one).await);
        }
        Ok(results)
    }

    /// Nobody has to be asked: a token ends when it was said to, and a read says where it does not.
    async fn lookup(&self, _: &Session, what: Target<'_>) -> Result<Option<Term>, Error> {
        match what {
            Target::Session => Ok(None),
            Target::Lease { .. } => Err(self.not_done(Operation::Lookup)),
        }
    }

    async fn renew(&self, _: &Session, _: Target<'_>, _: Duration) -> Result<Option<Term>, Error> {
        Err(self.not_done(Operation::Renew))
    }

    /// Google can revoke a token only together with the log-in of the person whom it is of.
    async fn revoke(&self, _: &Session, _: Target<'_>) -> Result<(), Error> {
        Err(self.not_done(Operation::Revoke))
    }

    async fn check(&self, session: &Session, reference: &SecretRef) -> Result<Vec<MissingRight>, Error> {
        let on = named(reference);
        check::check(&self.store, &Ask { operation: Operation::Check, on: &on }, session, reference).await
    }
}

fn named(reference: &SecretRef) -> String {
    format!("secret \"{}\" ({})", reference.name, reference.path)
}

/// FNV-1a. A token is of high entropy: equal or not, and no way back.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
