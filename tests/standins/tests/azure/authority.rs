//! The authority.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_standins::{Azure, Cluster, KeyPair};
use ring::digest;
use serde_json::{Value, json};

use super::{CLIENT, SCOPE, Stage, token_of};
use crate::client::Answer;
use crate::now;

const ASSERTION: (&str, &str) =
    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");

/// Status, OAuth's error, and the service's number.
fn refused(answer: &Answer) -> (u16, &str, u64) {
    let json = &answer.json;
    assert!(answer.json.get("access_token").is_none(), "{answer:?}");
    let description = json["error_description"].as_str().unwrap();
    let number = json["error_codes"][0].as_u64().unwrap();
    assert!(description.starts_with(&format!("AADSTS{number}: ")), "{description}");
    (answer.status, json["error"].as_str().unwrap(), number)
}

#[test]
fn a_client_secret_must_be_right_and_the_request_whole() {
    let stage = Stage::new();
    let good = stage.log_in(&[("client_secret", &stage.secret), ("scope", SCOPE)]);
    assert_eq!((good.status, good.json["token_type"].as_str()), (200, Some("Bearer")));
    assert_eq!(good.json["expires_in"], 3600);

    let ask = |fields: &[(&str, &str)]| stage.log_in(fields);
    let secret = ("client_secret", stage.secret.as_str());
    let wrong = ask(&[("client_secret", "guessed"), ("scope", SCOPE)]);
    assert_eq!(refused(&wrong), (401, "invalid_client", 7_000_215));
    assert_eq!(refused(&ask(&[("scope", SCOPE)])), (401, "invalid_client", 7_000_218));
    assert_eq!(refused(&ask(&[secret])), (400, "invalid_request", 900_144));
    for scope in ["https://vault.azure.net", "openid https://vault.azure.net/.default"] {
        let answer = ask(&[secret, ("scope", scope)]);
        assert_eq!(refused(&answer), (400, "invalid_scope", 1_002_012), "{scope}");
    }

    let fields = |grant, client| [("grant_type", grant), ("client_id", client), secret, ("scope", SCOPE)];
    let answer = stage.ask_for_token(Azure::TENANT, &fields("password", CLIENT));
    assert_eq!(refused(&answer).1, "unsupported_grant_type");
    let answer = stage.ask_for_token(Azure::TENANT, &fields("client_credentials", "another"));
    assert_eq!(refused(&answer), (400, "unauthorized_client", 700_016));
    let answer = stage.ask_for_token("no-such-tenant", &fields("client_credentials", CLIENT));
    assert_eq!(refused(&answer), (400, "invalid_request", 90002));
    let answer = stage.ask_for_token(Azure::OTHER_TENANT, &fields("client_credentials", CLIENT));
    assert_eq!(refused(&answer), (400, "unauthorized_client", 700_016));

    let url = format!("{}/{}/oauth2/v2.0/token", stage.azure.authority(), Azure::TENANT);
    let json = [("Content-Type", "application/json")];
    let body = format!("grant_type=client_credentials&client_id={CLIENT}&scope=x/.default&client_secret=x");
    let answer = stage.client.send("POST", &url, &json, body.as_bytes()).unwrap();
    assert_eq!(refused(&answer), (400, "invalid_request", 900_144), "a body that does not say it is a form");
    assert_eq!(stage.client.get(&url, &[]).status, 404);
}

#[test]
fn a_certificates_assertion_is_verified_in_every_part() {
    let stage = Stage::new();
    let pair = Arc::new(KeyPair::new("client"));
    stage.azure.register_certificate(CLIENT, &pair);
    stage.azure.put_secret("api-key", "one");
    let audience = format!("{}/{}/oauth2/v2.0/token", stage.azure.authority(), Azure::TENANT);
    let claims = json!({
        "aud": audience, "iss": CLIENT, "sub": CLIENT, "jti": "1", "nbf": now(), "exp": now() + 600,
    });
    let thumbprint =
        |pair: &KeyPair, algorithm| URL_SAFE_NO_PAD.encode(digest::digest(algorithm, pair.certificate_der()));
    let sha1 = thumbprint(&pair, &digest::SHA1_FOR_LEGACY_USE_ONLY);
    let sha256 = thumbprint(&pair, &digest::SHA256);
    let ask =
        |assertion: String| stage.log_in(&[("scope", SCOPE), ASSERTION, ("client_assertion", &assertion)]);

    for header in [("x5t", sha1.as_str()), ("x5t#S256", sha256.as_str())] {
        let token = token_of(&ask(pair.token(&[header], &claims)));
        assert_eq!(stage.read("secrets/api-key", &token).status, 200, "{header:?}");
    }
    let pss = pair.pss_token(&[("x5t#S256", &sha256)], &claims);
    token_of(&ask(pss));
    let v2 = with(&claims, "aud", json!(format!("{}/{}/v2.0", stage.azure.authority(), Azure::TENANT)));
    token_of(&ask(pair.token(&[("x5t#S256", &sha256)], &v2)));

    let signed = |claims: &Value| ask(pair.token(&[("x5t#S256", &sha256)], claims));
    for (claim, value, number) in [
        ("aud", json!("https://elsewhere/oauth2/v2.0/token"), 700_023),
        ("sub", json!("another"), 700_021),
        ("exp", json!(now() - 1), 700_024),
        ("exp", Value::Null, 700_024),
        ("nbf", json!(now() + 3600), 700_024),
    ] {
        let answer = signed(&with(&claims, claim, value));
        assert_eq!(refused(&answer), (401, "invalid_client", number), "{claim}");
    }
    let stranger = KeyPair::new("client");
    let forged = ask(stranger.token(&[("x5t#S256", &sha256)], &claims));
    assert_eq!(refused(&forged), (401, "invalid_client", 700_027), "another key, the right thumbprint");
    let own = thumbprint(&stranger, &digest::SHA256);
    let unknown = ask(stranger.token(&[("x5t#S256", &own)], &claims));
    assert_eq!(refused(&unknown), (401, "invalid_client", 700_027), "a certificate that nobody registered");
    assert_eq!(refused(&ask(pair.token(&[], &claims))).2, 700_027, "no thumbprint");
    let none = ask(pair.token(&[("x5t#S256", &sha256), ("alg", "none")], &claims));
    assert_eq!(refused(&none), (401, "invalid_client", 700_027), "a signature that says it is none");
    let other = ask(pair.token(&[("x5t#S256", &sha256), ("alg", "PS256")], &claims));
    assert_eq!(refused(&other), (401, "invalid_client", 700_027), "RS256 that says it is PS256");
    let other = ask(pair.pss_token(&[("x5t#S256", &sha256), ("alg", "RS256")], &claims));
    assert_eq!(refused(&other), (401, "invalid_client", 700_027), "PS256 that says it is RS256");
    assert_eq!(refused(&ask("no.token".into())), (401, "invalid_client", 50027));
    let untyped = stage.log_in(&[("scope", SCOPE), ("client_assertion", "a.b.c")]);
    assert_eq!(refused(&untyped).2, 900_144);
}

#[test]
fn a_federated_token_is_matched_by_issuer_subject_and_audience() {
    let stage = Stage::new();
    let cluster = Cluster::new("https://oidc.cluster.test/");
    let subject = "system:serviceaccount:shop:web";
    stage.azure.register_federated(CLIENT, &cluster, subject);
    let ask = |assertion: &str| stage.log_in(&[("scope", SCOPE), ASSERTION, ("client_assertion", assertion)]);
    let hour = Duration::from_secs(3600);
    let file = cluster.project(&cluster.token(subject, Azure::FEDERATED_AUDIENCE, hour));
    token_of(&ask(&std::fs::read_to_string(&file).unwrap()));

    let token = |subject, audience, lifetime| cluster.token(subject, audience, lifetime);
    let audience = Azure::FEDERATED_AUDIENCE;
    for (assertion, number) in [
        (token("system:serviceaccount:shop:db", audience, hour), 700_213),
        (token(subject, "vault", hour), 700_212),
        (token(subject, audience, Duration::ZERO), 700_024),
        (Cluster::new("https://other.test/").token(subject, audience, hour), 700_211),
        (Cluster::new(cluster.issuer()).token(subject, audience, hour), 5_000_819),
    ] {
        assert_eq!(refused(&ask(&assertion)), (401, "invalid_client", number));
    }

    let again = cluster.project("renewed");
    assert_eq!((std::fs::read_to_string(&again).unwrap().as_str(), again), ("renewed", file));
}

#[test]
fn whoever_verifies_tokens_finds_the_key_by_discovery() {
    let stage = Stage::new();
    let base = format!("{}/{}", stage.azure.authority(), Azure::TENANT);
    for path in [".well-known/openid-configuration", "v2.0/.well-known/openid-configuration"] {
        let found = stage.client.get(&format!("{base}/{path}"), &[]);
        assert_eq!(found.json["issuer"], format!("https://sts.windows.net/{}/", Azure::TENANT));
        let keys = stage.client.get(found.json["jwks_uri"].as_str().unwrap(), &[]);
        let header =
            stage.token().split('.').next().map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(keys.json["keys"][0]["kid"], header["kid"]);
    }
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}
