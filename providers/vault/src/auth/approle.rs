use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Source;
use crate::config::Problems;

/// A role id and a secret id.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawAppRole {
    /// The role id. Or `role_id_file`.
    pub role_id: Option<String>,
    /// A file that holds the role id.
    pub role_id_file: Option<PathBuf>,
    /// The secret id, mostly as `${NAME}`. Or `secret_id_file`.
    pub secret_id: Option<String>,
    /// A file that holds the secret id.
    pub secret_id_file: Option<PathBuf>,
    /// True: what stands in `secret_id` or its file is a wrapping token around the secret id. It
    /// works once; what was unwrapped is kept in the hand-over.
    #[serde(default)]
    pub wrapped: bool,
    /// Where the method is mounted. Default: `approle`.
    pub mount: Option<String>,
    /// The namespace of the method. Default: that of the provider.
    pub namespace: Option<String>,
}

/// A role id and a secret id, or a way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AppRole {
    pub(crate) role_id: Source,
    /// `None` for roles that are bound by address alone.
    pub(crate) secret_id: Option<Source>,
    /// Whether `secret_id` holds a wrapping token.
    pub(crate) wrapped: bool,
}

pub(super) fn parse(raw: RawAppRole, problems: &mut Problems) -> Option<AppRole> {
    let any_role = raw.role_id.is_some() || raw.role_id_file.is_some();
    let any_secret = raw.secret_id.is_some() || raw.secret_id_file.is_some();
    if !any_role {
        problems.add("auth.role_id", "is missing: set role_id or role_id_file");
    }
    if raw.wrapped && !any_secret {
        problems.add("auth.secret_id", "is missing: with wrapped, set secret_id or secret_id_file");
    }
    let role_id = Source::parse("auth.role_id", raw.role_id, raw.role_id_file, problems);
    let secret_id = Source::parse("auth.secret_id", raw.secret_id, raw.secret_id_file, problems);
    Some(AppRole { role_id: role_id?, secret_id, wrapped: raw.wrapped })
}
