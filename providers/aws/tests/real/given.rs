//! What every test starts from.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_aws::{ParameterStore, Raw, SecretsManager};
use leasehold_core::{
    Environment, Error, Fetched, Kind, NoObserver, Observer, Operation, Provider, ProviderSettings,
    SecretRef, Session, Surroundings, Wanted,
};
use leasehold_harness::http::{Response, header};
use leasehold_harness::moto::Moto;
use leasehold_harness::proxy::{Proxy, Seen};
use serde_json::{Value, json};

pub(crate) const BATCH: &str = "BatchGetSecretValue";
pub(crate) const ONE: &str = ".GetSecretValue";
pub(crate) const KEY: &str = "AKIAGIVENFORATEST000";

/// Credentials as an environment gives them, and nothing of the machine.
pub(crate) const KEYS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", KEY),
    ("AWS_SECRET_ACCESS_KEY", "canary-secret-access-key"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

/// Which of the two types.
#[derive(Clone, Copy)]
pub(crate) enum Store {
    Secrets,
    Parameters,
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// A provider from what stands in the configuration, under an environment, with somebody who counts.
pub(crate) fn observed(
    store: Store,
    raw: Value,
    variables: &[(&str, &str)],
    observer: Arc<dyn Observer>,
) -> Box<dyn Provider> {
    let raw: Raw = serde_json::from_value(raw).unwrap();
    let (environment, around) = (environment(variables), Surroundings::observed(observer));
    match store {
        Store::Secrets => SecretsManager::parse("aws", raw, &environment).unwrap().build("aws", around),
        Store::Parameters => ParameterStore::parse("aws", raw, &environment).unwrap().build("aws", around),
    }
    .unwrap()
}

/// Secrets Manager behind that proxy, with keys from the environment.
pub(crate) fn secrets(proxy: &Proxy) -> Box<dyn Provider> {
    observed(Store::Secrets, at_proxy(proxy), &KEYS, Arc::new(NoObserver))
}

/// Parameter Store behind that proxy.
pub(crate) fn parameters(proxy: &Proxy) -> Box<dyn Provider> {
    observed(Store::Parameters, at_proxy(proxy), &KEYS, Arc::new(NoObserver))
}

pub(crate) fn at_proxy(proxy: &Proxy) -> Value {
    json!({ "region": Moto::REGION, "endpoint": proxy.url() })
}

/// A secret without anything but a path.
pub(crate) fn at(path: &str) -> SecretRef {
    SecretRef { name: "it".to_owned(), path: path.to_owned(), ..SecretRef::default() }
}

/// Fetches one secret.
pub(crate) async fn fetch(provider: &dyn Provider, reference: &SecretRef) -> Result<Fetched, Error> {
    since(provider, reference, None).await
}

/// Fetches one secret of which a version is known.
pub(crate) async fn since(
    provider: &dyn Provider,
    reference: &SecretRef,
    known_version: Option<&str>,
) -> Result<Fetched, Error> {
    let wanted = [Wanted { reference, known_version }];
    provider.fetch(&Session::ambient(), &wanted).await?.pop().expect("one result for one wanted")
}

/// Fetches several together.
pub(crate) async fn all(provider: &dyn Provider, references: &[SecretRef]) -> Vec<Result<Fetched, Error>> {
    let wanted: Vec<Wanted<'_>> =
        references.iter().map(|reference| Wanted { reference, known_version: None }).collect();
    let results = provider.fetch(&Session::ambient(), &wanted).await.unwrap();
    assert_eq!(results.len(), references.len(), "one result for each");
    results
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

/// An error of AWS, as its JSON protocol says it.
pub(crate) fn aws_error(status: u16, code: &str) -> Response {
    Response::json(status, &json!({ "__type": code, "message": "canary-message" }).to_string())
}

/// The access keys that signed the requests for this action.
pub(crate) fn keys(proxy: &Proxy, action: &str) -> Vec<String> {
    proxy.requests(action).iter().map(key).collect()
}

fn key(seen: &Seen) -> String {
    let signed = header(&seen.headers, "authorization").expect("it is signed");
    let (_, rest) = signed.split_once("Credential=").expect("a signature names its key");
    rest.split('/').next().unwrap().to_owned()
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
