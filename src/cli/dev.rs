//! `dev`: the engine on made-up stores, in a directory for once.

use std::ffi::OsString;
use std::path::PathBuf;

use leasehold_core::Environment;

use super::Exit;
use super::arguments::Ways;

/// This build has nothing to make stores up with.
#[cfg(not(feature = "mock"))]
pub(super) fn dev(_: Vec<PathBuf>, _: Ways, _: Vec<OsString>, _: Environment) -> Exit {
    super::fail(Exit::Usage, "this build holds no mock: take one with the feature `mock`")
}

#[cfg(feature = "mock")]
pub(super) use with_mock::dev;

#[cfg(feature = "mock")]
mod with_mock {
    use std::sync::Arc;

    use super::{Environment, Exit, OsString, PathBuf, Ways};
    use crate::app::{App, CommandLine, Ended, Mode};
    use crate::cli::{exec, fail};
    use crate::clock::Clock;
    use crate::config::{self, Actions, Config, Development, Flags, Reading};
    use crate::dev::{Scratch, Teller, announce_weather};
    use crate::events::words::one_line;
    use crate::{logging, process, registry};

    pub(in crate::cli) fn dev(
        given: Vec<PathBuf>,
        ways: Ways,
        words: Vec<OsString>,
        environment: Environment,
    ) -> Exit {
        let began = Clock::boot().now();
        // Values may come from a file that somebody keeps to himself.
        let _ = process::harden();
        let scratch = match Scratch::new(&environment) {
            Ok(scratch) => scratch,
            Err(why) => return fail(Exit::Output, &why),
        };
        let stores = registry::Development { speed: ways.speed, values: ways.values.clone(), chaos: None };
        if let Err(why) = stores.for_nothing(&[]) {
            return fail(Exit::Configuration, &why);
        }
        let verbose = ways.verbose;
        let speed = ways.speed;
        let reading = reading(&scratch, ways);
        let files = config::locate(given, &environment);
        let config = match Config::load_for(&reading, &files, &Flags::default(), &environment) {
            Ok(config) => config,
            Err(report) => return fail(Exit::Configuration, &report),
        };
        if verbose {
            logging::start(config.log);
        }
        let clock = speed.map_or_else(Clock::boot, Clock::hurried);
        let teller = Arc::new(Teller::new(&config, began, clock.clone()));
        introduce(&teller, &scratch, &config);
        live(config, words, environment, clock, &teller)
    }

    /// What the files are read for.
    fn reading(scratch: &Scratch, ways: Ways) -> Reading {
        Reading::Development(Box::new(Development {
            root: scratch.path().to_owned(),
            stores: registry::Development { speed: ways.speed, values: ways.values, chaos: ways.chaos },
            actions: if ways.actions { Actions::Run } else { Actions::Name },
            left_out: Vec::new(),
            notes: Vec::new(),
        }))
    }

    /// Where everything is, and what is not as in production.
    fn introduce(teller: &Teller, scratch: &Scratch, config: &Config) {
        teller.note(&format!("LEASEHOLD_DIR={}", config.output.directory.display()));
        let notes = match &config.reading {
            Reading::Development(development) => development.notes.as_slice(),
            Reading::Production => &[],
        };
        scratch.notes().iter().chain(notes).for_each(|note| teller.note(note));
        if let Some(socket) = &config.admin.listen {
            teller.note(&format!("look inside with: leasehold status --socket {}", socket.display()));
        }
    }

    /// The engine, until it is told to end.
    fn live(
        config: Config,
        words: Vec<OsString>,
        environment: Environment,
        clock: Clock,
        teller: &Arc<Teller>,
    ) -> Exit {
        let runtime = match process::runtime() {
            Ok(runtime) => runtime,
            Err(error) => return fail(Exit::Internal, &format!("no runtime can be had: {}", error.kind())),
        };
        let environment = Arc::new(environment);
        let app = match words.is_empty() {
            true => App::new(config.clone(), environment, Mode::Run),
            false => {
                let inherited = process::inherited_by_the_command();
                let withheld = exec::withheld(&environment, &inherited);
                if !withheld.is_empty() {
                    teller.note(&format!(
                        "the command does not get what is secret, or looks like it: {}. What it needs of that \
                         belongs under `secrets` and `env`",
                        withheld.join(", ")
                    ));
                }
                App::exec(config.clone(), environment, CommandLine { words, inherited })
            }
        };
        let app = app.with_clock(clock.clone()).heard_by(Arc::<Teller>::clone(teller));
        let outcome = runtime.block_on(async {
            tokio::select! {
                outcome = app.run() => outcome,
                never = announce_weather(&config, &clock, teller) => match never {},
            }
        });
        match outcome {
            Ok(Ended::Done) => Exit::Done,
            Ok(Ended::Code(code)) => Exit::Command(code),
            Err(failure) => fail(Exit::from(&failure), &one_line(&failure.to_string())),
        }
    }
}
