//! The configuration as valid types: what is in here can be used without a further question.
//! Nothing is opened, read or resolved yet, except that environment variables are expanded.

mod files;
mod hooks;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use leasehold_core::KeyKind;
use leasehold_core::SecretRef;

pub use files::*;
pub use hooks::*;

use super::flags::Flags;
use super::reading::Reading;
use crate::registry::Settings;

/// Everything one run needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The configuration files, in the order given: watched for changes.
    pub sources: Vec<PathBuf>,
    /// What the command line says beside them.
    pub flags: Flags,
    /// What they were read for, and are read for again.
    pub reading: Reading,
    /// Named connections to secret stores.
    pub providers: BTreeMap<String, Provider>,
    /// What is fetched, by name.
    pub secrets: BTreeMap<String, Secret>,
    /// What is written.
    pub files: Files,
    /// The files that templates were read from: watched for changes.
    pub template_files: BTreeSet<PathBuf>,
    /// `exec` and `dev`: environment of the child, by name.
    pub env: BTreeMap<String, Variable>,
    /// `exec` and `dev`: what happens to the child on a change.
    pub exec: Exec,
    /// Where the files go.
    pub output: Output,
    /// Whom to tell.
    pub on_change: Vec<Action>,
    /// What a generation is tried with before it is published.
    pub verify: Option<Verify>,
    /// How leases and the process live.
    pub lifecycle: Lifecycle,
    /// Ceilings.
    pub limits: Limits,
    /// The socket that `status` and `refresh` talk to.
    pub admin: Admin,
    /// The port that probes and Prometheus talk to.
    pub telemetry: Telemetry,
    /// What is logged and how.
    pub log: Log,
}

/// A named connection to a secret store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its settings, parsed by the crate that owns its type.
    pub settings: Settings,
}

/// One thing that is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The provider's name: a key of [`Config::providers`].
    pub provider: String,
    /// What it is to the store.
    pub reference: SecretRef,
    /// How often a secret that neither dies nor announces a change is read again.
    pub refresh: Duration,
    /// False: may be absent, or unreachable after the first try.
    pub required: bool,
    /// The least time that an old lease outlives the announcement of its successor.
    pub overlap: Overlap,
    /// What happens to the files when it has expired.
    pub on_expiry: OnExpiry,
    /// How often the store is asked whether the lease still lives, if at all.
    pub lookup: Option<Duration>,
    /// How long a new credential takes to be known everywhere: it is not offered before.
    pub settle: Duration,
}

/// See `lifecycle.overlap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// A fifth of the granted TTL, at most one hour.
    Auto,
    /// This long; above a third of the granted TTL, that third counts.
    Fixed(Duration),
}

/// See `lifecycle.on_expiry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExpiry {
    /// The last good files stay.
    Keep,
    /// A generation without the files that use the secret is published.
    Delete,
    /// The process ends with 75.
    Exit,
}

/// `exec` and `dev`: what happens to the child on a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// `None`: restart when the bytes of `env` change, else nothing.
    pub on_change: Option<ExecChange>,
    /// The signal that `on_change: signal` sends.
    pub signal: Signal,
    /// How long `/readyz` is false before a restart.
    pub drain: Duration,
    /// From SIGTERM to SIGKILL of the child.
    pub grace: Duration,
    /// How restarts of replicas are spread. `None`: auto.
    pub splay: Option<Duration>,
    /// What becomes of what is held when the command crashes.
    pub on_crash: OnCrash,
}

/// See [`Exec::on_crash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCrash {
    /// It is left to the next start.
    Keep,
    /// It is taken back.
    Revoke,
}

/// See [`Exec::on_change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecChange {
    /// Stop and start.
    Restart,
    /// Send [`Exec::signal`].
    Signal,
    /// Nothing.
    None,
}

/// How leases and the process live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// Bounds passing errors until the first generation.
    pub startup_deadline: Duration,
    /// Default of [`Secret::overlap`]; a session uses it too.
    pub overlap: Overlap,
    /// Whether an old lease waits for the application's word.
    pub acknowledge: Acknowledge,
    /// Whether leases and sessions are revoked at the end.
    pub revoke_on_shutdown: bool,
    /// From SIGTERM to the revocation, where no application is watched.
    pub revoke_delay: Duration,
    /// Bounds the revocation.
    pub revoke_timeout: Duration,
    /// The process whose end is ours, in a shared PID namespace.
    pub application: Option<String>,
    /// A lease that the store has lost is replaced within this time, at random.
    pub heal_splay: Duration,
    /// Whether a changed file or SIGHUP reloads.
    pub reload: Reload,
    /// The hand-over.
    pub state_directory: StateDirectory,
}

/// See `lifecycle.acknowledge`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acknowledge {
    /// Expected where an action that can acknowledge covers a changed file, of all those.
    Auto,
    /// Always expected: where no such action covers a changed file, by `POST /v1/ack`.
    Required,
    /// Never expected.
    None,
    /// Expected of everybody who is named here. Not empty.
    From(BTreeSet<String>),
}

/// See `lifecycle.reload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// On a changed file and on SIGHUP.
    Auto,
    /// On SIGHUP only.
    Signal,
    /// Never.
    Off,
}

/// Where the hand-over is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDirectory {
    /// The directory; ours is made inside it.
    pub path: PathBuf,
    /// Whether the configuration names it: then it has to be usable, else it is a warning.
    pub choice: Choice,
}

/// Whether a value is a default or was written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The default.
    Default,
    /// The configuration says so.
    Configured,
    /// The configuration wants none.
    Off,
}

/// Ceilings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Mints in 60 s, per secret.
    pub mints_per_minute: u32,
}

/// The socket that `status` and `refresh` talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// `None`: off.
    pub listen: Option<PathBuf>,
    /// Who may connect, beside root where ours is admitted.
    pub uids: Vec<Uid>,
    /// Whether failures may be played in a running instance.
    pub drills: bool,
}

/// A user that may use the admin socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uid {
    /// Ours, and root.
    Own,
    /// This one.
    Number(u32),
}

/// The port that probes and Prometheus talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// `None`: off.
    pub listen: Option<SocketAddr>,
}

/// What is logged and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important level that is shown.
    pub level: LogLevel,
    /// Lines for people or for machines.
    pub format: LogFormat,
}

/// See [`Log`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Errors only.
    Error,
    /// And warnings.
    Warn,
    /// And what happens.
    Info,
    /// And why.
    Debug,
    /// And every request.
    Trace,
}

/// See [`Log`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
