use std::sync::Arc;

use crate::fetched::Term;
use crate::secret::SecretBytes;

/// Where a session's credential came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// We logged in for it: it is ours to revoke.
    LoggedIn,
    /// Somebody gave it to us: it is never revoked.
    Given,
    /// The store needs no log-in, or its SDK does it behind our back.
    Ambient,
}

/// A log-in as a value: the engine holds, schedules, hands over and revokes it like a lease.
#[derive(Clone, Debug)]
pub struct Session {
    /// What may be shown of it (Vault: the token's accessor). Two sessions differ in it.
    pub id: String,
    /// The credential itself (Vault: the token). Empty for [`Origin::Ambient`].
    pub credential: Arc<SecretBytes>,
    /// `None`: it does not end.
    pub term: Option<Term>,
    /// Where it came from.
    pub origin: Origin,
    /// Whether the store can revoke it (a Vault batch token cannot be).
    pub revocable: bool,
    /// Whether leases may be taken under it and found again: `Some(n)` is a credential that
    /// serves `n` more requests, which is good for static reads only.
    pub uses_left: Option<u64>,
}

impl Session {
    /// The session of a store without log-in.
    pub fn ambient() -> Self {
        Self {
            id: "ambient".to_owned(),
            credential: Arc::new(SecretBytes::new(Vec::new())),
            term: None,
            origin: Origin::Ambient,
            revocable: false,
            uses_left: None,
        }
    }
}
