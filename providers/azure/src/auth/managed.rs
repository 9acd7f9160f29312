//! The identity of what we run on: a machine's metadata service, or App Service and its like.
//!
//! The official credential reads the process's environment, where secrets were overwritten before the
//! runtime started; so the two requests are ours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderValue;
use leasehold_core::{Environment, Error, Kind, SecretBytes};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::config::Problems;
use crate::error::{Site, date, kind_of, retry_after};
use crate::session::Grant;
use crate::wire::{Answer, Seen, Wire};

/// The metadata service of every virtual machine.
const METADATA: &str = "http://169.254.169.254";

/// Who gives out tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Managed {
    /// The machine's metadata service.
    Machine(Url),
    /// App Service, Functions, Container Apps: an endpoint, and what proves that we are inside.
    App { endpoint: Url, secret: Arc<SecretBytes> },
}

/// Why it is the managed identity that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// The configuration names it.
    ByName,
    /// There was no other credential.
    AsLast,
}

impl Managed {
    pub(super) fn parse(environment: &Environment, problems: &mut Problems) -> Option<Self> {
        let mut address = |key: &str, text: &str| {
            let url = Url::parse(text).ok().filter(|url| url.has_host() && url.scheme().starts_with("http"));
            if url.is_none() {
                problems.add("auth.method", format!("managed-identity: {key} in the environment is no URL"));
            }
            url
        };
        match (environment.value("IDENTITY_ENDPOINT"), environment.value("IDENTITY_HEADER")) {
            (Some(endpoint), Some(secret)) => {
                let secret = Arc::new(SecretBytes::from_text(secret.to_owned()));
                Some(Self::App { endpoint: address("IDENTITY_ENDPOINT", endpoint)?, secret })
            }
            (Some(_), None) => {
                problems.add(
                    "auth.method",
                    "managed-identity: that of Azure Arc is not supported (IDENTITY_ENDPOINT is set, and \
                     IDENTITY_HEADER is not): use client-certificate",
                );
                None
            }
            (None, _) => {
                let name = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
                address(name, environment.value(name).unwrap_or(METADATA)).map(Self::Machine)
            }
        }
    }

    /// A token for a resource.
    pub(super) async fn token(
        &self,
        wire: &Arc<Wire>,
        resource: &str,
        client: Option<&str>,
        chosen: Chosen,
        site: &Site<'_>,
    ) -> Result<Grant, Error> {
        let (mut url, version) = match self {
            Self::Machine(host) => (at(host, "/metadata/identity/oauth2/token"), "2018-02-01"),
            Self::App { endpoint, .. } => (endpoint.clone(), "2019-08-01"),
        };
        url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", resource);
        if let Some(client) = client {
            url.query_pairs_mut().append_pair("client_id", client);
        }
        let request = self.request(&url).ok_or_else(|| {
            site.error(Kind::Invalid, "IDENTITY_HEADER in the environment holds what no header can")
        })?;
        match wire.send(site.operation, request, None).await {
            Seen::Nothing(trouble) => {
                let error = site.unanswered(&trouble, "the managed identity", self.place());
                Err(match chosen {
                    Chosen::ByName => error,
                    // Nobody is there, and nobody said that somebody would be.
                    Chosen::AsLast => Error {
                        kind: Kind::Denied,
                        detail: format!(
                            "there are no credentials: none are configured or set in the environment, and {}; \
                             say auth, or give the pod or machine an identity",
                            error.detail
                        ),
                        ..error
                    }
                    .passing(None),
                })
            }
            Seen::Answer(answer) if answer.status.is_success() => granted(&answer).ok_or_else(|| {
                site.error(
                    Kind::Malformed,
                    format!("the answer of the managed identity at {} holds no token", self.place()),
                )
            }),
            Seen::Answer(answer) => Err(self.refused(&answer, client, site)),
        }
    }

    /// What the machine's metadata says of it, in the words of Vault's log-in. Empty where there is
    /// none to be had.
    pub(crate) async fn about(
        &self,
        wire: &Arc<Wire>,
        site: &Site<'_>,
    ) -> Result<BTreeMap<String, String>, Error> {
        let Self::Machine(host) = self else { return Ok(BTreeMap::new()) };
        let mut url = at(host, "/metadata/instance/compute");
        url.query_pairs_mut().append_pair("api-version", "2021-02-01").append_pair("format", "json");
        let Some(request) = self.request(&url) else { return Ok(BTreeMap::new()) };
        match wire.send(site.operation, request, None).await {
            Seen::Nothing(trouble) => Err(site.unanswered(&trouble, "the machine's metadata", self.place())),
            Seen::Answer(answer) if answer.status.is_success() => {
                serde_json::from_slice(&answer.body).map(Compute::about).map_err(|_| {
                    site.error(
                        Kind::Malformed,
                        format!("the machine's metadata at {} makes no sense", self.place()),
                    )
                })
            }
            // Not ready to say it is not the same as having nothing to say.
            Seen::Answer(answer) if matches!(kind_of(answer.status), Kind::Unavailable | Kind::Throttled) => {
                Err(self.refused(&answer, None, site))
            }
            Seen::Answer(_) => Ok(BTreeMap::new()),
        }
    }

    fn request(&self, url: &Url) -> Option<http::Request<Bytes>> {
        let request = http::Request::get(url.as_str());
        let request = match self {
            Self::Machine(_) => request.header("metadata", "true"),
            Self::App { secret, .. } => {
                let mut value = HeaderValue::from_bytes(secret.expose()).ok()?;
                value.set_sensitive(true);
                request.header("x-identity-header", value)
            }
        };
        request.body(Bytes::new()).ok()
    }

    /// For messages: never the query.
    fn place(&self) -> &str {
        let (Self::Machine(url) | Self::App { endpoint: url, .. }) = self;
        url.as_str().split('?').next().unwrap_or_default().trim_end_matches('/')
    }

    fn refused(&self, answer: &Answer, client: Option<&str>, site: &Site<'_>) -> Error {
        let status = answer.status.as_u16();
        let wait = retry_after(&answer.headers);
        let place = self.place();
        match status {
            // While it is being updated.
            404 | 410 => site.error(
                Kind::Unavailable,
                format!("the managed identity at {place} is not there at the moment ({status})"),
            ),
            400 | 401 | 403 => {
                let which = match client {
                    Some(_) => "assign the identity of auth.client_id (or AZURE_CLIENT_ID) to what we run on",
                    None => {
                        "switch the system-assigned identity on, or name a user-assigned one in auth.client_id"
                    }
                };
                site.error(
                    Kind::Denied,
                    format!("there is no such managed identity at {place} ({status}): {which}"),
                )
                .passing(None)
            }
            429 => site.error(
                Kind::Throttled,
                format!("too many requests for the managed identity at {place} (429)"),
            ),
            _ => {
                let kind = match kind_of(answer.status) {
                    Kind::Unavailable => Kind::Unavailable,
                    _ => Kind::Malformed,
                };
                site.error(kind, format!("the managed identity at {place} answered {status}"))
            }
        }
        .retry_after(wait)
    }
}

fn at(host: &Url, path: &str) -> Url {
    let mut url = host.clone();
    url.set_path(path);
    url
}

/// Lengths and times come as numbers or as texts of digits.
fn granted(answer: &Answer) -> Option<Grant> {
    #[derive(Deserialize)]
    struct Granted {
        access_token: String,
        expires_in: Option<Value>,
        expires_on: Option<Value>,
    }
    let Granted { access_token, expires_in, expires_on } = serde_json::from_slice(&answer.body).ok()?;
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let seconds = match expires_in.as_ref().and_then(number) {
        Some(seconds) => seconds,
        None => {
            let now = date(&answer.headers)?.duration_since(UNIX_EPOCH).ok()?.as_secs();
            expires_on.as_ref().and_then(number)?.checked_sub(now)?
        }
    };
    let usable = !access_token.is_empty() && access_token.bytes().all(|byte| byte.is_ascii_graphic());
    (usable && seconds > 0).then(|| Grant {
        token: SecretBytes::from_text(access_token),
        expires_in: Duration::from_secs(seconds),
    })
}

/// What the metadata service says of the machine.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Compute {
    subscription_id: String,
    resource_group_name: String,
    name: String,
    vm_scale_set_name: String,
}

impl Compute {
    /// A machine of a scale set is known by the set.
    fn about(self) -> BTreeMap<String, String> {
        let machine = match self.vm_scale_set_name.is_empty() {
            true => ("vm_name", self.name),
            false => ("vmss_name", self.vm_scale_set_name),
        };
        [
            ("subscription_id", self.subscription_id),
            ("resource_group_name", self.resource_group_name),
            machine,
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn answer(body: &str, date: Option<&str>) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(date) = date {
            headers.insert(http::header::DATE, date.parse().unwrap());
        }
        Answer { status: StatusCode::OK, headers, body: Bytes::from(body.to_owned()) }
    }

    #[test]
    fn a_tokens_life_is_read_from_each_form_of_the_answer() {
        let date = Some("Thu, 01 Jan 1970 00:16:40 GMT");
        for (body, date, seconds) in [
            (r#"{"access_token":"t","expires_in":"3599"}"#, None, 3599),
            (r#"{"access_token":"t","expires_in":3599}"#, None, 3599),
            (r#"{"access_token":"t","expires_on":"1600"}"#, date, 600),
            (r#"{"access_token":"t","expires_on":1600}"#, date, 600),
        ] {
            let grant = granted(&answer(body, date)).expect(body);
            assert_eq!(grant.expires_in, Duration::from_secs(seconds), "{body}");
        }
        for (body, date) in [
            (r#"{"access_token":"t","expires_on":"1600"}"#, None),
            (r#"{"access_token":"t","expires_on":"900"}"#, date),
            (r#"{"access_token":"","expires_in":"3599"}"#, None),
            (r#"{"access_token":"t\n","expires_in":"3599"}"#, None),
            (r#"{"access_token":"t"}"#, date),
            ("nonsense", None),
        ] {
            assert!(granted(&answer(body, date)).is_none(), "{body}");
        }
    }

    #[test]
    fn a_machine_is_told_by_its_name_or_by_its_scale_set() {
        let alone: Compute = serde_json::from_str(
            r#"{"subscriptionId":"s","resourceGroupName":"g","name":"vm","vmScaleSetName":""}"#,
        )
        .unwrap();
        let about = alone.about();
        assert_eq!(about.get("vm_name").map(String::as_str), Some("vm"));
        assert!(!about.contains_key("vmss_name"));
        let set: Compute = serde_json::from_str(
            r#"{"subscriptionId":"s","resourceGroupName":"g","name":"vm_0","vmScaleSetName":"vms"}"#,
        )
        .unwrap();
        let about = set.about();
        assert_eq!(about.get("vmss_name").map(String::as_str), Some("vms"));
        assert!(!about.contains_key("vm_name"));
    }
}
