//! The policy that `explain` prints is enough for everything that leasehold does, and each stanza of it is
//! needed: on the real servers, with tokens that have no other policy.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::process::Exit;
use harness::vault::{DatabaseMount, KvMount, Mark, PkiMount};
use harness::{Leasehold, Signal, eventually, vault};
use leasehold_harness as harness;
use serde_json::json;

use crate::SOON;
use crate::stage;

/// A lease that is renewed once or twice and then replaced, under a token that is renewed.
struct Scene {
    database: DatabaseMount<'static>,
    kv: KvMount<'static>,
    pki: PkiMount<'static>,
    issue: String,
}

/// One policy, who has it, and what it led to.
struct Trial {
    scene: std::sync::Arc<Scene>,
    /// It goes with the trial.
    _folder: harness::tmpfs::Folder,
    config: PathBuf,
    policy: String,
    mark: Mark,
}

impl Scene {
    fn new() -> Self {
        let database = vault().database_mount("explain");
        database.role("web", "6s", "14s");
        let kv = vault().kv_mount("explain", 2);
        kv.put("app", json!({ "key": "one" }));
        let pki = vault().pki_mount("explain");
        let issue = pki.role("web", json!({ "max_ttl": "1h" }));
        Self { database, kv, pki, issue }
    }
}

impl Trial {
    fn new(scene: &std::sync::Arc<Scene>, name: &str) -> Self {
        let folder = harness::tmpfs();
        let policy = harness::vault::unique(&format!("explain-{name}"));
        let options = json!({
            "token_policies": [policy], "token_no_default_policy": true, "token_ttl": "20s", "token_max_ttl": "10m",
        });
        let role = vault().approle_mount(&format!("explain-{name}")).role("web", options);
        fs::write(folder.join("secret-id"), &role.secret_id).unwrap();
        fs::create_dir(folder.join("state")).unwrap();
        let text = format!(
            r#"
providers:
  vault:
    type: vault
    address: "{url}"
    auth: {{ method: approle, mount: {mount}, role_id: {id}, secret_id_file: {folder}/secret-id }}
secrets:
  db:   {{ provider: vault, path: {database}/creds/web, lookup: 2s }}
  app:  {{ provider: vault, path: {app}, refresh: 1s }}
  cert: {{ provider: vault, path: {issue}, data: {{ common_name: web.svc, ttl: 8s }}, revoke: true }}
output: {{ directory: {folder}/live }}
lifecycle: {{ state_directory: {folder}/state, revoke_delay: 0s }}
admin: {{ listen: off }}
telemetry: {{ listen: off }}
"#,
            url = vault().url(),
            mount = role.mount,
            id = role.role_id,
            folder = folder.display(),
            database = scene.database.path(),
            app = scene.kv.data("app"),
            issue = scene.issue,
        );
        let config = folder.join("leasehold.yaml");
        fs::write(&config, text).unwrap();
        Self { scene: scene.clone(), _folder: folder, config, policy, mark: vault().audit().mark() }
    }

    /// What `explain` prints.
    fn printed(&self) -> String {
        let words = ["explain", "--policy", "vault", "-c"].map(AsRef::as_ref);
        let end = Leasehold::command(words.into_iter().chain([self.config.as_os_str()])).finish(SOON);
        assert_eq!(end.exit, Exit::Code(0), "{}", end.stderr);
        let page = stage::leasehold("explain", &self.config).finish(SOON).stdout;
        for line in end.stdout.lines() {
            assert!(
                page.lines().any(|shown| shown.trim_end() == format!("  {line}").trim_end()),
                "{line}\n{page}"
            );
        }
        end.stdout
    }

    fn write_policy(&self, text: &str) {
        vault().write(&format!("sys/policies/acl/{}", self.policy), json!({ "policy": text }));
    }

    /// The paths at which our tokens were refused.
    fn denied(&self) -> Vec<String> {
        let entries = vault().audit().since(self.mark);
        let ours = |entry: &&harness::vault::Entry| {
            entry.line["auth"]["policies"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| *one == self.policy))
        };
        let denied = entries.iter().filter(ours).filter(|entry| {
            entry.line["error"].as_str().is_some_and(|error| error.contains("permission denied"))
        });
        let mut paths: Vec<String> = denied.map(|entry| entry.path.clone()).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// How often one of our tokens did this with success.
    fn done(&self, operation: &str, path: &str) -> usize {
        let ours = |entry: &harness::vault::Entry| {
            entry.line["auth"]["policies"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| *one == self.policy))
        };
        let all = vault().audit().matching(self.mark, operation, path);
        all.iter().filter(|entry| ours(entry) && !entry.refused()).count()
    }

    /// An init container, then a sidecar that takes over, until it was seen or something was denied.
    fn live(&self, seen: impl Fn(&Self) -> bool) -> String {
        let init = stage::leasehold("init", &self.config).finish(SOON * 2);
        if init.exit != Exit::Code(0) {
            return init.stderr;
        }
        let mut run = stage::run(&self.config);
        let limit = Instant::now() + Duration::from_secs(60);
        while !seen(self) && self.denied().is_empty() && run.exit().is_none() && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(200));
        }
        run.signal(Signal::TERM);
        run.wait(SOON);
        run.stderr()
    }

    /// Everything that the policy is for was done.
    fn all_seen(&self) -> bool {
        let creds = format!("{}/creds/web", self.scene.database.path());
        self.done("read", &creds) >= 2
            && self.done("update", &self.scene.issue) >= 2
            && self.done("update", "sys/leases/renew") >= 1
            && self.done("update", "sys/leases/lookup") >= 1
            && self.done("update", "sys/leases/revoke") >= 1
            && self.done("update", &format!("{}/revoke", self.scene.pki.path())) >= 1
            && self.done("read", &self.scene.kv.metadata("app")) >= 1
            && self.done("update", "auth/token/renew-self") >= 1
            && self.done("read", "auth/token/lookup-self") >= 1
    }
}

/// The lines of a policy that are stanzas.
fn stanzas(policy: &str) -> Vec<&str> {
    policy.lines().filter(|line| line.starts_with("path ")).collect()
}

mod timing {
    use super::*;

    #[test]
    fn the_policy_that_is_printed_is_enough_for_everything_and_without_any_stanza_something_is_denied() {
        let scene = std::sync::Arc::new(Scene::new());
        let whole = Trial::new(&scene, "whole");
        let policy = whole.printed();
        assert_eq!(stanzas(&policy).len(), 11, "{policy}");
        whole.write_policy(&policy);
        let said = whole.live(Trial::all_seen);
        assert_eq!(whole.denied(), Vec::<String>::new(), "{said}");
        assert!(whole.all_seen(), "not everything was needed in time:\n{said}");
        assert_eq!(whole.done("update", "auth/token/revoke-self"), 1, "{said}");
        assert!(!said.contains("denied"), "{said}");
        eventually("its leases are gone", SOON, || scene.database.leases().is_empty());

        std::thread::scope(|threads| {
            for stanza in stanzas(&policy) {
                let (scene, policy) = (&scene, &policy);
                threads.spawn(move || {
                    let trial = Trial::new(scene, "without");
                    let less: String = policy
                        .lines()
                        .filter(|line| *line != stanza)
                        .map(|line| format!("{line}\n"))
                        .collect();
                    trial.write_policy(&less);
                    let said = trial.live(Trial::all_seen);
                    let path = stanza.split('"').nth(1).unwrap();
                    assert!(
                        trial.denied().iter().any(|denied| denied == path),
                        "{stanza}: {:?}\n{said}",
                        trial.denied()
                    );
                });
            }
        });
    }
}

#[test]
fn nothing_is_asked_and_mistakes_are_said() {
    let folder = harness::tmpfs();
    let file = folder.join("leasehold.yaml");
    let text = r#"
providers:
  vault: { type: vault, address: "http://127.0.0.1:1", auth: { method: approle, role_id_file: /no/such, secret_id_file: /no/such } }
secrets:
  db: { provider: vault, path: database/creds/web }
"#;
    fs::write(&file, text).unwrap();
    let explain = |words: &[&str]| {
        let all = ["explain", "-c", file.to_str().unwrap()].into_iter().chain(words.iter().copied());
        Leasehold::command(all).finish(SOON)
    };
    let page = explain(&["--ttl", "db=2h", "--max-ttl", "8h"]);
    assert_eq!(page.exit, Exit::Code(0), "{}", page.stderr);
    assert!(page.stdout.contains("a TTL of 2h and a max TTL of 8h"), "{}", page.stdout);
    assert_eq!(page.stderr, "");

    for (words, said) in [
        (&["--ttl", "web=1h"][..], "names neither a secret nor a provider"),
        (&["--ttl", "db=soon"], "expected a duration"),
        (&["--ttl", "2h", "--max-ttl", "1h"], "shorter than a TTL of 2h"),
        (&["--policy", "aws"], "there are: vault"),
    ] {
        let end = explain(words);
        assert_eq!(end.exit, Exit::Code(2), "{words:?}: {end:?}");
        assert!(end.stderr.contains(said) && end.stdout.is_empty(), "{words:?}: {end:?}");
    }
    let missing = Leasehold::command(["explain", "-c", "/no/such.yaml"]).finish(SOON);
    assert_eq!(missing.exit, Exit::Code(78), "{missing:?}");
    let inline = Leasehold::command(["explain", "--secret", "db=vault:database/creds/web"])
        .env("VAULT_ADDR", "http://127.0.0.1:1")
        .env("VAULT_TOKEN", "hvs.canary")
        .finish(SOON);
    assert_eq!(inline.exit, Exit::Code(0), "{inline:?}");
    assert!(inline.stdout.contains("VAULT_TOKEN") && !inline.stdout.contains("canary"), "{}", inline.stdout);
}

#[test]
fn the_page_shows_what_its_own_configuration_brings() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/explain.md");
    let page = fs::read_to_string(page).unwrap();
    let block = |kind: &str| {
        let rest = page.split_once(&format!("```{kind}\n")).unwrap().1;
        rest.split_once("```").unwrap().0.to_owned()
    };
    let folder = harness::tmpfs();
    let file = folder.join("leasehold.yaml");
    fs::write(&file, block("yaml")).unwrap();
    let said = stage::leasehold("explain", &file).finish(SOON);
    assert_eq!(said.exit, Exit::Code(0), "{}", said.stderr);
    assert!(
        said.stdout.contains(block("text").trim_end()),
        "the page shows\n{}\nit says\n{}",
        block("text"),
        said.stdout
    );
}
