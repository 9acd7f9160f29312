//! The life of the command that `exec` runs: it starts with the first delivery, is restarted or signalled
//! when what it was given changes, gets the signals that we get, and its end is ours.
//!
//! There is never more than one of it. A restart that is due is spread over the delivery's splay, then the
//! command is drained (it runs on, and `/readyz` is false), asked to end, and killed after its grace. What
//! is delivered meanwhile is not lost: the command starts with the newest. What a delivery stands for counts
//! as announced once the command has it, and that is said here.
//!
//! An end that we did not ask for is the command's own, also in the middle of a restart. This module decides
//! nothing about leases and knows no value: it gives on what it is given.

mod command;
mod handle;
mod state;

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Failed, Status};
use rustix::process::Signal;
use tokio::sync::{mpsc, watch};

use crate::clock::{Clock, Moment};
use crate::config::model::{Exec, ExecChange};
use crate::events::{Event, Events};
use crate::process::{Happened, number};
use crate::publisher::{ChildEnvironment, Delivery, Line};
use crate::schedule::Dice;
use crate::status::Board;
pub use command::{Command, Running};
pub use handle::{End, Handle, Order, Stage};
pub use state::{CommandPhase, CommandState};

/// What the supervisor is given of the rest of the house.
pub struct Links {
    /// The time.
    pub clock: Clock,
    /// Where facts are told.
    pub events: Events,
    /// Where its state is shown.
    pub board: Board,
    /// What the command is to be given, and what it has.
    pub line: Line,
    /// Chance.
    pub dice: Dice,
}

/// Runs one command.
pub struct Supervisor<C> {
    command: C,
    exec: Exec,
    links: Links,
    orders: mpsc::UnboundedReceiver<Order>,
    stage: watch::Sender<Stage>,
    phase: Phase,
    wish: Wish,
    /// What the command was started with.
    given: Option<Delivery>,
    /// The environment for which a restart is due, where one is.
    due_for: Option<Arc<ChildEnvironment>>,
    /// Signals that were passed on to the command that runs.
    passed: Vec<i32>,
    shown: CommandState,
}

/// Where it is on the way to its next restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It runs, and is to run on.
    Running,
    /// It runs until then.
    Due(Moment),
    /// It is left alone by those who ask `/readyz`, until then.
    Draining(Moment),
    /// It was asked to end, and is killed then.
    Stopping(Moment),
    /// It was killed.
    Killed,
}

/// What the house wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// That it runs.
    Life,
    /// That it ends, in its own time.
    End,
    /// That it has ended by then.
    EndBy(Moment),
    /// It was killed.
    Killed,
}

/// What a delivery asks for.
enum Change {
    Restart,
    Signal,
    Nothing,
}

impl<C: Command> Supervisor<C> {
    /// A supervisor, and how it is told what to do.
    pub fn new(command: C, exec: Exec, links: Links) -> (Self, Handle) {
        let (sender, orders) = mpsc::unbounded_channel();
        let (stage, seen) = watch::channel(Stage::Waiting);
        let supervisor = Self {
            command,
            exec,
            links,
            orders,
            stage,
            phase: Phase::Running,
            wish: Wish::Life,
            given: None,
            due_for: None,
            passed: Vec::new(),
            shown: CommandState::default(),
        };
        supervisor.show();
        (supervisor, Handle { orders: sender, stage: seen })
    }

    /// Supervises until the command has ended.
    pub async fn run(mut self) {
        let end = self.live().await;
        // A restart that was due is not any more.
        self.phase = Phase::Running;
        self.shown.pid = None;
        self.shown.phase = CommandPhase::Ended;
        self.show();
        // The house may have gone.
        let _ = self.stage.send(Stage::Ended(end));
    }

    async fn live(&mut self) -> End {
        if !self.is_wanted().await {
            return End::Unstarted;
        }
        let mut running = match self.start() {
            Ok(running) => running,
            Err(failed) => return End::NotStarted(failed),
        };
        let clock = self.links.clock.clone();
        loop {
            let due = self.due();
            tokio::select! {
                biased;
                happened = running.next() => match happened {
                    Happened::Stopped(signal) => running.stopped(signal),
                    Happened::Ended(status) if self.is_restarted() => {
                        self.links.events.emit(&Event::CommandStopped { how: &words(status) });
                        running = match self.start() {
                            Ok(running) => running,
                            Err(failed) => return End::NotStarted(failed),
                        };
                    }
                    Happened::Ended(status) => return self.ended(status),
                },
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(order, &running),
                    // Nobody is left to pass anything on; the kernel ends the command when we end.
                    None => return End::Unstarted,
                },
                Ok(()) = self.links.line.deliveries.changed() => self.look(&running),
                () = clock.reaches(due) => self.advance(&running),
            }
        }
    }

    /// Waits for the first delivery. False: it is not wanted any more.
    async fn is_wanted(&mut self) -> bool {
        loop {
            if self.links.line.deliveries.borrow().is_some() {
                return true;
            }
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(Order::Pass(_) | Order::Continued) => {}
                    Some(Order::Terminate | Order::Stop | Order::Kill) | None => return false,
                },
                changed = self.links.line.deliveries.changed() => if changed.is_err() {
                    return false;
                },
            }
        }
    }

    /// Starts it with the newest delivery.
    fn start(&mut self) -> Result<C::Running, Failed> {
        let newest = self.links.line.deliveries.borrow_and_update().clone();
        // There is one: the first was waited for, and none is taken back.
        let Some(delivery) = newest else { return Err(Failed::NotStarted("there is no set of secrets")) };
        let running = self.command.start(&delivery.environment)?;
        let again = self.given.is_some();
        self.phase = Phase::Running;
        self.passed.clear();
        self.shown.restarts += u64::from(again);
        self.shown.pid = Some(running.pid());
        self.shown.since = Some(self.links.clock.now());
        self.show();
        self.links.events.emit(&Event::CommandStarted {
            pid: running.pid(),
            restarts: self.shown.restarts,
            generation: delivery.generation,
        });
        self.has(delivery.number);
        self.given = Some(delivery);
        self.stage.send_replace(Stage::Running);
        Ok(running)
    }

    /// Whether an end now is one that we asked for, so that it may start again.
    fn is_restarted(&self) -> bool {
        self.wish == Wish::Life && matches!(self.phase, Phase::Stopping(_) | Phase::Killed)
    }

    fn ended(&self, status: Status) -> End {
        let asked = match status {
            _ if self.wish != Wish::Life => true,
            Status::Signalled(signal) => self.passed.contains(&signal),
            Status::Exited(code) => self.passed.iter().any(|signal| 128 + signal == code),
        };
        End::Ended { status, asked }
    }

    /// The command has this delivery.
    fn has(&self, number: u64) {
        self.links.line.has.send_modify(|has| has.number = number);
    }

    fn obey(&mut self, order: Order, running: &C::Running) {
        match order {
            Order::Pass(signal) => {
                if running.pass(signal) {
                    self.passed.push(signal.as_raw());
                }
            }
            Order::Continued => running.continued(),
            Order::Terminate => {
                // In the middle of a restart it has got it already.
                if !self.is_restarted() {
                    running.pass(Signal::TERM);
                    self.phase = Phase::Running;
                }
                self.wish = Wish::End;
            }
            Order::Stop => {
                if !self.is_restarted() {
                    running.signal(Signal::TERM);
                    self.phase = Phase::Running;
                }
                self.wish = Wish::EndBy(self.links.clock.now() + self.exec.grace);
            }
            Order::Kill => {
                running.signal(Signal::KILL);
                self.wish = Wish::Killed;
            }
        }
        if self.wish != Wish::Life {
            self.links.line.has.send_if_modified(|has| !std::mem::replace(&mut has.ends, true));
        }
        self.show();
    }

    /// A delivery has come.
    fn look(&mut self, running: &C::Running) {
        if self.wish != Wish::Life {
            return;
        }
        let (Phase::Running | Phase::Due(_)) = self.phase else {
            // It starts with the newest in a moment.
            return;
        };
        let newest = self.links.line.deliveries.borrow_and_update().clone();
        let Some(delivery) = newest else { return };
        let due_for = self.due_for.replace(Arc::clone(&delivery.environment));
        match self.change(&delivery) {
            Change::Restart => {
                let now = self.links.clock.now();
                let at = now + self.links.dice.between(Duration::ZERO, delivery.splay);
                let at = match self.phase {
                    // Only files changed, which it reads by itself.
                    Phase::Due(due)
                        if self.exec.on_change.is_none()
                            && due_for.is_some_and(|due| equal(&due, &delivery.environment)) =>
                    {
                        due
                    }
                    Phase::Due(sooner) => at.min(sooner),
                    _ => at,
                };
                if self.phase != Phase::Due(at) {
                    self.links.events.emit(&Event::CommandRestartDue {
                        generation: delivery.generation,
                        wait: at.since(now),
                    });
                }
                self.phase = Phase::Due(at);
            }
            Change::Signal => {
                // One that has just ended is not missed by its signal.
                if running.signal(number(self.exec.signal)) {
                    let text = "what the command was given has changed: it was sent its signal (exec.signal)";
                    self.links.events.emit(&Event::Note { text });
                }
                self.has(delivery.number);
            }
            Change::Nothing => {
                self.phase = Phase::Running;
                self.has(delivery.number);
            }
        }
        self.show();
    }

    fn change(&self, delivery: &Delivery) -> Change {
        let same = |given: &Delivery| equal(&given.environment, &delivery.environment);
        match self.exec.on_change {
            Some(ExecChange::Restart) => Change::Restart,
            Some(ExecChange::Signal) => Change::Signal,
            Some(ExecChange::None) => Change::Nothing,
            None if self.given.as_ref().is_some_and(same) => Change::Nothing,
            None => Change::Restart,
        }
    }

    /// When something is to be done next.
    fn due(&self) -> Option<Moment> {
        match (self.wish, self.phase) {
            (Wish::EndBy(at), _) => Some(at),
            (Wish::Life, Phase::Due(at) | Phase::Draining(at) | Phase::Stopping(at)) => Some(at),
            _ => None,
        }
    }

    /// The next step of a restart, or of the end.
    fn advance(&mut self, running: &C::Running) {
        let now = self.links.clock.now();
        if let Wish::EndBy(_) = self.wish {
            self.kill(running);
            self.wish = Wish::Killed;
            return;
        }
        match self.phase {
            Phase::Due(_) if !self.exec.drain.is_zero() => {
                self.phase = Phase::Draining(now + self.exec.drain);
                self.links.events.emit(&Event::CommandDraining { length: self.exec.drain });
            }
            Phase::Due(_) | Phase::Draining(_) => {
                self.phase = match running.signal(Signal::TERM) {
                    true => Phase::Stopping(now + self.exec.grace),
                    // Its own end came first, and is on its way here.
                    false => Phase::Running,
                };
            }
            Phase::Stopping(_) => {
                self.kill(running);
                self.phase = Phase::Killed;
            }
            Phase::Running | Phase::Killed => {}
        }
        self.show();
    }

    fn kill(&self, running: &C::Running) {
        if running.signal(Signal::KILL) {
            self.links.events.emit(&Event::Warning {
                text: &format!(
                    "the command (process {}) did not end within {} of SIGTERM (exec.grace) and was killed",
                    running.pid(),
                    crate::app::length(self.exec.grace)
                ),
            });
        }
    }

    fn show(&self) {
        let mut shown = self.shown.clone();
        if shown.phase != CommandPhase::Ended && shown.pid.is_some() {
            shown.phase = match self.phase {
                Phase::Running | Phase::Due(_) => CommandPhase::Running,
                Phase::Draining(_) => CommandPhase::Draining,
                Phase::Stopping(_) | Phase::Killed => CommandPhase::Restarting,
            };
        }
        if let Phase::Due(at) = self.phase {
            shown.next_restart = Some(at);
        }
        self.links.board.write(|board| board.command = Some(shown));
    }
}

fn equal(one: &Arc<ChildEnvironment>, other: &Arc<ChildEnvironment>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

/// How it ended, in words.
pub fn words(status: Status) -> String {
    match status {
        Status::Exited(code) => format!("with code {code}"),
        Status::Signalled(signal) => format!("by signal {signal}"),
    }
}

#[cfg(test)]
mod tests;
