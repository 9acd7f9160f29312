//! Running a command or a request on behalf of the configuration: `on_change` tells the application so,
//! `verify` asks whether a candidate is good.
//!
//! One run is one try, bounded by the hook's own time-out; when to try again is the caller's. A command
//! runs without a shell, in an environment that holds PATH, what the caller gives and what the
//! configuration adds, and nothing else of ours. A request follows no redirect and uses no proxy, and
//! its answer's body is neither kept nor shown. What a command prints is looked through before a line
//! of it is shown: every value that [`Known`] has heard of stands there as `[redacted]`.

mod check;
mod command;
mod failure;
mod known;
mod request;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use leasehold_core::{Environment, NoSpawn, Spawn};

use crate::clock::Clock;
use crate::config::model::{Hook, HookKind};
pub use check::HookCheck;
pub use command::missing;
pub use failure::Failure;
pub use known::Known;

/// Where programs are, where our own environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What every run needs of the house. Clones share it.
#[derive(Clone)]
pub struct Surroundings {
    /// Starts programs.
    pub spawn: Arc<dyn Spawn>,
    /// The time.
    pub clock: Clock,
    /// What must not be shown.
    pub known: Known,
    /// PATH, as we found it.
    pub path: String,
}

/// Where programs are looked for.
pub fn path(environment: &Environment) -> &str {
    environment.value("PATH").unwrap_or(PATH)
}

/// A run that went well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The status of the answer, where it was a request.
    pub status: Option<u16>,
    /// The last lines that a command printed, fit to be shown.
    pub said: Vec<String>,
}

impl Surroundings {
    /// With PATH as this environment has it.
    pub fn new(spawn: Arc<dyn Spawn>, clock: Clock, known: Known, environment: &Environment) -> Self {
        let path = path(environment).to_owned();
        Self { spawn, clock, known, path }
    }

    /// Where no program can be started, and nothing is known.
    pub fn bare(clock: Clock) -> Self {
        Self::new(Arc::new(NoSpawn), clock, Known::default(), &Environment::default())
    }
}

/// Runs it once. `variables` are what a command finds in its environment beside PATH and what the
/// configuration adds; a request has no use for them.
///
/// # Errors
/// Why it did not go well.
pub async fn run(
    hook: &Hook,
    surroundings: &Surroundings,
    variables: &BTreeMap<String, String>,
) -> Result<Done, Failure> {
    let tried = async {
        match &hook.kind {
            HookKind::Command { command, environment } => {
                let call = command::Call { command, environment, variables, timeout: hook.timeout };
                command::run(call, surroundings).await
            }
            HookKind::Http(http) => request::send(http, hook.timeout).await,
        }
    };
    match &hook.kind {
        // It has its limit, and is killed at it.
        HookKind::Command { .. } => tried.await,
        HookKind::Http(_) => {
            let within = surroundings.clock.within(hook.timeout, tried).await;
            within.unwrap_or(Err(Failure::TimedOut(hook.timeout)))
        }
    }
}

/// What it is called in a log: the program's path, or where the request goes. Neither arguments nor paths
/// of a URL: either may hold a credential.
pub fn label(kind: &HookKind) -> String {
    match kind {
        HookKind::Command { command, .. } => {
            format!("command {}", command.first().map_or("", String::as_str))
        }
        HookKind::Http(http) => match &http.socket {
            Some(socket) => format!("http {} to unix:{}", http.method, socket.display()),
            None => {
                let authority = http.url.authority().map_or("", |authority| authority.as_str());
                format!("http {} to {authority}", http.method)
            }
        },
    }
}
