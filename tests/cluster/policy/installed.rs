//! The policies as they are shipped, installed for one namespace alone: beside each other, and beside every
//! other scenario on the node.

use std::path::Path;
use std::sync::OnceLock;

use harness::eventually;
use leasehold_harness as harness;
use serde_json::{Value, json};

use super::fixture::{cases, yaml};
use crate::SOON;
use crate::node::{Space, kubectl, kubectl_with};

/// Dropped, they go away, and the namespace with them.
pub(super) struct Installed {
    pub(super) space: Space,
    pub(super) policies: Vec<Value>,
    pub(super) bindings: Vec<Value>,
    /// The name of their parameters.
    pub(super) parameters: String,
}

/// A case for each policy that it alone refuses: while it does not, it is not in force yet.
const REFUSED: [(&str, &str); 5] = [
    ("leasehold-handover", "handover/host-pid"),
    ("leasehold-image-digest", "digest/second"),
    ("leasehold-no-literal-secrets", "literal/second-container"),
    ("leasehold-node-directories", "node/host-path"),
    ("leasehold-output", "output/no-label"),
];

/// The policies and the bindings of a folder of `deploy/policy`.
#[track_caller]
pub(super) fn shipped(folder: &str) -> (Vec<Value>, Vec<Value>) {
    let objects = rendered(folder);
    let of = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).cloned().collect();
    (of("ValidatingAdmissionPolicy"), of("ValidatingAdmissionPolicyBinding"))
}

fn rendered(folder: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policy").join(folder);
    let text = kubectl(&["kustomize", folder.to_str().expect("UTF-8")]).done();
    text.split("\n---\n").map(yaml).collect()
}

/// Made once, and left: every set of policies uses it.
#[track_caller]
fn kind_of_parameters() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/policy/crd.yaml");
        kubectl(&["apply", "-f", file.to_str().expect("UTF-8")]).done();
        let kind = "crd/policyparameters.leasehold.dev";
        kubectl(&["wait", "--for=condition=Established", "--timeout=60s", kind]).done();
    });
}

impl Installed {
    /// Those of `wanted`, or all where it is empty, in a namespace in which nothing but them refuses. A few are
    /// ready sooner: the controller manager checks the types of each, for every kind, for about a second.
    #[track_caller]
    pub(super) fn new(folder: &str, wanted: &[&str], name: &str) -> Self {
        Self::over(Space::under(name, "privileged"), folder, wanted)
    }

    /// The same in that namespace.
    #[track_caller]
    pub(super) fn over(space: Space, folder: &str, wanted: &[&str]) -> Self {
        Self::of(space, rendered(folder), wanted)
    }

    /// The same of those objects.
    #[track_caller]
    pub(super) fn of(space: Space, objects: Vec<Value>, wanted: &[&str]) -> Self {
        kind_of_parameters();
        let mut installed =
            Self { space, policies: Vec::new(), bindings: Vec::new(), parameters: String::new() };
        let place = json!(installed.space.name);
        for mut object in objects {
            let of_policy = object["spec"]["policyName"].as_str().or(object["metadata"]["name"].as_str());
            let parameters = object["kind"] == "PolicyParameters";
            if !parameters && !wanted.is_empty() && !wanted.contains(&of_policy.expect("a name")) {
                continue;
            }
            let name = installed.name(&object["metadata"]["name"]);
            match object["kind"].as_str() {
                Some("PolicyParameters") => {
                    installed.parameters = name.as_str().expect("made as a text").to_owned();
                    object["metadata"]["name"] = name;
                }
                Some("ValidatingAdmissionPolicy") => {
                    object["metadata"]["name"] = name;
                    installed.policies.push(object.clone());
                }
                Some("ValidatingAdmissionPolicyBinding") => {
                    object["metadata"]["name"] = name;
                    let spec = &mut object["spec"];
                    spec["policyName"] = installed.name(&spec["policyName"]);
                    if let Some(parameters) = spec.get("paramRef").map(|reference| &reference["name"]) {
                        let parameters = installed.name(parameters);
                        spec["paramRef"]["name"] = parameters;
                    }
                    spec["matchResources"]["namespaceSelector"]["matchLabels"] =
                        json!({ "kubernetes.io/metadata.name": place });
                    installed.bindings.push(object.clone());
                }
                other => panic!("{other:?} is no part of the policies"),
            }
            kubectl_with(&["create", "-f", "-"], &object.to_string()).done();
        }
        installed.wait_until_in_force("");
        installed
    }

    /// Lets them warn too, by a second binding each: of several faults a refusal names but one, and not always
    /// the same.
    #[track_caller]
    pub(super) fn also_warn(&mut self) {
        for mut binding in self.bindings.clone() {
            let name = binding["metadata"]["name"].as_str().expect("a name");
            binding["metadata"]["name"] = json!(format!("{name}-warn"));
            binding["spec"]["validationActions"] = json!(["Warn"]);
            kubectl_with(&["create", "-f", "-"], &binding.to_string()).done();
            self.bindings.push(binding);
        }
        self.wait_until_in_force("-warn");
    }

    fn name(&self, name: &Value) -> Value {
        json!(format!("{}-{}", name.as_str().expect("a name"), self.space.name))
    }

    fn wait_until_in_force(&self, binding: &str) {
        let policies = |policy: &str| {
            let name = self.name(&json!(policy));
            self.policies.iter().any(|object| object["metadata"]["name"] == name)
        };
        for (policy, case) in REFUSED.into_iter().filter(|(policy, _)| policies(policy)) {
            let case = cases(case).remove(0).remove(0).body;
            let spoke = format!("with binding '{policy}-{}{binding}'", self.space.name);
            let ask = ["-n", &self.space.name, "create", "--dry-run=server", "-f", "-"];
            eventually(&format!("{policy} is in force"), SOON, || {
                let said = kubectl_with(&ask, &case);
                if said.stderr.contains(&spoke) { Ok(()) } else { Err(said.stderr) }
            });
        }
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        for object in self.bindings.iter().chain(&self.policies) {
            let (kind, name) = (object["kind"].as_str(), object["metadata"]["name"].as_str());
            kubectl(&["delete", kind.unwrap_or_default(), name.unwrap_or_default(), "--wait=false"]);
        }
        kubectl(&["delete", "policyparameters", &self.parameters, "--wait=false", "--ignore-not-found"]);
    }
}
