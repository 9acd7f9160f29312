//! Every manifest of `deploy/kustomize`, created where Pod Security *restricted* is enforced: each mode as it is,
//! with each component that supports it, and with all of them.
//!
//! A workload is always admitted, its pods are not: so the pod is looked for that its controller makes. It is sent
//! to a node that does not exist, since nothing has to run here.

use std::fmt::Write as _;

use harness::eventually;
use harness::vault::unique;
use leasehold_harness as harness;
use serde_json::Value;

use crate::SOON;
use crate::node::{Space, kubectl, scratch};
use crate::stage::{deploy, relative};

const ALL: [&str; 3] = ["network-policy", "private-ca", "openshift"];
const LONG_RUNNING: [&str; 6] =
    ["network-policy", "private-ca", "readiness", "scrape", "signal", "openshift"];
const NATIVE: [&str; 7] =
    ["fast-start", "network-policy", "private-ca", "readiness", "scrape", "signal", "openshift"];

/// Which of the created ones a pod belongs to.
const MARK: &str = "leasehold.dev/test";
/// What stands in rendered manifests for its value.
const NUMBER: &str = "nnnn";

#[test]
fn native_is_admitted_with_every_component() {
    admitted("native", &NATIVE);
}

#[test]
fn statefulset_is_admitted_with_every_component() {
    admitted("statefulset", &NATIVE);
}

#[test]
fn job_is_admitted_with_every_component() {
    admitted("job", &NATIVE);
}

#[test]
fn cronjob_is_admitted_with_every_component() {
    admitted("cronjob", &NATIVE);
}

#[test]
fn classic_is_admitted_with_every_component() {
    admitted("classic", &LONG_RUNNING);
}

#[test]
fn job_classic_is_admitted_with_every_component() {
    admitted("job-classic", &LONG_RUNNING);
}

#[test]
fn init_is_admitted_with_every_component() {
    admitted("init", &ALL);
}

#[test]
fn the_manifests_of_deploy_are_all_here() {
    let folders = |below: &str| {
        let entries = std::fs::read_dir(deploy().join(below)).unwrap().flatten();
        let folders = entries.filter(|entry| entry.path().join("kustomization.yaml").exists());
        let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(folders(""), ["classic", "cronjob", "init", "job", "job-classic", "native", "statefulset"]);
    let mut components = NATIVE.map(str::to_owned);
    components.sort();
    assert_eq!(folders("components"), components);
}

#[test]
fn one_that_was_broken_by_hand_is_refused() {
    let breaks = [
        ("unrestricted capabilities", "/initContainers/0/securityContext/capabilities/drop", "[NET_RAW]"),
        ("allowPrivilegeEscalation", "/initContainers/0/securityContext/allowPrivilegeEscalation", "true"),
        ("seccompProfile", "/securityContext/seccompProfile/type", "Unconfined"),
        ("restricted volume types", "/volumes/-", "{ name: host, hostPath: { path: / } }"),
    ];
    let space = Space::new("broken");
    let mut yaml = String::new();
    for (number, (_, path, value)) in breaks.iter().enumerate() {
        let patch = format!("- {{ op: add, path: /spec/template/spec{path}, value: {value} }}\n");
        yaml += &rendered("native", &[], &patch).replace(NUMBER, &format!("n{number}"));
    }
    let said = space.create(&yaml);
    assert_eq!(said.stderr.matches("would violate PodSecurity \"restricted").count(), breaks.len());
    said.done();
    for (number, (what, ..)) in breaks.iter().enumerate() {
        eventually(&format!("{what} is refused"), SOON, || {
            let refusals = refusals(&space, number);
            let named = refusals.contains("violates PodSecurity \"restricted") && refusals.contains(what);
            if named { Ok(()) } else { Err(refusals) }
        });
        assert!(space.pods(&format!("{MARK}=n{number}")).is_empty());
    }
}

/// Creates a mode as it is, with each of those components, and with all of them, and waits for their pods.
#[track_caller]
fn admitted(mode: &str, components: &[&str]) {
    let space = Space::new(&format!("admitted-{mode}"));
    let mut sets: Vec<Vec<&str>> = vec![Vec::new()];
    sets.extend(components.iter().map(|component| vec![*component]));
    sets.push(components.to_vec());

    let plain = rendered(mode, &[], "");
    let mut yaml = String::new();
    for (number, set) in sets.iter().enumerate() {
        let with = rendered(mode, set, "");
        assert_eq!(with != plain, !set.is_empty(), "{set:?} changes nothing in {mode}");
        yaml += &with.replace(NUMBER, &format!("n{number}"));
    }
    let said = space.create(&yaml);
    assert_eq!(said.stderr, "", "{mode}");
    println!("{mode}: {}", said.done().replace('\n', ", "));

    for (number, set) in sets.iter().enumerate() {
        if mode == "cronjob" {
            let from = format!("--from=cronjob/web-n{number}");
            space.kubectl(&["create", "job", &format!("now-n{number}"), &from]).done();
        }
        eventually(&format!("a pod of {mode} with {set:?}"), SOON, || {
            let pods = space.pods(&format!("{MARK}=n{number}"));
            if pods.is_empty() { Err(refusals(&space, number)) } else { Ok(()) }
        });
    }
}

/// Why controllers could not make pods of that number.
#[track_caller]
fn refusals(space: &Space, number: usize) -> String {
    let printed =
        space.kubectl(&["get", "events", "--field-selector=reason=FailedCreate", "-o", "json"]).done();
    let events: Value = serde_json::from_str(&printed).expect("kubectl prints JSON");
    let of_it = events["items"].as_array().expect("a list").iter().filter(|event| {
        let object = event["involvedObject"]["name"].as_str().unwrap_or_default();
        object.split('-').any(|part| part == format!("n{number}"))
    });
    of_it.filter_map(|event| event["message"].as_str()).collect::<Vec<_>>().join("\n")
}

/// What is to be created: a mode with components, its names ending with [`NUMBER`].
#[track_caller]
fn rendered(mode: &str, components: &[&str], patch: &str) -> String {
    let folder = scratch().join(unique("admitted"));
    std::fs::create_dir_all(&folder).unwrap();
    let mut text = String::from("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n");
    writeln!(text, "resources: [{}]", relative(&folder, &deploy().join(mode))).unwrap();
    let component = |name: &&str| relative(&folder, &deploy().join("components").join(name));
    let components: Vec<String> = components.iter().map(component).collect();
    writeln!(text, "components: [{}]\nnameSuffix: -{NUMBER}", components.join(", ")).unwrap();
    writeln!(text, "labels: [{{ pairs: {{ {MARK}: {NUMBER} }}, includeSelectors: true }}]").unwrap();
    text += "patches:\n";
    for (kind, pod) in [
        ("CronJob", "/spec/jobTemplate/spec/template/spec"),
        ("Deployment|Job|StatefulSet", "/spec/template/spec"),
    ] {
        let nowhere = "{ leasehold.dev/nowhere: \"true\" }";
        writeln!(text, "  - target: {{ kind: {kind} }}\n    patch: |").unwrap();
        writeln!(text, "      - {{ op: add, path: {pod}/nodeSelector, value: {nowhere} }}").unwrap();
        patch.lines().for_each(|line| writeln!(text, "      {line}").unwrap());
    }
    std::fs::write(folder.join("kustomization.yaml"), text).unwrap();
    format!("{}---\n", kubectl(&["kustomize", folder.to_str().unwrap()]).done())
}
