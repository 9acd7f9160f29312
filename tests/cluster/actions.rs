//! Telling the application by a program and by a request, from the sidecar's own container.

use harness::eventually;
use leasehold_harness as harness;

use crate::SOON;
use crate::stage::{Changes, Stage};

const ACTIONS: &str = r#"
on_change:
  - http: { url: "http://127.0.0.1:8080/-/reload" }
  - command: ["/tools/application", "reload", "http://127.0.0.1:8080/-/reload"]
lifecycle:
  overlap: 2s
"#;

/// The image of leasehold holds no program but itself: an init container brings what a command is to run.
const TOOLS: &str = r#"
- op: add
  path: /spec/template/spec/volumes/-
  value: { name: tools, emptyDir: { medium: Memory, sizeLimit: 64Mi } }
- op: add
  path: /spec/template/spec/initContainers/0/volumeMounts/-
  value: { name: tools, mountPath: /tools, readOnly: true }
- op: add
  path: /spec/template/spec/initContainers/0
  value:
    name: tools
    image: localhost/application:dev
    args: [install, /tools]
    resources:
      requests: { cpu: 50m, memory: 96Mi }
      limits: { cpu: 50m, memory: 96Mi }
    securityContext:
      allowPrivilegeEscalation: false
      capabilities: { drop: [ALL] }
      readOnlyRootFilesystem: true
    volumeMounts:
      - { name: tools, mountPath: /tools }
"#;

#[test]
fn a_request_and_a_command_tell_the_application_and_their_success_retires_the_old_lease() {
    // Far from its end: what retires the lease can only be that both answered.
    let stage = Stage::new("actions", "10m", "1h");
    let changes = Changes::default()
        .configuration("\nlifecycle:\n", ACTIONS)
        .environment("LISTEN", "127.0.0.1:8080")
        .patch("Deployment", TOOLS);
    stage.deploy("native", &changes);
    let pod = stage.pod();
    pod.wait_until_ready("application");
    eventually("it logs in", SOON, || pod.log("application").contains("credential 1 "));
    let first = stage.database.leases();
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(!pod.log("application").contains("reload asked for"), "the first generation runs no action");

    pod.exec("leasehold", &["leasehold", "refresh", "db"]).done();
    eventually("both tell it", SOON, || match pod.lines("application").with("reload asked for").len() {
        2 => Ok(()),
        other => Err(other),
    });
    eventually("the old lease is revoked", SOON, || {
        let now = stage.database.leases();
        if now.len() == 1 && now != first { Ok(()) } else { Err(format!("{now:?}")) }
    });
    let actions = pod.status()["generation"]["actions"].clone();
    assert_eq!(actions.as_object().map(|actions| actions.len()), Some(2), "{actions}");
    assert_eq!(pod.lines("leasehold").with("\"action_done\"").len(), 2);

    let its = pod.follow("application");
    stage.end();
    pod.wait_until_gone();
    let its = its.end();
    assert_eq!(its.with("failed log-in"), [""; 0], "{its:#?}");
    assert_eq!(its.with("reload asked for").len(), 2, "once each");
    stage.wait_until_nothing_is_left();
}
