//! Manifests that somebody got wrong: each ends with words in the pod's status that say what to change.

use crate::SOON;
use crate::stage::{Changes, Stage};
use harness::eventually;
use leasehold_harness as harness;

/// leasehold's container, and one of its mounts, in the manifest of the native mode.
const OURS: &str = "/spec/template/spec/initContainers/0";
const OUTPUT: &str = "/spec/template/spec/initContainers/0/volumeMounts/2";

/// Deploys the native mode with a patch of the Deployment, and waits for the end of leasehold.
#[track_caller]
fn end_with(name: &str, patch: &str) -> (i64, String) {
    let stage = Stage::new(name, "1m", "1h");
    stage.deploy("native", &Changes::default().patch("Deployment", patch));
    let pod = stage.pod();
    let end = pod.end_of("leasehold");
    pod.show(name);
    assert!(pod.described().contains(&end.message), "{}", pod.described());
    assert!(pod.container("application").unwrap()["state"]["running"].is_null(), "it must not start");
    (end.code, end.message)
}

#[test]
fn the_output_directory_as_a_sub_path_of_the_volume_is_refused_with_the_remedy() {
    let patch = format!(
        "- {{ op: test, path: {OUTPUT}/name, value: leasehold-output }}
- {{ op: replace, path: {OUTPUT}/mountPath, value: /run/secrets/leasehold/live }}
- {{ op: add, path: {OUTPUT}/subPath, value: live }}"
    );
    let (code, message) = end_with("sub-path", &patch);
    assert_eq!(code, 73, "{message}");
    assert!(message.contains("cannot use as output directory \"/run/secrets/leasehold/live\""), "{message}");
    assert!(message.contains("subPath"), "{message}");
}

#[test]
fn a_read_only_output_is_refused_with_the_remedy() {
    let patch = format!(
        "- {{ op: test, path: {OUTPUT}/name, value: leasehold-output }}
- {{ op: add, path: {OUTPUT}/readOnly, value: true }}"
    );
    let (code, message) = end_with("read-only", &patch);
    assert_eq!(code, 73, "{message}");
    assert!(
        message.contains("\"/run/secrets/leasehold/live\": its volume is mounted read-only"),
        "{message}"
    );
    assert!(message.ends_with("mount it read-write into this container"), "{message}");
}

#[test]
fn without_the_projected_token_it_ends_at_once_and_names_the_file() {
    let mount = "/spec/template/spec/initContainers/0/volumeMounts/3";
    let patch = format!(
        "- {{ op: test, path: {mount}/name, value: leasehold-token }}
- {{ op: remove, path: {mount} }}"
    );
    let (code, message) = end_with("no-token", &patch);
    assert_eq!(code, 78, "{message}");
    assert!(message.contains("auth.token_file: /var/run/secrets/tokens/vault does not exist"), "{message}");
    assert!(message.contains("serviceAccountToken"), "{message}");
}

#[test]
fn a_second_leasehold_on_the_same_volumes_waits_and_names_the_first() {
    let stage = Stage::new("two", "1m", "1h");
    // In order: the first has its generation before the second starts.
    let patch = format!(
        "- {{ op: copy, from: {OURS}, path: /spec/template/spec/initContainers/1 }}
- {{ op: replace, path: /spec/template/spec/initContainers/1/name, value: second }}
- {{ op: remove, path: /spec/template/spec/initContainers/1/ports }}"
    );
    let changes =
        Changes::default().patch("Deployment", &patch).own_environment("LEASEHOLD_STARTUP_DEADLINE", "10s");
    stage.deploy("native", &changes);
    let pod = stage.pod();
    let end = pod.end_of("second");
    pod.show("two");
    assert_eq!(end.code, 73, "{end:?}");
    let holder = format!("it is in use by `leasehold run` on host \"{}\"", pod.name);
    assert!(end.message.contains(&holder), "{end:?}");
    assert!(end.message.contains("lifecycle.state_directory"), "{end:?}");
    // A busy runtime notes the start some time after it.
    assert!(end.lasted.as_secs() >= 7, "it waits for the first to end: {end:?}");
    assert!(pod.described().contains(&end.message), "{}", pod.described());

    assert_eq!(pod.restarts("leasehold"), 0, "the first is none the worse");
    eventually("the first goes on", SOON, || pod.status()["ready"] == true);
    assert_eq!(stage.mints().len(), 1, "and the second took nothing");
}
