//! TLS and proxies, against the real server.

use std::path::Path;
use std::sync::Arc;

use leasehold_core::{Error, Kind, Provider, Session, Target};
use leasehold_harness::http::header;
use leasehold_harness::pki::{Authority, Certificate};
use leasehold_harness::tmpfs::tmpfs;
use leasehold_harness::vault::{Tls, Vault, VaultConfig};
use leasehold_harness::{ForwardProxy, vault};
use serde_json::{Value, json};

use crate::given::{SOON, observed, provider, session};

/// A server with a certificate of that authority for that name.
fn server(authority: &Authority, name: &str, client_ca: Option<&Authority>) -> Vault {
    let Certificate { certificate, key } = authority.issue(name);
    let client_ca = client_ca.map(Authority::ca_file);
    Vault::own(VaultConfig::default().tls(Tls { certificate, key, client_ca }))
}

/// Given a token of that server.
fn raw(vault: &Vault, folder: &Path, tls: Value) -> Value {
    let token = vault.token(json!({ "ttl": "5m" }));
    let file = folder.join("token");
    std::fs::write(&file, token["client_token"].as_str().unwrap()).unwrap();
    json!({
        "address": format!("https://{}", vault.tls_address()),
        "auth": { "method": "token", "token_file": file },
        "tls": tls,
    })
}

async fn refused(raw: Value) -> Error {
    provider(raw).login(None).await.expect_err("the log-in is refused")
}

#[tokio::test]
async fn a_private_ca_is_trusted_where_it_is_named_and_no_other() {
    let (ours, strangers) = (Authority::new("ours"), Authority::new("strangers"));
    let vault = server(&ours, "vault.test", None);
    let folder = tmpfs();
    session(&*provider(raw(&vault, &folder, json!({ "ca_file": ours.ca_file() })))).await;
    for tls in [json!({}), json!({ "ca_file": strangers.ca_file() })] {
        let error = refused(raw(&vault, &folder, tls)).await;
        assert_eq!(error.kind, Kind::Unavailable, "{error}");
        assert!(error.detail.contains("tls.ca_file"), "{error}");
    }
    let named = json!({ "ca_file": ours.ca_file(), "server_name": "vault.test" });
    session(&*provider(raw(&vault, &folder, named))).await;
    let misnamed = json!({ "ca_file": ours.ca_file(), "server_name": "other.test" });
    let error = refused(raw(&vault, &folder, misnamed)).await;
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.detail.contains("tls.server_name"), "{error}");
}

#[tokio::test]
async fn the_ca_may_come_from_the_environment() {
    let ours = Authority::new("ours");
    let vault = server(&ours, "vault.test", None);
    let folder = tmpfs();
    let path = ours.ca_file();
    let environment = [("VAULT_CACERT", path.to_str().unwrap())];
    let provider =
        observed(raw(&vault, &folder, json!({})), &environment, Arc::new(leasehold_core::NoObserver));
    session(&*provider).await;
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_gets_ours_and_says_no_without() {
    let (ours, clients) = (Authority::new("ours"), Authority::new("clients"));
    let vault = server(&ours, "vault.test", Some(&clients));
    let folder = tmpfs();
    let client = clients.issue("web");
    let tls = json!({
        "ca_file": ours.ca_file(), "client_certificate": client.certificate, "client_key": client.key
    });
    session(&*provider(raw(&vault, &folder, tls))).await;
    let error = refused(raw(&vault, &folder, json!({ "ca_file": ours.ca_file() }))).await;
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.detail.contains("tls.client_certificate"), "{error}");
}

#[tokio::test]
async fn tls_files_are_read_again_when_they_change_and_a_broken_one_changes_nothing() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let Certificate { certificate, key } = old.issue("vault.test");
    let tls = Tls { certificate: certificate.clone(), key: key.clone(), client_ca: None };
    let vault = Vault::own(VaultConfig::default().tls(tls));
    let folder = tmpfs();
    let ca = folder.join("ca.pem");
    std::fs::copy(old.ca_file(), &ca).unwrap();
    let provider = provider(raw(&vault, &folder, json!({ "ca_file": ca })));
    let session = session(&*provider).await;

    // Each restart ends the connections, so that what the files say now is what counts.
    let restart = || {
        vault.kill9();
        vault.start();
        vault.unseal();
    };
    std::fs::write(&ca, "-----BEGIN CERTIFICATE-----\nhalf").unwrap();
    restart();
    answers(&*provider, &session).await;

    // The server moves to the new authority, and then so do we.
    let moved = new.issue("vault.test");
    std::fs::copy(moved.certificate, &certificate).unwrap();
    std::fs::copy(moved.key, &key).unwrap();
    restart();
    let error = provider.lookup(&session, Target::Session).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    std::fs::copy(new.ca_file(), &ca).unwrap();
    answers(&*provider, &session).await;
}

/// The first request may meet a connection that ended meanwhile.
async fn answers(provider: &dyn Provider, session: &Session) {
    let deadline = tokio::time::Instant::now() + SOON;
    while let Err(error) = provider.lookup(session, Target::Session).await {
        assert!(tokio::time::Instant::now() < deadline, "{error}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_tls_file_that_cannot_be_used_is_named() {
    let folder = tmpfs();
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let (one, two) = (ours.issue("one"), others.issue("two"));
    let empty = folder.join("empty");
    std::fs::write(&empty, "nothing\n").unwrap();
    for (tls, said) in [
        (json!({ "ca_file": folder.join("missing") }), "does not exist"),
        (json!({ "ca_file": empty }), "tls.ca_file: no certificate"),
        (json!({ "client_certificate": one.certificate, "client_key": two.key }), "do not belong together"),
        (
            json!({ "client_certificate": one.certificate, "client_key": empty }),
            "tls.client_key: no private key",
        ),
    ] {
        let auth = json!({ "method": "userpass", "username": "a", "password": "b" });
        let error = refused(json!({ "address": "https://127.0.0.1:1", "auth": auth, "tls": tls })).await;
        assert_eq!(error.kind, Kind::Invalid, "{error}");
        assert!(error.detail.contains(said), "{error}");
    }
}

#[tokio::test]
async fn plain_http_to_a_tls_port_and_the_other_way_round_say_so() {
    let ours = Authority::new("ours");
    let server = server(&ours, "vault.test", None);
    let auth = json!({ "method": "userpass", "username": "a", "password": "b" });
    let error = refused(json!({ "address": format!("https://{}", server.address()), "auth": auth })).await;
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.detail.contains("does not speak tls"), "{error}");
}

#[tokio::test]
async fn a_proxy_tunnels_tls_and_forwards_plain_requests() {
    let ours = Authority::new("ours");
    let tls_server = server(&ours, "vault.test", None);
    let folder = tmpfs();
    let tunnel = ForwardProxy::start();
    let mut through = raw(&tls_server, &folder, json!({ "ca_file": ours.ca_file() }));
    through["proxy"] = json!(tunnel.url());
    session(&*provider(through.clone())).await;
    let asked = tunnel.asked();
    assert!(asked.iter().all(|request| request.method == "CONNECT"), "nothing but the tunnel is seen");
    assert!(!asked.is_empty());

    // In the clear, with the proxy's own password.
    let plain = ForwardProxy::start();
    let url = plain.url().replace("http://", "http://me:pass@");
    let token = vault().token(json!({ "ttl": "60s" }));
    let raw = json!({ "address": vault().url(), "auth": { "method": "token" }, "proxy": url });
    let environment = [("VAULT_TOKEN", token["client_token"].as_str().unwrap())];
    let by_proxy = observed(raw, &environment, Arc::new(leasehold_core::NoObserver));
    session(&*by_proxy).await;
    let asked = plain.asked();
    assert!(asked.iter().all(|request| request.path.starts_with(&vault().url())), "{asked:?}");
    let sent = header(&asked[0].headers, "proxy-authorization").unwrap();
    assert_eq!(sent, "Basic bWU6cGFzcw==");

    // A proxy that is not there is told from a store that is not there.
    through["proxy"] = json!(format!("http://{}", leasehold_harness::ports::free()));
    let error = refused(through).await;
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.detail.contains("the proxy refused the connection"), "{error}");
}
