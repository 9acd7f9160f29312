//! The metadata service of a machine.

use super::Stage;
use crate::client::Answer;

const TOKEN: &str =
    "metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net";

fn ask(stage: &Stage, path: &str, headers: &[(&str, &str)]) -> Answer {
    stage.client.get(&format!("{}/{path}", stage.azure.imds()), headers)
}

fn refused(answer: &Answer) -> (u16, &str) {
    assert!(answer.json.get("access_token").is_none(), "{answer:?}");
    (answer.status, answer.json["error"].as_str().unwrap())
}

#[test]
fn a_managed_identity_gets_a_token_that_the_vault_takes() {
    let stage = Stage::new();
    let header = [("Metadata", "true")];
    assert_eq!(refused(&ask(&stage, TOKEN, &header)), (400, "invalid_request"), "there is no identity yet");
    stage.azure.register_identity("system");
    stage.azure.register_identity("user");
    stage.azure.put_secret("api-key", "one");
    let answer = ask(&stage, TOKEN, &header);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json["client_id"], "system");
    assert_eq!(answer.json["resource"], "https://vault.azure.net");
    for number in ["expires_in", "expires_on", "not_before", "ext_expires_in"] {
        let text = answer.json[number].as_str().unwrap_or_else(|| panic!("{number} is no text"));
        text.parse::<u64>().unwrap();
    }
    let token = answer.json["access_token"].as_str().unwrap();
    assert_eq!(stage.read("secrets/api-key", token).status, 200);

    let named = ask(&stage, &format!("{TOKEN}&client_id=user"), &header);
    assert_eq!(named.json["client_id"], "user");
    for unknown in ["client_id=x", "object_id=user", "mi_res_id=user"] {
        let answer = ask(&stage, &format!("{TOKEN}&{unknown}"), &header);
        assert_eq!(refused(&answer), (400, "invalid_request"), "{unknown}");
    }
}

#[test]
fn app_service_wants_the_header_that_the_environment_gives() {
    let stage = Stage::new();
    stage.azure.register_identity("system");
    stage.azure.put_secret("api-key", "one");
    let secret = stage.azure.identity_header();
    let query = "api-version=2019-08-01&resource=https%3A%2F%2Fvault.azure.net";
    let ask = |query: &str, secret: &str| {
        let url = format!("{}?{query}", stage.azure.identity_endpoint());
        stage.client.get(&url, &[("X-IDENTITY-HEADER", secret)])
    };
    let answer = ask(query, &secret);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.json["expires_on"].as_str().unwrap().parse::<u64>().unwrap() > crate::now());
    assert!(answer.json.get("expires_in").is_none());
    assert_eq!(stage.read("secrets/api-key", answer.json["access_token"].as_str().unwrap()).status, 200);
    assert_eq!(ask(query, "guessed").status, 401);
    assert_eq!(ask("resource=x", &secret).status, 400);
    assert_eq!(ask("api-version=2019-08-01", &secret).status, 400);
    assert_eq!(ask(&format!("{query}&client_id=x"), &secret).status, 400);
}

#[test]
fn header_version_and_resource_are_required() {
    let stage = Stage::new();
    stage.azure.register_identity("system");
    let header = [("Metadata", "true")];
    for wrong in [&[][..], &[("Metadata", "false")], &[("Metadata", "True")]] {
        assert_eq!(refused(&ask(&stage, TOKEN, wrong)), (400, "bad_request_102"), "{wrong:?}");
    }
    assert_eq!(ask(&stage, TOKEN, &[header[0], ("X-Forwarded-For", "10.0.0.1")]).status, 400);
    let without_version = "metadata/identity/oauth2/token?resource=https%3A%2F%2Fvault.azure.net";
    assert_eq!(ask(&stage, without_version, &header).status, 400);
    let without_resource = "metadata/identity/oauth2/token?api-version=2018-02-01";
    assert_eq!(refused(&ask(&stage, without_resource, &header)), (400, "invalid_request"));
    assert_eq!(ask(&stage, "metadata/elsewhere", &header).status, 404);
}

#[test]
fn the_machine_says_what_it_is() {
    let stage = Stage::new();
    let header = [("Metadata", "true")];
    let machine = ask(&stage, "metadata/instance?api-version=2021-02-01", &header);
    assert_eq!(machine.json["compute"]["name"], leasehold_standins::azure::imds::MACHINE);
    assert_eq!(ask(&stage, "metadata/instance", &header).status, 400);
    assert_eq!(ask(&stage, "metadata/instance?api-version=2021-02-01", &[]).status, 400);
}

#[test]
fn a_machines_token_is_given_again_until_it_nears_its_end() {
    let stage = Stage::new();
    stage.azure.register_identity("system");
    let token = || {
        let answer = ask(&stage, TOKEN, &[("Metadata", "true")]);
        answer.json["access_token"].as_str().unwrap().to_owned()
    };
    assert_eq!(token(), token());
    let before = token();
    stage.azure.revoke_tokens();
    stage.azure.set_token_lifetime(std::time::Duration::from_secs(300));
    let near = token();
    assert_ne!(before, near);
    assert_ne!(near, token());
}
