//! How a supervisor is told what to do, and what becomes of its command.

use leasehold_core::{Failed, Status};
use rustix::process::Signal;
use tokio::sync::{mpsc, watch};

/// What the supervisor is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A signal for the command.
    Pass(Signal),
    /// We were continued.
    Continued,
    /// SIGTERM for the command, which is not started again. It ends in its own time.
    Terminate,
    /// SIGTERM for the command, and SIGKILL after its grace.
    Stop,
    /// SIGKILL.
    Kill,
}

/// How far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was delivered yet.
    Waiting,
    /// The command has run, and is to run on.
    Running,
    /// That is over.
    Ended(End),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The command could not be started.
    NotStarted(Failed),
    /// It was told to end before the command was started.
    Unstarted,
    /// The command has ended.
    Ended {
        /// How.
        status: Status,
        /// Whether it was told to, through us.
        asked: bool,
    },
}

/// The way to a supervisor.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) orders: mpsc::UnboundedSender<Order>,
    pub(super) stage: watch::Receiver<Stage>,
}

impl Handle {
    /// Tells it.
    pub fn tell(&self, order: Order) {
        // One that has ended has nothing left to do.
        let _ = self.orders.send(order);
    }

    /// Whether the command was started and has not ended.
    pub fn runs(&self) -> bool {
        *self.stage.borrow() == Stage::Running
    }

    /// Returns at the next stage.
    pub async fn changed(&mut self) {
        if self.stage.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<End> {
        match &*self.stage.borrow() {
            Stage::Ended(end) => Some(end.clone()),
            Stage::Waiting | Stage::Running => None,
        }
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> End {
        loop {
            if let Some(end) = self.end() {
                return end;
            }
            self.changed().await;
        }
    }
}

impl End {
    /// The exit code that says it: 128+N where signal N ended it. `None`: it was never started.
    pub fn code(&self) -> Option<u8> {
        match self {
            Self::NotStarted(_) | Self::Unstarted => None,
            // A code has eight bits, and so has a signal's number with 128 on top.
            Self::Ended { status: Status::Exited(code), .. } => u8::try_from(*code & 0xff).ok(),
            Self::Ended { status: Status::Signalled(signal), .. } => u8::try_from(128 + *signal).ok(),
        }
    }

    /// Whether it ended by a failure of its own.
    pub fn is_crash(&self) -> bool {
        matches!(self, Self::Ended { status, asked: false } if *status != Status::Exited(0))
    }
}
