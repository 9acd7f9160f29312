//! The kernel takes the sidecar's process when its container is out of memory.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use harness::eventually;
use harness::process::Group;
use leasehold_harness as harness;

use crate::SOON;
use crate::stage::{Changes, Stage};

#[test]
fn killed_for_memory_it_comes_back_with_the_same_lease_and_the_application_does_not_notice() {
    let stage = Stage::new("memory", "10m", "1h");
    stage.deploy("native", &Changes::default());
    let pod = stage.pod();
    pod.wait_until_ready("application");
    eventually("it logs in", SOON, || pod.log("application").contains("credential 1 "));
    let lease = pod.status()["secrets"]["db"]["lease"].clone();

    // Something else in its container fills the memory, and of the two the kernel is told to take ours.
    let pid = pod.process("leasehold");
    std::fs::write(format!("/proc/{pid}/oom_score_adj"), "1000").unwrap();
    let enter = format!("echo $$ >{} && exec tail -c 64M /dev/zero", memory_group(pid).display());
    let mut hog = Command::new("sh");
    hog.args(["-c", &enter]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut hog = Group::spawn(&mut hog);
    eventually("it is killed", SOON, || !std::fs::exists(format!("/proc/{pid}")).unwrap());
    hog.kill();

    eventually("the kubelet starts it again", SOON, || pod.restarts("leasehold") == 1);
    let ended = pod.ended("leasehold").unwrap();
    assert_eq!((&ended["reason"], &ended["exitCode"]), (&"OOMKilled".into(), &137.into()), "{ended}");
    pod.wait_until_ready("leasehold");
    assert_eq!(pod.status()["secrets"]["db"]["lease"], lease);
    assert_eq!((stage.mints().len(), stage.tokens().len()), (1, 1));
    assert_eq!(pod.restarts("application"), 0);

    let its = pod.follow("application");
    stage.end();
    pod.wait_until_gone();
    let its = its.end();
    assert_eq!((its.with("credential ").len(), its.with("failed log-in").len()), (1, 0), "{its:#?}");
    stage.wait_until_nothing_is_left();
}

/// The list of processes of the memory group that a process is in, under version 1 or 2.
#[track_caller]
fn memory_group(pid: u32) -> PathBuf {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let of = |controller: &str| {
        let mut lines = groups.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        lines.find(|line| line[1].split(',').any(|it| it == controller)).map(|line| line[2].to_owned())
    };
    let (root, path) = match (of("memory"), of("")) {
        (Some(path), _) => ("/sys/fs/cgroup/memory", path),
        (None, Some(path)) => ("/sys/fs/cgroup", path),
        (None, None) => panic!("no memory group: {groups}"),
    };
    PathBuf::from(format!("{root}{path}")).join("cgroup.procs")
}
