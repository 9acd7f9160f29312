//! Real Vault (or OpenBao) servers.
//!
//! [`vault()`] is shared by all tests of a process: it is never sealed, stopped or reconfigured, and a test
//! works in mounts of its own. A test that needs more has [`Vault::own`].

mod audit;
mod client;
mod mounts;
mod server;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

pub use audit::{Audit, Entry, Mark, since_1970};
pub use client::{Client, Refusal};
pub use mounts::{AppRole, AppRoleMount, Credentials, DatabaseMount, KvMount, Lease, PkiMount, Policy};
pub use server::{Tls, Vault, VaultConfig};

/// The server that all tests of this process share, in memory, unsealed, with its audit log on.
#[track_caller]
pub fn vault() -> &'static Vault {
    static SHARED: OnceLock<Vault> = OnceLock::new();
    SHARED.get_or_init(Vault::shared)
}

/// A name that no other test of this process uses: `name` with a number behind it.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Vault {
    /// Talks to the server as root.
    pub fn root(&self) -> Client {
        Client::new(self.address(), self.root_token())
    }

    /// Talks to the server with that token.
    pub fn client(&self, token: &str) -> Client {
        Client::new(self.address(), token)
    }

    /// Reads `path` as root; `None` where it does not exist.
    #[track_caller]
    pub fn read(&self, path: &str) -> Option<Value> {
        match self.root().read(path) {
            Ok(answer) => Some(answer),
            Err(refusal) if refusal.status == 404 => None,
            Err(refusal) => panic!("reading {path}: {refusal}"),
        }
    }

    /// Writes to `path` as root.
    #[track_caller]
    pub fn write(&self, path: &str, data: Value) -> Value {
        self.root().write(path, &data).unwrap_or_else(|refusal| panic!("writing {path}: {refusal}"))
    }

    /// Deletes `path` as root.
    #[track_caller]
    pub fn delete(&self, path: &str) {
        self.root().delete(path).unwrap_or_else(|refusal| panic!("deleting {path}: {refusal}"));
    }

    /// Lists the keys under `path` as root; none where there is nothing.
    #[track_caller]
    pub fn list(&self, path: &str) -> Vec<String> {
        match self.root().list(path) {
            Ok(keys) => keys,
            Err(refusal) if refusal.status == 404 => Vec::new(),
            Err(refusal) => panic!("listing {path}: {refusal}"),
        }
    }

    /// What the server knows of a lease; `None` where it knows nothing.
    ///
    /// A lease that has ended is still known, with a TTL of 0 or less, until its revocation is done.
    #[track_caller]
    pub fn lease_lookup(&self, id: &str) -> Option<Lease> {
        match self.root().write("sys/leases/lookup", &json!({ "lease_id": id })) {
            Ok(answer) => Some(Lease {
                id: id.to_owned(),
                ttl: answer["data"]["ttl"].as_i64().expect("a lease has a TTL"),
                renewable: answer["data"]["renewable"].as_bool().unwrap_or_default(),
            }),
            Err(refusal) if matches!(refusal.status, 400 | 404) => None,
            Err(refusal) => panic!("looking up {id}: {refusal}"),
        }
    }

    /// The ids of all leases under a prefix, such as `MOUNT/creds/web`.
    #[track_caller]
    pub fn leases(&self, prefix: &str) -> Vec<String> {
        let prefix = prefix.trim_end_matches('/');
        let mut found = Vec::new();
        for key in self.list(&format!("sys/leases/lookup/{prefix}")) {
            let path = format!("{prefix}/{}", key.trim_end_matches('/'));
            if key.ends_with('/') { found.extend(self.leases(&path)) } else { found.push(path) }
        }
        found
    }

    /// Asks for the revocation of all leases under a prefix. The server queues it: wait for [`Vault::leases`].
    #[track_caller]
    pub fn revoke_prefix(&self, prefix: &str) {
        self.write(&format!("sys/leases/revoke-prefix/{prefix}"), json!({}));
    }

    /// Whether a token lives, by its accessor.
    #[track_caller]
    pub fn token_lives(&self, accessor: &str) -> bool {
        match self.root().write("auth/token/lookup-accessor", &json!({ "accessor": accessor })) {
            Ok(_) => true,
            Err(refusal) if matches!(refusal.status, 400 | 403 | 404) => false,
            Err(refusal) => panic!("looking up a token: {refusal}"),
        }
    }

    /// Makes a token: `options` as for `auth/token/create`. Returns its `auth` object.
    #[track_caller]
    pub fn token(&self, options: Value) -> Value {
        self.write("auth/token/create", options)["auth"].clone()
    }

    /// Starts a policy of a fresh name made from `name`. It holds nothing but what is added.
    pub fn policy(&self, name: &str) -> Policy<'_> {
        Policy { vault: self, name: unique(name), rules: BTreeMap::new() }
    }
}
