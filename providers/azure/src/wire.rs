//! The official crates' HTTP client over ours.
//!
//! They see answers and no more: what really happened (the status, the headers that they drop, why
//! there was no answer) is kept beside them, and errors are made from that, never from theirs.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use azure_core::http::headers::{AUTHORIZATION, Headers};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{
    AsyncRawResponse, ClientOptions, Context, HttpClient, Request, RetryOptions, Transport, UserAgentOptions,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use leasehold_core::{Observer, Operation, SecretBytes, async_trait};
use leasehold_http::{Client, Trouble, now};

use crate::error::{kind_of, kind_of_trouble};

/// How requests leave: shared by all exchanges of one provider.
pub(crate) struct Wire {
    client: Client,
    observer: Arc<dyn Observer>,
}

/// What came of a request.
#[derive(Clone)]
pub(crate) enum Seen {
    Answer(Answer),
    Nothing(Trouble),
}

/// An answer of whatever status.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Wire {
    pub(crate) fn new(client: Client, observer: Arc<dyn Observer>) -> Self {
        Self { client, observer }
    }

    /// Sends a request and counts it. `expected` is a status that is no success and yet what was
    /// wanted.
    pub(crate) async fn send(
        &self,
        operation: Operation,
        request: http::Request<Bytes>,
        expected: Option<StatusCode>,
    ) -> Seen {
        let sent = now();
        let seen = match self.client.send(request).await {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                Seen::Answer(Answer { status: parts.status, headers: parts.headers, body })
            }
            Err(trouble) => Seen::Nothing(trouble),
        };
        let outcome = match &seen {
            Seen::Answer(answer) if answer.status.is_success() || Some(answer.status) == expected => None,
            Seen::Answer(answer) => Some(kind_of(answer.status)),
            Seen::Nothing(trouble) => Some(kind_of_trouble(trouble)),
        };
        self.observer.request(operation, outcome, sent.elapsed());
        seen
    }
}

/// One call of the official crates: their transport, and the memory of what it saw last.
pub(crate) struct Exchange {
    wire: Arc<Wire>,
    operation: Operation,
    last: Mutex<Option<Seen>>,
}

impl Exchange {
    pub(crate) fn new(wire: &Arc<Wire>, operation: Operation) -> Arc<Self> {
        Arc::new(Self { wire: Arc::clone(wire), operation, last: Mutex::default() })
    }

    /// What became of the last request; `None` where none was sent.
    pub(crate) fn last(&self) -> Option<Seen> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Options for a client of the official crates: this transport, no retry. A `bearer` is put on
    /// every request, after whatever the client's own policies do.
    pub(crate) fn options(self: &Arc<Self>, bearer: Option<Arc<SecretBytes>>) -> ClientOptions {
        let http_client: Arc<dyn HttpClient> = Arc::clone(self) as Arc<dyn HttpClient>;
        ClientOptions {
            per_try_policies: bearer
                .map(|token| Arc::new(Bearer(token)) as Arc<dyn Policy>)
                .into_iter()
                .collect(),
            retry: RetryOptions::none(),
            transport: Some(Transport::new(http_client)),
            user_agent: UserAgentOptions { application_id: Some("leasehold".to_owned()) },
            ..ClientOptions::default()
        }
    }
}

impl fmt::Debug for Exchange {
    /// Nothing of what was seen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("operation", &self.operation).finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for Exchange {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let request = translated(request).ok_or_else(|| {
            azure_core::Error::with_message(
                azure_core::error::ErrorKind::DataConversion,
                "no request of HTTP",
            )
        })?;
        let seen = self.wire.send(self.operation, request, None).await;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen.clone());
        match seen {
            Seen::Answer(answer) => Ok(AsyncRawResponse::from_bytes(
                answer.status.as_u16().into(),
                headers(&answer.headers),
                answer.body,
            )),
            Seen::Nothing(_) => {
                Err(azure_core::Error::with_message(azure_core::error::ErrorKind::Io, "no answer"))
            }
        }
    }
}

fn translated(request: &Request) -> Option<http::Request<Bytes>> {
    let mut made = http::Request::builder().method(request.method().as_str()).uri(request.url().as_str());
    for (name, value) in request.headers().iter() {
        made = made.header(name.as_str(), value.as_str());
    }
    made.body(Bytes::from(request.body())).ok()
}

fn headers(from: &HeaderMap) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in from {
        if let Ok(value) = value.to_str() {
            headers.insert(name.as_str().to_owned(), value.to_owned());
        }
    }
    headers
}

/// Puts the session's token on a request. The client's own way would be to ask without one first,
/// once for each client: our log-in has had that challenge already.
struct Bearer(Arc<SecretBytes>);

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(redacted)")
    }
}

#[async_trait]
impl Policy for Bearer {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        if let Some(token) = self.0.expose_text() {
            request.insert_header(AUTHORIZATION, format!("Bearer {token}"));
        }
        match next {
            [first, rest @ ..] => first.send(context, request, rest).await,
            [] => Err(azure_core::Error::with_message(
                azure_core::error::ErrorKind::Other,
                "a policy without a transport",
            )),
        }
    }
}
