//! Without native sidecars: an init container, with an ordinary one after it or alone.

use std::time::Duration;

use harness::{eventually, vault};
use leasehold_harness as harness;
use serde_json::json;

use crate::SOON;
use crate::machine::kill;
use crate::stage::{Changes, Stage};

#[test]
fn one_credential_lasts_from_the_init_container_through_a_kill_to_the_end() {
    let stage = Stage::new("classic", "10m", "1h");
    let changes =
        Changes::default().configuration("revoke_delay: 20s", "revoke_delay: 12s").environment("DRAIN", "3");
    stage.deploy("classic", &changes);
    let pod = stage.pod();
    pod.wait_until_ready("leasehold");
    pod.wait_until_ready("application");
    eventually("it logs in", SOON, || pod.log("application").contains("credential 1 "));
    let init = pod.ended("leasehold-init").unwrap();
    assert_eq!(init["exitCode"], 0, "{init}");
    let said = pod.log("leasehold-init");
    assert!(said.contains("handed over"), "{said}");
    let lease = pod.status()["secrets"]["db"]["lease"].clone();
    assert_eq!(stage.database.leases(), [lease.as_str().unwrap()]);

    kill(pod.process("leasehold"));
    eventually("the kubelet starts it again", SOON, || pod.restarts("leasehold") == 1);
    pod.wait_until_ready("leasehold");
    assert_eq!(pod.status()["secrets"]["db"]["lease"], lease);

    let (ours, its) = (pod.follow("leasehold"), pod.follow("application"));
    stage.end();
    pod.wait_until_gone();
    let (ours, its) = (ours.end(), its.end());
    assert_eq!(its.with("started with files").len(), 1, "{its:#?}");
    assert_eq!((its.with("credential ").len(), its.with("failed log-in").len()), (1, 0), "{its:#?}");
    // Both are told at once, so ours waits for as long as it was told that the application takes.
    assert!(its.at("ended: ") < ours.at("\"session_revoked\""), "{ours:#?} {its:#?}");
    let waited = ours.at("\"session_revoked\"").saturating_sub(ours.at("\"ending\""));
    assert!(waited >= Duration::from_secs(11), "{waited:?}: {ours:#?}");
    assert_eq!((stage.mints().len(), stage.tokens().len()), (1, 1));
    stage.wait_until_nothing_is_left();
}

#[test]
fn an_init_container_alone_leaves_files_says_when_they_end_and_what_it_took_ends_by_itself() {
    // Longer than a busy node needs to start the application and to answer what is asked of it below.
    let stage = Stage::new("init", "45s", "45s");
    let kv = vault().kv_mount("init", 2);
    kv.put("web", json!({ "token": "of-the-store" }));
    let policy = vault().policy("init").read(&stage.creds).read(&kv.data("web")).create();
    stage.allow(&policy, "45s");
    // The manifest's own secret is static; a leased one beside it shows what the manifest warns of.
    let leased = format!("path: {}/web\n  db:\n    provider: vault\n    path: database/creds/web", kv.path());
    let template =
        "DATABASE_URL=postgres://{{ db.username }}:{{ db.password | urlencode }}@postgres:5432/web";
    let file = format!("files:\n  db.env:\n    template: |\n      {template}\n");
    let changes =
        Changes::default().configuration("path: secret/web", &leased).configuration("files:\n", &file);
    stage.deploy("init", &changes);
    let pod = stage.pod();
    pod.wait_until_ready("application");
    eventually("it logs in", SOON, || pod.log("application").contains("credential 1 "));
    assert!(pod.log("application").contains("started with files"));

    let init = pod.ended("leasehold-init").unwrap();
    assert_eq!(init["exitCode"], 0, "{init}");
    let said = pod.log("leasehold-init");
    assert!(said.contains(r#"secret \"db\" ends first, in "#), "{said}");
    let files = format!("/proc/{}/root/run/secrets/leasehold/live", pod.process("application"));
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(format!("{files}/web.json")).unwrap()).unwrap();
    assert_eq!(json, json!({ "token": "of-the-store" }));
    assert_eq!(stage.database.leases().len(), 1);

    // Nobody renews it: it ends under the application, whose files stay.
    eventually("the credential ends", 2 * SOON, || pod.log("application").contains("failed log-in"));
    assert!(std::fs::exists(format!("{files}/db.env")).unwrap());
    assert_eq!((stage.mints().len(), stage.tokens().len()), (1, 1));
    stage.end();
    pod.wait_until_gone();
    stage.wait_until_nothing_is_left();
}
