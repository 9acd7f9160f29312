//! Reads: versions, changes, what is outside its time, what is not there, and who may not.

use std::time::{Duration, SystemTime};

use leasehold_core::{Kind, SecretRef};
use leasehold_standins::{Azure, Part};

use crate::given::{asked, at, fetch, fetch_since, ours, session, text};

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn a_new_version_is_seen_and_an_unchanged_one_brings_nothing() {
    let azure = Azure::start();
    let (provider, first) = (ours(&azure), azure.put_secret("db", "one"));
    let session = session(&*provider).await;
    let fetched = fetch(&*provider, &session, &at("db")).await.unwrap();
    assert_eq!((fetched.version.as_deref(), text(&fetched, "value").as_str()), (Some(&*first), "one"));
    assert!(fetched.lease.is_none() && fetched.term.is_none() && fetched.changes_in.is_none());
    let again = fetch_since(&*provider, &session, &at("secrets/db"), Some(&first)).await.unwrap();
    assert!(again.fields.is_none());
    assert_eq!(again.version.as_deref(), Some(&*first));

    let second = azure.put_secret("db", "two");
    let changed = fetch_since(&*provider, &session, &at("db"), Some(&first)).await.unwrap();
    assert_eq!((changed.version.as_deref(), text(&changed, "value").as_str()), (Some(&*second), "two"));
    let pinned = SecretRef { version: Some(first.clone()), ..at("db") };
    let old = fetch(&*provider, &session, &pinned).await.unwrap();
    assert_eq!((old.version.as_deref(), text(&old, "value").as_str()), (Some(&*first), "one"));
}

#[tokio::test]
async fn json_becomes_fields_and_the_largest_value_comes_whole() {
    let azure = Azure::start();
    let provider = ours(&azure);
    let session = session(&*provider).await;
    azure.put_secret("db", r#"{"user":"u","deep":{"er":"er-value"}}"#);
    let whole = fetch(&*provider, &session, &at("db")).await.unwrap();
    assert_eq!(text(&whole, "user"), "u");
    let key = SecretRef { key: Some("deep.er".to_owned()), ..at("db") };
    assert_eq!(text(&fetch(&*provider, &session, &key).await.unwrap(), "value"), "er-value");
    let huge = "ü".repeat(12_800);
    azure.put_secret("huge", &huge);
    assert_eq!(text(&fetch(&*provider, &session, &at("huge")).await.unwrap(), "value"), huge);
}

#[tokio::test]
async fn what_is_disabled_deleted_or_was_never_there_is_told_apart() {
    let azure = Azure::start();
    let provider = ours(&azure);
    let session = session(&*provider).await;
    let version = azure.put_secret("off", "canary");
    azure.disable("off", &version);
    let error = fetch(&*provider, &session, &at("off")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Absent, "{error}");
    assert!(error.detail.contains("disabled") && error.detail.contains("--enabled true"), "{error}");
    let older = azure.put_secret("on", "one");
    let newer = azure.put_secret("on", "two");
    azure.disable("on", &newer);
    let pinned = SecretRef { version: Some(older), ..at("on") };
    assert_eq!(text(&fetch(&*provider, &session, &pinned).await.unwrap(), "value"), "one");

    azure.put_secret("gone", "canary");
    azure.delete("gone");
    for path in ["gone", "never"] {
        let error = fetch(&*provider, &session, &at(path)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Absent, "{error}");
        assert!(error.detail.contains("recover"), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
        assert_eq!(error.reference, format!("secret \"it\" ({path})"));
    }
}

#[tokio::test]
async fn a_version_outside_its_time_is_served_and_warned_of_once() {
    let azure = Azure::start();
    let provider = ours(&azure);
    let session = session(&*provider).await;
    let hour = Duration::from_secs(3600);
    let (now, heard) = (SystemTime::now(), leasehold_conformance::listen());
    let old = azure.put_secret("once-old", "canary-old");
    azure.set_expiry("once-old", &old, now - hour);
    let early = azure.put_secret("once-early", "canary-early");
    azure
        .set_attributes("once-early", &early, |attributes| attributes.not_before = Some(seconds(now + hour)));
    let fresh = azure.put_secret("once-fresh", "canary-fresh");
    azure.set_expiry("once-fresh", &fresh, now + hour);
    for known in [None, Some(&*old), Some(&*early)] {
        for path in ["once-old", "once-early", "once-fresh"] {
            let fetched = fetch_since(&*provider, &session, &at(path), known).await.unwrap();
            assert!(fetched.term.is_none(), "it is no expiry of ours");
        }
    }
    let said = heard.said();
    let warned = |name: &str, of: &str| {
        said.lines().filter(|line| line.contains(&format!("({name})")) && line.contains(of)).count()
    };
    assert_eq!(warned("once-old", "its expiry date has passed"), 1, "{said}");
    assert_eq!(warned("once-early", "its activation date is still to come"), 1, "{said}");
    assert_eq!(warned("once-fresh", "date"), 0, "{said}");
    assert!(!said.contains("canary"), "no value is said");

    // The next version is another one.
    let next = azure.put_secret("once-old", "canary-next");
    azure.set_expiry("once-old", &next, now - hour);
    fetch(&*provider, &session, &at("once-old")).await.unwrap();
    assert_eq!(heard.said().matches("(once-old): its expiry date has passed").count(), 2);
}

#[tokio::test]
async fn who_may_not_read_is_told_the_role_and_checking_prints_the_command() {
    let azure = Azure::start();
    let provider = ours(&azure);
    let session = session(&*provider).await;
    azure.put_secret("db", "canary");
    assert_eq!(provider.check(&session, &at("db")).await.unwrap(), []);
    azure.deny("db");
    let error = fetch(&*provider, &session, &at("db")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(error.detail.contains("Key Vault Secrets User"), "{error}");
    assert!(!error.to_string().contains("canary"), "{error}");
    let missing = provider.check(&session, &at("certificates/db")).await.unwrap();
    let [right] = &missing[..] else { panic!("{missing:?}") };
    assert!(right.required);
    assert_eq!((right.path.as_str(), &right.capabilities[..]), ("secrets/db", &["get".to_owned()][..]));
    assert!(
        right.remedy.contains("az role assignment create --role \"Key Vault Secrets User\""),
        "{right:?}"
    );
    assert!(right.remedy.contains(crate::given::CLIENT), "{right:?}");
    azure.allow("db");
    fetch(&*provider, &session, &at("db")).await.unwrap();
}

#[tokio::test]
async fn several_are_fetched_one_request_each_and_one_bad_one_fails_alone() {
    let azure = Azure::start();
    let provider = ours(&azure);
    let session = session(&*provider).await;
    azure.put_secret("a", "1");
    azure.put_secret("c", "3");
    azure.forget_requests();
    let (a, b, c) = (at("a"), at("b"), at("c"));
    let wanted = [&a, &b, &c].map(|reference| leasehold_core::Wanted { reference, known_version: None });
    let results = provider.fetch(&session, &wanted).await.unwrap();
    let kinds: Vec<_> = results.iter().map(|result| result.as_ref().err().map(|error| error.kind)).collect();
    assert_eq!(kinds, [None, Some(Kind::Absent), None]);
    assert_eq!(asked(&azure, Part::Vault).len(), 3);
}
