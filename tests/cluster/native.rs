//! The native sidecar: an init container that stays.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use harness::eventually;
use leasehold_harness as harness;
use serde_json::json;

use crate::SOON;
use crate::machine::{kill, process_status};
use crate::node::Pod;
use crate::stage::{Changes, Stage};

#[test]
fn the_application_starts_after_the_first_generation_rotates_without_a_failed_log_in_and_leaves_nothing() {
    let stage = Stage::new("native", "15s", "30s");
    let pod = stage.deploy_and_hold_back("native", &Changes::default().environment("DRAIN", "5"));
    pod.wait_until_ready("application");
    eventually("it started", SOON, || pod.log("application").contains("started"));
    let (ours, its) = (pod.lines("leasehold"), pod.lines("application"));
    assert!(ours.at("\"published\"") < its.at("started with files"), "{ours:#?} {its:#?}");
    assert_eq!(its.with("started").len(), 1, "{its:#?}");

    let credentials = || pod.lines("application").with("credential ").len();
    eventually("three credentials", 2 * SOON, || credentials() >= 3);
    assert_eq!(stage.tokens().len(), 1, "one log-in for all of them");
    assert_eq!((pod.restarts("leasehold"), pod.restarts("application")), (0, 0));

    let (ours, its) = (pod.follow("leasehold"), pod.follow("application"));
    stage.end();
    pod.wait_until_gone();
    let (ours, its) = (ours.end(), its.end());
    assert_eq!(its.with("failed log-in"), [""; 0], "{its:#?}");
    // It was let go on for as long as it wanted, and went on logging in.
    let drained = its.at("ended: ").saturating_sub(its.at("asked to end"));
    assert!(drained > Duration::from_secs(4), "{drained:?}: {its:#?}");
    assert!(its.at("ended: ") < ours.at("\"session_revoked\""), "{ours:#?} {its:#?}");
    stage.wait_until_nothing_is_left();
}

#[test]
fn it_runs_without_rights_answers_kubectl_exec_and_a_kill_costs_no_credential() {
    let stage = Stage::new("killed", "10m", "1h");
    stage.deploy("native", &Changes::default());
    let pod = stage.pod();
    pod.wait_until_ready("application");
    eventually("it logs in", SOON, || pod.log("application").contains("credential 1 "));
    has_no_rights(&pod);
    shares_by_group_alone(&pod);
    answers_kubectl_exec(&pod);

    let lease = pod.status()["secrets"]["db"]["lease"].clone();
    assert!(lease.as_str().is_some_and(|id| id.starts_with(&stage.creds)), "{lease}");
    kill(pod.process("leasehold"));
    eventually("the kubelet starts it again", SOON, || pod.restarts("leasehold") == 1);
    pod.wait_until_ready("leasehold");
    assert_eq!(pod.status()["secrets"]["db"]["lease"], lease);
    assert_eq!(pod.ended("leasehold").unwrap()["exitCode"], 137);
    assert_eq!((stage.mints().len(), stage.tokens().len()), (1, 1));
    assert_eq!(pod.restarts("application"), 0);

    let its = pod.follow("application");
    stage.end();
    pod.wait_until_gone();
    let its = its.end();
    assert_eq!((its.with("credential ").len(), its.with("failed log-in").len()), (1, 0), "{its:#?}");
    stage.wait_until_nothing_is_left();
}

#[test]
fn a_stateful_sets_pod_that_is_evicted_gives_back_all_before_its_successor_has_its_own() {
    let stage = Stage::new("stateful", "10m", "1h");
    stage.deploy("statefulset", &Changes::default().environment("DRAIN", "2"));
    let pod = stage.pod();
    assert_eq!(pod.name, "web-0");
    pod.wait_until_ready("application");
    eventually("it logs in", SOON, || pod.log("application").contains("credential 1 "));
    let (first, roles) = (pod.get().unwrap()["metadata"]["uid"].clone(), stage.database.roles());
    assert_eq!(roles.len(), 1, "{roles:?}");

    let (ours, its) = (pod.follow("leasehold"), pod.follow("application"));
    pod.evict();
    let (ours, its) = (ours.end(), its.end());
    assert!(its.at("ended: ") < ours.at("\"session_revoked\""), "{ours:#?} {its:#?}");
    assert_eq!(its.with("failed log-in"), [""; 0], "{its:#?}");

    eventually("its successor runs", SOON, || {
        let other = pod.get().is_some_and(|pod| pod["metadata"]["uid"] != first);
        other && pod.log("application").contains("credential 1 ")
    });
    let now = stage.database.roles();
    assert!(now.len() == 1 && now != roles, "{now:?} after {roles:?}");
    assert_eq!((stage.mints().len(), stage.tokens().len()), (2, 2));
    stage.end();
    pod.wait_until_gone();
    stage.wait_until_nothing_is_left();
}

/// As the kernel says of the process.
#[track_caller]
fn has_no_rights(pod: &Pod<'_>) {
    let pid = pod.process("leasehold");
    let status = |key: &str| process_status(pid, key);
    assert_eq!(status("Name"), "leasehold");
    assert_eq!(status("Uid"), "65532\t65532\t65532\t65532");
    assert_eq!(status("Gid"), "65532\t65532\t65532\t65532");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status(set), "0000000000000000", "{set}");
    }
    // Filtered: RuntimeDefault.
    assert_eq!((&*status("NoNewPrivs"), &*status("Seccomp")), ("1", "2"));

    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let options = |place: &str| {
        let line =
            mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|line| line[4] == place);
        line.unwrap_or_else(|| panic!("{place} is no mount: {mounts}"))[5].split(',').collect::<Vec<_>>()
    };
    assert!(options("/").contains(&"ro"), "{mounts}");
    assert!(options("/run/secrets/leasehold").contains(&"rw"), "{mounts}");
}

/// Ours as one uid, the application as another; where symlinks are protected, as on every machine of a cluster.
#[track_caller]
fn shares_by_group_alone(pod: &Pod<'_>) {
    let protected = std::fs::read_to_string("/proc/sys/fs/protected_symlinks").unwrap();
    assert_eq!(protected.trim(), "1");
    let application = pod.process("application");
    assert_eq!(process_status(application, "Uid"), "10001\t10001\t10001\t10001");
    let file =
        std::fs::metadata(format!("/proc/{application}/root/run/secrets/leasehold/live/db.env")).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (65532, 10001, 0o440));
    let refused = std::fs::read_dir(format!("/proc/{application}/root/run/leasehold"));
    assert!(refused.is_err(), "the hand-over is not the application's");
}

/// In an image without a shell.
#[track_caller]
fn answers_kubectl_exec(pod: &Pod<'_>) {
    let status = pod.status();
    assert_eq!(status["ready"], true, "{status}");
    assert_eq!(status["secrets"]["db"]["state"], "held", "{status}");
    let table = pod.exec("leasehold", &["leasehold", "status"]).done();
    for what in ["generation 1, 1 file", "SECRET", "db", status["secrets"]["db"]["lease"].as_str().unwrap()] {
        assert!(table.contains(what), "{what}: {table}");
    }
    let file = format!("/proc/{}/root/run/secrets/leasehold/live/db.env", pod.process("application"));
    let address = std::fs::read_to_string(file).unwrap();
    let credential = address.strip_prefix("DATABASE_URL=postgres://").and_then(|rest| rest.split_once('@'));
    for value in credential.unwrap().0.split(':') {
        assert!(!table.contains(value) && !status.to_string().contains(value), "{table}{status}");
    }
    for probe in [&["live"][..], &["ready"], &["ready", "--wait", "10s"]] {
        pod.exec("leasehold", &[&["leasehold", "probe"], probe].concat()).done();
    }
    let unknown = pod.exec("leasehold", &["leasehold", "refresh", "nothing-of-that-name"]);
    assert!(!unknown.success, "{unknown:?}");
    assert_eq!(status["needs_restart"], json!([]));
}
