//! The provider's part of the configuration: as written ([`Raw`]), and as used ([`Settings`]).
//!
//! Parsing opens nothing and reads no file. It reports all problems at once, and repeats no value:
//! any of them may have come from a variable that holds a secret.

use std::path::PathBuf;

use leasehold_core::{
    Character, Environment, Error, Grants, IdentityRequest, Portrait, Problem, Provider, ProviderSettings,
    SecretRef, Surroundings,
};
use leasehold_http::Transport;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::address::Address;
use crate::auth::{self, Auth};
use crate::backend::Vault;
use crate::{grants, portrait, reference};

/// A Vault or OpenBao server.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Vault")]
pub struct Raw {
    /// Where it is: `https://vault.example:8200`. Default: VAULT_ADDR.
    pub address: Option<String>,
    /// The namespace of secrets, and of the log-in unless `auth.namespace` says otherwise.
    /// Default: VAULT_NAMESPACE.
    pub namespace: Option<String>,
    /// How we prove who we are. Default: VAULT_TOKEN, where it is set.
    pub auth: Option<auth::RawAuth>,
    /// Hosts that a standby may send us on to with our token, as `host` (at the port of
    /// `address`) or `host:port`. Without it no redirect is followed.
    #[serde(default)]
    pub redirect_to: Vec<String>,
    /// TLS of the connection. The files are read again when they change.
    #[serde(default)]
    pub tls: RawTls,
    /// `env` (the default: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, networks such as 10.0.0.0/8
    /// included), `none`, or the URL of an HTTP proxy.
    pub proxy: Option<String>,
}

/// TLS of the connection.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "VaultTls")]
pub struct RawTls {
    /// A PEM file of the CAs to trust instead of the system's. Default: VAULT_CACERT.
    pub ca_file: Option<PathBuf>,
    /// The name in the server's certificate, where it is not the address's.
    /// Default: VAULT_TLS_SERVER_NAME.
    pub server_name: Option<String>,
    /// A PEM file of our certificate and its chain. Default: VAULT_CLIENT_CERT.
    pub client_certificate: Option<PathBuf>,
    /// A PEM file of its private key. Default: VAULT_CLIENT_KEY.
    pub client_key: Option<PathBuf>,
}

impl RawTls {
    /// The file wins over the environment.
    fn with_variables(self, environment: &Environment) -> leasehold_http::RawTls {
        let file =
            |written: Option<PathBuf>, name| written.or_else(|| environment.value(name).map(PathBuf::from));
        leasehold_http::RawTls {
            ca_file: file(self.ca_file, "VAULT_CACERT"),
            server_name: self
                .server_name
                .or_else(|| environment.value("VAULT_TLS_SERVER_NAME").map(str::to_owned)),
            client_certificate: file(self.client_certificate, "VAULT_CLIENT_CERT"),
            client_key: file(self.client_key, "VAULT_CLIENT_KEY"),
        }
    }
}

/// A provider's settings, valid. Its `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(crate) address: Address,
    pub(crate) namespace: Option<String>,
    pub(crate) auth: Auth,
    pub(crate) transport: Transport,
}

impl ProviderSettings for Settings {
    type Raw = Raw;

    fn parse(name: &str, raw: Raw, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let _ = name;
        let mut problems = Problems::default();
        let address = match raw.address.as_deref().or(environment.value("VAULT_ADDR")) {
            Some(address) => problems.all(Address::parse(address, &raw.redirect_to)),
            None => {
                problems.add("address", "is missing: set it, or VAULT_ADDR in the environment");
                None
            }
        };
        let namespace = raw
            .namespace
            .as_deref()
            .or(environment.value("VAULT_NAMESPACE"))
            .and_then(|namespace| problems.namespace("namespace", namespace));
        let tls = raw.tls.with_variables(environment);
        let transport = problems.all(Transport::parse(tls, raw.proxy.as_deref(), environment));
        let auth = Auth::parse(raw.auth, raw.proxy.as_deref(), environment, &mut problems);
        if let Some(Auth { method: auth::Method::Cert(_), .. }) = &auth {
            if transport.as_ref().is_some_and(|transport| !transport.tls.has_client_certificate()) {
                problems.add(
                    "auth.method",
                    "cert needs our certificate: set tls.client_certificate and tls.client_key",
                );
            }
            if address.as_ref().is_some_and(|address| !address.is_tls()) {
                problems.add("auth.method", "cert needs tls: address must begin with https://");
            }
        }
        match (address, transport, auth, problems.0.is_empty()) {
            (Some(address), Some(transport), Some(auth), true) => {
                Ok(Self { address, namespace, auth, transport })
            }
            _ => Err(problems.0),
        }
    }

    /// Address, namespaces, method, mount and whom we log in as.
    fn identity(&self) -> String {
        let namespace = self.namespace.as_deref().unwrap_or_default();
        format!("vault {} namespace={namespace} {}", self.address.full(), self.auth.identity())
    }

    fn has_session(&self) -> bool {
        true
    }

    fn portrait(&self) -> Portrait {
        portrait::of(self)
    }

    fn character(&self, reference: &SecretRef) -> Character {
        portrait::character(reference)
    }

    fn grants(&self, references: &[&SecretRef]) -> Grants {
        grants::of(self, references)
    }

    fn build(self, name: &str, surroundings: Surroundings) -> Result<Box<dyn Provider>, Error> {
        Ok(Box::new(Vault::new(name, self, surroundings)))
    }

    fn check_reference(&self, reference: &SecretRef) -> Vec<Problem> {
        reference::problems(reference)
    }

    fn unwraps(&self) -> bool {
        self.auth.unwraps()
    }

    fn identity_request(&self) -> Option<&IdentityRequest> {
        self.auth.identity_request()
    }

    fn with_jwt_file(mut self, file: PathBuf) -> Result<Self, Problem> {
        self.auth.take_jwt_file(file)?;
        Ok(self)
    }
}

impl Settings {
    /// The namespace of a secret: its own, else the provider's.
    pub(crate) fn namespace_of<'a>(&'a self, own: Option<&'a str>) -> Option<&'a str> {
        namespace_of(self.namespace.as_deref(), own)
    }
}

/// The namespace of a secret: its own, else the provider's. `root` and an empty one are none.
pub(crate) fn namespace_of<'a>(provider: Option<&'a str>, own: Option<&'a str>) -> Option<&'a str> {
    match own.map(|own| own.trim_matches('/')) {
        None => provider,
        Some("" | "root") => None,
        Some(own) => Some(own),
    }
}

/// Collects what is wrong.
#[derive(Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn add(&mut self, key: &str, message: impl Into<String>) {
        self.0.push(Problem::new(key, message));
    }

    /// How many there are so far.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn all<T>(&mut self, found: Result<T, Vec<Problem>>) -> Option<T> {
        found.map_err(|problems| self.0.extend(problems)).ok()
    }

    /// A name in the store: not empty, one line.
    pub(crate) fn text(&mut self, key: &str, value: String) -> Option<String> {
        if value.trim().is_empty() || value.chars().any(char::is_control) {
            self.add(key, "is empty, or holds control characters");
            return None;
        }
        Some(value)
    }

    /// A mount or namespace: path segments without slashes around them.
    pub(crate) fn segments(&mut self, key: &str, value: &str) -> Option<String> {
        let bare = value.trim_matches('/');
        let sound = bare.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if !sound || !bare.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.add(key, "is no path like team or team/web");
            return None;
        }
        Some(bare.to_owned())
    }

    /// `root` and an empty one mean no namespace.
    pub(crate) fn namespace(&mut self, key: &str, value: &str) -> Option<String> {
        match value.trim_matches('/') {
            "" | "root" => None,
            _ => self.segments(key, value),
        }
    }

    /// The URL of a service that speaks HTTP, without a query.
    pub(crate) fn url(&mut self, key: &str, value: String) -> Option<String> {
        let sound = url::Url::parse(&value).is_ok_and(|url| {
            matches!(url.scheme(), "https" | "http")
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none()
        });
        if !sound {
            self.add(key, "is no URL like https://sts.example");
            return None;
        }
        Some(value)
    }

    pub(crate) fn file(&mut self, key: &str, path: PathBuf) -> Option<PathBuf> {
        if path.as_os_str().is_empty() {
            self.add(key, "is empty: give the path of a file");
            return None;
        }
        Some(path)
    }
}

#[cfg(test)]
mod tests;
