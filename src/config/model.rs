//! The configuration as valid types: what is in here can be used without a further question.
//! Nothing is opened, read or resolved yet, except that environment variables are expanded.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method, Uri};
pub use leasehold_core::KeyKind;
use leasehold_core::{SecretBytes, SecretRef};
use leasehold_http::TlsFiles;

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
    /// `exec` and `dev`: environment of the child, name → template.
    pub env: BTreeMap<String, String>,
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

/// What is written for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// Every field of every secret, at `SECRET/FIELD`.
    EveryField,
    /// These, by name relative to the output directory. Empty: none, and no directory is made.
    Named(BTreeMap<String, File>),
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where its bytes come from.
    pub content: Content,
    /// Permission bits, where they differ from `output.mode`.
    pub mode: Option<u32>,
    /// Owner, where it differs from `output.owner`.
    pub owner: Option<u32>,
    /// Group, where it differs from `output.group`.
    pub group: Option<u32>,
    /// `FILE:LINE` of its definition, for errors.
    pub place: String,
}

/// Where a file's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A template over several secrets.
    Template(String),
    /// One field of one secret, byte by byte.
    Field {
        /// The secret's name.
        secret: String,
        /// The field's name.
        field: String,
        /// What its text is decoded from first.
        decode: Option<Decode>,
    },
    /// All fields of one secret in a format.
    Format {
        /// The secret's name.
        secret: String,
        /// The format.
        format: Format,
    },
    /// The session that leasehold itself uses at a provider, byte by byte.
    Session {
        /// The provider's name.
        provider: String,
    },
    /// A keystore for a JVM.
    #[cfg(feature = "keystore")]
    Keystore(Keystore),
}

/// A keystore, made of the fields of a certificate.
#[cfg(feature = "keystore")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keystore {
    /// The secret's name.
    pub secret: String,
    /// Its format.
    pub kind: KeystoreKind,
    /// What is in it.
    pub entries: Entries,
    /// The name of the entry; of several, the first.
    pub alias: String,
    /// A template over several secrets.
    pub password: String,
}

/// See [`Keystore::kind`].
#[cfg(feature = "keystore")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeystoreKind {
    /// PKCS#12.
    Pkcs12,
    /// Java's own.
    Jks,
}

/// See [`Keystore::entries`].
#[cfg(feature = "keystore")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entries {
    /// A private key with its certificate and that one's issuers.
    Key,
    /// Authorities to be trusted.
    Trust,
}

/// An encoding of bytes as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decode {
    /// Either alphabet, padded or not.
    Base64,
}

/// What the session of a provider is called among the values that files are made of. No secret can have
/// such a name.
pub fn session_value(provider: &str) -> String {
    format!("{SESSION}{provider}")
}

/// Whether a value of this name is a session.
pub fn is_session_value(name: &str) -> bool {
    name.starts_with(SESSION)
}

const SESSION: &str = "session:";

/// The one field of such a value.
pub const SESSION_FIELD: &str = "credential";

impl Files {
    /// The providers whose session is a file.
    pub fn sessions(&self) -> BTreeSet<String> {
        let Self::Named(files) = self else { return BTreeSet::new() };
        let session = |file: &File| match &file.content {
            Content::Session { provider } => Some(provider.clone()),
            _ => None,
        };
        files.values().filter_map(session).collect()
    }
}

/// A file format for all fields of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object.
    Json,
    /// One YAML mapping.
    Yaml,
    /// One TOML table.
    Toml,
    /// `NAME=value` lines, quoted for a shell.
    Env,
    /// Java properties.
    Properties,
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

/// A signal by name, without `SIG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP.
    Hup,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGTERM.
    Term,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGWINCH.
    Winch,
}

/// Where the files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// A directory of our own, made inside the mounted volume.
    pub directory: PathBuf,
    /// Permission bits of files.
    pub mode: u32,
    /// Owner of files and directories; ours where not set.
    pub owner: Option<u32>,
    /// Group of files and directories; inherited from a setgid directory where not set.
    pub group: Option<u32>,
    /// What the directory has to stand on.
    pub require_tmpfs: RequireTmpfs,
}

/// See `output.require_tmpfs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequireTmpfs {
    /// tmpfs or ramfs.
    Yes,
    /// tmpfs with `noswap` or ramfs, or a machine without swap.
    Strict,
    /// Anything.
    No,
}

/// One way to tell the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What it is called, where the configuration gives it a name.
    pub name: Option<String>,
    /// What is done.
    pub kind: ActionKind,
    /// Only when one of these files changed; all where `None`.
    pub files: Option<Vec<String>>,
    /// It runs once nothing has changed for this long.
    pub debounce: Duration,
    /// Bounds one try.
    pub timeout: Duration,
    /// How often it is tried again.
    pub retries: u32,
}

/// See [`Action`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// A signal to a process in a shared PID namespace.
    Signal {
        /// Which signal.
        signal: Signal,
        /// To whom.
        target: Target,
    },
    /// A command or a request.
    Hook(Hook),
}

/// What a generation is tried with before it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// What is run.
    pub hook: Hook,
    /// What becomes of a generation that is refused to the end.
    pub on_failure: OnFailure,
}

/// See `verify.on_failure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The old one stays.
    Keep,
    /// It is published all the same.
    Publish,
}

/// A command or a request that the configuration wants to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What is run.
    pub kind: HookKind,
    /// How long it may take.
    pub timeout: Duration,
}

/// See [`Hook`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookKind {
    /// A program in our own container, without a shell.
    Command {
        /// The program and its arguments. Not empty; the program is an absolute path or a name on PATH.
        command: Vec<String>,
        /// What is added to its environment.
        environment: BTreeMap<String, Arc<SecretBytes>>,
    },
    /// An HTTP request.
    Http(Box<HttpHook>),
}

/// A request that the configuration wants to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpHook {
    /// Where to: http or https, with a host and without a user.
    pub url: Uri,
    /// The method.
    pub method: Method,
    /// What is sent along. Each is a valid value of a header.
    pub headers: Vec<(HeaderName, Arc<SecretBytes>)>,
    /// What is sent along.
    pub body: Arc<SecretBytes>,
    /// The statuses that mean success; empty: any 2xx.
    pub expect: Vec<u16>,
    /// The unix socket to connect to instead of the URL's host.
    pub socket: Option<PathBuf>,
    /// TLS of the connection.
    pub tls: TlsFiles,
}

impl std::fmt::Debug for HttpHook {
    /// Without what may hold a credential.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpHook").field("to", &self.url.authority()).finish_non_exhaustive()
    }
}

/// The process that is signalled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// By the name of the executable or of the process.
    Process(String),
    /// By the pid in a file.
    PidFile(PathBuf),
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
