//! One request to Google, or to whoever gives us a token: sent, counted, and its answer as it came.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use leasehold_core::{Error, Observer, Operation};
use leasehold_http::{Client, Transport, now};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::form_urlencoded;

use crate::error::{Site, kind_of};

const AGENT: &str = concat!("leasehold/", env!("CARGO_PKG_VERSION"));

/// The clients of one provider.
pub(crate) struct Api {
    provider: String,
    /// With `tls` and `proxy` of the configuration.
    configured: Client,
    /// For the metadata server of the machine, which no proxy can reach in our place.
    direct: Client,
    observer: Arc<dyn Observer>,
}

/// For what something is asked, and on which secret: what an error begins with.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) operation: Operation,
    /// `secret "db" (prod-db)`; empty for a log-in.
    pub(crate) on: &'a str,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Store,
    Iam,
    Tokens,
    Metadata,
    /// What a federated credential gets its own token from.
    Source,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Store => "the Secret Manager API",
            Self::Iam => "the IAM credentials API",
            Self::Tokens => "the token service",
            Self::Metadata => "the metadata server",
            Self::Source => "the token source of the credential file",
        })
    }
}

/// A request that is not sent yet. No `Debug`: it may hold a token.
pub(crate) struct Call {
    peer: Peer,
    method: Method,
    url: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    pub(crate) fn get(peer: Peer, url: Uri) -> Self {
        let headers = HeaderMap::new();
        Self { peer, method: Method::GET, url, headers, body: Bytes::new() }
    }

    pub(crate) fn json(peer: Peer, url: Uri, body: &Value) -> Self {
        let call = Self { method: Method::POST, body: body.to_string().into(), ..Self::get(peer, url) };
        call.header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    pub(crate) fn form(peer: Peer, url: Uri, pairs: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let call = Self { method: Method::POST, body: body.into(), ..Self::get(peer, url) };
        call.header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With a credential: `Bearer` or `Basic`. What can be no header is left out; the answer is a
    /// refusal then.
    pub(crate) fn authorized(self, scheme: &str, credential: &str) -> Self {
        match HeaderValue::try_from(format!("{scheme} {credential}")) {
            Ok(mut value) => {
                value.set_sensitive(true);
                self.header(AUTHORIZATION, value)
            }
            Err(_) => self,
        }
    }
}

/// What came back, whatever its status. No `Debug`: the body may hold anything.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Bytes,
    pub(crate) peer: Peer,
    /// Scheme, host and port of whoever answered.
    pub(crate) address: String,
}

impl Api {
    pub(crate) fn new(provider: &str, transport: Transport, observer: Arc<dyn Observer>) -> Self {
        Self {
            provider: provider.to_owned(),
            configured: Client::new(provider, transport),
            direct: Client::new(provider, Transport::default()),
            observer,
        }
    }

    pub(crate) fn site<'a>(&'a self, ask: &Ask<'a>) -> Site<'a> {
        Site { provider: &self.provider, operation: ask.operation, on: ask.on }
    }

    /// Sends it. Every status is an answer; an error means that none came.
    pub(crate) async fn exchange(&self, ask: &Ask<'_>, call: Call) -> Result<Answer, Error> {
        let Call { peer, method, url, headers, body } = call;
        let address = address(&url);
        let client = if peer == Peer::Metadata || is_local(&url) { &self.direct } else { &self.configured };
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = url;
        *request.headers_mut() = headers;
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        request.headers_mut().entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let started = now();
        let outcome = client.send(request).await;
        let took = now().saturating_duration_since(started);
        let site = self.site(ask);
        let result = match outcome {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                Ok(Answer { status: parts.status, headers: parts.headers, body, peer, address })
            }
            Err(trouble) => Err(site.unanswered(peer, &address, &trouble)),
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

/// What Google says beside the status of an error: words of a fixed list, and how long to wait.
#[derive(Default)]
pub(crate) struct Verdict {
    /// `PERMISSION_DENIED`, `FAILED_PRECONDITION`, …
    pub(crate) status: String,
    /// `SERVICE_DISABLED`, `ACCESS_TOKEN_SCOPE_INSUFFICIENT`, …
    pub(crate) reason: String,
    /// `3.5s`.
    pub(crate) retry_delay: Option<String>,
}

impl Answer {
    /// The body, read as what it ought to be. Serde's error may quote what it read, so it is dropped.
    pub(crate) fn read<T: DeserializeOwned>(&self, site: &Site<'_>) -> Result<T, Error> {
        if !self.is_object() {
            return Err(site.malformed(self, "no JSON of the API"));
        }
        serde_json::from_slice(&self.body).map_err(|_| site.malformed(self, "a field is missing or strange"))
    }

    /// The body as one line of text.
    pub(crate) fn line(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.body).ok()?.trim();
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())).then_some(text)
    }

    /// The body as it came.
    pub(crate) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }

    /// What an error of Google's APIs says.
    pub(crate) fn verdict(&self) -> Verdict {
        #[derive(Deserialize)]
        struct Body {
            error: Said,
        }
        #[derive(Deserialize)]
        struct Said {
            #[serde(default)]
            status: String,
            #[serde(default)]
            details: Vec<Value>,
        }
        let Ok(Body { error }) = serde_json::from_slice(&self.body) else { return Verdict::default() };
        let word = |name: &str| {
            error.details.iter().find_map(|detail| detail.get(name)?.as_str()).map(str::to_owned)
        };
        Verdict {
            reason: word("reason").unwrap_or_default(),
            retry_delay: word("retryDelay"),
            status: error.status,
        }
    }

    /// What an error of a token service says (RFC 6749): `invalid_grant`, …
    pub(crate) fn oauth_error(&self) -> String {
        #[derive(Deserialize)]
        struct Body {
            error: String,
        }
        serde_json::from_slice::<Body>(&self.body).map(|body| body.error).unwrap_or_default()
    }

    /// A verdict that Google would have written as JSON. Throttling, time-outs and a proxy's wish for
    /// a password mean the same whoever says it.
    pub(crate) fn is_foreign(&self) -> bool {
        let status = self.status.as_u16();
        (400..=499).contains(&status)
            && !matches!(status, 407 | 408 | 429)
            && !(self.is_object() && serde_json::from_slice::<serde::de::IgnoredAny>(&self.body).is_ok())
    }

    /// Begins like an object. (Serde alone would take a list for one as well, by position.)
    fn is_object(&self) -> bool {
        self.body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
    }
}

/// Addresses that mean this machine's own cloud: the same for every machine, and useless through a
/// proxy.
fn is_local(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "metadata.google.internal" || host.starts_with("169.254.") || host == "fd00:ec2::254"
}

fn address(url: &Uri) -> String {
    match (url.scheme_str(), url.authority()) {
        (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
        _ => String::new(),
    }
}
