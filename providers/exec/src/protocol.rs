//! What is written to the program and what it writes back, version 1. The comments here are the texts
//! of the schema.

use std::collections::BTreeMap;
use std::path::PathBuf;

use leasehold_core::SecretRef;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The version spoken here.
pub(crate) const VERSION: u64 = 1;

/// What the program reads on standard input: one JSON object, then the end.
#[derive(Serialize, JsonSchema)]
pub struct Request<'a> {
    /// The version of the protocol: 1.
    #[schemars(range(min = 1, max = 1))]
    pub(crate) version: u64,
    /// What is asked.
    pub(crate) operation: Asked,
    /// The provider's name in the configuration.
    pub(crate) provider: &'a str,
    /// After so many seconds the program is killed.
    pub(crate) time_limit: f64,
    /// How the store is to be reached, where the configuration says something of it.
    #[serde(skip_serializing_if = "Connection::is_empty")]
    pub(crate) connection: &'a Connection,
    /// `fetch`: what is wanted, at most `batch` of it. `check`: the one that is asked about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) secrets: Vec<WantedSecret<'a>>,
    /// `renew`, `lookup`, `revoke`: the lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<HeldLease<'a>>,
}

/// What a program can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Asked {
    /// Bring these secrets.
    Fetch,
    /// Prolong this lease.
    Renew,
    /// Say what is left of this lease.
    Lookup,
    /// End this lease. One that is gone counts as ended.
    Revoke,
    /// Say which rights are missing for this secret; make nothing.
    Check,
}

/// How the store is to be reached: `tls` and `proxy` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Connection {
    /// A PEM file of the CAs to trust instead of the system's. Also SSL_CERT_FILE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The name in the server's certificate, where it is not the address's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_name: Option<String>,
    /// A PEM file of our certificate and its chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_certificate: Option<PathBuf>,
    /// A PEM file of its private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_key: Option<PathBuf>,
    /// `none`, or the URL of an HTTP proxy for everything. Absent: as HTTPS_PROXY, HTTP_PROXY and NO_PROXY
    /// say, which the program gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proxy: Option<String>,
}

impl Connection {
    /// Whether nothing is said of it.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference to the field")]
    fn is_empty(connection: &&Self) -> bool {
        **connection == Self::default()
    }
}

/// One secret that is wanted, as the configuration describes it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct WantedSecret<'a> {
    /// Its name in the configuration.
    pub(crate) name: &'a str,
    /// Where it is in the store.
    pub(crate) path: &'a str,
    /// What is written to get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<&'a Map<String, Value>>,
    /// The version that is pinned. Absent: the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<&'a str>,
    /// The stage of its versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stage: Option<&'a str>,
    /// The namespace it lives in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<&'a str>,
    /// The version that leasehold holds: where it is still the newest, `unchanged` is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) known_version: Option<&'a str>,
}

impl<'a> WantedSecret<'a> {
    pub(crate) fn new(reference: &'a SecretRef, known_version: Option<&'a str>) -> Self {
        Self {
            name: &reference.name,
            path: &reference.path,
            data: reference.data.as_ref(),
            version: reference.version.as_deref(),
            stage: reference.stage.as_deref(),
            namespace: reference.namespace.as_deref(),
            known_version,
        }
    }
}

/// A lease that the program gave.
#[derive(Serialize, JsonSchema)]
pub(crate) struct HeldLease<'a> {
    /// As the program named it.
    pub(crate) id: &'a str,
    /// The secret's name in the configuration.
    pub(crate) secret: &'a str,
    /// The secret's path.
    pub(crate) path: &'a str,
    /// The namespace it was taken in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<&'a str>,
    /// `renew`: how many seconds are asked for. A grant of less is in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) increment: Option<f64>,
}

/// What the program writes on standard output: one JSON object. Unknown keys are refused.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The version of the protocol: 1.
    #[schemars(range(min = 1, max = 1))]
    #[allow(dead_code, reason = "looked at before the rest is read")]
    pub(crate) version: u64,
    /// `fetch`: one for each secret of the request, in its order.
    #[serde(default)]
    pub(crate) secrets: Vec<Brought>,
    /// `renew`, `lookup`: what is left of the lease.
    pub(crate) lease: Option<Left>,
    /// `check`: the rights that are missing. Absent: none.
    #[serde(default)]
    pub(crate) missing: Vec<Missing>,
    /// Why the request as a whole failed.
    pub(crate) error: Option<Refusal>,
}

/// What came of one secret: `error`, or `unchanged`, or its fields.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Brought {
    /// Why it did not come.
    pub(crate) error: Option<Refusal>,
    /// True: the version that leasehold holds is still the newest.
    #[serde(default)]
    pub(crate) unchanged: bool,
    /// Its fields by name: texts as they are, any other JSON value in its compact form.
    pub(crate) fields: Option<Map<String, Value>>,
    /// Further fields, whose bytes are no text: base64, with padding.
    #[serde(default)]
    pub(crate) binary: BTreeMap<String, String>,
    /// The store's version of it. It is shown in logs and in `status`: never a value, nor a plain hash of one.
    #[schemars(length(min = 1, max = 200))]
    pub(crate) version: Option<String>,
    /// The lease under which it was given. Only with `leases: true` in the configuration.
    pub(crate) lease: Option<GivenLease>,
    /// It dies after so many seconds, and there is no lease.
    #[schemars(range(min = 0.001))]
    pub(crate) ttl: Option<f64>,
    /// The store replaces it after so many seconds: it is asked for again just after.
    #[schemars(range(min = 0.001))]
    pub(crate) changes_in: Option<f64>,
}

/// A lease.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GivenLease {
    /// By which it is renewed, looked up and revoked. It is shown in logs and in `status`.
    #[schemars(length(min = 1, max = 512))]
    pub(crate) id: String,
    /// How many seconds it lives. Absent: until it is revoked.
    #[schemars(range(min = 0.001))]
    pub(crate) ttl: Option<f64>,
    /// Whether `renew` may prolong it.
    #[serde(default)]
    pub(crate) renewable: bool,
}

/// What is left of a lease.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Left {
    /// How many seconds. Absent: it does not end.
    #[schemars(range(min = 0.001))]
    pub(crate) ttl: Option<f64>,
    /// Whether it can be prolonged again.
    #[serde(default)]
    pub(crate) renewable: bool,
}

/// A right that is missing.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Missing {
    /// Where.
    pub(crate) path: String,
    /// What.
    #[serde(default)]
    pub(crate) capabilities: Vec<String>,
    /// Why it is wanted, in a few words.
    #[serde(default)]
    pub(crate) purpose: String,
    /// What an administrator does to grant it.
    #[serde(default)]
    pub(crate) remedy: String,
    /// False: things work without it, only less well.
    #[serde(default = "yes")]
    pub(crate) required: bool,
}

fn yes() -> bool {
    true
}

/// Why something failed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    /// What kind of failure.
    pub(crate) kind: RefusalKind,
    /// For a person: one line, and no value in it. Shown only where the configuration says `messages: shown`.
    pub(crate) message: Option<String>,
    /// How many seconds to wait before the next try.
    #[schemars(range(min = 0))]
    pub(crate) retry_after: Option<f64>,
    /// Whether the same request may succeed later. Default: true for `throttled` and `unavailable`, false
    /// for the others.
    pub(crate) passing: Option<bool>,
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RefusalKind {
    /// The store says no.
    Denied,
    /// There is no such secret, version or lease.
    Absent,
    /// The request is wrong: the configuration has to change.
    Invalid,
    /// Too many requests.
    Throttled,
    /// The store cannot be reached, or failed.
    Unavailable,
}

/// The JSON Schema of both, for the documentation and for whoever writes such a program.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let request = generator.subschema_for::<Request<'_>>().to_value();
    let answer = generator.subschema_for::<Answer>().to_value();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "leasehold: a program as a provider, version 1",
        "description": "`Request` is what the program reads, `Answer` what it writes.",
        "anyOf": [request, answer],
        "$defs": generator.take_definitions(true),
    })
}
