//! `deploy/kustomize` under `deploy/policy`.

use std::path::{Path, PathBuf};

use harness::vault::unique;
use leasehold_harness as harness;
use serde_json::json;

use super::installed::Installed;
use crate::node::{kubectl, scratch};
use crate::stage::relative;

/// Of no image that there is.
const DIGEST: &str = "sha256:00000000000000000000000000000000000000000000000000000000000000aa";

#[test]
fn every_mode_with_every_component_is_admitted_once_its_image_has_a_digest() {
    // The workloads are created, but make no pods: what runs is the other scenarios'.
    let installed = Installed::new("overlays/deny", &[], "policy-kustomize");
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(&["label", "--overwrite", "namespace", &installed.space.name, restricted]).done();
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kustomize");
    let folders = |place: PathBuf| -> Vec<String> {
        let entries = std::fs::read_dir(&place).expect("it is there").flatten();
        let folders = entries.filter(|entry| entry.path().join("kustomization.yaml").exists());
        let mut names: Vec<String> =
            folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    };
    let (modes, components) = (folders(manifests.clone()), folders(manifests.join("components")));
    assert!(modes.len() >= 6 && components.len() >= 4, "{modes:?} {components:?}");

    let mut refused = Vec::new();
    for mode in &modes {
        let mut all = Vec::new();
        for component in std::iter::once(None).chain(components.iter().map(Some)) {
            let folder = scratch().join(unique("policy-kustomize"));
            std::fs::create_dir_all(&folder).expect("it can be made");
            let beside = |place: PathBuf| relative(&folder, &place);
            let kustomization = json!({
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "nameSuffix": format!("-{mode}-{}", component.map_or("alone", |component| component)),
                "resources": [beside(manifests.join(mode))],
                "components": component.iter()
                    .map(|component| beside(manifests.join("components").join(component)))
                    .collect::<Vec<_>>(),
                "images": [{ "name": "leasehold", "newName": "leasehold", "digest": DIGEST }],
                "patches": [
                    { "target": { "kind": "Deployment|StatefulSet" },
                      "patch": "- { op: add, path: /spec/replicas, value: 0 }" },
                    { "target": { "kind": "Job|CronJob" },
                      "patch": "- { op: add, path: /spec/suspend, value: true }" },
                ],
            });
            std::fs::write(folder.join("kustomization.yaml"), kustomization.to_string())
                .expect("it can be written");
            let rendered = kubectl(&["kustomize", folder.to_str().expect("UTF-8")]).done();
            assert!(rendered.contains(DIGEST), "{mode}: {rendered}");
            all.push(rendered);
        }
        let said = installed.space.create(&all.join("\n---\n"));
        if !said.success {
            refused.push(format!("{mode}: {}", said.stderr));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));

    // Without a digest the same is refused.
    let rendered = kubectl(&["kustomize", manifests.join(&modes[0]).to_str().expect("UTF-8")]).done();
    let said = installed.space.create(&rendered);
    assert!(said.stderr.contains("an image of leasehold without a digest"), "{}", said.stderr);
}
