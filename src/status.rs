//! What is held, as data for people and machines: the board that keepers and the publisher write
//! and that `status`, `/readyz` and `/metrics` read. There is no value on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use leasehold_core::Kind;

use crate::clock::{Moment, locked};

/// The board; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Snapshot>>);

impl Board {
    /// Changes what stands on it.
    pub fn write<T>(&self, change: impl FnOnce(&mut Snapshot) -> T) -> T {
        change(&mut locked(&self.0))
    }

    /// A copy of what stands on it.
    pub fn snapshot(&self) -> Snapshot {
        locked(&self.0).clone()
    }
}

/// Everything that stands on the board.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// By provider.
    pub providers: BTreeMap<String, ProviderState>,
    /// By secret.
    pub secrets: BTreeMap<String, SecretState>,
    /// The generation in place, once there is one.
    pub generation: Option<GenerationState>,
    /// Why the newest set could not be published, while that lasts.
    pub refused: Option<String>,
    /// Latched by the first whole generation.
    pub ready: bool,
    /// What the running process cannot take over from a changed file without a restart.
    pub needs_restart: Vec<String>,
    /// The newest generation that the application acknowledged.
    pub acknowledged: Option<u64>,
    /// True from the first termination signal on.
    pub ending: bool,
}

/// One provider.
#[derive(Clone, Debug, Default)]
pub struct ProviderState {
    /// What may be shown of the session (Vault: the token's accessor).
    pub session: Option<String>,
    /// When it ends; `None` also where it does not.
    pub session_ends: Option<Moment>,
    /// Sessions that wait for their leases' successors before they are revoked.
    pub old_sessions: Vec<String>,
    /// The last error, while it lasts.
    pub error: Option<LastError>,
}

/// One secret.
#[derive(Clone, Debug, Default)]
pub struct SecretState {
    /// Its provider.
    pub provider: String,
    /// Whether the set is whole without it.
    pub required: bool,
    /// Whether a value is held.
    pub held: bool,
    /// The store's version.
    pub version: Option<String>,
    /// The lease in use.
    pub lease: Option<String>,
    /// When it was issued.
    pub issued: Option<Moment>,
    /// When it ends, the session's end included. `None`: polled.
    pub expires: Option<Moment>,
    /// How long it was granted for at first, for a bar.
    pub granted: Option<std::time::Duration>,
    /// True once it has truly expired and no successor is published.
    pub expired: bool,
    /// Replaced leases that are not revoked yet.
    pub retiring: Vec<String>,
    /// The store's last answer that was good for this secret.
    pub last_success: Option<Moment>,
    /// What is done next, and when.
    pub next: Option<(Moment, String)>,
    /// The last error, while it lasts.
    pub error: Option<LastError>,
    /// Since when an acknowledgement is awaited.
    pub awaiting_ack: Option<Moment>,
    /// How many mints a minute are allowed.
    pub mints_ceiling: u32,
}

/// An error as it is shown.
#[derive(Clone, Debug)]
pub struct LastError {
    /// Its kind.
    pub kind: Kind,
    /// The whole text.
    pub text: String,
    /// When.
    pub at: Moment,
    /// How many in a row.
    pub count: u32,
}

/// The generation in place.
#[derive(Clone, Debug)]
pub struct GenerationState {
    /// Its number.
    pub number: u64,
    /// Since when.
    pub published: Moment,
    /// Its files.
    pub files: Vec<String>,
    /// What each action answered for it.
    pub actions: BTreeMap<String, String>,
}
