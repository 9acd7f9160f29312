//! What every test starts from.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::{
    Environment, Error, Fetched, Kind, Login, NoObserver, Observer, Operation, Provider, ProviderSettings,
    SecretRef, Session, Surroundings, Wanted,
};
use leasehold_gcp::{Raw, Settings};
use leasehold_harness::http::{Request, Response};
use leasehold_harness::server::{HttpServer, Reply};
use leasehold_standins::Google;
use serde_json::{Value, json};

/// Settings for that stand-in, with these keys beside.
pub(crate) fn raw(google: &Google, more: Value) -> Value {
    let mut raw = json!({
        "project": Google::PROJECT,
        "endpoint": google.endpoint(),
        "iam_endpoint": google.iam(),
        "tls": { "ca_file": google.ca_file() },
    });
    for (key, value) in more.as_object().unwrap() {
        raw[key] = value.clone();
    }
    raw
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
    settings(raw, environment).build("google", Surroundings::observed(observer)).unwrap()
}

/// Settings from what stands in the configuration, under an environment.
pub(crate) fn settings(raw: Value, environment: &[(&str, &str)]) -> Settings {
    let raw: Raw = serde_json::from_value(raw).unwrap();
    let variables = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::parse("google", raw, &Environment::new(variables)).unwrap()
}

/// A provider that logs in with the key of a service account of its own, and its session.
pub(crate) async fn logged_in(google: &Google) -> (Box<dyn Provider>, Session) {
    let email = google.register_service_account("web");
    let provider = provider(raw(google, json!({ "credentials_file": google.service_account_file(&email) })));
    let session = session(&*provider).await;
    (provider, session)
}

/// Logs in.
pub(crate) async fn session(provider: &dyn Provider) -> Session {
    match provider.login(None).await.unwrap_or_else(|error| panic!("{error}")) {
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

/// One of its versions.
pub(crate) fn version(path: &str, version: &str) -> SecretRef {
    SecretRef { version: Some(version.to_owned()), ..at(path) }
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

/// Its one value.
pub(crate) fn value(fetched: &Fetched) -> &[u8] {
    field(fetched, "value")
}

/// A field's bytes.
pub(crate) fn field<'a>(fetched: &'a Fetched, name: &str) -> &'a [u8] {
    let fields = fetched.fields.as_ref().expect("it has fields");
    fields.get(name).unwrap_or_else(|| panic!("no field {name}")).bytes.expose()
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

/// The token that a [`scripted`] machine is given.
pub(crate) const TOKEN: &str = "canary-token-91c4";

/// A server that is metadata server and Secret Manager at once, and answers the latter's requests as the test
/// says; and a provider that asks it.
pub(crate) fn scripted(
    answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (HttpServer, Box<dyn Provider>) {
    let server = HttpServer::start(move |request: Request| {
        if request.path == "/computeMetadata/v1/instance/service-accounts/default/token" {
            let granted = json!({ "access_token": TOKEN, "expires_in": 3599, "token_type": "Bearer" });
            return Reply::Whole(of_the_machine(200, &granted.to_string()));
        }
        answer(&request)
    });
    let raw = json!({ "project": "app", "endpoint": server.url() });
    let host = server.address().to_string();
    let provider = observed(raw, &[("GCE_METADATA_HOST", &host)], Arc::new(NoObserver));
    (server, provider)
}

/// An answer of the metadata server.
pub(crate) fn of_the_machine(status: u16, body: &str) -> Response {
    Response::json(status, body).header("Metadata-Flavor", "Google")
}

/// An error as Google's APIs write it. Its words are nobody else's to repeat.
pub(crate) fn error(code: u16, status: &str, details: Value) -> String {
    json!({ "error": { "code": code, "message": "canary-message", "status": status, "details": details } })
        .to_string()
}
