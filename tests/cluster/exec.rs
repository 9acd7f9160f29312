//! The wrapper in the application's own container, out of a volume that an init container fills.

use harness::eventually;
use leasehold_harness as harness;

use crate::machine::process_status;
use crate::stage::{Changes, Stage};
use crate::{SOON, node};

/// What the restarts of the application leave in one log: its starts, credentials and failures.
fn said(pod: &node::Pod<'_>) -> String {
    pod.log("application")
}

#[test]
fn an_image_that_knows_nothing_of_it_gets_its_environment_is_restarted_on_rotation_and_leaves_nothing() {
    let stage = Stage::new("exec", "15s", "30s");
    // The example's are for people: a rotation here comes every twenty seconds.
    let changes = Changes::default()
        .configuration("drain: 5s", "drain: 3s")
        .configuration("grace: 20s", "grace: 5s\n  splay: 0s");
    stage.deploy("exec", &changes);
    let pod = stage.pod();
    pod.wait_until_ready("application");
    eventually("it logs in", SOON, || said(&pod).contains("credential 1 "));
    let installed = pod.ended("leasehold-install").expect("an init container that ended");
    assert_eq!(installed["exitCode"], 0, "{installed}");
    assert!(said(&pod).contains("started with its environment and no files, as uid 10001"), "{}", said(&pod));

    // No credential on a command line, and none in the wrapper's own environment.
    let address = |pid: u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let text = String::from_utf8_lossy(&environment).into_owned();
        text.split('\0').find_map(|entry| entry.strip_prefix("DATABASE_URL=").map(str::to_owned))
    };
    let wrapper = pod.process("application");
    assert_eq!(process_status(wrapper, "Name"), "leasehold");
    assert_eq!(process_status(wrapper, "Uid"), "10001\t10001\t10001\t10001");
    assert_eq!(address(wrapper), None);
    let child = eventually("its child", SOON, || {
        pod.processes("application").into_iter().find(|pid| address(*pid).is_some())
    });
    let password =
        address(child).and_then(|address| Some(address.split_once('@')?.0.rsplit_once(':')?.1.to_owned()));
    let password = password.expect("a credential in the child's environment");
    for pid in pod.processes("application") {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(&password), "{pid}");
    }

    // Two restarts of the application, none of the container.
    let starts = || said(&pod).lines().filter(|line| line.contains("started with its environment")).count();
    eventually("it is started again, twice", 3 * SOON, || starts() >= 3);
    assert_eq!(pod.restarts("application"), 0);
    assert_eq!(stage.tokens().len(), 1, "one log-in for all of them");

    let its = pod.follow("application");
    stage.end();
    pod.wait_until_gone();
    let its = its.end();
    assert_eq!(its.with("failed log-in"), [""; 0], "{its:#?}");
    stage.wait_until_nothing_is_left();
}
