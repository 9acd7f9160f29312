//! Vault's log-in by service account: as documented, as this API server says, and no longer than the account
//! lives.

mod documented;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::{eventually, vault};
use leasehold_harness as harness;
use serde_json::{Value, json};

use crate::SOON;
use crate::machine::kill;
use crate::node::{API_SERVER, Space, kubectl, pki};
use crate::stage::{Changes, Stage};

#[test]
fn the_pod_shows_its_projected_token_and_vault_learns_from_the_api_server_whose_it_is() {
    let stage = Stage::new("log-in", "1m", "1h");
    let mark = vault().audit().mark();
    stage.deploy("native", &Changes::default());
    let pod = stage.pod();
    pod.wait_until_ready("leasehold");
    let log_ins = vault().audit().matching(mark, "update", "auth/kubernetes/login");
    let [log_in] = &log_ins
        .into_iter()
        .filter(|entry| entry.line["request"]["data"]["role"] == *stage.role)
        .collect::<Vec<_>>()[..]
    else {
        panic!("one log-in");
    };

    let shown = log_in.line["request"]["data"]["jwt"].as_str().expect("the log is raw");
    let payload =
        URL_SAFE_NO_PAD.decode(shown.split('.').nth(1).expect("it is signed")).expect("it is a JWT");
    let claims: Value = serde_json::from_slice(&payload).expect("it is a JWT");
    assert_eq!(claims["aud"], json!(["vault"]), "a token for Vault alone");
    assert_eq!(claims["kubernetes.io"]["pod"]["name"], *pod.name, "of this very pod");
    assert!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap() <= 607,
        "a short one: {claims}"
    );

    let account = stage.space.get("serviceaccount", "web").expect("it is in the manifests");
    let metadata = &log_in.line["auth"]["metadata"];
    assert_eq!(metadata["service_account_name"], "web");
    assert_eq!(metadata["service_account_namespace"], *stage.space.name);
    assert_eq!(metadata["service_account_uid"], account["metadata"]["uid"]);

    // The same account's token for somebody else, other accounts, and one whose signature is not the API server's.
    let (role, space) = (&stage.role, &stage.space.name);
    let try_with = |jwt: &str| {
        let answer =
            vault().client("").write("auth/kubernetes/login", &json!({ "role": role, "jwt": jwt.trim() }));
        answer.map(drop).map_err(|refusal| refusal.status)
    };
    let token = |space: &str, account: &str, audience: &str| {
        kubectl(&["-n", space, "create", "token", account, "--audience", audience]).done()
    };
    assert_eq!(try_with(&token(space, "web", "vault")), Ok(()));
    assert_eq!(try_with(&token(space, "web", "https://kubernetes.default.svc")), Err(403));
    assert_eq!(try_with(&token(space, "default", "vault")), Err(403));
    assert_eq!(try_with(&token("default", "default", "vault")), Err(403));
    let forged = {
        let (signed, signature) = shown.rsplit_once('.').expect("it is signed");
        let other = token(space, "web", "vault");
        let foreign = other.trim().rsplit_once('.').expect("it is signed").1;
        assert_ne!(signature, foreign);
        format!("{signed}.{foreign}")
    };
    assert_eq!(try_with(&forged), Err(403), "only the API server can tell");

    // And it opens nothing but Vault.
    let whoami = kubectl(&[
        "auth",
        "whoami",
        "--kubeconfig=/dev/null",
        "--token",
        shown,
        "--server",
        API_SERVER,
        "--insecure-skip-tls-verify",
    ]);
    assert!(!whoami.success && whoami.stderr.contains("Unauthorized"), "{whoami:?}");
}

#[test]
fn without_a_reviewer_a_token_for_vault_alone_is_refused_since_it_cannot_ask() {
    let space = Space::new("self-review");
    let mount = vault().auth_mount("kubernetes", "self-review");
    let config = json!({ "kubernetes_host": API_SERVER, "kubernetes_ca_cert": pki("ca.crt"), "disable_local_ca_jwt": true });
    vault().write(&format!("auth/{mount}/config"), config);
    let role =
        json!({ "bound_service_account_names": "default", "bound_service_account_namespaces": space.name });
    vault().write(&format!("auth/{mount}/role/any"), role);
    let binding = format!("--serviceaccount={}:default", space.name);
    let role = "--clusterrole=vault-token-reviewer";
    kubectl(&["create", "clusterrolebinding", &space.name, role, &binding]).done();

    let token =
        |audience: &[&str]| space.kubectl(&[&["create", "token", "default"], audience].concat()).done();
    let try_with = |jwt: &str| {
        let log_in = json!({ "role": "any", "jwt": jwt.trim() });
        vault()
            .client("")
            .write(&format!("auth/{mount}/login"), &log_in)
            .map(drop)
            .map_err(|refusal| refusal.status)
    };
    // The API server learns of a binding from itself, a moment later.
    eventually("a token that is a log-in there can ask, once it is allowed to", SOON, || {
        try_with(&token(&[])).map_err(|status| format!("status {status}"))
    });
    let for_vault = try_with(&token(&["--audience=vault"]));
    kubectl(&["delete", "clusterrolebinding", &space.name]).done();
    assert_eq!(for_vault, Err(403), "it is no log-in at the API server");
}

/// A role whose sessions are short, so that the next log-in comes soon.
#[track_caller]
fn short_sessions(stage: &Stage) {
    stage.change_role(json!({ "token_ttl": "20s", "token_max_ttl": "20s" }));
}

#[test]
fn a_deleted_service_account_ends_access_at_the_next_log_in_and_a_running_pod_keeps_its_files_and_says_why() {
    let stage = Stage::new("deleted", "30s", "60s");
    short_sessions(&stage);
    stage.deploy("native", &Changes::default());
    let pod = stage.pod();
    pod.wait_until_ready("application");
    stage.space.kubectl(&["delete", "serviceaccount", "web"]).done();

    // The API server remembers for 10 s what it found true, so one more log-in may pass.
    let refusal = "refused the log-in at auth/kubernetes (403)";
    eventually("status says why", 2 * SOON, || {
        let error =
            pod.status()["providers"]["vault"]["error"]["text"].as_str().unwrap_or_default().to_owned();
        if error.contains(refusal) { Ok(()) } else { Err(error) }
    });
    let file = format!("/proc/{}/root/run/secrets/leasehold/live/db.env", pod.process("application"));
    let kept = std::fs::read_to_string(&file).expect("the application has it");
    eventually("access has ended", SOON, || stage.database.roles().is_empty());
    eventually("a probe says that it is not ready", SOON, || {
        let probe = pod.exec("leasehold", &["/leasehold", "probe", "ready"]);
        if probe.success { Err("it is") } else { Ok(()) }
    });
    pod.show("deleted-service-account");
    assert_eq!(std::fs::read_to_string(&file).ok(), Some(kept));
    let status = pod.exec("leasehold", &["/leasehold", "status"]).done();
    assert!(status.contains(refusal) && status.contains("EXPIRED"), "{status}");
    assert!(pod.log("leasehold").contains(refusal), "{}", pod.log("leasehold"));
    assert_eq!((pod.restarts("leasehold"), pod.restarts("application")), (0, 0));

    // An account of the same name is another one: its uid is not that of the pod's token.
    stage.space.kubectl(&["create", "serviceaccount", "web"]).done();
    let uid = stage.space.get("serviceaccount", "web").unwrap()["metadata"]["uid"].clone();
    let token = stage.space.kubectl(&["create", "token", "web", "--audience=vault"]).done();
    let log_in = json!({ "role": stage.role, "jwt": token.trim() });
    let answer = vault().client("").write("auth/kubernetes/login", &log_in).expect("a fresh token is true");
    assert_eq!(answer["auth"]["metadata"]["service_account_uid"], uid);
}

#[test]
fn without_a_hand_over_a_restart_after_the_service_account_was_deleted_ends_with_77() {
    let stage = Stage::new("orphan", "1m", "1h");
    let changes = Changes::default().configuration("  state_directory: /run/leasehold\n", "").patch(
        "Deployment",
        "- { op: test, path: /spec/template/spec/initContainers/0/volumeMounts/1/name, value: leasehold-handover }
- { op: remove, path: /spec/template/spec/initContainers/0/volumeMounts/1 }",
    );
    stage.deploy("native", &changes);
    let pod = stage.pod();
    pod.wait_until_ready("application");

    stage.space.kubectl(&["delete", "serviceaccount", "web"]).done();
    // The API server remembers for 10 s what it found true.
    let shown = std::fs::read_to_string(format!(
        "/proc/{}/root/var/run/secrets/tokens/vault",
        pod.process("leasehold")
    ));
    let log_in = json!({ "role": stage.role, "jwt": shown.expect("it is mounted").trim() });
    eventually("its token is refused", SOON, || {
        vault().client("").write("auth/kubernetes/login", &log_in).is_err()
    });
    kill(pod.process("leasehold"));

    eventually("it ended by itself", 2 * SOON, || {
        let code = pod.ended("leasehold").ok_or("it runs")?["exitCode"].clone();
        if code == 77 { Ok(()) } else { Err(code.to_string()) }
    });
    let end = pod.end_of("leasehold");
    pod.show("orphan");
    assert!(end.message.contains("refused the log-in at auth/kubernetes (403)"), "{end:?}");
    let described = pod.described();
    assert!(described.contains(&end.message) && described.contains("Exit Code:    77"), "{described}");
    assert_eq!(pod.restarts("application"), 0, "the application goes on with what it has");
}

mod alone {
    use super::*;
    use crate::api_server::Stopped;
    use harness::Proxy;

    #[test]
    fn the_api_server_away_for_15_seconds_while_a_pod_logs_in_delays_its_start_and_no_more() {
        let stage = Stage::new("away", "1m", "1h");
        // Nothing is scheduled without an API server. So Vault is out of reach until the container runs.
        let proxy = Proxy::to(vault().address());
        let refusing = proxy.refuse();
        stage.deploy(
            "native",
            &Changes::default().configuration("${VAULT_ADDR:-https://vault.vault.svc:8200}", &proxy.url()),
        );
        let pod = stage.pod();
        eventually("leasehold runs", SOON, || {
            pod.container("leasehold").is_some_and(|status| !status["state"]["running"].is_null())
        });

        let stopped = Stopped::now();
        let mark = vault().audit().mark();
        drop(refusing);
        eventually("a log-in that nobody could confirm", SOON, || {
            vault()
                .audit()
                .matching(mark, "update", "auth/kubernetes/login")
                .iter()
                .any(harness::vault::Entry::refused)
        });
        // It needs some seconds to start, and a log-in is tried for thirty.
        let away = stopped.for_at_least(Duration::from_secs(10));
        println!("the API server was away for {:.1} s", away.as_secs_f64());

        pod.wait_until_ready("application");
        pod.show("api-server-away");
        assert_eq!((pod.restarts("leasehold"), pod.restarts("application")), (0, 0));
        let log = pod.log("leasehold");
        assert!(log.contains("refused the log-in at auth/kubernetes (403)"), "{log}");
        let reviews = kubectl(&["get", "--raw", "/metrics"]).done();
        let reviewed = reviews.lines().any(|line| {
            line.starts_with("apiserver_request_total{")
                && line.contains("resource=\"tokenreviews\"")
                && line.contains("code=\"201\"")
        });
        assert!(reviewed, "this API server, started a moment ago, has reviewed a token");
        stage.end();
        pod.wait_until_gone();
        stage.wait_until_nothing_is_left();
    }
}
