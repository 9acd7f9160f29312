//! TLS with a private CA, and proxies.

use std::sync::Arc;

use leasehold_core::{Kind, NoObserver, Provider};
use leasehold_harness::moto::Moto;
use leasehold_harness::pki::{Authority, Certificate};
use leasehold_harness::{ForwardProxy, ports};
use serde_json::{Value, json};

use crate::given::{KEYS, Store, at, fetch, observed};

fn provider(endpoint: &str, more: Value, environment: &[(&str, &str)]) -> Box<dyn Provider> {
    let mut raw = json!({ "region": Moto::REGION, "endpoint": endpoint });
    raw.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let environment: Vec<(&str, &str)> = KEYS.iter().chain(environment).copied().collect();
    observed(Store::Secrets, raw, &environment, Arc::new(NoObserver))
}

/// Absent: the store was reached, and knows no such secret.
async fn outcome(provider: &dyn Provider) -> (Kind, String) {
    let error = fetch(provider, &at("nothing-there")).await.unwrap_err();
    (error.kind, error.detail)
}

#[tokio::test]
async fn a_private_ca_is_trusted_where_it_is_named_and_no_other_straight_or_through_a_tunnel() {
    let (ours, strangers) = (Authority::new("ours"), Authority::new("strangers"));
    let Certificate { certificate, key } = ours.issue("aws.test");
    let moto = Moto::start_with_tls(&certificate, &key);
    let endpoint = format!("https://{}", moto.address());
    let trusting = json!({ "tls": { "ca_file": ours.ca_file() } });
    assert_eq!(outcome(&*provider(&endpoint, trusting.clone(), &[])).await.0, Kind::Absent);
    let ca = ours.ca_file();
    let bundle = [("AWS_CA_BUNDLE", ca.to_str().unwrap())];
    assert_eq!(outcome(&*provider(&endpoint, json!({}), &bundle)).await.0, Kind::Absent);
    for tls in [json!({}), json!({ "ca_file": strangers.ca_file() })] {
        let (kind, detail) = outcome(&*provider(&endpoint, json!({ "tls": tls }), &[])).await;
        assert_eq!(kind, Kind::Unavailable, "{detail}");
        assert!(detail.contains("tls.ca_file"), "{detail}");
    }
    let (kind, detail) =
        outcome(&*provider(&endpoint, json!({ "tls": { "ca_file": "/no/such/file" } }), &[])).await;
    assert_eq!(kind, Kind::Invalid, "{detail}");

    let tunnel = ForwardProxy::start();
    let mut through = trusting;
    through["proxy"] = json!(tunnel.url());
    assert_eq!(outcome(&*provider(&endpoint, through, &[])).await.0, Kind::Absent);
    let asked: Vec<String> =
        tunnel.asked().into_iter().map(|one| format!("{} {}", one.method, one.path)).collect();
    assert_eq!(asked, [format!("CONNECT {}", moto.address())], "nothing but the tunnel is seen");
}

#[tokio::test]
async fn the_environments_proxy_is_asked_unless_no_proxy_names_the_store() {
    let tunnel = ForwardProxy::start();
    // Nobody listens there. (Looked up, the name could take longer than a connection may.)
    tunnel.lead("store.invalid", ports::free());
    let url = tunnel.url();
    let endpoint = "https://store.invalid:8443";
    let (kind, detail) = outcome(&*provider(endpoint, json!({}), &[("HTTPS_PROXY", &url)])).await;
    assert_eq!(kind, Kind::Unavailable, "{detail}");
    assert!(detail.contains("proxy"), "{detail}");
    assert_eq!(tunnel.asked().len(), 1);
    for spared in ["store.invalid", ".invalid", "store.invalid:8443"] {
        let environment = [("HTTPS_PROXY", url.as_str()), ("NO_PROXY", spared)];
        let (kind, detail) = outcome(&*provider(endpoint, json!({}), &environment)).await;
        assert_eq!(kind, Kind::Unavailable, "{detail}");
        assert!(!detail.contains("proxy"), "{detail}");
    }
    assert_eq!(tunnel.asked().len(), 1);
    let nobody = json!({ "proxy": format!("http://{}", ports::free()) });
    let (_, detail) = outcome(&*provider(endpoint, nobody, &[])).await;
    assert!(detail.contains("the proxy refused the connection"), "{detail}");
}
