//! Several replicas that a change restarts.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::{eventually, vault};
use leasehold_harness as harness;
use serde_json::json;

use crate::SOON;
use crate::log::Lines;
use crate::node::Pod;
use crate::stage::{APPLICATION, Changes, Stage};

const REPLICAS: &str = r#"
- { op: add, path: /spec/replicas, value: 3 }
- { op: replace, path: /spec/template/spec/containers/0/readinessProbe/periodSeconds, value: 1 }
"#;

const SERVICE: &str = r#"
apiVersion: v1
kind: Service
metadata: { name: web }
spec:
  selector: { app.kubernetes.io/name: web }
  ports: [{ port: 80, targetPort: 8080 }]
"#;

/// Longer than a kubelet, the API server and the proxy on a busy machine need to take a pod out of the Service.
const DRAIN: Duration = Duration::from_secs(8);
const SPLAY: Duration = Duration::from_secs(60);

#[test]
fn no_request_fails_when_one_change_restarts_three_replicas_behind_a_service() {
    let stage = Stage::new("replicas", "10m", "1h");
    let kv = vault().kv_mount("replicas", 2);
    kv.put("web", json!({ "greeting": "greeting-0" }));
    let policy = vault().policy("replicas").read(&stage.creds).revoke_leases();
    stage.allow(&policy.read(&kv.data("web")).read(&kv.metadata("web")).create(), "10m");

    let (drain, splay) = (DRAIN.as_secs(), SPLAY.as_secs());
    let secret = format!("secrets:\n  web: {{ provider: vault, path: {}/web, refresh: 5s }}\n", kv.path());
    let changes = Changes::default()
        .configuration("secrets:\n", &secret)
        .configuration("\nenv:\n", "\nenv:\n  GREETING: \"{{ web.greeting }}\"\n")
        .configuration("drain: 5s", &format!("drain: {drain}s\n  splay: {splay}s"))
        .environment("LISTEN", "0.0.0.0:8080")
        .patch("Deployment", REPLICAS);
    stage.deploy("exec", &changes);
    stage.space.apply(SERVICE);
    let names = eventually("three pods", SOON, || {
        let names = stage.space.pods(APPLICATION);
        if names.len() == 3 { Ok(names) } else { Err(names.join(" ")) }
    });
    let pods: Vec<_> = names.iter().map(|name| stage.space.named(name)).collect();
    pods.iter().for_each(|pod| pod.wait_until_ready("application"));

    let service = stage.space.get("service", "web").expect("it was made");
    let address = service["spec"]["clusterIP"].as_str().expect("an address").to_owned();
    stage.space.apply(&client(&format!("http://{address}:80/")).to_string());
    let client = stage.space.named("client");
    eventually("the service answers", SOON, || client.log("client").contains("answered greeting-0"));

    // Restarts are drawn at random, and may fall together: then nobody is there to answer, and the change
    // shows nothing. One in which they did not is the one that is looked at: six of seven are such.
    let round = (1..=10).find(|round| {
        kv.put("web", json!({ "greeting": format!("greeting-{round}") }));
        eventually("all three have it", SPLAY + 2 * SOON, || {
            let away: Vec<_> = pods.iter().filter(|pod| away(pod).len() < *round).collect();
            if away.is_empty() { Ok(()) } else { Err(format!("{away:?}")) }
        });
        pods.iter().for_each(|pod| pod.wait_until_ready("application"));
        let last: Vec<Away> = pods.iter().map(|pod| away(pod)[round - 1]).collect();
        let (from, until) = (last.iter().map(|away| away.0).max(), last.iter().map(|away| away.1).min());
        from > until
    });
    let round = round.expect("one change in ten does not restart all of them at one time");
    let expected = format!("answered greeting-{round}");
    eventually("the new greeting is served", SOON, || client.log("client").contains(&expected));

    let asked = client.follow("client");
    stage.space.kubectl(&["delete", "pod", "client", "--wait=false"]).done();
    let asked = asked.end();
    assert_eq!(asked.with("ended: ").len(), 1, "{asked:#?}");
    let begin = asked.at(if round == 1 { "answered greeting-0" } else { "answered greeting-1" });
    let failed: BTreeMap<Duration, &str> = asked.timed("failed request").collect();
    // Of changes before that one, in which all were away, nothing is asked.
    let rounds: Vec<Vec<Away>> = pods.iter().map(away).collect();
    let start =
        if round == 1 { begin } else { rounds.iter().map(|away| away[round - 2].1).max().expect("three") };
    let failed: Vec<_> = failed.range(start..).collect();
    assert!(failed.is_empty(), "{failed:#?}\n{rounds:#?}");
    pods.iter().for_each(|pod| assert_eq!(pod.restarts("application"), 0));

    stage.end();
    pods.iter().for_each(Pod::wait_until_gone);
    stage.wait_until_nothing_is_left();
}

/// From when until when a pod was no help.
type Away = (Duration, Duration);

/// Each restart of a pod's application, from the beginning of its drain until it had begun to serve again, and the
/// readiness probe had had the time to see it.
fn away(pod: &Pod<'_>) -> Vec<Away> {
    let lines: Lines = pod.lines("application");
    let drained = lines.timed("\"command_draining\"").map(|(at, _)| at);
    let started = lines.timed("\"command_started\"").map(|(at, _)| at).skip(1);
    drained.zip(started).map(|(from, until)| (from, until + Duration::from_secs(4))).collect()
}

/// A pod that asks without pause.
fn client(url: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "client" },
        "spec": {
            "automountServiceAccountToken": false,
            "restartPolicy": "Never",
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "terminationGracePeriodSeconds": 10,
            "containers": [{
                "name": "client",
                "image": "localhost/application:dev",
                "args": ["ask", url],
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                },
            }],
        },
    })
}
