//! Secrets Manager.

use std::sync::Arc;

use leasehold_core::{Effect, Kind, Operation, SecretRef, Session, Shape, Wanted};
use leasehold_harness::Proxy;
use leasehold_harness::moto::{Moto, moto};
use leasehold_harness::vault::unique;
use serde_json::json;

use crate::given::{
    BATCH, Counted, KEYS, ONE, Store, all, at, at_proxy, aws_error, fetch, names, observed, secrets, since,
    text,
};

#[tokio::test]
async fn a_json_object_becomes_fields_and_anything_else_one_value() {
    let proxy = Proxy::to(moto().address());
    let provider = secrets(&proxy);
    let (object, plain, list, binary) = (unique("object"), unique("plain"), unique("list"), unique("binary"));
    moto()
        .create_secret(&object, r#"{"user":"web","port":5432,"deep":{"er":{"key":"inner"},"a.b":"dotted"}}"#);
    moto().create_secret(&plain, "just text: ü");
    moto().create_secret(&list, "[1,2]");
    moto().create_binary(&binary, &[0, 159, 146, 150]);

    let fetched = fetch(&*provider, &at(&object)).await.unwrap();
    assert_eq!(names(&fetched), ["deep", "port", "user"]);
    assert_eq!((text(&fetched, "user").as_str(), text(&fetched, "port").as_str()), ("web", "5432"));
    assert_eq!(text(&fetch(&*provider, &at(&plain)).await.unwrap(), "value"), "just text: ü");
    assert_eq!(text(&fetch(&*provider, &at(&list)).await.unwrap(), "value"), "[1,2]");
    let fetched = fetch(&*provider, &at(&binary)).await.unwrap();
    let field = fetched.fields.as_ref().unwrap().get("value").unwrap();
    assert_eq!((field.bytes.expose(), field.shape), (&[0, 159, 146, 150][..], Shape::Binary));

    let key = |key: &str, path: &str| SecretRef { key: Some(key.to_owned()), ..at(path) };
    assert_eq!(text(&fetch(&*provider, &key("user", &object)).await.unwrap(), "value"), "web");
    assert_eq!(text(&fetch(&*provider, &key("deep.er", &object)).await.unwrap(), "key"), "inner");
    assert_eq!(text(&fetch(&*provider, &key("deep.er.key", &object)).await.unwrap(), "value"), "inner");
    assert_eq!(text(&fetch(&*provider, &key("deep.a.b", &object)).await.unwrap(), "value"), "dotted");
    for path in [&object, &plain, &binary] {
        let error = fetch(&*provider, &key("nothing", path)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Absent, "{error}");
        assert!(error.detail.contains("no key \"nothing\""), "{error}");
    }
}

#[tokio::test]
async fn names_arns_and_partial_arns_lead_to_the_same_secret_alone_and_together() {
    let proxy = Proxy::to(moto().address());
    let provider = secrets(&proxy);
    let (name, other) = (unique("named"), unique("other"));
    let made = moto().create_secret(&name, "it");
    moto().create_secret(&other, "another");
    for path in [&name, &made.arn] {
        let fetched = fetch(&*provider, &at(path)).await.unwrap();
        assert_eq!((text(&fetched, "value").as_str(), fetched.version), ("it", Some(made.version.clone())));
    }
    let results = all(&*provider, &[at(&other), at(&made.arn), at(&name), at(&other)]).await;
    let values: Vec<String> = results.iter().map(|one| text(one.as_ref().unwrap(), "value")).collect();
    assert_eq!(values, ["another", "it", "it", "another"], "in the order asked");
    assert_eq!(proxy.requests(BATCH).len(), 1);
}

#[tokio::test]
async fn twenty_secrets_are_one_request_and_what_is_unchanged_brings_no_fields() {
    let proxy = Proxy::to(moto().address());
    let counted = Arc::new(Counted::default());
    let provider = observed(Store::Secrets, at_proxy(&proxy), &KEYS, counted.clone());
    let references: Vec<SecretRef> = (0..20)
        .map(|nth| {
            let name = unique(&format!("poll-{nth}"));
            moto().create_secret(&name, &format!("first {nth}"));
            at(&name)
        })
        .collect();
    for reference in &references {
        let traits = provider.describe(reference);
        assert_eq!((traits.effect, traits.batch), (Effect::Reads, 20));
        assert_eq!(traits.group, provider.describe(&references[0]).group);
    }
    let first = all(&*provider, &references).await;
    let versions: Vec<String> =
        first.iter().map(|one| one.as_ref().unwrap().version.clone().unwrap()).collect();
    moto().put_secret(&references[7].path, "second 7");
    let wanted: Vec<Wanted<'_>> = references
        .iter()
        .zip(&versions)
        .map(|(reference, version)| Wanted { reference, known_version: Some(version) })
        .collect();
    let second = provider.fetch(&Session::ambient(), &wanted).await.unwrap();
    for (nth, fetched) in second.into_iter().enumerate() {
        let fetched = fetched.unwrap();
        if nth == 7 {
            assert_eq!(text(&fetched, "value"), "second 7");
            assert_ne!(fetched.version.as_ref(), Some(&versions[7]));
        } else {
            assert!(fetched.fields.is_none(), "{nth}");
            assert_eq!(fetched.version.as_ref(), Some(&versions[nth]));
        }
    }
    assert_eq!(proxy.requests("").len(), 2, "one request a poll");
    assert_eq!(counted.take(), [(Operation::Fetch, None), (Operation::Fetch, None)]);
}

#[tokio::test]
async fn a_rotation_is_seen_when_the_stage_has_moved_and_not_before() {
    let proxy = Proxy::to(moto().address());
    let provider = secrets(&proxy);
    let (name, other) = (unique("rotating"), unique("beside"));
    let first = moto().create_secret(&name, r#"{"user":"u1","password":"p1"}"#);
    moto().create_secret(&other, "x");
    let pending = moto().put_staged(&name, r#"{"user":"u2","password":"p2"}"#, &["AWSPENDING"]);
    let stage = |stage: &str| SecretRef { stage: Some(stage.to_owned()), ..at(&name) };

    let results = all(&*provider, &[at(&name), at(&other)]).await;
    assert_eq!(text(results[0].as_ref().unwrap(), "password"), "p1");
    let staged = fetch(&*provider, &stage("AWSPENDING")).await.unwrap();
    assert_eq!((text(&staged, "password").as_str(), staged.version), ("p2", Some(pending.clone())));
    assert!(since(&*provider, &stage("AWSCURRENT"), Some(&first.version)).await.unwrap().fields.is_none());

    moto().move_stage(&name, "AWSCURRENT", &pending);
    let results = all(&*provider, &[at(&name), at(&other)]).await;
    let current = results[0].as_ref().unwrap();
    assert_eq!((text(current, "user").as_str(), text(current, "password").as_str()), ("u2", "p2"));
    let previous = fetch(&*provider, &stage("AWSPREVIOUS")).await.unwrap();
    assert_eq!(text(&previous, "password"), "p1");
}

#[tokio::test]
async fn a_pinned_version_stays_and_is_asked_for_by_itself() {
    let proxy = Proxy::to(moto().address());
    let provider = secrets(&proxy);
    let (name, other) = (unique("pinned"), unique("beside"));
    let first = moto().create_secret(&name, "one");
    moto().create_secret(&other, "x");
    moto().put_secret(&name, "two");
    let pinned = SecretRef { version: Some(first.version.clone()), ..at(&name) };
    assert_eq!(provider.describe(&pinned).batch, 1);
    let results = all(&*provider, &[at(&name), pinned.clone(), at(&other)]).await;
    let values: Vec<String> = results.iter().map(|one| text(one.as_ref().unwrap(), "value")).collect();
    assert_eq!(values, ["two", "one", "x"]);
    assert_eq!((proxy.requests(BATCH).len(), proxy.requests(ONE).len()), (1, 1));
    assert!(since(&*provider, &pinned, Some(&first.version)).await.unwrap().fields.is_none());

    let gone = SecretRef { version: Some("a1b2c3d4-5678-90ab-cdef-EXAMPLE11111".to_owned()), ..at(&name) };
    let error = fetch(&*provider, &gone).await.unwrap_err();
    assert_eq!(error.kind, Kind::Absent, "{error}");
    assert!(error.detail.contains("no such version"), "{error}");
}

#[tokio::test]
async fn what_is_absent_or_marked_for_deletion_fails_alone_and_says_so() {
    let proxy = Proxy::to(moto().address());
    let provider = secrets(&proxy);
    let (there, deleted) = (unique("there"), unique("deleted"));
    moto().create_secret(&there, "here");
    moto().create_secret(&deleted, "gone");
    moto().call(Moto::REGION, "secretsmanager", "DeleteSecret", &json!({ "SecretId": deleted })).unwrap();
    let missing = at(&unique("missing"));
    let results = all(&*provider, &[missing.clone(), at(&there), at(&deleted)]).await;
    assert_eq!(text(results[1].as_ref().unwrap(), "value"), "here");
    for alone in [false, true] {
        let error = match alone {
            true => fetch(&*provider, &missing).await.unwrap_err(),
            false => results[0].as_ref().unwrap_err().clone(),
        };
        assert_eq!(error.kind, Kind::Absent, "{error}");
        assert!(error.detail.contains("eu-west-1") && error.reference.contains(&missing.path), "{error}");
        let error = match alone {
            true => fetch(&*provider, &at(&deleted)).await.unwrap_err(),
            false => results[2].as_ref().unwrap_err().clone(),
        };
        assert_eq!(error.kind, Kind::Absent, "{error}");
        assert!(error.detail.contains("restore-secret"), "{error}");
    }
}

#[tokio::test]
async fn a_role_without_batches_asks_one_by_one_and_remembers_that_until_a_log_in() {
    let proxy = Proxy::to(moto().address());
    let provider = secrets(&proxy);
    let references: Vec<SecretRef> = (0..3)
        .map(|nth| {
            let name = unique("single");
            moto().create_secret(&name, &format!("{nth}"));
            at(&name)
        })
        .collect();
    let denied = proxy.answer(BATCH, aws_error(400, "AccessDeniedException"));
    for poll in 1..=2 {
        let results = all(&*provider, &references).await;
        let values: Vec<String> = results.iter().map(|one| text(one.as_ref().unwrap(), "value")).collect();
        assert_eq!(values, ["0", "1", "2"]);
        assert_eq!((denied.hits(), proxy.requests(ONE).len()), (1, 3 * poll));
        assert_eq!(provider.describe(&references[0]).batch, 1);
    }
    let missing = provider.check(&Session::ambient(), &references[0]).await.unwrap();
    assert!(missing.is_empty(), "it was found out before: {missing:?}");

    provider.login(None).await.unwrap();
    assert_eq!(provider.describe(&references[0]).batch, 20);
    let missing = provider.check(&Session::ambient(), &references[0]).await.unwrap();
    let [right] = missing.as_slice() else { panic!("{missing:?}") };
    assert!(!right.required && right.remedy.contains("secretsmanager:BatchGetSecretValue"), "{right:?}");

    drop(denied);
    provider.login(None).await.unwrap();
    let before = proxy.requests(BATCH).len();
    all(&*provider, &references).await;
    assert_eq!(proxy.requests(BATCH).len(), before + 1);
}

#[tokio::test]
async fn a_missing_right_is_named_with_the_statement_that_grants_it() {
    let proxy = Proxy::to(moto().address());
    let provider = secrets(&proxy);
    let name = unique("denied");
    moto().create_secret(&name, "x");
    assert_eq!(provider.check(&Session::ambient(), &at(&name)).await.unwrap(), []);
    let denied = proxy.answer(ONE, aws_error(400, "AccessDeniedException"));
    let missing = provider.check(&Session::ambient(), &at(&name)).await.unwrap();
    let [right] = missing.as_slice() else { panic!("{missing:?}") };
    assert!(right.required && right.capabilities[0] == "secretsmanager:GetSecretValue", "{right:?}");
    assert!(right.remedy.contains(&name) && right.remedy.contains("kms:Decrypt"), "{right:?}");
    drop(denied);
    // What is not there is no missing right: its fetch says so.
    assert_eq!(provider.check(&Session::ambient(), &at(&unique("absent"))).await.unwrap(), []);
}
