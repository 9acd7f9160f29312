//! The configuration as written: its keys, their types, and the words for them that the JSON
//! Schema carries. The schema of these types is what a file is checked against, so a key that is
//! missing here is an unknown key.
//!
//! Everything is optional to serde, because what is wrong has been taken out (and reported) by
//! then; what a person has to write is `required` in the schema.

mod files;
mod hooks;
mod process;
mod scalars;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

pub(super) use files::*;
pub(super) use hooks::*;
pub(super) use process::*;
pub(super) use scalars::*;

/// Configuration of leasehold.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    /// The version of this format.
    #[serde(rename = "version")]
    #[schemars(extend("enum" = [1]))]
    pub(super) _version: Option<u32>,
    /// Named connections to secret stores.
    #[schemars(required)]
    pub(super) providers: Option<BTreeMap<String, Map<String, Value>>>,
    /// What is fetched, by name: `[a-z][a-z0-9_]*`.
    #[schemars(required)]
    pub(super) secrets: Option<BTreeMap<String, Secret>>,
    /// What is written, by file name relative to `output.directory`. Left out: every field of
    /// every secret, at SECRET/FIELD. `{}`: nothing, and no directory.
    pub(super) files: Option<BTreeMap<String, File>>,
    /// For `exec` and `dev`: environment of the command, name → template.
    pub(super) env: Option<BTreeMap<String, String>>,
    /// For `exec` and `dev`: what happens to the command on a change.
    pub(super) exec: Option<Exec>,
    /// Where the files go.
    pub(super) output: Option<Output>,
    /// Whom to tell about a change.
    pub(super) on_change: Option<Vec<Action>>,
    /// What a new generation is tried with before it is published: `command` or `http`.
    pub(super) verify: Option<Verify>,
    /// How leases and the process live.
    pub(super) lifecycle: Option<Lifecycle>,
    /// Ceilings.
    pub(super) limits: Option<Limits>,
    /// The socket of `status` and `refresh`.
    pub(super) admin: Option<Admin>,
    /// The port of `/livez`, `/readyz` and `/metrics`.
    pub(super) telemetry: Option<Telemetry>,
    /// What is logged, and how.
    pub(super) log: Option<Log>,
}

/// One thing that is fetched.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Secret {
    /// The name of a provider.
    #[schemars(required)]
    pub(super) provider: Option<String>,
    /// Where it is in the store: a Vault path, a secret's name, an ARN.
    #[schemars(required)]
    pub(super) path: Option<String>,
    /// What is written to get it. Left out, the path is read.
    pub(super) data: Option<Map<String, Value>>,
    /// How often a secret that neither dies nor announces a change is read again.
    #[schemars(extend("default" = "5m"))]
    pub(super) refresh: Option<Length>,
    /// Whether the set is incomplete without it.
    #[schemars(extend("default" = true))]
    pub(super) required: Option<bool>,
    /// A pinned version.
    pub(super) version: Option<Version>,
    /// A version stage, such as AWSCURRENT.
    pub(super) stage: Option<String>,
    /// Picks one value inside the secret.
    pub(super) key: Option<String>,
    /// The namespace it lives in, where that is not the provider's.
    pub(super) namespace: Option<String>,
    /// The least time that an old lease outlives the announcement of its successor.
    pub(super) overlap: Option<LengthOrAuto>,
    /// What happens to its files when it has expired.
    pub(super) on_expiry: Option<OnExpiry>,
    /// Revoke a certificate when it is replaced, and at the end.
    #[schemars(extend("default" = false))]
    pub(super) revoke: Option<bool>,
    /// How often the store is asked whether the lease still lives. Left out: never.
    pub(super) lookup: Option<Length>,
    /// How long a new credential takes to be known everywhere: so long it is not tried by `verify`, nor
    /// published.
    #[schemars(extend("default" = "0s"))]
    pub(super) settle: Option<Length>,
    /// The kind of a key that is made here for each fetch; its certificate request goes to the store in `data.csr`.
    pub(super) generate_key: Option<KeyKind>,
}

/// A kind of key.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(super) enum KeyKind {
    #[serde(rename = "ec-p256")]
    EcP256,
    #[serde(rename = "ec-p384")]
    EcP384,
    #[serde(rename = "ed25519")]
    Ed25519,
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    #[serde(rename = "rsa-4096")]
    Rsa4096,
}
