//! What a token has to be allowed, for a secret and for itself.

use leasehold_core::SecretRef;

use crate::fetch::is_static_role;
use crate::kv::Place;
use crate::mounts::{Engine, Mount};
use crate::session::stanza;

/// One right that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Right {
    pub(crate) path: String,
    pub(crate) capability: &'static str,
    pub(crate) purpose: &'static str,
    /// False: things work without it, only less well.
    pub(crate) required: bool,
    /// Whether the server's default policy grants it.
    pub(crate) by_default: bool,
}

impl Right {
    fn new(path: impl Into<String>, capability: &'static str, purpose: &'static str) -> Self {
        Self { path: path.into(), capability, purpose, required: true, by_default: false }
    }

    fn wished(self) -> Self {
        Self { required: false, ..self }
    }

    fn by_default(self) -> Self {
        Self { by_default: true, ..self }
    }

    /// The purpose, and who grants it mostly.
    pub(crate) fn full_purpose(&self) -> String {
        let by_default = if self.by_default { " (part of the default policy)" } else { "" };
        format!("{}{by_default}", self.purpose)
    }

    /// What an administrator writes to grant it.
    pub(crate) fn remedy(&self, mount: &Mount) -> String {
        match self.capability {
            // What is only wished for lies at a path that is known.
            "read" if self.required => mount.policy_file_to_read(&self.path),
            other => stanza(&self.path, &[other]),
        }
    }
}

/// What a secret in this mount needs.
pub(crate) fn of_secret(mount: &Mount, reference: &SecretRef) -> Vec<Right> {
    let path = reference.path.as_str();
    let mut rights = Vec::new();
    match (mount.engine, &reference.data) {
        (Engine::Kv2, _) => {
            let place = Place::of(mount, path);
            rights.push(Right::new(place.data, "read", "to read the secret"));
            let purpose = "to find a change by its version; without it each poll reads the secret itself";
            rights.push(Right::new(place.metadata, "read", purpose).wished());
        }
        (_, Some(_)) => {
            rights.push(Right::new(path, "update", "to fetch the secret, which is a write with data"));
        }
        (_, None) => rights.push(Right::new(path, "read", "to read the secret")),
    }
    if reference.revoke && mount.engine == Engine::Pki {
        let purpose = "to revoke the certificate (revoke: true)";
        rights.push(Right::new(format!("{}/revoke", mount.path), "update", purpose));
    }
    if matches!(mount.engine, Engine::Other | Engine::Unknown) && !is_static_role(path) {
        rights.push(Right::new("sys/leases/renew", "update", "to renew the lease").by_default());
        let purpose = "to ask whether a lease still lives";
        rights.push(Right::new("sys/leases/lookup", "update", purpose).wished().by_default());
        let purpose = "to revoke a replaced lease; without it an old credential ends by its own TTL";
        rights.push(Right::new("sys/leases/revoke", "update", purpose).wished());
    }
    rights
}

/// What a token needs for itself.
pub(crate) fn of_session() -> Vec<Right> {
    let renew = "to renew our token";
    let look_up = "to ask how long our token still lives, after a restart or a refusal";
    let revoke = "to revoke our token and all its leases at the end";
    vec![
        Right::new("auth/token/lookup-self", "read", look_up).wished().by_default(),
        Right::new("auth/token/renew-self", "update", renew).wished().by_default(),
        Right::new("auth/token/revoke-self", "update", revoke).wished().by_default(),
    ]
}
