//! Reads of what is kept: KV of both versions, static roles, and whatever else answers.

use std::sync::Arc;

use leasehold_core::{Effect, Kind, Provider, SecretRef, Session};
use leasehold_harness::vault;
use leasehold_harness::vault::{KvMount, Policy};
use serde_json::json;

use crate::given::{Counted, at, fetch, fetch_since, names, observed, session, text, with_token, written};

/// A provider under a policy of its own, counting.
async fn under(policy: Policy<'_>) -> (Box<dyn Provider>, Session, Arc<Counted>) {
    let auth = vault().token(json!({ "policies": [policy.create()], "ttl": "10m" }));
    let token = auth["client_token"].as_str().unwrap();
    let counted = Arc::new(Counted::default());
    let raw = json!({ "address": vault().url(), "auth": { "method": "token" } });
    let provider = observed(raw, &[("VAULT_TOKEN", token)], counted.clone());
    let session = session(&*provider).await;
    counted.take();
    (provider, session, counted)
}

fn versioned(reference: SecretRef, version: &str) -> SecretRef {
    SecretRef { version: Some(version.to_owned()), ..reference }
}

fn short(kv: &KvMount<'_>, key: &str) -> String {
    format!("{}/{key}", kv.path())
}

#[tokio::test]
async fn kv_of_both_versions_is_read_by_the_same_path() {
    for version in [1, 2] {
        let kv = vault().kv_mount("kv", version);
        kv.put("team/app", json!({ "user": "me", "port": 5432, "deep": { "a": [1, null] } }));
        let (provider, session, _) = under(vault().policy("kv").read(&kv.data("team/app"))).await;
        let reference = at(&short(&kv, "team/app"));
        assert_eq!(provider.describe(&reference).effect, Effect::Mints, "nothing is known of it yet");
        let fetched = fetch(&*provider, &session, &reference).await.unwrap();
        assert_eq!(names(&fetched), ["deep", "port", "user"]);
        assert_eq!(text(&fetched, "user"), "me");
        assert_eq!(text(&fetched, "port"), "5432");
        assert_eq!(text(&fetched, "deep"), r#"{"a":[1,null]}"#);
        assert_eq!((&fetched.lease, fetched.term, fetched.changes_in), (&None, None, None));
        assert_eq!(fetched.version.as_deref(), (version == 2).then_some("1"));
        let traits = provider.describe(&reference);
        assert_eq!((traits.effect, traits.group.as_str()), (Effect::Reads, kv.path()));
    }
}

#[tokio::test]
async fn the_api_path_of_a_kv_secret_works_as_well() {
    let kv = vault().kv_mount("kv", 2);
    kv.put("app", json!({ "user": "me" }));
    let (provider, session, _) = under(vault().policy("kv").read(&kv.data("app"))).await;
    let fetched = fetch(&*provider, &session, &at(&kv.data("app"))).await.unwrap();
    assert_eq!((text(&fetched, "user").as_str(), fetched.version.as_deref()), ("me", Some("1")));
}

#[tokio::test]
async fn an_unchanged_kv_secret_is_found_by_its_version_and_its_data_is_not_read() {
    let kv = vault().kv_mount("kv", 2);
    kv.put("app", json!({ "user": "one" }));
    let policy = vault().policy("kv").read(&kv.data("app")).read(&kv.metadata("app"));
    let (provider, session, counted) = under(policy).await;
    let reference = at(&short(&kv, "app"));
    let first = fetch(&*provider, &session, &reference).await.unwrap();
    let mark = vault().audit().mark();
    counted.take();
    let again = fetch_since(&*provider, &session, &reference, first.version.as_deref()).await.unwrap();
    assert!(again.fields.is_none());
    assert_eq!(again.version.as_deref(), Some("1"));
    assert_eq!(counted.take().len(), 1);
    assert!(vault().audit().matching(mark, "read", &kv.data("app")).is_empty());

    kv.put("app", json!({ "user": "two" }));
    let changed = fetch_since(&*provider, &session, &reference, first.version.as_deref()).await.unwrap();
    assert_eq!((text(&changed, "user").as_str(), changed.version.as_deref()), ("two", Some("2")));
}

#[tokio::test]
async fn a_secret_that_was_deleted_and_made_anew_is_read_though_it_counts_from_one_again() {
    let kv = vault().kv_mount("kv", 2);
    kv.put("app", json!({ "user": "one" }));
    let policy = vault().policy("kv").read(&kv.data("app")).read(&kv.metadata("app"));
    let (provider, session, _) = under(policy).await;
    let reference = at(&short(&kv, "app"));
    let first = fetch(&*provider, &session, &reference).await.unwrap();
    vault().delete(&kv.metadata("app"));
    kv.put("app", json!({ "user": "another" }));
    let second = fetch_since(&*provider, &session, &reference, first.version.as_deref()).await.unwrap();
    assert_eq!((text(&second, "user").as_str(), second.version.as_deref()), ("another", Some("1")));
}

#[tokio::test]
async fn denied_metadata_costs_one_question_and_then_the_data_is_read_instead() {
    let kv = vault().kv_mount("kv", 2);
    kv.put("app", json!({ "user": "one" }));
    let (provider, session, counted) = under(vault().policy("kv").read(&kv.data("app"))).await;
    let reference = at(&short(&kv, "app"));
    fetch(&*provider, &session, &reference).await.unwrap();
    for (round, requests) in [(1, 2), (2, 1)] {
        counted.take();
        let polled = fetch_since(&*provider, &session, &reference, Some("1")).await.unwrap();
        assert_eq!(text(&polled, "user"), "one");
        assert_eq!(counted.take().len(), requests, "round {round}");
    }
}

#[tokio::test]
async fn a_pinned_version_stays_and_a_deleted_or_destroyed_one_is_absent_and_says_so() {
    let kv = vault().kv_mount("kv", 2);
    for user in ["one", "two", "three"] {
        kv.put("app", json!({ "user": user }));
    }
    let (provider, session, _) = under(vault().policy("kv").read(&kv.data("app"))).await;
    let reference = at(&short(&kv, "app"));
    let pinned = fetch(&*provider, &session, &versioned(reference.clone(), "2")).await.unwrap();
    assert_eq!((text(&pinned, "user").as_str(), pinned.version.as_deref()), ("two", Some("2")));

    let path = kv.path();
    vault().write(&format!("{path}/delete/app"), json!({ "versions": [3] }));
    vault().write(&format!("{path}/destroy/app"), json!({ "versions": [1] }));
    for (reference, said) in [
        (reference.clone(), "version 3 was deleted"),
        (versioned(reference.clone(), "1"), "version 1 was destroyed"),
        (versioned(reference.clone(), "9"), "no version 9 of it"),
        (at(&short(&kv, "other")), "403"),
    ] {
        let error = fetch(&*provider, &session, &reference).await.unwrap_err();
        assert!(error.detail.contains(said), "{error}");
        let kind = if said == "403" { Kind::Denied } else { Kind::Absent };
        assert_eq!(error.kind, kind, "{error}");
    }
    for version in ["0", "two", "-1"] {
        let error = fetch(&*provider, &session, &versioned(reference.clone(), version)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{error}");
    }
}

#[tokio::test]
async fn a_key_picks_one_value_and_an_unknown_one_is_absent_and_names_those_there() {
    let kv = vault().kv_mount("kv", 2);
    kv.put("app", json!({ "user": "me", "a.b": "dotted", "pg": { "port": 5432, "tls": { "ca": "x" } } }));
    let (provider, session, _) = under(vault().policy("kv").read(&kv.data("app"))).await;
    let picked = |key: &str| SecretRef { key: Some(key.to_owned()), ..at(&short(&kv, "app")) };
    for (key, field, value) in [
        ("user", "value", "me"),
        ("a.b", "value", "dotted"),
        ("pg.port", "value", "5432"),
        ("pg", "port", "5432"),
        ("pg.tls", "ca", "x"),
    ] {
        let fetched = fetch(&*provider, &session, &picked(key)).await.unwrap();
        assert_eq!(text(&fetched, field), value, "{key}");
    }
    let error = fetch(&*provider, &session, &picked("password")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Absent);
    assert!(error.detail.contains("it has a.b, pg, user"), "{error}");
    assert!(!error.detail.contains("dotted"), "{error}");
}

#[tokio::test]
async fn a_static_role_says_when_it_changes_and_an_unrotated_one_is_unchanged() {
    let database = vault().database_mount("static");
    let creds = database.static_role("app", "1h");
    let (provider, session, _) = under(vault().policy("static").read(&creds)).await;
    let reference = at(&creds);
    assert_eq!(provider.describe(&reference).effect, Effect::Reads);
    let first = fetch(&*provider, &session, &reference).await.unwrap();
    assert!((3_500..=3_600).contains(&first.changes_in.unwrap().as_secs()));
    assert_eq!((&first.lease, first.term), (&None, None));
    assert!(!text(&first, "password").is_empty());
    let again = fetch_since(&*provider, &session, &reference, first.version.as_deref()).await.unwrap();
    assert!(again.fields.is_none() && again.changes_in.is_some());

    vault().write(&format!("{}/rotate-role/app", database.path()), json!({}));
    let rotated = fetch_since(&*provider, &session, &reference, first.version.as_deref()).await.unwrap();
    assert_ne!(text(&rotated, "password"), text(&first, "password"));
}

#[tokio::test]
async fn a_write_with_data_brings_what_it_answers() {
    let transit = vault().mount("transit", "transit", json!({}));
    vault().write(&format!("{transit}/keys/app"), json!({}));
    let path = format!("{transit}/datakey/plaintext/app");
    let (provider, session, _) = under(vault().policy("transit").update(&path)).await;
    let reference = written(&path, json!({ "bits": 256 }));
    assert_eq!(provider.describe(&reference).effect, Effect::Mints);
    let fetched = fetch(&*provider, &session, &reference).await.unwrap();
    assert!(text(&fetched, "ciphertext").starts_with("vault:v1:"));
    assert_eq!((&fetched.lease, fetched.term), (&None, None));
}

#[tokio::test]
async fn what_would_do_something_else_than_is_meant_is_refused_before_it_is_done() {
    let kv = vault().kv_mount("kv", 2);
    kv.put("app", json!({ "user": "me" }));
    let one = vault().kv_mount("kv", 1);
    one.put("app", json!({ "user": "me" }));
    let policy = vault()
        .policy("kv")
        .read(&kv.data("app"))
        .update(&kv.data("app"))
        .read(&one.data("app"))
        .update(&one.data("app"));
    let (provider, session, _) = under(policy).await;
    for reference in [
        written(&short(&kv, "app"), json!({ "user": "you" })),
        written(&one.data("app"), json!({ "user": "you" })),
        versioned(at(&one.data("app")), "1"),
        at(&format!("{}/../{}", kv.path(), short(&one, "app"))),
        at(&format!("/{}", short(&kv, "app"))),
        at(&format!("{}/", short(&kv, "app"))),
    ] {
        let error = fetch(&*provider, &session, &reference).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{error}");
    }
    assert_eq!(vault().read(&kv.data("app")).unwrap()["data"]["data"]["user"], "me");
    assert_eq!(vault().read(&one.data("app")).unwrap()["data"]["user"], "me");
}

#[tokio::test]
async fn names_that_need_escaping_reach_the_store_as_they_are() {
    let kv = vault().kv_mount("kv", 1);
    let odd = "a b/ü?x=1#y%41&z";
    let escaped = "a%20b/%C3%BC%3Fx=1%23y%2541&z";
    vault().write(&format!("{}/{escaped}", kv.path()), json!({ "user": "me" }));
    let (provider, session, _) = under(vault().policy("kv").read(&format!("{}/*", kv.path()))).await;
    let fetched = fetch(&*provider, &session, &at(&short(&kv, odd))).await.unwrap();
    assert_eq!(text(&fetched, "user"), "me");
}

#[tokio::test]
async fn nothing_at_a_path_is_absent_and_a_wrong_request_is_invalid() {
    let kv = vault().kv_mount("kv", 1);
    let database = vault().database_mount("wrong");
    let policy = vault()
        .policy("wrong")
        .read(&format!("{}/*", kv.path()))
        .read(&format!("{}/*", database.path()))
        .update(&format!("{}/*", database.path()));
    let (provider, session, _) = under(policy).await;
    for (reference, kind) in [
        (at(&short(&kv, "missing")), Kind::Absent),
        (at(&format!("{}/creds/missing", database.path())), Kind::Invalid),
        (at(&format!("{}/nonsense", database.path())), Kind::Absent),
        (written(&format!("{}/creds/missing", database.path()), json!({})), Kind::Invalid),
    ] {
        let error = fetch(&*provider, &session, &reference).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
    }
}

#[tokio::test]
async fn a_403_is_told_apart_dead_token_or_missing_policy() {
    let kv = vault().kv_mount("kv", 2);
    kv.put("app", json!({ "user": "me" }));
    let (provider, session, _) = under(vault().policy("none").read("nothing/here")).await;
    let error = fetch(&*provider, &session, &at(&kv.data("app"))).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    let wanted = format!("path \"{}\" {{ capabilities = [\"read\"] }}", kv.data("app"));
    assert!(error.detail.contains(&wanted), "{error}");
    vault().write("auth/token/revoke-accessor", json!({ "accessor": session.id }));
    let error = fetch(&*provider, &session, &at(&kv.data("app"))).await.unwrap_err();
    assert_eq!(error.kind, Kind::SessionEnded, "{error}");
}

#[tokio::test]
async fn check_names_what_is_missing_and_mints_nothing() {
    let database = vault().database_mount("check");
    let creds = database.role("web", "1m", "5m");
    let kv = vault().kv_mount("kv", 2);
    kv.put("app", json!({ "user": "me" }));
    let pki = vault().pki_mount("pki");
    let issue = pki.role("web", json!({}));

    let (provider, session, _) = under(vault().policy("check").read(&creds)).await;
    let missing = provider.check(&session, &at(&creds)).await.unwrap();
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert!(!missing[0].required);
    assert_eq!(missing[0].remedy, "path \"sys/leases/revoke\" { capabilities = [\"update\"] }");

    // Without any right below a mount its kind stays hidden: both readings are offered.
    let missing = provider.check(&session, &at(&short(&kv, "app"))).await.unwrap();
    assert!(missing[0].required);
    assert!(missing[0].remedy.contains(&format!("path \"{}\"", short(&kv, "app"))), "{missing:?}");
    assert!(missing[0].remedy.contains(&format!("path \"{}\"", kv.data("app"))), "{missing:?}");
    let error = fetch(&*provider, &session, &at(&short(&kv, "app"))).await.unwrap_err();
    assert!(error.detail.contains(&format!("path \"{}\"", kv.data("app"))), "{error}");

    let mut certificate = written(&issue, json!({ "common_name": "web.svc" }));
    certificate.revoke = true;
    let missing = provider.check(&session, &certificate).await.unwrap();
    let found: Vec<&str> = missing.iter().map(|right| right.path.as_str()).collect();
    assert!(found.contains(&issue.as_str()), "{missing:?}");
    assert!(database.leases().is_empty(), "nothing was minted");

    let (provider, session, _) = under(vault().policy("check").read(&kv.data("app"))).await;
    let missing = provider.check(&session, &at(&short(&kv, "app"))).await.unwrap();
    let found: Vec<(&str, bool)> =
        missing.iter().map(|right| (right.path.as_str(), right.required)).collect();
    assert_eq!(found, [(kv.metadata("app").as_str(), false)]);
}

#[tokio::test]
async fn without_leave_to_ask_for_the_mount_kv_is_known_by_its_answer() {
    // A policy that forbids the question, as none should, and OpenBao's or Vault's future might.
    let kv = vault().kv_mount("kv", 2);
    kv.put("app", json!({ "user": "me" }));
    let policy = vault().policy("kv").read(&kv.data("app")).allow("sys/internal/ui/mounts/*", "deny");
    let (provider, session, counted) = under(policy).await;
    let reference = at(&kv.data("app"));
    let fetched = fetch(&*provider, &session, &reference).await.unwrap();
    assert_eq!((text(&fetched, "user").as_str(), fetched.version.as_deref()), ("me", Some("1")));
    counted.take();
    fetch(&*provider, &session, &reference).await.unwrap();
    assert_eq!(counted.take().len(), 1);
    assert_eq!(provider.describe(&reference).effect, Effect::Reads);
}

#[tokio::test]
async fn what_kind_a_secret_is_can_be_learned_before_it_is_fetched_and_costs_no_use() {
    let kv = vault().kv_mount("learn", 2);
    let database = vault().database_mount("learn");
    let creds = database.role("web", "1m", "5m");
    let policy = vault().policy("learn").read(&kv.data("app")).read(&creds).create();
    let (provider, _) = with_token(vault(), json!({ "policies": [policy], "ttl": "10m", "num_uses": 4 }));
    let session = session(&*provider).await;
    assert_eq!(session.uses_left, Some(3));
    let (kept, leased) = (at(&short(&kv, "app")), at(&creds));
    let odd = at("a//b");
    provider.learn(&session, &[&kept, &leased, &odd]).await.unwrap();
    assert_eq!(provider.describe(&kept).effect, Effect::Reads);
    assert_eq!(provider.describe(&leased).effect, Effect::Mints);
    assert_eq!(provider.describe(&leased).group, database.path());
    let used = vault().write("auth/token/lookup-accessor", json!({ "accessor": session.id }));
    assert_eq!(used["data"]["num_uses"], 3);
    assert!(database.leases().is_empty());
}
