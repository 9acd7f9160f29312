//! One application and its leasehold: a namespace, a database role at the shared Vault, a log-in by the pod's
//! service account, and the manifests of `deploy/kustomize` as they are but for what a team would set.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use harness::vault::{DatabaseMount, Entry, Mark, unique};
use harness::{eventually, postgres, vault};
use leasehold_harness as harness;
use serde_json::json;

use crate::SOON;
use crate::node::{API_SERVER, Pod, Space, kubectl, kubectl_with, pki, scratch};

/// The label of the example application in all manifests.
pub(crate) const APPLICATION: &str = "app.kubernetes.io/name=web";

/// What belongs to one test.
pub(crate) struct Stage {
    pub(crate) space: Space,
    pub(crate) database: DatabaseMount<'static>,
    /// The path to read: `MOUNT/creds/web`.
    pub(crate) creds: String,
    /// The role of the log-in, and of the policy, at Vault.
    pub(crate) role: String,
    start: Mark,
}

/// What a test changes in a mode of `deploy/kustomize`, beside images and addresses.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    components: Vec<String>,
    configuration: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    own_environment: Vec<(String, String)>,
    patches: Vec<(String, String)>,
}

impl Changes {
    /// Adds a component of `deploy/kustomize/components`.
    pub(crate) fn component(mut self, name: &str) -> Self {
        self.components.push(name.to_owned());
        self
    }

    /// Replaces a text of `leasehold.yaml`, which must be there.
    pub(crate) fn configuration(mut self, from: &str, to: &str) -> Self {
        self.configuration.push((from.to_owned(), to.to_owned()));
        self
    }

    /// Sets a variable of the application.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets a variable of leasehold's containers.
    pub(crate) fn own_environment(mut self, name: &str, value: &str) -> Self {
        self.own_environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A patch (strategic merge or JSON 6902, as YAML) of the workload of that kind.
    pub(crate) fn patch(mut self, kind: &str, patch: &str) -> Self {
        self.patches.push((kind.to_owned(), patch.to_owned()));
        self
    }
}

impl Stage {
    /// A credential of those TTLs, and who may read it.
    #[track_caller]
    pub(crate) fn new(name: &str, ttl: &str, max_ttl: &str) -> Self {
        log_in_by_service_account();
        let start = vault().audit().mark();
        let space = Space::new(name);
        let database = vault().database_mount(name);
        let creds = database.role("web", ttl, max_ttl);
        let policy = vault().policy(name).read(&creds).revoke_leases().create();
        let stage = Self { role: unique(name), space, database, creds, start };
        stage.allow(&policy, "10m");
        stage
    }

    /// Lets the service account `web` of the namespace log in, with that policy and token TTL.
    #[track_caller]
    pub(crate) fn allow(&self, policy: &str, ttl: &str) {
        let role = json!({
            "bound_service_account_names": "web",
            "bound_service_account_namespaces": self.space.name,
            "audience": "vault",
            "token_policies": [policy],
            "token_ttl": ttl,
        });
        self.change_role(role);
    }

    /// Changes keys of the log-in's role.
    #[track_caller]
    pub(crate) fn change_role(&self, keys: serde_json::Value) {
        vault().write(&format!("auth/kubernetes/role/{}", self.role), keys);
    }

    /// Applies a mode of `deploy/kustomize`.
    #[track_caller]
    pub(crate) fn deploy(&self, mode: &str, changes: &Changes) {
        self.space.apply(&self.render(mode, changes));
    }

    /// The one pod of the application.
    #[track_caller]
    pub(crate) fn pod(&self) -> Pod<'_> {
        self.space.pod(APPLICATION)
    }

    /// Deletes the workload, as a roll-back or a scaling to nothing does: its pods are asked to end.
    #[track_caller]
    pub(crate) fn end(&self) {
        let kinds = "deployment,statefulset,job,cronjob";
        self.space.kubectl(&["delete", kinds, "-l", APPLICATION, "--wait=false"]).done();
    }

    /// What is to be applied, from a kustomization over the mode's own.
    #[track_caller]
    pub(crate) fn render(&self, mode: &str, changes: &Changes) -> String {
        let base = deploy().join(mode);
        let folder = scratch().join(unique(&self.role));
        std::fs::create_dir_all(&folder).unwrap();
        let manifests = std::fs::read_to_string(base.join("kustomization.yaml")).unwrap();
        let kinds = ["Deployment", "StatefulSet", "Job", "CronJob"];
        let workload = kinds
            .into_iter()
            .find(|kind| manifests.contains(&format!("- {}.yaml", kind.to_lowercase())))
            .unwrap_or_else(|| panic!("{mode} has no workload"));

        let mut configuration = std::fs::read_to_string(base.join("leasehold.yaml")).unwrap();
        let ours = [
            ("role: web".to_owned(), format!("role: {}", self.role)),
            ("path: database/creds/web".to_owned(), format!("path: {}", self.creds)),
        ];
        for (from, to) in changes.configuration.iter().chain(&ours) {
            assert!(configuration.contains(from.as_str()), "{mode}/leasehold.yaml has no {from:?}");
            configuration = configuration.replace(from, to);
        }
        std::fs::write(folder.join("leasehold.yaml"), configuration).unwrap();

        let mut kustomization = format!(
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [{}]\n",
            relative(&folder, &base)
        );
        if !changes.components.is_empty() {
            kustomization += "components:\n";
            for component in &changes.components {
                let component = deploy().join("components").join(component);
                writeln!(kustomization, "  - {}", relative(&folder, &component)).unwrap();
            }
        }
        kustomization += "configMapGenerator:\n  - name: web-leasehold\n    behavior: replace\n    files: [leasehold.yaml]\n";
        kustomization += "images:\n";
        let mut own = std::env::var("LEASEHOLD_IMAGE_TAG").unwrap_or_else(|_| "dev".into());
        if mode == "exec" {
            own += "-install";
        }
        for (name, tag) in [("leasehold", &*own), ("application", "dev")] {
            writeln!(kustomization, "  - {{ name: {name}, newName: localhost/{name}, newTag: {tag} }}")
                .unwrap();
        }
        kustomization += "patches:\n";
        let patches = [(workload.to_owned(), self.surroundings(workload, &base, changes))];
        for (kind, patch) in patches.iter().chain(&changes.patches) {
            writeln!(kustomization, "  - target: {{ kind: {kind} }}\n    patch: |").unwrap();
            patch.lines().for_each(|line| writeln!(kustomization, "      {line}").unwrap());
        }
        std::fs::write(folder.join("kustomization.yaml"), kustomization).unwrap();
        kubectl(&["kustomize", folder.to_str().unwrap()]).done()
    }

    /// Where Vault and PostgreSQL are, as a patch of every container that wants to know.
    fn surroundings(&self, workload: &str, base: &Path, changes: &Changes) -> String {
        let pod = match workload {
            "CronJob" => "/spec/jobTemplate/spec/template/spec",
            _ => "/spec/template/spec",
        };
        let manifest =
            std::fs::read_to_string(base.join(format!("{}.yaml", workload.to_lowercase()))).unwrap();
        let template: serde_json::Value = yaml(&manifest).pointer(pod).unwrap().clone();
        let mut patch = String::new();
        for kind in ["initContainers", "containers"] {
            let containers = template[kind].as_array().cloned().unwrap_or_default();
            for (index, container) in containers.iter().enumerate() {
                let mut environment = match container["name"].as_str() {
                    Some("application") => {
                        let mut all = changes.environment.clone();
                        all.push(("POSTGRES".into(), postgres().address().to_string()));
                        if wraps(container) {
                            all.extend(changes.own_environment.clone());
                            all.push(("VAULT_ADDR".into(), vault().url()));
                        }
                        all
                    }
                    Some("leasehold-install") => continue,
                    _ => {
                        let mut all = changes.own_environment.clone();
                        all.push(("VAULT_ADDR".into(), vault().url()));
                        all
                    }
                };
                let existing = container["env"].as_array().cloned().unwrap_or_default();
                let mut all = existing;
                all.extend(
                    environment.drain(..).map(|(name, value)| json!({ "name": name, "value": value })),
                );
                let value = serde_json::Value::from(all);
                writeln!(patch, "- {{ op: add, path: {pod}/{kind}/{index}/env, value: {value} }}").unwrap();
            }
        }
        patch
    }

    /// The credentials that were taken since the beginning, refusals left out.
    #[track_caller]
    pub(crate) fn mints(&self) -> Vec<Entry> {
        let mut mints = vault().audit().matching(self.start, "read", &self.creds);
        mints.retain(|mint| !mint.refused());
        mints
    }

    /// The accessors of the tokens that were given out for its service account since the beginning.
    #[track_caller]
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.log_ins().iter().filter_map(|entry| entry.accessor().map(str::to_owned)).collect()
    }

    /// Every log-in that was tried with its role since the beginning.
    #[track_caller]
    pub(crate) fn log_ins(&self) -> Vec<Entry> {
        let mut log_ins = vault().audit().matching(self.start, "update", "auth/kubernetes/login");
        log_ins.retain(|entry| entry.line["request"]["data"]["role"] == *self.role);
        log_ins
    }

    /// Applies a mode while its log-in is refused, and lets it in once a refusal was seen, and that nothing of the
    /// application had run by then.
    #[track_caller]
    pub(crate) fn deploy_and_hold_back(&self, mode: &str, changes: &Changes) -> Pod<'_> {
        self.change_role(json!({ "bound_service_account_names": "somebody-else" }));
        self.deploy(mode, changes);
        let pod = self.pod();
        let refused = || self.log_ins().iter().filter(|log_in| log_in.refused()).count();
        // More than one: time in which a kubelet would have started the application.
        eventually("it is refused", SOON, || refused() >= 3);
        let application = pod.container("application").expect("it is shown from the beginning");
        assert_eq!(application["state"]["waiting"]["reason"], "PodInitializing", "{application}");
        self.change_role(json!({ "bound_service_account_names": "web" }));
        pod
    }

    /// Waits until nothing of it is left at the servers: no role in PostgreSQL, no lease, no token.
    #[track_caller]
    pub(crate) fn wait_until_nothing_is_left(&self) {
        eventually("no role, lease and token are left", SOON, || {
            let (roles, leases, mut tokens) = (self.database.roles(), self.database.leases(), self.tokens());
            tokens.retain(|accessor| vault().token_lives(accessor));
            let nothing = roles.is_empty() && leases.is_empty() && tokens.is_empty();
            if nothing { Ok(()) } else { Err(format!("{roles:?} {leases:?} {tokens:?}")) }
        });
    }
}

/// Whether leasehold is in there as well, in front of the application.
fn wraps(container: &serde_json::Value) -> bool {
    container["command"][0].as_str().is_some_and(|command| command.ends_with("/leasehold"))
}

pub(crate) fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kustomize")
}

/// kustomize takes no absolute paths.
pub(crate) fn relative(from: &Path, to: &Path) -> String {
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| "..".to_owned());
    let down = to.components().skip(common).map(|part| part.as_os_str().to_str().unwrap().to_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}

/// A manifest as JSON: kubectl reads it, so nothing else has to.
#[track_caller]
pub(crate) fn yaml(manifest: &str) -> serde_json::Value {
    let arguments = ["create", "--dry-run=client", "--validate=false", "-o", "json", "-f", "-"];
    serde_json::from_str(&kubectl_with(&arguments, manifest).done()).expect("kubectl prints JSON")
}

/// What the cluster's administrator types once, so that Vault knows the cluster: `deploy/vault`.
fn log_in_by_service_account() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let reviewer = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/vault/reviewer.yaml");
        kubectl(&["apply", "-f", reviewer.to_str().unwrap()]).done();
        let token =
            kubectl(&["-n", "vault", "create", "token", "vault-token-reviewer", "--duration=24h"]).done();
        vault().write("sys/auth/kubernetes", json!({ "type": "kubernetes" }));
        let configuration = json!({
            "kubernetes_host": API_SERVER,
            "kubernetes_ca_cert": pki("ca.crt"),
            "token_reviewer_jwt": token.trim(),
            "disable_local_ca_jwt": true,
        });
        vault().write("auth/kubernetes/config", configuration);
    });
}
