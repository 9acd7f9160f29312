//! The kernel takes the sidecar's process when its container is out of memory.

use std::process::{Command, Stdio};

use harness::process::Group;
use harness::{eventually, tmpfs};
use leasehold_harness as harness;

use crate::SOON;
use crate::machine::memory_group;
use crate::stage::{Changes, Stage};

#[test]
fn killed_for_memory_it_comes_back_with_the_same_lease_and_the_application_does_not_notice() {
    let stage = Stage::new("memory", "10m", "1h");
    stage.deploy("native", &Changes::default());
    let pod = stage.pod();
    pod.wait_until_ready("application");
    eventually("it logs in", SOON, || pod.log("application").contains("credential 1 "));
    let lease = pod.status()["secrets"]["db"]["lease"].clone();

    // Its container's memory is filled by files on a tmpfs, which count against whoever writes them; so of the two
    // processes in it ours is the larger, the more since the kernel is told to think so.
    let pid = pod.process("leasehold");
    std::fs::write(format!("/proc/{pid}/oom_score_adj"), "1000").unwrap();
    let (group, folder) = (memory_group(pid).join("cgroup.procs"), tmpfs());
    let file = folder.join("fill");
    let fill =
        format!("echo $$ >{} && exec dd if=/dev/zero of={} bs=64k count=1k", group.display(), file.display());
    let mut writer = Command::new("sh");
    writer.args(["-c", &fill]).stdin(Stdio::null()).stderr(Stdio::null());
    let mut writer = Group::spawn(&mut writer);
    eventually("it is killed", SOON, || !std::fs::exists(format!("/proc/{pid}")).unwrap());
    writer.kill();
    drop(folder);

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
