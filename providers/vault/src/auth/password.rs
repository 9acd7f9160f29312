use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Source;
use crate::config::Problems;

/// A user name and a password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPassword {
    /// Who we are.
    pub username: String,
    /// The password, mostly as `${NAME}`. Or `password_file`.
    pub password: Option<String>,
    /// A file that holds the password.
    pub password_file: Option<PathBuf>,
    /// Where the method is mounted. Default: the method's name.
    pub mount: Option<String>,
    /// The namespace of the method. Default: that of the provider.
    pub namespace: Option<String>,
}

/// A user name and where its password is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Password {
    pub(crate) username: String,
    pub(crate) password: Source,
}

pub(super) fn parse(raw: RawPassword, problems: &mut Problems) -> Option<Password> {
    let mut username = problems.text("auth.username", raw.username);
    if username.as_deref().is_some_and(|name| name.contains('/') || matches!(name, "." | "..")) {
        problems.add("auth.username", "holds a slash, which a user name cannot have");
        username = None;
    }
    if raw.password.is_none() && raw.password_file.is_none() {
        problems.add("auth.password", "is missing: set password or password_file");
    }
    let password = Source::parse("auth.password", raw.password, raw.password_file, problems);
    Some(Password { username: username?, password: password? })
}
