//! Application default credentials: where they are found, and what is made of each kind.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::{Error, Kind, NoObserver, Origin, Provider};
use leasehold_harness::http::{Request, Response, header};
use leasehold_harness::server::{HttpServer, Reply};
use leasehold_harness::tmpfs::{Folder, tmpfs};
use leasehold_standins::{Cluster, Google, Part};
use serde_json::{Value, json};

use crate::given::{
    TOKEN, at, fetch, observed, of_the_machine, provider, raw, refused, scripted, session, value,
};

const SUBJECT: &str = "system:serviceaccount:shop:web";

fn write(folder: &Folder, name: &str, content: &Value) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content.to_string()).unwrap();
    path
}

/// A stand-in with one secret.
fn google() -> Google {
    let google = Google::start();
    google.put_secret("key", "value");
    google
}

/// Whether that provider can log in and read.
async fn reads(provider: &dyn Provider) {
    let session = session(provider).await;
    assert_eq!((session.origin, session.revocable), (Origin::LoggedIn, false));
    let term = session.term.expect("a token ends");
    assert!(!term.renewable && term.ttl > Duration::from_secs(3500) && term.ttl <= Duration::from_secs(3600));
    let fetched = fetch(provider, &session, &at("key")).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(value(&fetched), b"value");
}

/// What `gcloud … create-cred-config` writes for this audience and source.
fn federated(google: &Google, audience: &str, source: Value) -> Value {
    json!({
        "type": "external_account",
        "audience": audience,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{}/v1/token", google.sts()),
        "credential_source": source,
    })
}

#[tokio::test]
async fn a_service_account_signs_its_own_tokens_and_asks_nobody() {
    let google = google();
    let email = google.register_service_account("web");
    let file = google.service_account_file(&email);
    reads(&*provider(raw(&google, json!({ "credentials_file": file })))).await;
    let file = file.to_str().unwrap();
    let environment = [("GOOGLE_APPLICATION_CREDENTIALS", file)];
    reads(&*observed(raw(&google, json!({})), &environment, Arc::new(NoObserver))).await;
    for part in [Part::Token, Part::Sts, Part::Iam, Part::Metadata] {
        assert_eq!(google.requests_of(part), []);
    }
}

#[tokio::test]
async fn gclouds_user_is_found_where_gcloud_keeps_it() {
    let google = google();
    let folder = tmpfs();
    let mut user = google.register_user("anna@example.com");
    user["token_uri"] = json!(google.token_uri());
    write(&folder, "home/.config/gcloud/application_default_credentials.json", &user);
    write(&folder, "sdk/application_default_credentials.json", &user);
    let (home, sdk) = (folder.join("home"), folder.join("sdk"));
    for (name, path) in [("HOME", home), ("CLOUDSDK_CONFIG", sdk)] {
        google.forget_requests();
        let environment = [(name, path.to_str().unwrap())];
        reads(&*observed(raw(&google, json!({})), &environment, Arc::new(NoObserver))).await;
        assert_eq!(google.requests_of(Part::Token).len(), 1);
    }
    // Taken back, it is of no use until that person logs in again.
    user["refresh_token"] = json!("canary-refresh");
    let file = write(&folder, "stale.json", &user);
    let error = refused(&*provider(raw(&google, json!({ "credentials_file": file })))).await;
    assert_eq!((error.kind, error.passing), (Kind::Denied, false), "{error}");
    assert!(error.detail.contains("gcloud auth application-default login"), "{error}");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
}

#[tokio::test]
async fn a_cluster_is_federated_by_its_projected_token_as_it_is_at_that_moment() {
    let google = google();
    let cluster = Cluster::new("https://cluster.example");
    let audience = google.register_federated(&cluster, SUBJECT);
    let folder = tmpfs();
    let token =
        |lifetime| cluster.token(SUBJECT, &format!("https:{audience}"), Duration::from_secs(lifetime));
    let file = cluster.project(&token(600));
    let config = write(&folder, "config.json", &federated(&google, &audience, json!({ "file": file })));
    let provider = provider(raw(&google, json!({ "credentials_file": config })));
    reads(&*provider).await;

    // The kubelet replaces it: by one for somebody else, and by a good one again.
    cluster.project(&cluster.token(SUBJECT, "https://other.example", Duration::from_secs(600)));
    let error = refused(&*provider).await;
    assert_eq!((error.kind, error.passing), (Kind::Denied, true), "{error}");
    assert!(error.detail.contains("is its audience the one"), "{error}");
    cluster.project(&token(600));
    reads(&*provider).await;

    let missing = federated(&google, &audience, json!({ "file": folder.join("nothing") }));
    let config = write(&folder, "missing.json", &missing);
    let error = refused(&*super::given::provider(raw(&google, json!({ "credentials_file": config })))).await;
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    assert!(error.detail.contains("nothing does not exist"), "{error}");
}

#[tokio::test]
async fn a_federated_token_comes_from_a_file_or_an_address_as_text_or_in_json() {
    let google = google();
    let cluster = Cluster::new("https://cluster.example");
    let audience = google.register_federated(&cluster, SUBJECT);
    let folder = tmpfs();
    let token = cluster.token(SUBJECT, &audience, Duration::from_secs(600));
    let json_file = write(&folder, "token.json", &json!({ "id_token": token }));
    let issuer = HttpServer::start(move |request: Request| {
        assert_eq!(header(&request.headers, "x-identity"), Some("yes"));
        Reply::Whole(match request.path.as_str() {
            "/text" => Response { status: 200, headers: Vec::new(), body: format!("{token}\n").into_bytes() },
            "/json?for=google" => Response::json(200, &json!({ "value": token }).to_string()),
            _ => Response::json(403, r#"{"why":"canary"}"#),
        })
    });
    let in_json = |field: &str| json!({ "type": "json", "subject_token_field_name": field });
    let url = |path: &str| format!("{}{path}", issuer.url());
    let headers = json!({ "X-Identity": "yes" });
    for source in [
        json!({ "file": json_file, "format": in_json("id_token") }),
        json!({ "url": url("/text"), "headers": headers }),
        json!({ "url": url("/json?for=google"), "headers": headers, "format": in_json("value") }),
    ] {
        let config = write(&folder, "config.json", &federated(&google, &audience, source));
        reads(&*provider(raw(&google, json!({ "credentials_file": config })))).await;
    }
    for (source, kind) in [
        (json!({ "url": url("/no"), "headers": headers }), Kind::Denied),
        (
            json!({ "url": url("/json?for=google"), "headers": headers, "format": in_json("other") }),
            Kind::Malformed,
        ),
        (json!({ "file": json_file, "format": in_json("other") }), Kind::Invalid),
    ] {
        let config = write(&folder, "config.json", &federated(&google, &audience, source));
        let error = refused(&*provider(raw(&google, json!({ "credentials_file": config })))).await;
        assert_eq!(error.kind, kind, "{error}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn a_service_account_is_acted_as_where_that_is_allowed() {
    let google = google();
    let cluster = Cluster::new("https://cluster.example");
    let audience = google.register_federated(&cluster, SUBJECT);
    let (web, reader) = (google.register_service_account("web"), google.register_service_account("reader"));
    let folder = tmpfs();
    let file = cluster.project(&cluster.token(SUBJECT, &audience, Duration::from_secs(600)));
    let url = format!("{}/v1/projects/-/serviceAccounts/{reader}:generateAccessToken", google.iam());
    let mut config = federated(&google, &audience, json!({ "file": file }));
    config["service_account_impersonation_url"] = json!(url);
    let by_file = write(&folder, "by-file.json", &config);
    let key = google.service_account_key(&web);
    let nested = json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url": url,
        "delegates": [],
        "source_credentials": key,
    });
    let nested = write(&folder, "nested.json", &nested);
    let all = [
        json!({ "credentials_file": by_file }),
        json!({ "credentials_file": nested }),
        json!({ "credentials_file": google.service_account_file(&web), "impersonate": reader }),
    ];
    for more in &all {
        let error = refused(&*provider(raw(&google, more.clone()))).await;
        assert_eq!((error.kind, error.passing), (Kind::Denied, true), "{error}");
        assert!(error.detail.contains("roles/iam.serviceAccountTokenCreator"), "{error}");
    }
    google.let_impersonate(&Google::federated_principal(SUBJECT), &reader);
    google.let_impersonate(&format!("serviceAccount:{web}"), &reader);
    google.let_impersonate(&web, &reader);
    for more in all {
        google.forget_requests();
        reads(&*provider(raw(&google, more))).await;
        assert_eq!(google.requests_of(Part::Iam).len(), 1);
    }
}

#[tokio::test]
async fn a_machine_or_pod_has_the_service_account_that_its_metadata_server_says() {
    let google = google();
    let email = google.register_service_account("node");
    google.register_machine(&email);
    let host = google.metadata().replace("http://", "");
    let environment = [("GCE_METADATA_HOST", host.as_str()), ("HOME", "/nonexistent")];
    let provider = observed(raw(&google, json!({})), &environment, Arc::new(NoObserver));
    reads(&*provider).await;
    assert_eq!(google.requests_of(Part::Metadata).len(), 1);
}

#[tokio::test]
async fn the_same_token_given_again_is_the_same_session_and_another_one_is_not() {
    let tokens = Arc::new(Mutex::new(vec!["second", "first", "first"]));
    let server = HttpServer::start(move |_| {
        let token = tokens.lock().unwrap().pop().unwrap_or("second");
        let granted = json!({ "access_token": token, "expires_in": 600, "token_type": "Bearer" });
        Reply::Whole(of_the_machine(200, &granted.to_string()))
    });
    let host = server.address().to_string();
    let provider = observed(json!({ "project": "p" }), &[("GCE_METADATA_HOST", &host)], Arc::new(NoObserver));
    let (one, again, other) =
        (session(&*provider).await, session(&*provider).await, session(&*provider).await);
    assert_eq!(one.id, again.id);
    assert_ne!(one.id, other.id);
    assert!(!one.id.contains("first"), "{}", one.id);
    assert_eq!(one.term.unwrap().ttl, Duration::from_secs(600));
}

/// What a log-in by such a metadata server brings.
async fn by_metadata(answer: Response) -> Error {
    let server = HttpServer::start(move |_| Reply::Whole(answer.clone()));
    let host = server.address().to_string();
    let provider = observed(json!({ "project": "p" }), &[("GCE_METADATA_HOST", &host)], Arc::new(NoObserver));
    let error = refused(&*provider).await;
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    error
}

#[tokio::test]
async fn what_is_no_metadata_server_gives_no_token() {
    let granted = json!({ "access_token": TOKEN, "expires_in": 600 }).to_string();
    let error = by_metadata(Response::json(200, &granted)).await;
    assert_eq!(error.kind, Kind::Malformed, "somebody else answers: {error}");
    let error = by_metadata(of_the_machine(404, "canary")).await;
    assert_eq!((error.kind, error.passing), (Kind::Denied, true), "{error}");
    let error = by_metadata(of_the_machine(403, "canary")).await;
    assert_eq!((error.kind, error.passing), (Kind::Denied, true), "{error}");
    assert!(error.detail.contains("roles/iam.workloadIdentityUser"), "{error}");
    let error = by_metadata(of_the_machine(429, "canary")).await;
    assert_eq!(error.kind, Kind::Throttled, "{error}");
    let error = by_metadata(of_the_machine(503, "canary")).await;
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    for body in ["canary", "{}", r#"{"access_token":"canary canary","expires_in":600}"#] {
        let error = by_metadata(of_the_machine(200, body)).await;
        assert_eq!(error.kind, Kind::Malformed, "{error}");
    }
}

#[tokio::test]
async fn without_any_credentials_the_remedy_is_named() {
    // A name that no resolver knows stands for a machine that is not Google's.
    let environment = [("HOME", "/nonexistent")];
    let provider = observed(json!({ "project": "p" }), &environment, Arc::new(NoObserver));
    let error = refused(&*provider).await;
    assert_eq!((error.kind, error.passing), (Kind::Denied, true), "{error}");
    for said in ["credentials_file", "GOOGLE_APPLICATION_CREDENTIALS", "metadata server"] {
        assert!(error.detail.contains(said), "{error}");
    }
    // One that was named and is away may come back.
    let nobody = leasehold_harness::ports::free().to_string();
    let away = [("GCE_METADATA_HOST", nobody.as_str())];
    let error = refused(&*observed(json!({ "project": "p" }), &away, Arc::new(NoObserver))).await;
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_credential_file_is_read_at_each_log_in_and_named_where_it_is_wrong() {
    let google = google();
    let folder = tmpfs();
    let path = folder.join("key.json");
    let provider = provider(raw(&google, json!({ "credentials_file": path })));
    let error = refused(&*provider).await;
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    assert!(error.detail.contains("key.json does not exist"), "{error}");
    std::fs::write(&path, "canary").unwrap();
    let error = refused(&*provider).await;
    assert!(error.detail.contains("key.json is not JSON"), "{error}");
    let web = google.register_service_account("web");
    let mut key = google.service_account_key(&web);
    key["private_key"] = json!("canary");
    write(&folder, "key.json", &key);
    let error = refused(&*provider).await;
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    assert!(error.detail.contains("private_key") && !error.detail.contains("canary"), "{error}");

    std::fs::copy(google.service_account_file(&web), &path).unwrap();
    reads(&*provider).await;
}

#[tokio::test]
async fn the_quota_project_of_the_credentials_is_sent_with_each_request() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let (server, _) = scripted(move |request| {
        if request.path == "/token" {
            let granted = json!({ "access_token": TOKEN, "expires_in": 600 });
            return Reply::Whole(Response::json(200, &granted.to_string()));
        }
        let header = |name| header(&request.headers, name).map(str::to_owned);
        log.lock().unwrap().push((header("x-goog-user-project"), header("authorization")));
        let empty = json!({ "name": "projects/1/secrets/db/versions/1", "payload": { "dataCrc32c": "0" } });
        Reply::Whole(Response::json(200, &empty.to_string()))
    });
    let folder = tmpfs();
    let user = json!({
        "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r",
        "quota_project_id": "counted", "token_uri": format!("{}/token", server.url()),
    });
    let file = write(&folder, "user.json", &user);
    let raw = json!({ "project": "p", "endpoint": server.url(), "credentials_file": file });
    let first = provider(raw.clone());
    let session = session(&*first).await;
    fetch(&*first, &session, &at("db")).await.unwrap();
    // Also in a process that took the session over and did not log in itself.
    fetch(&*provider(raw.clone()), &session, &at("db")).await.unwrap();
    let environment = [("GOOGLE_CLOUD_QUOTA_PROJECT", "other")];
    fetch(&*observed(raw, &environment, Arc::new(NoObserver)), &session, &at("db")).await.unwrap();
    let bearer = Some(format!("Bearer {TOKEN}"));
    let expected: Vec<_> =
        ["counted", "counted", "other"].map(|project| (Some(project.to_owned()), bearer.clone())).into();
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_new_token_is_another_session_and_the_one_before_still_serves() {
    let google = google();
    let email = google.register_service_account("node");
    google.register_machine(&email);
    let host = google.metadata().replace("http://", "");
    let environment = [("GCE_METADATA_HOST", host.as_str())];
    let provider = observed(raw(&google, json!({})), &environment, Arc::new(NoObserver));
    google.set_token_lifetime(Duration::from_secs(120));
    let first = session(&*provider).await;
    assert!(first.term.unwrap().ttl <= Duration::from_secs(120));
    let second = session(&*provider).await;
    for held in [&first, &second] {
        assert_eq!(value(&fetch(&*provider, held, &at("key")).await.unwrap()), b"value");
    }
}
