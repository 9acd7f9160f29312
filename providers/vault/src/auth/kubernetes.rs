use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::Problems;

const PROJECTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// A pod's service account token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawKubernetes {
    /// The role of the auth method to log in to.
    pub role: String,
    /// The projected token. Default: /var/run/secrets/kubernetes.io/serviceaccount/token.
    pub token_file: Option<PathBuf>,
    /// Where the method is mounted. Default: `kubernetes`.
    pub mount: Option<String>,
    /// The namespace of the method. Default: that of the provider.
    pub namespace: Option<String>,
}

/// A signed token of somebody whom the store trusts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawJwt {
    /// The role of the auth method to log in to. Default: the method's own default.
    pub role: Option<String>,
    /// A file that holds the signed token.
    pub token_file: PathBuf,
    /// Where the method is mounted. Default: `jwt`.
    pub mount: Option<String>,
    /// The namespace of the method. Default: that of the provider.
    pub namespace: Option<String>,
}

/// A role, and the file with the token that proves who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Jwt {
    pub(crate) role: Option<String>,
    pub(crate) token_file: PathBuf,
}

pub(super) fn parse(raw: RawKubernetes, problems: &mut Problems) -> Option<Jwt> {
    let role = problems.text("auth.role", raw.role);
    let file = raw.token_file.unwrap_or_else(|| PathBuf::from(PROJECTED));
    let token_file = problems.file("auth.token_file", file);
    Some(Jwt { role: Some(role?), token_file: token_file? })
}

pub(super) fn parse_jwt(raw: RawJwt, problems: &mut Problems) -> Option<Jwt> {
    let named = raw.role.is_some();
    let role = raw.role.and_then(|role| problems.text("auth.role", role));
    let token_file = problems.file("auth.token_file", raw.token_file)?;
    (role.is_some() == named).then_some(Jwt { role, token_file })
}
