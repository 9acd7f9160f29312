//! The provider's part of the configuration: as written ([`Raw`]), and as used ([`Settings`]).
//!
//! Parsing opens nothing and reads no file. It reports all problems at once, and repeats no value:
//! any of them may have come from a variable that holds a secret.

use std::path::PathBuf;

use leasehold_core::{
    Character, Environment, Error, Grants, Portrait, Problem, Provider, ProviderSettings, SecretRef,
    Surroundings,
};
use leasehold_http::{RawTls, Transport};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::address::{Address, Cloud};
use crate::auth::{Auth, RawAuth};
use crate::backend::KeyVault;
use crate::{explain, reference};

/// An Azure Key Vault.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AzureKeyVault")]
pub struct Raw {
    /// Where the vault is: `https://team.vault.azure.net`. Default: AZURE_KEYVAULT_URL.
    pub address: Option<String>,
    /// The cloud that the vault and our identity belong to. Default: the one that the vault's domain
    /// says, else `public`.
    pub cloud: Option<Cloud>,
    /// Where tokens are asked for. Default: AZURE_AUTHORITY_HOST, else the cloud's own:
    /// `https://login.microsoftonline.com`.
    pub authority: Option<String>,
    /// What a token has to be for, where vaults are not below the domain that they name: the resource
    /// that the vault's challenge has to name then. Default: what the challenge names, which must be the
    /// vault's own domain.
    pub resource: Option<String>,
    /// How we prove who we are.
    #[serde(default)]
    pub auth: RawAuth,
    /// TLS of the connections, to the vault and to the authority. The files are read again when they
    /// change.
    #[serde(default)]
    pub tls: RawTls,
    /// `env` (the default: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, networks such as 10.0.0.0/8 included),
    /// `none`, or the URL of an HTTP proxy. A managed identity is always asked directly.
    pub proxy: Option<String>,
}

/// A provider's settings, valid. Its `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(crate) address: Address,
    pub(crate) resource: Option<String>,
    pub(crate) auth: Auth,
    pub(crate) transport: Transport,
}

impl ProviderSettings for Settings {
    type Raw = Raw;

    fn parse(name: &str, raw: Raw, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let _ = name;
        let mut problems = Problems::default();
        let address = match raw.address.as_deref().or(environment.value("AZURE_KEYVAULT_URL")) {
            Some(address) => problems.one(Address::parse(address)),
            None => {
                problems.add(
                    "address",
                    "is missing: set it to something like https://team.vault.azure.net, or \
                     AZURE_KEYVAULT_URL in the environment",
                );
                None
            }
        };
        let told = address.as_ref().and_then(Address::cloud);
        if let (Some(written), Some(told)) = (raw.cloud, told)
            && written != told
        {
            problems.add("cloud", format!("is not that of address, which is a vault of {}", told.word()));
        }
        let cloud = raw.cloud.or(told).unwrap_or_default();
        // The file wins over the environment: a cloud that is written down brings its authority.
        let variable = environment.value("AZURE_AUTHORITY_HOST").filter(|_| raw.cloud.is_none());
        let authority = match raw.authority.as_deref().or(variable) {
            None => cloud.authority(),
            Some(authority) => authority,
        };
        let authority = problems.root("authority", authority);
        let resource = raw.resource.and_then(|resource| problems.root("resource", &resource)).map(shown);
        let transport = problems.all(Transport::parse(raw.tls, raw.proxy.as_deref(), environment));
        let auth = Auth::parse(raw.auth, authority, environment, &mut problems);
        match (address, transport, auth, problems.0.is_empty()) {
            (Some(address), Some(transport), Some(auth), true) => {
                Ok(Self { address, resource, auth, transport })
            }
            _ => Err(problems.0),
        }
    }

    /// The vault, and whom we log in as.
    fn identity(&self) -> String {
        format!("azure-key-vault {} {}", self.address.shown(), self.auth.identity())
    }

    fn has_session(&self) -> bool {
        true
    }

    fn portrait(&self) -> Portrait {
        explain::portrait(self)
    }

    fn character(&self, reference: &SecretRef) -> Character {
        explain::character(reference)
    }

    fn grants(&self, references: &[&SecretRef]) -> Grants {
        explain::grants(self, references)
    }

    fn build(self, name: &str, surroundings: Surroundings) -> Result<Box<dyn Provider>, Error> {
        Ok(Box::new(KeyVault::new(name, self, surroundings)))
    }

    fn check_reference(&self, reference: &SecretRef) -> Vec<Problem> {
        reference::problems(reference)
    }

    fn with_jwt_file(mut self, file: PathBuf) -> Result<Self, Problem> {
        self.auth.take_jwt_file(file)?;
        Ok(self)
    }
}

fn shown(url: Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// Collects what is wrong.
#[derive(Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn add(&mut self, key: &str, message: impl Into<String>) {
        self.0.push(Problem::new(key, message));
    }

    fn one<T>(&mut self, found: Result<T, Problem>) -> Option<T> {
        found.map_err(|problem| self.0.push(problem)).ok()
    }

    pub(crate) fn all<T>(&mut self, found: Result<T, Vec<Problem>>) -> Option<T> {
        found.map_err(|problems| self.0.extend(problems)).ok()
    }

    /// Scheme, host and port of something that secrets are sent to.
    pub(crate) fn root(&mut self, key: &str, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok().filter(|url| {
            url.scheme() == "https"
                && url.host_str().is_some()
                && url.path() == "/"
                && url.query().is_none()
                && url.username().is_empty()
        });
        if url.is_none() {
            self.add(key, "is no address that begins with https:// and names a host alone");
        }
        url
    }

    /// All of it in one line, where there is any.
    pub(crate) fn all_said(self) -> Option<String> {
        let lines: Vec<String> =
            self.0.into_iter().map(|Problem { key, message }| format!("{key} {message}")).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
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
