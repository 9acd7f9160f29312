//! No value leaves by the side door: not even at trace level, not even in what foreign crates say.

use std::sync::Arc;

use leasehold_conformance::listen;
use leasehold_core::{Environment, ProviderSettings, Surroundings, Target};
use leasehold_harness::vault;
use leasehold_vault::{Raw, Settings};
use serde_json::json;

use crate::given::{at, fetch, fetch_since, session};

const CANARY: &str = "canary-5c1d";

#[tokio::test]
async fn no_secret_is_said_at_trace_level_nor_shown_by_debug() {
    let heard = listen();

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

    let said = heard.said();
    assert!(said.contains("leasehold::vault") && said.contains("metadata"), "what is said is heard");
    assert!(said.contains("rustify"), "also what foreign crates say");
    let token = session.credential.expose_text().unwrap();
    for secret in [CANARY, token, &role.role_id, &role.secret_id, &password] {
        assert!(!said.contains(secret), "said in a log");
        assert!(!shown.contains(secret), "shown by Debug or an error");
    }
}
