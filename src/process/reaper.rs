//! The one who waits for children.
//!
//! A child that has ended stays a zombie until somebody waits for it, and whoever waits takes its
//! status away from everybody else. So there is one waiter in a process: the [`Reaper`]. As PID 1 it
//! also gets the orphans of the whole namespace, and those that were there before us.
//!
//! A pid means its child for as long as it was not waited for. Signals to children are therefore
//! sent under the lock under which they are reaped: none ever reaches a stranger.

use std::collections::HashMap;
use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use leasehold_core::Status;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use tokio::signal::unix::SignalKind;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::locked;

/// The programs of this process that have not been waited for, whichever reaper waits for them.
static PROGRAMS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Whether this is a program that was started here (a hook's, a provider's; not the command of `exec`).
pub(super) fn is_a_program(pid: Pid) -> bool {
    locked(&PROGRAMS).contains(&pid)
}

/// Which children are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// All that the process has, whoever started them.
    Every,
    /// Those that were started here: for tests, which have waiters of their own beside us.
    #[cfg(test)]
    Started,
}

/// The children that were started here and have not been waited for.
pub(super) struct Children {
    running: Mutex<HashMap<Pid, Told>>,
    reach: Reach,
}

/// Who is told of a child.
enum Told {
    /// Of its end, whoever runs a program. What it left in its group ends with it.
    Program(Option<oneshot::Sender<Status>>),
    /// Of its stops, too, whoever supervises a command. What that leaves behind is its own.
    Command(mpsc::UnboundedSender<Happened>),
}

/// What happened to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// This signal stopped it; it can be continued.
    Stopped(i32),
    /// It has ended.
    Ended(Status),
}

/// Waits for children, as a task, until cancelled.
pub struct Reaper {
    children: Arc<Children>,
    signal: tokio::signal::unix::Signal,
}

/// A child that may still run. Dropped, its process group is killed.
pub(super) struct Running {
    pid: Pid,
    children: Arc<Children>,
    ended: oneshot::Receiver<Status>,
}

impl Reaper {
    /// From here on the end of a child is heard of. To be called inside a runtime.
    pub(super) fn new(reach: Reach) -> io::Result<Self> {
        let signal = tokio::signal::unix::signal(SignalKind::child())?;
        let children = Arc::new(Children { running: Mutex::default(), reach });
        Ok(Self { children, signal })
    }

    pub(super) fn children(&self) -> Arc<Children> {
        Arc::clone(&self.children)
    }

    /// Reaps until cancelled.
    pub async fn run(mut self, cancel: CancellationToken) {
        loop {
            // Several ends may share one signal, and the first may have come before we listened.
            self.children.reap();
            tokio::select! {
                () = cancel.cancelled() => return self.children.reap(),
                Some(()) = self.signal.recv() => {}
            }
        }
    }
}

impl Drop for Reaper {
    /// Nobody is told any more: whoever waits is not left waiting.
    fn drop(&mut self) {
        locked(&self.children.running).values_mut().for_each(|told| *told = Told::Program(None));
    }
}

impl Children {
    /// Starts a program whose process group is its own.
    pub(super) fn start(self: &Arc<Self>, command: &mut Command) -> io::Result<(Child, Running)> {
        // A failed start is waited for by the standard library: not by us meanwhile.
        let mut running = locked(&self.running);
        let child = command.spawn()?;
        let (sender, ended) = oneshot::channel();
        let pid = Pid::from_child(&child);
        running.insert(pid, Told::Program(Some(sender)));
        locked(&PROGRAMS).push(pid);
        drop(running);
        Ok((child, Running { pid, children: Arc::clone(self), ended }))
    }

    /// Starts a command that is supervised.
    pub(super) fn supervise(
        &self,
        command: &mut Command,
    ) -> io::Result<(Pid, mpsc::UnboundedReceiver<Happened>)> {
        let mut running = locked(&self.running);
        let pid = Pid::from_child(&command.spawn()?);
        let (sender, happened) = mpsc::unbounded_channel();
        running.insert(pid, Told::Command(sender));
        Ok((pid, happened))
    }

    /// Sends a child a signal. False: it has ended before that.
    pub(super) fn signal(&self, pid: Pid, signal: Signal) -> bool {
        let running = locked(&self.running);
        let lives = running.contains_key(&pid) && ended(libc::P_PID, number(pid)).is_none();
        lives && rustix::process::kill_process(pid, signal).is_ok()
    }

    /// Continues a child's whole group, which is its own.
    pub(super) fn continue_group(&self, pid: Pid) {
        if locked(&self.running).contains_key(&pid) {
            let _ = rustix::process::kill_process_group(pid, Signal::CONT);
        }
    }

    /// Waits for all that have ended.
    fn reap(&self) {
        let mut running = locked(&self.running);
        for (pid, told) in running.iter() {
            if let Told::Command(sender) = told
                && let Some(signal) = stopped(*pid)
            {
                // Whoever wanted to know may have gone.
                let _ = sender.send(Happened::Stopped(signal));
            }
        }
        match self.reach {
            Reach::Every => {
                while let Some(pid) = ended(libc::P_ALL, 0) {
                    finish(pid, &mut running);
                }
            }
            #[cfg(test)]
            Reach::Started => {
                let pids: Vec<Pid> = running.keys().copied().collect();
                for pid in pids {
                    if ended(libc::P_PID, number(pid)).is_some() {
                        finish(pid, &mut running);
                    }
                }
            }
        }
    }

    /// How many were not waited for yet.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        locked(&self.running).len()
    }

    fn kill(&self, pid: Pid) {
        if locked(&self.running).contains_key(&pid) {
            kill_group(pid);
        }
    }
}

/// Ends what a program left behind in its group, takes its status, and passes it on.
fn finish(pid: Pid, running: &mut HashMap<Pid, Told>) {
    let told = running.remove(&pid);
    if matches!(told, Some(Told::Program(_))) {
        // Until it is waited for, its pid names this group and no other.
        kill_group(pid);
        locked(&PROGRAMS).retain(|program| *program != pid);
    }
    let taken = rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    let status = taken.ok().flatten().and_then(|status| {
        status
            .exit_status()
            .map(Status::Exited)
            .or_else(|| status.terminating_signal().map(Status::Signalled))
    });
    // Whoever wanted to know may have gone.
    match (told, status) {
        (Some(Told::Program(Some(sender))), Some(status)) => drop(sender.send(status)),
        (Some(Told::Command(sender)), Some(status)) => drop(sender.send(Happened::Ended(status))),
        _ => {}
    }
}

/// The signal that has stopped a child since it was last asked.
fn stopped(pid: Pid) -> Option<i32> {
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
    rustix::process::waitid(WaitId::Pid(pid), options).ok().flatten()?.stopping_signal()
}

fn number(pid: Pid) -> libc::id_t {
    pid.as_raw_nonzero().get().unsigned_abs()
}

/// A child that has ended and was not waited for; it stays that.
fn ended(kind: libc::idtype_t, id: libc::id_t) -> Option<Pid> {
    // SAFETY: all zeros are a valid `siginfo_t`, which is plain data.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` lives for the whole call, which writes to it alone.
    if unsafe { libc::waitid(kind, id, &raw mut info, options) } != 0 {
        return None;
    }
    // SAFETY: `waitid` filled it in as of a child's end, or left it zero where there is none.
    Pid::from_raw(unsafe { info.si_pid() })
}

fn kill_group(pid: Pid) {
    // What has ended already is no failure. The group is the child's own from before it ran its
    // program; should it have left it, it is meant all the same.
    let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    let _ = rustix::process::kill_process(pid, Signal::KILL);
}

impl Running {
    /// How it ended. `None`: the reaper has ended before it.
    pub(super) async fn ended(&mut self) -> Option<Status> {
        (&mut self.ended).await.ok()
    }

    /// Kills its process group; it is waited for.
    pub(super) fn kill(&self) {
        self.children.kill(self.pid);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
