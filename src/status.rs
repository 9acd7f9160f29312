//! What is held, as data for people and machines: the board that keepers and the publisher write
//! and that `status`, `/readyz` and `/metrics` read. There is no value on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use leasehold_core::Kind;

use crate::clock::{Moment, locked};
use crate::supervisor::{CommandPhase, CommandState};

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
    /// The actions that are under way, each until it went well or is given up.
    pub running: BTreeMap<String, RunningState>,
    /// Why the newest set could not be published, while that lasts.
    pub refused: Option<String>,
    /// What `verify` said of a set that is not in place, while that lasts.
    pub verify: Option<CheckState>,
    /// Latched by the first whole generation.
    pub ready: bool,
    /// What the running process cannot take over from a changed file without a restart.
    pub needs_restart: Vec<String>,
    /// The newest generation that the application acknowledged.
    pub acknowledged: Option<u64>,
    /// Who has yet to acknowledge what is in place.
    pub missing_acknowledgements: Vec<String>,
    /// True from the first termination signal on.
    pub ending: bool,
    /// The command, under `exec`.
    pub command: Option<CommandState>,
    /// True where the next SIGTERM leaves everything to a successor.
    pub handover: bool,
    /// A failure that is played.
    pub drill: Option<DrillState>,
}

/// A set that its check has not found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckState {
    /// `refused`, or `unknown`: it could not be told.
    pub outcome: &'static str,
    /// What the check said last.
    pub said: String,
    /// How often it was asked.
    pub tries: u32,
    /// Since when the set is tried.
    pub since: Moment,
    /// When it is asked again; `None`: it had the last word.
    pub next: Option<Moment>,
    /// Until when it is asked.
    pub until: Option<Moment>,
}

/// A failure that is played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillState {
    /// In words: `outage of vault`.
    pub what: String,
    /// When it ends by itself.
    pub ends: Moment,
}

/// Whether the application may count on its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It may.
    Ready,
    /// There was no whole generation yet. Of what is missing: name, and what kind of failure.
    NotYet(Vec<(String, Option<Kind>)>),
    /// These required secrets have truly expired.
    Expired(Vec<String>),
    /// The command that `exec` runs is not to be counted on now.
    Command(CommandPhase),
}

impl Snapshot {
    /// Latched by the first whole generation; lost again only while a required secret has truly
    /// expired, and under `exec` while the command is drained and restarted. An outage of the store
    /// alone changes nothing.
    pub fn readiness(&self, now: Moment) -> Readiness {
        let required = || self.secrets.iter().filter(|(_, state)| state.required);
        if !self.ready {
            let missing = required().filter(|(_, state)| !state.held);
            let named = missing.map(|(name, state)| (name.clone(), state.error.as_ref().map(|e| e.kind)));
            return Readiness::NotYet(named.collect());
        }
        let expired: Vec<String> =
            required().filter(|(_, state)| state.is_expired(now)).map(|(name, _)| name.clone()).collect();
        match &self.command {
            _ if !expired.is_empty() => Readiness::Expired(expired),
            Some(command) if command.phase != CommandPhase::Running => Readiness::Command(command.phase),
            _ => Readiness::Ready,
        }
    }
}

impl SecretState {
    /// Whether it has truly expired: the keeper says so, or its end has come (a keeper that is
    /// late must not keep us ready).
    pub fn is_expired(&self, now: Moment) -> bool {
        self.expired || (self.held && self.expires.is_some_and(|end| end <= now))
    }
}

impl Readiness {
    /// In words, for a probe's output. No path, lease or error text: the port is open to all.
    pub fn words(&self) -> String {
        match self {
            Self::Ready => "ready".to_owned(),
            Self::NotYet(missing) if missing.is_empty() => {
                "not ready: no whole generation is published yet".to_owned()
            }
            Self::NotYet(missing) => {
                let words = missing.iter().map(|(name, kind)| match kind {
                    Some(kind) => format!("{name} ({})", kind.as_str()),
                    None => name.clone(),
                });
                let words: Vec<String> = words.collect();
                format!("not ready: no whole generation is published yet, waiting for {}", words.join(", "))
            }
            Self::Expired(names) => format!("not ready: expired: {}", names.join(", ")),
            Self::Command(phase) => format!("not ready: the command is {}", phase.as_str()),
        }
    }
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
    /// How many requests an hour its polled secrets cost at most, as configured.
    pub polls_per_hour: f64,
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

/// An action of `on_change` that is under way, or waits for its debounce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningState {
    /// The generation that it announces.
    pub generation: u64,
    /// Since its first try began, or since it is due.
    pub since: Moment,
    /// Which try it is, from 1 on; where it waits, the one that is next.
    pub attempt: u32,
    /// How many there are at most.
    pub attempts: u32,
    /// When that try begins, where it waits.
    pub next: Option<Moment>,
    /// What went wrong with the one before.
    pub error: Option<String>,
}
