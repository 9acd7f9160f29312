use std::sync::Arc;
use std::time::Duration;

use crate::secret::Fields;

/// How long something lives, counted from the sending of the request whose answer said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// What is left of it.
    pub ttl: Duration,
    /// Whether the store will prolong it.
    pub renewable: bool,
}

/// What a lease's life hangs on, beside its own term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// It ends with the session that took it (a Vault lease).
    Session,
    /// It lives on without us; the handle serves only to revoke it (a certificate).
    Itself,
}

/// The store's handle of what it handed out. Not secret: it stands in logs and in `status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The identifier by which the provider looks it up, renews and revokes it.
    pub id: String,
    /// What its life hangs on.
    pub bound: Bound,
    /// The namespace it was taken in, where that is not the provider's.
    pub namespace: Option<String>,
}

/// What a read or a mint brought.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The fields. `None`: unchanged since the version that was known.
    pub fields: Option<Arc<Fields>>,
    /// The store's version of it, where it has one.
    pub version: Option<String>,
    /// The handle, where there is something to renew or revoke.
    pub lease: Option<Lease>,
    /// It dies then. With `Lease` it can be renewed or revoked; a certificate has a term alone.
    pub term: Option<Term>,
    /// The store replaces it after this time (a static role): look again just after.
    /// With neither `term` nor `changes_in`, it is polled.
    pub changes_in: Option<Duration>,
}

impl Fetched {
    /// "As you know it": no fields, no lease.
    pub fn unchanged(version: Option<String>) -> Self {
        Self { fields: None, version, lease: None, term: None, changes_in: None }
    }
}
