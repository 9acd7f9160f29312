use std::path::PathBuf;
use std::sync::Arc;

use leasehold_core::{Environment, SecretBytes};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Source;
use crate::config::Problems;

/// A token that somebody gives us.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawToken {
    /// A file that holds the token; it is read again when it changes. Default: VAULT_TOKEN.
    pub token_file: Option<PathBuf>,
    /// Not used by this method.
    pub mount: Option<String>,
    /// The namespace of the token. Default: that of the provider.
    pub namespace: Option<String>,
}

pub(super) fn parse(raw: RawToken, environment: &Environment, problems: &mut Problems) -> Option<Source> {
    if let Some(path) = raw.token_file {
        return problems.file("auth.token_file", path).map(Source::File);
    }
    let Some(token) = environment.value("VAULT_TOKEN").map(|token| token.trim_end_matches(['\n', '\r']))
    else {
        problems.add("auth.token_file", "is missing: set it, or VAULT_TOKEN in the environment");
        return None;
    };
    if !super::source::is_header_safe(token) {
        problems.add(
            "auth.token_file",
            "VAULT_TOKEN in the environment is no token: it holds a space, a newline or something else that \
             no token has",
        );
        return None;
    }
    Some(Source::Inline(Arc::new(SecretBytes::from_text(token.to_owned()))))
}
