//! What is supervised, as the supervisor sees it: something that can be started again and again, told signals,
//! and waited for.

use std::future::Future;

use leasehold_core::Failed;
use rustix::process::Signal;

use crate::process::{Foreground, Happened, Supervised};
use crate::publisher::ChildEnvironment;

/// What can be started, again and again.
pub trait Command: Send {
    /// One that was.
    type Running: Running;
    /// Starts it with these variables.
    ///
    /// # Errors
    /// It cannot be started.
    fn start(&mut self, environment: &ChildEnvironment) -> Result<Self::Running, Failed>;
}

/// A command that was started.
pub trait Running: Send {
    /// Its process id.
    fn pid(&self) -> i32;
    /// What happens to it next. Dropped meanwhile, nothing is lost.
    fn next(&mut self) -> impl Future<Output = Happened> + Send;
    /// Sends it a signal of ours. False: it has ended before that.
    fn signal(&self, signal: Signal) -> bool;
    /// Passes on a signal that we got, unless it got the same from its terminal. True: it did.
    fn pass(&self, signal: Signal) -> bool;
    /// This signal has stopped it.
    fn stopped(&self, signal: i32);
    /// We were continued.
    fn continued(&self);
}

impl Command for Foreground {
    type Running = Supervised;

    fn start(&mut self, environment: &ChildEnvironment) -> Result<Supervised, Failed> {
        Foreground::start(self, environment)
    }
}

impl Running for Supervised {
    fn pid(&self) -> i32 {
        Supervised::pid(self)
    }

    async fn next(&mut self) -> Happened {
        Supervised::next(self).await
    }

    fn signal(&self, signal: Signal) -> bool {
        Supervised::signal(self, signal)
    }

    fn pass(&self, signal: Signal) -> bool {
        Supervised::pass(self, signal)
    }

    fn stopped(&self, signal: i32) {
        Supervised::stopped(self, signal);
    }

    fn continued(&self) {
        Supervised::continued(self);
    }
}
