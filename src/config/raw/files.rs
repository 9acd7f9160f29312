//! What is written, and where.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalars::{Account, Mode, RequireTmpfs};

/// One file: a `template`, a `template_file`, a `secret` with a `field` or a `format`, or a `session`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct File {
    /// A template: `{{ db.username }}`, `{{ db["my-key"] }}`.
    pub(in crate::config) template: Option<String>,
    /// The path of a file that holds the template; a relative one begins where this file is.
    pub(in crate::config) template_file: Option<String>,
    /// The name of a secret.
    pub(in crate::config) secret: Option<String>,
    /// One field of it, byte by byte.
    pub(in crate::config) field: Option<String>,
    /// How the field's text encodes what is written; left out: it is written as it is.
    pub(in crate::config) decode: Option<Decode>,
    /// All its fields, in a format; or a keystore, made of its certificate and key.
    pub(in crate::config) format: Option<Format>,
    /// Of a keystore: its password, as a template.
    pub(in crate::config) password: Option<String>,
    /// Of a keystore: the name of its entry. Left out: the secret's name.
    pub(in crate::config) alias: Option<String>,
    /// Of a keystore: the private key with its certificates, or the authorities to be trusted.
    #[schemars(extend("default" = "key"))]
    pub(in crate::config) entries: Option<Entries>,
    /// The name of a provider: the session (the token) that leasehold itself uses there.
    pub(in crate::config) session: Option<String>,
    /// Permission bits, where they differ from `output.mode`.
    pub(in crate::config) mode: Option<Mode>,
    /// Owner, where it differs from `output.owner`.
    pub(in crate::config) owner: Option<Account>,
    /// Group, where it differs from `output.group`.
    pub(in crate::config) group: Option<Account>,
}

/// An encoding of bytes as text.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum Decode {
    Base64,
}

/// A file format.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum Format {
    Json,
    Yaml,
    Toml,
    Env,
    Properties,
    Pkcs12,
    Jks,
}

/// What is in a keystore.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum Entries {
    Key,
    Trust,
}

/// Where the files go.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Output {
    /// A directory of our own, made inside the mounted volume.
    #[schemars(extend("default" = "/run/secrets/leasehold/live"))]
    pub(in crate::config) directory: Option<String>,
    /// Permission bits of files.
    #[schemars(extend("default" = "0440"))]
    pub(in crate::config) mode: Option<Mode>,
    /// Owner of files and directories; ours where left out.
    pub(in crate::config) owner: Option<Account>,
    /// Group of files and directories; inherited from a setgid directory where left out.
    pub(in crate::config) group: Option<Account>,
    /// What the directory has to stand on.
    #[schemars(extend("default" = true))]
    pub(in crate::config) require_tmpfs: Option<RequireTmpfs>,
}
