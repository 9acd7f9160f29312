//! The command line: arguments → one of the commands → exit code.
//!
//! Nothing here is more than a way in: a command reads what it needs of the configuration, calls
//! who does the work, and says how it went. What a person asked for goes to standard output;
//! everything else goes to standard error.

mod arguments;
mod ask;
mod check;
mod dev;
mod exec;
mod exit;
#[cfg(feature = "explain")]
mod explain;
mod notes;
mod run;
mod termination;
mod version;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[cfg(feature = "completions")]
use clap::CommandFactory as _;
use clap::Parser as _;
use leasehold_core::Environment;

use crate::app::{Mode, Successor};
use crate::config::flags::Form;
use crate::config::{self, Config, Flags};
use crate::{install, process};
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
    let command = std::env::args_os().nth(1).unwrap_or_default();
    let command = command.to_string_lossy();
    if let Some(tip) = tip(error, &command) {
        let _ = writeln!(io::stderr().lock(), "  tip: {tip}");
    }
    // A pod whose arguments are wrong says so where a pod is looked at.
    if ["run", "init", "exec"].contains(&&*command) {
        let text = error.to_string();
        termination.write(text.lines().next().unwrap_or_default());
    }
    Exit::Usage
}

/// What was probably meant by a word that is no argument of a command.
fn tip(error: &clap::Error, command: &str) -> Option<String> {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return None };
    if error.kind() != ErrorKind::UnknownArgument || word.starts_with('-') {
        return None;
    }
    if word.ends_with(".yaml") || word.ends_with(".yml") {
        return Some("name a configuration file with `-c FILE`".to_owned());
    }
    let runs = command == "exec" || command == "dev";
    runs.then(|| format!("the command to run stands after `--`: leasehold {command} … -- {word} …"))
}

fn command(command: Command, environment: Environment, termination: &Termination) -> Exit {
    match command {
        Command::Run { files, inline } if inline.print_config => print(files.config, inline.flags(Form::Pod)),
        Command::Init { files, inline } if inline.print_config => {
            print(files.config, inline.flags(Form::Pod))
        }
        Command::Dev { files, ways, command } => dev::dev(files.config, ways, command, environment),
        Command::Check { files, inline, .. } if inline.print_config => {
            print(files.config, inline.flags(Form::Pod))
        }
        Command::Run { inline, .. } | Command::Init { inline, .. } if !inline.env.is_empty() => {
            let why = "`--env` is for `exec`, which starts a command: this one starts none, and writes what \
                       `--file NAME=TEMPLATE` asks for";
            termination.write(why);
            fail(Exit::Usage, why)
        }
        Command::Run { files, inline } => {
            let sources = Sources { files: files.config, flags: inline.flags(Form::Pod) };
            run::run(Mode::Run, sources, environment, termination)
        }
        Command::Init { files, inline } => {
            let sources = Sources { files: files.config, flags: inline.flags(Form::Pod) };
            run::run(Mode::Init, sources, environment, termination)
        }
        Command::Exec { files, inline, .. } if inline.print_config => {
            print(files.config, inline.flags(Form::Command))
        }
        Command::Exec { files, inline, command } => {
            let sources = Sources { files: files.config, flags: inline.flags(Form::Command) };
            exec::exec(sources, command, environment, termination)
        }
        Command::Check { files, inline, online } => {
            let sources = Sources { files: files.config, flags: inline.flags(Form::Pod) };
            check::check(sources, online, &environment)
        }
        #[cfg(feature = "explain")]
        Command::Explain { files, inline, .. } if inline.print_config => {
            print(files.config, inline.flags(Form::Pod))
        }
        #[cfg(feature = "explain")]
        Command::Explain { files, inline, assumed } => {
            let sources = Sources { files: files.config, flags: inline.flags(Form::Pod) };
            explain::run(sources, assumed, &environment)
        }
        #[cfg(not(feature = "explain"))]
        Command::Explain(_) => left_out("explain"),
        Command::Status { instance, watch, json } => ask::status(instance, &environment, watch, json),
        Command::Refresh { instance, secrets } => ask::refresh(instance, &environment, &secrets),
        Command::Probe { instance, what, wait } => ask::probe(instance, &environment, what, wait),
        Command::Ack { instance, generation, name } => {
            ask::ack(instance, &environment, generation, name.as_deref())
        }
        Command::Stale { instance, secret } => ask::stale(instance, &environment, &secret),
        Command::Drill { instance, lasts, drill } => ask::drill(instance, &environment, &drill, lasts),
        Command::Handover { instance, cancel } => {
            let successor = if cancel { Successor::Nobody } else { Successor::Expected };
            ask::hand_over(instance, &environment, successor)
        }
        Command::Install { directory } => install(&directory, termination),
        Command::Version { verbose } => answer(&version::text(verbose)),
        Command::Schema => schema(),
        #[cfg(not(feature = "completions"))]
        Command::Completions(_) => left_out("completions"),
        #[cfg(feature = "completions")]
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "leasehold", &mut script);
            answer(&String::from_utf8_lossy(&script))
        }
    }
}

/// A command that this build does not have.
#[cfg(not(all(feature = "completions", feature = "explain")))]
fn left_out(command: &str) -> Exit {
    let why =
        format!("this build has no `{command}`: take one with the feature of that name, such as the default");
    fail(Exit::Usage, &why)
}

/// The file that these flags stand for.
fn print(files: Vec<PathBuf>, flags: Flags) -> Exit {
    match config::printed(&files, &flags) {
        Ok(text) => answer(&text),
        Err(report) => fail(Exit::Configuration, &report),
    }
}

/// The path of the copy, also where it was there already.
fn install(directory: &Path, termination: &Termination) -> Exit {
    match install::install(directory) {
        Ok(installed) => answer(&installed.path.display().to_string()),
        Err(why) => {
            // It runs in an init container.
            termination.write(&why);
            fail(Exit::Output, &why)
        }
    }
}

fn schema() -> Exit {
    match serde_json::to_string_pretty(&config::schema()) {
        Ok(text) => answer(&text),
        Err(_) => fail(Exit::Internal, "the schema cannot be written"),
    }
}

/// Where the configuration comes from.
struct Sources {
    files: Vec<PathBuf>,
    flags: Flags,
}

/// The configuration of the files and flags that are given, or of the default places where neither
/// can stand alone; or the report said.
fn load(given: Sources, environment: &Environment) -> Result<Config, (Exit, String)> {
    let Sources { files, flags } = given;
    let files = if flags.stand_alone() { files } else { config::locate(files, environment) };
    Config::load_with(&files, &flags, environment).map_err(|report| {
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
