//! Google's stand-in.

use std::time::SystemTime;

use leasehold_standins::{Google, KeyPair, Part};
use serde_json::{Value, json};

use crate::client::{Answer, Client};

/// A stand-in, a client of it, and a registered service account.
struct Stage {
    google: Google,
    client: Client,
    email: String,
}

impl Stage {
    fn new() -> Self {
        let google = Google::start();
        let email = google.register_service_account("reader");
        Self { client: Client::new(google.ca_file()), google, email }
    }

    /// A token from the metadata server.
    fn token(&self) -> String {
        self.google.register_machine(&self.email);
        let path = "computeMetadata/v1/instance/service-accounts/default/token";
        let url = format!("{}/{path}", self.google.metadata());
        let answer = self.client.get(&url, &[("Metadata-Flavor", "Google")]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json["access_token"].as_str().unwrap().to_owned()
    }

    fn read(&self, path: &str, token: &str) -> Answer {
        self.client.bearer(&format!("{}/v1/{path}", self.google.endpoint()), token)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_secret_is_read_with_the_machines_token_newest_version_or_a_numbered_one() {
    let stage = Stage::new();
    assert_eq!(stage.google.put_secret("api-key", "one"), "1");
    assert_eq!(stage.google.put_secret("api-key", [0_u8, 159, 146, 150]), "2");
    let token = stage.token();

    let newest = stage.read("projects/leasehold-tests/secrets/api-key/versions/latest:access", &token);
    assert_eq!(newest.status, 200, "{newest:?}");
    let name = format!("projects/{}/secrets/api-key/versions/2", Google::PROJECT_NUMBER);
    assert_eq!(newest.json["name"], name.as_str());
    assert_eq!(newest.json["payload"]["data"], "AJ+Slg==");
    let older = stage.read("projects/leasehold-tests/secrets/api-key/versions/1:access", &token);
    assert_eq!(older.json["payload"]["data"], "b25l");

    let absent = stage.read("projects/leasehold-tests/secrets/other/versions/latest:access", &token);
    assert_eq!((absent.status, absent.json["error"]["status"].as_str()), (404, Some("NOT_FOUND")));

    let asked: Vec<_> = stage.google.requests().into_iter().map(|asked| (asked.part, asked.status)).collect();
    let expected = [(Part::Metadata, 200), (Part::Secrets, 200), (Part::Secrets, 200), (Part::Secrets, 404)];
    assert_eq!(asked, expected.map(|(part, status)| (part, Some(status))));
}

#[test]
fn a_service_account_gets_a_token_for_its_own_assertion_alone() {
    let stage = Stage::new();
    stage.google.put_secret("api-key", "one");
    let key: Value = stage.google.service_account_key(&stage.email);
    let id = key["private_key_id"].as_str().unwrap();
    let claims = json!({
        "iss": stage.email, "scope": Google::SCOPE, "aud": stage.google.token_uri(), "iat": now(),
        "exp": now() + 3600,
    });
    let ask = |assertion: &str| {
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let fields = [("grant_type", grant), ("assertion", assertion)];
        stage.client.post_form(&stage.google.token_uri(), &fields)
    };
    let good = ask(&stage.google.sign_as(&stage.email, &claims));
    assert_eq!(good.status, 200, "{good:?}");
    let token = good.json["access_token"].as_str().unwrap();
    let read = stage.read("projects/leasehold-tests/secrets/api-key/versions/latest:access", token);
    assert_eq!(read.status, 200);

    let forged = ask(&KeyPair::new("stranger").token(&[("kid", id)], &claims));
    assert_eq!((forged.status, forged.json["error"].as_str()), (400, Some("invalid_grant")));
    for (claim, wrong) in [("aud", json!("https://elsewhere/token")), ("exp", json!(now() - 1))] {
        let mut claims = claims.clone();
        claims[claim] = wrong;
        let refused = ask(&stage.google.sign_as(&stage.email, &claims));
        assert_eq!((refused.status, refused.json["error"].as_str()), (400, Some("invalid_grant")), "{claim}");
    }
}
