//! rustify's client over ours.
//!
//! It hands back every status with its headers (rustify's own loses `Retry-After`, `Location` and
//! `Date`), and follows no redirect but those that the configuration lists.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use leasehold_core::async_trait;
use leasehold_http::{Client, REQUEST_LIMIT, Transport, Trouble, within};
use rustify::errors::ClientError;

use crate::address::Address;

const AGENT: &str = concat!("leasehold/", env!("CARGO_PKG_VERSION"));

/// One per provider.
pub(crate) struct Http {
    address: Address,
    client: Client,
}

impl Http {
    pub(crate) fn new(provider: &str, address: Address, transport: Transport) -> Self {
        Self { address, client: Client::new(provider, transport) }
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
            let mut request = Request::new(body.clone());
            *request.method_mut() = method.clone();
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers.clone();
            let answer = self.client.send(request).await?;
            if !is_redirect(answer.status()) {
                return Ok(answer.map(|body| body.to_vec()));
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

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 307 | 308)
}

fn authority(uri: &Uri) -> String {
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
        _ => String::new(),
    }
}
