//! How one comes to a token: assertions, self-signed tokens, refresh tokens, exchange, impersonation.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_standins::{Cluster, Google, KeyPair};
use serde_json::{Value, json};

use super::{Stage, error, oauth_error, token_of};
use crate::client::Answer;
use crate::now;

const HOUR: Duration = Duration::from_secs(3600);

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn claims_of(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

#[test]
fn a_service_account_gets_a_token_for_its_own_assertion_alone() {
    let stage = Stage::new();
    let key: Value = stage.google.service_account_key(&stage.email);
    let file = std::fs::read(stage.google.service_account_file(&stage.email)).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&file).unwrap(), key);
    // An hour is the longest: a second that begins between two looks at the clock would make it longer.
    let start = now();
    let claims = json!({
        "iss": stage.email, "scope": Google::SCOPE, "aud": stage.google.token_uri(), "iat": start,
        "exp": start + 3600,
    });
    let ask = |assertion: &str| {
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let fields = [("grant_type", grant), ("assertion", assertion)];
        stage.client.post_form(&stage.google.token_uri(), &fields)
    };
    let sign = |claims: &Value| ask(&stage.google.sign_as(&stage.email, claims));
    assert!(stage.reads_with(&token_of(&sign(&claims))));

    let id = key["private_key_id"].as_str().unwrap();
    let forged = ask(&KeyPair::new("stranger").token(&[("kid", id)], &claims));
    assert_eq!(oauth_error(&forged), (400, "invalid_grant"));
    for (claim, wrong) in [
        ("iss", json!("nobody@leasehold-tests.iam.gserviceaccount.com")),
        ("aud", json!("https://elsewhere/token")),
        ("exp", json!(now() - 1)),
        ("exp", json!(now() + 7200)),
        ("exp", Value::Null),
        ("iat", Value::Null),
        ("iat", json!(now() + 1800)),
    ] {
        let refused = sign(&with(&claims, claim, wrong.clone()));
        assert_eq!(oauth_error(&refused), (400, "invalid_grant"), "{claim} {wrong}");
    }
    assert_eq!(oauth_error(&sign(&with(&claims, "scope", Value::Null))), (400, "invalid_scope"));
    assert_eq!(oauth_error(&ask("no.token.here")), (400, "invalid_grant"));

    let mut identity = with(&claims, "target_audience", json!("vault/role"));
    identity.as_object_mut().unwrap().remove("scope");
    let answer = sign(&identity);
    let token = answer.json["id_token"].as_str().unwrap();
    assert_eq!(claims_of(token)["aud"], "vault/role");
    assert!(!stage.reads_with(token), "an identity token reads nothing");
}

#[test]
fn a_token_signed_by_the_account_itself_is_good_for_this_service_alone() {
    let stage = Stage::new();
    let start = now();
    let claims = json!({
        "iss": stage.email, "sub": stage.email, "aud": "https://secretmanager.googleapis.com/",
        "iat": start, "exp": start + 3600,
    });
    let good = |claims: &Value| stage.reads_with(&stage.google.sign_as(&stage.email, claims));
    assert!(good(&claims));
    let mut scoped = with(&claims, "scope", json!(Google::SCOPE));
    assert!(!good(&scoped), "scope and audience at once");
    scoped.as_object_mut().unwrap().remove("aud");
    assert!(good(&scoped));
    assert!(!good(&with(&scoped, "scope", json!("https://www.googleapis.com/auth/devstorage.read_only"))));
    for (claim, wrong) in [
        ("aud", json!("https://storage.googleapis.com/")),
        ("aud", json!("https://secretmanager.googleapis.com")),
        ("sub", json!("another")),
        ("iss", json!("nobody@leasehold-tests.iam.gserviceaccount.com")),
        ("exp", json!(now() - 1)),
        ("exp", json!(now() + 7200)),
        ("iat", Value::Null),
    ] {
        assert!(!good(&with(&claims, claim, wrong.clone())), "{claim} {wrong}");
    }
    let key = stage.google.service_account_key(&stage.email);
    let id = key["private_key_id"].as_str().unwrap();
    assert!(!stage.reads_with(&KeyPair::new("stranger").token(&[("kid", id)], &claims)));
    stage.google.revoke_tokens();
    assert!(!good(&claims));
}

#[test]
fn a_refresh_token_belongs_to_its_client() {
    let stage = Stage::new();
    let user = stage.google.register_user("ada@example.org");
    let ask = |changed: Option<(&str, &str)>| {
        let field = |name: &'static str| {
            let own = user[name].as_str().unwrap();
            (name, changed.filter(|(other, _)| *other == name).map_or(own, |(_, value)| value))
        };
        let own = ["refresh_token", "client_id", "client_secret"].map(field);
        stage
            .client
            .post_form(&stage.google.token_uri(), &[&[("grant_type", "refresh_token")], &own[..]].concat())
    };
    assert!(stage.reads_with(&token_of(&ask(None))));
    assert_eq!(oauth_error(&ask(Some(("refresh_token", "1//x")))), (400, "invalid_grant"));
    assert_eq!(oauth_error(&ask(Some(("client_id", "x")))), (401, "invalid_client"));
    assert_eq!(oauth_error(&ask(Some(("client_secret", "x")))), (401, "invalid_client"));
    let password = [("grant_type", "password")];
    let answer = stage.client.post_form(&stage.google.token_uri(), &password);
    assert_eq!(oauth_error(&answer), (400, "unsupported_grant_type"));
    assert_eq!(
        oauth_error(&stage.client.post_form(&stage.google.token_uri(), &[])),
        (400, "invalid_request")
    );
}

/// A stage with a cluster, one subject of which is registered; the provider's name.
fn federated() -> (Stage, Cluster, String) {
    let (stage, cluster) = (Stage::new(), Cluster::new("https://oidc.cluster.test/"));
    let provider = stage.google.register_federated(&cluster, SUBJECT);
    (stage, cluster, provider)
}

const SUBJECT: &str = "system:serviceaccount:shop:web";

fn exchange(stage: &Stage, provider: &str, token: &str, changed: Option<(&str, &str)>) -> Answer {
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("audience", provider),
        ("scope", Google::SCOPE),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
    ];
    let change =
        |(name, value)| (name, changed.filter(|(other, _)| *other == name).map_or(value, |(_, value)| value));
    stage.client.post_form(&format!("{}/v1/token", stage.google.sts()), &fields.map(change))
}

#[test]
fn a_clusters_token_is_exchanged_for_one_of_googles() {
    let (stage, cluster, provider) = federated();
    let token = cluster.token(SUBJECT, &format!("https:{provider}"), HOUR);
    let answer = exchange(&stage, &provider, &token, None);
    assert!(stage.reads_with(&token_of(&answer)));
    assert_eq!(answer.json["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    token_of(&exchange(&stage, &provider, &cluster.token(SUBJECT, &provider, HOUR), None));

    let in_json = json!({
        "grantType": "urn:ietf:params:oauth:grant-type:token-exchange", "audience": provider,
        "scope": Google::SCOPE, "subjectToken": token,
        "requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
        "subjectTokenType": "urn:ietf:params:oauth:token-type:jwt",
    });
    token_of(&stage.client.post_json(&format!("{}/v1/token", stage.google.sts()), "", &in_json));

    for (field, value, expected) in [
        ("grant_type", "refresh_token", (400, "unsupported_grant_type")),
        ("audience", "https://iam.googleapis.com/projects/1", (400, "invalid_request")),
        ("audience", "//iam.googleapis.com/projects/1/locations/global/elsewhere", (400, "invalid_target")),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:id_token", (400, "invalid_request")),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:saml2", (400, "invalid_request")),
        ("scope", "", (400, "invalid_request")),
    ] {
        let answer = exchange(&stage, &provider, &token, Some((field, value)));
        assert_eq!(oauth_error(&answer), expected, "{field}");
    }
    let audience = format!("https:{provider}");
    let stranger = Cluster::new(cluster.issuer());
    for (token, expected) in [
        (cluster.token(SUBJECT, "vault", HOUR), (400, "invalid_grant")),
        (cluster.token(SUBJECT, &audience, Duration::ZERO), (400, "invalid_grant")),
        (stranger.token(SUBJECT, &audience, HOUR), (400, "invalid_grant")),
    ] {
        assert_eq!(oauth_error(&exchange(&stage, &provider, &token, None)), expected);
    }
    let other = cluster.token("system:serviceaccount:shop:db", &audience, HOUR);
    assert_eq!(oauth_error(&exchange(&stage, &provider, &other, None)), (401, "unauthorized_client"));
    stage.google.refuse(&Google::federated_principal(SUBJECT));
    let refused = token_of(&exchange(&stage, &provider, &token, None));
    assert!(!stage.reads_with(&refused), "a token is no right to read");
}

#[test]
fn a_federated_subject_acts_as_a_service_account_where_it_is_let() {
    let (stage, cluster, provider) = federated();
    let token = token_of(&exchange(&stage, &provider, &cluster.token(SUBJECT, &provider, HOUR), None));
    let ask = |method: &str, token: &str, body: &Value| {
        let url = format!("{}/v1/projects/-/serviceAccounts/{}:{method}", stage.google.iam(), stage.email);
        stage.client.post_json(&url, token, body)
    };
    let scope = json!({ "scope": [Google::SCOPE], "lifetime": "600s" });
    let denied = (403, "PERMISSION_DENIED", Some("IAM_PERMISSION_DENIED"));
    assert_eq!(error(&ask("generateAccessToken", &token, &scope)), denied);
    stage.google.let_impersonate(&Google::federated_principal(SUBJECT), &stage.email);
    let answer = ask("generateAccessToken", &token, &scope);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.json["expireTime"].as_str().unwrap().ends_with('Z'));
    let account = answer.json["accessToken"].as_str().unwrap();
    assert!(stage.reads_with(account));
    assert_eq!(error(&ask("generateAccessToken", account, &scope)), denied, "not for itself");
    assert_eq!(error(&ask("generateAccessToken", "none", &scope)).0, 401);
    for wrong in [json!({}), json!({ "scope": [Google::SCOPE], "lifetime": "7200s" })] {
        assert_eq!(error(&ask("generateAccessToken", &token, &wrong)).1, "INVALID_ARGUMENT", "{wrong}");
    }

    let payload = json!({ "sub": stage.email, "aud": "vault/role", "exp": now() + 600 });
    let signed = ask("signJwt", &token, &json!({ "payload": payload.to_string() }));
    let jwt = signed.json["signedJwt"].as_str().unwrap();
    assert_eq!(claims_of(jwt), payload);
    let key = stage.google.service_account_key(&stage.email);
    assert_eq!(signed.json["keyId"], key["private_key_id"]);
    assert_eq!(jwt, stage.google.sign_as(&stage.email, &payload), "RS256 signs the same the same way");
    for wrong in
        [json!({ "payload": payload }), json!({ "payload": json!({ "exp": now() + 86_400 }).to_string() })]
    {
        assert_eq!(error(&ask("signJwt", &token, &wrong)).1, "INVALID_ARGUMENT", "{wrong}");
    }
    let identity = ask("generateIdToken", &token, &json!({ "audience": "vault/role" }));
    assert_eq!(claims_of(identity.json["token"].as_str().unwrap())["aud"], "vault/role");
}
