//! Google's stand-in.

mod accounts;
mod metadata;
mod secrets;

use leasehold_standins::Google;

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

    /// Asks the metadata server, as it wants to be asked.
    fn machine(&self, path: &str) -> Answer {
        let url = format!("{}/computeMetadata/v1/{path}", self.google.metadata());
        self.client.get(&url, &[("Metadata-Flavor", "Google")])
    }

    /// A token from the metadata server.
    fn token(&self) -> String {
        self.google.register_machine(&self.email);
        token_of(&self.machine("instance/service-accounts/default/token"))
    }

    /// Of the project, by its id.
    fn read(&self, path: &str, token: &str) -> Answer {
        let url = format!("{}/v1/projects/leasehold-tests/{path}", self.google.endpoint());
        self.client.bearer(&url, token)
    }

    /// Whether this token is good for reading.
    fn reads_with(&self, token: &str) -> bool {
        self.google.put_secret("probe", "x");
        let answer = self.read("secrets/probe/versions/latest:access", token);
        assert!(matches!(answer.status, 200 | 401 | 403), "{answer:?}");
        answer.status == 200
    }
}

fn token_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json["token_type"], "Bearer");
    answer.json["access_token"].as_str().unwrap().to_owned()
}

/// Status, canonical code, and the reason where there is one.
fn error(answer: &Answer) -> (u16, &str, Option<&str>) {
    let error = &answer.json["error"];
    assert_eq!(error["code"], answer.status, "{answer:?}");
    let reason = error["details"][0]["reason"].as_str();
    (answer.status, error["status"].as_str().unwrap_or_default(), reason)
}

/// Status and OAuth's error.
fn oauth_error(answer: &Answer) -> (u16, &str) {
    assert!(answer.json.get("access_token").is_none(), "{answer:?}");
    (answer.status, answer.json["error"].as_str().unwrap_or_default())
}
