//! Processes of pods, as root on their machine sees them.

use std::path::PathBuf;

use leasehold_harness as harness;

/// One line of `/proc/PID/status`.
#[track_caller]
pub(crate) fn process_status(pid: u32, key: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"));
    line.unwrap_or_else(|| panic!("no {key} in {status}")).to_owned()
}

/// The memory group that a process is in, as a folder.
#[track_caller]
pub(crate) fn memory_group(pid: u32) -> PathBuf {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the process lives");
    let of = |controller: &str| {
        let mut lines = groups.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        lines.find(|line| line[1].split(',').any(|it| it == controller)).map(|line| line[2].to_owned())
    };
    match (of("memory"), of("")) {
        (Some(path), _) => format!("/sys/fs/cgroup/memory{path}").into(),
        (None, Some(path)) => format!("/sys/fs/cgroup{path}").into(),
        (None, None) => panic!("no memory group: {groups}"),
    }
}

/// Ends a process of the machine without a word.
#[track_caller]
pub(crate) fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::kill_process(pid, harness::Signal::KILL).expect("the process lives");
}
