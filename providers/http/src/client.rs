//! The HTTP client: hyper over our own connections.
//!
//! One request and its whole answer, whatever the status, with its headers. It follows no redirect
//! and retries nothing that was sent. Idle connections end after two seconds, so that nothing wakes
//! a sleeping process; no answer is larger than 16 MiB.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::connect::{Connector, Trouble, classify};
use crate::limit::within;
use crate::proxy::Proxy;
use crate::tls::{self, Fingerprint, TlsFiles};
use crate::transport::Transport;

/// One request and its answer. The engine sets shorter ones from outside.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(2);
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

type Hyper = legacy::Client<Connector, Full<Bytes>>;

/// One per provider. Opens no connection and reads no file before the first request.
pub struct Client {
    provider: String,
    files: TlsFiles,
    proxy: Arc<Proxy>,
    encrypted: Mutex<Option<Current>>,
    plain: Mutex<Option<Hyper>>,
}

/// The client in use, and what the TLS files looked like when it was made.
struct Current {
    hyper: Hyper,
    made_from: Fingerprint,
    /// A later state of the files that could not be used: said once.
    refused: Option<Fingerprint>,
}

impl Client {
    /// A client of the provider of this name.
    pub fn new(provider: &str, transport: Transport) -> Self {
        Self {
            provider: provider.to_owned(),
            files: transport.tls,
            proxy: Arc::new(transport.proxy),
            encrypted: Mutex::default(),
            plain: Mutex::default(),
        }
    }

    /// Sends one request, its URI whole, and waits for the whole answer, [`REQUEST_LIMIT`] at most.
    ///
    /// # Errors
    /// No answer came, and why.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Trouble> {
        self.send_within(REQUEST_LIMIT, request).await
    }

    /// The same with a limit of the caller's.
    ///
    /// # Errors
    /// No answer came, and why.
    pub async fn send_within(
        &self,
        limit: Duration,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Trouble> {
        within(limit, self.exchange(request)).await.unwrap_or(Err(Trouble::TimedOut(limit)))
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Trouble> {
        let mut request = request.map(Full::new);
        request.headers_mut().remove(HOST);
        if request.uri().scheme_str() == Some("http")
            && let Some(via) = self.proxy.intercept(request.uri())
            && let Some(credentials) = via.basic_auth()
        {
            request.headers_mut().insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        let hyper = match request.uri().scheme_str() {
            Some("https") => self.encrypted()?,
            _ => self.plain()?,
        };
        let answer =
            hyper.request(request).await.map_err(|error| classify(&error).unwrap_or(Trouble::Broken))?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Trouble::TooLarge
            } else {
                classify(error.as_ref()).unwrap_or(Trouble::Broken)
            }
        })?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }

    /// The client for the TLS files as they are now. Connections made with older ones end.
    fn encrypted(&self) -> Result<Hyper, Trouble> {
        let seen = self.files.fingerprint();
        let mut slot = self.encrypted.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *slot {
            Some(current) if current.made_from == seen || current.refused.as_ref() == Some(&seen) => {
                Ok(current.hyper.clone())
            }
            Some(current) => match self.files.load() {
                Ok(config) => {
                    let hyper = self.over(config);
                    *current = Current { hyper, made_from: seen, refused: None };
                    Ok(current.hyper.clone())
                }
                Err(why) => {
                    tracing::warn!(
                        target: "leasehold::http",
                        provider = self.provider,
                        "the tls files changed and cannot be used, the ones before stay in use: {why}"
                    );
                    current.refused = Some(seen);
                    Ok(current.hyper.clone())
                }
            },
            None => {
                let made = self.over(self.files.load().map_err(Trouble::Files)?);
                *slot = Some(Current { hyper: made.clone(), made_from: seen, refused: None });
                Ok(made)
            }
        }
    }

    /// The client for addresses without TLS: no TLS file is read for them.
    fn plain(&self) -> Result<Hyper, Trouble> {
        let mut slot = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some(hyper) => Ok(hyper.clone()),
            None => Ok(slot.insert(self.over(tls::none().map_err(Trouble::Files)?)).clone()),
        }
    }

    fn over(&self, config: rustls::ClientConfig) -> Hyper {
        legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(Connector::new(config, &self.files, Arc::clone(&self.proxy)))
    }
}
