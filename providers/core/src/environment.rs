use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::secret::SecretBytes;

/// The process's environment as it was at the start, taken before secrets in it are overwritten.
/// Providers read it here and never from the process. Clones share it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(Arc<BTreeMap<String, SecretBytes>>);

impl Environment {
    /// The variables given; those that are no UTF-8 are left out by the caller.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let held = variables.into_iter().map(|(name, value)| (name, SecretBytes::from_text(value)));
        Self(Arc::new(held.collect()))
    }

    /// The value of a variable, where it is set and not empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(SecretBytes::expose_text).filter(|value| !value.is_empty())
    }

    /// The names that are set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl fmt::Debug for Environment {
    /// Names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
