//! The vault.

use std::io::ErrorKind;
use std::time::{Duration, Instant, SystemTime};

use leasehold_standins::{Azure, Fault, KeyPair, Part};
use serde_json::json;

use super::{CLIENT, Stage, error, token_of};
use crate::client::Client;

#[test]
fn a_secret_is_read_with_a_token_by_client_secret_newest_version_or_a_named_one() {
    let stage = Stage::new();
    let first = stage.azure.put_secret("api-key", "one");
    let second = stage.azure.put_secret("api-key", "two");
    let token = stage.token();

    let newest = stage.read("secrets/api-key", &token);
    assert_eq!((newest.status, newest.json["value"].as_str()), (200, Some("two")));
    let id = format!("{}/secrets/api-key/{second}", stage.azure.address());
    assert_eq!(newest.json["id"], id.as_str());
    assert_eq!(newest.json["attributes"]["enabled"], true);
    assert!(newest.header("date").is_some());
    assert_eq!(stage.read(&format!("secrets/api-key/{first}"), &token).json["value"], "one");
    // As the SDKs ask for the newest: an empty version.
    assert_eq!(stage.read("secrets/api-key/", &token).json["value"], "two");
    // Names know no case; the answer has it as it was written.
    let shouted = stage.read("secrets/API-KEY", &token);
    assert_eq!(
        (shouted.json["value"].as_str(), shouted.json["id"].as_str()),
        (Some("two"), Some(id.as_str()))
    );

    assert_eq!(error(&stage.read("secrets/other", &token)), (404, "SecretNotFound", None));
    let unknown = format!("secrets/api-key/{}", "0".repeat(32));
    assert_eq!(error(&stage.read(&unknown, &token)), (404, "SecretNotFound", None));
    assert_eq!(error(&stage.read("secrets/no_such_name", &token)), (400, "BadParameter", None));
}

#[test]
fn what_was_asked_is_told_in_order_without_tokens() {
    let stage = Stage::new();
    stage.azure.put_secret("api-key", "one");
    let token = stage.token();
    stage.read("secrets/api-key", &token);
    stage.read("secrets/other", &token);
    let asked = stage.azure.requests();
    let told: Vec<_> = asked.iter().map(|one| (one.part, one.method.as_str(), one.status)).collect();
    let expected = [
        (Part::Authority, "POST", Some(200)),
        (Part::Vault, "GET", Some(200)),
        (Part::Vault, "GET", Some(404)),
    ];
    assert_eq!(told, expected);
    assert_eq!(asked[1].path, "/secrets/api-key?api-version=7.5");
    assert!(!format!("{asked:?}").contains(&token));
    assert_eq!(stage.azure.requests_of(Part::Vault).len(), 2);
    stage.azure.forget_requests();
    assert_eq!(stage.azure.requests(), []);
}

#[test]
fn the_api_version_is_required_and_must_exist() {
    let stage = Stage::new();
    stage.azure.put_secret("api-key", "one");
    let token = stage.token();
    for query in ["", "?api-version=", "?api-version=7.99", "?api-version=2025-07-01-preview"] {
        let url = format!("{}/secrets/api-key{query}", stage.azure.address());
        assert_eq!(error(&stage.read_url(&url, &token)), (400, "BadParameter", None), "{query}");
    }
    for version in ["7.4", "7.5", "7.6", "2025-07-01"] {
        let url = format!("{}/secrets/api-key?api-version={version}", stage.azure.address());
        assert_eq!(stage.read_url(&url, &token).status, 200, "{version}");
    }
}

#[test]
fn without_a_good_token_there_is_a_challenge_and_nothing_else() {
    let stage = Stage::new();
    stage.azure.put_secret("api-key", "one");
    let url = format!("{}/secrets/api-key?api-version=7.5", stage.azure.address());
    let challenge = format!(
        r#"Bearer authorization="{}/{}", resource="https://vault.azure.net""#,
        stage.azure.authority(),
        Azure::TENANT
    );
    let refused = |headers: &[(&str, &str)], why: &str| {
        let answer = stage.client.get(&url, headers);
        assert_eq!(error(&answer), (401, "Unauthorized", None), "{why}");
        assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()), "{why}");
        assert!(answer.json.get("value").is_none());
    };
    let bearer = |token: &str, why: &str| refused(&[("Authorization", &format!("Bearer {token}"))], why);

    refused(&[], "no token");
    refused(&[("Authorization", &format!("Basic {}", stage.token()))], "another scheme");
    bearer("invented", "no token of ours");
    let other = Stage::new();
    bearer(&other.token(), "another authority's");
    bearer(&stage.token_for("https://management.azure.com/.default"), "another audience");
    bearer(&stage.token_for("https://vault.azure.cn/.default"), "another cloud");
    bearer(&stage.token_for("https://vault.azure.net//.default"), "the audience with a slash at its end");

    let stranger = "7d1a3a0c-1111-4222-8333-944455556666";
    let secret = stage.azure.register_client_in(Azure::OTHER_TENANT, stranger);
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", stranger),
        ("client_secret", &secret),
        ("scope", super::SCOPE),
    ];
    bearer(&token_of(&stage.ask_for_token(Azure::OTHER_TENANT, &fields)), "another tenant");

    stage.azure.set_token_lifetime(Duration::ZERO);
    bearer(&stage.token(), "expired");
    stage.azure.set_token_lifetime(Duration::from_secs(60));
    let token = stage.token();
    assert_eq!(stage.read_url(&url, &token).status, 200);
    stage.azure.revoke_tokens();
    bearer(&token, "revoked");
}

#[test]
fn another_cloud_has_another_resource() {
    let stage = Stage::new();
    stage.azure.put_secret("api-key", "one");
    stage.azure.set_resource("https://vault.azure.cn");
    let url = format!("{}/secrets/api-key?api-version=7.5", stage.azure.address());
    let challenge = stage.client.get(&url, &[]).header("www-authenticate").unwrap().to_owned();
    assert!(challenge.ends_with(r#"resource="https://vault.azure.cn""#), "{challenge}");
    assert_eq!(stage.read_url(&url, &stage.token()).status, 401);
    assert_eq!(stage.read_url(&url, &stage.token_for("https://vault.azure.cn/.default")).status, 200);
}

#[test]
fn nothing_is_told_without_tls() {
    let stage = Stage::new();
    stage.azure.put_secret("api-key", "one");
    let plain = stage.azure.address().replace("https://", "http://");
    let token = format!("Bearer {}", stage.token());
    let url = format!("{plain}/secrets/api-key?api-version=7.5");
    let sent = stage.client.send("GET", &url, &[("Authorization", &token)], b"");
    assert!(sent.is_err(), "{sent:?}");
    assert_eq!(stage.azure.requests_of(Part::Vault), []);
}

#[test]
fn a_disabled_version_is_refused_and_one_that_has_expired_is_served() {
    let stage = Stage::new();
    let token = stage.token();
    let first = stage.azure.put_secret("api-key", "one");
    let second = stage.azure.put_secret("api-key", "two");
    stage.azure.disable("api-key", &second);
    let disabled = (403, "Forbidden", Some("SecretDisabled"));
    assert_eq!(error(&stage.read("secrets/api-key", &token)), disabled);
    assert_eq!(error(&stage.read(&format!("secrets/api-key/{second}"), &token)), disabled);
    let past = SystemTime::now() - Duration::from_secs(3600);
    stage.azure.set_expiry("api-key", &first, past);
    stage.azure.set_attributes("api-key", &first, |its| its.not_before = its.expires.map(|end| end + 9_000));
    let served = stage.read(&format!("secrets/api-key/{first}"), &token);
    assert_eq!((served.status, served.json["value"].as_str()), (200, Some("one")));
    let end = past.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(served.json["attributes"]["exp"], end);
    assert_eq!(served.json["attributes"]["nbf"], end + 9_000);
}

#[test]
fn what_is_denied_is_so_whether_it_exists_or_not() {
    let stage = Stage::new();
    let token = stage.token();
    stage.azure.put_secret("api-key", "one");
    stage.azure.deny("api-key");
    stage.azure.deny("absent");
    for name in ["api-key", "API-key", "absent"] {
        let answer = stage.read(&format!("secrets/{name}"), &token);
        assert_eq!(error(&answer), (403, "Forbidden", Some("ForbiddenByRbac")), "{name}");
    }
    stage.azure.allow("api-key");
    assert_eq!(stage.read("secrets/api-key", &token).status, 200);
    stage.azure.refuse(CLIENT);
    let inner = Some("ForbiddenByRbac");
    assert_eq!(error(&stage.read("secrets/api-key", &token)), (403, "Forbidden", inner));
    assert_eq!(error(&stage.read("secrets/api-key", &stage.token())), (403, "Forbidden", inner));
}

#[test]
fn a_deleted_secret_is_absent_and_its_name_is_taken_until_it_is_purged() {
    let stage = Stage::new();
    let token = stage.token();
    stage.azure.put_secret("api-key", "one");
    stage.azure.delete("api-key");
    assert_eq!(error(&stage.read("secrets/api-key", &token)), (404, "SecretNotFound", None));
    let deleted = stage.read("deletedsecrets/api-key", &token);
    assert_eq!(deleted.status, 200);
    assert!(deleted.json["recoveryId"].as_str().unwrap().ends_with("/deletedsecrets/api-key"));
    let inner = Some("ObjectIsDeletedButRecoverable");
    assert_eq!(error(&set(&stage, &token, "two")), (409, "Conflict", inner));
    let put =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stage.azure.put_secret("api-key", "two")));
    assert!(put.is_err(), "a test does not get past that either");

    let stage = Stage::new();
    let token = stage.token();
    stage.azure.put_secret("api-key", "one");
    stage.azure.destroy("api-key");
    assert_eq!(error(&stage.read("deletedsecrets/api-key", &token)).0, 404);
    assert_eq!(set(&stage, &token, "two").status, 200);
}

#[test]
fn a_value_has_at_most_25_kib() {
    let stage = Stage::new();
    let token = stage.token();
    let most = "x".repeat(25 * 1024);
    assert_eq!(set(&stage, &token, &most).json["value"], most.as_str());
    assert_eq!(error(&set(&stage, &token, &format!("{most}x"))), (400, "BadParameter", None));
    assert_eq!(stage.read("secrets/api-key", &token).json["value"], most.as_str());
}

fn set(stage: &Stage, token: &str, value: &str) -> crate::client::Answer {
    let url = format!("{}/secrets/api-key?api-version=7.5", stage.azure.address());
    let bearer = format!("Bearer {token}");
    let body = json!({ "value": value, "contentType": "text/plain" }).to_string();
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    stage.client.send("PUT", &url, &headers, body.as_bytes()).unwrap()
}

#[test]
fn a_certificate_is_a_secret_of_its_name_with_its_key() {
    let stage = Stage::new();
    let token = stage.token();
    let pair = KeyPair::new("web.test");
    let version = stage.azure.put_certificate("web", &pair);
    let secret = stage.read("secrets/web", &token);
    assert_eq!(secret.json["contentType"], "application/x-pem-file");
    assert_eq!(secret.json["managed"], true);
    let pem = secret.json["value"].as_str().unwrap();
    assert_eq!(pem, format!("{}{}", pair.key_pem(), pair.certificate_pem()));

    let certificate = stage.read(&format!("certificates/web/{version}"), &token);
    assert_eq!(certificate.status, 200);
    let address = stage.azure.address();
    assert_eq!(certificate.json["sid"], format!("{address}/secrets/web/{version}"));
    let cer = certificate.json["cer"].as_str().unwrap();
    assert!(pair.certificate_pem().replace('\n', "").contains(cer));
    assert!(!certificate.text().contains("PRIVATE KEY"));

    stage.azure.put_pkcs12("web", &pair);
    let secret = stage.read("secrets/web", &token);
    assert_eq!(secret.json["contentType"], "application/x-pkcs12");
    // A sequence of a long form's length, in base64.
    assert!(secret.json["value"].as_str().unwrap().starts_with("MII"), "{secret:?}");

    stage.azure.put_secret("plain", "one");
    assert_eq!(error(&stage.read("certificates/plain", &token)), (404, "CertificateNotFound", None));
}

#[test]
fn listings_come_in_pages() {
    let stage = Stage::new();
    let token = stage.token();
    let versions: Vec<_> = (0..60).map(|n| stage.azure.put_secret("api-key", format!("{n}"))).collect();
    let mut url = format!("{}/secrets/api-key/versions?api-version=7.5", stage.azure.address());
    let (mut pages, mut found) = (Vec::new(), Vec::new());
    loop {
        let page = stage.read_url(&url, &token);
        assert_eq!(page.status, 200, "{page:?}");
        let items = page.json["value"].as_array().unwrap();
        pages.push(items.len());
        found.extend(
            items.iter().map(|item| item["id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()),
        );
        assert!(items.iter().all(|item| item.get("value").is_none()), "a listing tells no value");
        match page.json["nextLink"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(pages, [25, 25, 10]);
    assert_eq!(found, versions);

    for wrong in ["maxresults=0", "maxresults=26", "maxresults=x", "$skiptoken=ffff"] {
        let url = format!("{}/secrets?api-version=7.5&{wrong}", stage.azure.address());
        assert_eq!(error(&stage.read_url(&url, &token)), (400, "BadParameter", None), "{wrong}");
    }
    stage.azure.put_secret("other", "one");
    stage.azure.set_page(1);
    let page = stage.read("secrets", &token);
    assert_eq!(page.json["value"].as_array().unwrap().len(), 1);
    let next = page.json["nextLink"].as_str().unwrap();
    assert!(
        stage.read_url(next, &token).json["value"][0]["id"].as_str().unwrap().ends_with("/secrets/other")
    );
    assert_eq!(stage.client.get(next, &[]).status, 401, "a next page needs the token as well");
}

#[test]
fn throttled_it_says_when_to_come_again_as_often_as_was_asked() {
    let stage = Stage::new();
    let token = stage.token();
    stage.azure.put_secret("api-key", "one");
    stage.azure.throttle(2, Duration::from_secs(7));
    assert_eq!(stage.read("secrets/api-key", "none").status, 401);
    for _ in 0..2 {
        let answer = stage.read("secrets/api-key", &token);
        assert_eq!(error(&answer), (429, "Throttled", None));
        assert_eq!(answer.header("retry-after"), Some("7"));
    }
    assert_eq!(stage.read("secrets/api-key", &token).status, 200);
}

#[test]
fn answers_are_spoilt_on_demand_one_each() {
    let stage = Stage::new();
    let token = stage.token();
    stage.azure.put_secret("api-key", "one");
    let url = format!("{}/secrets/api-key?api-version=7.5", stage.azure.address());
    let bearer = format!("Bearer {token}");
    let read = || stage.client.send("GET", &url, &[("Authorization", &bearer)], b"");

    stage.azure.fail_next(Fault::Reset);
    assert_eq!(stage.client.get(&url, &[]).status, 401, "a challenge is not spoilt");
    assert_eq!(read().unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(stage.azure.requests().last().unwrap().status, None);
    stage.azure.fail_next(Fault::HalfSent);
    assert_eq!(read().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    stage.azure.fail_next(Fault::WrongContentType);
    let page = read().unwrap();
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    stage.azure.fail_next(Fault::Malformed);
    let torn = read().unwrap();
    assert_eq!((torn.status, torn.json.is_null()), (200, true));
    assert_eq!(torn.header("content-type"), Some("application/json; charset=utf-8"));
    stage.azure.fail_next(Fault::Status(503));
    assert_eq!(error(&read().unwrap()).0, 503);
    stage.azure.fail_next(Fault::Slow(Duration::from_millis(300)));
    let start = Instant::now();
    assert_eq!(read().unwrap().json["value"], "one");
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(read().unwrap().json["value"], "one");

    stage.azure.fail_next_at(Part::Authority, Fault::Status(500));
    let fields = [("client_secret", stage.secret.as_str()), ("scope", super::SCOPE)];
    assert_eq!(stage.log_in(&fields).status, 500);
    assert_eq!(stage.log_in(&fields).status, 200, "{CLIENT}");
}

#[test]
fn a_detour_leads_the_clouds_own_names_here_and_no_others() {
    let stage = Stage::new();
    stage.azure.put_secret("api-key", "one");
    let client = Client::new(stage.azure.ca_file()).through(&stage.azure.detour().url());
    let token = client.post_form(
        &format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", Azure::TENANT),
        &[
            ("grant_type", "client_credentials"),
            ("client_id", CLIENT),
            ("client_secret", &stage.secret),
            ("scope", super::SCOPE),
        ],
    );
    let url = "https://shop.vault.azure.net/secrets/api-key?api-version=7.5";
    let secret = client.bearer(url, &token_of(&token));
    assert_eq!(secret.json["value"], "one");
    assert!(secret.json["id"].as_str().unwrap().starts_with("https://shop.vault.azure.net/secrets/api-key/"));
    assert!(client.send("GET", "https://example.org/", &[], b"").is_err());
    stage.azure.register_identity("system");
    let path = "metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net";
    let url = format!("http://169.254.169.254/{path}");
    assert_eq!(client.get(&url, &[("Metadata", "true")]).status, 200);
    assert_eq!(client.get("http://example.org/", &[]).status, 403);
}
