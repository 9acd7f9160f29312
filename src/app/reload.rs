//! Reading the configuration again: on a changed file, and on SIGHUP.
//!
//! What a reload may change goes to the publisher (files) and the keepers (secrets, lifecycle,
//! limits) of the running house; what it may not, and differs, is named. Whatever is wrong, the
//! old plan stays.

use std::path::PathBuf;

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

impl House {
    pub(super) async fn reload(&mut self, cause: Cause) {
        let wanted = match (self.config.lifecycle.reload, cause) {
            (Reload::Auto, _) | (Reload::Signal, Cause::Signal) => true,
            (Reload::Signal, Cause::File) => return,
            (Reload::Off, Cause::File) => return,
            // A service manager that sent it waits for an answer.
            (Reload::Off, Cause::Signal) => false,
        };
        self.manager.reloading().await;
        let mut status = self.standing();
        if wanted {
            match self.read_again().await {
                Ok(()) => status = self.standing(),
                Err(why) => {
                    self.events.emit(&Event::ReloadRefused { why: &why });
                    status = format!("the set is in place; the changed configuration was refused: {why}");
                }
            }
        }
        self.manager.reloaded(&status).await;
    }

    async fn read_again(&mut self) -> Result<(), String> {
        let Config { reading, sources, flags, .. } = &self.config;
        let new = Config::load_for(reading, sources, flags, &self.environment)
            .map_err(|report| report.first_line())?;
        let diff = config::reload_diff(&self.config, &new);
        let waiting = self.board.snapshot().needs_restart;
        if diff.changes.is_empty() && diff.needs_restart == waiting {
            return Ok(());
        }
        let next = config::reloaded(&self.config, &new).map_err(|why| why.join("; "))?;
        self.take_over(&next).await?;
        self.config = next;
        self.watched_files.send_replace(watched(&self.config));
        self.board.write(|board| board.needs_restart = diff.needs_restart.clone());
        self.events.emit(&Event::Reloaded { changes: &diff.changes, needs_restart: &diff.needs_restart });
        Ok(())
    }

    /// Gives the new plan to the tasks. The publisher goes first: it alone can refuse it.
    async fn take_over(&mut self, next: &Config) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let plan = ToPublisher::Plan {
            files: next.files.clone(),
            env: next.env.clone(),
            secrets: build::names(next),
            reply,
        };
        let gone = || "the process is ending".to_owned();
        self.publisher.send(plan).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())??;
        for charge in build::charges(next, self.mode) {
            if let Some(keeper) = self.keepers.get(&charge.name) {
                keeper.send(Order::Reload(Box::new(charge))).await.map_err(|_| gone())?;
            }
        }
        self.kept_by =
            next.secrets.iter().map(|(name, secret)| (name.clone(), secret.provider.clone())).collect();
        self.announcements.set_acknowledge(next.lifecycle.acknowledge.clone());
        crate::logging::apply(next.log);
        Ok(())
    }
}
