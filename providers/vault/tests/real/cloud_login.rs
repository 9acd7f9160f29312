//! Log-ins that hang on a cloud. The proof is scripted here: each cloud's crate tests how it makes one.
//!
//! All three run against the real methods: that of `aws` asks moto's STS, that of `gcp` an HTTP server of the test,
//! that of `azure` a stand-in of Azure's authority, to which a proxy leads it. What is sent is looked at by a
//! scripted store.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_core::{Error, Identity, Kind, Operation, Origin, Proof, SecretBytes, async_trait};
use leasehold_harness::http::{self, Request, Response};
use leasehold_harness::moto::{Moto, moto};
use leasehold_harness::server::{HttpServer, Reply};
use leasehold_harness::tmpfs::tmpfs;
use leasehold_harness::vault;
use leasehold_harness::vault::{Vault, VaultConfig, unique};
use leasehold_standins::{Azure, KeyPair};
use serde_json::{Value, json};

use crate::given::{proved, provider, refused, session};

/// Proves what it is told to.
struct Scripted(Box<dyn Fn() -> Result<Proof, Error> + Send + Sync>);

#[async_trait]
impl Identity for Scripted {
    async fn prove(&self) -> Result<Proof, Error> {
        (self.0)()
    }
}

fn scripted(prove: impl Fn() -> Result<Proof, Error> + Send + Sync + 'static) -> Arc<dyn Identity> {
    Arc::new(Scripted(Box::new(prove)))
}

fn secret(text: &str) -> SecretBytes {
    SecretBytes::from_text(text.to_owned())
}

/// What a role's credentials would sign; moto knows whose key it is and looks at no signature.
fn signed_by(access_key: String, server_id: Option<&'static str>) -> Arc<dyn Identity> {
    scripted(move || {
        let signed = if server_id.is_some() { ";x-vault-aws-iam-server-id" } else { "" };
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={access_key}/20260101/us-east-1/sts/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date{signed}, Signature=00"
        );
        let mut headers = vec![
            ("content-type".to_owned(), secret("application/x-www-form-urlencoded; charset=utf-8")),
            ("x-amz-date".to_owned(), secret("20260101T000000Z")),
            ("authorization".to_owned(), secret(&authorization)),
        ];
        headers.extend(server_id.map(|id| ("x-vault-aws-iam-server-id".to_owned(), secret(id))));
        Ok(Proof::Request {
            method: "POST".to_owned(),
            url: "https://sts.amazonaws.com/".to_owned(),
            headers,
            body: b"Action=GetCallerIdentity&Version=2011-06-15".to_vec(),
        })
    })
}

/// A key of a role's session, as a pod gets one.
fn assumed(role: &str) -> String {
    let arn = format!("arn:aws:iam::{}:role/{role}", Moto::ACCOUNT);
    moto().assume_with_web_identity(&arn, "a.pods.token").access_key_id
}

/// A log-in of that kind whose role `web` lets one role of AWS in.
fn aws_mount(server_id: Option<&str>, bound: &str) -> String {
    let mount = vault().auth_mount("aws", "aws");
    let mut client = json!({ "sts_endpoint": moto().url(), "iam_endpoint": moto().url(), "max_retries": 0 });
    if let Some(id) = server_id {
        client["iam_server_id_header_value"] = json!(id);
    }
    vault().write(&format!("auth/{mount}/config/client"), client);
    let role = json!({
        "auth_type": "iam",
        "bound_iam_principal_arn": [format!("arn:aws:iam::{}:role/{bound}", Moto::ACCOUNT)],
        "resolve_aws_unique_ids": false,
        "token_ttl": "60s",
    });
    vault().write(&format!("auth/{mount}/role/web"), role);
    mount
}

fn aws(mount: &str, role: &str) -> Value {
    json!({ "address": vault().url(), "auth": { "method": "aws", "mount": mount, "role": role } })
}

#[tokio::test]
async fn aws_lets_in_whom_sts_names_and_nobody_else() {
    let bound = unique("web");
    let mount = aws_mount(None, &bound);
    let session = session(&*proved(aws(&mount, "web"), signed_by(assumed(&bound), None))).await;
    assert_eq!(session.origin, Origin::LoggedIn);
    assert_eq!(session.term.unwrap().ttl, Duration::from_secs(60));

    // Another role of AWS, and a role of the method that does not exist.
    let strangers = proved(aws(&mount, "web"), signed_by(assumed("stranger"), None));
    let nobodys = proved(aws(&mount, "nobody"), signed_by(assumed(&bound), None));
    for provider in [strangers, nobodys] {
        let error = refused(&*provider).await;
        assert_eq!((error.kind, error.passing, error.tries), (Kind::Denied, true, None), "{error}");
        assert!(error.detail.contains(&format!("auth/{mount}")), "{error}");
        assert!(error.detail.contains("bound to our ARN (auth.role_arn"), "{error}");
    }
}

#[tokio::test]
async fn aws_shows_the_server_id_that_the_server_wants() {
    let bound = unique("web");
    let mount = aws_mount(Some("vault.example"), &bound);
    let with = |id| proved(aws(&mount, "web"), signed_by(assumed(&bound), id));
    session(&*with(Some("vault.example"))).await;
    for wrong in [None, Some("another.example")] {
        let error = refused(&*with(wrong)).await;
        assert_eq!((error.kind, error.passing), (Kind::Denied, true), "{error}");
        assert!(error.detail.contains("auth.server_id"), "{error}");
    }
}

/// What the real method asks of Google: whose key signed, a token for itself, and whether the account exists.
fn google(signer: &KeyPair, account: &str) -> HttpServer {
    let keys = json!({ "the-key": signer.certificate_pem() }).to_string();
    let account = json!({
        "name": format!("projects/ours/serviceAccounts/{account}"), "email": account,
        "projectId": "ours", "uniqueId": "1",
    });
    HttpServer::start(move |request: Request| {
        Reply::Whole(match request.path.split('?').next().unwrap() {
            "/oauth2/v1/certs" => Response::json(200, &keys),
            "/token" => {
                Response::json(200, r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#)
            }
            path if path.starts_with("/v1/projects/-/serviceAccounts/") => {
                Response::json(200, &account.to_string())
            }
            _ => Response::status(404),
        })
    })
}

#[tokio::test]
async fn gcp_lets_in_the_service_account_that_the_token_is_of() {
    let (signer, stranger) = (KeyPair::new("google"), KeyPair::new("stranger"));
    let account = "web@ours.iam.gserviceaccount.com";
    let google = google(&signer, account);
    // Only its default credentials may come from somewhere else than Google.
    let folder = tmpfs();
    let credentials = folder.join("credentials.json");
    let own = json!({
        "type": "service_account", "project_id": "ours", "client_id": "2", "private_key_id": "own",
        "client_email": "vault@ours.iam.gserviceaccount.com", "private_key": signer.key_pem(),
        "token_uri": format!("{}/token", google.url()),
    });
    std::fs::write(&credentials, own.to_string()).unwrap();
    let config = VaultConfig::default().env("GOOGLE_APPLICATION_CREDENTIALS", credentials.to_str().unwrap());
    let vault = Vault::own(config);
    let mount = vault.auth_mount("gcp", "gcp");
    let endpoints = json!({ "api": google.url(), "iam": google.url() });
    vault.write(&format!("auth/{mount}/config"), json!({ "custom_endpoint": endpoints }));
    let role = json!({ "type": "iam", "bound_service_accounts": [account], "token_ttl": "60s" });
    vault.write(&format!("auth/{mount}/role/web"), role);

    let auth = json!({ "method": "gcp", "mount": mount, "role": "web", "service_account": account });
    let raw = json!({ "address": vault.url(), "auth": auth });
    let with = |signer: &KeyPair, audience: &str| {
        let end = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 600;
        let claims = json!({ "sub": account, "aud": audience, "exp": end });
        let token = signer.token(&[("kid", "the-key")], &claims);
        proved(
            raw.clone(),
            scripted(move || Ok(Proof::Token { token: secret(&token), about: BTreeMap::new() })),
        )
    };
    let session = session(&*with(&signer, "vault/web")).await;
    assert_eq!(session.origin, Origin::LoggedIn);
    assert_eq!(session.term.unwrap().ttl, Duration::from_secs(60));
    for provider in [with(&stranger, "vault/web"), with(&signer, "vault/another")] {
        let error = refused(&*provider).await;
        assert_eq!((error.kind, error.passing), (Kind::Denied, true), "{error}");
        assert!(error.detail.contains("is of type iam"), "{error}");
    }
}

#[tokio::test]
async fn azure_lets_in_the_identity_of_a_machine() {
    let azure = Azure::start();
    let detour = azure.detour();
    let (ours, strangers) = ("9f0b1c2d-0000-4000-8000-000000000001", "9f0b1c2d-0000-4000-8000-000000000002");
    azure.register_identity(ours);
    azure.register_identity(strangers);
    let ca = azure.ca_file().to_str().unwrap();
    let config = VaultConfig::default().env("HTTPS_PROXY", &detour.url()).env("SSL_CERT_FILE", ca);
    let vault = Vault::own(config);
    let mount = vault.auth_mount("azure", "azure");
    let resource = "https://management.azure.com/";
    vault.write(&format!("auth/{mount}/config"), json!({ "tenant_id": Azure::TENANT, "resource": resource }));
    let role = json!({ "bound_service_principal_ids": [ours], "token_ttl": "60s" });
    vault.write(&format!("auth/{mount}/role/web"), role);

    // As the metadata service of a machine gives it.
    let imds: SocketAddr = azure.imds().strip_prefix("http://").unwrap().parse().unwrap();
    let token = |client: &str, resource: &str| {
        let path = format!(
            "/metadata/identity/oauth2/token?api-version=2018-02-01&client_id={client}&resource={resource}"
        );
        let headers = vec![("Metadata".to_owned(), "true".to_owned())];
        let request = Request { method: "GET".into(), path, headers, body: Vec::new() };
        let answer: Value = serde_json::from_slice(&http::send(imds, &request).unwrap().body).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    };
    let auth = json!({ "method": "azure", "mount": mount, "role": "web" });
    let raw = json!({ "address": vault.url(), "auth": auth });
    let with = |token: String| {
        let prove = move || Ok(Proof::Token { token: secret(&token), about: BTreeMap::new() });
        proved(raw.clone(), scripted(prove))
    };
    let session = session(&*with(token(ours, resource))).await;
    assert_eq!(session.origin, Origin::LoggedIn);
    assert_eq!(session.term.unwrap().ttl, Duration::from_secs(60));
    // Somebody else's, and one for another resource: the method says 500 to both.
    for provider in [with(token(strangers, resource)), with(token(ours, Azure::RESOURCE))] {
        let error = refused(&*provider).await;
        assert_eq!(error.kind, Kind::Unavailable, "{error}");
        assert!(error.detail.contains("bound to this identity"), "{error}");
    }
}

/// What a store was asked: method and path, and the body.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// A store that lets everybody in, or nobody.
fn store(status: u16) -> (HttpServer, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let server = HttpServer::start(move |request: Request| {
        let body = serde_json::from_slice(&request.body).unwrap();
        seen.lock().unwrap().push((format!("{} {}", request.method, request.path), body));
        let auth = json!({ "client_token": "t", "accessor": "a", "lease_duration": 60, "renewable": true });
        Reply::Whole(match status {
            200 => Response::json(200, &json!({ "auth": auth }).to_string()),
            status => Response::json(status, r#"{"errors":["a.token of canary"]}"#),
        })
    });
    (server, asked)
}

fn token(about: &[(&str, &str)]) -> Arc<dyn Identity> {
    let about: BTreeMap<String, String> =
        about.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    scripted(move || Ok(Proof::Token { token: secret("a.token"), about: about.clone() }))
}

#[tokio::test]
async fn gcp_and_azure_send_the_role_the_token_and_what_the_api_wants_to_know() {
    let (store, asked) = store(200);
    let at = |auth: Value| json!({ "address": store.url(), "auth": auth });
    let gcp = at(json!({ "method": "gcp", "role": "web", "mount": "gcp/one" }));
    session(&*proved(gcp, token(&[("project", "ours")]))).await;
    let azure = at(json!({ "method": "azure", "role": "web" }));
    let about = [
        ("subscription_id", "s"),
        ("resource_group_name", "g"),
        ("vm_name", "m"),
        ("vmss_name", "set"),
        ("tenant", "not asked for"),
    ];
    session(&*proved(azure, token(&about))).await;
    let asked = asked.lock().unwrap();
    let bodies = [
        json!({ "role": "web", "jwt": "a.token" }),
        json!({
            "role": "web", "jwt": "a.token", "subscription_id": "s", "resource_group_name": "g",
            "vm_name": "m", "vmss_name": "set",
        }),
    ];
    let paths = ["POST /v1/auth/gcp/one/login", "POST /v1/auth/azure/login"];
    for ((seen, path), body) in asked.iter().zip(paths).zip(bodies) {
        assert_eq!(*seen, (path.to_owned(), body));
    }
    assert_eq!(asked.len(), 2);
}

#[tokio::test]
async fn aws_sends_the_request_as_it_was_signed() {
    let (store, asked) = store(200);
    let raw = json!({ "address": store.url(), "auth": { "method": "aws", "role": "web" } });
    session(&*proved(raw, signed_by("AKIA".to_owned(), None))).await;
    let asked = asked.lock().unwrap();
    let (_, body) = &asked[0];
    let plain = |key: &str| String::from_utf8(STANDARD.decode(body[key].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!((&body["role"], &body["iam_http_request_method"]), (&json!("web"), &json!("POST")));
    assert_eq!(plain("iam_request_url"), "https://sts.amazonaws.com/");
    assert_eq!(plain("iam_request_body"), "Action=GetCallerIdentity&Version=2011-06-15");
    let headers: Value = serde_json::from_str(&plain("iam_request_headers")).unwrap();
    assert_eq!(headers["x-amz-date"], json!(["20260101T000000Z"]));
    assert!(headers["authorization"][0].as_str().unwrap().contains("Credential=AKIA/"), "{headers}");
}

#[tokio::test]
async fn a_refusal_names_what_to_look_at_in_each_cloud_and_quotes_nobody() {
    for (auth, what) in [
        (json!({ "method": "aws", "role": "web" }), "iam_server_id_header_value"),
        (json!({ "method": "gcp", "role": "web" }), "is of type gce"),
        (
            json!({ "method": "gcp", "role": "web", "service_account": "web@p.iam.gserviceaccount.com" }),
            "is of type iam",
        ),
        (json!({ "method": "azure", "role": "web" }), "auth.resource"),
    ] {
        let identity = || match auth["method"].as_str() {
            Some("aws") => signed_by("AKIA".to_owned(), None),
            _ => token(&[]),
        };
        // The real azure method answers 500 to a token that it does not believe.
        for (status, kind, passing) in
            [(400, Kind::Denied, true), (403, Kind::Denied, true), (500, Kind::Unavailable, false)]
        {
            let (store, _) = store(status);
            let error = refused(&*proved(json!({ "address": store.url(), "auth": auth }), identity())).await;
            assert_eq!((error.kind, error.passing), (kind, passing), "{error}");
            assert!(error.detail.contains(what), "{error}");
            let said = format!("{error} {error:?}");
            assert!(!said.contains("canary") && !said.contains("a.token"), "{said}");
        }
    }
}

#[tokio::test]
async fn what_keeps_us_from_a_proof_is_the_log_ins_error_and_the_store_is_not_asked() {
    let (store, asked) = store(200);
    let raw = json!({ "address": store.url(), "auth": { "method": "aws", "role": "web" } });
    let throttled = scripted(|| {
        let error = Error::new(Kind::Throttled, Operation::Fetch, "aws", "sts asks us to wait");
        Err(error.retry_after(Some(Duration::from_secs(7))))
    });
    let error = refused(&*proved(raw.clone(), throttled)).await;
    assert_eq!((error.kind, error.operation), (Kind::Throttled, Operation::Login), "{error}");
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(
        error.to_string(),
        "login at provider \"vault\": the proof of who we are (aws): sts asks us to wait"
    );
    // A proof of another kind, and nobody who proves anything: our own faults.
    for provider in [proved(raw.clone(), token(&[])), provider(raw)] {
        assert_eq!(refused(&*provider).await.kind, Kind::Internal);
    }
    assert_eq!(asked.lock().unwrap().len(), 0);
}
