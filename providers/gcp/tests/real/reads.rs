//! Reading: names, versions, values.

use std::sync::Arc;

use leasehold_core::{Effect, Kind, SecretRef, Shape};
use leasehold_standins::{Asked, Google, Part};
use serde_json::json;

use crate::given::{
    Counted, at, fetch, fetch_since, field, logged_in, observed, provider, raw, session, value, version,
};

fn paths(google: &Google) -> Vec<String> {
    google.requests_of(Part::Secrets).into_iter().map(|Asked { path, .. }| path).collect()
}

#[tokio::test]
async fn a_json_object_becomes_fields_under_its_versions_number() {
    let google = Google::start();
    google.put_secret("db", r#"{"username":"app","password":"pw","port":5432}"#);
    let (provider, session) = logged_in(&google).await;
    let fetched = fetch(&*provider, &session, &at("db")).await.unwrap();
    assert_eq!(field(&fetched, "username"), b"app");
    assert_eq!(field(&fetched, "port"), b"5432");
    assert_eq!(fetched.version.as_deref(), Some("1"));
    assert_eq!((fetched.lease, fetched.term, fetched.changes_in), (None, None, None));

    // By its whole name, and by the project's number, it is the same.
    for project in [Google::PROJECT, Google::PROJECT_NUMBER] {
        let whole = at(&format!("projects/{project}/secrets/db"));
        let fetched = fetch(&*provider, &session, &whole).await.unwrap();
        assert_eq!(field(&fetched, "password"), b"pw");
    }
    let picked = SecretRef { key: Some("password".to_owned()), ..at("db") };
    assert_eq!(value(&fetch(&*provider, &session, &picked).await.unwrap()), b"pw");
    let missing = SecretRef { key: Some("nothing".to_owned()), ..at("db") };
    let error = fetch(&*provider, &session, &missing).await.unwrap_err();
    assert_eq!(error.kind, Kind::Absent);
    assert!(error.detail.ends_with("it has password, port, username"), "{error}");
}

#[tokio::test]
async fn a_version_is_the_latest_a_number_or_an_alias() {
    let google = Google::start();
    for payload in ["one", "two", "three"] {
        google.put_secret("key", payload);
    }
    google.set_alias("key", "production", "2");
    let (provider, session) = logged_in(&google).await;
    for (reference, payload, number) in [
        (at("key"), "three", "3"),
        (version("key", "latest"), "three", "3"),
        (version("key", "1"), "one", "1"),
        (version("key", "production"), "two", "2"),
    ] {
        let fetched = fetch(&*provider, &session, &reference).await.unwrap();
        assert_eq!((value(&fetched), fetched.version.as_deref()), (payload.as_bytes(), Some(number)));
    }
    google.set_alias("key", "production", "3");
    let moved = fetch_since(&*provider, &session, &version("key", "production"), Some("2")).await.unwrap();
    assert_eq!(value(&moved), b"three");
}

#[tokio::test]
async fn a_poll_is_one_request_and_brings_fields_only_where_the_version_is_new() {
    let google = Google::start();
    google.put_secret("key", "one");
    let counted = Arc::new(Counted::default());
    let email = google.register_service_account("web");
    let raw = raw(&google, json!({ "credentials_file": google.service_account_file(&email) }));
    let provider = observed(raw, &[], counted.clone());
    let session = session(&*provider).await;
    assert_eq!(counted.take(), [], "a key signs its own token");
    google.forget_requests();

    let unchanged = fetch_since(&*provider, &session, &at("key"), Some("1")).await.unwrap();
    assert_eq!((unchanged.fields, unchanged.version.as_deref()), (None, Some("1")));
    google.put_secret("key", "two");
    let changed = fetch_since(&*provider, &session, &at("key"), Some("1")).await.unwrap();
    assert_eq!((value(&changed), changed.version.as_deref()), (&b"two"[..], Some("2")));

    let once = format!("/v1/projects/{}/secrets/key/versions/latest:access", Google::PROJECT);
    assert_eq!(paths(&google), [once.clone(), once]);
    assert_eq!(counted.take(), [(leasehold_core::Operation::Fetch, None); 2]);
    let traits = provider.describe(&at("key"));
    assert_eq!((traits.effect, traits.batch, traits.group.as_str()), (Effect::Reads, 1, Google::PROJECT));
}

#[tokio::test]
async fn any_bytes_up_to_the_largest_secret_are_brought_as_they_are() {
    let google = Google::start();
    let largest: Vec<u8> = (0..64 * 1024).map(|at: u32| (at % 251) as u8).collect();
    let text = "päss\nwörd\n";
    google.put_secret("largest", &largest);
    google.put_secret("text", text);
    let (provider, session) = logged_in(&google).await;
    let fetched = fetch(&*provider, &session, &at("largest")).await.unwrap();
    assert!(value(&fetched) == largest);
    assert_eq!(fetched.fields.unwrap().get("value").unwrap().shape, Shape::Binary);
    let fetched = fetch(&*provider, &session, &at("text")).await.unwrap();
    assert_eq!(value(&fetched), text.as_bytes());
    assert_eq!(fetched.fields.unwrap().get("value").unwrap().shape, Shape::Text);
}

#[tokio::test]
async fn a_regional_secret_is_read_at_its_location() {
    let google = Google::start();
    google.put_regional_secret("key", "regional");
    google.put_secret("key", "global");
    let email = google.register_service_account("web");
    let credentials = google.service_account_file(&email);
    let regional = raw(
        &google,
        json!({
            "credentials_file": credentials,
            "endpoint": google.regional_endpoint(),
            "location": Google::LOCATION,
        }),
    );
    let regional = provider(regional);
    let session = session(&*regional).await;
    let fetched = fetch(&*regional, &session, &at("key")).await.unwrap();
    assert_eq!(value(&fetched), b"regional");
    let path = format!("projects/{}/locations/{}/secrets/key", Google::PROJECT, Google::LOCATION);
    assert_eq!(value(&fetch(&*regional, &session, &at(&path)).await.unwrap()), b"regional");
    google.forget_requests();
    google.put_regional_secret("key", "new");
    let changed = fetch_since(&*regional, &session, &at("key"), Some("1")).await.unwrap();
    assert_eq!((value(&changed), changed.version.as_deref()), (&b"new"[..], Some("2")));
    assert_eq!(google.requests_of(Part::RegionalSecrets).len(), 1);
    assert_eq!(google.requests_of(Part::Secrets), []);
}

#[tokio::test]
async fn the_project_is_that_of_the_credentials_else_that_of_the_machine() {
    let google = Google::start();
    google.put_secret("key", "value");
    let email = google.register_service_account("web");
    let mut of_the_file = raw(&google, json!({ "credentials_file": google.service_account_file(&email) }));
    of_the_file.as_object_mut().unwrap().remove("project");
    let by_file = provider(of_the_file);
    let token = session(&*by_file).await;
    assert_eq!(value(&fetch(&*by_file, &token, &at("key")).await.unwrap()), b"value");

    google.register_machine(&email);
    let mut of_the_machine = raw(&google, json!({}));
    of_the_machine.as_object_mut().unwrap().remove("project");
    let host = google.metadata().replace("http://", "");
    let by_machine =
        observed(of_the_machine, &[("GCE_METADATA_HOST", &host)], Arc::new(leasehold_core::NoObserver));
    let token = session(&*by_machine).await;
    google.forget_requests();
    for _ in 0..2 {
        assert_eq!(value(&fetch(&*by_machine, &token, &at("key")).await.unwrap()), b"value");
    }
    let asked: Vec<String> = google.requests_of(Part::Metadata).into_iter().map(|asked| asked.path).collect();
    assert_eq!(asked, ["/computeMetadata/v1/project/project-id"], "it is asked once");
}
