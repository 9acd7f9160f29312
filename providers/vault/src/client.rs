//! The HTTP client: rustify's trait over hyper and rustls.
//!
//! It hands back every status with its headers (rustify's own loses `Retry-After`, `Location` and
//! `Date`), follows no redirect but those that the configuration lists, and retries nothing that
//! was sent. Idle connections end after two seconds, so that nothing wakes a sleeping process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use leasehold_core::async_trait;
use rustify::errors::ClientError;

use crate::address::Address;
use crate::connect::{Connector, Trouble, classify};
use crate::limit::within;
use crate::proxy::Proxy;
use crate::tls::{self, Fingerprint, TlsFiles};

/// One request and its answer, redirect included. The engine sets shorter ones from outside.
pub(crate) const REQUEST_LIMIT: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(2);
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;
const AGENT: &str = concat!("leasehold/", env!("CARGO_PKG_VERSION"));

type Hyper = legacy::Client<Connector, Full<Bytes>>;

/// One per provider.
pub(crate) struct Http {
    provider: String,
    address: Address,
    files: TlsFiles,
    proxy: Arc<Proxy>,
    current: Mutex<Option<Current>>,
}

/// The client in use, and what the TLS files looked like when it was made.
struct Current {
    hyper: Hyper,
    made_from: Fingerprint,
    /// A later state of the files that could not be used: said once.
    refused: Option<Fingerprint>,
}

impl Http {
    pub(crate) fn new(provider: &str, address: Address, files: TlsFiles, proxy: Proxy) -> Self {
        let proxy = Arc::new(proxy);
        Self { provider: provider.to_owned(), address, files, proxy, current: Mutex::new(None) }
    }

    /// The client for the TLS files as they are now. Connections made with older ones end.
    fn hyper(&self) -> Result<Hyper, Trouble> {
        let seen = self.files.fingerprint();
        let mut slot = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *slot {
            Some(current) if current.made_from == seen || current.refused.as_ref() == Some(&seen) => {
                Ok(current.hyper.clone())
            }
            Some(current) => match self.connector() {
                Ok(connector) => {
                    *current = Current { hyper: hyper(connector), made_from: seen, refused: None };
                    Ok(current.hyper.clone())
                }
                Err(why) => {
                    tracing::warn!(
                        target: "leasehold::vault",
                        provider = self.provider,
                        "the tls files changed and cannot be used, the ones before stay in use: {why}"
                    );
                    current.refused = Some(seen);
                    Ok(current.hyper.clone())
                }
            },
            None => {
                let made = hyper(self.connector().map_err(Trouble::Files)?);
                *slot = Some(Current { hyper: made.clone(), made_from: seen, refused: None });
                Ok(made)
            }
        }
    }

    fn connector(&self) -> Result<Connector, String> {
        let config = if self.address.is_tls() { self.files.load()? } else { tls::none()? };
        Ok(Connector::new(config, &self.files, Arc::clone(&self.proxy)))
    }

    async fn follow(
        &self,
        method: Method,
        mut uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Vec<u8>>, Trouble> {
        let mut hops = 0;
        loop {
            let answer = self.once(&method, uri.clone(), headers.clone(), body.clone()).await?;
            if !is_redirect(answer.status()) {
                return Ok(answer);
            }
            let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            match self.address.redirect(&uri, location.unwrap_or_default()) {
                Ok(target) if hops == 0 && location.is_some() => {
                    hops += 1;
                    uri = target;
                }
                Ok(target) => return Err(Trouble::Redirected { to: authority(&target) }),
                Err(to) => return Err(Trouble::Redirected { to }),
            }
        }
    }

    async fn once(
        &self,
        method: &Method,
        uri: Uri,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Vec<u8>>, Trouble> {
        headers.remove(HOST);
        if uri.scheme_str() == Some("http")
            && let Some(via) = self.proxy.intercept(&uri)
            && let Some(credentials) = via.basic_auth()
        {
            headers.insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let answer = self
            .hyper()?
            .request(request)
            .await
            .map_err(|error| classify(&error).unwrap_or(Trouble::Broken))?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Trouble::TooLarge
            } else {
                classify(error.as_ref()).unwrap_or(Trouble::Broken)
            }
        })?;
        Ok(Response::from_parts(parts, body.to_bytes().to_vec()))
    }
}

#[async_trait]
impl rustify::client::Client for Http {
    async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, ClientError> {
        let (mut parts, body) = request.into_parts();
        let failed = |trouble: Trouble, method: &Method| ClientError::RequestError {
            source: trouble.into(),
            url: self.address.root().to_owned(),
            method: method.to_string(),
        };
        let uri = self.address.with_prefix(parts.uri).map_err(|source| ClientError::RequestBuildError {
            source,
            method: rustify::enums::RequestMethod::GET,
            url: self.address.root().to_owned(),
        })?;
        parts.headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if !body.is_empty() {
            parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let exchange = self.follow(parts.method.clone(), uri, parts.headers, Bytes::from(body));
        match within(REQUEST_LIMIT, exchange).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(trouble)) => Err(failed(trouble, &parts.method)),
            None => Err(failed(Trouble::TimedOut(REQUEST_LIMIT), &parts.method)),
        }
    }

    fn base(&self) -> &str {
        self.address.root()
    }

    /// Every status is an answer, and nothing is logged on the way.
    async fn execute(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, ClientError> {
        self.send(request).await
    }
}

fn hyper(connector: Connector) -> Hyper {
    legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .build(connector)
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 307 | 308)
}

fn authority(uri: &Uri) -> String {
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
        _ => String::new(),
    }
}
