//! The native sidecar: an init container that stays.

use harness::eventually;
use harness::vault;
use leasehold_harness as harness;

use crate::SOON;
use crate::stage::{Changes, Stage};

#[test]
fn the_application_starts_after_the_first_generation_rotates_without_a_failed_log_in_and_leaves_nothing() {
    let stage = Stage::new("native", "20s", "40s");
    let mark = vault().audit().mark();
    stage.deploy("native", &Changes::default().environment("DRAIN", "3"));
    let pod = stage.pod();
    pod.wait_until_ready("application");
    let said = |what: &str| pod.log("application").lines().filter(|line| line.contains(what)).count();
    eventually("it started", SOON, || said("started") == 1);
    assert_eq!(said("started with files"), 1, "{}", pod.log("application"));

    eventually("three credentials", 2 * SOON, || said("credential ") >= 3);
    assert_eq!(said("failed"), 0, "{}", pod.log("application"));
    assert_eq!(vault().audit().matching(mark, "update", "auth/kubernetes/login").len(), 1);

    stage.end();
    pod.wait_until_gone();
    stage.wait_until_nothing_is_left();
}
