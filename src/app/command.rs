//! The command that `exec` runs, as the house sees it: it gets our signals, and its end is ours.
//!
//! The first SIGTERM is passed on, and we go on renewing until the command has ended. The second one kills
//! it, the third ends us at once (and the kernel the command with us).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::Failed;

use super::end::Signalled;
use super::{Ended, Failure, HandedOver, House, Mode, Told};
use crate::config::Config;
use crate::config::model::{ExecChange, OnCrash};
use crate::events::Event;
use crate::keeper::{EndMode, Order as ToKeeper};
use crate::process::{Foreground, Programs};
use crate::publisher::{self, Child, Line};
use crate::render::{Paths, Variables};
use crate::schedule::{Lead, Splay};
use crate::supervisor::{self, End, Handle, Order};

/// A command, and our part of its environment.
#[derive(Clone, Debug)]
pub struct CommandLine {
    /// The program and its arguments.
    pub words: Vec<OsString>,
    /// What it inherits of our environment.
    pub inherited: Vec<(OsString, OsString)>,
}

/// The command of a house.
pub(super) struct Commanded {
    pub(super) handle: Handle,
    /// What it is called.
    pub(super) name: String,
    /// Whether a person sits at a terminal in front of it.
    pub(super) at_a_terminal: bool,
}

/// A command that can be started once there is a set.
pub(super) struct Prepared {
    pub(super) foreground: Foreground,
    pub(super) name: String,
    pub(super) child: Child,
    pub(super) line: Line,
}

/// Before anything is fetched: what can be seen to be wrong with it is said.
pub(super) fn prepare(
    line: CommandLine,
    config: &mut Config,
    programs: &Arc<Programs>,
) -> Result<Prepared, Failure> {
    let CommandLine { words, mut inherited } = line;
    let name = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    if !config.files.is_empty() {
        inherited.push(("LEASEHOLD_DIR".into(), config.output.directory.clone().into()));
    }
    let foreground = programs.foreground(words, inherited);
    crate::logging::yield_to(foreground.screen());
    // A PATH of its own is known only once it is rendered.
    if !config.env.contains_key("PATH") {
        foreground.look().map_err(|failed| not_started(&name, failed))?;
    }
    let variables = Variables::new(&config.env, &Paths::new(&config.files, &config.output))
        .map_err(|errors| Failure::Render(publisher::all_words(&errors)))?;
    if foreground.is_at_a_terminal() {
        // In front of a person there are no replicas.
        config.exec.splay = config.exec.splay.or(Some(Duration::ZERO));
    }
    let change = config.exec.on_change;
    let (child, line) = match change {
        Some(ExecChange::Restart) => Child::restarted(variables),
        _ => Child::new(variables),
    };
    // A changed configuration comes to all replicas at once, as a loss in the store does.
    let child = child.with_plans_spread(config.exec.splay.unwrap_or(config.lifecycle.heal_splay));
    Ok(Prepared { foreground, name, child, line })
}

fn not_started(name: &str, failed: Failed) -> Failure {
    Failure::Command { name: name.to_owned(), failed }
}

/// How much earlier a secret's rotation is due, since a restart comes before its successor is in use.
pub(super) fn lead(config: &Config, mode: Mode) -> impl Fn(Option<&str>) -> Lead {
    let exec = &config.exec;
    let full = Lead {
        fixed: exec.drain + exec.grace,
        splay: exec.splay.map_or(Splay::Auto, Splay::Fixed),
        ..Lead::default()
    };
    let settle: BTreeMap<String, Duration> =
        config.secrets.iter().map(|(name, secret)| (name.clone(), secret.settle)).collect();
    // The templates were compiled when the house was built, or by whoever took over the new plan.
    let used = Variables::new(&config.env, &Paths::new(&config.files, &config.output))
        .map(|variables| variables.uses().clone())
        .unwrap_or_default();
    let change = exec.on_change;
    move |secret| {
        let restarts = match (mode, change) {
            (Mode::Run | Mode::Init, _) | (_, Some(ExecChange::Signal | ExecChange::None)) => false,
            (Mode::Exec, Some(ExecChange::Restart)) => true,
            // A session may have any of them.
            (Mode::Exec, None) => secret.map_or(!used.is_empty(), |secret| used.contains(secret)),
        };
        let lead = if restarts { full } else { Lead::default() };
        let settle = secret.and_then(|secret| settle.get(secret).copied()).unwrap_or_default();
        Lead { settle, ..lead }
    }
}

impl House {
    /// A signal that came while the house lives. The ending, where there is no command to hear it.
    pub(super) fn pass(&self, told: &Told) -> Option<super::Ending> {
        match (&self.command, told) {
            (Some(command), Told::Pass(signal)) if command.handle.runs() => {
                command.handle.tell(Order::Pass(*signal));
                None
            }
            (Some(command), Told::Continued) => {
                command.handle.tell(Order::Continued);
                None
            }
            _ => told.ending(),
        }
    }

    /// SIGTERM came: it is passed on, and everything goes on until the command has ended.
    pub(super) async fn wait_for_the_command(&mut self, signals: &mut Signalled) {
        let Some(command) = &self.command else { return };
        command.handle.tell(Order::Terminate);
        if command.handle.runs() {
            self.events.emit(&Event::Ending { waiting_for: "the end of the command" });
            self.manager.ending("told to end; waiting for the end of the command", None).await;
            self.board.write(|board| board.ending = true);
            self.keep_until_the_end().await;
        }
        self.see_it_end(signals, true).await;
    }

    /// Everything held is kept for as long as the command takes to end.
    async fn keep_until_the_end(&self) {
        for keeper in self.keepers.values() {
            // A keeper that is gone has nothing to wait for.
            let _ = keeper.send(ToKeeper::Wait { until: None }).await;
        }
    }

    /// Something else ends us: the command goes first.
    pub(super) async fn stop_the_command(&mut self, signals: &mut Signalled) {
        let Some(command) = &self.command else { return };
        command.handle.tell(Order::Stop);
        self.see_it_end(signals, false).await;
    }

    /// Goes on serving until the command has ended, or the third signal has come. `told`: by a signal, so that
    /// it ends in its own time.
    async fn see_it_end(&mut self, signals: &mut Signalled, told: bool) {
        let Some(mut handle) = self.command.as_ref().map(|command| command.handle.clone()) else { return };
        while handle.end().is_none() {
            tokio::select! {
                biased;
                signal = self.signals.next() => match signal {
                    Told::End(_) => {
                        signals.count();
                        if signals.are_enough() {
                            return;
                        }
                        if signals.are_more_than_one() {
                            handle.tell(Order::Kill);
                        } else {
                            handle.tell(Order::Terminate);
                        }
                    }
                    Told::Pass(signal) => handle.tell(Order::Pass(signal)),
                    Told::Continued => handle.tell(Order::Continued),
                    Told::Reload => {}
                },
                () = handle.changed() => {}
                // Expired in the wait: the end has come anyway, and is not hurried for it.
                Some(_) = self.fatal.recv(), if told => self.keep_until_the_end().await,
                Some(command) = self.commands.recv() => self.obey(command).await,
                Some(provider) = self.provider_files.recv() => self.look_again(&provider).await,
            }
        }
    }

    /// What is taken back when the command has ended by itself.
    pub(super) fn mode_after(&self, end: &End) -> EndMode {
        let kept = self.config.exec.on_crash == OnCrash::Keep
            && self.handed_over == HandedOver::Yes
            // Nobody starts again what a person has run.
            && !self.command.as_ref().is_some_and(|command| command.at_a_terminal);
        match end {
            end if end.is_crash() && kept => EndMode::Leave,
            _ if self.config.lifecycle.revoke_on_shutdown => EndMode::Revoke,
            _ => EndMode::Leave,
        }
    }

    pub(super) fn say_how_it_ended(&self, end: &End, mode: EndMode) {
        if let End::Ended { status, .. } = end {
            let held = match mode {
                EndMode::Leave if end.is_crash() => {
                    "what is held is left to the next start (exec.on_crash: keep)"
                }
                EndMode::Leave => "what is held is left to the next start",
                EndMode::Revoke | EndMode::Unpublished => "what is held is taken back",
            };
            self.events.emit(&Event::CommandEnded { how: &supervisor::words(*status), held });
        }
    }

    /// What the process ends with, by how the command did.
    pub(super) fn code_of(&self, end: Option<End>) -> Result<Option<Ended>, Failure> {
        match (end, &self.command) {
            (Some(End::NotStarted(failed)), Some(command)) => Err(not_started(&command.name, failed)),
            (Some(end), _) => Ok(end.code().map(Ended::Code)),
            _ => Ok(None),
        }
    }
}

/// Returns how the command ended, once it has.
pub(super) async fn next_stage(handle: &mut Option<Handle>) {
    match handle {
        Some(handle) => handle.changed().await,
        None => std::future::pending().await,
    }
}
