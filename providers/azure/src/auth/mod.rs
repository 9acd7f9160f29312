//! Log-ins: which credential the configuration and the environment choose, and a token for it.
//!
//! The choice is made once, from what is written and set, so that everybody can see it; nothing is
//! tried and given up for the next.

mod assertion;
mod entra;
mod managed;
mod source;

use std::path::PathBuf;
use std::sync::Arc;

use leasehold_core::{Environment, Error, Observer, Problem};
use leasehold_http::{Client, Proxy, Transport};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::challenge::{Challenge, is_tenant};
use crate::config::Problems;
use crate::error::Site;
use crate::session::Grant;
use crate::wire::Wire;
use managed::Chosen;
pub(crate) use managed::Managed;
pub(crate) use source::Source;

/// How we prove who we are to Microsoft Entra ID. Every file is read again at each log-in.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AzureAuth")]
pub struct RawAuth {
    /// The kind of credential. Default: `default`.
    #[serde(default)]
    pub method: RawMethod,
    /// The tenant of our identity. Default: AZURE_TENANT_ID, else the tenant of the vault.
    pub tenant_id: Option<String>,
    /// The application, or the user-assigned managed identity. Default: AZURE_CLIENT_ID.
    pub client_id: Option<String>,
    /// The application's secret. Default: AZURE_CLIENT_SECRET.
    pub client_secret: Option<String>,
    /// A file that holds it.
    pub client_secret_file: Option<PathBuf>,
    /// A PEM file of the application's certificate and its RSA key. Default:
    /// AZURE_CLIENT_CERTIFICATE_PATH.
    pub certificate_file: Option<PathBuf>,
    /// The projected token of the pod's service account. Default: AZURE_FEDERATED_TOKEN_FILE.
    pub token_file: Option<PathBuf>,
}

/// A kind of credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "AzureAuthMethod")]
pub enum RawMethod {
    /// The first of these for which something is written or set: client secret, client certificate,
    /// workload identity; else the managed identity.
    #[default]
    Default,
    /// A pod's service account, which the application trusts (AKS).
    WorkloadIdentity,
    /// The identity of the machine, App Service or container app that we run on.
    ManagedIdentity,
    /// An application's secret.
    ClientSecret,
    /// An application's certificate.
    ClientCertificate,
}

/// A log-in, valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Auth {
    method: Method,
    tenant: Option<String>,
    client: Option<String>,
    authority: Url,
}

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Method {
    Secret(Source),
    Certificate(PathBuf),
    Workload(PathBuf),
    Managed(Managed, Chosen),
}

/// The ways of log-ins.
pub(crate) struct Ways {
    /// To the authority. The name of `tls.server_name` is the vault's, not its.
    entra: Arc<Wire>,
    /// To services of the machine that we run on: never through a proxy.
    direct: Arc<Wire>,
}

impl Ways {
    pub(crate) fn new(provider: &str, transport: &Transport, observer: &Arc<dyn Observer>) -> Self {
        let (entra, direct) = Self::transports(transport);
        let wire = |transport| Arc::new(Wire::new(Client::new(provider, transport), Arc::clone(observer)));
        Self { entra: wire(entra), direct: wire(direct) }
    }

    fn transports(vaults: &Transport) -> (Transport, Transport) {
        let mut entra = vaults.clone();
        entra.tls.server_name = None;
        let direct = Transport { proxy: Proxy::default(), ..entra.clone() };
        (entra, direct)
    }

    pub(crate) fn direct(&self) -> &Arc<Wire> {
        &self.direct
    }
}

impl Auth {
    pub(crate) fn parse(
        raw: RawAuth,
        authority: Option<Url>,
        environment: &Environment,
        problems: &mut Problems,
    ) -> Option<Self> {
        let variable = |name: &str| environment.value(name).map(str::to_owned);
        let tenant = raw.tenant_id.clone().or_else(|| variable("AZURE_TENANT_ID"));
        if tenant.as_deref().is_some_and(|tenant| !is_tenant(tenant)) {
            problems.add("auth.tenant_id", "is neither a tenant's id nor its domain");
        }
        let client = raw.client_id.clone().or_else(|| variable("AZURE_CLIENT_ID"));
        if client
            .as_deref()
            .is_some_and(|id| id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            problems.add("auth.client_id", "is no application's (client) id");
        }
        let method = Method::parse(raw, environment, problems)?;
        if client.is_none() && !matches!(method, Method::Managed(..)) {
            problems.add(
                "auth.client_id",
                format!("is missing: {} needs it; set it, or AZURE_CLIENT_ID", method.word()),
            );
            return None;
        }
        Some(Self { method, tenant, client, authority: authority? })
    }

    /// The identity that Vault is shown: the pod's, else the machine's.
    pub(crate) fn ours(
        client: Option<String>,
        authority: Option<Url>,
        environment: &Environment,
        problems: &mut Problems,
    ) -> Option<Self> {
        let method = match environment.value("AZURE_FEDERATED_TOKEN_FILE") {
            Some(_) => RawMethod::WorkloadIdentity,
            None => RawMethod::ManagedIdentity,
        };
        let raw = RawAuth { method, client_id: client, ..RawAuth::default() };
        Self::parse(raw, authority, environment, problems)
    }

    /// A token for what the challenge names.
    pub(crate) async fn token(
        &self,
        ways: &Ways,
        challenge: &Challenge,
        site: &Site<'_>,
    ) -> Result<Grant, Error> {
        match &self.method {
            Method::Managed(managed, chosen) => {
                managed.token(&ways.direct, &challenge.resource, self.client.as_deref(), *chosen, site).await
            }
            method => entra::token(self, method, &ways.entra, challenge, site).await,
        }
    }

    /// The managed identity, where that is what we log in with.
    pub(crate) fn managed(&self) -> Option<&Managed> {
        match &self.method {
            Method::Managed(managed, _) => Some(managed),
            _ => None,
        }
    }

    /// Whom we log in as, for commands in remedies.
    pub(crate) fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    pub(crate) fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// Tells log-ins apart, without any credential.
    pub(crate) fn identity(&self) -> String {
        let Self { method, tenant, client, authority } = self;
        format!(
            "auth={} at={authority} tenant={} client={}",
            method.word(),
            tenant.as_deref().unwrap_or_default(),
            client.as_deref().unwrap_or_default()
        )
    }

    /// How we log in and as whom, for people. No credential is in it.
    pub(crate) fn portrait(&self) -> String {
        let shown = match &self.method {
            Method::Secret(Source::Inline(_)) => "with the client secret of the configuration".to_owned(),
            Method::Secret(Source::File(path)) => format!("with the client secret in {}", path.display()),
            Method::Certificate(path) => format!("with the certificate in {}", path.display()),
            Method::Workload(path) => format!("by workload identity, with the token in {}", path.display()),
            Method::Managed(..) => "with the managed identity of where we run".to_owned(),
        };
        let client = self.client.as_ref().map_or_else(String::new, |client| format!(", as {client}"));
        let tenant = self.tenant.as_ref().map_or_else(String::new, |tenant| format!(", tenant {tenant}"));
        format!("{shown}{client}{tenant}")
    }

    pub(crate) fn take_jwt_file(&mut self, file: PathBuf) -> Result<(), Problem> {
        match &mut self.method {
            Method::Workload(token) => {
                *token = file;
                Ok(())
            }
            other => Err(Problem::new(
                "auth.method",
                format!("a token file goes with workload-identity, not with {}", other.word()),
            )),
        }
    }
}

impl Method {
    fn parse(raw: RawAuth, environment: &Environment, problems: &mut Problems) -> Option<Self> {
        let wanted = raw.method;
        let file = |name: &str| environment.value(name).map(PathBuf::from);
        for (key, written, fits) in [
            ("auth.client_secret", raw.client_secret.is_some(), RawMethod::ClientSecret),
            ("auth.client_secret_file", raw.client_secret_file.is_some(), RawMethod::ClientSecret),
            ("auth.certificate_file", raw.certificate_file.is_some(), RawMethod::ClientCertificate),
            ("auth.token_file", raw.token_file.is_some(), RawMethod::WorkloadIdentity),
        ] {
            if written && wanted != fits && wanted != RawMethod::Default {
                problems.add(key, "does not go with auth.method: leave it out, or change the method");
            }
        }
        let written = [&raw.client_secret_file, &raw.certificate_file, &raw.token_file];
        let something = raw.client_secret.is_some() || written.iter().any(|file| file.is_some());
        // The file wins over the environment, also where it says another kind of credential.
        let set =
            |name: &str| (wanted != RawMethod::Default || !something) && environment.value(name).is_some();
        let has_secret =
            raw.client_secret.is_some() || raw.client_secret_file.is_some() || set("AZURE_CLIENT_SECRET");
        let has_certificate = raw.certificate_file.is_some() || set("AZURE_CLIENT_CERTIFICATE_PATH");
        let has_token = raw.token_file.is_some() || set("AZURE_FEDERATED_TOKEN_FILE");
        let chosen = match wanted {
            RawMethod::Default if has_secret => RawMethod::ClientSecret,
            RawMethod::Default if has_certificate => RawMethod::ClientCertificate,
            RawMethod::Default if has_token => RawMethod::WorkloadIdentity,
            RawMethod::Default => RawMethod::ManagedIdentity,
            other => other,
        };
        let path = |key: &str, written: Option<PathBuf>, name: &str, problems: &mut Problems| {
            let Some(path) = written.or_else(|| file(name)) else {
                problems.add(key, format!("is missing: set it, or {name} in the environment"));
                return None;
            };
            problems.file(key, path)
        };
        match chosen {
            RawMethod::ClientSecret => match (raw.client_secret, raw.client_secret_file) {
                (Some(_), Some(_)) => {
                    problems.add(
                        "auth.client_secret",
                        "stands beside auth.client_secret_file: keep one of the two",
                    );
                    None
                }
                (None, Some(path)) => problems.file("auth.client_secret_file", path).map(Source::File),
                (Some(text), None) => Source::inline("auth.client_secret", &text, problems),
                (None, None) => match environment.value("AZURE_CLIENT_SECRET") {
                    Some(text) => Source::inline("auth.client_secret", text, problems),
                    None => {
                        problems.add(
                            "auth.client_secret_file",
                            "is missing: set it, or AZURE_CLIENT_SECRET in the environment",
                        );
                        None
                    }
                },
            }
            .map(Self::Secret),
            RawMethod::ClientCertificate => {
                path("auth.certificate_file", raw.certificate_file, "AZURE_CLIENT_CERTIFICATE_PATH", problems)
                    .map(Self::Certificate)
            }
            RawMethod::WorkloadIdentity => {
                path("auth.token_file", raw.token_file, "AZURE_FEDERATED_TOKEN_FILE", problems)
                    .map(Self::Workload)
            }
            RawMethod::ManagedIdentity | RawMethod::Default => {
                let chosen = match wanted {
                    RawMethod::Default => Chosen::AsLast,
                    _ => Chosen::ByName,
                };
                Managed::parse(environment, problems).map(|managed| Self::Managed(managed, chosen))
            }
        }
    }

    /// The word of the configuration.
    fn word(&self) -> &'static str {
        match self {
            Self::Secret(_) => "client-secret",
            Self::Certificate(_) => "client-certificate",
            Self::Workload(_) => "workload-identity",
            Self::Managed(..) => "managed-identity",
        }
    }
}

#[cfg(test)]
mod tests {
    use leasehold_http::RawTls;

    use super::*;

    #[test]
    fn the_server_name_is_the_vaults_alone_and_the_machine_is_asked_directly() {
        let tls = RawTls { server_name: Some("vault.test".to_owned()), ..RawTls::default() };
        let transport = Transport::parse(tls, Some("http://proxy:3128"), &Environment::default()).unwrap();
        assert!(transport.tls.server_name.is_some());
        let (entra, direct) = Ways::transports(&transport);
        assert_eq!(entra.tls.server_name, None);
        assert_eq!(entra.proxy, transport.proxy);
        assert_eq!(direct, Transport::default());
    }
}
