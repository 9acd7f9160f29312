//! What every test starts from.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::{
    Environment, Error, Fetched, Identity, Kind, Lease, Login, NoObserver, Observer, Operation, Provider,
    ProviderSettings, SecretBytes, SecretRef, Session, Surroundings, Target, Term, Wanted,
};
use leasehold_harness::vault::Vault;
use leasehold_vault::{Raw, Settings};
use serde_json::{Value, json};

/// Longer than a shared machine stalls.
pub(crate) const SOON: Duration = Duration::from_secs(20);

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
    let settings = Settings::parse("vault", raw, &Environment::new(environment)).unwrap();
    settings.build("vault", Surroundings::observed(observer)).unwrap()
}

/// A provider whose log-in hangs on what this one proves.
pub(crate) fn proved(raw: Value, identity: Arc<dyn Identity>) -> Box<dyn Provider> {
    let raw: Raw = serde_json::from_value(raw).unwrap();
    let settings = Settings::parse("vault", raw, &Environment::default()).unwrap();
    let surroundings =
        Surroundings { identity: Some(identity), ..Surroundings::observed(Arc::new(NoObserver)) };
    settings.build("vault", surroundings).unwrap()
}

/// A provider that is given a token of the shared server, with these policies.
pub(crate) fn with_token(vault: &Vault, options: Value) -> (Box<dyn Provider>, String) {
    let auth = vault.token(options);
    let token = auth["client_token"].as_str().unwrap();
    let raw = json!({ "address": vault.url(), "auth": { "method": "token" } });
    (observed(raw, &[("VAULT_TOKEN", token)], Arc::new(NoObserver)), token.to_owned())
}

/// Logs in, where a session is what comes of it.
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

/// A secret that is written to.
pub(crate) fn written(path: &str, data: Value) -> SecretRef {
    let Value::Object(data) = data else { panic!("data is an object") };
    SecretRef { data: Some(data), ..at(path) }
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

/// The names of the fields.
pub(crate) fn names(fetched: &Fetched) -> Vec<String> {
    fetched.fields.as_ref().expect("it has fields").names().map(str::to_owned).collect()
}

/// What is left, where there is an end.
pub(crate) fn seconds(term: Option<Term>) -> u64 {
    term.expect("it ends").ttl.as_secs()
}

/// A lease as a target.
pub(crate) fn of<'a>(lease: &'a Lease, reference: &'a SecretRef) -> Target<'a> {
    Target::Lease { lease, reference }
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

/// A secret as the engine would give it.
pub(crate) fn secret(text: &str) -> SecretBytes {
    SecretBytes::from_text(text.to_owned())
}
