use leasehold_core::{Cloud, Environment, Problem, ProviderSettings};
use schemars::schema_for;
use serde_json::{Value, json};

use super::{Raw, Settings};

fn parse_in(raw: Value, variables: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
    let environment =
        Environment::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Settings::parse("vault", serde_json::from_value(raw).unwrap(), &environment)
}

fn parse(raw: Value) -> Result<Settings, Vec<Problem>> {
    parse_in(raw, &[])
}

fn keys(raw: Value) -> Vec<String> {
    parse(raw).unwrap_err().into_iter().map(|problem| problem.key).collect()
}

fn good() -> Value {
    json!({ "address": "https://vault:8200", "auth": { "method": "kubernetes", "role": "web" } })
}

#[test]
fn the_file_wins_over_the_environment() {
    let variables = [
        ("VAULT_ADDR", "https://elsewhere:8200"),
        ("VAULT_NAMESPACE", "elsewhere"),
        ("VAULT_CACERT", "/etc/ca.pem"),
        ("VAULT_TLS_SERVER_NAME", "vault.example"),
        ("VAULT_TOKEN", "t"),
    ];
    let from_environment = parse_in(json!({}), &variables).unwrap();
    assert_eq!(
        from_environment.identity().split(" as=").next(),
        Some("vault https://elsewhere:8200 namespace=elsewhere auth=token mount=token in=")
    );
    assert_eq!(from_environment.transport.tls.ca.as_deref(), Some(std::path::Path::new("/etc/ca.pem")));
    assert!(from_environment.transport.tls.server_name.is_some());
    let mut raw = good();
    raw["namespace"] = json!("team");
    raw["tls"] = json!({ "ca_file": "/own.pem" });
    let from_file = parse_in(raw, &variables).unwrap();
    let identity = from_file.identity();
    assert_eq!(
        identity,
        "vault https://vault:8200 namespace=team auth=kubernetes mount=kubernetes in= as=web"
    );
    assert_eq!(from_file.transport.tls.ca.as_deref(), Some(std::path::Path::new("/own.pem")));
}

#[test]
fn every_problem_is_reported_at_once_and_none_repeats_a_value() {
    let raw = json!({
        "address": "canary://canary",
        "namespace": "a b canary",
        "proxy": "socks5://canary",
        "tls": { "client_certificate": "/canary.pem", "server_name": "canary canary" },
        "auth": { "method": "approle", "secret_id": "canary", "secret_id_file": "/canary", "mount": "a//canary" },
    });
    let problems = parse(raw).unwrap_err();
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "address",
            "namespace",
            "tls.server_name",
            "tls.client_key",
            "proxy",
            "auth.role_id",
            "auth.secret_id",
            "auth.mount"
        ]
    );
    for problem in problems {
        assert!(!problem.message.contains("canary"), "{problem:?}");
        assert!(!problem.message.ends_with('.'), "{problem:?}");
    }
}

#[test]
fn each_method_names_what_it_lacks() {
    for (auth, expected) in [
        (json!({ "method": "token" }), &["auth.token_file"][..]),
        (json!({ "method": "approle" }), &["auth.role_id"]),
        (json!({ "method": "approle", "role_id": "a", "wrapped": true }), &["auth.secret_id"]),
        (
            json!({ "method": "approle", "role_id": "", "secret_id": "\n" }),
            &["auth.role_id", "auth.secret_id"],
        ),
        (json!({ "method": "kubernetes", "role": " " }), &["auth.role"]),
        (json!({ "method": "jwt", "role": "", "token_file": "/t" }), &["auth.role"]),
        (json!({ "method": "userpass", "username": "a" }), &["auth.password"]),
        (json!({ "method": "ldap", "username": "a/b", "password": "x" }), &["auth.username"]),
        (json!({ "method": "cert" }), &["auth.method"]),
        (
            json!({
                "method": "aws", "role": "", "region": "eu west 1", "server_id": "a\nb",
                "sts_endpoint": "sts.example", "role_arn": "arn:aws:iam::1:user/web", "ca_file": "",
            }),
            &[
                "auth.role",
                "auth.region",
                "auth.server_id",
                "auth.sts_endpoint",
                "auth.role_arn",
                "auth.ca_file",
            ],
        ),
        (json!({ "method": "aws", "role": "web", "ca_file": "" }), &["auth.ca_file"]),
        (
            json!({ "method": "gcp", "role": "web", "service_account": "web", "endpoint": "https://a@b/" }),
            &["auth.service_account", "auth.endpoint"],
        ),
        (json!({ "method": "gcp", "role": "web", "audience": "https://store/vault/we" }), &["auth.audience"]),
        (
            json!({ "method": "azure", "role": " ", "resource": "", "client_id": "" }),
            &["auth.role", "auth.resource", "auth.client_id"],
        ),
    ] {
        let shown = auth.to_string();
        assert_eq!(keys(json!({ "address": "https://vault", "auth": auth })), expected, "{shown}");
    }
    assert_eq!(keys(json!({ "address": "https://vault" })), ["auth"]);
    assert_eq!(keys(json!({})), ["address", "auth"]);
}

#[test]
fn a_token_of_the_environment_that_is_no_header_value_is_a_problem() {
    let raw = json!({ "address": "https://vault", "auth": { "method": "token" } });
    assert!(
        parse_in(raw.clone(), &[("VAULT_TOKEN", "hvs.abc\n")]).is_ok(),
        "a newline at the end is trimmed"
    );
    for bad in ["two words", "a\nb", "ü"] {
        let problems = parse_in(raw.clone(), &[("VAULT_TOKEN", bad)]).unwrap_err();
        assert_eq!(problems[0].key, "auth.token_file");
        assert!(!problems[0].message.contains(bad));
    }
}

#[test]
fn cert_needs_tls_and_a_client_certificate() {
    let raw = json!({
        "address": "http://vault:8200",
        "auth": { "method": "cert" },
        "tls": { "client_certificate": "/c", "client_key": "/k" },
    });
    assert_eq!(keys(raw), ["auth.method"]);
}

#[test]
fn an_identity_tells_log_ins_apart_and_holds_no_credential() {
    let with =
        |auth: Value| parse(json!({ "address": "https://vault:8200", "auth": auth })).unwrap().identity();
    let one = with(json!({ "method": "approle", "role_id": "canary-1", "secret_id": "canary-2" }));
    let two = with(json!({ "method": "approle", "role_id": "canary-3", "secret_id": "canary-2" }));
    let three = with(json!({ "method": "approle", "role_id": "canary-1", "secret_id": "canary-4" }));
    assert!(!one.contains("canary"), "{one}");
    assert_ne!(one, two);
    assert_eq!(one, three, "a new secret id is the same log-in");
    assert_ne!(
        with(json!({ "method": "userpass", "username": "a", "password": "x" })),
        with(json!({ "method": "ldap", "username": "a", "password": "x" }))
    );
    assert_ne!(
        with(json!({ "method": "kubernetes", "role": "web" })),
        with(json!({ "method": "kubernetes", "role": "web", "namespace": "admin" }))
    );
}

#[test]
fn a_token_of_another_identity_goes_with_kubernetes_and_jwt_only() {
    assert!(parse(good()).unwrap().with_jwt_file("/other".into()).is_ok());
    let raw = json!({ "address": "https://vault", "auth": { "method": "userpass", "username": "a", "password": "b" } });
    assert_eq!(parse(raw).unwrap().with_jwt_file("/other".into()).unwrap_err().key, "auth.method");
}

#[test]
fn unknown_keys_are_refused_everywhere() {
    for raw in [
        json!({ "adress": "https://vault" }),
        json!({ "tls": { "ca": "/x" } }),
        json!({ "auth": { "method": "kubernetes", "role": "web", "rolle": "web" } }),
        json!({ "auth": { "method": "kerberos" } }),
    ] {
        assert!(serde_json::from_value::<Raw>(raw.clone()).is_err(), "{raw}");
    }
}

#[test]
fn the_schema_offers_the_methods_there_are_each_with_its_own_keys() {
    let schema = serde_json::to_value(schema_for!(Raw)).unwrap();
    assert_eq!(schema["additionalProperties"], json!(false));
    let auth = &schema["$defs"]["VaultAuth"]["oneOf"];
    let methods: Vec<&str> = auth
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["properties"]["method"]["const"].as_str().unwrap())
        .collect();
    let all = ["token", "approle", "kubernetes", "jwt", "userpass", "ldap", "cert", "aws", "gcp", "azure"];
    assert_eq!(methods, all);
    for one in auth.as_array().unwrap() {
        assert_eq!(one["additionalProperties"], json!(false), "{one}");
        assert!(one["description"].is_string(), "{one}");
        assert!(one["properties"]["mount"]["description"].is_string(), "{one}");
    }
    assert_eq!(auth[2]["required"], json!(["method", "role"]));
}

#[test]
fn a_wrapped_secret_id_says_that_a_log_in_uses_it_up() {
    let with = |wrapped: bool| {
        let auth = json!({ "method": "approle", "role_id": "a", "secret_id": "b", "wrapped": wrapped });
        parse(json!({ "address": "https://vault", "auth": auth })).unwrap().unwraps()
    };
    assert!(with(true) && !with(false));
}

#[test]
fn a_clouds_login_says_whom_to_ask_for_a_proof_and_how() {
    let asked = |auth: Value| {
        let raw = json!({ "address": "https://vault", "proxy": "http://proxy:3128", "auth": auth });
        let settings = parse_in(raw, &[("AWS_REGION", "eu-west-1")]).unwrap();
        let request = settings.identity_request().cloned().unwrap();
        assert_eq!(request.environment.value("AWS_REGION"), Some("eu-west-1"));
        assert_eq!(request.proxy.as_deref(), Some("http://proxy:3128"));
        let identity = settings.identity();
        (request.cloud, request.ca_file, identity.split_once(" auth=").unwrap().1.to_owned())
    };
    let arn = "arn:aws:iam::123456789012:role/path/web";
    assert_eq!(
        asked(json!({
            "method": "aws", "role": "web", "region": "eu-west-1", "server_id": "vault.example",
            "sts_endpoint": "https://sts.example", "role_arn": arn, "ca_file": "/ca.pem", "mount": "aws/one",
        })),
        (
            Cloud::Aws {
                region: Some("eu-west-1".to_owned()),
                endpoint: Some("https://sts.example".to_owned()),
                server_id: Some("vault.example".to_owned()),
                role_arn: Some(arn.to_owned()),
            },
            Some("/ca.pem".into()),
            format!("aws mount=aws/one in= as=web by {arn}"),
        )
    );
    let account = "web@project.iam.gserviceaccount.com";
    assert_eq!(
        asked(json!({ "method": "gcp", "role": "web", "service_account": account })),
        (
            Cloud::Gcp {
                audience: "vault/web".to_owned(),
                service_account: Some(account.to_owned()),
                endpoint: None
            },
            None,
            format!("gcp mount=gcp in= as=web by {account}"),
        )
    );
    assert_eq!(
        asked(json!({ "method": "azure", "role": "web", "namespace": "team" })),
        (
            Cloud::Azure { resource: "https://management.azure.com/".to_owned(), client_id: None },
            None,
            "azure mount=azure in=team as=web".to_owned(),
        )
    );
    assert_eq!(parse(good()).unwrap().identity_request(), None);
}
