//! From a `type:` of the configuration to a provider. Adding a provider is one line here: its
//! feature, its name in [`Settings`], and its `type`.

#[cfg(not(any(feature = "mock", feature = "vault")))]
compile_error!("a build without any provider fetches nothing: choose the features `vault`, `mock` or both");

use std::path::Path;
use std::sync::Arc;

use leasehold_core::{Environment, Error, Observer, Problem, Provider, SecretRef};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};

/// Every `type` that leasehold knows, whether or not this build holds it.
const KNOWN: &[&str] =
    &["vault", "aws-secrets-manager", "gcp-secret-manager", "azure-key-vault", "exec", "file", "mock"];

macro_rules! providers {
    ($($(#[$doc:meta])* $variant:ident = $kind:literal, $feature:literal, $krate:ident;)*) => {
        /// The parsed settings of one provider.
        #[allow(clippy::large_enum_variant, reason = "there are a handful of them in a process")]
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Settings {
            $($(#[$doc])* #[cfg(feature = $feature)] $variant($krate::Settings),)*
        }

        /// The `type`s that this build holds.
        pub fn kinds() -> Vec<&'static str> {
            vec![$(#[cfg(feature = $feature)] $kind,)*]
        }

        /// What each kind lets a configuration say, without its `type`.
        pub(crate) fn schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
            vec![$(#[cfg(feature = $feature)] ($kind, <$krate::Raw as schemars::JsonSchema>::json_schema(generator)),)*]
        }

        /// Parses the settings of the provider `name`. `raw` has no `type` any more.
        ///
        /// # Errors
        /// Every problem, with its key from the provider's level down. A kind that this build does
        /// not hold, and values of a wrong shape, are one problem.
        pub fn parse(
            kind: &str,
            name: &str,
            raw: Map<String, Value>,
            environment: &Environment,
        ) -> Result<Settings, Vec<Problem>> {
            match kind {
                $(#[cfg(feature = $feature)] $kind => {
                    // serde's own text may quote a value.
                    let raw = <$krate::Raw as serde::Deserialize>::deserialize(Value::Object(raw))
                        .map_err(|_| vec![Problem::new("", format!("no settings of a provider of type {kind}"))])?;
                    $krate::Settings::parse(name, raw, environment).map(Settings::$variant)
                })*
                other => Err(vec![Problem::new("type", missing(other))]),
            }
        }

        impl Settings {
            /// The provider.
            ///
            /// # Errors
            /// What its crate says: a client that cannot be built.
            pub fn build(&self, name: &str, observer: Arc<dyn Observer>) -> Result<Box<dyn Provider>, Error> {
                match *self {
                    $(#[cfg(feature = $feature)] Self::$variant(ref settings) => {
                        $krate::build(name, settings.clone(), observer)
                    })*
                }
            }

            /// What distinguishes its store and log-in: what was taken under another identity is
            /// not adopted.
            pub fn identity(&self) -> String {
                match *self {
                    $(#[cfg(feature = $feature)] Self::$variant(ref settings) => settings.identity(),)*
                }
            }

            /// Its `type`.
            pub fn kind(&self) -> &'static str {
                match *self {
                    $(#[cfg(feature = $feature)] Self::$variant(_) => $kind,)*
                }
            }
        }
    };
}

providers! {
    /// Vault and OpenBao.
    Vault = "vault", "vault", leasehold_vault;
    /// A scripted store, for laptops and tests.
    Mock = "mock", "mock", leasehold_mock;
}

/// What is said of a `type` that this build does not hold. It is repeated only where it is one of
/// ours.
pub(crate) fn missing(kind: &str) -> String {
    let held = kinds().join(", ");
    match KNOWN.iter().find(|known| **known == kind) {
        Some(known) => format!("this build holds no provider of type {known}; it holds: {held}"),
        None => format!("no such type of provider; this build holds: {held}"),
    }
}

impl Settings {
    /// Whether a log-in uses up a wrapping token, so that nobody may log in only to look.
    pub fn unwraps(&self) -> bool {
        match *self {
            #[cfg(feature = "vault")]
            Self::Vault(ref settings) => settings.unwraps(),
            #[cfg(feature = "mock")]
            Self::Mock(_) => false,
        }
    }

    /// The same settings, logging in with the token in this file.
    ///
    /// # Errors
    /// The method takes no such token.
    pub fn with_jwt_file(&self, file: &Path) -> Result<Self, Problem> {
        match *self {
            #[cfg(feature = "vault")]
            Self::Vault(ref settings) => settings.clone().with_jwt_file(file.to_owned()).map(Self::Vault),
            #[cfg(feature = "mock")]
            Self::Mock(_) => {
                let _ = file;
                Err(Problem::new("", "the mock logs in without one"))
            }
        }
    }

    /// What can be seen to be wrong with a reference before the store is asked.
    pub(crate) fn check_reference(&self, reference: &SecretRef) -> Vec<Problem> {
        match self.kind() {
            "vault" => vault_reference(reference),
            _ => Vec::new(),
        }
    }
}

fn vault_reference(reference: &SecretRef) -> Vec<Problem> {
    let mut problems = Vec::new();
    let path = reference.path.as_str();
    if let Some(rest) = path.strip_prefix('/') {
        let also = if rest.starts_with("v1/") { ", nor with `v1/`" } else { "" };
        problems.push(Problem::new("path", format!("a path does not begin with a slash{also}")));
    } else if path.starts_with("v1/") {
        problems.push(Problem::new("path", "a path begins with its mount, not with `v1/`"));
    }
    if path.ends_with('/') {
        problems.push(Problem::new("path", "a path that ends with a slash is a folder, not a secret"));
    }
    if path.contains(['?', '#']) {
        problems.push(Problem::new("path", "a path holds no `?` and no `#`; parameters belong into `data`"));
    }
    if path.split('/').any(|part| part == ".." || part == ".") {
        problems.push(Problem::new("path", "a path holds no `.` and no `..`"));
    }
    if path.trim_matches('/').contains("//") {
        problems.push(Problem::new("path", "a path holds no empty part (`//`)"));
    }
    if reference.stage.is_some() {
        problems.push(Problem::new("stage", "Vault knows no stages; `version` pins a version"));
    }
    problems
}
