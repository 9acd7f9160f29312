//! Log-ins: every kind of credential, what a refusal means, and what is believed of a challenge.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Kind, NoObserver, Operation, Origin, Provider};
use leasehold_harness::http::{Response, header};
use leasehold_harness::server::Reply;
use leasehold_harness::{HttpServer, ports, tmpfs};
use leasehold_standins::{Azure, Cluster, Fault, KeyPair, Part};
use serde_json::json;

use crate::given::{
    CLIENT, Counted, asked, at, fetch, observed, ours, provider, raw, refused, session, text, with_secret,
};

const SUBJECT: &str = "system:serviceaccount:team:web";

/// Whether what was logged in for reads the vault.
async fn reads(azure: &Azure, provider: &dyn Provider) {
    azure.put_secret("db", "open");
    let session = session(provider).await;
    assert_eq!(text(&fetch(provider, &session, &at("db")).await.unwrap(), "value"), "open");
}

#[tokio::test]
async fn a_log_in_is_a_challenge_and_a_token_and_every_read_one_request() {
    let azure = Azure::start();
    azure.put_secret("db", "open");
    let secret = azure.register_client(CLIENT);
    let counted = Arc::new(Counted::default());
    let provider = observed(raw(&azure, with_secret(&secret)), &[], counted.clone());
    let session = session(&*provider).await;
    assert_eq!((session.origin, session.revocable, session.uses_left), (Origin::LoggedIn, false, None));
    let term = session.term.expect("a token ends");
    assert!(!term.renewable);
    assert_eq!(term.ttl.as_secs().div_ceil(60), 60, "{term:?}");
    assert_eq!(asked(&azure, Part::Vault), ["GET /secrets 401"]);
    assert_eq!(asked(&azure, Part::Authority), [format!("POST /{}/oauth2/v2.0/token 200", Azure::TENANT)]);
    assert_eq!(counted.take(), [(Operation::Login, None), (Operation::Login, None)]);

    azure.forget_requests();
    for _ in 0..3 {
        fetch(&*provider, &session, &at("db")).await.unwrap();
    }
    assert_eq!(asked(&azure, Part::Vault), ["GET /secrets/db/ 200"; 3]);
    assert_eq!(asked(&azure, Part::Authority), [""; 0]);
    assert_eq!(counted.take(), [(Operation::Fetch, None); 3]);
}

#[tokio::test]
async fn a_token_that_ends_is_replaced_by_another_log_in() {
    let azure = Azure::start();
    azure.set_token_lifetime(Duration::from_secs(90));
    let provider = ours(&azure);
    let first = session(&*provider).await;
    assert!(first.term.unwrap().ttl <= Duration::from_secs(90));
    azure.put_secret("db", "open");
    fetch(&*provider, &first, &at("db")).await.unwrap();
    azure.revoke_tokens();
    let ended = fetch(&*provider, &first, &at("db")).await.unwrap_err();
    assert_eq!(ended.kind, Kind::SessionEnded, "{ended}");
    let second = session(&*provider).await;
    assert_ne!(first.id, second.id);
    fetch(&*provider, &second, &at("db")).await.unwrap();
}

#[tokio::test]
async fn a_token_that_was_never_accepted_is_a_denial() {
    let azure = Azure::start();
    azure.put_secret("db", "open");
    let provider = ours(&azure);
    let session = session(&*provider).await;
    azure.revoke_tokens();
    let error = fetch(&*provider, &session, &at("db")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(error.detail.contains("auth.tenant_id"), "{error}");
    // It asked once: there is no other token to try.
    assert_eq!(asked(&azure, Part::Vault), ["GET /secrets 401", "GET /secrets/db/ 401"]);
}

#[tokio::test]
async fn a_client_secret_may_come_from_a_file_that_is_replaced() {
    let azure = Azure::start();
    let folder = tmpfs();
    let file = folder.join("secret");
    std::fs::write(&file, "wrong\n").unwrap();
    let auth = json!({ "tenant_id": Azure::TENANT, "client_id": CLIENT, "client_secret_file": file });
    let provider = provider(raw(&azure, auth));
    let secret = azure.register_client(CLIENT);
    assert_eq!(refused(&*provider).await.kind, Kind::Denied);
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    reads(&azure, &*provider).await;
    std::fs::remove_file(&file).unwrap();
    let error = refused(&*provider).await;
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.detail.contains("does not exist"), "{error}");
}

#[tokio::test]
async fn a_certificate_signs_for_its_application() {
    let azure = Azure::start();
    let pair = Arc::new(KeyPair::new("web"));
    azure.register_certificate(CLIENT, &pair);
    let folder = tmpfs();
    let file = folder.join("web.pem");
    std::fs::write(&file, pair.key_pem() + &pair.certificate_pem()).unwrap();
    let auth = json!({ "client_id": CLIENT, "certificate_file": file });
    // The tenant is the vault's own: its challenge says so.
    let provider = provider(raw(&azure, auth));
    reads(&azure, &*provider).await;

    let stranger = KeyPair::new("stranger");
    std::fs::write(&file, stranger.certificate_pem() + &stranger.key_pem()).unwrap();
    let error = refused(&*provider).await;
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(error.detail.contains("certificate"), "{error}");
    for (content, said) in [
        (pair.certificate_pem(), "holds no RSA key"),
        (pair.key_pem(), "holds no certificate"),
        ("canary".to_owned(), "holds no certificate"),
    ] {
        std::fs::write(&file, content).unwrap();
        let error = refused(&*provider).await;
        assert_eq!(error.kind, Kind::Invalid, "{error}");
        assert!(error.detail.contains(said) && !error.detail.contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn a_pods_service_account_logs_in_and_its_token_is_read_anew() {
    let azure = Azure::start();
    let cluster = Cluster::new("https://cluster.test");
    azure.register_federated(CLIENT, &cluster, SUBJECT);
    let life = Duration::from_secs(3600);
    let audience = Azure::FEDERATED_AUDIENCE;
    let file = cluster.project(&cluster.token(SUBJECT, audience, life));
    let environment = [
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_TENANT_ID", Azure::TENANT),
        ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap()),
        ("AZURE_AUTHORITY_HOST", &azure.authority()),
    ];
    let mut raw = raw(&azure, json!({}));
    raw.as_object_mut().unwrap().remove("authority");
    let provider = observed(raw, &environment, Arc::new(NoObserver));
    reads(&azure, &*provider).await;

    // A stranger's token in its place: that is what is shown now.
    cluster.project(&cluster.token("system:serviceaccount:team:other", audience, life));
    let error = refused(&*provider).await;
    assert_eq!((error.kind, error.passing), (Kind::Denied, true), "{error}");
    assert!(error.detail.contains("federated credential"), "{error}");
    cluster.project(&cluster.token(SUBJECT, audience, life));
    reads(&azure, &*provider).await;
}

#[tokio::test]
async fn a_machine_logs_in_with_its_own_identity_or_an_assigned_one() {
    let azure = Azure::start();
    azure.register_identity("own");
    azure.register_identity(CLIENT);
    let imds = azure.imds();
    let environment = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.as_str())];
    for auth in [
        json!({}),
        json!({ "method": "managed-identity" }),
        json!({ "method": "managed-identity", "client_id": CLIENT }),
    ] {
        let provider = observed(raw(&azure, auth), &environment, Arc::new(NoObserver));
        reads(&azure, &*provider).await;
    }
    assert_eq!(asked(&azure, Part::Authority), [""; 0]);

    let stranger = json!({ "method": "managed-identity", "client_id": "nobody" });
    let error = refused(&*observed(raw(&azure, stranger), &environment, Arc::new(NoObserver))).await;
    assert_eq!((error.kind, error.passing), (Kind::Denied, true), "{error}");
    assert!(error.detail.contains("auth.client_id"), "{error}");
}

#[tokio::test]
async fn an_app_asks_its_own_endpoint_and_proves_that_it_is_inside() {
    let azure = Azure::start();
    let server = HttpServer::start(|request| {
        let inside = header(&request.headers, "x-identity-header") == Some("canary-inside");
        let whole = request.path.contains("api-version=2019-08-01")
            && request.path.contains("resource=https%3A%2F%2Fvault.azure.net")
            && request.path.contains(&format!("client_id={CLIENT}"));
        Reply::Whole(match inside && whole {
            true => Response::json(200, r#"{"access_token":"of-the-app","expires_on":"1700003600"}"#)
                .header("Date", "Tue, 14 Nov 2023 22:13:20 GMT"),
            false => Response::status(400),
        })
    });
    let endpoint = format!("{}/msi/token", server.url());
    let environment = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", "canary-inside")];
    let auth = json!({ "method": "managed-identity", "client_id": CLIENT });
    let provider = observed(raw(&azure, auth), &environment, Arc::new(NoObserver));
    let session = session(&*provider).await;
    assert_eq!(session.credential.expose(), b"of-the-app");
    assert_eq!(session.term.unwrap().ttl, Duration::from_secs(3600));
    let outside = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", "canary-outside")];
    let provider = observed(raw(&azure, json!({})), &outside, Arc::new(NoObserver));
    let error = refused(&*provider).await;
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(!error.to_string().contains("canary"), "{error}");
}

#[tokio::test]
async fn an_apps_identity_reads_the_vault() {
    let azure = Azure::start();
    azure.register_identity("own");
    azure.register_identity(CLIENT);
    let (endpoint, inside) = (azure.identity_endpoint(), azure.identity_header());
    let environment = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", inside.as_str())];
    for auth in [json!({}), json!({ "method": "managed-identity", "client_id": CLIENT })] {
        let provider = observed(raw(&azure, auth), &environment, Arc::new(NoObserver));
        reads(&azure, &*provider).await;
    }
    assert_eq!(asked(&azure, Part::AppService).len(), 2);
    let outside = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", "canary")];
    let error = refused(&*observed(raw(&azure, json!({})), &outside, Arc::new(NoObserver))).await;
    assert_eq!((error.kind, error.passing), (Kind::Denied, true), "{error}");
}

#[tokio::test]
async fn where_there_is_no_credential_at_all_that_is_said() {
    let azure = Azure::start();
    let nobody = format!("http://{}", ports::free());
    let environment = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", nobody.as_str())];
    let error = refused(&*observed(raw(&azure, json!({})), &environment, Arc::new(NoObserver))).await;
    assert_eq!((error.kind, error.passing), (Kind::Denied, true), "{error}");
    assert!(error.detail.contains("there are no credentials"), "{error}");
    // Where it was asked for by name, it may come up yet.
    let auth = json!({ "method": "managed-identity" });
    let error = refused(&*observed(raw(&azure, auth), &environment, Arc::new(NoObserver))).await;
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_refusal_says_what_to_look_at_and_shows_no_secret() {
    let azure = Azure::start();
    let secret = azure.register_client(CLIENT);
    for (tenant, client, secret, kind, said) in [
        (Azure::TENANT, CLIENT, "canary-wrong", Kind::Denied, "client secret is wrong"),
        (
            Azure::TENANT,
            "99999999-0000-0000-0000-000000000000",
            secret.as_str(),
            Kind::Denied,
            "auth.client_id",
        ),
        ("no-such-tenant.test", CLIENT, secret.as_str(), Kind::Invalid, "auth.tenant_id"),
    ] {
        let auth = json!({ "tenant_id": tenant, "client_id": client, "client_secret": secret });
        let error = refused(&*provider(raw(&azure, auth))).await;
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.detail.contains(said), "{error}");
        assert!(!error.to_string().contains("canary") && !error.to_string().contains(secret), "{error}");
    }
}

#[tokio::test]
async fn a_token_of_another_tenant_is_denied_by_the_vault() {
    let azure = Azure::start();
    azure.put_secret("db", "open");
    let secret = azure.register_client_in(Azure::OTHER_TENANT, CLIENT);
    let auth = json!({ "tenant_id": Azure::OTHER_TENANT, "client_id": CLIENT, "client_secret": secret });
    let provider = provider(raw(&azure, auth));
    let session = session(&*provider).await;
    let error = fetch(&*provider, &session, &at("db")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(error.detail.contains("auth.tenant_id"), "{error}");
}

#[tokio::test]
async fn whoever_wants_a_token_for_another_domain_gets_none() {
    let azure = Azure::start();
    let secret = azure.register_client(CLIENT);
    let mut here = raw(&azure, with_secret(&secret));
    here.as_object_mut().unwrap().remove("resource");
    // The stand-in is at 127.0.0.1, and its challenge names vault.azure.net.
    let error = refused(&*provider(here)).await;
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    assert!(error.detail.contains("another domain"), "{error}");
    azure.set_resource("https://management.azure.com");
    let error = refused(&*provider(raw(&azure, with_secret(&secret)))).await;
    assert_eq!(error.kind, Kind::Invalid, "{error}");
    assert_eq!(asked(&azure, Part::Authority), [""; 0], "nothing was asked for");
}

#[tokio::test]
async fn what_goes_wrong_at_the_authority_is_told_from_what_goes_wrong_at_the_vault() {
    let azure = Azure::start();
    let provider = ours(&azure);
    for (fault, kind) in [
        (Fault::Status(429), Kind::Throttled),
        (Fault::Status(503), Kind::Unavailable),
        (Fault::Reset, Kind::Unavailable),
        (Fault::HalfSent, Kind::Unavailable),
        (Fault::Malformed, Kind::Malformed),
        (Fault::WrongContentType, Kind::Malformed),
    ] {
        azure.forget_requests();
        azure.fail_next_at(Part::Authority, fault);
        let error = refused(&*provider).await;
        assert_eq!(error.kind, kind, "{error}");
        assert_eq!(error.operation, Operation::Login);
        assert!(error.detail.contains("authority"), "{error}");
        assert_eq!(asked(&azure, Part::Authority).len(), 1, "it was asked once");
    }
    session(&*provider).await;
    let mut nowhere = raw(&azure, with_secret("canary"));
    nowhere["authority"] = json!(format!("https://{}", ports::free()));
    let error = refused(&*crate::given::provider(nowhere)).await;
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.detail.contains("the authority at https://"), "{error}");
}
