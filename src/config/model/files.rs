//! What is written, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What is written for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// Every field of every secret, at `SECRET/FIELD`.
    EveryField,
    /// These, by name relative to the output directory. Empty: none, and no directory is made.
    Named(BTreeMap<String, File>),
}

impl Files {
    /// Whether nothing is written at all (`files: {}`).
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Named(files) if files.is_empty())
    }
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where its bytes come from.
    pub content: Content,
    /// Permission bits, where they differ from `output.mode`.
    pub mode: Option<u32>,
    /// Owner, where it differs from `output.owner`.
    pub owner: Option<u32>,
    /// Group, where it differs from `output.group`.
    pub group: Option<u32>,
    /// `FILE:LINE` of its definition, for errors.
    pub place: String,
}

/// Where a file's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A template over several secrets.
    Template(String),
    /// One field of one secret, byte by byte.
    Field {
        /// The secret's name.
        secret: String,
        /// The field's name.
        field: String,
        /// What its text is decoded from first.
        decode: Option<Decode>,
    },
    /// All fields of one secret in a format.
    Format {
        /// The secret's name.
        secret: String,
        /// The format.
        format: Format,
    },
    /// The session that leasehold itself uses at a provider, byte by byte.
    Session {
        /// The provider's name.
        provider: String,
    },
    /// A keystore for a JVM.
    #[cfg(feature = "keystore")]
    Keystore(Keystore),
}

/// A keystore, made of the fields of a certificate.
#[cfg(feature = "keystore")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keystore {
    /// The secret's name.
    pub secret: String,
    /// Its format.
    pub kind: KeystoreKind,
    /// What is in it.
    pub entries: Entries,
    /// The name of the entry; of several, the first.
    pub alias: String,
    /// A template over several secrets.
    pub password: String,
}

/// See [`Keystore::kind`].
#[cfg(feature = "keystore")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeystoreKind {
    /// PKCS#12.
    Pkcs12,
    /// Java's own.
    Jks,
}

/// See [`Keystore::entries`].
#[cfg(feature = "keystore")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entries {
    /// A private key with its certificate and that one's issuers.
    Key,
    /// Authorities to be trusted.
    Trust,
}

/// An encoding of bytes as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decode {
    /// Either alphabet, padded or not.
    Base64,
}

/// What the session of a provider is called among the values that files are made of. No secret can have
/// such a name.
pub fn session_value(provider: &str) -> String {
    format!("{SESSION}{provider}")
}

/// Whether a value of this name is a session.
pub fn is_session_value(name: &str) -> bool {
    name.starts_with(SESSION)
}

const SESSION: &str = "session:";

/// The one field of such a value.
pub const SESSION_FIELD: &str = "credential";

impl Files {
    /// The providers whose session is a file.
    pub fn sessions(&self) -> BTreeSet<String> {
        let Self::Named(files) = self else { return BTreeSet::new() };
        let session = |file: &File| match &file.content {
            Content::Session { provider } => Some(provider.clone()),
            _ => None,
        };
        files.values().filter_map(session).collect()
    }
}

/// A file format for all fields of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object.
    Json,
    /// One YAML mapping.
    Yaml,
    /// One TOML table.
    Toml,
    /// `NAME=value` lines, quoted for a shell.
    Env,
    /// Java properties.
    Properties,
}

/// Where the files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// A directory of our own, made inside the mounted volume.
    pub directory: PathBuf,
    /// Permission bits of files.
    pub mode: u32,
    /// Owner of files and directories; ours where not set.
    pub owner: Option<u32>,
    /// Group of files and directories; inherited from a setgid directory where not set.
    pub group: Option<u32>,
    /// What the directory has to stand on.
    pub require_tmpfs: RequireTmpfs,
}

/// See `output.require_tmpfs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequireTmpfs {
    /// tmpfs or ramfs.
    Yes,
    /// tmpfs with `noswap` or ramfs, or a machine without swap.
    Strict,
    /// Anything.
    No,
}

/// A variable of `env`. One that only moved to another line is the same.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its text.
    pub template: String,
    /// `FILE:LINE` of its definition, for errors.
    pub place: String,
}

impl PartialEq for Variable {
    fn eq(&self, other: &Self) -> bool {
        self.template == other.template
    }
}

impl Eq for Variable {}
