//! What files are read for.

use std::collections::BTreeMap;

#[cfg(feature = "mock")]
use super::development::Development;
use super::model::Config;
use super::tree::Node;

/// What files are read for: and, on a reload, read for again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// As they stand.
    #[default]
    Production,
    /// With stores that are made up, below a directory of our own.
    #[cfg(feature = "mock")]
    Development(Box<Development>),
}

/// What is known of the files before they are parsed.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// The `type` of each provider that is stood in for.
    pub(super) kinds: BTreeMap<String, String>,
    /// What is not as in production, for people.
    pub(super) notes: Vec<String>,
}

impl Reading {
    /// Takes out of the tree what is not read.
    pub(super) fn prepare(&self, tree: &mut Node) -> Before {
        match self {
            Self::Production => {
                let _ = tree;
                Before::default()
            }
            #[cfg(feature = "mock")]
            Self::Development(_) => Development::prepare(tree),
        }
    }

    /// Puts what was parsed where it belongs.
    pub(super) fn settle(&self, config: Config, before: Before) -> Config {
        match self {
            Self::Production => {
                let _ = before;
                config
            }
            #[cfg(feature = "mock")]
            Self::Development(development) => development.settle(config, before),
        }
    }
}
