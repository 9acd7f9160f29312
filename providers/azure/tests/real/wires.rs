//! A private CA, a proxy, and the clouds' own names.

use std::net::SocketAddr;
use std::sync::Arc;

use leasehold_core::{Kind, NoObserver};
use leasehold_harness::{Authority, ForwardProxy};
use leasehold_standins::Azure;
use serde_json::{Value, json};

use crate::given::{CLIENT, at, fetch, observed, ours, provider, raw, refused, session, text, with_secret};

/// Longer than a vault's name may be: nobody has it.
const VAULT: &str = "a-vault-that-nobody-can-register.vault.azure.net";
const LOGIN: &str = "login.microsoftonline.com";

fn behind(url: &str) -> SocketAddr {
    url.split_once("://").unwrap().1.parse().unwrap()
}

/// The cloud's own names, which lead to the stand-in.
fn led(azure: &Azure) -> ForwardProxy {
    let proxy = ForwardProxy::start();
    proxy.lead(VAULT, behind(&azure.address()));
    proxy.lead(LOGIN, behind(&azure.authority()));
    proxy
}

/// As a user would write it: no authority, no resource.
fn written(azure: &Azure, secret: &str) -> Value {
    json!({
        "address": format!("https://{VAULT}"),
        "auth": with_secret(secret),
        "tls": { "ca_file": azure.ca_file() },
    })
}

#[tokio::test]
async fn a_private_ca_is_trusted_where_it_is_named_and_no_other() {
    let azure = Azure::start();
    session(&*ours(&azure)).await;
    let strangers = Authority::new("strangers");
    for tls in [json!({}), json!({ "ca_file": strangers.ca_file() })] {
        let mut raw = raw(&azure, with_secret("canary"));
        raw["tls"] = tls;
        let error = refused(&*provider(raw)).await;
        assert_eq!(error.kind, Kind::Unavailable, "{error}");
        assert!(error.detail.contains("tls.ca_file"), "{error}");
    }
}

#[tokio::test]
async fn a_server_name_that_the_vault_does_not_have_is_said() {
    let azure = Azure::start();
    let secret = azure.register_client(CLIENT);
    let mut raw = raw(&azure, with_secret(&secret));
    raw["tls"]["server_name"] = json!(VAULT);
    session(&*provider(raw.clone())).await;
    raw["tls"]["server_name"] = json!("other.test");
    let error = refused(&*provider(raw)).await;
    assert!(error.detail.contains("the vault at") && error.detail.contains("tls.server_name"), "{error}");
}

#[tokio::test]
async fn vault_and_authority_are_reached_by_their_own_names_through_a_proxy() {
    let azure = Azure::start();
    azure.put_secret("db", "open");
    let secret = azure.register_client(CLIENT);
    let proxy = led(&azure);
    let mut raw = written(&azure, &secret);
    raw["proxy"] = json!(proxy.url());
    let by_proxy = provider(raw);
    let session = session(&*by_proxy).await;
    assert_eq!(text(&fetch(&*by_proxy, &session, &at("db")).await.unwrap(), "value"), "open");
    let asked = proxy.asked();
    assert!(asked.iter().all(|request| request.method == "CONNECT"), "nothing but tunnels is seen");
    let hosts: Vec<&str> = asked.iter().map(|request| request.path.as_str()).collect();
    assert!(hosts.contains(&format!("{VAULT}:443").as_str()), "{hosts:?}");
    assert!(hosts.contains(&"login.microsoftonline.com:443"), "{hosts:?}");
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_used_but_for_what_no_proxy_names() {
    let azure = Azure::start();
    let secret = azure.register_client(CLIENT);
    let proxy = led(&azure);
    let url = proxy.url();
    let through = [("HTTPS_PROXY", url.as_str())];
    session(&*observed(written(&azure, &secret), &through, Arc::new(NoObserver))).await;
    let before = proxy.asked().len();
    assert!(before >= 2, "vault and authority");
    // Whether the vault's name is resolved, and how soon, is up to this network: the proxy is not asked.
    let direct = [("HTTPS_PROXY", url.as_str()), ("NO_PROXY", ".vault.azure.net")];
    let error = refused(&*observed(written(&azure, &secret), &direct, Arc::new(NoObserver))).await;
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
    assert!(error.detail.contains("the vault at") && !error.detail.contains("proxy"), "{error}");
    assert_eq!(proxy.asked().len(), before);
}

#[tokio::test]
async fn a_managed_identity_is_never_asked_through_a_proxy() {
    let azure = Azure::start();
    azure.register_identity("own");
    let proxy = led(&azure);
    let imds = azure.imds();
    let environment = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.as_str())];
    let mut raw = written(&azure, "unused");
    raw["auth"] = json!({});
    raw["proxy"] = json!(proxy.url());
    session(&*observed(raw, &environment, Arc::new(NoObserver))).await;
    let asked = proxy.asked();
    assert!(asked.iter().all(|request| request.path.starts_with(VAULT)), "{asked:?}");
}

#[tokio::test]
async fn a_sovereign_cloud_has_an_authority_and_a_resource_of_its_own() {
    let azure = Azure::start();
    let secret = azure.register_client(CLIENT);
    let proxy = ForwardProxy::start();
    // The name is its own; what answers has a certificate of other names, so the test says which.
    proxy.lead("team.vault.azure.cn", behind(&azure.address()));
    azure.set_resource("https://vault.azure.cn");
    let mut raw = written(&azure, &secret);
    raw["address"] = json!("https://team.vault.azure.cn");
    raw["tls"]["server_name"] = json!(VAULT);
    raw["proxy"] = json!(proxy.url());
    raw["authority"] = json!(azure.authority());
    session(&*provider(raw.clone())).await;
    // A challenge of another cloud is refused before anything is shown to an authority.
    azure.set_resource("https://vault.azure.net");
    azure.forget_requests();
    assert_eq!(refused(&*provider(raw)).await.kind, Kind::Invalid);
    assert_eq!(azure.requests_of(leasehold_standins::Part::Authority).len(), 0);
}
