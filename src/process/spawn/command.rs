//! The command that `exec` runs: it stands in our place.
//!
//! What it gets is what we got, not what a helper of ours gets: our standard input, output and error and
//! whatever else is open by inheritance, our part of the environment (less what is ours or secret), and the
//! terminal. Umask, limits and signals are put back. What it leaves behind is its own; it alone is killed
//! when we die.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use leasehold_core::{Failed, SecretBytes, Status};
use rustix::process::{Pid, Signal};
use tokio::sync::mpsc;

use super::start;
use crate::process::inherited::Inherited;
use crate::process::reaper::{Children, Happened};
use crate::process::terminal::{Group, Seat};

/// Starts one command, again and again, in our place.
pub struct Foreground {
    pub(super) children: Arc<Children>,
    pub(super) command: Vec<OsString>,
    pub(super) inherited: Vec<(OsString, OsString)>,
    pub(super) seat: Arc<Seat>,
}

/// The command, from its start to its end.
pub struct Supervised {
    pid: Pid,
    children: Arc<Children>,
    happened: mpsc::UnboundedReceiver<Happened>,
    seat: Arc<Seat>,
}

impl Foreground {
    /// Starts it with these variables on top of what it inherits.
    ///
    /// # Errors
    /// It is not there, may not be run, or the system refused.
    pub fn start(&self, environment: &BTreeMap<String, SecretBytes>) -> Result<Supervised, Failed> {
        let Some((name, arguments)) = self.command.split_first() else { return Err(Failed::NotFound) };
        #[allow(clippy::disallowed_methods, reason = "this is where programs are started")]
        let mut command = Command::new(name);
        command
            .args(arguments)
            .env_clear()
            .envs(self.inherited.iter().map(|(name, value)| (name, value)))
            .envs(environment.iter().map(|(name, value)| (name, OsStr::from_bytes(value.expose()))));
        if self.seat.group() == Group::Own {
            command.process_group(0);
        }
        let found = Inherited::found();
        let parent = rustix::process::getpid().as_raw_nonzero().get();
        let terminal = self.seat.to_take();
        let become_it = move || {
            if let Some(terminal) = terminal {
                // SAFETY: async-signal-safe; it takes numbers. SIGTTOU is ignored where there is a terminal to
                // take. What hung up meanwhile cannot be taken, and is not missed.
                unsafe { libc::tcsetpgrp(terminal, libc::getpid()) };
            }
            start::put_back(found)?;
            start::end_with(parent)
        };
        // SAFETY: between fork and exec only async-signal-safe calls are made, nothing is allocated, no
        // lock is taken, and what is captured is plain data.
        unsafe { command.pre_exec(become_it) };
        let started = self.children.supervise(&mut command);
        if terminal.is_some() {
            self.seat.given();
        }
        match started {
            Ok((pid, happened)) => {
                let (children, seat) = (Arc::clone(&self.children), Arc::clone(&self.seat));
                Ok(Supervised { pid, children, happened, seat })
            }
            Err(error) => {
                self.seat.take_back();
                let path = Path::new(name);
                Err(start::why(&error, name.as_bytes().contains(&b'/') && path.is_file()))
            }
        }
    }

    /// Whether a person sits at a terminal in front of it.
    pub fn is_at_a_terminal(&self) -> bool {
        !matches!(*self.seat, Seat::Apart)
    }

    /// Says, whenever it is asked, whether a program has the screen that standard error writes to.
    pub fn screen(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let seat = Arc::clone(&self.seat);
        move || seat.is_drawn_on()
    }

    /// Looks whether it could be started, without starting it. What only a start can show is not seen.
    ///
    /// # Errors
    /// It is not there, or may not be run.
    pub fn look(&self) -> Result<(), Failed> {
        let Some(name) = self.command.first() else { return Err(Failed::NotFound) };
        let runs =
            |path: &Path| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
        if name.as_bytes().contains(&b'/') {
            let path = Path::new(name);
            return match (runs(path), path.exists()) {
                (true, _) => Ok(()),
                (false, true) => Err(Failed::NotExecutable),
                (false, false) => Err(Failed::NotFound),
            };
        }
        let Some((_, path)) = self.inherited.iter().find(|(name, _)| name == "PATH") else { return Ok(()) };
        let candidates: Vec<_> = std::env::split_paths(path).map(|directory| directory.join(name)).collect();
        match candidates.iter().any(|path| runs(path)) {
            true => Ok(()),
            false if candidates.iter().any(|path| path.is_file()) => Err(Failed::NotExecutable),
            false => Err(Failed::NotFound),
        }
    }
}

impl Supervised {
    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// What happens to it next. May be dropped at any time: nothing is lost.
    pub async fn next(&mut self) -> Happened {
        // The reaper lives for longer than whoever supervises; without it there is nothing to be known.
        let happened =
            self.happened.recv().await.unwrap_or(Happened::Ended(Status::Signalled(libc::SIGKILL)));
        if matches!(happened, Happened::Ended(_)) {
            self.seat.take_back();
        }
        happened
    }

    /// Sends it a signal of ours. False: it has ended before that.
    pub fn signal(&self, signal: Signal) -> bool {
        self.children.signal(self.pid, signal)
    }

    /// Passes on a signal that we got, unless its terminal has given it the same.
    pub fn pass(&self, signal: Signal) -> bool {
        !self.seat.reaches_both(signal) && self.children.signal(self.pid, signal)
    }

    /// A signal has stopped it: so are we, and whoever started us gets the terminal.
    pub fn stopped(&self, signal: i32) {
        if self.seat.step_aside() == crate::process::terminal::Aside::Alone {
            // Nobody is there who could continue us: it would stand still for ever.
            self.seat.give(self.pid);
            if signal != libc::SIGSTOP {
                self.children.continue_group(self.pid);
            }
        }
    }

    /// We were continued: so is it, with the terminal where that is ours again.
    pub fn continued(&self) {
        match *self.seat {
            Seat::Front(_) => {
                self.seat.give(self.pid);
                self.children.continue_group(self.pid);
            }
            Seat::Apart => drop(self.children.signal(self.pid, Signal::CONT)),
            // It is in our group, which was continued.
            Seat::Shared(_) => {}
        }
    }
}
