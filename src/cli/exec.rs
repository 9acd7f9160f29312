//! `exec`: as `run`, with a command in front of it that is given our place.

use std::ffi::OsString;

use leasehold_core::Environment;

use super::termination::Termination;
use super::{Exit, Sources, run};
use crate::app::{App, CommandLine};
use crate::{logging, process};

pub(super) fn exec(
    given: Sources,
    words: Vec<OsString>,
    environment: Environment,
    termination: &Termination,
) -> Exit {
    let exit = run::ended(
        run::prepare(given, &environment).and_then(|config| {
            // After the secrets in our environment were taken away.
            let inherited = process::inherited_by_the_command();
            let withheld = withheld(&environment, &inherited);
            if !withheld.is_empty() {
                tracing::info!(
                    target: "leasehold",
                    "not passed on to the command, since they are secrets, or look like it: {}",
                    withheld.join(", ")
                );
            }
            run::engine(environment, |environment| {
                App::exec(config, environment, CommandLine { words, inherited })
            })
        }),
        termination,
    );
    // A command that could not be awaited has the terminal still.
    logging::catch_up();
    exit
}

/// The variables that look as if the command could have wanted them, and that it does not get.
pub(super) fn withheld(environment: &Environment, inherited: &[(OsString, OsString)]) -> Vec<String> {
    environment
        .names()
        .filter(|name| !inherited.iter().any(|(inherited, _)| inherited == *name))
        .filter(|name| !process::is_ours(name))
        .map(str::to_owned)
        .collect()
}
