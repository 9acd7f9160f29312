//! One request to the store: vaultrs' middleware in front, our client behind, counted.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use leasehold_core::{Error, Kind, Observer, Operation};
use rustify::endpoint::Endpoint;
use rustify::errors::ClientError;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use vaultrs::api::EndpointMiddleware;

use crate::address::Address;
use crate::auth::is_header_safe;
use crate::client::Http;
use crate::endpoints::Reply;
use crate::error::{Site, kind_of};
use leasehold_http::Transport;
use leasehold_http::Trouble;
use leasehold_http::now;

/// Longer than any path that Vault knows; a request line has its limits too.
const LONGEST_PATH: usize = 4096;

/// The store's API.
pub(crate) struct Api {
    provider: String,
    address: String,
    http: Http,
    observer: Arc<dyn Observer>,
}

/// As whom, where and for what.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) operation: Operation,
    pub(crate) token: Option<&'a str>,
    pub(crate) namespace: Option<&'a str>,
    /// For errors: `secret "db" (database/creds/web)`.
    pub(crate) on: &'a str,
}

/// What came back, whatever its status. No `Debug`: the body may hold anything.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Vec<u8>,
}

/// The body of an error.
#[derive(serde::Deserialize)]
struct Errors {
    errors: Vec<String>,
}

impl Api {
    pub(crate) fn new(
        provider: &str,
        address: Address,
        transport: Transport,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let shown = address.full();
        Self {
            provider: provider.to_owned(),
            address: shown,
            http: Http::new(provider, address, transport),
            observer,
        }
    }

    pub(crate) fn provider(&self) -> &str {
        &self.provider
    }

    pub(crate) fn site<'a>(&'a self, ask: &Ask<'a>) -> Site<'a> {
        Site { provider: &self.provider, operation: ask.operation, on: ask.on }
    }

    /// Sends it. Every status is an answer; an error means that none came.
    pub(crate) async fn exchange<E: Endpoint>(&self, ask: &Ask<'_>, endpoint: E) -> Result<Answer, Error> {
        let site = self.site(ask);
        // The middleware panics on what is no header value.
        if ask.token.is_some_and(|token| !is_header_safe(token)) {
            return Err(site.error(Kind::Denied, "the token holds something that no token has"));
        }
        if ask.namespace.is_some_and(|namespace| !is_header_safe(namespace)) {
            return Err(site.error(Kind::Invalid, "the namespace holds something that no namespace has"));
        }
        if endpoint.path().len() > LONGEST_PATH {
            return Err(site.error(Kind::Invalid, format!("the path is longer than {LONGEST_PATH} bytes")));
        }
        let middleware = EndpointMiddleware {
            token: ask.token.unwrap_or_default().to_owned(),
            version: "v1".to_owned(),
            wrap: None,
            namespace: ask.namespace.map(str::to_owned),
        };
        let started = now();
        let outcome = endpoint.with_middleware(&middleware).exec(&self.http).await;
        let took = now().saturating_duration_since(started);
        let result = match outcome {
            Ok(result) => {
                let (parts, body) = result.response.into_parts();
                let answer = Answer { status: parts.status, headers: parts.headers, body };
                if answer.is_foreign() {
                    Err(site.not_the_store(answer.status, &self.address))
                } else {
                    Ok(answer)
                }
            }
            Err(ClientError::RequestError { source, .. }) => {
                let trouble = source.downcast_ref::<Trouble>().unwrap_or(&Trouble::Broken);
                Err(site.unanswered(trouble, &self.address))
            }
            Err(_) => Err(site.error(Kind::Internal, "the request could not be built")),
        };
        let kind = match &result {
            Ok(answer) if answer.status.is_success() => None,
            Ok(answer) => Some(kind_of(answer.status)),
            Err(error) => Some(error.kind),
        };
        self.observer.request(ask.operation, kind, took);
        result
    }
}

impl Answer {
    /// The envelope.
    pub(crate) fn reply(&self, site: &Site<'_>) -> Result<Reply, Error> {
        self.envelope().ok_or_else(|| site.malformed("no JSON of the API"))
    }

    /// The envelope's `data`, read as what it ought to be.
    pub(crate) fn data<T: DeserializeOwned>(&self, site: &Site<'_>) -> Result<T, Error> {
        let data = self.reply(site)?.data.ok_or_else(|| site.malformed("no data in it"))?;
        read(data, site)
    }

    /// The envelope's `data`, also of an answer that is an error.
    pub(crate) fn any_data(&self) -> Option<Map<String, Value>> {
        self.envelope()?.data
    }

    fn envelope(&self) -> Option<Reply> {
        self.is_object().then(|| serde_json::from_slice(&self.body).ok()).flatten()
    }

    /// Begins like an object. (Serde alone would take a list for one as well, by position.)
    fn is_object(&self) -> bool {
        self.body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
    }

    /// A verdict that the store would have written as JSON. Throttling, time-outs and a proxy's
    /// wish for a password mean the same whoever says it.
    fn is_foreign(&self) -> bool {
        let status = self.status.as_u16();
        (400..=499).contains(&status)
            && !matches!(status, 407 | 408 | 429)
            && !(self.is_object() && serde_json::from_slice::<serde::de::IgnoredAny>(&self.body).is_ok())
    }

    /// Vault 1.13.0 answers 500 to a wrong secret id or password, where every other version answers
    /// 400. Taken for an outage it would be tried again, until the store locks us out. Its wording
    /// is looked at here alone, and only to tell these two apart.
    pub(crate) fn is_refused_by_a_500(&self) -> bool {
        self.status.as_u16() == 500
            && serde_json::from_slice::<Errors>(&self.body).is_ok_and(|said| match said.errors.as_slice() {
                [only] => only.starts_with("invalid "),
                _ => false,
            })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.body.iter().all(u8::is_ascii_whitespace)
    }

    /// The error of an answer that is none of those that its caller knows.
    pub(crate) fn refused(&self, site: &Site<'_>) -> Error {
        site.refused(self.status, &self.headers)
    }
}

/// Reads an object as what it ought to be. Serde's error may quote what it read, so it is dropped.
pub(crate) fn read<T: DeserializeOwned>(data: Map<String, Value>, site: &Site<'_>) -> Result<T, Error> {
    serde_json::from_value(Value::Object(data)).map_err(|_| site.malformed("a field is missing or strange"))
}
