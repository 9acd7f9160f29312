//! Every way to log in, each against the real thing that accepts or refuses it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use leasehold_core::{Kind, Login, NoObserver, Origin, Target};
use leasehold_harness::http::{Request, Response, header};
use leasehold_harness::pki::{Authority, TokenSigner};
use leasehold_harness::server::{HttpServer, Reply};
use leasehold_harness::slapd::slapd;
use leasehold_harness::tmpfs::{Folder, tmpfs};
use leasehold_harness::vault;
use leasehold_harness::vault::{Tls, Vault, VaultConfig, unique};
use serde_json::{Value, json};

use crate::given::{at, fetch, observed, provider, refused, secret, session, text};

fn at_vault(auth: Value) -> Value {
    json!({ "address": vault().url(), "auth": auth })
}

fn file(folder: &Folder, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn a_token_file_is_read_at_each_log_in_and_its_newline_does_no_harm() {
    let folder = tmpfs();
    let (one, two) = (vault().token(json!({ "ttl": "60s" })), vault().token(json!({ "ttl": "60s" })));
    let path = file(&folder, "token", &format!("{}\n", one["client_token"].as_str().unwrap()));
    let provider = provider(at_vault(json!({ "method": "token", "token_file": path })));
    assert_eq!(provider.watched(), [Path::new(&path)]);
    let first = session(&*provider).await;
    assert_eq!((first.id.as_str(), first.origin), (one["accessor"].as_str().unwrap(), Origin::Given));

    file(&folder, "token", &format!("{}\r\n", two["client_token"].as_str().unwrap()));
    assert_eq!(session(&*provider).await.id, two["accessor"].as_str().unwrap());

    file(&folder, "token", "two words\n");
    let error = refused(&*provider).await;
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(error.detail.contains("is no token") && !error.detail.contains("words"), "{error}");
    file(&folder, "token", "\n");
    assert_eq!(refused(&*provider).await.kind, Kind::Invalid);
    std::fs::remove_file(&path).unwrap();
    let error = refused(&*provider).await;
    assert_eq!(error.kind, Kind::Invalid);
    assert!(error.detail.contains(&format!("auth.token_file: {path} does not exist")), "{error}");
}

#[tokio::test]
async fn approle_logs_in_with_ids_from_files_and_a_wrong_one_is_denied_for_good() {
    let mount = vault().approle_mount("approle");
    let role = mount.role("web", json!({ "token_ttl": "60s" }));
    let folder = tmpfs();
    let provider = provider(at_vault(json!({
        "method": "approle",
        "mount": role.mount,
        "role_id_file": file(&folder, "role", &format!("{}\n", role.role_id)),
        "secret_id_file": file(&folder, "secret", &format!("{}\n", role.secret_id)),
    })));
    assert_eq!(session(&*provider).await.origin, Origin::LoggedIn);

    file(&folder, "secret", "canary-that-is-wrong");
    let error = refused(&*provider).await;
    assert_eq!((error.kind, error.passing, error.tries), (Kind::Denied, false, None), "{error}");
    assert!(error.detail.contains(&format!("auth/{}", role.mount)), "{error}");
    assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
}

#[tokio::test]
async fn a_role_that_is_bound_by_address_alone_needs_no_secret_id() {
    let mount = vault().approle_mount("bound");
    let options = json!({ "bind_secret_id": false, "token_bound_cidrs": ["127.0.0.0/8"] });
    let path = format!("auth/{}/role/web", mount.path());
    vault().write(&path, options);
    let id = vault().read(&format!("{path}/role-id")).unwrap();
    let auth = json!({ "method": "approle", "mount": mount.path(), "role_id": id["data"]["role_id"] });
    session(&*provider(at_vault(auth.clone()))).await;
    vault().write(&path, json!({ "bind_secret_id": true }));
    let error = refused(&*provider(at_vault(auth))).await;
    assert_eq!(error.kind, Kind::Denied, "{error}");
    assert!(error.detail.contains("no secret_id is configured"), "{error}");
}

#[tokio::test]
async fn a_wrapped_secret_id_is_unwrapped_once_kept_and_used_again() {
    let mount = vault().approle_mount("wrapped");
    let role = mount.role("web", json!({ "token_ttl": "60s" }));
    let folder = tmpfs();
    let wrapping = mount.wrapped_secret_id("web", "60s");
    let raw = at_vault(json!({
        "method": "approle",
        "mount": role.mount,
        "role_id": role.role_id,
        "secret_id_file": file(&folder, "wrapping", &wrapping),
        "wrapped": true,
    }));
    let provider = provider(raw);
    let Login::Keep(kept) = provider.login(None).await.unwrap() else { panic!("nothing to keep") };
    for _ in 0..2 {
        assert!(matches!(provider.login(Some(&kept)).await.unwrap(), Login::Session(_)));
    }

    // Used already: by us, but who knows.
    let error = refused(&*provider).await;
    assert_eq!((error.kind, error.passing), (Kind::Denied, false), "{error}");
    assert!(error.detail.contains("somebody else unwrapped it"), "{error}");
    assert!(!error.to_string().contains(&wrapping), "{error}");

    // What was kept is worth nothing any more: a new wrapping token in the file is taken.
    let stale = secret("a-secret-id-that-was-destroyed");
    let error = provider.login(Some(&stale)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error}");
    file(&folder, "wrapping", &mount.wrapped_secret_id("web", "60s"));
    let Login::Keep(fresh) = provider.login(Some(&stale)).await.unwrap() else { panic!("nothing to keep") };
    assert!(matches!(provider.login(Some(&fresh)).await.unwrap(), Login::Session(_)));
}

#[tokio::test]
async fn a_wrapping_token_around_something_else_is_denied_and_says_so() {
    let wrapped = vault()
        .root()
        .with_headers("POST", "sys/wrapping/wrap", Some(&json!({ "a": "b" })), &[("X-Vault-Wrap-TTL", "60s")])
        .unwrap();
    let token = wrapped["wrap_info"]["token"].as_str().unwrap();
    let auth = json!({ "method": "approle", "role_id": "any", "secret_id": token, "wrapped": true });
    let error = refused(&*provider(at_vault(auth))).await;
    assert_eq!(error.kind, Kind::Denied);
    assert!(error.detail.contains("held no secret id"), "{error}");
}

#[tokio::test]
async fn userpass_logs_in_and_a_wrong_password_is_denied_for_good() {
    let mount = vault().auth_mount("userpass", "people");
    vault().write(&format!("auth/{mount}/users/web.one"), json!({ "password": "right", "token_ttl": "60s" }));
    let folder = tmpfs();
    let auth = json!({
        "method": "userpass",
        "mount": mount,
        "username": "web.one",
        "password_file": file(&folder, "password", "right\n"),
    });
    let provider = provider(at_vault(auth));
    session(&*provider).await;
    file(&folder, "password", "wrong");
    let error = refused(&*provider).await;
    assert_eq!((error.kind, error.passing), (Kind::Denied, false), "{error}");
}

#[tokio::test]
async fn ldap_logs_in_and_a_refusal_is_worth_three_tries_at_most() {
    let (name, mount) = (unique("web"), vault().ldap_mount("people"));
    slapd().add_user(&name, "right");
    let auth = |password: &str| {
        at_vault(json!({ "method": "ldap", "mount": mount, "username": name, "password": password }))
    };
    session(&*provider(auth("right"))).await;
    let error = refused(&*provider(auth("wrong"))).await;
    assert_eq!((error.kind, error.passing, error.tries), (Kind::Denied, true, Some(3)), "{error}");
}

#[tokio::test]
async fn jwt_logs_in_with_the_file_as_it_is_now_and_a_refusal_may_pass() {
    let (ours, strangers) = (TokenSigner::new(), TokenSigner::new());
    let mount = vault().auth_mount("jwt", "signed");
    let config = json!({ "jwt_validation_pubkeys": [ours.public_key()], "default_role": "web" });
    vault().write(&format!("auth/{mount}/config"), config);
    let role = json!({ "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"] });
    vault().write(&format!("auth/{mount}/role/web"), role);
    let claims = json!({ "sub": "web", "aud": "vault", "iat": now(), "exp": now() + 300 });
    let folder = tmpfs();
    let path = file(&folder, "jwt", &strangers.sign(&claims));
    let provider =
        provider(at_vault(json!({ "method": "jwt", "mount": mount, "role": "web", "token_file": path })));
    let error = refused(&*provider).await;
    assert_eq!((error.kind, error.passing, error.tries), (Kind::Denied, true, None), "{error}");
    file(&folder, "jwt", &ours.sign(&claims));
    session(&*provider).await;
    // Without a role the method's own default is taken.
    let without = json!({ "method": "jwt", "mount": mount, "token_file": path });
    session(&*crate::given::provider(at_vault(without))).await;
}

#[tokio::test]
async fn kubernetes_logs_in_with_the_projected_token_and_waits_for_a_review_that_fails() {
    // TokenReview is part of a cluster; here one that says what it is told to.
    let live = Arc::new(Mutex::new(false));
    let says = Arc::clone(&live);
    let reviews = HttpServer::start(move |request: Request| {
        assert!(request.path.ends_with("/apis/authentication.k8s.io/v1/tokenreviews"), "{}", request.path);
        let user = json!({ "username": "system:serviceaccount:shop:web", "uid": "1", "groups": ["system:serviceaccounts"] });
        let status = json!({ "authenticated": true, "audiences": ["vault"], "user": user });
        let body =
            json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status });
        match *says.lock().unwrap() {
            true => Reply::Whole(Response::json(201, &body.to_string())),
            false => Reply::Whole(Response::status(500)),
        }
    });
    let mount = vault().auth_mount("kubernetes", "cluster");
    let authority = Authority::new("cluster");
    let config = json!({
        "kubernetes_host": reviews.url(),
        "kubernetes_ca_cert": authority.ca(),
        "disable_local_ca_jwt": true,
        "token_reviewer_jwt": TokenSigner::new().sign(&json!({ "sub": "reviewer" })),
    });
    vault().write(&format!("auth/{mount}/config"), config);
    let folder = tmpfs();
    let claims = json!({
        "iss": "https://kubernetes.default.svc",
        "aud": ["vault"],
        "sub": "system:serviceaccount:shop:web",
        "iat": now(),
        "exp": now() + 300,
        "kubernetes.io": { "namespace": "shop", "serviceaccount": { "name": "web", "uid": "1" } },
    });
    let path = file(&folder, "token", &TokenSigner::new().sign(&claims));
    let provider = provider(at_vault(
        json!({ "method": "kubernetes", "mount": mount, "role": "web", "token_file": path }),
    ));
    // Before the role exists (400), and while the review cannot be had (403).
    let error = refused(&*provider).await;
    assert_eq!((error.kind, error.passing, error.tries), (Kind::Denied, true, None), "{error}");
    let role = json!({
        "bound_service_account_names": ["web"],
        "bound_service_account_namespaces": ["shop"],
        "audience": "vault",
    });
    vault().write(&format!("auth/{mount}/role/web"), role);
    let error = refused(&*provider).await;
    assert_eq!((error.kind, error.passing), (Kind::Denied, true), "{error}");
    assert!(error.detail.contains("api server"), "{error}");
    *live.lock().unwrap() = true;
    session(&*provider).await;
}

#[tokio::test]
async fn cert_logs_in_with_the_client_certificate_of_the_connection() {
    let authority = Authority::new("cert");
    let server = authority.issue("vault.test");
    let tls = Tls { certificate: server.certificate, key: server.key, client_ca: None };
    let vault = Vault::own(VaultConfig::default().tls(tls));
    vault.write("sys/auth/cert", json!({ "type": "cert" }));
    vault.write(
        "auth/cert/certs/web",
        json!({ "certificate": authority.ca(), "allowed_common_names": ["web"] }),
    );
    let with = |name: &str, role: Value| {
        let client = authority.issue(name);
        let mut raw = json!({
            "address": format!("https://{}", vault.tls_address()),
            "auth": { "method": "cert" },
            "tls": {
                "ca_file": authority.ca_file(),
                "client_certificate": client.certificate,
                "client_key": client.key,
            },
        });
        if !role.is_null() {
            raw["auth"]["role"] = role;
        }
        provider(raw)
    };
    for role in [json!("web"), json!(null)] {
        let provider = with("web", role);
        let session = session(&*provider).await;
        provider.revoke(&session, Target::Session).await.unwrap();
    }
    for provider in [with("stranger", json!("web")), with("web", json!("another"))] {
        let error = refused(&*provider).await;
        assert_eq!((error.kind, error.passing), (Kind::Denied, false), "{error}");
    }
}

#[tokio::test]
async fn a_mount_that_is_not_there_names_itself() {
    for method in ["approle", "userpass"] {
        let auth = json!({ "approle": { "method": "approle", "mount": "nowhere", "role_id": "a", "secret_id": "b" },
            "userpass": { "method": "userpass", "mount": "nowhere", "username": "a", "password": "b" } });
        let error = refused(&*provider(at_vault(auth[method].clone()))).await;
        assert!(matches!(error.kind, Kind::Denied | Kind::Invalid), "{error}");
        assert!(error.detail.contains("auth/nowhere"), "{error}");
    }
}

#[tokio::test]
async fn log_in_and_secrets_may_be_in_different_namespaces() {
    // The free server knows no namespaces, so a scripted one says which it was asked in.
    let asked: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let store = HttpServer::start(move |request: Request| {
        let namespace = header(&request.headers, "x-vault-namespace").unwrap_or_default().to_owned();
        seen.lock().unwrap().push((request.path.clone(), namespace));
        let auth = json!({ "client_token": "t", "accessor": "a", "lease_duration": 60, "renewable": true });
        let reply = match request.path.as_str() {
            "/v1/auth/approle/login" | "/v1/auth/token/renew-self" => json!({ "auth": auth }),
            path if path.starts_with("/v1/sys/internal") => {
                json!({ "data": { "path": "db/", "type": "database" } })
            }
            _ => json!({ "lease_id": "db/creds/a/1", "lease_duration": 9, "data": { "username": "u" } }),
        };
        Reply::Whole(Response::json(200, &reply.to_string()))
    });
    let provider = provider(json!({
        "address": store.url(),
        "namespace": "team/",
        "auth": { "method": "approle", "namespace": "admin", "role_id": "a", "secret_id": "b" },
    }));
    let session = session(&*provider).await;
    let plain = at("db/creds/a");
    let mut own = plain.clone();
    own.namespace = Some("team/web".to_owned());
    let mut root = plain.clone();
    root.namespace = Some("root".to_owned());
    for reference in [&plain, &own, &root] {
        let fetched = fetch(&*provider, &session, reference).await.unwrap();
        assert_eq!(text(&fetched, "username"), "u");
        let lease = fetched.lease.unwrap();
        let target = Target::Lease { lease: &lease, reference };
        provider.revoke(&session, target).await.unwrap();
    }
    provider.renew(&session, Target::Session, std::time::Duration::from_secs(60)).await.unwrap();
    let asked = asked.lock().unwrap();
    let of = |path: &str| -> Vec<&str> {
        asked.iter().filter(|(asked, _)| asked == path).map(|(_, namespace)| namespace.as_str()).collect()
    };
    assert_eq!(of("/v1/auth/approle/login"), ["admin"]);
    assert_eq!(of("/v1/db/creds/a"), ["team", "team/web", ""]);
    assert_eq!(of("/v1/sys/leases/revoke"), ["team", "team/web", ""]);
    assert_eq!(of("/v1/auth/token/renew-self"), ["admin"]);
}

#[tokio::test]
async fn the_environment_alone_is_enough() {
    let auth = vault().token(json!({ "ttl": "60s" }));
    let token = auth["client_token"].as_str().unwrap();
    let environment = [("VAULT_ADDR", &*vault().url()), ("VAULT_TOKEN", token)];
    let provider = observed(json!({}), &environment, Arc::new(NoObserver));
    assert_eq!(session(&*provider).await.id, auth["accessor"].as_str().unwrap());
}
