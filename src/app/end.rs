//! The end of the house: the wait, the revocation, what is left.
//!
//! The first signal starts the wait (for the application, or for `revoke_delay`), the second
//! skips it, the third ends the process at once, with what it holds still in the hand-over.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{Ended, Ending, Failure, HandedOver, House, Mode, Outcome, Successor};
use crate::config::model::Lifecycle;
use crate::events::Event;
use crate::keeper::{EndMode, Order};
use crate::process;

/// How long what is neither keeper nor store may take to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a keeper gets beyond `revoke_timeout`, by which it bounds itself.
const GRACE: Duration = Duration::from_secs(5);

/// The longest that the end can take, once the wait is over.
pub(super) fn bound(lifecycle: &Lifecycle) -> Duration {
    lifecycle.revoke_timeout + GRACE + LAST_WORDS
}

impl House {
    /// Ends everything, in the order that keeps the application served for longest.
    pub(super) async fn close(mut self, outcome: Outcome) -> Result<Ended, Failure> {
        let published = *self.ready.borrow();
        if let Some(drills) = &self.drills {
            // What is held is taken back for real, and no other one begins.
            self.board.write(|board| board.ending = true);
            drills.stop();
        }
        let mode = super::mode_of(&outcome, &self, published);
        let succeeded = mode == EndMode::Leave && self.successor == Successor::Expected;
        // The second signal skips the wait, the third ends it all: also where there is no wait.
        let mut signals = Signalled(0);
        match &outcome {
            Outcome::Told(ending) => {
                signals.count();
                match self.mode {
                    // A successor waits for our locks; the application has what it needs.
                    Mode::Run if published && !succeeded => self.wait(*ending, &mut signals).await,
                    Mode::Exec => self.wait_for_the_command(&mut signals).await,
                    Mode::Run | Mode::Init => {}
                }
            }
            Outcome::Failed(_) => self.stop_the_command(&mut signals).await,
            Outcome::Done | Outcome::ApplicationEnded | Outcome::CommandEnded(_) => {}
        }
        let command = self.command.as_ref().and_then(|command| command.handle.end());
        if let Some(end) = &command {
            self.say_how_it_ended(end, mode);
        }
        if mode == EndMode::Leave && (self.mode == Mode::Init || succeeded) {
            self.say_when_it_ends();
        }
        let status = match mode {
            EndMode::Leave => "ending; what is held is left to the next process",
            EndMode::Revoke | EndMode::Unpublished => "ending; taking back what is held",
        };
        self.manager.ending(status, Some(bound(&self.config.lifecycle))).await;
        if !signals.are_enough() {
            self.end_keepers(mode, &mut signals).await;
        }
        let ended = self.code_of(command);
        self.cancel.cancel();
        // The publisher ends when nobody can offer any more; the others were told.
        drop(self.publisher);
        let quiet = async { while self.serving.join_next().await.is_some() {} };
        if self.clock.within(LAST_WORDS, quiet).await.is_none() {
            self.serving.shutdown().await;
        }
        match outcome {
            Outcome::Failed(failure) => Err(failure),
            Outcome::Told(_) if self.mode == Mode::Init && !published => Err(Failure::Interrupted),
            Outcome::Told(ending) if self.mode == Mode::Exec => {
                Ok(ended?.unwrap_or(Ended::Code(ending.code())))
            }
            Outcome::CommandEnded(_) => Ok(ended?.unwrap_or(Ended::Done)),
            Outcome::Done | Outcome::Told(_) | Outcome::ApplicationEnded => Ok(Ended::Done),
        }
    }

    /// Goes on serving until the application has ended, or for `revoke_delay`, or until another
    /// signal comes.
    async fn wait(&mut self, ending: Ending, signals: &mut Signalled) {
        let lifecycle = &self.config.lifecycle;
        let application = lifecycle.application.clone();
        let delay = match (ending, &application) {
            (Ending::Interrupt | Ending::Quit | Ending::Hangup, _) => return,
            (Ending::Terminate, Some(name)) => {
                if let Err(process::FindError::NoSuch { .. }) = process::Process::by_name(name) {
                    return;
                }
                None
            }
            (Ending::Terminate, None) if lifecycle.revoke_delay.is_zero() => return,
            (Ending::Terminate, None) => Some(lifecycle.revoke_delay),
        };
        let until = delay.map(|delay| self.clock.now() + delay);
        let waiting_for = match (&application, delay) {
            (Some(name), _) => format!("the end of process \"{name}\" (lifecycle.application)"),
            (None, delay) => format!("{} (lifecycle.revoke_delay)", super::length(delay.unwrap_or_default())),
        };
        self.events.emit(&Event::Ending { waiting_for: &waiting_for });
        let status = format!("told to end; waiting for {waiting_for}");
        self.manager.ending(&status, delay.map(|delay| delay + bound(lifecycle))).await;
        self.board.write(|board| board.ending = true);
        for keeper in self.keepers.values() {
            // A keeper that is gone has nothing to wait for.
            let _ = keeper.send(Order::Wait { until }).await;
        }
        let clock = self.clock.clone();
        let over = async {
            match (application, until) {
                (Some(name), _) => process::watch_exit(&name, &clock).await,
                (None, Some(until)) => clock.sleep_until(until).await,
                (None, None) => {}
            }
        };
        tokio::pin!(over);
        loop {
            tokio::select! {
                biased;
                _ = self.signals.end() => return signals.count(),
                () = &mut over => return,
                // Expired in the wait: the end has come anyway.
                Some(_) = self.fatal.recv() => return,
                Some(command) = self.commands.recv() => self.obey(command).await,
                Some(provider) = self.provider_files.recv() => self.look_again(&provider).await,
            }
        }
    }

    /// Tells all keepers to end, at once, and waits for them; the third signal ends the wait.
    async fn end_keepers(&mut self, mode: EndMode, signals: &mut Signalled) {
        let timeout = self.config.lifecycle.revoke_timeout;
        let mut replies = Vec::new();
        for keeper in self.keepers.values() {
            let (reply, answer) = oneshot::channel();
            if keeper.send(Order::End { mode, timeout, reply }).await.is_ok() {
                replies.push(answer);
            }
        }
        let all = async {
            for answer in replies {
                // A keeper that failed has told so already.
                let _ = answer.await;
            }
        };
        // The keepers bound themselves; this is for one that does not.
        let bound = self.clock.within(timeout + GRACE, all);
        tokio::pin!(bound);
        loop {
            tokio::select! {
                biased;
                _ = &mut bound => return,
                _ = self.signals.end() => {
                    signals.count();
                    if signals.are_enough() {
                        self.events.emit(&Event::Warning {
                            text: "told to end at once: what is not revoked yet stays in the hand-over and \
                                   ends by its TTL",
                        });
                        return;
                    }
                }
            }
        }
    }

    /// Who leaves what is held to another process says when it ends if nobody takes it over.
    fn say_when_it_ends(&self) {
        let now = self.clock.now();
        let snapshot = self.board.snapshot();
        let nearest =
            snapshot.secrets.iter().filter_map(|(name, secret)| Some((secret.expires?, name))).min();
        // The environment of a command is gone with it, and there may be no files.
        let (what, command) = match self.mode {
            Mode::Exec => ("what is held is", "exec"),
            Mode::Run | Mode::Init => ("the set is in place and", "run"),
        };
        let text = match (nearest, self.handed_over) {
            (None, HandedOver::Yes) => format!("{what} handed over; nothing of it expires"),
            (None, HandedOver::No) => "the set is in place; nothing of it expires".to_owned(),
            (Some((end, name)), HandedOver::Yes) => format!(
                "{what} handed over; without a `leasehold {command}` that takes it over, secret \"{name}\" ends \
                 first, in {}",
                super::length(end.since(now))
            ),
            (Some((end, name)), HandedOver::No) => format!(
                "the set is in place; there is no hand-over, so nothing renews it: secret \"{name}\" ends \
                 first, in {}",
                super::length(end.since(now))
            ),
        };
        self.events.emit(&Event::Note { text: &text });
    }
}

/// How many termination signals have come.
pub(super) struct Signalled(u32);

impl Signalled {
    pub(super) fn count(&mut self) {
        self.0 += 1;
    }

    pub(super) fn are_more_than_one(&self) -> bool {
        self.0 >= 2
    }

    pub(super) fn are_enough(&self) -> bool {
        self.0 >= 3
    }
}
