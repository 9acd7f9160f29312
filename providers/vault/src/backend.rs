//! The provider: the contract of `leasehold-core` on the API.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{
    Effect, Error, Fetched, Identity, Lease, Login, MissingRight, Operation, Provider, SecretBytes,
    SecretRef, Session, Surroundings, Target, Term, Traits, Wanted, async_trait,
};

use crate::api::{Api, Ask};
use crate::auth::{Auth, Method, Source};
use crate::config::{Settings, namespace_of};
use crate::fetch::{self, is_static_role};
use crate::kv::Memory;
use crate::mounts::{Engine, Mounts};
use crate::{check, lease, session};

/// One Vault or OpenBao server.
pub(crate) struct Vault {
    api: Api,
    auth: Auth,
    namespace: Option<String>,
    mounts: Mounts,
    memory: Memory,
    identity: Option<Arc<dyn Identity>>,
}

impl Vault {
    pub(crate) fn new(name: &str, settings: Settings, surroundings: Surroundings) -> Self {
        let Settings { address, namespace, auth, transport } = settings;
        Self {
            api: Api::new(name, address, transport, surroundings.observer),
            auth,
            namespace,
            mounts: Mounts::default(),
            memory: Memory::default(),
            identity: surroundings.identity,
        }
    }

    /// The namespace of a secret: its own, else the provider's.
    fn namespace_of<'a>(&'a self, own: Option<&'a str>) -> Option<&'a str> {
        namespace_of(self.namespace.as_deref(), own)
    }

    fn of_session<'a>(&'a self, operation: Operation, session: &'a Session) -> Ask<'a> {
        session::own(operation, session, self.auth.namespace(self.namespace.as_deref()))
    }

    fn of_secret<'a>(
        &'a self,
        operation: Operation,
        session: &'a Session,
        namespace: Option<&'a str>,
        on: &'a str,
    ) -> Ask<'a> {
        let namespace = self.namespace_of(namespace);
        Ask { operation, token: session.credential.expose_text(), namespace, on }
    }
}

#[async_trait]
impl Provider for Vault {
    fn describe(&self, reference: &SecretRef) -> Traits {
        let namespace = self.namespace_of(reference.namespace.as_deref());
        let mount = self.mounts.known(namespace, &reference.path);
        let keeps = mount.as_ref().is_some_and(|mount| matches!(mount.engine, Engine::Kv1 | Engine::Kv2));
        let reads = reference.data.is_none() && (keeps || is_static_role(&reference.path));
        let group = match (&mount, reference.path.split_once('/')) {
            (Some(mount), _) => mount.path.clone(),
            (None, Some((first, _))) => first.to_owned(),
            (None, None) => reference.path.clone(),
        };
        let group = namespace.map_or(group.clone(), |namespace| format!("{namespace}/{group}"));
        Traits { effect: if reads { Effect::Reads } else { Effect::Mints }, batch: 1, group }
    }

    fn watched(&self) -> Vec<PathBuf> {
        match &self.auth.method {
            Method::Token(Source::File(path)) => vec![path.clone()],
            _ => Vec::new(),
        }
    }

    async fn login(&self, kept: Option<&SecretBytes>) -> Result<Login, Error> {
        let login =
            self.auth.login(&self.api, self.namespace.as_deref(), kept, self.identity.as_ref()).await?;
        self.mounts.forget_denials();
        self.memory.forget_denials();
        Ok(login)
    }

    /// One question a mount that is not known yet. It costs no use of a token that has few.
    async fn learn(&self, session: &Session, references: &[&SecretRef]) -> Result<(), Error> {
        for reference in references {
            let on = named(reference);
            let ask = self.of_secret(Operation::Check, session, reference.namespace.as_deref(), &on);
            if fetch::sound(&reference.path, &self.api.site(&ask)).is_ok() {
                self.mounts.find(&self.api, &ask, &reference.path).await?;
            }
        }
        Ok(())
    }

    async fn fetch(
        &self,
        session: &Session,
        wanted: &[Wanted<'_>],
    ) -> Result<Vec<Result<Fetched, Error>>, Error> {
        let mut results = Vec::with_capacity(wanted.len());
        for one in wanted {
            let on = named(one.reference);
            let ask = self.of_secret(Operation::Fetch, session, one.reference.namespace.as_deref(), &on);
            results.push(fetch::fetch(&self.api, &self.mounts, &self.memory, &ask, one).await);
        }
        Ok(results)
    }

    async fn lookup(&self, session: &Session, what: Target<'_>) -> Result<Option<Term>, Error> {
        match what {
            Target::Session => self.api.session_term(&self.of_session(Operation::Lookup, session)).await,
            Target::Lease { lease, reference } => {
                let on = named_lease(lease, reference);
                let ask = self.of_secret(Operation::Lookup, session, lease.namespace.as_deref(), &on);
                lease::lookup(&self.api, &self.mounts, &ask, lease, reference).await
            }
        }
    }

    async fn renew(
        &self,
        session: &Session,
        what: Target<'_>,
        increment: Duration,
    ) -> Result<Option<Term>, Error> {
        match what {
            Target::Session => {
                self.api.renew_session(&self.of_session(Operation::Renew, session), increment).await
            }
            Target::Lease { lease, reference } => {
                let on = named_lease(lease, reference);
                let ask = self.of_secret(Operation::Renew, session, lease.namespace.as_deref(), &on);
                lease::renew(&self.api, &ask, lease, increment).await
            }
        }
    }

    async fn revoke(&self, session: &Session, what: Target<'_>) -> Result<(), Error> {
        match what {
            Target::Session => self.api.revoke_session(&self.of_session(Operation::Revoke, session)).await,
            Target::Lease { lease, reference } => {
                let on = named_lease(lease, reference);
                let ask = self.of_secret(Operation::Revoke, session, lease.namespace.as_deref(), &on);
                lease::revoke(&self.api, &self.mounts, &ask, lease, reference).await
            }
        }
    }

    async fn check(&self, session: &Session, reference: &SecretRef) -> Result<Vec<MissingRight>, Error> {
        let on = named(reference);
        let ask = self.of_secret(Operation::Check, session, reference.namespace.as_deref(), &on);
        check::check(&self.api, &self.mounts, &ask, reference).await
    }
}

fn named(reference: &SecretRef) -> String {
    format!("secret \"{}\" ({})", reference.name, reference.path)
}

fn named_lease(lease: &Lease, reference: &SecretRef) -> String {
    format!("secret \"{}\" (lease {})", reference.name, lease.id)
}
