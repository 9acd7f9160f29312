//! From a configuration to a running house: it builds the tasks, owns them, and ends them.
//!
//! The start goes from what cannot fail later to what may: locks and hand-over first, then the
//! volume, then the keepers log in, all at once. Until a whole generation exists a permanent
//! error ends the process and `startup_deadline` bounds the passing ones; after it no answer of a
//! store does.

mod build;
mod command;
mod end;
mod failure;
mod refresh;
mod reload;
mod signals;
mod successor;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::Environment;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::Command;
use crate::clock::{Clock, Moment};
use crate::config::Config;
use crate::drill::Drills;
use crate::events::{Event, Events, Listener};
use crate::handover::{Entry, Handover};
use crate::keeper::{EndMode, Fatal, Order};
use crate::notify_app::Announcements;
use crate::publisher::{NoSet, ToPublisher};
use crate::status::Board;
use crate::supervisor::{End, Handle};
use crate::systemd::ServiceManager;
#[cfg(feature = "explain")]
pub(crate) use build::charges;
pub use command::CommandLine;
use command::Commanded;
pub use failure::Failure;
use signals::{Ending, Signals, Told};
pub use successor::Successor;

/// How the process works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Until it is told to end.
    Run,
    /// One generation, then everything is left to a successor.
    Init,
    /// For as long as a command runs.
    Exec,
}

/// How a process ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All went well.
    Done,
    /// As the command did: its code, or 128+N where signal N ended it.
    Code(u8),
}

/// What is to be run.
pub struct App {
    config: Config,
    environment: Arc<Environment>,
    clock: Clock,
    mode: Mode,
    command: Option<CommandLine>,
    listener: Option<Arc<dyn Listener>>,
}

impl App {
    /// An application on the machine's clock.
    pub fn new(config: Config, environment: Arc<Environment>, mode: Mode) -> Self {
        Self { config, environment, clock: Clock::boot(), mode, command: None, listener: None }
    }

    /// One that runs a command.
    pub fn exec(config: Config, environment: Arc<Environment>, command: CommandLine) -> Self {
        Self { command: Some(command), ..Self::new(config, environment, Mode::Exec) }
    }

    /// The same on another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The same, and every fact is told to somebody else as well.
    #[must_use]
    pub fn heard_by(mut self, listener: Arc<dyn Listener>) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Runs until it is told to end, or fails.
    pub async fn run(self) -> Result<Ended, Failure> {
        let signals = Signals::new(self.mode)
            .map_err(|error| Failure::Internal(format!("cannot wait for signals: {error}")))?;
        let manager = match self.mode {
            Mode::Run | Mode::Exec => ServiceManager::of(&self.environment, self.clock.clone()),
            // Its exit says it all.
            Mode::Init => ServiceManager::none(),
        };
        let outcome = self.live(signals, &manager).await;
        if let Err(failure) = &outcome {
            manager.failed(&failure.to_string()).await;
        }
        outcome
    }

    async fn live(self, signals: Signals, manager: &ServiceManager) -> Result<Ended, Failure> {
        let (mode, lifecycle) = (self.mode, &self.config.lifecycle);
        let patience = lifecycle.startup_deadline;
        let status = format!("waiting for the first set of secrets, for at most {}", length(patience));
        manager.starting(&status, patience + end::bound(lifecycle)).await;
        let mut house = match build::house(self, signals, manager.clone()).await {
            // Told to end while it waited for another process's end: nothing was begun.
            Err(Failure::Interrupted) if mode == Mode::Run => return Ok(Ended::Done),
            Err(Failure::Interrupted) if mode == Mode::Exec => {
                return Ok(Ended::Code(Ending::Terminate.code()));
            }
            house => house?,
        };
        let outcome = house.live().await;
        house.close(outcome).await
    }
}

/// Everything that runs, and what holds it together.
struct House {
    config: Config,
    environment: Arc<Environment>,
    mode: Mode,
    clock: Clock,
    events: Events,
    board: Board,
    announcements: Announcements,
    handover: Handover,
    /// By provider.
    keepers: BTreeMap<String, mpsc::Sender<Order>>,
    /// Which provider keeps a secret.
    kept_by: BTreeMap<String, String>,
    publisher: mpsc::UnboundedSender<ToPublisher>,
    /// Under `exec`.
    command: Option<Commanded>,
    ready: watch::Receiver<bool>,
    fatal: mpsc::UnboundedReceiver<Fatal>,
    no_set: mpsc::UnboundedReceiver<NoSet>,
    commands: mpsc::Receiver<Command>,
    /// Files of providers that changed.
    provider_files: mpsc::UnboundedReceiver<String>,
    /// The configuration's files changed.
    config_files: mpsc::UnboundedReceiver<()>,
    watched_files: watch::Sender<Vec<PathBuf>>,
    signals: Signals,
    manager: ServiceManager,
    started: Moment,
    /// Keepers; they end when told.
    keeping: JoinSet<()>,
    /// Everything else; it ends when cancelled.
    serving: JoinSet<()>,
    cancel: CancellationToken,
    handed_over: HandedOver,
    /// Why there is no hand-over, where there is none.
    no_handover: Option<String>,
    successor: Successor,
    drills: Option<Drills>,
    /// A changed configuration that is being taken over.
    reloading: Option<reload::Reloading>,
}

/// Whether a successor can take over what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HandedOver {
    Yes,
    No,
}

/// Why the house stops living.
enum Outcome {
    /// `init` has its generation.
    Done,
    /// A signal.
    Told(Ending),
    /// `lifecycle.application` has ended, and our end follows.
    ApplicationEnded,
    /// The command has ended, and our end follows.
    CommandEnded(End),
    Failed(Failure),
}

impl House {
    /// Lives until something ends it.
    async fn live(&mut self) -> Outcome {
        let deadline = self.started + self.config.lifecycle.startup_deadline;
        let mut ready = self.ready.clone();
        let mut command = self.command.as_ref().map(|command| command.handle.clone());
        let clock = self.clock.clone();
        let application = self.application_ended();
        tokio::pin!(application);
        loop {
            let is_ready = *ready.borrow();
            if is_ready && self.mode == Mode::Init {
                return Outcome::Done;
            }
            if let Some(end) = command.as_ref().and_then(Handle::end) {
                return Outcome::CommandEnded(end);
            }
            // With a command it is ready once that runs.
            if is_ready && command.as_ref().is_none_or(Handle::runs) {
                self.manager.ready(|| self.standing()).await;
            }
            tokio::select! {
                biased;
                told = self.signals.next() => match told {
                    Told::End(ending) => return Outcome::Told(ending),
                    Told::Reload => self.reload(reload::Cause::Signal).await,
                    told => if let Some(ending) = self.pass(&told) {
                        return Outcome::Told(ending);
                    },
                },
                () = command::next_stage(&mut command) => {}
                Some(fatal) = self.fatal.recv() => return Outcome::Failed(fatal.into()),
                Some(no_set) = self.no_set.recv() => return Outcome::Failed(no_set.into()),
                Some(joined) = self.keeping.join_next(), if !self.keeping.is_empty() => {
                    return Outcome::Failed(Failure::Internal(format!("a keeper ended by itself: {}", ended(joined))));
                }
                Some(Err(error)) = self.serving.join_next(), if !self.serving.is_empty() => {
                    return Outcome::Failed(Failure::Internal(format!("a task ended by itself: {}", ended(Err(error)))));
                }
                Ok(()) = ready.changed() => {}
                () = &mut application => return Outcome::ApplicationEnded,
                Some(command) = self.commands.recv() => self.obey(command).await,
                Some(provider) = self.provider_files.recv() => self.look_again(&provider).await,
                Some(()) = self.config_files.recv() => self.reload(reload::Cause::File).await,
                decided = reload::decided(&mut self.reloading) => {
                    self.finish_reload(decided).await;
                    application.set(self.application_ended());
                }
                () = clock.sleep_until(deadline), if !is_ready => return Outcome::Failed(self.too_late()),
            }
        }
    }

    /// How things stand, once the first set is in place. Nothing that another rotation changes.
    fn standing(&self) -> String {
        let waiting = self.board.snapshot().needs_restart;
        match waiting.is_empty() {
            true => "the set is in place; `leasehold status` says what is held and until when".to_owned(),
            false => format!("the set is in place; what waits for a restart: {}", waiting.join(", ")),
        }
    }

    /// Returns when `lifecycle.application` has come and gone.
    fn application_ended(&self) -> impl Future<Output = ()> + use<> {
        let application = self.config.lifecycle.application.clone().filter(|_| self.mode == Mode::Run);
        let clock = self.clock.clone();
        async move {
            match application {
                Some(name) => crate::process::watch_exit(&name, &clock).await,
                None => std::future::pending().await,
            }
        }
    }

    /// What is still missing when the start took too long.
    fn too_late(&self) -> Failure {
        let snapshot = self.board.snapshot();
        let mut missing: Vec<String> = Vec::new();
        for (name, secret) in &snapshot.secrets {
            let waits = snapshot.providers.get(&secret.provider).and_then(|provider| provider.error.as_ref());
            if secret.held {
                continue;
            }
            match secret.error.as_ref().or(waits) {
                Some(error) if !missing.contains(&error.text) => missing.push(error.text.clone()),
                Some(_) => {}
                None => missing
                    .push(format!("secret \"{name}\" of provider \"{}\" did not come", secret.provider)),
            }
        }
        missing.extend(snapshot.refused);
        missing.extend(snapshot.verify.map(|verify| match verify.outcome {
            "refused" => {
                format!("verify refused the set {} times, at last with: {}", verify.tries, verify.said)
            }
            _ => format!("verify could not tell whether the set is good: {}", verify.said),
        }));
        if missing.is_empty() {
            missing.push("no provider answered".to_owned());
        }
        Failure::Deadline { after: self.config.lifecycle.startup_deadline, missing: missing.join("; ") }
    }

    /// A request of an operator or of the application.
    async fn obey(&mut self, command: Command) {
        match command {
            Command::Refresh { secrets, reply } => {
                let names: Vec<String> = match secrets.is_empty() {
                    true => self.kept_by.keys().cloned().collect(),
                    false => secrets,
                };
                self.refresh(names, reply).await;
            }
            Command::Ack { reply, .. } if self.config.files.is_empty() => {
                let why = "`files` is empty: there is nothing to acknowledge, and nothing waits for it";
                // Whoever asked may have gone.
                let _ = reply.send(Err(why.to_owned()));
            }
            Command::Ack { generation, name, reply } => {
                let result = self.announcements.acknowledge(generation, name.as_deref());
                if result.is_ok() {
                    self.record_standing();
                }
                // Whoever asked may have gone.
                let _ = reply.send(result.map_err(|refused| refused.to_string()));
            }
            Command::Handover { successor, reply } => {
                // Whoever asked may have gone; it holds all the same.
                let _ = reply.send(self.expect(successor));
            }
            Command::Stale { secret, reply } => {
                let Some(keeper) = self.keeper_of(&secret) else {
                    let _ = reply.send(Err(format!("there is no secret \"{secret}\"")));
                    return;
                };
                let (answer, word) = tokio::sync::oneshot::channel();
                if keeper.send(Order::Stale { secret, reply: answer }).await.is_ok() {
                    self.serving.spawn(async move {
                        let _ = reply.send(word.await.map_err(|_| "the process is ending".to_owned()));
                    });
                }
            }
        }
    }

    /// The next process is to know it before whoever said it is answered.
    fn record_standing(&self) {
        let standing = self.announcements.standing().borrow().clone();
        let Some(entry) = Entry::announced(&standing, self.clock.now()) else { return };
        if let Err(error) = self.handover.put(&entry) {
            self.events.emit(&Event::Warning { text: &error.to_string() });
        }
    }

    fn keeper_of(&self, secret: &str) -> Option<mpsc::Sender<Order>> {
        self.keepers.get(self.kept_by.get(secret)?).cloned()
    }

    async fn look_again(&self, provider: &str) {
        if let Some(keeper) = self.keepers.get(provider) {
            // A keeper that is gone has ended the house already.
            let _ = keeper.send(Order::LookAgain).await;
        }
    }
}

/// A task's end, without the payload of a panic, which may hold anything.
fn ended(joined: Result<(), tokio::task::JoinError>) -> &'static str {
    match joined {
        Ok(()) => "it returned",
        Err(error) if error.is_panic() => "it panicked; please report it",
        Err(_) => "it was cancelled",
    }
}

/// A length as people write it.
pub(crate) fn length(length: Duration) -> String {
    humantime::format_duration(Duration::from_secs(length.as_secs().max(1))).to_string()
}

/// What is taken back at the end, by how it came.
fn mode_of(outcome: &Outcome, house: &House, published: bool) -> EndMode {
    let (mode, config) = (house.mode, &house.config);
    match (outcome, mode) {
        (Outcome::Told(Ending::Terminate), Mode::Run | Mode::Exec)
            if house.successor == Successor::Expected =>
        {
            EndMode::Leave
        }
        (Outcome::CommandEnded(end), _) => house.mode_after(end),
        (Outcome::Done, _) => EndMode::Leave,
        (Outcome::Failed(_), _) => EndMode::Unpublished,
        (Outcome::ApplicationEnded, _) if config.lifecycle.revoke_on_shutdown => EndMode::Revoke,
        (Outcome::ApplicationEnded, _) => EndMode::Leave,
        (Outcome::Told(_), Mode::Init) if published => EndMode::Leave,
        (Outcome::Told(_), Mode::Init) => EndMode::Unpublished,
        (Outcome::Told(_), Mode::Run | Mode::Exec) if config.lifecycle.revoke_on_shutdown => EndMode::Revoke,
        (Outcome::Told(_), Mode::Run | Mode::Exec) => EndMode::Leave,
    }
}
