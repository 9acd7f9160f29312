//! The one gate to the store: nothing else of a running house awaits a [`Provider`].
//!
//! Every call has a deadline, but for a mint: the provider bounds that, and dropping it would leave
//! at the store what nobody knows of.
#![allow(clippy::disallowed_methods, reason = "this is the gate")]

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{
    Effect, Error, Fetched, Kind, Login, Operation, Provider, SecretRef, Session, Target, Term, Wanted,
};

use crate::clock::Clock;

/// How long a log-in may take: it may need several requests.
const LOGIN_DEADLINE: Duration = Duration::from_secs(30);
/// How long any other request may take that is no mint.
const DEADLINE: Duration = Duration::from_secs(15);

/// What a provider gets beyond its own bound.
const MOMENT: Duration = Duration::from_secs(1);

/// A call's surroundings: what it needs to be bounded and named.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) provider: Arc<dyn Provider>,
    pub(super) name: String,
    pub(super) clock: Clock,
}

impl Call {
    pub(super) async fn login(&self, kept: Option<&leasehold_core::SecretBytes>) -> Result<Login, Error> {
        self.bounded(LOGIN_DEADLINE, Operation::Login, "", self.provider.login(kept)).await
    }

    /// What is not learnt in time is learnt by use.
    pub(super) async fn learn(&self, session: &Session, references: &[SecretRef]) {
        let references: Vec<&SecretRef> = references.iter().collect();
        self.clock.within(DEADLINE, self.provider.learn(session, &references)).await;
    }

    pub(super) async fn lookup(&self, session: &Session, what: Target<'_>) -> Result<Option<Term>, Error> {
        self.bounded(DEADLINE, Operation::Lookup, &on(&what), self.provider.lookup(session, what)).await
    }

    pub(super) async fn renew(
        &self,
        session: &Session,
        what: Target<'_>,
        increment: Duration,
    ) -> Result<Option<Term>, Error> {
        self.bounded(DEADLINE, Operation::Renew, &on(&what), self.provider.renew(session, what, increment))
            .await
    }

    pub(super) async fn revoke(&self, session: &Session, what: Target<'_>) -> Result<(), Error> {
        self.bounded(DEADLINE, Operation::Revoke, &on(&what), self.provider.revoke(session, what)).await
    }

    pub(super) async fn fetch(
        &self,
        session: &Session,
        wanted: &[Wanted<'_>],
        effect: Effect,
    ) -> Result<Vec<Result<Fetched, Error>>, Error> {
        match effect {
            Effect::Mints => self.provider.fetch(session, wanted).await,
            Effect::Reads => {
                let name = wanted.first().map(|wanted| wanted.reference.name.clone()).unwrap_or_default();
                let on = format!("secret \"{name}\"");
                self.bounded(DEADLINE, Operation::Fetch, &on, self.provider.fetch(session, wanted)).await
            }
        }
    }

    async fn bounded<T>(
        &self,
        deadline: Duration,
        operation: Operation,
        on: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        // A moment more, so that what bounds itself can say why.
        let deadline = deadline.max(self.provider.patience() + MOMENT);
        match self.clock.within(deadline, call).await {
            Some(result) => result,
            None => Err(Error::new(
                Kind::Unavailable,
                operation,
                &self.name,
                format!(
                    "no answer within {} s: the store, or the way to it, is too slow",
                    deadline.as_secs()
                ),
            )
            .on(on)),
        }
    }
}

fn on(what: &Target<'_>) -> String {
    match what {
        Target::Session => String::new(),
        Target::Lease { reference, .. } => format!("secret \"{}\"", reference.name),
    }
}
