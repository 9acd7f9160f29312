//! Secret Manager.

use std::io::ErrorKind;
use std::time::{Duration, Instant, SystemTime};

use leasehold_standins::{Fault, Google, Part};
use serde_json::json;

use super::{Stage, error};
use crate::client::Client;

const KEY: &str = "secrets/api-key/versions";

#[test]
fn a_secret_is_read_newest_version_or_a_numbered_one_and_named_by_the_projects_number() {
    let stage = Stage::new();
    assert_eq!(stage.google.put_secret("api-key", "one"), "1");
    assert_eq!(stage.google.put_secret("api-key", [0_u8, 159, 146, 150]), "2");
    let token = stage.token();

    let newest = stage.read(&format!("{KEY}/latest:access"), &token);
    assert_eq!(newest.status, 200, "{newest:?}");
    let name = format!("projects/{}/secrets/api-key/versions/2", Google::PROJECT_NUMBER);
    assert_eq!(newest.json["name"], name.as_str());
    assert_eq!(newest.json["payload"]["data"], "AJ+Slg==");
    assert!(newest.header("date").is_some());
    let older = stage.read(&format!("{KEY}/1:access"), &token);
    assert_eq!(older.json["payload"]["data"], "b25l");

    let by_number = format!("{}/v1/projects/{}/{KEY}/2", stage.google.endpoint(), Google::PROJECT_NUMBER);
    let described = stage.client.bearer(&by_number, &token);
    assert_eq!(
        (described.json["name"].as_str(), described.json["state"].as_str()),
        (Some(&*name), Some("ENABLED"))
    );
    assert!(described.json.get("payload").is_none());

    let absent = stage.read("secrets/other/versions/latest:access", &token);
    assert_eq!(error(&absent), (404, "NOT_FOUND", None));
    assert_eq!(error(&stage.read(&format!("{KEY}/3:access"), &token)), (404, "NOT_FOUND", None));
    assert_eq!(error(&stage.read("secrets/no.name/versions/1:access", &token)).1, "INVALID_ARGUMENT");
    let elsewhere = format!("{}/v1/projects/elsewhere/{KEY}/1:access", stage.google.endpoint());
    assert_eq!(error(&stage.client.bearer(&elsewhere, &token)).0, 403, "a project that nobody may see");
    assert_eq!(stage.read(&format!("{KEY}/1:frobnicate"), &token).status, 404);
}

#[test]
fn the_checksum_is_that_of_the_payload_unless_it_is_spoilt() {
    let stage = Stage::new();
    let token = stage.token();
    stage.google.put_secret("api-key", "123456789");
    let checksum = || {
        let answer = stage.read(&format!("{KEY}/latest:access"), &token);
        answer.json["payload"]["dataCrc32c"].as_str().expect("an int64 is text in JSON").to_owned()
    };
    // The check value of CRC-32C in the catalogue of parametrised CRC algorithms, 0xe3069283.
    assert_eq!(checksum(), "3808858755");
    stage.google.wrong_checksum("api-key");
    assert_ne!(checksum(), "3808858755");
    stage.google.right_checksum("api-key");
    assert_eq!(checksum(), "3808858755");
    stage.google.put_secret("api-key", "");
    let empty = stage.read(&format!("{KEY}/latest:access"), &token);
    assert_eq!(empty.json["payload"], json!({ "dataCrc32c": "0" }));
}

#[test]
fn a_disabled_or_destroyed_version_is_a_failed_precondition_and_latest_stays_with_it() {
    let stage = Stage::new();
    let token = stage.token();
    stage.google.put_secret("api-key", "one");
    stage.google.put_secret("api-key", "two");
    let read = |version: &str| stage.read(&format!("{KEY}/{version}:access"), &token);

    stage.google.disable("api-key", "2");
    for version in ["2", "latest"] {
        let answer = read(version);
        assert_eq!(error(&answer), (400, "FAILED_PRECONDITION", None));
        assert!(answer.text().contains("DISABLED"), "{answer:?}");
    }
    assert_eq!(stage.read(&format!("{KEY}/latest"), &token).json["state"], "DISABLED");
    assert_eq!(read("1").status, 200);
    stage.google.enable("api-key", "2");
    assert_eq!(read("latest").status, 200);

    stage.google.destroy("api-key", "2");
    let answer = read("latest");
    assert_eq!(error(&answer), (400, "FAILED_PRECONDITION", None));
    assert!(answer.text().contains("DESTROYED"), "{answer:?}");
    let described = stage.read(&format!("{KEY}/2"), &token);
    assert_eq!(described.json["state"], "DESTROYED");
    assert!(described.json["destroyTime"].is_string());
    assert_eq!(stage.google.put_secret("api-key", "three"), "3", "a number is used once");
}

#[test]
fn an_alias_names_a_version_for_reading_alone() {
    let stage = Stage::new();
    let token = stage.token();
    stage.google.put_secret("api-key", "one");
    stage.google.put_secret("api-key", "two");
    stage.google.set_alias("api-key", "stable", "1");
    let read = || stage.read(&format!("{KEY}/stable:access"), &token);
    let name = |number| format!("projects/{}/secrets/api-key/versions/{number}", Google::PROJECT_NUMBER);
    assert_eq!(
        (read().json["payload"]["data"].as_str(), read().json["name"].as_str()),
        (Some("b25l"), Some(&*name(1)))
    );
    stage.google.set_alias("api-key", "stable", "2");
    assert_eq!(read().json["name"], name(2));
    assert_eq!(stage.read("secrets/api-key", &token).json["versionAliases"], json!({ "stable": "2" }));
    assert_eq!(stage.read(&format!("{KEY}/other:access"), &token).status, 404);
    for alias in ["latest", "NEW", "1st", "a b", "", &"x".repeat(64)] {
        let set = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            stage.google.set_alias("api-key", alias, "1");
        }));
        assert!(set.is_err(), "{alias}");
    }
}

#[test]
fn the_regional_endpoint_holds_its_own_secrets_under_its_location() {
    let stage = Stage::new();
    let token = stage.token();
    stage.google.put_secret("api-key", "global");
    stage.google.put_regional_secret("api-key", "regional");
    let ask = |endpoint: &str, place: &str| {
        let url = format!("{endpoint}/v1/projects/leasehold-tests/{place}{KEY}/latest:access");
        stage.client.bearer(&url, &token)
    };
    let (global, regional) = (stage.google.endpoint(), stage.google.regional_endpoint());
    let found = ask(&regional, "locations/europe-west3/");
    assert_eq!(found.json["payload"]["data"], "cmVnaW9uYWw=");
    let name = "projects/391827465001/locations/europe-west3/secrets/api-key/versions/1";
    assert_eq!(found.json["name"], name);
    assert_eq!(ask(&global, "").json["payload"]["data"], "Z2xvYmFs");
    for (endpoint, place) in
        [(&global, "locations/europe-west3/"), (&regional, ""), (&regional, "locations/us-east1/")]
    {
        assert_eq!(ask(endpoint, place).status, 404, "{endpoint} {place}");
    }
    assert_eq!(stage.google.requests_of(Part::RegionalSecrets).len(), 3);
}

#[test]
fn without_a_good_token_nobody_is_known() {
    let stage = Stage::new();
    stage.google.put_secret("api-key", "one");
    let url = format!("{}/v1/projects/leasehold-tests/{KEY}/latest:access", stage.google.endpoint());
    let refused = |headers: &[(&str, &str)], reason: &str| {
        let answer = stage.client.get(&url, headers);
        assert_eq!(error(&answer), (401, "UNAUTHENTICATED", Some(reason)));
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer "));
        assert!(answer.json.get("payload").is_none());
    };
    let bearer = |token: &str, reason| refused(&[("Authorization", &format!("Bearer {token}"))], reason);
    refused(&[], "CREDENTIALS_MISSING");
    bearer("ya29.invented", "ACCESS_TOKEN_TYPE_UNSUPPORTED");
    bearer(&Stage::new().token(), "ACCESS_TOKEN_TYPE_UNSUPPORTED");
    stage.google.set_token_lifetime(Duration::ZERO);
    bearer(&stage.token(), "ACCESS_TOKEN_EXPIRED");
    stage.google.set_token_lifetime(Duration::from_secs(60));
    let token = stage.token();
    assert!(stage.reads_with(&token));
    stage.google.revoke_tokens();
    bearer(&token, "ACCESS_TOKEN_TYPE_UNSUPPORTED");

    let narrow =
        stage.machine("instance/service-accounts/default/token?scopes=https://www.googleapis.com/auth/x");
    let answer = stage.client.bearer(&url, &super::token_of(&narrow));
    assert_eq!(error(&answer), (403, "PERMISSION_DENIED", Some("ACCESS_TOKEN_SCOPE_INSUFFICIENT")));
}

#[test]
fn what_is_denied_is_so_whether_it_exists_or_not() {
    let stage = Stage::new();
    let token = stage.token();
    stage.google.put_secret("api-key", "one");
    stage.google.deny("api-key");
    stage.google.deny("absent");
    for name in ["api-key", "absent"] {
        let answer = stage.read(&format!("secrets/{name}/versions/latest:access"), &token);
        assert_eq!(error(&answer), (403, "PERMISSION_DENIED", Some("IAM_PERMISSION_DENIED")), "{name}");
        let metadata = &answer.json["error"]["details"][0]["metadata"];
        assert_eq!(metadata["permission"], "secretmanager.versions.access");
    }
    stage.google.allow("api-key");
    assert_eq!(stage.read(&format!("{KEY}/latest:access"), &token).status, 200);
    stage.google.refuse(&stage.email);
    let refused = stage.read(&format!("{KEY}/latest:access"), &token);
    assert_eq!(error(&refused), (403, "PERMISSION_DENIED", Some("IAM_PERMISSION_DENIED")));
}

#[test]
fn permissions_are_told_without_reading() {
    let stage = Stage::new();
    let token = stage.token();
    stage.google.put_secret("api-key", "one");
    let ask = |name: &str, body| {
        let url = format!(
            "{}/v1/projects/leasehold-tests/secrets/{name}:testIamPermissions",
            stage.google.endpoint()
        );
        stage.client.post_json(&url, &token, &body)
    };
    let access = json!({ "permissions": ["secretmanager.versions.access"] });
    assert_eq!(ask("api-key", access.clone()).json, access);
    let more = json!({ "permissions": ["secretmanager.versions.access", "secretmanager.secrets.delete"] });
    assert_eq!(ask("api-key", more).json, access, "a reader deletes nothing");
    let absent = ask("absent", access.clone());
    assert_eq!((absent.status, absent.json), (200, json!({})));
    stage.google.deny("api-key");
    let denied = ask("api-key", access);
    assert_eq!((denied.status, denied.json), (200, json!({})));
    assert_eq!(error(&ask("api-key", json!({}))).1, "INVALID_ARGUMENT");
    assert_eq!(error(&ask("api-key", json!({ "permissions": ["storage.objects.get"] }))).0, 400);
}

#[test]
fn versions_are_listed_newest_first_in_pages() {
    let stage = Stage::new();
    let token = stage.token();
    for n in 1..=5 {
        stage.google.put_secret("api-key", format!("{n}"));
    }
    let (mut token_of_page, mut pages) = (String::new(), Vec::new());
    loop {
        let page = stage.read(&format!("{KEY}?pageSize=2{token_of_page}"), &token);
        assert_eq!((page.status, &page.json["totalSize"]), (200, &json!(5)), "{page:?}");
        let versions = page.json["versions"].as_array().unwrap();
        let number = |version: &serde_json::Value| {
            version["name"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
        };
        pages.push(versions.iter().map(number).collect::<Vec<_>>());
        match page.json["nextPageToken"].as_str() {
            Some(next) => token_of_page = format!("&pageToken={next}"),
            None => break,
        }
    }
    assert_eq!(pages, [vec!["5", "4"], vec!["3", "2"], vec!["1"]]);
    assert_eq!(stage.read(KEY, &token).json["versions"].as_array().unwrap().len(), 5);
    stage.google.set_page(1);
    assert_eq!(stage.read(KEY, &token).json["versions"].as_array().unwrap().len(), 1);
    for wrong in ["pageSize=-1", "pageSize=x", "pageToken=x", "pageToken=page-99"] {
        assert_eq!(error(&stage.read(&format!("{KEY}?{wrong}"), &token)).1, "INVALID_ARGUMENT", "{wrong}");
    }
}

#[test]
fn an_expired_or_deleted_secret_is_gone() {
    let stage = Stage::new();
    let token = stage.token();
    stage.google.put_secret("api-key", "one");
    stage.google.set_expiry("api-key", SystemTime::now() + Duration::from_secs(600));
    assert!(stage.read("secrets/api-key", &token).json["expireTime"].is_string());
    assert_eq!(stage.read(&format!("{KEY}/latest:access"), &token).status, 200);
    stage.google.set_expiry("api-key", SystemTime::now() - Duration::from_secs(1));
    assert_eq!(error(&stage.read(&format!("{KEY}/latest:access"), &token)).0, 404);

    stage.google.put_secret("other", "one");
    stage.google.delete("other");
    assert_eq!(error(&stage.read("secrets/other/versions/latest:access", &token)).0, 404);
}

#[test]
fn a_payload_has_at_most_64_kib() {
    let stage = Stage::new();
    let token = stage.token();
    stage.google.put_secret("api-key", vec![7; 64 * 1024]);
    let answer = stage.read(&format!("{KEY}/latest:access"), &token);
    assert_eq!(answer.json["payload"]["data"].as_str().unwrap().len(), (64 * 1024_usize).div_ceil(3) * 4);
    let put = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        stage.google.put_secret("api-key", vec![7; 64 * 1024 + 1]);
    }));
    assert!(put.is_err());
}

#[test]
fn throttled_it_says_when_to_come_again_in_header_and_body() {
    let stage = Stage::new();
    let token = stage.token();
    stage.google.put_secret("api-key", "one");
    stage.google.throttle(2, Duration::from_secs(7));
    assert_eq!(stage.read(&format!("{KEY}/1"), "none").status, 401);
    for _ in 0..2 {
        let answer = stage.read(&format!("{KEY}/latest:access"), &token);
        assert_eq!(error(&answer), (429, "RESOURCE_EXHAUSTED", None));
        assert_eq!(answer.header("retry-after"), Some("7"));
        let retry = json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s" });
        assert_eq!(answer.json["error"]["details"], json!([retry]));
    }
    assert_eq!(stage.read(&format!("{KEY}/latest:access"), &token).status, 200);
}

#[test]
fn answers_are_spoilt_on_demand_one_each() {
    let stage = Stage::new();
    let token = stage.token();
    stage.google.put_secret("api-key", "one");
    let url = format!("{}/v1/projects/leasehold-tests/{KEY}/latest:access", stage.google.endpoint());
    let bearer = format!("Bearer {token}");
    let read = || stage.client.send("GET", &url, &[("Authorization", &bearer)], b"");

    stage.google.fail_next(Fault::Reset);
    assert_eq!(stage.client.get(&url, &[]).status, 401, "a challenge is not spoilt");
    assert_eq!(read().unwrap_err().kind(), ErrorKind::ConnectionReset);
    stage.google.fail_next(Fault::HalfSent);
    assert_eq!(read().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    stage.google.fail_next(Fault::WrongContentType);
    assert_eq!(read().unwrap().header("content-type"), Some("text/html; charset=utf-8"));
    stage.google.fail_next(Fault::Malformed);
    let torn = read().unwrap();
    assert_eq!((torn.status, torn.json.is_null()), (200, true));
    stage.google.fail_next(Fault::Status(503));
    assert_eq!(error(&read().unwrap()), (503, "UNAVAILABLE", None));
    stage.google.fail_next(Fault::Slow(Duration::from_millis(300)));
    let start = Instant::now();
    assert_eq!(read().unwrap().status, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));

    stage.google.fail_next_at(Part::Metadata, Fault::Status(500));
    let path = "instance/service-accounts/default/token";
    assert_eq!(stage.machine(path).status, 500);
    assert_eq!(stage.machine(path).status, 200);
}

#[test]
fn what_was_asked_is_told_in_order_without_tokens() {
    let stage = Stage::new();
    stage.google.put_secret("api-key", "one");
    let token = stage.token();
    stage.read(&format!("{KEY}/latest:access"), &token);
    let asked = stage.google.requests();
    let told: Vec<_> = asked.iter().map(|one| (one.part, one.method.as_str(), one.status)).collect();
    assert_eq!(told, [(Part::Metadata, "GET", Some(200)), (Part::Secrets, "GET", Some(200))]);
    assert_eq!(asked[1].path, format!("/v1/projects/leasehold-tests/{KEY}/latest:access"));
    assert!(!format!("{asked:?}").contains(&token));
    stage.google.forget_requests();
    assert_eq!(stage.google.requests(), []);
}

#[test]
fn nothing_is_told_without_tls() {
    let stage = Stage::new();
    let token = format!("Bearer {}", stage.token());
    let plain = stage.google.endpoint().replace("https://", "http://");
    let url = format!("{plain}/v1/projects/leasehold-tests/{KEY}/latest:access");
    assert!(stage.client.send("GET", &url, &[("Authorization", &token)], b"").is_err());
    assert_eq!(stage.google.requests_of(Part::Secrets), []);
}

#[test]
fn a_detour_leads_the_clouds_own_names_here_and_no_others() {
    let stage = Stage::new();
    stage.google.put_secret("api-key", "one");
    let client = Client::new(stage.google.ca_file()).through(&stage.google.detour().url());
    let url = format!("https://secretmanager.googleapis.com/v1/projects/leasehold-tests/{KEY}/latest:access");
    assert_eq!(client.bearer(&url, &stage.token()).json["payload"]["data"], "b25l");
    for known in [
        "https://secretmanager.europe-west3.rep.googleapis.com/",
        "https://sts.googleapis.com/",
        "https://iamcredentials.googleapis.com/",
        "https://oauth2.googleapis.com/",
    ] {
        client.send("GET", known, &[], b"").unwrap();
    }
    let keys = client.get("https://www.googleapis.com/oauth2/v3/certs", &[]);
    assert_eq!(keys.json["keys"][0]["alg"], "RS256");
    assert!(client.send("GET", "https://storage.googleapis.com/", &[], b"").is_err());
    let url = "http://metadata.google.internal/computeMetadata/v1/project/project-id";
    assert_eq!(client.get(url, &[("Metadata-Flavor", "Google")]).text(), Google::PROJECT);
}
