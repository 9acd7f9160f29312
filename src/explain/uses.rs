//! Where each secret goes: which files and variables use it.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Config;
use crate::config::model::Files;
use crate::render::{Paths, Renderer, Variables};

/// By secret.
pub(super) struct Uses {
    every_field: bool,
    files: BTreeMap<String, BTreeSet<String>>,
    variables: BTreeMap<String, BTreeSet<String>>,
}

impl Uses {
    pub(super) fn of(config: &Config) -> Self {
        let paths = Paths::new(&config.files, &config.output);
        let files = Renderer::new(&config.files, &paths).map(|renderer| renderer.uses().clone());
        let variables = config.env.iter().map(|(name, variable)| {
            let one = BTreeMap::from([(name.clone(), variable.clone())]);
            let uses = Variables::new(&one, &paths).map(|variables| variables.uses().clone());
            (name.clone(), uses.unwrap_or_default())
        });
        Self {
            every_field: config.files == Files::EveryField,
            files: files.unwrap_or_default(),
            variables: variables.collect(),
        }
    }

    /// The files that use a secret; `None`: each of its fields is one.
    pub(super) fn files(&self, secret: &str) -> Option<Vec<String>> {
        (!self.every_field).then(|| users(&self.files, secret))
    }

    /// The variables that use a secret.
    pub(super) fn variables(&self, secret: &str) -> Vec<String> {
        users(&self.variables, secret)
    }
}

fn users(uses: &BTreeMap<String, BTreeSet<String>>, secret: &str) -> Vec<String> {
    uses.iter().filter(|(_, used)| used.contains(secret)).map(|(name, _)| name.clone()).collect()
}
