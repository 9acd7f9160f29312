//! What is taken under a session: looked up, renewed, revoked.

use std::time::Duration;

use leasehold_core::{Bound, Kind, Session, Target};
use leasehold_harness::vault::DatabaseMount;
use leasehold_harness::{eventually, postgres, vault};
use serde_json::json;

use crate::given::{SOON, at, fetch, of, provider, seconds, session, text, with_token, written};

const MINUTE: Duration = Duration::from_secs(60);

/// An AppRole under the smallest policy for one path.
fn smallest(policy: leasehold_harness::vault::Policy<'_>) -> serde_json::Value {
    let mount = vault().approle_mount("lease");
    let role = mount.role("web", json!({ "token_policies": [policy.create()], "token_ttl": "10m" }));
    json!({
        "address": vault().url(),
        "auth": {
            "method": "approle", "mount": role.mount, "role_id": role.role_id, "secret_id": role.secret_id
        },
    })
}

fn database() -> (DatabaseMount<'static>, String) {
    let database = vault().database_mount("lease");
    let creds = database.role("web", "1m", "90s");
    (database, creds)
}

#[tokio::test]
async fn a_database_credential_lives_by_its_lease_under_the_smallest_policy() {
    let (database, creds) = database();
    let provider = provider(smallest(vault().policy("lease").read(&creds)));
    let session = session(&*provider).await;
    let reference = at(&creds);
    let fetched = fetch(&*provider, &session, &reference).await.unwrap();
    assert_eq!(postgres().login(&text(&fetched, "username"), &text(&fetched, "password")), Ok(()));
    let term = fetched.term.unwrap();
    assert_eq!((term.ttl, term.renewable), (MINUTE, true));
    let lease = fetched.lease.clone().unwrap();
    assert_eq!(lease.bound, Bound::Session);
    assert_eq!(database.leases(), std::slice::from_ref(&lease.id));

    let left = provider.lookup(&session, of(&lease, &reference)).await.unwrap();
    assert!((50..=60).contains(&seconds(left)));
    let granted = provider.renew(&session, of(&lease, &reference), 10 * MINUTE).await.unwrap();
    assert!((70..=90).contains(&seconds(granted)), "less than asked: the max TTL comes near");

    // Not in the default policy.
    let error = provider.revoke(&session, of(&lease, &reference)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(error.detail.contains("path \"sys/leases/revoke\""), "{error}");
    assert!(error.reference.contains("secret \"it\""), "{error}");

    provider.revoke(&session, Target::Session).await.unwrap();
    eventually("the lease ended with its session", SOON, || database.roles().is_empty());
    let error = provider.renew(&session, of(&lease, &reference), MINUTE).await.unwrap_err();
    assert_eq!(error.kind, Kind::SessionEnded, "{error}");
}

#[tokio::test]
async fn a_lease_is_revoked_by_its_id_and_gone_when_the_answer_comes() {
    let (database, creds) = database();
    let provider = provider(smallest(vault().policy("lease").read(&creds).revoke_leases()));
    let session = session(&*provider).await;
    let reference = at(&creds);
    let lease = fetch(&*provider, &session, &reference).await.unwrap().lease.unwrap();
    assert_eq!(database.roles().len(), 1);
    provider.revoke(&session, of(&lease, &reference)).await.unwrap();
    assert_eq!(database.roles(), [""; 0], "revoked, not queued");
    provider.revoke(&session, of(&lease, &reference)).await.unwrap();

    for error in [
        provider.lookup(&session, of(&lease, &reference)).await.unwrap_err(),
        provider.renew(&session, of(&lease, &reference), MINUTE).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, Kind::LeaseGone, "{error}");
    }
}

#[tokio::test]
async fn a_lease_that_cannot_be_revoked_now_is_not_called_revoked() {
    let database = vault().database_mount("stuck");
    let creds = database.role("web", "1m", "5m");
    vault().write(
        &format!("{}/roles/web", database.path()),
        json!({
            "db_name": "postgres",
            "default_ttl": "1m",
            "creation_statements": "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}'",
            "revocation_statements": "SELECT no_such_function()",
        }),
    );
    let provider = provider(smallest(vault().policy("stuck").read(&creds).revoke_leases()));
    let session = session(&*provider).await;
    let reference = at(&creds);
    let lease = fetch(&*provider, &session, &reference).await.unwrap().lease.unwrap();
    let error = provider.revoke(&session, of(&lease, &reference)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_lease_that_waits_for_its_revocation_is_gone() {
    let (_database, creds) = database();
    let provider = provider(smallest(vault().policy("queue").read(&creds)));
    let session = session(&*provider).await;
    let reference = at(&creds);
    let lease = fetch(&*provider, &session, &reference).await.unwrap().lease.unwrap();
    vault().revoke_prefix(&creds);
    // At no moment does it look alive with no time left: it is there, or gone.
    let error = until_refused(|| provider.lookup(&session, of(&lease, &reference))).await;
    assert_eq!(error.kind, Kind::LeaseGone, "{error}");
}

/// Asks until it is an error.
async fn until_refused<T, F: Future<Output = Result<Option<T>, leasehold_core::Error>>>(
    mut ask: impl FnMut() -> F,
) -> leasehold_core::Error {
    let asking = async {
        loop {
            match ask().await {
                Err(error) => return error,
                Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(SOON, asking).await.expect("the revocation is through by now")
}

#[tokio::test]
async fn a_lease_of_a_given_token_lives_and_ends_by_its_id() {
    let (database, creds) = database();
    let policy = vault().policy("given").read(&creds).revoke_leases().create();
    let (provider, token) = with_token(vault(), json!({ "policies": [policy], "ttl": "10m" }));
    let session: Session = session(&*provider).await;
    let reference = at(&creds);
    let lease = fetch(&*provider, &session, &reference).await.unwrap().lease.unwrap();
    provider.revoke(&session, of(&lease, &reference)).await.unwrap();
    assert!(database.roles().is_empty());
    assert!(vault().client(&token).read("auth/token/lookup-self").is_ok());
}

#[tokio::test]
async fn a_certificate_has_the_term_of_its_own_end_and_a_handle_only_where_it_is_to_be_revoked() {
    let pki = vault().pki_mount("pki");
    let issue = pki.role("web", json!({}));
    let revoke = format!("{}/revoke", pki.path());
    let provider = provider(smallest(vault().policy("pki").update(&issue).update(&revoke)));
    let session = session(&*provider).await;
    let mut reference = written(&issue, json!({ "common_name": "web.svc", "ttl": "1h" }));
    let plain = fetch(&*provider, &session, &reference).await.unwrap();
    assert_eq!(plain.lease, None);
    assert!((3_590..=3_600).contains(&seconds(plain.term)));
    assert!(!plain.term.unwrap().renewable);
    assert!(text(&plain, "private_key").contains("PRIVATE KEY"));

    reference.revoke = true;
    let kept = fetch(&*provider, &session, &reference).await.unwrap();
    let handle = kept.lease.clone().unwrap();
    assert_eq!((handle.bound, &handle.id), (Bound::Itself, &text(&kept, "serial_number")));
    let left = provider.lookup(&session, of(&handle, &reference)).await.unwrap();
    assert!((3_590..=3_600).contains(&seconds(left)));

    provider.revoke(&session, of(&handle, &reference)).await.unwrap();
    let revoked: Vec<String> = pki.revoked().iter().map(|serial| serial.replace('-', ":")).collect();
    assert_eq!(revoked, std::slice::from_ref(&handle.id));
    let error = provider.lookup(&session, of(&handle, &reference)).await.unwrap_err();
    assert_eq!(error.kind, Kind::LeaseGone, "{error}");
    provider.revoke(&session, of(&handle, &reference)).await.unwrap();
}

#[tokio::test]
async fn a_certificate_in_der_form_has_its_term_too_and_a_pki_role_may_give_leases() {
    let pki = vault().pki_mount("pki");
    let issue = pki.role("web", json!({ "generate_lease": true }));
    let plain = pki.role("plain", json!({}));
    let provider = provider(smallest(vault().policy("pki").update(&issue).update(&plain)));
    let session = session(&*provider).await;
    let leased = written(&issue, json!({ "common_name": "web.svc", "ttl": "1h" }));
    let fetched = fetch(&*provider, &session, &leased).await.unwrap();
    assert_eq!(fetched.lease.unwrap().bound, Bound::Session);
    assert!((3_590..=3_600).contains(&seconds(fetched.term)));
    for format in ["der", "pem_bundle"] {
        let data = json!({ "common_name": "web.svc", "ttl": "1h", "format": format });
        let fetched = fetch(&*provider, &session, &written(&plain, data)).await.unwrap();
        assert!((3_590..=3_600).contains(&seconds(fetched.term)), "{format}");
    }
}
