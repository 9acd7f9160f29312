//! Requests that vaultrs has no type for, and answers as we need them: with the lease, the number
//! of uses and the kind of a token, which its types leave out.
//!
//! Nothing here has a `Debug`: every one of these holds, or may hold, a secret.

use leasehold_core::SecretBytes;
use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

/// Any request: a method, a path of the API without `v1/`, a query, a JSON body.
pub(crate) struct Call {
    method: RequestMethod,
    path: String,
    query: Option<String>,
    body: Option<Vec<u8>>,
}

impl Call {
    pub(crate) fn read(path: impl Into<String>) -> Self {
        Self { method: RequestMethod::GET, path: path.into(), query: None, body: None }
    }

    pub(crate) fn write(path: impl Into<String>, body: &Value) -> Self {
        let body = Some(body.to_string().into_bytes());
        Self { method: RequestMethod::POST, path: path.into(), query: None, body }
    }

    pub(crate) fn with_query(mut self, query: String) -> Self {
        self.query = Some(query);
        self
    }
}

impl Endpoint for Call {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        self.method.clone()
    }

    fn query(&self) -> Result<Option<String>, ClientError> {
        Ok(self.query.clone())
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(self.body.clone())
    }
}

/// `sys/leases/lookup`.
pub(crate) fn look_lease_up(id: &str) -> Call {
    Call::write("sys/leases/lookup", &json!({ "lease_id": id }))
}

/// `sys/leases/renew`; the increment in whole seconds, rounded up.
pub(crate) fn renew_lease(id: &str, increment: std::time::Duration) -> Call {
    Call::write("sys/leases/renew", &json!({ "lease_id": id, "increment": whole_seconds(increment) }))
}

/// `sys/leases/revoke`, answered once the secret is gone rather than queued.
pub(crate) fn revoke_lease(id: &str) -> Call {
    Call::write("sys/leases/revoke", &json!({ "lease_id": id, "sync": true }))
}

/// `sys/capabilities-self`.
pub(crate) fn capabilities(paths: &[&str]) -> Call {
    Call::write("sys/capabilities-self", &json!({ "paths": paths }))
}

/// What kind of mount a path lies in. Answered under any policy that grants something below it.
pub(crate) fn mount_of(path: &str) -> Call {
    Call::read(format!("sys/internal/ui/mounts/{path}"))
}

/// Vault takes whole seconds; less than asked would be read as the max TTL coming near.
pub(crate) fn whole_seconds(length: std::time::Duration) -> u64 {
    length.as_secs() + u64::from(length.subsec_nanos() > 0)
}

/// The envelope of every answer.
#[derive(Deserialize)]
pub(crate) struct Reply {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) request_id: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) lease_id: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) lease_duration: u64,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) renewable: bool,
    #[serde(default)]
    pub(crate) data: Option<Map<String, Value>>,
    #[serde(default)]
    pub(crate) auth: Option<Auth>,
}

/// A token, as a log-in or a renewal answers it.
#[derive(Deserialize)]
pub(crate) struct Auth {
    #[serde(deserialize_with = "secret")]
    pub(crate) client_token: SecretBytes,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) accessor: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) lease_duration: u64,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) renewable: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) token_type: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) num_uses: i64,
}

/// `auth/token/lookup-self`.
#[derive(Deserialize)]
pub(crate) struct TokenState {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) accessor: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) ttl: i64,
    #[serde(default)]
    pub(crate) expire_time: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) renewable: bool,
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) num_uses: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) creation_time: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) path: String,
}

/// `sys/leases/lookup`.
#[derive(Deserialize)]
pub(crate) struct LeaseState {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) ttl: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) renewable: bool,
}

/// `sys/internal/ui/mounts/PATH`.
#[derive(Deserialize)]
pub(crate) struct MountState {
    pub(crate) path: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) options: Option<Map<String, Value>>,
}

/// The `metadata` of a KV v2 answer.
#[derive(Deserialize)]
pub(crate) struct VersionState {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) version: u64,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) created_time: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) deletion_time: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) destroyed: bool,
}

/// `MOUNT/metadata/NAME` of KV v2.
#[derive(Deserialize)]
pub(crate) struct SecretState {
    pub(crate) current_version: u64,
    #[serde(default)]
    pub(crate) versions: std::collections::BTreeMap<String, VersionState>,
}

/// A null where a value is expected counts as absent.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<SecretBytes, D::Error> {
    String::deserialize(from).map(SecretBytes::from_text)
}
