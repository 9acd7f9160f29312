//! Another image of the sidecar in a live pod: `leasehold handover`, then `kubectl set image`.

use harness::eventually;
use leasehold_harness as harness;
use serde_json::Value;

use crate::SOON;
use crate::node::Pod;
use crate::stage::{Changes, Stage};

#[test]
fn an_image_that_is_changed_in_a_live_pod_after_a_handover_goes_on_with_the_same_lease() {
    let stage = Stage::new("handover", "10m", "1h");
    stage.deploy("native", &Changes::default());
    let pod = stage.pod();
    pod.wait_until_ready("application");
    eventually("it logs in", SOON, || pod.log("application").contains("credential 1 "));
    let lease = pod.status()["secrets"]["db"]["lease"].clone();
    assert!(lease.as_str().is_some_and(|id| id.starts_with(&stage.creds)), "{lease}");

    let told = pod.exec("leasehold", &["leasehold", "handover"]).done();
    assert!(told.contains("the next SIGTERM revokes nothing"), "{told}");
    assert_eq!(pod.status()["handover"], true);

    // The other image has the same binary, which anybody may read: another image to the kubelet.
    let before = running(&pod);
    let image = "leasehold=localhost/leasehold:dev-install";
    stage.space.kubectl(&["set", "image", &format!("pod/{}", pod.name), image]).done();
    eventually("the kubelet starts the other image", 2 * SOON, || {
        let now = running(&pod);
        now != before && pod.restarts("leasehold") == 1
    });
    pod.wait_until_ready("leasehold");
    let ended = pod.ended("leasehold").expect("the first one ended");
    assert_eq!(ended["exitCode"], 0, "{ended}");
    assert_eq!(pod.status()["secrets"]["db"]["lease"], lease);
    assert_eq!(pod.status()["handover"], false, "it was for one end");
    assert_eq!((stage.mints().len(), stage.tokens().len()), (1, 1));
    assert_eq!(stage.database.leases(), [lease.as_str().unwrap()]);
    assert_eq!(pod.restarts("application"), 0);

    let its = pod.follow("application");
    stage.end();
    pod.wait_until_gone();
    let its = its.end();
    assert_eq!((its.with("credential ").len(), its.with("failed log-in").len()), (1, 0), "{its:#?}");
    stage.wait_until_nothing_is_left();
}

/// The image that runs, as the runtime names it.
fn running(pod: &Pod<'_>) -> Value {
    pod.container("leasehold").map(|status| status["containerID"].clone()).unwrap_or_default()
}
