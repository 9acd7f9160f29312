//! Components over the native sidecar that change how it runs.

use harness::eventually;
use leasehold_harness as harness;

use crate::SOON;
use crate::machine::process_status;
use crate::stage::{Changes, Stage};

#[test]
fn behind_a_hook_the_application_starts_after_the_first_generation_too() {
    let stage = Stage::new("hook", "10m", "1h");
    let pod = stage.deploy_and_hold_back("native", &Changes::default().component("fast-start"));
    let leasehold = pod.get().unwrap()["spec"]["initContainers"][0].take();
    assert!(
        leasehold["startupProbe"].is_null() && leasehold["lifecycle"]["postStart"].is_object(),
        "{leasehold}"
    );
    pod.wait_until_ready("application");
    eventually("it logs in", SOON, || pod.log("application").contains("credential 1 "));
    let (ours, its) = (pod.lines("leasehold"), pod.follow("application"));

    stage.end();
    pod.wait_until_gone();
    let its = its.end();
    assert!(ours.at("\"published\"") < its.at("started with files"), "{ours:#?} {its:#?}");
    assert_eq!(its.with("failed log-in"), [""; 0], "{its:#?}");
    stage.wait_until_nothing_is_left();
}

#[test]
fn a_signal_reaches_the_application_through_the_shared_process_namespace() {
    let stage = Stage::new("signal", "10s", "20s");
    let changes =
        Changes::default().component("signal").own_environment("APPLICATION_PROCESS", "application");
    stage.deploy("native", &changes);
    let pod = stage.pod();
    pod.wait_until_ready("application");
    // What a signal takes, and costs.
    let uid = "10001\t10001\t10001\t10001";
    for container in ["leasehold", "application"] {
        assert_eq!(process_status(pod.process(container), "Uid"), uid, "{container}");
    }
    eventually("the second credential", 2 * SOON, || pod.log("application").contains("credential 2 "));
    eventually("the signal", SOON, || pod.log("application").contains("signal HUP"));
    eventually("it says so", SOON, || pod.log("leasehold").contains("\"action_done\""));
    let its = pod.lines("application");
    assert_eq!(its.with("signal HUP").len() + 1, its.with("credential ").len(), "{its:#?}");
    assert_eq!(its.with("failed log-in"), [""; 0], "{its:#?}");

    stage.end();
    pod.wait_until_gone();
    stage.wait_until_nothing_is_left();
}
