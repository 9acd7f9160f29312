//! Google Secret Manager and Azure Key Vault through the binary, over TLS with a private CA, against what stands
//! for them: beside each other in one set, and where something is wrong.

use std::time::Duration;

use harness::leasehold::Running;
use harness::process::Exit;
use harness::{Leasehold, eventually};
use leasehold_harness as harness;
use leasehold_standins::{Azure, Google};
use serde_json::{Value, json};

use crate::lifecycle::given::{Place, SOON};

const CLIENT: &str = "11111111-2222-3333-4444-555555555555";

/// Both stores, with an identity each that may read them.
struct Clouds {
    place: Place,
    azure: Azure,
    google: Google,
    /// The Azure application's secret.
    password: String,
    email: String,
}

impl Clouds {
    fn new() -> Self {
        let (azure, google) = (Azure::start(), Google::start());
        let password = azure.register_client(CLIENT);
        let email = google.register_service_account("web");
        Self { place: Place::new(), azure, google, password, email }
    }

    /// These secrets, and what they are written to.
    fn configure(&self, secrets: Value, files: Value, password: &str) {
        self.place.configure(json!({
            "providers": {
                "azure": {
                    "type": "azure-key-vault",
                    "address": self.azure.address(),
                    "authority": self.azure.authority(),
                    "resource": Azure::RESOURCE,
                    "auth": {
                        "method": "client-secret", "tenant_id": Azure::TENANT, "client_id": CLIENT,
                        "client_secret_file": self.place.file("password", password),
                    },
                    "tls": { "ca_file": self.azure.ca_file() },
                },
                "google": {
                    "type": "gcp-secret-manager",
                    "project": Google::PROJECT,
                    "endpoint": self.google.endpoint(),
                    "credentials_file": self.google.service_account_file(&self.email),
                    "tls": { "ca_file": self.google.ca_file() },
                },
            },
            "secrets": secrets,
            "files": files,
            "lifecycle": { "startup_deadline": "20s" },
        }));
    }

    fn command(&self, words: &[&str]) -> Leasehold {
        self.place.command(words)
    }

    #[track_caller]
    fn follows(&self, file: &str, value: &str, running: &Running) {
        eventually(&format!("{file} follows"), SOON, || match self.place.read(file) {
            Some(held) if held == value => Ok(()),
            held => Err(format!("{held:?}\n{}", running.stderr())),
        });
    }

    fn number(&self) -> u64 {
        let manifest = self.place.read("..data/..manifest.json").expect("a manifest in each generation");
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        manifest["generation"].as_u64().expect("its number")
    }
}

#[test]
fn both_make_one_set_that_follows_new_versions_and_survives_that_their_tokens_are_revoked() {
    let clouds = Clouds::new();
    clouds.google.put_secret("api", "first");
    clouds.azure.put_secret("db", r#"{ "user": "web", "password": "one" }"#);
    clouds.configure(
        json!({
            "api": { "provider": "google", "path": "api", "refresh": "1s" },
            "db": { "provider": "azure", "path": "db", "refresh": "1s" },
        }),
        json!({ "env": { "template": "{{ api.value }} {{ db.user }}:{{ db.password }}" } }),
        &clouds.password,
    );
    let mut running = clouds.command(&["run"]).start();
    assert_eq!(clouds.place.await_file("env", &mut running), "first web:one");
    assert_eq!(clouds.number(), 1);

    clouds.google.put_secret("api", "second");
    clouds.follows("env", "second web:one", &running);
    clouds.azure.put_secret("db", r#"{ "user": "web", "password": "two" }"#);
    clouds.follows("env", "second web:two", &running);
    assert_eq!(clouds.number(), 3, "one generation a change");

    clouds.google.revoke_tokens();
    clouds.azure.revoke_tokens();
    clouds.google.put_secret("api", "third");
    clouds.azure.put_secret("db", r#"{ "user": "web", "password": "three" }"#);
    clouds.follows("env", "third web:three", &running);
    running.signal(harness::Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    for canary in ["first", "third", "three", clouds.password.as_str()] {
        assert!(!running.stderr().contains(canary), "{}", running.stderr());
    }
}

#[test]
fn what_is_wrong_later_leaves_the_files_and_is_named() {
    let clouds = Clouds::new();
    let version = clouds.google.put_secret("api", "first");
    clouds.azure.put_secret("db", "one");
    clouds.configure(
        json!({
            "api": { "provider": "google", "path": "api", "refresh": "1s" },
            "db": { "provider": "azure", "path": "db", "refresh": "1s" },
        }),
        json!({ "env": { "template": "{{ api.value }} {{ db.value }}" } }),
        &clouds.password,
    );
    let mut running = clouds.command(&["run"]).start();
    assert_eq!(clouds.place.await_file("env", &mut running), "first one");

    clouds.google.disable("api", &version);
    clouds.azure.deny("db");
    let said = |words: &str| {
        eventually(&format!("\"{words}\" is said"), SOON, || match running.stderr() {
            log if log.contains(words) => Ok(()),
            log => Err(log),
        });
    };
    said("disabled");
    said("Key Vault Secrets User");
    assert_eq!(clouds.place.read("env").as_deref(), Some("first one"));

    clouds.google.wrong_checksum("api");
    clouds.google.put_secret("api", "spoilt");
    said("checksum");
    assert_eq!(clouds.place.read("env").as_deref(), Some("first one"));

    clouds.google.right_checksum("api");
    clouds.azure.allow("db");
    clouds.azure.put_secret("db", "two");
    // A denial is not tried again as often as a poll: whoever has granted the right says so.
    let end = clouds.command(&["refresh", "db"]).finish(SOON);
    assert_eq!(end.exit, Exit::Code(0), "{}", end.stderr);
    clouds.follows("env", "spoilt two", &running);
    running.signal(harness::Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
}

#[test]
fn what_is_wrong_at_the_start_names_the_remedy_and_has_its_exit_code() {
    let mut clouds = Clouds::new();
    let off = clouds.google.put_secret("off", "canary");
    clouds.google.disable("off", &off);
    clouds.google.put_secret("no", "canary");
    clouds.google.deny("no");
    let off = clouds.azure.put_secret("off", "canary");
    clouds.azure.disable("off", &off);
    clouds.azure.put_secret("no", "canary");
    clouds.azure.deny("no");
    clouds.azure.put_secret("yes", "canary");

    let right = clouds.password.clone();
    let right = right.as_str();
    for (provider, path, password, code, words) in [
        ("google", "never", right, 66, "never"),
        ("google", "off", right, 66, "disabled"),
        ("google", "no", right, 77, "secretmanager.secretAccessor"),
        ("azure", "never", right, 66, "never"),
        ("azure", "off", right, 66, "disabled"),
        ("azure", "no", right, 77, "Key Vault Secrets User"),
        ("azure", "yes", "another-password", 77, "client"),
    ] {
        // Nothing that an earlier start logged in for.
        clouds.place = Place::new();
        clouds.configure(
            json!({ "it": { "provider": provider, "path": path } }),
            json!({ "it": { "secret": "it", "field": "value" } }),
            password,
        );
        let end = clouds.command(&["init"]).finish(Duration::from_secs(60));
        assert_eq!(end.exit, Exit::Code(code), "{provider} {path}: {}", end.stderr);
        assert!(end.stderr.contains(words), "{provider} {path}: {}", end.stderr);
        for canary in ["canary", right, "another-password"] {
            assert!(!end.stderr.contains(canary), "{}", end.stderr);
        }
    }
}
