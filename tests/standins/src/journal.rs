//! What was asked, in order.

use std::sync::{Mutex, MutexGuard};

/// A part of a stand-in: each is a server of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Azure: the vault.
    Vault,
    /// Azure: the authority that issues tokens.
    Authority,
    /// Azure: the Instance Metadata Service.
    Imds,
    /// Azure: the identity endpoint of App Service.
    AppService,
    /// Google: Secret Manager, its global endpoint.
    Secrets,
    /// Google: Secret Manager, its endpoint in [`crate::Google::LOCATION`].
    RegionalSecrets,
    /// Google: the OAuth token endpoint.
    Token,
    /// Google: the Security Token Service.
    Sts,
    /// Google: IAM Service Account Credentials.
    Iam,
    /// Google: the metadata server of Compute Engine.
    Metadata,
}

/// One request. Neither its headers nor its body are kept: no token, no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who was asked.
    pub part: Part,
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query, as they were sent.
    pub path: String,
    /// The status of the answer; `None` where the connection was reset instead.
    pub status: Option<u16>,
}

/// All requests of one stand-in.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Vec<Asked>>);

impl Journal {
    pub(crate) fn add(&self, asked: Asked) {
        self.lock().push(asked);
    }

    pub(crate) fn all(&self) -> Vec<Asked> {
        self.lock().clone()
    }

    pub(crate) fn of(&self, part: Part) -> Vec<Asked> {
        self.lock().iter().filter(|asked| asked.part == part).cloned().collect()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
