//! From a `type:` of the configuration to a provider. Adding a provider is one entry here.

/// The parsed settings of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {}
