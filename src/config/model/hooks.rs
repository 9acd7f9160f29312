//! What is run on a change, and before one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method, Uri};
use leasehold_core::SecretBytes;
use leasehold_http::TlsFiles;

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
