use std::fmt;

use crate::key_kind::KeyKind;

/// Names one thing in a store: what the configuration says of a secret, as far as the store is
/// concerned.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretRef {
    /// The secret's name in the configuration, for errors.
    pub name: String,
    /// Where it is in the store: a Vault path, a secret's name or an ARN.
    pub path: String,
    /// What is written to get it (Vault: `data`). Without it the path is read.
    pub data: Option<serde_json::Map<String, serde_json::Value>>,
    /// A pinned version. Without it, the latest.
    pub version: Option<String>,
    /// A version stage (AWS: `AWSCURRENT`, …).
    pub stage: Option<String>,
    /// Picks one value inside the secret.
    pub key: Option<String>,
    /// The namespace it lives in, where that is not the provider's.
    pub namespace: Option<String>,
    /// True: what cannot be revoked through a lease (a certificate) gets a handle all the same,
    /// so that it can be revoked when it is replaced and at the end.
    pub revoke: bool,
    /// A key of this kind is made for each fetch before a provider is asked, and its certificate
    /// request is then `csr` in `data`. A provider has nothing to do for it.
    pub generate_key: Option<KeyKind>,
}

impl fmt::Debug for SecretRef {
    /// `data` may hold what an environment variable brought: its keys are shown, its values not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Option<Vec<&String>> = self.data.as_ref().map(|data| data.keys().collect());
        f.debug_struct("SecretRef")
            .field("name", &self.name)
            .field("path", &self.path)
            .field("data_keys", &keys)
            .field("version", &self.version)
            .field("stage", &self.stage)
            .field("key", &self.key)
            .field("namespace", &self.namespace)
            .field("revoke", &self.revoke)
            .field("generate_key", &self.generate_key)
            .finish()
    }
}
