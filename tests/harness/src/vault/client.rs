//! A blocking client for the set-up of tests, and for looking at the server from beside.

use std::fmt;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::http::{self, Request};

/// Talks to one server with one token.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    token: String,
    namespace: Option<String>,
}

/// An answer that is no success, or no answer (status 0).
#[derive(Clone, Debug)]
pub struct Refusal {
    /// 400, 403, 404, …; 0 where nothing answered.
    pub status: u16,
    /// What the server said.
    pub said: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} {}", self.status, self.said)
    }
}

impl Client {
    pub(super) fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, token: token.to_owned(), namespace: None }
    }

    /// The same in a namespace.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// `GET`.
    pub fn read(&self, path: &str) -> Result<Value, Refusal> {
        self.request("GET", path, None)
    }

    /// `POST`.
    pub fn write(&self, path: &str, data: &Value) -> Result<Value, Refusal> {
        self.request("POST", path, Some(data))
    }

    /// `DELETE`.
    pub fn delete(&self, path: &str) -> Result<(), Refusal> {
        self.request("DELETE", path, None).map(drop)
    }

    /// The keys under a path.
    pub fn list(&self, path: &str) -> Result<Vec<String>, Refusal> {
        let answer = self.request("GET", &format!("{path}?list=true"), None)?;
        let keys = answer["data"]["keys"].as_array().into_iter().flatten();
        Ok(keys.filter_map(|key| key.as_str().map(str::to_owned)).collect())
    }

    /// Any method. The path is without `/v1/`; the answer is `null` where there is no body.
    pub fn request(&self, method: &str, path: &str, data: Option<&Value>) -> Result<Value, Refusal> {
        self.with_headers(method, path, data, &[])
    }

    /// Any method, with further headers (such as `X-Vault-Wrap-TTL`).
    pub fn with_headers(
        &self,
        method: &str,
        path: &str,
        data: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Value, Refusal> {
        let mut request =
            Request { method: method.into(), path: format!("/v1/{path}"), ..Request::default() };
        let mut header = |name: &str, value: &str| request.headers.push((name.into(), value.into()));
        if !self.token.is_empty() {
            header("X-Vault-Token", &self.token);
        }
        if let Some(namespace) = &self.namespace {
            header("X-Vault-Namespace", namespace);
        }
        for (name, value) in headers {
            header(name, value);
        }
        if let Some(data) = data {
            header("Content-Type", "application/json");
            request.body = data.to_string().into_bytes();
        }
        let response = http::send(self.address, &request)
            .map_err(|error| Refusal { status: 0, said: format!("no answer: {error}") })?;
        let body = serde_json::from_slice(&response.body).unwrap_or(json!(null));
        match response.status {
            200..300 => Ok(body),
            status => Err(Refusal { status, said: String::from_utf8_lossy(&response.body).into_owned() }),
        }
    }
}
