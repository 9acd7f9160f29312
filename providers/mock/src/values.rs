//! The values file: read at each fetch, so that saving it is enough.

use std::collections::BTreeMap;
use std::path::Path;

use leasehold_core::Kind;
use serde_json::Value;

use crate::config::Given;
use crate::development::Used;
use crate::failure::Failure;
use crate::made_up::{self, normal};

/// What the file says, by secret name or path. `None`: that secret does not exist.
#[derive(Debug, Default)]
pub(crate) struct Values(BTreeMap<String, Option<Given>>);

impl Values {
    /// Reads the file anew. What is wrong is said by line; never what stands there.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::new(
                Kind::Invalid,
                format!("the values file {} cannot be read: {}", path.display(), words(&error)),
            )
        })?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let parsed: BTreeMap<String, Value> = serde_saphyr::from_str(&text).map_err(|error| {
            let place = error.location().map(|at| format!(" (line {})", at.line())).unwrap_or_default();
            Failure::new(
                Kind::Invalid,
                format!("the values file {} is no mapping of secrets to fields{place}", path.display()),
            )
        })?;
        Ok(Self(
            parsed
                .into_iter()
                .map(|(key, value)| {
                    let given = (!value.is_null()).then(|| Given::from_value(value));
                    (made_up::normal(&key).to_owned(), given)
                })
                .collect(),
        ))
    }

    /// What it says for nothing, each in words: it is of no secret, or a field that nothing names while another
    /// is made up.
    pub(crate) fn for_nothing(&self, secrets: &[Used<'_>]) -> Vec<String> {
        let mut found = Vec::new();
        for (key, given) in &self.0 {
            let mut meant = secrets.iter().filter(|secret| secret.name == key || normal(secret.path) == key);
            let Some(secret) = meant.next() else {
                let names: Vec<&str> = secrets.iter().map(|secret| secret.name).collect();
                found.push(format!(
                    "no secret has the name or the path \"{key}\": there are {}",
                    names.join(", ")
                ));
                continue;
            };
            let Some(given) = given.as_ref().filter(|_| !secret.whole) else { continue };
            let made_up: Vec<&str> = secret.shape.names().filter(|name| !given.has(name)).collect();
            if made_up.is_empty() {
                continue;
            }
            for field in given.names().filter(|name| !secret.shape.names().any(|known| known == *name)) {
                let made_up = made_up.join(", ");
                found.push(format!(
                    "nothing uses \"{field}\" of \"{}\"; made up instead: {made_up}",
                    secret.name
                ));
            }
        }
        found
    }

    /// What it says of a secret, if anything; its name counts before its path.
    pub(crate) fn of(&self, name: &str, path: &str) -> Option<&Option<Given>> {
        self.0.get(name).or_else(|| self.0.get(path))
    }
}

fn words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        kind => kind.to_string(),
    }
}
