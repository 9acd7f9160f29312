//! The commands that talk to a running instance. They read only where it listens, and that
//! leniently: a broken file must not blind them.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use leasehold_core::Environment;

use super::arguments::What;
use super::{Exit, answer, fail};
use crate::client::{self, Client, ClientError, Probe};
use crate::clock::Clock;
use crate::notify_app::Acknowledged;
use crate::{config, process};

/// How often `status --watch` looks.
const PACE: Duration = Duration::from_secs(1);

pub(super) fn status(given: Vec<PathBuf>, environment: &Environment, watch: bool, json: bool) -> Exit {
    let form = if json { Form::Json } else { Form::Table };
    asking(given, environment, async |client, clock| {
        if !watch {
            return match client.status().await {
                Ok(report) => answer(&written(&report, form)),
                Err(error) => failed(&error),
            };
        }
        let clear = match form {
            Form::Table if io::stdout().is_terminal() => "\x1b[H\x1b[2J",
            _ => "",
        };
        loop {
            // It may come back: whoever watches a restart wants to see its end.
            let text = match client.status().await {
                Ok(report) => written(&report, form),
                Err(error @ (ClientError::NotRunning { .. } | ClientError::NoAnswer { .. })) => {
                    format!("{error}\n")
                }
                Err(error) => return failed(&error),
            };
            let mut out = io::stdout().lock();
            if out.write_all(clear.as_bytes()).and_then(|()| out.write_all(text.as_bytes())).is_err() {
                return Exit::Done;
            }
            let _ = out.flush();
            drop(out);
            clock.sleep(PACE).await;
        }
    })
}

pub(super) fn refresh(given: Vec<PathBuf>, environment: &Environment, secrets: &[String]) -> Exit {
    asking(given, environment, async |client, _| match client.refresh(secrets).await {
        Ok(words) => {
            let lines: String = words.iter().map(|(name, words)| format!("{name}: {words}\n")).collect();
            match (answer(&lines), words.values().any(|words| words.starts_with("failed"))) {
                (Exit::Done, true) => Exit::Unavailable,
                (exit, _) => exit,
            }
        }
        Err(error) => failed(&error),
    })
}

pub(super) fn probe(
    given: Vec<PathBuf>,
    environment: &Environment,
    what: What,
    wait: Option<Duration>,
) -> Exit {
    let probe = match what {
        What::Live => Probe::Live,
        What::Ready => Probe::Ready,
    };
    asking(given, environment, async |client, _| match client.probe(probe, wait).await {
        Ok(()) => Exit::Done,
        Err(error) => failed(&error),
    })
}

pub(super) fn ack(
    given: Vec<PathBuf>,
    environment: &Environment,
    generation: Option<u64>,
    name: Option<&str>,
) -> Exit {
    asking(given, environment, async |client, _| match client.ack(generation, name).await {
        Ok(Acknowledged { generation, missing }) if missing.is_empty() => {
            answer(&format!("generation {generation} is acknowledged"))
        }
        Ok(Acknowledged { generation, missing }) => {
            answer(&format!("noted for generation {generation}; waiting for {}", missing.join(", ")))
        }
        Err(error) => failed(&error),
    })
}

pub(super) fn stale(given: Vec<PathBuf>, environment: &Environment, secret: &str) -> Exit {
    asking(given, environment, async |client, _| match client.stale(secret).await {
        Ok(words) => answer(&words),
        Err(error) => failed(&error),
    })
}

#[derive(Clone, Copy)]
enum Form {
    Table,
    Json,
}

fn written(report: &crate::admin::Report, form: Form) -> String {
    let mut text = Vec::new();
    let outcome = match form {
        Form::Table => client::write_table(report, &mut text),
        Form::Json => client::write_json(report, &mut text),
    };
    debug_assert!(outcome.is_ok(), "memory takes everything");
    String::from_utf8_lossy(&text).into_owned()
}

/// Asks with a client of the instance that this configuration belongs to.
fn asking(
    given: Vec<PathBuf>,
    environment: &Environment,
    ask: impl AsyncFnOnce(Client, Clock) -> Exit,
) -> Exit {
    let paths = config::locate(given, environment);
    let found = config::endpoints(&paths, environment);
    let endpoints =
        client::Endpoints { admin: found.admin, telemetry: found.telemetry, ack: Some(found.acknowledge) };
    let runtime = match process::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(Exit::Internal, &format!("no runtime can be had: {}", error.kind())),
    };
    let clock = Clock::boot();
    runtime.block_on(ask(Client::new(endpoints, clock.clone()), clock))
}

fn failed(error: &ClientError) -> Exit {
    fail(Exit::from(error), error)
}
