//! `tls` and `proxy` hold for every request, those of the log-in included.

use std::sync::Arc;

use leasehold_core::{Kind, NoObserver, Provider};
use leasehold_harness::ForwardProxy;
use leasehold_harness::pki::Authority;
use leasehold_harness::tmpfs::{Folder, tmpfs};
use leasehold_standins::Google;
use serde_json::{Value, json};

use crate::given::{at, fetch, observed, provider, raw, refused, session, value};

/// A stand-in with one secret, and the log-in of a user there: its token comes over TLS, too.
fn google(folder: &Folder, host: &str) -> (Google, Value) {
    let google = Google::start();
    google.put_secret("key", "value");
    let mut user = google.register_user("anna@example.com");
    user["token_uri"] = json!(google.token_uri().replace("127.0.0.1", host));
    let file = folder.join("user.json");
    std::fs::write(&file, user.to_string()).unwrap();
    let endpoint = google.endpoint().replace("127.0.0.1", host);
    let raw = raw(&google, json!({ "credentials_file": file, "endpoint": endpoint }));
    (google, raw)
}

async fn reads(provider: &dyn Provider) {
    let session = session(provider).await;
    assert_eq!(value(&fetch(provider, &session, &at("key")).await.unwrap()), b"value");
}

#[tokio::test]
async fn a_private_ca_is_trusted_where_it_is_named_and_no_other() {
    let folder = tmpfs();
    let (_google, raw) = google(&folder, "127.0.0.1");
    let trusting = provider(raw.clone());
    reads(&*trusting).await;
    let session = session(&*trusting).await;
    let strangers = Authority::new("strangers");
    for tls in [json!({}), json!({ "ca_file": strangers.ca_file() })] {
        let mut raw = raw.clone();
        raw["tls"] = tls;
        let provider = provider(raw);
        let error = refused(&*provider).await;
        assert_eq!(error.kind, Kind::Unavailable, "{error}");
        assert!(error.detail.contains("tls.ca_file"), "{error}");
        let error = fetch(&*provider, &session, &at("key")).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable, "{error}");
    }
}

#[tokio::test]
async fn a_proxy_tunnels_the_log_in_and_the_reads() {
    let folder = tmpfs();
    let (google, mut raw) = google(&folder, "127.0.0.1");
    let proxy = ForwardProxy::start();
    raw["proxy"] = json!(proxy.url());
    reads(&*provider(raw.clone())).await;
    let asked: Vec<_> = proxy.asked().into_iter().map(|request| (request.method, request.path)).collect();
    let to = |url: String| ("CONNECT".to_owned(), url.trim_start_matches("https://").replace("/token", ""));
    assert_eq!(asked, [to(google.token_uri()), to(google.endpoint())]);

    raw["proxy"] = json!(format!("http://{}", leasehold_harness::ports::free()));
    let error = refused(&*provider(raw)).await;
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.detail.contains("the proxy refused the connection"), "{error}");
}

/// 0.0.0.0 is this machine as well, and no loopback address, which is never proxied by the environment.
#[tokio::test]
async fn the_environments_proxy_is_used_but_for_what_no_proxy_names() {
    let folder = tmpfs();
    let (_google, mut raw) = google(&folder, "0.0.0.0");
    raw["tls"]["server_name"] = json!("127.0.0.1");
    for (no_proxy, tunnels) in [("", 2), ("10.0.0.0/8,0.0.0.0/8", 0)] {
        let proxy = ForwardProxy::start();
        let url = proxy.url();
        let environment = [("HTTPS_PROXY", url.as_str()), ("NO_PROXY", no_proxy)];
        reads(&*observed(raw.clone(), &environment, Arc::new(NoObserver))).await;
        assert_eq!(proxy.asked().len(), tunnels, "NO_PROXY={no_proxy}");
    }
}

#[tokio::test]
async fn the_metadata_server_is_never_asked_through_a_proxy() {
    let folder = tmpfs();
    let (google, mut raw) = google(&folder, "127.0.0.1");
    google.register_machine(&google.register_service_account("node"));
    let proxy = ForwardProxy::start();
    raw.as_object_mut().unwrap().remove("credentials_file");
    raw["proxy"] = json!(proxy.url());
    let host = google.metadata().replace("http://", "");
    reads(&*observed(raw, &[("GCE_METADATA_HOST", &host)], Arc::new(NoObserver))).await;
    let asked: Vec<_> = proxy.asked().into_iter().map(|request| request.method).collect();
    assert_eq!(asked, ["CONNECT"], "the read alone");
}
