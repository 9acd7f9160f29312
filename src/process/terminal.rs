//! The terminal under `exec`: who has it, and who gets it back.
//!
//! A shell that starts us makes our process group the terminal's foreground. The command gets a group of its
//! own, and the foreground with it, so that keys mean the command and not us: Ctrl-C reaches it once and us
//! not at all. Where it is stopped, we give the terminal back and stop, too, so that the shell sees its job
//! stop; continued, we hand it on again. In a pipeline the terminal belongs to all of its members: there
//! the command stays in our group, and the keys reach it and us at once.
//!
//! As PID 1 of a PID namespace we may be in a group of outside, which has no number here: the foreground could
//! be given away, and never be taken back. We then make a group of our own; the shell outside takes the
//! terminal when we have ended, as shells do. Not PID 1, we are not alone in that group: it is as in a pipeline.

use std::io::IsTerminal as _;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};

/// Where the command sits.
pub(super) enum Seat {
    /// There is no terminal, or others have it: a group of its own.
    Apart,
    /// At a terminal with others, in our group.
    Shared(OwnedFd),
    /// At a terminal, in a group of its own that gets the foreground.
    Front(Front),
}

/// A terminal that the command gets whenever it is ours.
pub(super) struct Front {
    terminal: OwnedFd,
    given: AtomicBool,
}

/// Whose process group the command is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Own,
    Ours,
}

/// What came of stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aside {
    /// We were stopped, and continued since; the signal that did so is on its way to us.
    Stopped,
    /// Nothing stopped: there is nobody who could continue us (we are PID 1, or the session's leader).
    Alone,
    /// It is not ours to stop.
    Apart,
}

impl Seat {
    /// Looks for the terminal that we were started at.
    pub(super) fn find() -> Self {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let Ok(terminal) = rustix::fs::open("/dev/tty", flags, Mode::empty()) else { return Self::Apart };
        let is_all = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        if is_all && (ours() != OUTSIDE || std::process::id() == 1) {
            // From the background we give the terminal back and write our log. The command has the signal's
            // default again.
            // SAFETY: to ignore a signal runs nothing.
            unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) };
            if ours() == OUTSIDE {
                let is_front = is_ours(&terminal);
                // SAFETY: it takes numbers.
                unsafe { libc::setpgid(0, 0) };
                if is_front {
                    set(&terminal, ours());
                }
            }
            return Self::Front(Front { terminal, given: AtomicBool::new(false) });
        }
        match is_ours(&terminal) {
            true => Self::Shared(terminal),
            false => Self::Apart,
        }
    }

    pub(super) fn group(&self) -> Group {
        match self {
            Self::Apart | Self::Front(_) => Group::Own,
            Self::Shared(_) => Group::Ours,
        }
    }

    /// The terminal that a new command is to take before it runs.
    pub(super) fn to_take(&self) -> Option<RawFd> {
        match self {
            Self::Front(front) if is_ours(&front.terminal) => Some(front.terminal.as_raw_fd()),
            _ => None,
        }
    }

    /// A new command has taken it.
    pub(super) fn given(&self) {
        if let Self::Front(front) = self {
            front.given.store(true, Ordering::Relaxed);
        }
    }

    /// Gives it to the command's group, where it is ours.
    pub(super) fn give(&self, group: Pid) {
        if let Self::Front(front) = self
            && is_ours(&front.terminal)
        {
            set(&front.terminal, group.as_raw_nonzero().get());
            front.given.store(true, Ordering::Relaxed);
        }
    }

    /// Takes it back from whatever group of the command's has it now.
    pub(super) fn take_back(&self) {
        if let Self::Front(front) = self
            && front.given.swap(false, Ordering::Relaxed)
        {
            set(&front.terminal, ours());
            crate::logging::catch_up();
        }
    }

    /// Whether a program that reads single keys has the terminal that standard error writes to: it draws
    /// the screen, or edits a line.
    pub(super) fn is_drawn_on(&self) -> bool {
        let terminal = match self {
            Self::Front(front) if front.given.load(Ordering::Relaxed) => &front.terminal,
            Self::Shared(terminal) if is_ours(terminal) => terminal,
            _ => return false,
        };
        // SAFETY: it takes a number. Of anything but our terminal it tells no foreground.
        let is_stderr = unsafe { libc::tcgetpgrp(libc::STDERR_FILENO) >= 0 };
        is_stderr && reads_keys(terminal)
    }

    /// Whether the terminal gives this signal to us and the command alike.
    pub(super) fn reaches_both(&self, signal: Signal) -> bool {
        let by_key = [Signal::INT, Signal::QUIT, Signal::WINCH].contains(&signal);
        matches!(self, Self::Shared(terminal) if by_key && is_ours(terminal))
    }

    /// Gives the terminal back and stops our group, as Ctrl-Z would have. Returns once we were continued.
    pub(super) fn step_aside(&self) -> Aside {
        if !matches!(self, Self::Front(_)) {
            return Aside::Apart;
        }
        self.take_back();
        match stop_our_group() {
            true => Aside::Stopped,
            false => Aside::Alone,
        }
    }
}

/// Whether our group is the terminal's foreground.
fn is_ours(terminal: &OwnedFd) -> bool {
    // SAFETY: the descriptor is open.
    let front = unsafe { libc::tcgetpgrp(terminal.as_raw_fd()) };
    front == ours() && (front != OUTSIDE || may_read(terminal))
}

/// Whether the kernel lets our group read the terminal, which only the foreground may. Nothing is read.
fn may_read(terminal: &OwnedFd) -> bool {
    // Else the kernel would stop our group for the question. The command has the signal's default again.
    // SAFETY: to ignore a signal runs nothing.
    unsafe { libc::signal(libc::SIGTTIN, libc::SIG_IGN) };
    rustix::io::read(terminal, &mut [0_u8; 0]) != Err(rustix::io::Errno::IO)
}

/// Whether it gives its reader single keys and not whole lines.
fn reads_keys(terminal: &OwnedFd) -> bool {
    // SAFETY: all zeros are a valid `termios`, which is plain data.
    let mut modes: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and `modes` lives for the whole call.
    let told = unsafe { libc::tcgetattr(terminal.as_raw_fd(), &raw mut modes) } == 0;
    told && modes.c_lflag & libc::ICANON == 0
}

/// The number of every process group that is not in our PID namespace.
const OUTSIDE: libc::pid_t = 0;

fn ours() -> libc::pid_t {
    // SAFETY: it takes nothing and always succeeds.
    unsafe { libc::getpgrp() }
}

fn set(terminal: &OwnedFd, group: libc::pid_t) {
    // What hung up, or belongs to another session now, is not ours to set.
    // SAFETY: the descriptor is open; it takes numbers. SIGTTOU is ignored, so that we may from behind, too.
    unsafe { libc::tcsetpgrp(terminal.as_raw_fd(), group) };
}

/// Stops everybody in our group. False where the kernel did not: nobody is above who could continue us.
fn stop_our_group() -> bool {
    // SAFETY: all zeros are a valid `sigset_t`, which is plain data; the sets live for the calls. A signal
    // that continues us does so blocked as well, and stays pending: that is how we know that it came.
    unsafe {
        let mut only: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        let mut pending: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut only);
        libc::sigaddset(&raw mut only, libc::SIGCONT);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const only, &raw mut before);
        libc::kill(0, libc::SIGTSTP);
        libc::sigpending(&raw mut pending);
        let continued = libc::sigismember(&raw const pending, libc::SIGCONT) == 1;
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        continued
    }
}
