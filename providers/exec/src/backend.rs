//! The provider: each operation is one request to the program.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{
    Effect, Error, Fetched, Kind, Lease, Login, MissingRight, Provider, SecretBytes, SecretRef, Session,
    Surroundings, Target, Term, Traits, Wanted, async_trait,
};

use crate::answer::{self, Renewal};
use crate::call::Caller;
use crate::config::{Leases, Settings};
use crate::error::Site;
use crate::protocol::{Asked, HeldLease, Request, VERSION, WantedSecret};
use crate::words::plain;

/// A program that speaks the protocol.
pub(crate) struct Exec {
    name: String,
    caller: Caller,
}

impl Exec {
    pub(crate) fn new(name: &str, settings: Settings, surroundings: Surroundings) -> Self {
        let Surroundings { observer, spawn, .. } = surroundings;
        Self { name: name.to_owned(), caller: Caller::new(settings, Arc::clone(&spawn), observer) }
    }

    fn settings(&self) -> &Settings {
        &self.caller.settings
    }

    fn understands(&self, asked: Asked) -> bool {
        self.settings().operations.contains(&asked)
    }

    fn site<'a>(&'a self, asked: Asked, on: &'a str) -> Site<'a> {
        Site {
            provider: &self.name,
            asked,
            on,
            program: &self.caller.program,
            messages: self.settings().messages,
        }
    }

    fn request(&self, asked: Asked) -> Request<'_> {
        Request {
            version: VERSION,
            operation: asked,
            provider: &self.name,
            time_limit: self.settings().time_limit.as_secs_f64(),
            connection: &self.settings().connection.0,
            secrets: Vec::new(),
            lease: None,
        }
    }

    /// Asks about a lease, where the program understands that.
    async fn about<T>(
        &self,
        asked: Asked,
        (lease, reference): (&Lease, &SecretRef),
        increment: Option<Duration>,
        read: impl FnOnce(crate::protocol::Answer, &Site<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let on = on(reference);
        let site = self.site(asked, &on);
        if !self.understands(asked) {
            let detail = format!(
                "program \"{}\" does not understand {}: name it under operations where it does",
                self.caller.program,
                asked.word()
            );
            return Err(Error::new(Kind::Denied, asked.operation(), &self.name, detail).on(on));
        }
        let held = HeldLease {
            id: &lease.id,
            secret: &reference.name,
            path: &reference.path,
            namespace: lease.namespace.as_deref(),
            increment: increment.map(|increment| increment.as_secs_f64()),
        };
        let request = Request { lease: Some(held), ..self.request(asked) };
        self.caller.ask(&request, &site, |answer, _| read(answer, &site), |_| None).await
    }

    fn renewal(&self) -> Renewal {
        if self.understands(Asked::Renew) { Renewal::Understood } else { Renewal::Unknown }
    }
}

/// `secret "db" (database/creds/web)`
fn on(reference: &SecretRef) -> String {
    format!("secret \"{}\" ({})", reference.name, plain(&reference.path, 200))
}

#[async_trait]
impl Provider for Exec {
    fn describe(&self, _: &SecretRef) -> Traits {
        let settings = self.settings();
        let effect = match settings.leases {
            Leases::None => Effect::Reads,
            Leases::Given => Effect::Mints,
        };
        Traits { effect, batch: settings.batch, group: String::new() }
    }

    fn patience(&self) -> Duration {
        self.settings().time_limit
    }

    async fn login(&self, _: Option<&SecretBytes>) -> Result<Login, Error> {
        Ok(Login::Session(Session::ambient()))
    }

    async fn fetch(&self, _: &Session, wanted: &[Wanted<'_>]) -> Result<Vec<Result<Fetched, Error>>, Error> {
        let each: Vec<String> = wanted.iter().map(|wanted| on(wanted.reference)).collect();
        // What fails as a whole is told of each secret by the engine.
        let whole = if let [one] = &each[..] { one.as_str() } else { "" };
        let site = self.site(Asked::Fetch, whole);
        let secrets =
            wanted.iter().map(|wanted| WantedSecret::new(wanted.reference, wanted.known_version)).collect();
        let request = Request { secrets, ..self.request(Asked::Fetch) };
        let settings = self.settings();
        self.caller
            .ask(
                &request,
                &site,
                |answer, values| {
                    if answer.secrets.len() != wanted.len() {
                        return Err(
                            site.malformed("there is not one entry in secrets for each that was asked for")
                        );
                    }
                    let pairs = answer.secrets.into_iter().zip(wanted).zip(&each);
                    let one = |((brought, wanted), on): ((_, &Wanted<'_>), &String)| {
                        answer::fetched(brought, wanted, settings, values, &site.about(on))
                    };
                    Ok(pairs.map(one).collect::<Vec<_>>())
                },
                // Where some came, the request went well.
                |results| match results.iter().all(Result::is_err) {
                    true => results.iter().find_map(|one| one.as_ref().err()).map(|error| error.kind),
                    false => None,
                },
            )
            .await
    }

    async fn lookup(&self, _: &Session, what: Target<'_>) -> Result<Option<Term>, Error> {
        let Target::Lease { lease, reference } = what else { return Ok(None) };
        let renewal = self.renewal();
        self.about(Asked::Lookup, (lease, reference), None, |answer, site| {
            answer::left(answer.lease, renewal, site)
        })
        .await
    }

    async fn renew(&self, _: &Session, what: Target<'_>, increment: Duration) -> Result<Option<Term>, Error> {
        let Target::Lease { lease, reference } = what else { return Ok(None) };
        let renewal = self.renewal();
        self.about(Asked::Renew, (lease, reference), Some(increment), |answer, site| {
            answer::left(answer.lease, renewal, site)
        })
        .await
    }

    async fn revoke(&self, _: &Session, what: Target<'_>) -> Result<(), Error> {
        let Target::Lease { lease, reference } = what else { return Ok(()) };
        match self.about(Asked::Revoke, (lease, reference), None, |_, _| Ok(())).await {
            Err(error) if error.kind == Kind::LeaseGone => Ok(()),
            result => result,
        }
    }

    fn can_check(&self) -> bool {
        self.understands(Asked::Check)
    }

    async fn check(&self, _: &Session, reference: &SecretRef) -> Result<Vec<MissingRight>, Error> {
        if !self.understands(Asked::Check) {
            return Ok(Vec::new());
        }
        let on = on(reference);
        let site = self.site(Asked::Check, &on);
        let secrets = vec![WantedSecret::new(reference, None)];
        let request = Request { secrets, ..self.request(Asked::Check) };
        self.caller.ask(&request, &site, |answer, _| Ok(answer::missing(answer.missing)), |_| None).await
    }
}
