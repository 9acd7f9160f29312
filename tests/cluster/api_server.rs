//! The node's API server, stopped for a while.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{eventually, program};
use leasehold_harness as harness;
use rustix::process::{Pid, Signal, kill_process};

use crate::SOON;
use crate::node::{PLACE, kubectl};

/// While it lives, nobody answers at the API server's address. Only for tests in modules named `alone`.
#[derive(Debug)]
pub(crate) struct Stopped {
    since: Instant,
    started: bool,
}

impl Stopped {
    /// Kills it.
    #[track_caller]
    pub(crate) fn now() -> Self {
        let pid = process().expect("it runs");
        let stopped = Self { since: Instant::now(), started: false };
        kill_process(pid, Signal::KILL).expect("it is ours to kill");
        eventually("its end", SOON, || !kubectl(&["get", "--raw", "/livez", "--request-timeout=5s"]).success);
        stopped
    }

    /// Starts it again once it was away for that long, and waits until it serves: how long it was away in all.
    #[track_caller]
    pub(crate) fn for_at_least(mut self, length: Duration) -> Duration {
        eventually("the time is up", length + SOON, || self.since.elapsed() >= length);
        self.start();
        eventually("it serves again", SOON, || {
            kubectl(&["get", "--raw", "/readyz", "--request-timeout=5s"]).success
        });
        self.since.elapsed()
    }

    /// As `up` does it. It is to outlive this process.
    fn start(&mut self) {
        self.started = true;
        let place = Path::new(PLACE);
        let holder = std::fs::read_to_string(place.join("holder.pid")).expect("a node is up");
        // Neither the terminal's signals reach it, nor does it hold the lock of a run.
        let script =
            "exec setsid nsenter -t \"$1\" -m -n -p -- \"$2/apiserver\" 9<&- >>\"$2/log/apiserver.log\" 2>&1";
        let mut command = Command::new("bash");
        command.args(["-c", script, "bash", holder.trim(), PLACE]).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("bash starts");
        std::fs::write(place.join("apiserver.pid"), format!("{}\n", child.id())).expect("ours to write");
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if !self.started {
            self.start();
        }
    }
}

/// The one process that runs the node's program.
fn process() -> Option<Pid> {
    let ours = program("kube-apiserver");
    let entries = std::fs::read_dir("/proc").expect("it is mounted").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == ours))
        .find_map(Pid::from_raw)
}
