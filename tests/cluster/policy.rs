//! `deploy/policy`: what the policies refuse and what they admit, each way around them as a file under
//! `tests/cluster/policy`.

mod example;
mod fixture;
mod installed;
mod kustomize;

use std::collections::{BTreeMap, BTreeSet};

use harness::eventually;
use leasehold_harness as harness;
use serde_json::{Value, json};

use crate::SOON;
use crate::node::{Said, Space, kubectl_with};
use crate::policy::fixture::{Expected, cases};
use crate::policy::installed::Installed;

/// What most tests of how policies are bound need of them.
const LITERALS: &[&str] = &["leasehold-no-literal-secrets"];

/// A pod that no scheduler takes, with one variable.
fn pod(name: &str, variable: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": {
            "containers": [{
                "name": "application",
                "image": "application",
                "env": [{ "name": variable, "value": "hunter2" }],
            }],
            "schedulerName": "none",
        },
    })
    .to_string()
}

#[test]
fn every_way_around_is_refused_and_what_is_right_is_admitted() {
    let mut installed = Installed::new("overlays/deny", &[], "policy-deny");
    installed.also_warn();
    let folders = ["digest", "handover", "kinds", "literal", "node", "output"];
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let running: Vec<_> =
            folders.map(|folder| scope.spawn(|| play(&installed.space, folder))).into_iter().collect();
        running.into_iter().flat_map(|folder| folder.join().expect("its cases are judged")).collect()
    });

    let wrong: Vec<&str> = outcomes.iter().filter_map(|outcome| outcome.wrong.as_deref()).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), outcomes.len(), wrong.join("\n"));
    println!("{} cases", outcomes.len());

    // And no rule is without a case that it refuses.
    let refusals: Vec<&str> = outcomes.iter().map(|outcome| outcome.refusal.as_str()).collect();
    for policy in &installed.policies {
        for message in messages(policy) {
            let shown = refusals.iter().any(|refusal| refusal.contains(&message));
            assert!(shown, "no case is refused with: {message}");
        }
    }

    // Nor does the API server find fault with their types, for any kind.
    for policy in &installed.policies {
        let name = policy["metadata"]["name"].as_str().expect("a name");
        let checked = eventually("the types are checked", 2 * SOON, || {
            let policy = installed.space.get("validatingadmissionpolicy", name)?;
            policy["status"]["typeChecking"].as_object().cloned()
        });
        assert_eq!(checked.get("expressionWarnings"), None, "{name}");
    }
}

/// How one case went.
struct Outcome {
    /// What was expected and what came, where they differ.
    wrong: Option<String>,
    /// What the API server said, where it refused.
    refusal: String,
}

/// Plays every file of a folder, one after another.
fn play(space: &Space, folder: &str) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for file in cases(folder) {
        for case in &file {
            let said = case.play(space);
            let faults = said.stderr.matches("Warning: ").count();
            let right = match &case.expected {
                Expected::Admitted => said.success && faults == 0,
                Expected::Refused(why) => !said.success && faults == 1 && flat(&said.stderr).contains(why),
            };
            let wrong = (!right).then(|| {
                format!("{}: expected {:?}, got {}{}", case.place, case.expected, said.stdout, said.stderr)
            });
            outcomes.push(Outcome { wrong, refusal: flat(&said.stderr) });
        }
    }
    assert!(!outcomes.is_empty(), "{folder} has no cases");
    outcomes
}

/// Without the line breaks that a folded message may have.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How the messages of a policy begin.
fn messages(policy: &Value) -> Vec<String> {
    let validations = policy["spec"]["validations"].as_array().cloned().unwrap_or_default();
    assert!(!validations.is_empty(), "{policy}");
    let begin = |validation: &Value| {
        validation["message"].as_str().map(flat).unwrap_or_else(|| {
            let expression = validation["messageExpression"].as_str().expect("every rule has a message");
            expression.trim_start_matches('\'').split('\'').next().unwrap_or_default().to_owned()
        })
    };
    validations.iter().map(begin).collect()
}

#[test]
fn as_shipped_they_warn_and_admit() {
    let installed = Installed::new("base", LITERALS, "policy-warn");
    for binding in &installed.bindings {
        assert_eq!(binding["spec"]["validationActions"], json!(["Warn", "Audit"]));
    }
    let said = installed.space.create(&pod("literal", "DB_PASSWORD"));
    assert!(said.success, "{}", said.stderr);
    let warning = "a literal secret in env: DB_PASSWORD of container application";
    assert!(said.stderr.contains("Warning: ") && said.stderr.contains(warning), "{}", said.stderr);
    assert!(!said.stderr.contains("hunter2"), "{}", said.stderr);

    let said = installed.space.create(&pod("plain", "KEYCLOAK_URL"));
    assert!(said.success && said.stderr.is_empty(), "{}", said.stderr);
}

#[test]
fn every_namespace_but_the_systems_is_bound_and_every_rule_is_strict() {
    for folder in ["base", "overlays/deny"] {
        let (policies, bindings) = installed::shipped(folder);
        assert_eq!(policies.len(), 5, "{folder}");
        for policy in &policies {
            assert_eq!(policy["spec"]["failurePolicy"], "Fail", "{folder}");
            let name = &policy["metadata"]["name"];
            let bound: Vec<_> =
                bindings.iter().filter(|binding| binding["spec"]["policyName"] == *name).collect();
            assert_eq!(bound.len(), 1, "{folder}: {name}");
            let system = json!([{
                "key": "kubernetes.io/metadata.name",
                "operator": "NotIn",
                "values": ["kube-node-lease", "kube-public", "kube-system"],
            }]);
            let selector = &bound[0]["spec"]["matchResources"]["namespaceSelector"];
            assert_eq!(selector["matchExpressions"], system, "{folder}: {name}");
            let (actions, absent) = match folder {
                "base" => (json!(["Warn", "Audit"]), "Allow"),
                _ => (json!(["Deny", "Audit"]), "Deny"),
            };
            assert_eq!(bound[0]["spec"]["validationActions"], actions, "{folder}: {name}");
            assert_eq!(bound[0]["spec"]["paramRef"]["parameterNotFoundAction"], absent, "{folder}: {name}");
        }
    }
}

#[test]
fn what_several_policies_say_they_say_word_for_word() {
    let (policies, _) = installed::shipped("base");
    let mut seen = BTreeMap::new();
    // `whole`, `private` and the like are of one policy; these are of several, and an edit must reach all.
    let mut shared = BTreeSet::new();
    for policy in &policies {
        for variable in policy["spec"]["variables"].as_array().expect("every policy has some") {
            let name = variable["name"].as_str().expect("a name").to_owned();
            let expression = variable["expression"].clone();
            if let Some(other) = seen.insert(name.clone(), expression.clone()) {
                assert_eq!(other, expression, "{name} of {}", policy["metadata"]["name"]);
                shared.insert(name);
            }
        }
        assert_eq!(policy["spec"]["matchConditions"], policies[0]["spec"]["matchConditions"]);
    }
    for name in ["template", "containers", "image", "ours", "carries", "outputs", "written"] {
        assert!(shared.contains(name), "{name}");
    }
}

#[test]
fn without_its_parameters_one_that_denies_refuses_all_and_one_that_warns_nothing() {
    let refused = |said: Said| if said.success { Err(said.stderr) } else { Ok(said.stderr) };
    let denying = Installed::new("overlays/deny", LITERALS, "policy-absent");
    denying.space.kubectl(&["delete", "policyparameters", &denying.parameters]).done();
    let why = eventually("the parameters are missed", SOON, || {
        refused(denying.space.kubectl(&["run", "plain", "--image=application", "--dry-run=server"]))
    });
    assert!(why.contains("no params found"), "{why}");
    assert!(refused(denying.space.create(&pod("plain", "KEYCLOAK_URL"))).is_ok());

    let warning = Installed::new("base", LITERALS, "policy-absent-warn");
    warning.space.kubectl(&["delete", "policyparameters", &warning.parameters]).done();
    eventually("the parameters are missed", SOON, || {
        let said = warning.space.kubectl(&[
            "run",
            "plain",
            "--image=application",
            "--env=DB_PASSWORD=x",
            "--dry-run=server",
        ]);
        if said.success && said.stderr.is_empty() { Ok(()) } else { Err(said.stderr) }
    });
}

#[test]
fn a_parameter_allows_forbids_and_narrows() {
    let installed = Installed::new(
        "overlays/deny",
        &["leasehold-no-literal-secrets", "leasehold-handover"],
        "policy-parameters",
    );
    let space = &installed.space;
    let set = |key: &str, value: &str| {
        let patch = json!({ "spec": { key: [value] } }).to_string();
        space.kubectl(&["patch", "policyparameters", &installed.parameters, "--type=merge", "-p", &patch])
    };
    let judged = |file: &str| cases(file).remove(0).remove(0).play(space);
    let becomes = |what: &str, success: bool, ask: &dyn Fn() -> Said| {
        eventually(what, SOON, || {
            let said = ask();
            if said.success == success { Ok(()) } else { Err(said.stderr) }
        });
    };
    let tried = |variable: &str| {
        kubectl_with(&["-n", &space.name, "create", "--dry-run=server", "-f", "-"], &pod("tried", variable))
    };

    set("allowedNames", "LEGACY_.*").done();
    becomes("an allowed name", true, &|| tried("LEGACY_PASSWORD"));
    assert!(!tried("NO_LEGACY_PASSWORD").success, "an entry is for the whole name");
    assert!(!tried("PARTITION_KEY").success, "what is not in the list any more");

    set("secretNames", "ACME_PIN").done();
    becomes("a further name", false, &|| tried("ACME_PIN"));
    assert!(tried("ACME_PIN_PAD").success, "an entry is for the whole name");

    assert!(judged("output/native").success);
    set("images", "registry.example/platform/leasehold").done();
    becomes("a narrower list of images", false, &|| judged("output/exec"));
    assert!(
        judged("handover/shared-processes").stderr.contains("a foreign image under the name of leasehold")
    );
}

#[test]
fn what_was_there_before_can_be_changed_elsewhere_and_not_made_anew() {
    let space = Space::under("policy-before", "privileged");
    space.create(&pod("literal", "DB_PASSWORD")).done();
    let deployment = cases("kinds/deployment").remove(0).remove(0).body;
    space.create(&deployment).done();
    let made: Value = serde_json::from_str(&deployment).expect("made as JSON");
    let name = made["metadata"]["name"].as_str().expect("made with a name");

    let installed = Installed::over(space, "overlays/deny", LITERALS);
    let space = &installed.space;
    space.kubectl(&["label", "pod", "literal", "team=web"]).done();
    space.kubectl(&["scale", "deployment", name, "--replicas=1"]).done();
    space.kubectl(&["scale", "deployment", name, "--replicas=0"]).done();
    let again = space.kubectl(&["rollout", "restart", "deployment", name]);
    assert!(again.stderr.contains("a literal secret in env: DB_PASSWORD"), "{}", again.stderr);
    // An ephemeral container is judged alone.
    let debug = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "literal" },
        "spec": { "ephemeralContainers": [{ "name": "debug", "image": "debug" }] },
    });
    let place = format!("/api/v1/namespaces/{}/pods/literal/ephemeralcontainers", space.name);
    kubectl_with(&["replace", "--raw", &place, "-f", "-"], &debug.to_string()).done();
}

#[test]
fn more_text_than_can_be_judged_is_refused_and_a_long_script_is_not() {
    let installed = Installed::new("overlays/deny", LITERALS, "policy-long");
    let create = |name: &str, script: &str| {
        let mut pod: Value = serde_json::from_str(&pod(name, "KEYCLOAK_URL")).expect("JSON");
        pod["spec"]["containers"][0]["args"] = json!(["-c", script]);
        installed.space.create(&pod.to_string())
    };
    let line = "if [ -e /run/ready ]; then application --verbose --port=8080 --name web; fi\n";
    let said = create("long", &line.repeat(16 * 1024 / line.len()));
    assert!(said.success, "{}", said.stderr);
    // Hidden behind so much that the judgement is cut off.
    let said =
        create("longer", &format!("{}application --password=hunter2", line.repeat(1024 * 1024 / line.len())));
    assert!(!said.success && said.stderr.contains("ValidatingAdmissionPolicy"), "{}", said.stderr);
}
