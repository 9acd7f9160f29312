//! No value leaves by the side door: not even at trace level, not even in what foreign crates say.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use leasehold_core::{Environment, ProviderSettings, Surroundings, Target};
use leasehold_harness::vault;
use leasehold_vault::{Raw, Settings};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::given::{at, fetch, fetch_since, session};

const CANARY: &str = "canary-5c1d";

/// All that is said on the thread of this test: its runtime has no other.
#[derive(Clone)]
struct Everything(Arc<Mutex<Vec<u8>>>, ThreadId);

impl io::Write for Everything {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::thread::current().id() == self.1 {
            self.0.lock().unwrap().extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Everything {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_is_said_at_trace_level_nor_shown_by_debug() {
    let said = Everything(Arc::default(), std::thread::current().id());
    // For the whole process: what one thread alone listens to, tracing forgets when others do not.
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(said.clone())
        .init();

    let kv = vault().kv_mount("quiet", 2);
    kv.put("app", json!({ "password": CANARY }));
    let database = vault().database_mount("quiet");
    let creds = database.role("web", "1m", "5m");
    let policy = vault().policy("quiet").read(&kv.data("app")).read(&creds).create();
    let mount = vault().approle_mount("quiet");
    let role = mount.role("web", json!({ "token_policies": [policy], "token_ttl": "60s" }));
    let raw: Raw = serde_json::from_value(json!({
        "address": vault().url(),
        "auth": {
            "method": "approle", "mount": role.mount, "role_id": role.role_id, "secret_id": role.secret_id
        },
    }))
    .unwrap();
    let settings = Settings::parse("vault", raw, &Environment::default()).unwrap();
    let shown = format!("{settings:?} {}", settings.identity());
    let provider =
        settings.build("vault", Surroundings::observed(Arc::new(leasehold_core::NoObserver))).unwrap();
    let session = session(&*provider).await;
    let shown = format!("{shown} {session:?}");

    let reference = at(&kv.data("app"));
    let fetched = fetch(&*provider, &session, &reference).await.unwrap();
    fetch_since(&*provider, &session, &reference, Some("1")).await.unwrap();
    let leased = fetch(&*provider, &session, &at(&creds)).await.unwrap();
    let password = crate::given::text(&leased, "password");
    let mut unknown = at(&kv.data("app"));
    unknown.key = Some("nothing".to_owned());
    let error = fetch(&*provider, &session, &unknown).await.unwrap_err();
    let shown = format!("{shown} {fetched:?} {leased:?} {error} {error:?}");
    provider.revoke(&session, Target::Session).await.unwrap();
    let error = fetch(&*provider, &session, &reference).await.unwrap_err();
    let shown = format!("{shown} {error} {error:?}");

    let said = String::from_utf8_lossy(&said.0.lock().unwrap()).into_owned();
    assert!(said.contains("leasehold::vault") && said.contains("metadata"), "what is said is heard");
    assert!(said.contains("rustify"), "also what foreign crates say");
    let token = session.credential.expose_text().unwrap();
    for secret in [CANARY, token, &role.role_id, &role.secret_id, &password] {
        assert!(!said.contains(secret), "said in a log");
        assert!(!shown.contains(secret), "shown by Debug or an error");
    }
}
