//! What the three clouds share: a role at the store, and a proof that our cloud gives us. The proof is made
//! outside, by whoever knows that cloud ([`Identity`]); here it becomes the request that the store expects.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_core::{
    Cloud, Environment, Error, Identity, IdentityRequest, Kind, Operation, Proof, SecretBytes,
};
use serde_json::{Map, Value, json};

use crate::api::{Answer, Api, Ask};
use crate::config::Problems;
use crate::endpoints::Call;

/// What a token does not say itself, in the store's words. Anything else stays with us.
const ABOUT: [&str; 5] = ["subscription_id", "resource_group_name", "vm_name", "vmss_name", "resource_id"];

/// A role of the method, and whom we have to be for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CloudLogin {
    pub(crate) role: String,
    pub(crate) request: IdentityRequest,
}

/// What the keys of every cloud end with.
pub(super) struct Reached<'a> {
    pub(super) proxy: Option<&'a str>,
    pub(super) environment: &'a Environment,
}

impl CloudLogin {
    /// Puts together what was found sound; nothing, where something was not.
    pub(super) fn new(
        role: Option<String>,
        cloud: Option<Cloud>,
        ca_file: Option<PathBuf>,
        reached: &Reached<'_>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let named = ca_file.is_some();
        let ca_file = ca_file.and_then(|path| problems.file("auth.ca_file", path));
        let request = IdentityRequest {
            cloud: cloud?,
            ca_file,
            proxy: reached.proxy.map(str::to_owned),
            environment: reached.environment.clone(),
        };
        (request.ca_file.is_some() == named).then_some(Self { role: role?, request })
    }

    /// Whom we log in as: nothing that tells one account from another, since that is the cloud's to say.
    pub(super) fn subject(&self) -> String {
        let chosen = match &self.request.cloud {
            Cloud::Aws { role_arn, .. } => role_arn.as_ref(),
            Cloud::Gcp { service_account, .. } => service_account.as_ref(),
            Cloud::Azure { client_id, .. } => client_id.as_ref(),
        };
        chosen.map_or_else(|| self.role.clone(), |chosen| format!("{} by {chosen}", self.role))
    }

    /// Proves who we are, and shows it to the store.
    pub(super) async fn send(
        &self,
        api: &Api,
        ask: &Ask<'_>,
        mount: &str,
        identity: Option<&Arc<dyn Identity>>,
    ) -> Result<Answer, Error> {
        let site = api.site(ask);
        let cloud = self.request.cloud.as_str();
        let Some(identity) = identity else {
            return Err(site.error(Kind::Internal, format!("nobody here knows who we are in {cloud}")));
        };
        let proof = identity.prove().await.map_err(|error| Error {
            operation: Operation::Login,
            provider: api.provider().to_owned(),
            detail: format!("the proof of who we are ({cloud}): {}", error.detail),
            ..error
        })?;
        let Some(body) = self.body(proof) else {
            return Err(site.error(Kind::Internal, format!("what came as a proof is none of {cloud}")));
        };
        api.exchange(ask, Call::write(format!("auth/{mount}/login"), &Value::Object(body))).await
    }

    /// As the API wants it; `None` where this cloud proves itself otherwise.
    fn body(&self, proof: Proof) -> Option<Map<String, Value>> {
        let mut body = Map::new();
        body.insert("role".to_owned(), json!(self.role));
        match (&self.request.cloud, proof) {
            (Cloud::Aws { .. }, Proof::Request { method, url, headers, body: sent }) => {
                let headers = STANDARD.encode(listed(&headers)?.to_string());
                body.insert("iam_http_request_method".to_owned(), json!(method));
                body.insert("iam_request_url".to_owned(), json!(STANDARD.encode(url)));
                body.insert("iam_request_body".to_owned(), json!(STANDARD.encode(sent)));
                body.insert("iam_request_headers".to_owned(), json!(headers));
            }
            (Cloud::Gcp { .. }, Proof::Token { token, .. }) => {
                body.insert("jwt".to_owned(), json!(token.expose_text()?));
            }
            (Cloud::Azure { .. }, Proof::Token { token, about }) => {
                body.insert("jwt".to_owned(), json!(token.expose_text()?));
                let known = about.into_iter().filter(|(key, _)| ABOUT.contains(&key.as_str()));
                body.extend(known.map(|(key, value)| (key, Value::String(value))));
            }
            _ => return None,
        }
        Some(body)
    }

    /// What to look at when the store refuses it.
    pub(super) fn remedy(&self) -> &'static str {
        match self.request.cloud {
            Cloud::Aws { .. } => {
                "check that the role exists and is bound to our ARN (auth.role_arn, else that of our \
                 credentials), that auth.server_id is the server's iam_server_id_header_value, that auth.region \
                 is that of the server's sts_endpoint, and that the store can reach it"
            }
            Cloud::Gcp { service_account: Some(_), .. } => {
                "check that the role exists, is of type iam and bound to auth.service_account, and that the store \
                 can reach google's apis"
            }
            Cloud::Gcp { .. } => {
                "check that the role exists, is of type gce and bound to this machine's project, zone or service \
                 account (another type wants auth.service_account), and that the store can reach google's apis"
            }
            Cloud::Azure { .. } => {
                "check that the role exists and is bound to this identity, group or machine, that auth.resource is \
                 the resource of the server's configuration, and that the store can reach azure"
            }
        }
    }
}

/// Names to lists of values: what the store reads, and what keeps a header that comes twice.
fn listed(headers: &[(String, SecretBytes)]) -> Option<Value> {
    let mut by_name = Map::new();
    for (name, value) in headers {
        let values = by_name.entry(name.clone()).or_insert_with(|| json!([]));
        values.as_array_mut()?.push(json!(value.expose_text()?));
    }
    Some(Value::Object(by_name))
}
