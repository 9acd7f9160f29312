//! The process: its command, its life, its limits, its sockets and its log.

use schemars::JsonSchema;
use serde::Deserialize;

use super::hooks::Signal;
use super::scalars::{Length, LengthOrAuto, Uid};

/// What happens to the command on a change.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Exec {
    /// Left out: `restart` when the bytes of `env` change, else `none`.
    pub(in crate::config) on_change: Option<ExecChange>,
    /// What `on_change: signal` sends.
    #[schemars(extend("default" = "HUP"))]
    pub(in crate::config) signal: Option<Signal>,
    /// How long `/readyz` is false before a restart.
    #[schemars(extend("default" = "0s"))]
    pub(in crate::config) drain: Option<Length>,
    /// From SIGTERM to SIGKILL.
    #[schemars(extend("default" = "10s"))]
    pub(in crate::config) grace: Option<Length>,
    /// How restarts of replicas are spread.
    #[schemars(extend("default" = "auto"))]
    pub(in crate::config) splay: Option<LengthOrAuto>,
    /// When the command ends with a failure: `keep` leaves all to the next start, `revoke` takes it back.
    #[schemars(extend("default" = "keep"))]
    pub(in crate::config) on_crash: Option<OnCrash>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum OnCrash {
    Keep,
    Revoke,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum ExecChange {
    Restart,
    Signal,
    None,
}

/// How leases and the process live.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Lifecycle {
    /// Bounds passing errors until the first whole set.
    #[schemars(extend("default" = "5m"))]
    pub(in crate::config) startup_deadline: Option<Length>,
    /// The least time that an old lease outlives the announcement of its successor. `auto`: a
    /// fifth of the granted TTL, at most 1h.
    #[schemars(extend("default" = "auto"))]
    pub(in crate::config) overlap: Option<LengthOrAuto>,
    /// Whether an old lease waits for the application's word.
    #[schemars(extend("default" = "auto"))]
    pub(in crate::config) acknowledge: Option<Acknowledge>,
    /// Whether leases and sessions are revoked at the end.
    #[schemars(extend("default" = true))]
    pub(in crate::config) revoke_on_shutdown: Option<bool>,
    /// From SIGTERM to the revocation.
    #[schemars(extend("default" = "20s"))]
    pub(in crate::config) revoke_delay: Option<Length>,
    /// Bounds the revocation.
    #[schemars(extend("default" = "5s"))]
    pub(in crate::config) revoke_timeout: Option<Length>,
    /// The process whose end is ours, in a shared PID namespace.
    #[schemars(extend("default" = null))]
    pub(in crate::config) application: Option<Application>,
    /// What happens to files whose secret has expired.
    #[schemars(extend("default" = "keep"))]
    pub(in crate::config) on_expiry: Option<OnExpiry>,
    /// A lease that the store has lost is replaced within this time, at random.
    #[schemars(extend("default" = "10s"))]
    pub(in crate::config) heal_splay: Option<Length>,
    /// Whether a changed file or SIGHUP reloads.
    #[schemars(extend("default" = "auto"))]
    pub(in crate::config) reload: Option<Reload>,
    /// Where the hand-over is kept: on tmpfs, not mounted into the application. `off`: there is none.
    #[schemars(extend("default" = "/run/leasehold"))]
    pub(in crate::config) state_directory: Option<String>,
}

/// The process whose end is ours.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Application {
    /// Its name.
    #[schemars(required)]
    pub(in crate::config) process: Option<String>,
}

/// Whether, and by whom, a generation has to be acknowledged.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(in crate::config) enum Acknowledge {
    Word(AcknowledgeWord),
    From(AcknowledgeFrom),
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum AcknowledgeWord {
    Auto,
    Required,
    None,
}

/// Who has to acknowledge, all of them.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "a mapping with the key \"from\"")]
pub(in crate::config) struct AcknowledgeFrom {
    /// The names of actions, and of those who post to `..ack.sock`.
    #[schemars(required)]
    pub(in crate::config) from: Option<Vec<String>>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum OnExpiry {
    Keep,
    Delete,
    Exit,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum Reload {
    Auto,
    Signal,
    Off,
}

/// Ceilings.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Limits {
    /// Mints in 60 s, per secret; raised to twice what its life needs.
    #[schemars(extend("default" = 6, "minimum" = 1, "maximum" = 6000))]
    pub(in crate::config) mints_per_minute: Option<u32>,
}

/// The socket of `status` and `refresh`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Admin {
    /// `unix:/path`, or `off`.
    #[schemars(extend("default" = "unix:/run/leasehold/admin.sock"))]
    pub(in crate::config) listen: Option<String>,
    /// Who may connect: `own` (root too) and numbers.
    #[schemars(extend("default" = ["own"]))]
    pub(in crate::config) uids: Option<Vec<Uid>>,
    /// Whether failures may be played in a running instance.
    #[schemars(extend("default" = false))]
    pub(in crate::config) drills: Option<bool>,
}

/// The port of `/livez`, `/readyz` and `/metrics`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Telemetry {
    /// An IP address and a port, or `off`.
    #[schemars(extend("default" = "127.0.0.1:9441"))]
    pub(in crate::config) listen: Option<String>,
}

/// What is logged, and how.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Log {
    /// The least important level that is shown.
    #[schemars(extend("default" = "info"))]
    pub(in crate::config) level: Option<LogLevel>,
    /// Lines for people, or JSON for machines.
    #[schemars(extend("default" = "text"))]
    pub(in crate::config) format: Option<LogFormat>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum LogFormat {
    Text,
    Json,
}
