//! The suite of all providers, run with Vault: kv of both versions, and credentials of a database.

use std::fmt::Write;
use std::sync::{Arc, Mutex, OnceLock};

use leasehold_conformance::{Capability, Content, Facts, Fault, Playing, Subject};
use leasehold_core::{Environment, Observer, Provider, ProviderSettings, SecretRef, Surroundings};
use leasehold_harness::http::Response;
use leasehold_harness::proxy::{Proxy, Rule};
use leasehold_harness::vault;
use leasehold_harness::vault::{AppRole, DatabaseMount, KvMount, unique};
use leasehold_vault::{Raw, Settings};
use serde_json::json;

mod kv_version_2 {
    leasehold_conformance::suite!(|| super::Kept::of_version(2));
}

mod kv_version_1 {
    leasehold_conformance::suite!(|| super::Kept::of_version(1));
}

/// Integrated storage takes entries of 1 MiB at most, encrypted and with what belongs to them.
const LARGEST: usize = (1 << 20) - (8 << 10);

/// A kv mount under an AppRole of its own, behind a proxy that plays.
struct Kept {
    version: u8,
    kv: KvMount<'static>,
    /// Mounted when it is first asked for.
    database: OnceLock<DatabaseMount<'static>>,
    policy: String,
    denied: Mutex<Vec<String>>,
    role: AppRole,
    proxy: Proxy,
}

impl Kept {
    fn of_version(version: u8) -> Self {
        let policy = unique("conformance");
        let options = json!({ "token_policies": [policy], "token_ttl": "10m", "secret_id_num_uses": 0 });
        let kept = Self {
            version,
            kv: vault().kv_mount("conformance", version),
            database: OnceLock::new(),
            role: vault().approle_mount("conformance").role("web", options),
            policy,
            denied: Mutex::default(),
            proxy: Proxy::to(vault().address()),
        };
        kept.allow();
        kept
    }

    /// Writes the policy: everything that the provider can make use of, but what is denied.
    fn allow(&self) {
        let mut text = String::new();
        let mut rule = |path: &str, may: &str| {
            writeln!(text, "path \"{path}\" {{ capabilities = [\"{may}\"] }}").expect("a String takes it");
        };
        rule(&format!("{}/*", self.kv.path()), "read");
        rule("sys/leases/revoke", "update");
        if let Some(database) = self.database.get() {
            rule(&format!("{}/creds/*", database.path()), "read");
        }
        for path in self.denied.lock().expect("nobody panics with it").iter() {
            rule(path, "deny");
        }
        vault().write(&format!("sys/policies/acl/{}", self.policy), json!({ "policy": text }));
    }

    fn database(&self) -> &DatabaseMount<'static> {
        let database = self.database.get_or_init(|| {
            let database = vault().database_mount("conformance");
            database.role("web", "10m", "1h");
            database
        });
        self.allow();
        database
    }

    fn settings(&self, secret_id: &str) -> Settings {
        let raw: Raw = serde_json::from_value(json!({
            "address": self.proxy.url(),
            "auth": {
                "method": "approle", "mount": self.role.mount,
                "role_id": self.role.role_id, "secret_id": secret_id
            },
        }))
        .expect("it is what a configuration says");
        Settings::parse("store", raw, &Environment::default()).expect("it is valid")
    }
}

impl Subject for Kept {
    fn name(&self) -> String {
        format!("vault, kv {}", self.version)
    }

    fn lacks(&self) -> Vec<(Capability, &'static str)> {
        let mut lacks = vec![
            (Capability::Batch, "the store's API reads one secret a request"),
            (Capability::Binary, "kv keeps JSON"),
            (Capability::Stages, "kv has versions, and no stages"),
        ];
        if self.version == 1 {
            let none = "kv of version 1 keeps no versions";
            lacks.extend([
                (Capability::Versions, none),
                (Capability::Pinning, none),
                (Capability::Unchanged, none),
            ]);
        }
        lacks
    }

    fn facts(&self) -> Facts {
        Facts { batch: 1, requests_per_batch: 1, largest: LARGEST, patience: 0 }
    }

    fn provider(&self, name: &str, observer: Arc<dyn Observer>) -> Box<dyn Provider> {
        let settings = self.settings(&self.role.secret_id);
        settings.build(name, Surroundings::observed(observer)).expect("nothing has to be prepared")
    }

    fn settings_shown(&self) -> String {
        let settings = self.settings(&self.role.secret_id);
        format!("{settings:?} {}", settings.identity())
    }

    fn credentials(&self) -> Vec<String> {
        vec![self.role.role_id.clone(), self.role.secret_id.clone()]
    }

    fn stranger(&self, name: &str) -> (Box<dyn Provider>, String) {
        let wrong = unique("0f4c6d7e-wrong-secret-id");
        let surroundings = Surroundings::observed(Arc::new(leasehold_core::NoObserver));
        let provider = self.settings(&wrong).build(name, surroundings).expect("nothing has to be prepared");
        (provider, wrong)
    }

    fn reference(&self, secret: &str) -> SecretRef {
        let path = format!("{}/{secret}", self.kv.path());
        SecretRef { name: secret.to_owned(), path, ..SecretRef::default() }
    }

    fn put(&self, secret: &str, content: &Content) -> Option<String> {
        self.kv.put(secret, content.object().expect("kv keeps JSON"));
        if self.version == 1 {
            return None;
        }
        let metadata = vault().read(&self.kv.metadata(secret)).expect("it was just written");
        Some(metadata["data"]["current_version"].to_string())
    }

    fn remove(&self, secret: &str) {
        vault().delete(&self.kv.data(secret));
    }

    fn deny(&self, reference: &SecretRef) {
        self.denied.lock().expect("nobody panics with it").push(self.kv.data(&reference.name));
        self.allow();
    }

    fn play(&self, fault: Fault, at: &SecretRef) -> Box<dyn Playing + '_> {
        // The end of the path: kv of version 2 puts a word of its own before it.
        let at = at.path.split_once('/').map_or(at.path.as_str(), |(_, below)| below);
        let page = "<html><body>Please log in to the network first.</body></html>";
        let page = Response {
            status: 200,
            headers: vec![("Content-Type".into(), "text/html".into())],
            body: page.into(),
        };
        let rule = match fault {
            Fault::Throttle(wait) => {
                let answer = Response::status(429).header("Retry-After", &wait.as_secs().to_string());
                self.proxy.answer(at, answer)
            }
            Fault::Withhold => self.proxy.withhold(at),
            Fault::HalfSent => self.proxy.halve(at),
            Fault::Reset => self.proxy.lose_answers(at),
            Fault::WrongContentType => self.proxy.answer(at, page),
            Fault::Nonsense => self.proxy.answer(at, Response::json(200, r#"{"data":[true,"#)),
            Fault::ServerError => self.proxy.answer(at, Response::status(500)),
        };
        Box::new(Played { rule, fault })
    }

    fn requests(&self) -> u64 {
        self.proxy.requests("").iter().filter(|seen| !seen.path.ends_with("/login")).count() as u64
    }

    fn leased(&self) -> SecretRef {
        let path = format!("{}/creds/web", self.database().path());
        SecretRef { name: "db".to_owned(), path, ..SecretRef::default() }
    }

    fn living(&self) -> Vec<String> {
        self.database().leases()
    }

    fn end(&self, lease: &str) {
        vault().write("sys/leases/revoke", json!({ "lease_id": lease, "sync": true }));
    }
}

struct Played {
    rule: Rule,
    fault: Fault,
}

impl Playing for Played {
    fn met(&self) -> u64 {
        let met = if self.fault == Fault::Withhold { self.rule.waiting() } else { self.rule.hits() };
        met as u64
    }
}
