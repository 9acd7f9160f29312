/// Something wrong in a provider's part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key it is about, from the provider's own level down: `auth.role`. Empty: the whole.
    pub key: String,
    /// What is wrong and what is allowed. Lower case, no full stop; never the value.
    pub message: String,
}

impl Problem {
    /// A problem with this key.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}
