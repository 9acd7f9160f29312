//! Tokens of every kind that the server hands out.

use std::time::Duration;

use leasehold_core::{Kind, Origin, Target, Term};
use leasehold_harness::{eventually, vault};
use serde_json::json;

use crate::given::{SOON, provider, seconds, session, with_token};

const MINUTE: Duration = Duration::from_secs(60);

fn approle(options: serde_json::Value) -> serde_json::Value {
    let mount = vault().approle_mount("session");
    let role = mount.role("web", options);
    json!({
        "address": vault().url(),
        "auth": {
            "method": "approle", "mount": role.mount, "role_id": role.role_id, "secret_id": role.secret_id
        },
    })
}

#[tokio::test]
async fn a_service_token_is_looked_up_renewed_up_to_its_max_ttl_and_revoked() {
    let provider = provider(approle(json!({ "token_ttl": "60s", "token_max_ttl": "90s" })));
    let session = session(&*provider).await;
    assert_eq!(session.origin, Origin::LoggedIn);
    assert!(session.revocable);
    assert_eq!(session.uses_left, None);
    assert_eq!(session.term, Some(Term { ttl: MINUTE, renewable: true }));
    assert!(vault().token_lives(&session.id), "the id is the accessor");

    let left = provider.lookup(&session, Target::Session).await.unwrap();
    assert!((50..=60).contains(&seconds(left)));
    let granted = provider.renew(&session, Target::Session, 10 * MINUTE).await.unwrap();
    assert!((70..=90).contains(&seconds(granted)), "less than asked: the max TTL comes near");

    provider.revoke(&session, Target::Session).await.unwrap();
    assert!(!vault().token_lives(&session.id));
    // Ended already, which is what was wanted.
    provider.revoke(&session, Target::Session).await.unwrap();
    let error = provider.lookup(&session, Target::Session).await.unwrap_err();
    assert_eq!(error.kind, Kind::SessionEnded, "{error}");
    let error = provider.renew(&session, Target::Session, MINUTE).await.unwrap_err();
    assert_eq!(error.kind, Kind::SessionEnded, "{error}");
}

#[tokio::test]
async fn a_batch_token_is_neither_renewed_nor_revocable_and_has_an_id_of_its_own() {
    let provider = provider(approle(json!({ "token_ttl": "60s", "token_type": "batch" })));
    let (one, two) = (session(&*provider).await, session(&*provider).await);
    assert!(!one.revocable);
    assert_eq!(one.term, Some(Term { ttl: MINUTE, renewable: false }));
    assert_ne!(one.id, two.id);
    assert!(!one.id.contains(one.credential.expose_text().unwrap()));
    assert!((50..=60).contains(&seconds(provider.lookup(&one, Target::Session).await.unwrap())));
    let error = provider.renew(&one, Target::Session, MINUTE).await.unwrap_err();
    assert_eq!(error.kind, Kind::LeaseGone, "{error}");
}

#[tokio::test]
async fn a_periodic_token_is_granted_its_period_and_an_explicit_max_ttl_caps_another() {
    let (periodic, _) = with_token(vault(), json!({ "period": "40s" }));
    let one = session(&*periodic).await;
    assert_eq!(one.origin, Origin::Given);
    let granted = periodic.renew(&one, Target::Session, 10 * MINUTE).await.unwrap();
    assert_eq!(granted, Some(Term { ttl: Duration::from_secs(40), renewable: true }));

    let (capped, _) = with_token(vault(), json!({ "ttl": "30s", "explicit_max_ttl": "45s" }));
    let two = session(&*capped).await;
    let granted = capped.renew(&two, Target::Session, 10 * MINUTE).await.unwrap();
    assert!((30..=45).contains(&seconds(granted)));
}

#[tokio::test]
async fn a_root_token_without_ttl_does_not_end() {
    let (provider, _) = with_token(vault(), json!({ "policies": ["root"], "ttl": 0 }));
    let session = session(&*provider).await;
    assert_eq!(session.term, None);
    assert_eq!(provider.lookup(&session, Target::Session).await.unwrap(), None);
}

#[tokio::test]
async fn a_token_with_a_number_of_uses_says_how_many_are_left() {
    let provider = provider(approle(json!({ "token_ttl": "60s", "token_num_uses": 5 })));
    assert_eq!(session(&*provider).await.uses_left, Some(5));

    // Looking a given one up costs a use.
    let (given, _) = with_token(vault(), json!({ "ttl": "60s", "num_uses": 5 }));
    assert_eq!(session(&*given).await.uses_left, Some(4));
}

#[tokio::test]
async fn a_token_that_ends_by_itself_is_an_ended_session() {
    let (provider, _) = with_token(vault(), json!({ "ttl": "60s" }));
    let session = session(&*provider).await;
    // Shortened only now: it has to live until the log-in is through, however long that takes.
    let short = json!({ "accessor": session.id, "increment": "1s" });
    vault().write("auth/token/renew-accessor", short);
    eventually("the token is gone", SOON, || !vault().token_lives(&session.id));
    let error = provider.lookup(&session, Target::Session).await.unwrap_err();
    assert_eq!(error.kind, Kind::SessionEnded, "{error}");
}

#[tokio::test]
async fn a_living_token_without_the_default_policy_is_not_taken_for_a_dead_one() {
    let policy = vault().policy("bare").read("nothing/here").create();
    let raw = approle(json!({
        "token_ttl": "60s", "token_policies": [policy], "token_no_default_policy": true
    }));
    let provider = provider(raw);
    let session = session(&*provider).await;
    let error = provider.lookup(&session, Target::Session).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(error.detail.contains("path \"auth/token/lookup-self\""), "{error}");
    let error = provider.revoke(&session, Target::Session).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "not revoked, and not called so: {error}");

    vault().write("auth/token/revoke-accessor", json!({ "accessor": session.id }));
    let error = provider.lookup(&session, Target::Session).await.unwrap_err();
    assert_eq!(error.kind, Kind::SessionEnded, "{error}");
}

#[tokio::test]
async fn a_given_token_that_may_not_look_itself_up_or_is_dead_is_denied_and_says_which() {
    let bare = json!({ "ttl": "60s", "no_default_policy": true, "policies": ["nothing-at-all"] });
    let (provider, _) = with_token(vault(), bare);
    let error = provider.login(None).await.unwrap_err();
    assert_eq!((error.kind, error.passing), (Kind::Denied, false));
    assert!(error.detail.contains("default policy"), "{error}");

    let (provider, token) = with_token(vault(), json!({ "ttl": "60s" }));
    vault().write("auth/token/revoke", json!({ "token": token }));
    let error = provider.login(None).await.unwrap_err();
    assert_eq!((error.kind, error.passing), (Kind::Denied, false));
    assert!(error.detail.contains("does not know the token"), "{error}");
    assert!(!error.to_string().contains(&token), "{error}");
}
