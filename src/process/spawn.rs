//! Starting programs: [`Programs`] is the engine's [`Spawn`].
//!
//! What a program gets:
//! - the environment that was given and nothing of ours; descriptors 0, 1 and 2 and no other;
//! - umask and limits as we found them, every signal at its default and none blocked;
//! - a process group of its own, which ends with it: what it started and left behind is killed;
//! - SIGKILL when we die, however that happens. That is for the program itself, not for what it
//!   started in turn, and not where it is set-user-id: the kernel offers no more.
//!
//! The command of `exec` is another matter: see [`command`].
//!
//! One that leaves its group on purpose (`setsid`) is no longer ours to end.
//!
//! Starting one holds up every task until the kernel has loaded it: some milliseconds. It has to
//! happen on the thread that the runtime lives on, since the kernel takes the end of the *thread*
//! that started it for our end.

mod command;
mod start;
mod talk;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::{Failed, Program, Ran, Spawn};

use super::reaper::{Children, Reach, Reaper, Running};
use super::terminal::Seat;
use crate::clock::Clock;
pub use command::{Foreground, Supervised};
use talk::Talk;

/// How long a killed program may take to be gone before its caller goes on without it.
const GONE: Duration = Duration::from_secs(5);

/// Starts programs and waits for them; clones of the `Arc` it is used in share the reaper.
pub struct Programs {
    children: Arc<Children>,
    clock: Clock,
}

impl Programs {
    /// With the reaper, without which no program is seen to end: there is one in a process, and it
    /// waits for every child. To be called inside a runtime.
    ///
    /// # Errors
    /// SIGCHLD cannot be listened to.
    pub fn new(clock: Clock) -> io::Result<(Self, Reaper)> {
        Self::reaping(Reach::Every, clock)
    }

    fn reaping(reach: Reach, clock: Clock) -> io::Result<(Self, Reaper)> {
        let reaper = Reaper::new(reach)?;
        Ok((Self { children: reaper.children(), clock }, reaper))
    }

    /// One command that is supervised in our place; `inherited` is our part of its environment.
    pub fn foreground(&self, command: Vec<OsString>, inherited: Vec<(OsString, OsString)>) -> Foreground {
        let children = Arc::clone(&self.children);
        Foreground { children, command, inherited, seat: Arc::new(Seat::find()) }
    }

    /// Kills it, and sees it go.
    async fn end(&self, mut running: Running) {
        running.kill();
        // In the kernel's hands for longer than that, it is the reaper's alone.
        self.clock.within(GONE, running.ended()).await;
    }
}

#[async_trait]
impl Spawn for Programs {
    async fn run(&self, program: Program) -> Result<Ran, Failed> {
        let (child, mut running) = start::start(&self.children, &program)?;
        let limit = program.time_limit;
        let conversation = async {
            let mut talk = Talk::new(child, &program)?;
            talk.until(running.ended()).await
        };
        match self.clock.within(limit, conversation).await {
            Some(Ok(ran)) => Ok(ran),
            Some(Err(failed)) => {
                self.end(running).await;
                Err(failed)
            }
            None => {
                self.end(running).await;
                Err(Failed::TimedOut(limit))
            }
        }
    }
}
