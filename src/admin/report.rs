//! What `GET /v1/status` answers and `leasehold status --json` prints: the board, with times that
//! people and programs can read. There is no value in it.
//!
//! Fields may be added; those that are here keep their names and units. Points in time are RFC
//! 3339 in UTC, beside lengths in seconds as of [`Report::now`].

mod board;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Report {
    /// Of the running binary.
    pub version: String,
    /// When it was asked.
    pub now: String,
    /// As `/readyz`.
    pub ready: bool,
    /// Why it is not, in words.
    pub not_ready: Option<String>,
    /// A termination signal came.
    pub ending: bool,
    /// The next SIGTERM leaves everything to a successor.
    #[serde(default)]
    pub handover: bool,
    /// The generation in place.
    pub generation: Option<GenerationReport>,
    /// The actions that are under way, each until it went well or is given up: then its answer stands with
    /// the generation.
    #[serde(default)]
    pub running_actions: BTreeMap<String, RunningReport>,
    /// The newest generation that the application acknowledged.
    pub acknowledged: Option<u64>,
    /// Whose acknowledgement replaced leases wait for.
    #[serde(default)]
    pub missing_acknowledgements: Vec<String>,
    /// Why the newest set could not be published, while that lasts.
    pub refused: Option<String>,
    /// What `verify` says of a newer set that is not in place, while that lasts.
    #[serde(default)]
    pub verify: Option<VerifyReport>,
    /// What a changed configuration file asks for and only a restart takes over.
    pub needs_restart: Vec<String>,
    /// The command, under `exec`.
    #[serde(default)]
    pub command: Option<CommandReport>,
    /// A failure that is played (`leasehold drill`).
    pub drill: Option<DrillReport>,
    /// By provider.
    pub providers: BTreeMap<String, ProviderReport>,
    /// By secret.
    pub secrets: BTreeMap<String, SecretReport>,
}

/// A set that `verify` has not found good.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct VerifyReport {
    /// `refused`, or `unknown`: it could not be told.
    pub outcome: String,
    /// What the check said last.
    pub said: String,
    /// How often it was asked.
    pub tries: u32,
    /// Since when the set is tried.
    pub since: String,
    /// For how long.
    pub age_seconds: f64,
    /// When it is asked again; none: it had the last word.
    pub next: Option<String>,
    /// In how long.
    pub next_seconds: Option<f64>,
    /// Until when it is asked, where that is known.
    pub until: Option<String>,
}

/// A failure that is played.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct DrillReport {
    /// In words.
    pub what: String,
    /// When it ends by itself.
    pub ends: String,
    /// In how long.
    pub remaining_seconds: f64,
}

/// The generation in place.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct GenerationReport {
    /// Its number.
    pub number: u64,
    /// Since when.
    pub published: String,
    /// For how long.
    pub age_seconds: f64,
    /// Its files.
    pub files: Vec<String>,
    /// What each action answered for it.
    pub actions: BTreeMap<String, String>,
}

/// An action that is under way, or waits for quiet (`debounce`).
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct RunningReport {
    /// The generation that it announces.
    pub generation: u64,
    /// Since its first try began, or since it is due.
    pub since: String,
    /// For how long.
    pub age_seconds: f64,
    /// Which try it is, from 1 on; where it waits, the one that is next.
    pub attempt: u32,
    /// How many there are at most.
    pub attempts: u32,
    /// When that try begins; none: it runs.
    pub next: Option<String>,
    /// In how long.
    pub next_seconds: Option<f64>,
    /// What went wrong with the try before.
    pub error: Option<String>,
}

/// The command that `exec` runs.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct CommandReport {
    /// `waiting`, `running`, `draining`, `restarting` or `ended`.
    pub state: String,
    /// Its process id, in our PID namespace.
    pub pid: Option<i32>,
    /// Since when it runs.
    pub since: Option<String>,
    /// For how long.
    pub age_seconds: Option<f64>,
    /// How often it was restarted.
    pub restarts: u64,
    /// When it is restarted next, where that is known.
    pub next_restart: Option<String>,
    /// In how long.
    pub next_restart_seconds: Option<f64>,
}

/// A provider.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct ProviderReport {
    /// In one word.
    pub state: Health,
    /// What may be shown of the session (Vault: the token's accessor).
    pub session: Option<String>,
    /// When it ends; `null` also where it does not.
    pub session_ends: Option<String>,
    /// What is left of it.
    pub session_remaining_seconds: Option<f64>,
    /// Sessions that wait to be revoked.
    pub old_sessions: Vec<String>,
    /// The last error, while it lasts.
    pub error: Option<ErrorReport>,
}

/// A provider's state.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// There is a session, and all is well.
    Ok,
    /// What was asked of it last went wrong: it is asked again.
    Failing,
    /// It was not logged in to yet.
    NoSession,
}

/// A secret.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct SecretReport {
    /// Its provider.
    pub provider: String,
    /// Whether the set is whole without it.
    pub required: bool,
    /// In one word.
    pub state: State,
    /// The store's version.
    pub version: Option<String>,
    /// The lease in use.
    pub lease: Option<String>,
    /// When it was issued.
    pub issued: Option<String>,
    /// How long ago.
    pub age_seconds: Option<f64>,
    /// When it ends, the session's end included; `null` where it is polled.
    pub expires: Option<String>,
    /// What is left of it.
    pub remaining_seconds: Option<f64>,
    /// How long it was granted for at first.
    pub granted_seconds: Option<f64>,
    /// Replaced leases that are not revoked yet.
    pub retiring: Vec<String>,
    /// The store's last good answer.
    pub last_success: Option<String>,
    /// What is done next.
    pub next: Option<NextReport>,
    /// For how long an acknowledgement has been awaited.
    pub awaiting_ack_seconds: Option<f64>,
    /// Mints allowed in 60 s.
    pub mints_ceiling: u32,
    /// The last error, while it lasts.
    pub error: Option<ErrorReport>,
}

/// A secret's state.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A value is held, and all is well.
    Held,
    /// A value is held; what was tried last went wrong.
    Failing,
    /// A value is held, and an application has yet to acknowledge it.
    AwaitingAck,
    /// It has truly expired.
    Expired,
    /// There is no value yet.
    Missing,
    /// There is no value, and it is not required.
    LeftOut,
}

/// What is done next.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct NextReport {
    /// What.
    pub action: String,
    /// When.
    pub at: String,
    /// In how long; 0 where it is due.
    pub in_seconds: f64,
}

/// An error.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct ErrorReport {
    /// What kind.
    pub kind: String,
    /// In words.
    pub text: String,
    /// When.
    pub at: String,
    /// How many in a row.
    pub count: u32,
}
