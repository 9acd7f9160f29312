//! The metadata server of a machine.

use leasehold_standins::Google;
use leasehold_standins::google::metadata::{MACHINE, ZONE};

use super::Stage;

#[test]
fn the_flavour_is_required_and_sent() {
    let stage = Stage::new();
    stage.google.register_machine(&stage.email);
    let url = format!("{}/computeMetadata/v1/project/project-id", stage.google.metadata());
    let good = stage.client.get(&url, &[("Metadata-Flavor", "Google")]);
    assert_eq!((good.status, good.text().as_str()), (200, Google::PROJECT));
    let flavour = |headers: &[(&str, &str)]| {
        let answer = stage.client.get(&url, headers);
        assert_eq!(answer.header("metadata-flavor"), Some("Google"));
        answer.status
    };
    assert_eq!(flavour(&[]), 403);
    assert_eq!(flavour(&[("Metadata-Flavor", "google")]), 403);
    assert_eq!(flavour(&[("Metadata-Flavor", "Google"), ("X-Forwarded-For", "10.0.0.1")]), 403);
    let ping = stage.client.get(&stage.google.metadata(), &[]);
    assert_eq!((ping.status, ping.header("metadata-flavor")), (200, Some("Google")));
}

#[test]
fn the_machine_says_what_it_is_and_who() {
    let stage = Stage::new();
    let email = "instance/service-accounts/default/email";
    assert_eq!(stage.machine(email).status, 404, "it runs as nobody yet");
    stage.google.register_machine(&stage.email);
    assert_eq!(stage.machine(email).text(), stage.email);
    let named = format!("instance/service-accounts/{}/token", stage.email);
    assert_eq!(stage.machine(&named).status, 200);
    assert_eq!(stage.machine("instance/service-accounts/another/token").status, 404);
    assert_eq!(stage.machine("project/numeric-project-id").text(), Google::PROJECT_NUMBER);
    assert_eq!(stage.machine("instance/name").text(), MACHINE);
    assert!(stage.machine("instance/zone").text().ends_with(ZONE));
    assert_eq!(stage.machine("universe/universe-domain").text(), "googleapis.com");
    assert_eq!(stage.machine("instance/elsewhere").status, 404);

    let identity = "instance/service-accounts/default/identity";
    assert_eq!(stage.machine(identity).status, 400);
    let token = stage.machine(&format!("{identity}?audience=vault%2Frole&format=full")).text();
    let claims = token.split('.').nth(1).unwrap();
    use base64::Engine;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((claims["aud"].as_str(), claims["email"].as_str()), (Some("vault/role"), Some(&*stage.email)));
    assert_eq!(claims["google"]["compute_engine"]["instance_name"], MACHINE);
}

#[test]
fn the_machines_token_is_given_again_until_it_nears_its_end() {
    let stage = Stage::new();
    let before = stage.token();
    assert_eq!(before, stage.token());
    stage.google.revoke_tokens();
    stage.google.set_token_lifetime(std::time::Duration::from_secs(300));
    let near = stage.token();
    assert_ne!(before, near);
    assert_ne!(near, stage.token());
}
