//! `env`: templates whose text goes into the environment of a command.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_core::SecretBytes;

use super::template::Templates;
use super::{Paths, RenderError, Secrets};

/// The variables of a command, ready to be rendered.
#[derive(Debug)]
pub struct Variables {
    templates: Templates,
    names: Vec<String>,
    uses: BTreeSet<String>,
}

impl Variables {
    /// Compiles the templates; every one that is no template is in the error.
    pub fn new(env: &BTreeMap<String, String>, paths: &Paths) -> Result<Self, Vec<RenderError>> {
        let mut templates = Templates::new(paths);
        let mut uses = BTreeSet::new();
        let mut errors = Vec::new();
        for (name, source) in env {
            match templates.add(name, source) {
                Ok(secrets) => uses.extend(secrets),
                Err(fault) => errors.push(fault.of_file(&file(name), "")),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self { templates, names: env.keys().cloned().collect(), uses })
    }

    /// The secrets that they use.
    pub fn uses(&self) -> &BTreeSet<String> {
        &self.uses
    }

    /// The values, by name. A variable that cannot do without a secret that is left out is left
    /// out, too.
    pub fn render(&self, secrets: &Secrets) -> Result<BTreeMap<String, SecretBytes>, RenderError> {
        let lacking = self.uses.iter().any(|used| matches!(secrets.get(used), Some(None)));
        let mut rendered = BTreeMap::new();
        for name in &self.names {
            match self.templates.render(name, secrets) {
                Ok(bytes) if bytes.expose().contains(&0) => {
                    let text = "its text holds a NUL, which no variable of an environment can";
                    return Err(super::Fault::new(text).of_file(&file(name), ""));
                }
                Ok(bytes) => drop(rendered.insert(name.clone(), bytes)),
                Err(_) if lacking => {}
                Err(fault) => return Err(fault.of_file(&file(name), "")),
            }
        }
        Ok(rendered)
    }
}

/// What an error calls it.
fn file(name: &str) -> String {
    format!("env.{name}")
}
