//! Azure's stand-in.

use leasehold_standins::{Azure, Part};

use crate::client::{Answer, Client};

const CLIENT: &str = "b5c1f0a2-7d55-4a3c-8f0e-2d1c6b7a8e9f";

/// A stand-in, a client of it, and a registered application's secret.
struct Stage {
    azure: Azure,
    client: Client,
    secret: String,
}

impl Stage {
    fn new() -> Self {
        let azure = Azure::start();
        let secret = azure.register_client(CLIENT);
        Self { client: Client::new(azure.ca_file()), azure, secret }
    }

    fn log_in(&self, fields: &[(&str, &str)]) -> Answer {
        self.log_in_at(Azure::TENANT, fields)
    }

    fn log_in_at(&self, tenant: &str, fields: &[(&str, &str)]) -> Answer {
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.azure.authority());
        self.client.post_form(&url, fields)
    }

    fn token(&self) -> String {
        self.token_for("https://vault.azure.net/.default")
    }

    fn token_for(&self, scope: &str) -> String {
        let answer = self.log_in(&[
            ("grant_type", "client_credentials"),
            ("client_id", CLIENT),
            ("client_secret", &self.secret),
            ("scope", scope),
        ]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json["access_token"].as_str().unwrap().to_owned()
    }

    fn read(&self, path: &str, token: &str) -> Answer {
        self.client.bearer(&format!("{}/{path}", self.azure.address()), token)
    }
}

#[test]
fn a_secret_is_read_with_a_token_by_client_secret_newest_version_or_a_named_one() {
    let stage = Stage::new();
    let first = stage.azure.put_secret("api-key", "one");
    let second = stage.azure.put_secret("api-key", "two");
    let token = stage.token();

    let newest = stage.read("secrets/api-key?api-version=7.5", &token);
    assert_eq!((newest.status, newest.json["value"].as_str()), (200, Some("two")));
    let id = format!("{}/secrets/api-key/{second}", stage.azure.address());
    assert_eq!(newest.json["id"], id.as_str());
    assert_eq!(newest.json["attributes"]["enabled"], true);
    let older = stage.read(&format!("secrets/api-key/{first}?api-version=7.6"), &token);
    assert_eq!(older.json["value"], "one");

    let absent = stage.read("secrets/other?api-version=7.5", &token);
    assert_eq!((absent.status, absent.json["error"]["code"].as_str()), (404, Some("SecretNotFound")));

    let asked: Vec<_> = stage.azure.requests().into_iter().map(|asked| (asked.part, asked.status)).collect();
    let expected = [(Part::Authority, 200), (Part::Vault, 200), (Part::Vault, 200), (Part::Vault, 404)];
    assert_eq!(asked, expected.map(|(part, status)| (part, Some(status))));
}
