//! The provider's part of the configuration: as written ([`Raw`]), and as used ([`Settings`]).

use std::path::PathBuf;

use leasehold_core::{
    Character, Environment, Error, Grants, Nature, Portrait, Problem, Provider, ProviderSettings, SecretRef,
    Surroundings,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::backend::Files;

/// A directory of secrets, or one document that holds them.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "File")]
pub struct Raw {
    /// A directory, in which a secret's `path` is a file (JSON, YAML and .env become fields, anything else the
    /// one field `value`) or a sub-directory (its files become fields). Or one JSON, YAML or .env file, such
    /// as SOPS decrypts, in which a secret's `path` leads to a part by its dots, and `.` is all of it.
    pub path: PathBuf,
    /// How the one file is written, where its name does not say it (.json, .yaml, .yml, .env).
    pub format: Option<Format>,
}

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Lines of NAME=value.
    Env,
}

/// A provider's settings, valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(crate) path: PathBuf,
    pub(crate) format: Option<Format>,
}

impl ProviderSettings for Settings {
    type Raw = Raw;

    fn parse(name: &str, raw: Raw, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let _ = (name, environment);
        if raw.path.as_os_str().is_empty() {
            return Err(vec![Problem::new("path", "is empty: name a directory, or a file")]);
        }
        Ok(Self { path: raw.path, format: raw.format })
    }

    fn identity(&self) -> String {
        format!("file {}", self.path.display())
    }

    fn portrait(&self) -> Portrait {
        Portrait {
            store: format!("files at {}", self.path.display()),
            login: "as the user that leasehold runs as: there is no log-in".to_owned(),
            session: "There is no session".to_owned(),
        }
    }

    fn character(&self, reference: &SecretRef) -> Character {
        let _ = reference;
        Character::new(Nature::Kept, "what stands there, read again when it changes and at each poll")
    }

    fn grants(&self, references: &[&SecretRef]) -> Grants {
        let _ = references;
        let note =
            format!("We have to be allowed to read {} and what is named below it.", self.path.display());
        Grants {
            language: "permissions of the file system".to_owned(),
            text: String::new(),
            notes: vec![note],
        }
    }

    fn build(self, name: &str, surroundings: Surroundings) -> Result<Box<dyn Provider>, Error> {
        // There is no wire on which a request could be counted.
        let _ = surroundings;
        Ok(Box::new(Files::new(name, self)))
    }

    fn check_reference(&self, reference: &SecretRef) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(message) = wrong(&reference.path) {
            problems.push(Problem::new("path", message));
        }
        let unknown = [
            ("data", reference.data.is_some(), "nothing is written to a file to get a secret"),
            ("version", reference.version.is_some(), "a file has no versions: it is what it is now"),
            ("stage", reference.stage.is_some(), "a file has no stages"),
            ("namespace", reference.namespace.is_some(), "files have no namespaces"),
            ("revoke", reference.revoke, "what stands in a file cannot be revoked"),
        ];
        problems.extend(
            unknown
                .into_iter()
                .filter(|(_, is_set, _)| *is_set)
                .map(|(key, _, text)| Problem::new(key, text)),
        );
        problems
    }
}

/// What is wrong with the path of a secret, whatever is at the provider's `path`.
pub(crate) fn wrong(path: &str) -> Option<&'static str> {
    // A NUL byte ends a name for the kernel; a line end would make two lines of one in the log.
    if path.contains(char::is_control) {
        return Some("holds a control character: a line end, say, or a NUL byte");
    }
    if path.starts_with('/') {
        return Some("is absolute: name what is in the provider's path, like db or db/password");
    }
    // `..data` and its like are how a directory is put together, not what is in it.
    if path.split('/').any(|part| part.starts_with("..")) {
        return Some(
            "leads out of the provider's path, or into how it is put together: no part may begin with `..`",
        );
    }
    None
}
