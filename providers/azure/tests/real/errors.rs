//! What goes wrong on the way: told apart, asked once, and nothing of the answer repeated.

use std::time::Duration;

use leasehold_core::{Kind, Operation};
use leasehold_standins::{Azure, Fault, Part};

use crate::given::{asked, at, fetch, ours, session, text};

#[tokio::test]
async fn each_fault_has_its_kind_and_costs_one_request() {
    let azure = Azure::start();
    let provider = ours(&azure);
    let session = session(&*provider).await;
    azure.put_secret("db", "canary-value");
    for (fault, kind) in [
        (Fault::Reset, Kind::Unavailable),
        (Fault::HalfSent, Kind::Unavailable),
        (Fault::WrongContentType, Kind::Malformed),
        (Fault::Malformed, Kind::Malformed),
        (Fault::Status(500), Kind::Unavailable),
        (Fault::Status(503), Kind::Unavailable),
        (Fault::Status(429), Kind::Throttled),
        (Fault::Status(400), Kind::Invalid),
    ] {
        azure.forget_requests();
        azure.fail_next(fault);
        let error = fetch(&*provider, &session, &at("db")).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert_eq!((error.operation, error.provider.as_str()), (Operation::Fetch, "azure"));
        assert_eq!(error.reference, "secret \"it\" (db)");
        assert!(!error.to_string().contains("canary"), "{error}");
        assert_eq!(asked(&azure, Part::Vault).len(), 1, "no retry of our own");
    }
    assert_eq!(text(&fetch(&*provider, &session, &at("db")).await.unwrap(), "value"), "canary-value");
}

#[tokio::test]
async fn a_vault_that_is_asked_too_often_says_when_to_come_back() {
    let azure = Azure::start();
    let provider = ours(&azure);
    let session = session(&*provider).await;
    azure.put_secret("db", "open");
    azure.throttle(1, Duration::from_secs(7));
    let error = fetch(&*provider, &session, &at("db")).await.unwrap_err();
    assert_eq!((error.kind, error.retry_after), (Kind::Throttled, Some(Duration::from_secs(7))), "{error}");
    assert_eq!(error.operation, Operation::Fetch);
    fetch(&*provider, &session, &at("db")).await.unwrap();
}

#[tokio::test]
async fn nothing_that_is_held_or_fetched_is_said_by_the_official_crates() {
    let azure = Azure::start();
    let heard = leasehold_conformance::listen();
    let secret = azure.register_client("canary-client");
    let auth = serde_json::json!({
        "tenant_id": Azure::TENANT, "client_id": "canary-client", "client_secret": secret,
    });
    let provider = crate::given::provider(crate::given::raw(&azure, auth));
    let session = session(&*provider).await;
    azure.put_secret("quiet", "canary-quiet-value");
    fetch(&*provider, &session, &at("quiet")).await.unwrap();
    azure.fail_next(Fault::Malformed);
    fetch(&*provider, &session, &at("quiet")).await.unwrap_err();
    let said = heard.said();
    let token = session.credential.expose_text().unwrap();
    for hidden in [token, secret.as_str(), "canary-quiet-value"] {
        assert!(!said.contains(hidden), "said at some level");
    }
}
