//! `run` and `init`: the process is made hard to look into, the configuration is read, the log
//! starts, and the engine takes over.

use std::sync::Arc;

use leasehold_core::Environment;

use super::termination::Termination;
use super::{Exit, Sources, fail, load};
use crate::app::{App, Ended, Failure, Mode};
use crate::config::Config;
use crate::events::words::one_line;
use crate::{config, logging, process, systemd};

pub(super) fn run(mode: Mode, given: Sources, environment: Environment, termination: &Termination) -> Exit {
    let outcome = prepare(given, &environment)
        .and_then(|config| engine(environment, |environment| App::new(config, environment, mode)));
    ended(outcome, termination)
}

/// What the process ends with.
pub(super) fn ended(outcome: Result<Ended, (Exit, String)>, termination: &Termination) -> Exit {
    match outcome {
        Ok(Ended::Done) => Exit::Done,
        Ok(Ended::Code(code)) => Exit::Command(code),
        Err((exit, line)) => {
            termination.write(&line);
            exit
        }
    }
}

/// Everything that has to happen before a thread is started. What is wrong has been said; the
/// error is the exit code and the one line for the termination message.
pub(super) fn prepare(given: Sources, environment: &Environment) -> Result<Config, (Exit, String)> {
    let unhardened = process::harden().err();
    let config = load(given, environment)?;
    logging::start(config.log);
    if let Some(error) = unhardened {
        tracing::warn!(target: "leasehold", "the process could not be hardened: {}", error.kind());
    }
    let secret = config::secret_variables(&config.sources);
    let mut secret: Vec<&str> = secret.iter().map(String::as_str).collect();
    // No secret, but no child's business either.
    secret.push(systemd::VARIABLE);
    match process::scrub_environment(&secret) {
        Ok(names) if names.is_empty() => {}
        Ok(names) => tracing::debug!(
            target: "leasehold",
            "overwritten in our environment, so that nobody else reads them there: {}",
            names.join(", ")
        ),
        Err(error) => tracing::warn!(
            target: "leasehold",
            "the secrets in our environment could not be overwritten: {}",
            error.kind()
        ),
    }
    Ok(config)
}

/// The engine, on a runtime of its own, until it ends.
pub(super) fn engine(
    environment: Environment,
    app: impl FnOnce(Arc<Environment>) -> App,
) -> Result<Ended, (Exit, String)> {
    let runtime = process::runtime().map_err(|error| {
        let line = format!("cannot start the runtime: {error}");
        (fail(Exit::Internal, &line), line)
    })?;
    let app = app(Arc::new(environment));
    runtime.block_on(app.run()).map_err(|failure| {
        let (exit, line) = (Exit::from(&failure), one_line(&failure.to_string()));
        // The last line of the log, in the log's own format.
        let kind = match &failure {
            Failure::Store(error) => Some(error.kind.as_str()),
            _ => None,
        };
        tracing::error!(target: "leasehold", event = "failed", kind, exit_code = exit.code(), "{line}");
        (exit, line)
    })
}
