//! The provider: the contract of `leasehold-core` on the two stores, over the regions.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{
    Error, Fetched, Kind, Login, MissingRight, Observer, Operation, Provider, SecretBytes, SecretRef,
    Session, Target, Term, Traits, Wanted, async_trait,
};

use crate::chain::{Chain, Loaded};
use crate::check;
use crate::config::Settings;
use crate::credentials::Sources;
use crate::error::{About, Refusal, Site, named};
use crate::reference;
use crate::regions::{Place, Regions};
use crate::service::{Asking, Outcome, Service};
use crate::wire::Wire;

/// Secrets Manager or Parameter Store, in one region or several.
pub(crate) struct Aws {
    name: String,
    service: Service,
    places: Vec<(Place, Loaded)>,
    regions: Regions,
    chain: Chain,
    sources: Sources,
    wire: Wire,
}

impl Aws {
    pub(crate) fn new(name: &str, settings: Settings, service: Service, observer: Arc<dyn Observer>) -> Self {
        let Settings { places, chain, transport } = settings;
        let role = chain.role.as_ref().map(|role| role.arn.clone());
        Self {
            name: name.to_owned(),
            service,
            regions: Regions::new(name, &places),
            places: places.into_iter().map(|place| (place, Loaded::default())).collect(),
            sources: Sources::new(chain.environment.clone(), chain.profile.clone(), role),
            chain,
            wire: Wire::new(name, transport, observer),
        }
    }

    /// Asks in one region: one outcome each.
    pub(crate) async fn ask(&self, operation: Operation, at: usize, wanted: &[Wanted<'_>]) -> Vec<Outcome> {
        let (place, loaded) = &self.places[at];
        let config = loaded.config(&self.chain, place.region.as_deref(), &self.wire).await;
        let Some(region) = config.region().map(|region| region.as_ref().to_owned()) else {
            loaded.forget().await;
            return wanted.iter().map(|one| Err(self.nowhere(operation, one.reference))).collect();
        };
        let asking = Asking {
            provider: &self.name,
            operation,
            region: &region,
            endpoint: place.endpoint.as_deref(),
            config: &config,
            wire: self.wire.counting(operation),
            sources: &self.sources,
        };
        let asked: Vec<Place> = match self.places.as_slice() {
            [_] => vec![Place { region: Some(region.clone()), endpoint: None }],
            several => several.iter().map(|(place, _)| place.clone()).collect(),
        };
        let misplaced: Vec<Option<String>> =
            wanted.iter().map(|one| reference::misplaced(&one.reference.path, &asked)).collect();
        let sound: Vec<Wanted<'_>> =
            wanted.iter().zip(&misplaced).filter(|(_, why)| why.is_none()).map(|(one, _)| *one).collect();
        let mut served = self.service.fetch(&asking, &sound).await.into_iter();
        let mut outcomes = Vec::with_capacity(wanted.len());
        for (one, why) in wanted.iter().zip(misplaced) {
            outcomes.push(match why {
                None => {
                    served.next().unwrap_or_else(|| Err(asking.malformed(one.reference, "nothing of it")))
                }
                Some(why) => {
                    let error = asking.site(&named(one.reference)).error(Kind::Invalid, why);
                    Err(Refusal { error, about: About::Request })
                }
            });
        }
        let over = |outcome: &Outcome| matches!(outcome, Err(refused) if refused.about == About::Credentials);
        if outcomes.iter().any(over) {
            loaded.forget().await;
        }
        outcomes
    }

    fn nowhere(&self, operation: Operation, reference: &SecretRef) -> Refusal {
        let on = named(reference);
        let site = Site { provider: &self.name, operation, on: &on };
        let detail =
            "no region is known: set region, or AWS_REGION in the environment, or region in the profile";
        Refusal { error: site.error(Kind::Invalid, detail), about: About::Request }
    }

    /// Asks in the regions' order until each secret has its answer. What another region than the first says
    /// against a secret proves nothing: it may not be replicated there.
    pub(crate) async fn ask_anywhere(&self, operation: Operation, wanted: &[Wanted<'_>]) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = wanted.iter().map(|_| None).collect();
        for at in self.regions.order() {
            let open: Vec<usize> = (0..wanted.len()).filter(|one| is_open(&outcomes[*one])).collect();
            if open.is_empty() {
                break;
            }
            let asked: Vec<Wanted<'_>> = open.iter().map(|one| wanted[*one]).collect();
            let answers = self.ask(operation, at, &asked).await;
            let good = answers.iter().any(Result::is_ok);
            for (one, answer) in open.into_iter().zip(answers) {
                if at == 0 || answer.is_ok() || outcomes[one].is_none() {
                    outcomes[one] = Some(match answer {
                        Err(refused) if at > 0 => Err(unconfirmed(refused)),
                        answer => answer,
                    });
                }
            }
            let first_is_away = at == 0 && outcomes.iter().any(is_open);
            if at == 0 && !first_is_away {
                self.regions.is_back();
            } else if at > 0 && good {
                self.regions.stands_in(at);
            }
        }
        let missing = || wanted.first().map(|one| self.nowhere(operation, one.reference));
        outcomes.into_iter().filter_map(|outcome| outcome.or_else(|| missing().map(Err))).collect()
    }
}

/// Another region may know better.
fn is_open(outcome: &Option<Outcome>) -> bool {
    match outcome {
        None => true,
        Some(Ok(_)) => false,
        Some(Err(refused)) => refused.error.kind == Kind::Unavailable,
    }
}

/// What a region says that only stands in: nobody who knows was reached.
fn unconfirmed(mut refused: Refusal) -> Refusal {
    if matches!(refused.error.kind, Kind::Absent | Kind::Denied | Kind::Invalid) {
        refused.error.kind = Kind::Unavailable;
    }
    refused
}

#[async_trait]
impl Provider for Aws {
    fn describe(&self, reference: &SecretRef) -> Traits {
        self.service.describe(reference)
    }

    /// The SDK logs in when it has to, and keeps what it got.
    async fn login(&self, _: Option<&SecretBytes>) -> Result<Login, Error> {
        self.service.forget();
        Ok(Login::Session(Session::ambient()))
    }

    async fn fetch(&self, _: &Session, wanted: &[Wanted<'_>]) -> Result<Vec<Result<Fetched, Error>>, Error> {
        let outcomes = self.ask_anywhere(Operation::Fetch, wanted).await;
        Ok(outcomes.into_iter().map(|outcome| outcome.map_err(|refused| refused.error)).collect())
    }

    async fn lookup(&self, _: &Session, what: Target<'_>) -> Result<Option<Term>, Error> {
        self.nothing_to(Operation::Lookup, what).map(|()| None)
    }

    async fn renew(&self, _: &Session, what: Target<'_>, _: Duration) -> Result<Option<Term>, Error> {
        self.nothing_to(Operation::Renew, what).map(|()| None)
    }

    async fn revoke(&self, _: &Session, _: Target<'_>) -> Result<(), Error> {
        Ok(())
    }

    async fn check(&self, _: &Session, reference: &SecretRef) -> Result<Vec<MissingRight>, Error> {
        check::check(self, &self.service, reference).await
    }
}

impl Aws {
    /// The session does not end, and there are no leases.
    fn nothing_to(&self, operation: Operation, what: Target<'_>) -> Result<(), Error> {
        match what {
            Target::Session => Ok(()),
            Target::Lease { reference, .. } => {
                let on = named(reference);
                let site = Site { provider: &self.name, operation, on: &on };
                Err(site.error(Kind::LeaseGone, "there are no leases at aws: the secret is read anew"))
            }
        }
    }
}
