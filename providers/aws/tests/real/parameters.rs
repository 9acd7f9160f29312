//! Parameter Store.

use leasehold_core::{Kind, SecretRef, Session};
use leasehold_harness::Proxy;
use leasehold_harness::moto::moto;
use leasehold_harness::vault::unique;

use crate::given::{all, at, aws_error, fetch, names, parameters, since, text};

fn pinned(path: &str, version: &str) -> SecretRef {
    SecretRef { version: Some(version.to_owned()), ..at(path) }
}

#[tokio::test]
async fn parameters_are_read_ten_in_a_request_decrypted_and_in_order() {
    let proxy = Proxy::to(moto().address());
    let provider = parameters(&proxy);
    let above = format!("/{}", unique("ten"));
    let references: Vec<SecretRef> = (0..10)
        .map(|nth| {
            let name = format!("{above}/{nth}");
            moto().put_parameter(&name, "SecureString", &format!("value {nth}"));
            at(&name)
        })
        .collect();
    assert_eq!(provider.describe(&references[0]).batch, 10);
    let results = all(&*provider, &references).await;
    for (nth, fetched) in results.iter().enumerate() {
        assert_eq!(text(fetched.as_ref().unwrap(), "value"), format!("value {nth}"));
    }
    assert_eq!(proxy.requests("").len(), 1);
}

#[tokio::test]
async fn a_parameter_changes_by_its_version_and_is_pinned_by_number_or_label() {
    let proxy = Proxy::to(moto().address());
    let provider = parameters(&proxy);
    let name = format!("/{}/db", unique("versions"));
    moto().put_parameter(&name, "SecureString", r#"{"user":"one"}"#);
    let second = moto().put_parameter(&name, "SecureString", r#"{"user":"two"}"#);
    moto().label_parameter(&name, 1, "blue");
    let results = all(&*provider, &[at(&name), pinned(&name, "1"), pinned(&name, "blue")]).await;
    let users: Vec<String> = results.iter().map(|one| text(one.as_ref().unwrap(), "user")).collect();
    assert_eq!(users, ["two", "one", "one"]);
    assert_eq!(results[0].as_ref().unwrap().version, Some(second.to_string()));
    assert!(since(&*provider, &at(&name), Some("2")).await.unwrap().fields.is_none());
    let picked = SecretRef { key: Some("user".to_owned()), ..at(&name) };
    assert_eq!(text(&fetch(&*provider, &picked).await.unwrap(), "value"), "two");

    let absent = [at("/no/such/thing"), pinned(&name, "9"), at(&name)];
    let results = all(&*provider, &absent).await;
    assert_eq!(text(results[2].as_ref().unwrap(), "user"), "two");
    for error in [&results[0], &results[1]].map(|one| one.as_ref().unwrap_err()) {
        assert_eq!(error.kind, Kind::Absent, "{error}");
    }
}

#[tokio::test]
async fn all_below_a_path_is_one_secret_however_many_pages_it_takes() {
    let proxy = Proxy::to(moto().address());
    let provider = parameters(&proxy);
    let above = format!("/{}/", unique("tree"));
    for nth in 0..23 {
        moto().put_parameter(&format!("{above}deep/{nth:02}"), "SecureString", &format!("value {nth}"));
    }
    moto().put_parameter(&format!("{above}json"), "String", r#"{"stays":"as it is"}"#);
    let tree = at(&above);
    assert_eq!(provider.describe(&tree).batch, 1);
    let fetched = fetch(&*provider, &tree).await.unwrap();
    assert_eq!(names(&fetched).len(), 24);
    assert_eq!(text(&fetched, "deep/22"), "value 22");
    assert_eq!(text(&fetched, "json"), r#"{"stays":"as it is"}"#);
    assert_eq!(proxy.requests("GetParametersByPath").len(), 3, "ten a page");

    let known = fetched.version.clone().unwrap();
    assert!(since(&*provider, &tree, Some(&known)).await.unwrap().fields.is_none());
    moto().put_parameter(&format!("{above}deep/05"), "SecureString", "new");
    let changed = since(&*provider, &tree, Some(&known)).await.unwrap();
    assert_eq!(text(&changed, "deep/05"), "new");

    let error = fetch(&*provider, &at(&format!("{above}nothing/"))).await.unwrap_err();
    assert_eq!(error.kind, Kind::Absent, "{error}");
}

#[tokio::test]
async fn one_that_is_denied_fails_alone() {
    let proxy = Proxy::to(moto().address());
    let provider = parameters(&proxy);
    let name = format!("/{}", unique("denied"));
    moto().put_parameter(&name, "SecureString", "x");
    let denied = proxy.answer("GetParameters", aws_error(400, "AccessDeniedException"));
    let results = all(&*provider, &[at(&name), at("/other")]).await;
    for error in results.iter().map(|one| one.as_ref().unwrap_err()) {
        assert_eq!(error.kind, Kind::Denied, "{error}");
        assert!(
            error.detail.contains("ssm:GetParameters") && error.detail.contains("kms:Decrypt"),
            "{error}"
        );
    }
    assert_eq!(denied.hits(), 3, "together, then each by itself");
    let missing = provider.check(&Session::ambient(), &at(&name)).await.unwrap();
    let [right] = missing.as_slice() else { panic!("{missing:?}") };
    assert!(right.remedy.contains(&format!("arn:aws:ssm:*:*:parameter{name}")), "{right:?}");
}
