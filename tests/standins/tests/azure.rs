//! Azure's stand-in.

mod authority;
mod imds;
mod vault;

use leasehold_standins::Azure;

use crate::client::{Answer, Client};

const CLIENT: &str = "b5c1f0a2-7d55-4a3c-8f0e-2d1c6b7a8e9f";
const SCOPE: &str = "https://vault.azure.net/.default";

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

    /// Asks for a token with these fields, after `grant_type` and `client_id`.
    fn log_in(&self, fields: &[(&str, &str)]) -> Answer {
        let common = [("grant_type", "client_credentials"), ("client_id", CLIENT)];
        self.ask_for_token(Azure::TENANT, &[&common, fields].concat())
    }

    fn ask_for_token(&self, tenant: &str, fields: &[(&str, &str)]) -> Answer {
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.azure.authority());
        self.client.post_form(&url, fields)
    }

    fn token(&self) -> String {
        self.token_for(SCOPE)
    }

    fn token_for(&self, scope: &str) -> String {
        token_of(&self.log_in(&[("client_secret", &self.secret), ("scope", scope)]))
    }

    /// `path` without an `api-version`: it is given one.
    fn read(&self, path: &str, token: &str) -> Answer {
        self.read_url(&format!("{}/{path}?api-version=7.5", self.azure.address()), token)
    }

    fn read_url(&self, url: &str, token: &str) -> Answer {
        self.client.bearer(url, token)
    }
}

fn token_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json["access_token"].as_str().unwrap().to_owned()
}

/// Status, the error's code, and its inner code.
fn error(answer: &Answer) -> (u16, &str, Option<&str>) {
    let error = &answer.json["error"];
    (answer.status, error["code"].as_str().unwrap_or_default(), error["innererror"]["code"].as_str())
}
