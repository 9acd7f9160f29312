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
use crate::keys::Prepared;

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

    /// Fetches, with a key of our own for each secret that wants one.
    pub(super) async fn fetch(
        &self,
        session: &Session,
        wanted: &[Wanted<'_>],
        effect: Effect,
    ) -> Result<Vec<Result<Fetched, Error>>, Error> {
        let prepared = Prepared::new(&self.name, wanted).await?;
        let wanted = prepared.wanted();
        let answers = self.ask(session, &wanted, effect).await?;
        Ok(prepared.join(answers))
    }

    async fn ask(
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

#[cfg(test)]
mod tests {
    use leasehold_core::{MissingRight, Provider, SecretBytes, Traits, async_trait};

    use super::*;

    /// Answers after this long, and says that it may take that long.
    struct Slow(Duration, Clock);

    #[async_trait]
    impl Provider for Slow {
        fn describe(&self, _: &SecretRef) -> Traits {
            Traits { effect: Effect::Reads, batch: 1, group: String::new() }
        }

        fn patience(&self) -> Duration {
            self.0
        }

        async fn login(&self, _: Option<&SecretBytes>) -> Result<Login, Error> {
            Ok(Login::Session(Session::ambient()))
        }

        async fn fetch(&self, _: &Session, _: &[Wanted<'_>]) -> Result<Vec<Result<Fetched, Error>>, Error> {
            self.1.sleep(self.0).await;
            Ok(vec![Ok(Fetched::unchanged(None))])
        }

        async fn lookup(&self, _: &Session, _: Target<'_>) -> Result<Option<Term>, Error> {
            // Longer than it said.
            self.1.sleep(self.0 * 2).await;
            Ok(None)
        }

        async fn renew(&self, _: &Session, _: Target<'_>, _: Duration) -> Result<Option<Term>, Error> {
            Ok(None)
        }

        async fn revoke(&self, _: &Session, _: Target<'_>) -> Result<(), Error> {
            Ok(())
        }

        async fn check(&self, _: &Session, _: &SecretRef) -> Result<Vec<MissingRight>, Error> {
            Ok(Vec::new())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_bounds_itself_by_more_is_waited_for_and_no_longer() {
        let (clock, long) = (Clock::tokio(), DEADLINE * 2);
        let provider: Arc<dyn Provider> = Arc::new(Slow(long, clock.clone()));
        let call = Call { provider, name: "slow".to_owned(), clock: clock.clone() };
        let session = Session::ambient();
        assert!(call.fetch(&session, &[], Effect::Reads).await.is_ok());
        let before = clock.now();
        let error = call.lookup(&session, Target::Session).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        assert_eq!(clock.now().since(before), long + MOMENT);
    }
}
