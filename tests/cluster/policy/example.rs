//! The example of `docs/policy.md` for Kyverno, as far as the API server can play it: its expressions.

use std::path::Path;

use harness::eventually;
use leasehold_harness as harness;
use serde_json::json;

use super::fixture::{Expected, cases, yaml};
use super::installed::Installed;
use crate::SOON;
use crate::node::Space;

#[test]
fn the_one_for_kyverno_admits_and_refuses_the_core_of_it() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy.md");
    let page = std::fs::read_to_string(page).expect("it is there");
    let example = page.split("```yaml\n").filter_map(|rest| rest.split("```").next());
    let mut example = example.filter(|block| block.contains("kind: ValidatingPolicy\n")).map(yaml);
    let mut policy = example.next().expect("it is on the page");
    // What the two have in common is all of it but this.
    policy["spec"].as_object_mut().expect("a spec").remove("validationActions").expect("what it does");
    policy["apiVersion"] = json!("admissionregistration.k8s.io/v1");
    policy["kind"] = json!("ValidatingAdmissionPolicy");
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "kyverno" },
        "spec": { "policyName": "leasehold", "validationActions": ["Deny"] },
    });
    let wanted = ["leasehold"];
    let installed =
        Installed::of(Space::under("policy-kyverno", "privileged"), vec![policy, binding], &wanted);
    let space = &installed.space;
    eventually("it is in force", SOON, || {
        let said = space.kubectl(&["run", "x", "--image=leasehold", "--dry-run=server"]);
        if said.success { Err("not yet") } else { Ok(()) }
    });

    let outcomes = [
        "output/native",
        "output/exec",
        "output/mode",
        "literal/env-reference",
        "handover/shared-processes",
        "literal/env-name-of-none",
        "digest/digest",
        "handover/foreign-scratch",
    ];
    for case in outcomes.into_iter().flat_map(cases).flatten() {
        let said = case.play(space);
        assert!(said.success, "{}: {}", case.place, said.stderr);
    }
    let refused = [
        ("literal/init-container", "a literal secret in env"),
        ("literal/args-split", "a literal secret in a command"),
        ("literal/args-address", "a literal secret in a command"),
        ("digest/tag", "an image of leasehold without a digest"),
        ("digest/renamed-container", "an image of leasehold without a digest"),
        ("output/no-memory", "is not in memory"),
        ("output/writable", "is writable, or mounted in part"),
        ("output/writable-init-container", "is writable, or mounted in part"),
        ("output/sub-path", "is writable, or mounted in part"),
        ("handover/application", "the hand-over of leasehold in another container"),
        ("handover/init-container", "the hand-over of leasehold in another container"),
        ("handover/decoy", "the hand-over of leasehold in another container"),
    ];
    for (file, why) in refused {
        for case in cases(file).into_iter().flatten() {
            let said = case.play(space);
            assert!(
                !said.success && said.stderr.contains(why),
                "{}: {}{}",
                case.place,
                said.stdout,
                said.stderr
            );
        }
    }
    // The first of these is the pod, the others are ephemeral containers in it.
    for case in cases("handover/ephemeral-container").remove(0).into_iter().take(5) {
        let said = case.play(space);
        assert_eq!(
            said.success,
            matches!(case.expected, Expected::Admitted),
            "{}: {}",
            case.place,
            said.stderr
        );
    }
}
