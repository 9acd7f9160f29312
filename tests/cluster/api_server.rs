//! The node's API server, stopped for a while.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{eventually, program};
use leasehold_harness as harness;

use crate::SOON;
use crate::machine::kill;
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
        let stopped = Self { since: Instant::now(), started: false };
        kill(process().expect("it runs"));
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
        let holder = std::fs::read_to_string(Path::new(PLACE).join("holder.pid")).expect("a node is up");
        // Neither the terminal's signals reach it, nor does it hold the lock of a run.
        let script =
            "setsid nsenter -t \"$1\" -m -n -p -- \"$2/apiserver\" 9<&- >>\"$2/log/apiserver.log\" 2>&1 &
            echo $! >\"$2/apiserver.pid\"";
        let mut command = Command::new("bash");
        command.args(["-c", script, "bash", holder.trim(), PLACE]).stdin(Stdio::null());
        let started = command.status().expect("bash starts");
        assert!(started.success(), "starting the API server again: {started}");
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
fn process() -> Option<u32> {
    let ours = program("kube-apiserver");
    let entries = std::fs::read_dir("/proc").expect("it is mounted").flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == ours))
}
