//! What is no value: each with its meaning and its remedy, and no word that the store said.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use leasehold_core::{Error, Kind};
use leasehold_harness::http::Response;
use leasehold_harness::server::Reply;
use leasehold_standins::{Fault, Google, Part};
use serde_json::{Value, json};

use crate::given::{TOKEN, at, error, fetch, fetch_since, logged_in, scripted, session, value, version};

fn no_foreign_word(error: &Error) {
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("canary") && !shown.contains(TOKEN), "{shown}");
}

/// What a read brings where the store answers so.
async fn read(answer: Response) -> Error {
    let (_server, provider) = scripted(move |_| Reply::Whole(answer.clone()));
    let session = session(&*provider).await;
    let error = fetch(&*provider, &session, &at("db")).await.unwrap_err();
    no_foreign_word(&error);
    error
}

#[tokio::test]
async fn a_version_that_is_disabled_or_destroyed_is_told_from_one_that_is_not_there() {
    let google = Google::start();
    for payload in ["one", "two", "three"] {
        google.put_secret("key", payload);
    }
    let (provider, session) = logged_in(&google).await;
    google.disable("key", "3");
    google.destroy("key", "1");

    let error = fetch(&*provider, &session, &at("key")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Absent, "{error}");
    for said in [
        "version 3 of it, which is latest, is disabled",
        "gcloud secrets versions enable 3 --secret=key --project=leasehold-tests",
    ] {
        assert!(error.detail.contains(said), "{error}");
    }
    let error = fetch(&*provider, &session, &version("key", "1")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Absent, "{error}");
    assert!(error.detail.contains("version 1 of it is destroyed"), "{error}");
    for absent in [at("nothing"), version("key", "9")] {
        let error = fetch(&*provider, &session, &absent).await.unwrap_err();
        assert_eq!(error.kind, Kind::Absent, "{error}");
        assert!(error.detail.contains("there is no secret"), "{error}");
    }

    google.enable("key", "3");
    assert_eq!(value(&fetch(&*provider, &session, &at("key")).await.unwrap()), b"three");
}

#[tokio::test]
async fn a_state_that_we_may_not_ask_for_is_not_asked_for_again() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let (_server, provider) = scripted(move |request| {
        log.lock().unwrap().push(request.path.clone());
        Reply::Whole(match request.path.ends_with(":access") {
            true => Response::json(400, &error(400, "FAILED_PRECONDITION", json!([]))),
            false => Response::json(403, &error(403, "PERMISSION_DENIED", json!([]))),
        })
    });
    let session = session(&*provider).await;
    for _ in 0..2 {
        let error = fetch(&*provider, &session, &version("db", "7")).await.unwrap_err();
        assert_eq!(error.kind, Kind::Absent, "{error}");
        assert!(error.detail.contains("it is disabled or destroyed"), "{error}");
        assert!(error.detail.contains("versions enable 7 --secret=db --project=app"), "{error}");
        no_foreign_word(&error);
    }
    let access = "/v1/projects/app/secrets/db/versions/7:access";
    assert_eq!(*asked.lock().unwrap(), [access, "/v1/projects/app/secrets/db/versions/7", access]);
}

#[tokio::test]
async fn a_secret_that_has_expired_or_was_deleted_is_absent() {
    let google = Google::start();
    google.put_secret("expired", "x");
    google.put_secret("deleted", "x");
    let (provider, session) = logged_in(&google).await;
    google.set_expiry("expired", SystemTime::now() - Duration::from_secs(1));
    google.delete("deleted");
    for gone in ["expired", "deleted"] {
        let error = fetch(&*provider, &session, &at(gone)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Absent, "{error}");
    }
}

#[tokio::test]
async fn a_payload_without_its_checksum_is_never_used() {
    let google = Google::start();
    google.put_secret("key", "canary-value");
    let (provider, session) = logged_in(&google).await;
    google.wrong_checksum("key");
    // Not even where the version is known already: the answer is no answer.
    for known in [None, Some("1")] {
        let error = fetch_since(&*provider, &session, &at("key"), known).await.unwrap_err();
        assert_eq!(error.kind, Kind::Malformed, "{error}");
        assert!(error.detail.contains("checksum"), "{error}");
        no_foreign_word(&error);
    }
    google.right_checksum("key");
    assert_eq!(value(&fetch(&*provider, &session, &at("key")).await.unwrap()), b"canary-value");
}

#[tokio::test]
async fn a_denial_names_the_role_and_what_grants_it() {
    let google = Google::start();
    google.put_secret("key", "x");
    let (provider, session) = logged_in(&google).await;
    google.deny("key");
    let error = fetch(&*provider, &session, &at("key")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(error.to_string().starts_with("fetch at provider \"google\", secret \"it\" (key): "), "{error}");
    for said in [
        "roles/secretmanager.secretAccessor",
        "gcloud secrets add-iam-policy-binding key --project=leasehold-tests",
        "--member=serviceAccount:web@leasehold-tests.iam.gserviceaccount.com",
    ] {
        assert!(error.detail.contains(said), "{error}");
    }
    google.allow("key");
    fetch(&*provider, &session, &at("key")).await.unwrap();
}

#[tokio::test]
async fn a_denial_for_another_reason_says_which() {
    let because =
        |reason: &str| json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason }]);
    for (reason, said) in [
        ("SERVICE_DISABLED", "gcloud services enable secretmanager.googleapis.com"),
        ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "access scopes"),
        ("CONSUMER_INVALID", "there is no project app"),
        ("BILLING_DISABLED", "billing"),
        ("SECURITY_POLICY_VIOLATED", "perimeter"),
        ("IAM_PERMISSION_DENIED", "roles/secretmanager.secretAccessor"),
    ] {
        let error = read(Response::json(403, &error(403, "PERMISSION_DENIED", because(reason)))).await;
        assert_eq!(error.kind, Kind::Denied, "{error}");
        assert!(error.detail.contains(said), "{error}");
    }
}

#[tokio::test]
async fn throttling_is_passing_and_says_when_to_come_back() {
    let google = Google::start();
    google.put_secret("key", "x");
    let (provider, session) = logged_in(&google).await;
    google.throttle(1, Duration::from_secs(7));
    google.forget_requests();
    let refused = fetch(&*provider, &session, &at("key")).await.unwrap_err();
    assert_eq!((refused.kind, refused.retry_after), (Kind::Throttled, Some(Duration::from_secs(7))));
    assert_eq!(google.requests_of(Part::Secrets).len(), 1, "nothing is tried again here");
    fetch(&*provider, &session, &at("key")).await.unwrap();

    // Or by a detail of the error, or not at all.
    let info = json!([{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.5s" }]);
    let refused = read(Response::json(429, &error(429, "RESOURCE_EXHAUSTED", info))).await;
    assert_eq!((refused.kind, refused.retry_after), (Kind::Throttled, Some(Duration::from_millis(3500))));
    let refused = read(Response::json(429, &error(429, "RESOURCE_EXHAUSTED", json!([])))).await;
    assert_eq!((refused.kind, refused.retry_after), (Kind::Throttled, None));
}

#[tokio::test]
async fn what_is_broken_on_its_way_is_no_verdict_on_the_secret() {
    let google = Google::start();
    google.put_secret("key", "x");
    let (provider, session) = logged_in(&google).await;
    for (fault, kind) in [
        (Fault::Reset, Kind::Unavailable),
        (Fault::HalfSent, Kind::Unavailable),
        (Fault::WrongContentType, Kind::Malformed),
        (Fault::Malformed, Kind::Malformed),
        (Fault::Status(500), Kind::Unavailable),
        (Fault::Status(503), Kind::Unavailable),
    ] {
        google.fail_next(fault);
        google.forget_requests();
        let error = fetch(&*provider, &session, &at("key")).await.unwrap_err();
        assert_eq!(error.kind, kind, "{fault:?}: {error}");
        assert_eq!(google.requests_of(Part::Secrets).len(), 1, "{fault:?} is not tried again here");
        fetch(&*provider, &session, &at("key")).await.unwrap();
    }
}

#[tokio::test]
async fn each_status_has_its_meaning_and_no_body_is_quoted() {
    for (status, kind) in [
        (302, Kind::Malformed),
        (400, Kind::Invalid),
        (403, Kind::Denied),
        (404, Kind::Absent),
        (407, Kind::Unavailable),
        (408, Kind::Unavailable),
        (409, Kind::Invalid),
        (429, Kind::Throttled),
        (499, Kind::Unavailable),
        (500, Kind::Unavailable),
        (502, Kind::Unavailable),
        (504, Kind::Unavailable),
    ] {
        let error = read(Response::json(status, &error(status, "ANY", json!([])))).await;
        assert_eq!(error.kind, kind, "{status}: {error}");
        assert!(error.detail.contains(&status.to_string()), "{status}: {error}");
    }
    // What an ingress or a firewall says is no word about the secret.
    for status in [401, 403, 404] {
        let page = Response { status, headers: Vec::new(), body: b"<html>canary</html>".to_vec() };
        let error = read(page).await;
        assert_eq!(error.kind, Kind::Malformed, "{error}");
        assert!(error.detail.contains("endpoint"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_lacks_something_or_is_about_another_secret_is_malformed() {
    let named = |name: &str, payload: Value| json!({ "name": name, "payload": payload });
    let right = "projects/1/secrets/db/versions/3";
    // The checksum of no bytes at all is 0.
    let empty = json!({ "dataCrc32c": "0" });
    for body in [
        json!({}),
        json!([right, { "data": "", "dataCrc32c": "0" }]),
        json!({ "name": right }),
        named(right, json!({ "data": "Y2FuYXJ5" })),
        named(right, json!({ "data": "Y2FuYXJ5", "dataCrc32c": "canary" })),
        named(right, json!({ "data": "canary!", "dataCrc32c": "0" })),
        named(right, json!({ "data": ["canary"], "dataCrc32c": "0" })),
        named("projects/1/secrets/other/versions/3", empty.clone()),
        named("projects/1/secrets/db/versions/latest", empty.clone()),
        named("projects/1/secrets/db", empty.clone()),
        named("canary", empty.clone()),
    ] {
        let error = read(Response::json(200, &body.to_string())).await;
        assert_eq!(error.kind, Kind::Malformed, "{body}: {error}");
    }
    let (_server, provider) =
        scripted(move |_| Reply::Whole(Response::json(200, &named(right, empty.clone()).to_string())));
    let session = session(&*provider).await;
    assert_eq!(
        value(&fetch(&*provider, &session, &at("db")).await.unwrap()),
        b"",
        "what is empty is left out"
    );
}

#[tokio::test]
async fn a_token_that_is_over_asks_for_another_and_one_that_never_served_is_denied() {
    let google = Google::start();
    google.put_secret("key", "x");
    let (provider, first) = logged_in(&google).await;
    fetch(&*provider, &first, &at("key")).await.unwrap();
    google.revoke_tokens();
    let error = fetch(&*provider, &first, &at("key")).await.unwrap_err();
    assert_eq!(error.kind, Kind::SessionEnded, "{error}");

    // A session that an earlier process left is not ours to judge by.
    let (_server, provider) = scripted(|_| Reply::Whole(Response::json(401, &error_401())));
    let error = fetch(&*provider, &first, &at("key")).await.unwrap_err();
    assert_eq!(error.kind, Kind::SessionEnded, "{error}");
    // A new one that was never accepted: the next would not be either.
    let fresh = session(&*provider).await;
    let error = fetch(&*provider, &fresh, &at("key")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(error.detail.contains("clock"), "{error}");
    no_foreign_word(&error);
}

fn error_401() -> String {
    error(401, "UNAUTHENTICATED", json!([]))
}

#[tokio::test]
async fn a_path_or_version_that_cannot_be_one_is_refused_before_anybody_is_asked() {
    let (_server, provider) = scripted(|request| panic!("{} is asked", request.path));
    let session = session(&*provider).await;
    for wrong in [at("a/b"), at("../secrets"), at(""), at("a?b"), version("db", "1/../2"), version("db", "")]
    {
        let error = fetch(&*provider, &session, &wrong).await.unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{error}");
    }
}
