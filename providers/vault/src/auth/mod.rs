//! Log-ins: one file a method. Each turns what was written into something valid, and that into one
//! request.

mod approle;
mod aws;
mod azure;
mod cert;
mod cloud;
mod gcp;
mod kubernetes;
mod login;
mod password;
mod source;
mod token;

use std::path::PathBuf;

use leasehold_core::{Environment, IdentityRequest, Problem};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::Problems;
pub(crate) use source::{Source, is_header_safe};

/// How we prove who we are. Every `…_file` is read again at each log-in.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "method", rename_all = "lowercase")]
#[schemars(rename = "VaultAuth")]
pub enum RawAuth {
    /// A token that somebody gives us. It is never revoked, only the leases taken under it.
    Token(token::RawToken),
    /// A role id and a secret id.
    Approle(approle::RawAppRole),
    /// A pod's service account token, which Vault shows to the Kubernetes API server.
    Kubernetes(kubernetes::RawKubernetes),
    /// A signed token of somebody whom the store trusts.
    Jwt(kubernetes::RawJwt),
    /// A user name and a password that the store keeps.
    Userpass(password::RawPassword),
    /// A user name and a password that an LDAP server keeps.
    Ldap(password::RawPassword),
    /// The client certificate of `tls`.
    Cert(cert::RawCert),
    /// What AWS knows us as: the store asks STS who signed our request.
    Aws(aws::RawAws),
    /// What Google Cloud knows us as: a service account, or the machine that we run on.
    Gcp(gcp::RawGcp),
    /// What Azure knows us as: a managed or a workload identity.
    Azure(azure::RawAzure),
}

/// A log-in, valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Auth {
    pub(crate) mount: String,
    /// `None`: that of the provider. `Some(None)`: the root namespace.
    pub(crate) namespace: Option<Option<String>>,
    pub(crate) method: Method,
}

/// What is shown to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Token(Source),
    AppRole(approle::AppRole),
    Kubernetes(kubernetes::Jwt),
    Jwt(kubernetes::Jwt),
    Userpass(password::Password),
    Ldap(password::Password),
    Cert(cert::Cert),
    Cloud(cloud::CloudLogin),
}

impl Auth {
    pub(crate) fn parse(
        raw: Option<RawAuth>,
        proxy: Option<&str>,
        environment: &Environment,
        problems: &mut Problems,
    ) -> Option<Self> {
        let reached = cloud::Reached { proxy, environment };
        let raw = match raw {
            Some(raw) => raw,
            None if environment.value("VAULT_TOKEN").is_some() => RawAuth::Token(token::RawToken::default()),
            None => {
                problems.add(
                    "auth",
                    "is missing: say how to log in, like { method: kubernetes, role: web }, \
                     or set VAULT_TOKEN in the environment",
                );
                return None;
            }
        };
        let (mount, namespace, method) = match raw {
            RawAuth::Token(mut raw) => {
                let place = (raw.mount.take(), raw.namespace.take());
                (place.0, place.1, token::parse(raw, environment, problems).map(Method::Token))
            }
            RawAuth::Approle(mut raw) => {
                let place = (raw.mount.take(), raw.namespace.take());
                (place.0, place.1, approle::parse(raw, problems).map(Method::AppRole))
            }
            RawAuth::Kubernetes(mut raw) => {
                let place = (raw.mount.take(), raw.namespace.take());
                (place.0, place.1, kubernetes::parse(raw, problems).map(Method::Kubernetes))
            }
            RawAuth::Jwt(mut raw) => {
                let place = (raw.mount.take(), raw.namespace.take());
                (place.0, place.1, kubernetes::parse_jwt(raw, problems).map(Method::Jwt))
            }
            RawAuth::Userpass(mut raw) => {
                let place = (raw.mount.take(), raw.namespace.take());
                (place.0, place.1, password::parse(raw, problems).map(Method::Userpass))
            }
            RawAuth::Ldap(mut raw) => {
                let place = (raw.mount.take(), raw.namespace.take());
                (place.0, place.1, password::parse(raw, problems).map(Method::Ldap))
            }
            RawAuth::Cert(mut raw) => {
                let place = (raw.mount.take(), raw.namespace.take());
                (place.0, place.1, cert::parse(raw, problems).map(Method::Cert))
            }
            RawAuth::Aws(mut raw) => {
                let place = (raw.mount.take(), raw.namespace.take());
                (place.0, place.1, aws::parse(raw, &reached, problems).map(Method::Cloud))
            }
            RawAuth::Gcp(mut raw) => {
                let place = (raw.mount.take(), raw.namespace.take());
                (place.0, place.1, gcp::parse(raw, &reached, problems).map(Method::Cloud))
            }
            RawAuth::Azure(mut raw) => {
                let place = (raw.mount.take(), raw.namespace.take());
                (place.0, place.1, azure::parse(raw, &reached, problems).map(Method::Cloud))
            }
        };
        let given = mount.is_some();
        let mount = mount.and_then(|mount| problems.segments("auth.mount", &mount));
        let namespace = namespace.map(|namespace| problems.namespace("auth.namespace", &namespace));
        let method = method?;
        let mount = match (mount, given) {
            (Some(mount), _) => mount.strip_prefix("auth/").map(str::to_owned).unwrap_or(mount),
            (None, true) => return None,
            (None, false) => method.word().to_owned(),
        };
        Some(Self { mount, namespace, method })
    }

    /// The namespace to log in to, given the provider's.
    pub(crate) fn namespace<'a>(&'a self, provider: Option<&'a str>) -> Option<&'a str> {
        self.namespace.as_ref().map_or(provider, Option::as_deref)
    }

    pub(crate) fn identity(&self) -> String {
        let namespace =
            self.namespace.as_ref().map_or("", |namespace| namespace.as_deref().unwrap_or("root"));
        format!(
            "auth={} mount={} in={namespace} as={}",
            self.method.word(),
            self.mount,
            self.method.subject()
        )
    }

    pub(crate) fn unwraps(&self) -> bool {
        matches!(&self.method, Method::AppRole(role) if role.wrapped)
    }

    /// Whom it has to be proved to that we are who a cloud says we are.
    pub(crate) fn identity_request(&self) -> Option<&IdentityRequest> {
        match &self.method {
            Method::Cloud(login) => Some(&login.request),
            _ => None,
        }
    }

    pub(crate) fn take_jwt_file(&mut self, file: PathBuf) -> Result<(), Problem> {
        match &mut self.method {
            Method::Kubernetes(jwt) | Method::Jwt(jwt) => {
                jwt.token_file = file;
                Ok(())
            }
            other => Err(Problem::new(
                "auth.method",
                format!("a token file goes with kubernetes and jwt, not with {}", other.word()),
            )),
        }
    }
}

impl Method {
    /// The word of the configuration, which is also the default mount.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::AppRole(_) => "approle",
            Self::Kubernetes(_) => "kubernetes",
            Self::Jwt(_) => "jwt",
            Self::Userpass(_) => "userpass",
            Self::Ldap(_) => "ldap",
            Self::Cert(_) => "cert",
            Self::Cloud(login) => login.request.cloud.as_str(),
        }
    }

    /// Whom we log in as, as far as that is no credential.
    fn subject(&self) -> String {
        match self {
            Self::Token(source) => source.identity(),
            Self::AppRole(role) => role.role_id.identity(),
            Self::Kubernetes(jwt) | Self::Jwt(jwt) => jwt.role.clone().unwrap_or_default(),
            Self::Userpass(user) | Self::Ldap(user) => user.username.clone(),
            Self::Cert(cert) => cert.role.clone().unwrap_or_default(),
            Self::Cloud(login) => login.subject(),
        }
    }
}
