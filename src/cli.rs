//! The command line: arguments → one of the commands → exit code.
//!
//! Nothing here is more than a way in: a command reads what it needs of the configuration, calls
//! who does the work, and says how it went. What a person asked for goes to standard output;
//! everything else goes to standard error.

mod arguments;
mod ask;
mod check;
mod dev;
mod exit;
mod run;
mod termination;
mod version;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use leasehold_core::Environment;

use crate::app::Mode;
use crate::config::{self, Config};
use crate::process;
use arguments::{Arguments, Command};
pub use exit::Exit;
use termination::Termination;

/// The whole program. Called once, before any thread is started.
pub fn main() -> ExitCode {
    process::switch_backtraces_off();
    let environment = process::read_environment();
    let termination = Termination::new(&environment);
    process::hook_panics({
        let termination = termination.clone();
        move |line| termination.write(line)
    });
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error, &termination).into(),
    };
    command(arguments.command, environment, &termination).into()
}

/// `--help` and `--version` are answers, everything else is a mistake.
fn usage(error: &clap::Error, termination: &Termination) -> Exit {
    // Nothing can be done where nobody listens.
    let _ = error.print();
    if !error.use_stderr() {
        return Exit::Done;
    }
    if error.kind() == clap::error::ErrorKind::UnknownArgument && names_a_file(error) {
        let _ = writeln!(io::stderr().lock(), "  tip: name a configuration file with `-c FILE`");
    }
    // A pod whose arguments are wrong says so where a pod is looked at.
    if std::env::args_os().nth(1).is_some_and(|word| word == "run" || word == "init") {
        let text = error.to_string();
        termination.write(text.lines().next().unwrap_or_default());
    }
    Exit::Usage
}

fn names_a_file(error: &clap::Error) -> bool {
    use clap::error::{ContextKind, ContextValue};
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(word)) => word.ends_with(".yaml") || word.ends_with(".yml"),
        _ => false,
    }
}

fn command(command: Command, environment: Environment, termination: &Termination) -> Exit {
    match command {
        Command::Run { files } => run::run(Mode::Run, files.config, environment, termination),
        Command::Init { files } => run::run(Mode::Init, files.config, environment, termination),
        Command::Dev { files, ways } => dev::dev(files.config, ways, environment),
        Command::Check { files, online } => check::check(files.config, online, &environment),
        Command::Status { files, watch, json } => ask::status(files.config, &environment, watch, json),
        Command::Refresh { files, secrets } => ask::refresh(files.config, &environment, &secrets),
        Command::Probe { files, what, wait } => ask::probe(files.config, &environment, what, wait),
        Command::Ack { files, generation, name } => {
            ask::ack(files.config, &environment, generation, name.as_deref())
        }
        Command::Stale { files, secret } => ask::stale(files.config, &environment, &secret),
        Command::Version { verbose } => answer(&version::text(verbose)),
        Command::Schema => schema(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "leasehold", &mut script);
            answer(&String::from_utf8_lossy(&script))
        }
    }
}

fn schema() -> Exit {
    match serde_json::to_string_pretty(&config::schema()) {
        Ok(text) => answer(&text),
        Err(_) => fail(Exit::Internal, "the schema cannot be written"),
    }
}

/// The configuration of `given` or of the default places, or the report said.
fn load(given: Vec<PathBuf>, environment: &Environment) -> Result<Config, (Exit, String)> {
    Config::load(&config::locate(given, environment), environment).map_err(|report| {
        let line = report.first_line();
        (fail(Exit::Configuration, &report), line)
    })
}

/// Says what was asked for. A reader that has gone is no fault.
fn answer(text: &str) -> Exit {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| match text.ends_with('\n') {
        true => Ok(()),
        false => out.write_all(b"\n"),
    });
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            fail(Exit::Output, &format!("standard output cannot be written: {}", error.kind()))
        }
        _ => Exit::Done,
    }
}

/// Says why not, on standard error.
fn fail(exit: Exit, why: &(impl Display + ?Sized)) -> Exit {
    // Nothing can be done where nobody listens.
    let _ = writeln!(io::stderr().lock(), "leasehold: {why}");
    exit
}

#[cfg(test)]
mod tests;
