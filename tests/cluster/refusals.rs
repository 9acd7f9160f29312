//! A store that cannot be had or says no, and volumes that will not do: each ends as a person needs it, or is
//! survived where they can see it.

use std::time::Duration;

use harness::{eventually, http, ports, vault};
use leasehold_harness as harness;
use serde_json::json;

use crate::SOON;
use crate::stage::{Changes, Stage};

const ADDRESS: &str = "${VAULT_ADDR:-https://vault.vault.svc:8200}";

#[test]
fn an_unreachable_vault_ends_it_with_75_at_the_deadline_and_the_pods_status_says_so() {
    let stage = Stage::new("unreachable", "1m", "1h");
    let nobody = format!("http://{}", ports::free());
    let changes = Changes::default()
        .configuration(ADDRESS, &nobody)
        .own_environment("LEASEHOLD_STARTUP_DEADLINE", "12s")
        // The released binary has nothing to make a backtrace from, and must not be brought to try.
        .own_environment("RUST_BACKTRACE", "1");
    stage.deploy("native", &changes);
    let pod = stage.pod();
    let end = pod.end_of("leasehold");
    pod.show("unreachable");
    assert_eq!(end.code, 75, "{end:?}");
    // A busy runtime notes the start some time after it.
    assert!((9..30).contains(&end.lasted.as_secs()), "{end:?}");
    assert!(end.message.starts_with("no whole set of secrets within 12s"), "{end:?}");
    assert!(end.message.contains(&nobody.replace("http://", "")), "what was tried: {end:?}");
    let described = pod.described();
    assert!(described.contains(&end.message) && described.contains("Exit Code:    75"), "{described}");
    assert!(pod.container("application").unwrap()["state"]["running"].is_null(), "it must not start");
}

#[test]
fn a_role_of_another_service_account_ends_it_with_77_after_30_seconds() {
    let stage = Stage::new("denied", "1m", "1h");
    stage.change_role(json!({ "bound_service_account_names": "somebody-else" }));
    stage.deploy("native", &Changes::default());
    let pod = stage.pod();
    let end = pod.end_of("leasehold");
    pod.show("denied");
    assert_eq!(end.code, 77, "{end:?}");
    assert!((27..45).contains(&end.lasted.as_secs()), "an API server may be away for 30 s: {end:?}");
    assert!(end.message.contains("refused the log-in at auth/kubernetes (403)"), "{end:?}");
    assert!(end.message.contains("bound to this service account, namespace and audience"), "{end:?}");
    assert!(pod.described().contains(&end.message), "{}", pod.described());
}

#[test]
fn a_policy_that_is_missing_ends_it_with_77_at_once() {
    let stage = Stage::new("no-policy", "1m", "1h");
    stage.allow("default", "10m");
    stage.deploy("classic", &Changes::default());
    let pod = stage.pod();
    let end = pod.end_of("leasehold-init");
    println!("==== no-policy: describe\n{}", pod.described());
    println!("==== no-policy: log\n{}", pod.log("leasehold-init"));
    assert_eq!(end.code, 77, "{end:?}");
    assert!(end.lasted < Duration::from_secs(20), "a policy does not come by itself: {end:?}");
    assert!(end.message.contains(&stage.creds), "which path: {end:?}");
    assert!(end.message.contains("capabilities"), "what to add: {end:?}");
    assert!(pod.described().contains(&end.message), "{}", pod.described());
}

#[test]
fn an_output_on_a_disk_is_refused_with_the_remedy() {
    let stage = Stage::new("on-disk", "1m", "1h");
    let patch = "- { op: test, path: /spec/template/spec/volumes/2/name, value: leasehold-output }
- { op: remove, path: /spec/template/spec/volumes/2/emptyDir/medium }";
    stage.deploy("native", &Changes::default().patch("Deployment", patch));
    let pod = stage.pod();
    let end = pod.end_of("leasehold");
    pod.show("on-disk");
    assert_eq!(end.code, 73, "{end:?}");
    assert!(end.message.contains("which keeps secrets when the machine is off"), "{end:?}");
    assert!(end.message.contains("an emptyDir with medium: Memory"), "{end:?}");
    assert!(pod.described().contains(&end.message), "{}", pod.described());
    assert!(stage.mints().is_empty(), "nothing was taken for it");
}

#[test]
fn a_hand_over_on_a_disk_is_refused_with_the_remedy() {
    let stage = Stage::new("state-on-disk", "1m", "1h");
    let patch = "- { op: test, path: /spec/template/spec/volumes/1/name, value: leasehold-handover }
- { op: remove, path: /spec/template/spec/volumes/1/emptyDir/medium }";
    stage.deploy("native", &Changes::default().patch("Deployment", patch));
    let pod = stage.pod();
    let end = pod.end_of("leasehold");
    pod.show("state-on-disk");
    assert_eq!(end.code, 73, "{end:?}");
    assert!(end.message.contains("/run/leasehold") && end.message.contains("medium: Memory"), "{end:?}");
    assert!(stage.mints().is_empty(), "nothing was taken for it");
}

#[test]
fn a_generation_that_does_not_fit_leaves_the_old_one_in_place_where_everybody_sees_it() {
    let stage = Stage::new("full", "1m", "1h");
    let kv = vault().kv_mount("full", 1);
    let value = |kibibytes: usize, letter: &str| json!({ "text": letter.repeat(kibibytes * 1024) });
    kv.put("page", value(40, "a"));
    let policy = vault().policy("full").read(&stage.creds).read(&kv.data("page")).revoke_leases().create();
    stage.allow(&policy, "10m");
    let secret =
        format!("secrets:\n  page:\n    provider: vault\n    path: {}\n    refresh: 1s\n", kv.data("page"));
    let changes = Changes::default()
        .configuration("secrets:\n", &secret)
        .configuration("files:\n", "files:\n  page: { secret: page, field: text }\n")
        .patch(
            "Deployment",
            "- { op: test, path: /spec/template/spec/volumes/2/name, value: leasehold-output }
- { op: replace, path: /spec/template/spec/volumes/2/emptyDir/sizeLimit, value: 128Ki }",
        );
    stage.deploy("native", &changes);
    let pod = stage.pod();
    pod.wait_until_ready("application");

    kv.put("page", value(100, "b"));
    let refused = eventually("status says that the newer set was refused", SOON, || {
        pod.status()["refused"].as_str().map(str::to_owned)
    });
    pod.show("full");
    assert!(refused.contains("no space is left") && refused.contains("sizeLimit"), "{refused}");
    assert!(pod.log("leasehold").contains("sizeLimit"), "{}", pod.log("leasehold"));
    let files = format!("/proc/{}/root/run/secrets/leasehold/live", pod.process("application"));
    let page = || std::fs::read_to_string(format!("{files}/page")).expect("the old one is there");
    assert_eq!(page(), "a".repeat(40 * 1024));
    let status = pod.status();
    assert_eq!(status["ready"], true, "what is there is valid: {status}");
    let number =
        status["generation"]["number"].as_u64().and_then(|number| u32::try_from(number).ok()).unwrap();
    let address =
        format!("{}:9441", pod.get().unwrap()["status"]["podIP"].as_str().unwrap()).parse().unwrap();
    let get = |path: &str| {
        let request = http::Request { method: "GET".into(), path: path.into(), ..http::Request::default() };
        let answer = http::send(address, &request).expect("the pod is reached from here");
        (answer.status, String::from_utf8(answer.body).unwrap())
    };
    assert_eq!(get("/readyz").0, 200);
    let metrics = get("/metrics").1;
    let generation = metrics.lines().find_map(|line| line.strip_prefix("leasehold_generation "));
    assert_eq!(generation.and_then(|value| value.parse().ok()), Some(f64::from(number)), "{metrics}");

    // What fits again follows by itself.
    kv.put("page", value(50, "c"));
    eventually("the next that fits is in place", SOON, || page() == "c".repeat(50 * 1024));
    let status = pod.status();
    assert_eq!(
        (&status["refused"], status["generation"]["number"].as_u64()),
        (&json!(null), Some(u64::from(number) + 1))
    );
    assert_eq!((pod.restarts("application"), pod.restarts("leasehold")), (0, 0));
    assert!(!pod.log("application").contains("failed"), "{}", pod.log("application"));
}
