use serde_json::{Value, json};

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    Environment::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn parse(raw: Value, pairs: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
    let raw: Raw = serde_json::from_value(raw).expect("it has the shape of a provider");
    Settings::parse("azure", raw, &environment(pairs))
}

fn keys(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.key.as_str()).collect()
}

fn identity(raw: Value, pairs: &[(&str, &str)]) -> String {
    parse(raw, pairs).expect("it is valid").identity()
}

const VAULT: &str = "https://team.vault.azure.net";
const OURS: [(&str, &str); 2] = [("AZURE_TENANT_ID", "t-1"), ("AZURE_CLIENT_ID", "c-1")];

/// The variables of an identity, and these.
fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    OURS.into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn the_default_is_the_first_credential_that_is_set_in_the_order_of_azure() {
    let all = [
        ("AZURE_CLIENT_SECRET", "canary-secret"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/t"),
    ];
    for (set, method) in [
        (&all[..], "client-secret"),
        (&all[1..], "client-certificate"),
        (&all[2..], "workload-identity"),
        (&all[3..], "managed-identity"),
    ] {
        let shown = identity(json!({ "address": VAULT }), &with(set));
        assert!(shown.contains(&format!("auth={method} ")), "{shown}");
        assert!(shown.contains("tenant=t-1 client=c-1"), "{shown}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[test]
fn what_is_written_wins_over_the_environment() {
    let raw = json!({
        "address": VAULT,
        "auth": { "tenant_id": "t-2", "client_id": "c-2", "token_file": "/mine" },
    });
    let settings = parse(raw, &with(&[("AZURE_CLIENT_SECRET", "canary-secret")])).unwrap();
    let shown = settings.identity();
    assert!(shown.contains("auth=workload-identity "), "{shown}");
    assert!(shown.contains("tenant=t-2 client=c-2"), "{shown}");
    assert!(!format!("{settings:?}").contains("canary"));
    let asked = json!({ "address": VAULT, "auth": { "method": "managed-identity" } });
    let shown = identity(asked, &with(&[("AZURE_CLIENT_SECRET", "canary-secret")]));
    assert!(shown.contains("auth=managed-identity "), "{shown}");
}

#[test]
fn the_cloud_is_that_of_the_address_and_brings_its_authority() {
    let managed = |raw: Value| identity(raw, &[]);
    for (address, authority) in [
        (VAULT, "https://login.microsoftonline.com/"),
        ("https://team.vault.usgovcloudapi.net", "https://login.microsoftonline.us/"),
        ("https://team.vault.azure.cn", "https://login.chinacloudapi.cn/"),
    ] {
        assert!(managed(json!({ "address": address })).contains(&format!("at={authority} ")), "{address}");
    }
    let own = json!({ "address": "https://team.vault.local", "cloud": "china" });
    let host = [("AZURE_AUTHORITY_HOST", "https://login.local/")];
    assert!(identity(own, &host).contains("at=https://login.chinacloudapi.cn/ "));
    assert!(identity(json!({ "address": VAULT }), &host).contains("at=https://login.local/ "));
    let own = json!({ "address": VAULT, "authority": "https://login.file" });
    assert!(identity(own, &host).contains("at=https://login.file/ "));
    let other = parse(json!({ "address": VAULT, "cloud": "china" }), &[]).unwrap_err();
    assert_eq!(keys(&other), ["cloud"]);
}

#[test]
fn every_problem_is_reported_at_once_and_no_value_repeated() {
    let raw = json!({
        "address": "http://canary.vault.azure.net",
        "authority": "http://login.canary",
        "resource": "canary",
        "auth": {
            "method": "workload-identity",
            "tenant_id": "canary tenant",
            "client_id": "canary client",
            "client_secret": "canary",
        },
        "tls": { "client_certificate": "/canary" },
        "proxy": "socks5://canary",
    });
    let problems = parse(raw, &[]).unwrap_err();
    assert_eq!(
        keys(&problems),
        [
            "address",
            "authority",
            "resource",
            "tls.client_key",
            "proxy",
            "auth.tenant_id",
            "auth.client_id",
            "auth.client_secret",
            "auth.token_file",
        ]
    );
    assert!(problems.iter().all(|problem| !problem.message.contains("canary")), "{problems:?}");
}

#[test]
fn what_a_credential_needs_and_lacks_is_a_problem() {
    for (auth, key) in [
        (json!({ "method": "client-secret", "client_id": "c" }), "auth.client_secret_file"),
        (json!({ "method": "client-secret", "client_secret": "s" }), "auth.client_id"),
        (
            json!({ "method": "client-secret", "client_id": "c", "client_secret": "s", "client_secret_file": "/s" }),
            "auth.client_secret",
        ),
        (json!({ "method": "client-certificate", "client_id": "c" }), "auth.certificate_file"),
        (json!({ "method": "workload-identity", "token_file": "/t" }), "auth.client_id"),
        (json!({ "method": "managed-identity", "token_file": "/t" }), "auth.token_file"),
    ] {
        let problems = parse(json!({ "address": VAULT, "auth": auth }), &[]).unwrap_err();
        assert_eq!(keys(&problems), [key], "{problems:?}");
    }
    let arc =
        [("IDENTITY_ENDPOINT", "http://127.0.0.1:40342/x"), ("IMDS_ENDPOINT", "http://127.0.0.1:40342")];
    assert_eq!(keys(&parse(json!({ "address": VAULT }), &arc).unwrap_err()), ["auth.method"]);
    assert_eq!(keys(&parse(json!({}), &[]).unwrap_err()), ["address"]);
}

#[test]
fn a_token_file_of_another_takes_the_place_of_the_pods_own() {
    let raw = json!({ "address": VAULT, "auth": { "client_id": "c", "token_file": "/t" } });
    let settings = parse(raw, &[]).unwrap();
    assert_ne!(settings.clone().with_jwt_file("/other".into()).unwrap(), settings);
    let managed = parse(json!({ "address": VAULT }), &[]).unwrap();
    assert_eq!(managed.with_jwt_file("/other".into()).unwrap_err().key, "auth.method");
}
