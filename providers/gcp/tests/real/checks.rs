//! What `check --online` asks: the right to read, and the command that grants it.

use std::sync::Arc;

use leasehold_core::{Kind, NoObserver};
use leasehold_harness::http::Response;
use leasehold_harness::server::Reply;
use leasehold_standins::{Google, Part};
use serde_json::json;

use crate::given::{at, error, logged_in, observed, of_the_machine, raw, scripted, session};

#[tokio::test]
async fn a_right_that_is_there_is_not_missing_and_nothing_is_read_to_know_it() {
    let google = Google::start();
    google.put_secret("key", "x");
    let (provider, session) = logged_in(&google).await;
    google.forget_requests();
    assert_eq!(provider.check(&session, &at("key")).await.unwrap(), []);
    let asked = google.requests_of(Part::Secrets);
    assert_eq!(asked.len(), 1);
    assert!(asked[0].path.ends_with("/secrets/key:testIamPermissions"), "{asked:?}");
}

#[tokio::test]
async fn a_right_that_is_missing_comes_with_the_command_that_grants_it() {
    let google = Google::start();
    google.put_secret("key", "x");
    google.deny("key");
    let (provider, session) = logged_in(&google).await;
    let missing = provider.check(&session, &at("key")).await.unwrap();
    assert_eq!(missing.len(), 1);
    assert!(missing[0].required);
    assert_eq!(missing[0].path, "projects/leasehold-tests/secrets/key");
    assert_eq!(missing[0].capabilities, ["secretmanager.versions.access"]);
    assert_eq!(
        missing[0].remedy,
        "gcloud secrets add-iam-policy-binding key --project=leasehold-tests \
         --member=serviceAccount:web@leasehold-tests.iam.gserviceaccount.com \
         --role=roles/secretmanager.secretAccessor"
    );

    // On a machine it is asked who we are.
    let node = google.register_service_account("node");
    google.register_machine(&node);
    let host = google.metadata().replace("http://", "");
    let environment = [("GCE_METADATA_HOST", host.as_str())];
    let machine = observed(raw(&google, json!({})), &environment, Arc::new(NoObserver));
    let token = crate::given::session(&*machine).await;
    let missing = machine.check(&token, &at("key")).await.unwrap();
    assert!(missing[0].remedy.contains(&format!("--member=serviceAccount:{node} ")), "{missing:?}");
}

#[tokio::test]
async fn no_right_at_all_is_an_answer_without_any_and_a_refusal_is_an_error() {
    let (_server, provider) = scripted(|request| {
        Reply::Whole(match request.path.as_str() {
            "/v1/projects/app/secrets/db:testIamPermissions" => Response::json(200, "{}"),
            "/computeMetadata/v1/instance/service-accounts/default/email" => {
                of_the_machine(200, "app.svc.id.goog")
            }
            _ => Response::json(
                403,
                &error(403, "PERMISSION_DENIED", json!([{ "reason": "SERVICE_DISABLED" }])),
            ),
        })
    });
    let session = session(&*provider).await;
    let missing = provider.check(&session, &at("db")).await.unwrap();
    assert!(missing[0].remedy.contains("--member=MEMBER "), "{missing:?}");
    let error = provider.check(&session, &at("other")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied);
    assert!(
        error.to_string().starts_with("check at provider \"google\", secret \"it\" (other): "),
        "{error}"
    );
    assert!(error.detail.contains("gcloud services enable"), "{error}");
}
