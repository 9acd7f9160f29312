//! Reading the configuration again: on a changed file, and on SIGHUP.
//!
//! What a reload may change goes to the publisher (files) and the keepers (secrets, lifecycle,
//! limits) of the running house; what it may not, and differs, is named. Whatever is wrong, the
//! old plan stays.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{House, build};
use crate::config::model::Reload;
use crate::config::{self, Config};
use crate::events::Event;
use crate::keeper::Order;
use crate::publisher::ToPublisher;

/// Why the configuration is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// SIGHUP.
    Signal,
    /// A file changed.
    File,
}

/// The files whose change is a cause.
pub(super) fn watched(config: &Config) -> Vec<PathBuf> {
    match config.lifecycle.reload {
        Reload::Auto => config.sources.iter().chain(&config.template_files).cloned().collect(),
        Reload::Signal | Reload::Off => Vec::new(),
    }
}

/// A new configuration that the publisher has not decided over yet: its check may take a while, and
/// signals must not wait for it.
pub(super) struct Reloading {
    next: Config,
    changes: Vec<String>,
    needs_restart: Vec<String>,
    answer: oneshot::Receiver<Result<(), String>>,
    /// Why it is to be read once more after that.
    again: Option<Cause>,
}

/// What the publisher says of the new plan, once it does.
pub(super) async fn decided(reloading: &mut Option<Reloading>) -> Result<(), String> {
    match reloading {
        Some(reloading) => (&mut reloading.answer).await.unwrap_or_else(|_| Err(gone())),
        None => std::future::pending().await,
    }
}

fn gone() -> String {
    "the process is ending".to_owned()
}

impl House {
    /// Begins to take over a changed configuration; [`House::finish_reload`] ends it.
    pub(super) async fn reload(&mut self, cause: Cause) {
        let wanted = match (self.config.lifecycle.reload, cause) {
            (Reload::Auto, _) | (Reload::Signal, Cause::Signal) => true,
            (Reload::Signal, Cause::File) => return,
            (Reload::Off, Cause::File) => return,
            // A service manager that sent it waits for an answer.
            (Reload::Off, Cause::Signal) => false,
        };
        if let Some(reloading) = &mut self.reloading {
            reloading.again = Some(cause);
            return;
        }
        self.manager.reloading().await;
        match if wanted { self.read_again() } else { Ok(None) } {
            Ok(Some(reloading)) => self.reloading = Some(reloading),
            Ok(None) => self.reloaded(Ok(())).await,
            Err(why) => self.reloaded(Err(why)).await,
        }
    }

    /// The publisher has decided over the new plan.
    pub(super) async fn finish_reload(&mut self, decided: Result<(), String>) {
        let Some(reloading) = self.reloading.take() else { return };
        let again = reloading.again;
        let outcome = match decided {
            Ok(()) => self.take_over(reloading).await,
            Err(why) => Err(why),
        };
        self.reloaded(outcome).await;
        if let Some(cause) = again {
            self.reload(cause).await;
        }
    }

    async fn reloaded(&mut self, outcome: Result<(), String>) {
        let status = match outcome {
            Ok(()) => self.standing(),
            Err(why) => {
                self.events.emit(&Event::ReloadRefused { why: &why });
                format!("the set is in place; the changed configuration was refused: {why}")
            }
        };
        self.manager.reloaded(&status).await;
    }

    /// Reads it again, and gives the plan to the publisher, which alone can refuse it. `None`: nothing has
    /// changed.
    fn read_again(&mut self) -> Result<Option<Reloading>, String> {
        let Config { reading, sources, flags, .. } = &self.config;
        let mut new = Config::load_for(reading, sources, flags, &self.environment)
            .map_err(|report| report.first_line())?;
        if self.command.as_ref().is_some_and(|command| command.at_a_terminal) {
            // As at the start.
            new.exec.splay = new.exec.splay.or(Some(Duration::ZERO));
        }
        let diff = config::reload_diff(&self.config, &new);
        let waiting = self.board.snapshot().needs_restart;
        if diff.changes.is_empty() && diff.needs_restart == waiting {
            return Ok(None);
        }
        let next = config::reloaded(&self.config, &new).map_err(|why| why.join("; "))?;
        let (reply, answer) = oneshot::channel();
        let plan = ToPublisher::Plan {
            files: next.files.clone(),
            env: next.env.clone(),
            secrets: build::names(&next),
            reply,
        };
        self.publisher.send(plan).map_err(|_| gone())?;
        let (changes, needs_restart) = (diff.changes, diff.needs_restart);
        Ok(Some(Reloading { next, changes, needs_restart, answer, again: None }))
    }

    /// Gives the new plan to the other tasks.
    async fn take_over(&mut self, reloading: Reloading) -> Result<(), String> {
        let Reloading { next, changes, needs_restart, .. } = reloading;
        for charge in build::charges(&next, self.mode) {
            if let Some(keeper) = self.keepers.get(&charge.name) {
                keeper.send(Order::Reload(Box::new(charge))).await.map_err(|_| gone())?;
            }
        }
        self.kept_by =
            next.secrets.iter().map(|(name, secret)| (name.clone(), secret.provider.clone())).collect();
        self.announcements.set_acknowledge(next.lifecycle.acknowledge.clone());
        crate::logging::apply(next.log);
        self.config = next;
        self.watched_files.send_replace(watched(&self.config));
        self.board.write(|board| board.needs_restart = needs_restart.clone());
        self.events.emit(&Event::Reloaded { changes: &changes, needs_restart: &needs_restart });
        Ok(())
    }
}
