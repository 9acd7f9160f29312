//! `env`: templates whose text goes into the environment of a command.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_core::SecretBytes;

use super::template::Templates;
use super::{Fault, Paths, RenderError, Secrets};
use crate::config::model::Variable;

/// The variables of a command, ready to be rendered.
#[derive(Debug)]
pub struct Variables {
    templates: Templates,
    /// Their places, by name.
    places: BTreeMap<String, String>,
    uses: BTreeSet<String>,
}

impl Variables {
    /// Compiles the templates; every one that is no template is in the error.
    pub fn new(env: &BTreeMap<String, Variable>, paths: &Paths) -> Result<Self, Vec<RenderError>> {
        let mut templates = Templates::new(paths);
        let mut uses = BTreeSet::new();
        let mut errors = Vec::new();
        for (name, Variable { template, place }) in env {
            match templates.add(name, template) {
                Ok(secrets) => uses.extend(secrets),
                Err(fault) => errors.push(of_variable(fault, name, place)),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let places = env.iter().map(|(name, variable)| (name.clone(), variable.place.clone()));
        Ok(Self { templates, places: places.collect(), uses })
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
        for (name, place) in &self.places {
            match self.templates.render(name, secrets) {
                Ok(bytes) if bytes.expose().contains(&0) => {
                    let text = "its text holds a NUL, which no variable of an environment can";
                    return Err(of_variable(Fault::new(text), name, place));
                }
                Ok(bytes) => drop(rendered.insert(name.clone(), bytes)),
                Err(_) if lacking => {}
                Err(fault) => return Err(of_variable(fault, name, place)),
            }
        }
        Ok(rendered)
    }
}

fn of_variable(fault: Fault, name: &str, place: &str) -> RenderError {
    fault.of_file(&format!("env.{name}"), place)
}
