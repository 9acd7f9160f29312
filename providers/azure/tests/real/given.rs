//! What every test starts from.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_azure::{Raw, Settings};
use leasehold_core::{
    Environment, Error, Fetched, Kind, Login, NoObserver, Observer, Operation, Provider, ProviderSettings,
    SecretRef, Session, Surroundings, Wanted,
};
use leasehold_standins::{Asked, Azure, Part};
use serde_json::{Value, json};

/// The application of most tests.
pub(crate) const CLIENT: &str = "11111111-2222-3333-4444-555555555555";

/// What stands in the configuration, with this log-in.
pub(crate) fn raw(azure: &Azure, auth: Value) -> Value {
    json!({
        "address": azure.address(),
        "authority": azure.authority(),
        // The stand-in is at an address, and not in the domain that its challenge names.
        "resource": Azure::RESOURCE,
        "auth": auth,
        "tls": { "ca_file": azure.ca_file() },
    })
}

/// A provider from what stands in the configuration.
pub(crate) fn provider(raw: Value) -> Box<dyn Provider> {
    observed(raw, &[], Arc::new(NoObserver))
}

/// The same, under an environment and with somebody who counts.
pub(crate) fn observed(
    raw: Value,
    environment: &[(&str, &str)],
    observer: Arc<dyn Observer>,
) -> Box<dyn Provider> {
    let raw: Raw = serde_json::from_value(raw).unwrap();
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let settings = Settings::parse("azure", raw, &Environment::new(environment)).unwrap();
    settings.build("azure", Surroundings::observed(observer)).unwrap()
}

/// A provider of an application that may read the vault.
pub(crate) fn ours(azure: &Azure) -> Box<dyn Provider> {
    let secret = azure.register_client(CLIENT);
    provider(raw(azure, with_secret(&secret)))
}

/// A log-in with a client secret.
pub(crate) fn with_secret(secret: &str) -> Value {
    json!({ "tenant_id": Azure::TENANT, "client_id": CLIENT, "client_secret": secret })
}

/// Logs in.
pub(crate) async fn session(provider: &dyn Provider) -> Session {
    match provider.login(None).await.unwrap() {
        Login::Session(session) => session,
        Login::Keep(_) => panic!("it brought something to keep"),
    }
}

/// A log-in that is refused.
pub(crate) async fn refused(provider: &dyn Provider) -> Error {
    provider.login(None).await.expect_err("the log-in is refused")
}

/// A secret without anything but a path.
pub(crate) fn at(path: &str) -> SecretRef {
    SecretRef { name: "it".to_owned(), path: path.to_owned(), ..SecretRef::default() }
}

/// Fetches one secret.
pub(crate) async fn fetch(
    provider: &dyn Provider,
    session: &Session,
    reference: &SecretRef,
) -> Result<Fetched, Error> {
    fetch_since(provider, session, reference, None).await
}

/// Fetches one secret of which a version is known.
pub(crate) async fn fetch_since(
    provider: &dyn Provider,
    session: &Session,
    reference: &SecretRef,
    known_version: Option<&str>,
) -> Result<Fetched, Error> {
    let wanted = [Wanted { reference, known_version }];
    provider.fetch(session, &wanted).await?.pop().expect("one result for one wanted")
}

/// A field's text.
pub(crate) fn text(fetched: &Fetched, field: &str) -> String {
    let fields = fetched.fields.as_ref().expect("it has fields");
    let field = fields.get(field).unwrap_or_else(|| panic!("no field {field}"));
    field.bytes.expose_text().expect("it is text").to_owned()
}

/// What a part was asked, as `METHOD PATH STATUS`, without the query.
pub(crate) fn asked(azure: &Azure, part: Part) -> Vec<String> {
    let line = |asked: Asked| {
        let path = asked.path.split('?').next().unwrap_or_default().to_owned();
        format!(
            "{} {path} {}",
            asked.method,
            asked.status.map_or("-".to_owned(), |status| status.to_string())
        )
    };
    azure.requests_of(part).into_iter().map(line).collect()
}

/// Remembers every request.
#[derive(Default)]
pub(crate) struct Counted(Mutex<Vec<(Operation, Option<Kind>)>>);

impl Counted {
    /// What was asked since the last call.
    pub(crate) fn take(&self) -> Vec<(Operation, Option<Kind>)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Counted {
    fn request(&self, operation: Operation, outcome: Option<Kind>, _: Duration) {
        self.0.lock().unwrap().push((operation, outcome));
    }
}
