//! The commands that talk to a running instance. They read only where it listens, and that
//! leniently: a broken file must not blind them. One that is named and is not there is a mistake.

use std::time::Duration;

use leasehold_core::Environment;

use super::arguments::{Drill, Instance, What};
use super::{Exit, answer, fail};
use crate::app::Successor;
use crate::client::{self, Client, ClientError, Form, Probe, Screen};
use crate::clock::Clock;
use crate::notify_app::Acknowledged;
use crate::{config, process};

pub(super) fn status(instance: Instance, environment: &Environment, watch: bool, json: bool) -> Exit {
    let form = if json { Form::Json } else { Form::Table };
    let screen = Screen::of(environment);
    asking(instance, environment, async |client, clock| {
        if watch {
            return match client::watch(&client, &clock, form, screen).await {
                Ok(()) => Exit::Done,
                Err(error) => failed(&error),
            };
        }
        let report = match client.status().await {
            Ok(report) => report,
            Err(error) => return failed(&error),
        };
        let mut text = Vec::new();
        let written = match form {
            Form::Table => client::write_table(&report, &screen.view(), &mut text),
            Form::Json => client::write_json(&report, &mut text),
        };
        debug_assert!(written.is_ok(), "memory takes everything");
        answer(&String::from_utf8_lossy(&text))
    })
}

pub(super) fn refresh(instance: Instance, environment: &Environment, secrets: &[String]) -> Exit {
    asking(instance, environment, async |client, _| match client.refresh(secrets).await {
        Ok(words) => {
            let lines: String = words.iter().map(|(name, words)| format!("{name}: {words}\n")).collect();
            match (answer(&lines), words.values().all(|words| client::is_done(words))) {
                (Exit::Done, false) => Exit::Unavailable,
                (exit, _) => exit,
            }
        }
        Err(error) => failed(&error),
    })
}

pub(super) fn hand_over(instance: Instance, environment: &Environment, successor: Successor) -> Exit {
    asking(instance, environment, async |client, _| match client.hand_over(successor).await {
        Ok(words) => answer(&words),
        Err(error) => failed(&error),
    })
}

pub(super) fn probe(
    instance: Instance,
    environment: &Environment,
    what: What,
    wait: Option<Duration>,
) -> Exit {
    let probe = match what {
        What::Live => Probe::Live,
        What::Ready => Probe::Ready,
    };
    asking(instance, environment, async |client, _| match client.probe(probe, wait).await {
        Ok(()) => Exit::Done,
        Err(error) => failed(&error),
    })
}

pub(super) fn ack(
    instance: Instance,
    environment: &Environment,
    generation: Option<u64>,
    name: Option<&str>,
) -> Exit {
    asking(instance, environment, async |client, _| match client.ack(generation, name).await {
        Ok(Acknowledged { generation, missing }) if missing.is_empty() => {
            answer(&format!("generation {generation} is acknowledged"))
        }
        Ok(Acknowledged { generation, missing }) => {
            answer(&format!("noted for generation {generation}; waiting for {}", missing.join(", ")))
        }
        Err(error) => failed(&error),
    })
}

pub(super) fn stale(instance: Instance, environment: &Environment, secret: &str) -> Exit {
    asking(instance, environment, async |client, _| match client.stale(secret).await {
        Ok(words) => answer(&words),
        Err(error) => failed(&error),
    })
}

pub(super) fn drill(
    instance: Instance,
    environment: &Environment,
    drill: &Drill,
    lasts: Option<Duration>,
) -> Exit {
    let (word, secret) = match drill {
        Drill::Outage { secret } => ("outage", Some(secret)),
        Drill::Deny { secret } => ("deny", Some(secret)),
        Drill::Rotate { secret } => ("rotate", Some(secret)),
        Drill::Expire { secret } => ("expire", Some(secret)),
        Drill::Stop => ("stop", None),
    };
    if lasts.is_some() && matches!(drill, Drill::Rotate { .. } | Drill::Stop) {
        let _ = fail(Exit::Done, &format!("note: `drill {word}` lasts no time, so `--for` changes nothing"));
    }
    asking(instance, environment, async |client, _| {
        match client.drill(word, secret.map(String::as_str), lasts).await {
            Ok(words) => match (answer(&words), client::is_done(&words)) {
                (Exit::Done, false) => Exit::Unavailable,
                (exit, _) => exit,
            },
            Err(error) => failed(&error),
        }
    })
}

/// Asks with a client of the instance that this configuration belongs to.
fn asking(
    instance: Instance,
    environment: &Environment,
    ask: impl AsyncFnOnce(Client, Clock) -> Exit,
) -> Exit {
    let endpoints = match instance.socket {
        Some(socket) => client::Endpoints::at(socket),
        None => {
            // Else another instance might be asked: the one at the default place.
            if let Err(report) = config::named_are_there(&instance.config, environment) {
                return fail(Exit::Configuration, &report);
            }
            let found = config::endpoints(&config::locate(instance.config, environment), environment);
            client::Endpoints { admin: found.admin, telemetry: found.telemetry, ack: Some(found.acknowledge) }
        }
    };
    let runtime = match process::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(Exit::Internal, &format!("no runtime can be had: {}", error.kind())),
    };
    let clock = Clock::boot();
    let exit = runtime.block_on(ask(Client::new(endpoints, clock.clone()), clock));
    // Not waiting for a thread that writes to a terminal which nobody reads.
    runtime.shutdown_background();
    exit
}

fn failed(error: &ClientError) -> Exit {
    fail(Exit::from(error), error)
}
