//! What is wrong at AWS's side: a message with the remedy, the exit code of its kind, the old files kept.

use harness::process::Exit;

use super::*;

/// Starts it once, with a short deadline; code and message.
#[track_caller]
fn ends(site: &Site, command: Leasehold) -> (Exit, String) {
    let ended = command.finish(Duration::from_secs(60));
    assert_eq!(site.place.read("api/value"), None);
    assert!(!ended.stderr.contains("canary"), "{}", ended.stderr);
    (ended.exit, ended.stderr)
}

#[test]
fn what_is_wrong_for_good_ends_the_start_with_its_code_and_a_remedy() {
    let name = unique("app/here");
    moto().create_secret(&name, "value");
    let at = |path: &str| vec![("api", json!({ "path": path }))];
    let site = Site::new(moto(), &at(&name));

    // In another region there is no such secret.
    let elsewhere =
        json!({ "providers": { "aws": { "type": "aws-secrets-manager", "region": "us-east-1" } } });
    site.configure(&at(&name), elsewhere);
    let (exit, said) = ends(&site, site.command(&["run"]));
    assert_eq!(exit, Exit::Code(66), "{said}");
    assert!(said.contains("us-east-1") && said.contains(&name), "{said}");

    // Nobody says who we are.
    site.configure(&at(&name), json!({ "lifecycle": site.short() }));
    let (exit, said) = ends(&site, site.bare(&["run"]));
    assert_eq!(exit, Exit::Code(77), "{said}");
    assert!(said.contains("AWS_ACCESS_KEY_ID") || said.contains("credentials"), "{said}");

    // A secret of another account, whose policy does not let us in.
    let arn = format!("arn:aws:secretsmanager:{}:999999999999:secret:theirs-AbCdEf", Moto::REGION);
    site.configure(&at(&arn), json!({}));
    let denied = json!({
        "SecretValues": [],
        "Errors": [{ "SecretId": arn, "ErrorCode": "AccessDeniedException", "Message": "canary" }],
    });
    let rules = [
        site.proxy.answer("BatchGetSecretValue", Response::json(200, &denied.to_string())),
        site.proxy.answer(
            "secretsmanager.GetSecretValue",
            Response::json(400, r#"{"__type":"AccessDeniedException","Message":"canary"}"#),
        ),
    ];
    let (exit, said) = ends(&site, site.command(&["run"]));
    assert_eq!(exit, Exit::Code(77), "{said}");
    assert!(said.contains("999999999999") && said.contains("account"), "{said}");
    drop(rules);
}

#[test]
fn an_answer_that_makes_no_sense_ends_a_start_at_its_deadline_and_keeps_old_files() {
    let name = unique("app/malformed");
    moto().create_secret(&name, "first");
    let secrets = [("api", json!({ "path": name, "refresh": "1s" }))];
    let site = Site::new(moto(), &secrets);
    let nonsense =
        || site.proxy.answer("secretsmanager.", Response::json(200, r#"{"SecretValues":[{"canary"#));

    site.configure(&secrets, json!({ "lifecycle": site.short() }));
    let rule = nonsense();
    let (exit, said) = ends(&site, site.command(&["run"]));
    assert_eq!(exit, Exit::Code(75), "{said}");
    assert!(said.contains("something that is not aws answered"), "{said}");
    drop(rule);

    site.configure(&secrets, json!({}));
    let mut running = site.run();
    assert_eq!(site.place.await_file("api/value", &mut running), "first");
    let rule = nonsense();
    eventually("two polls meet it", SOON, || rule.hits() >= 2);
    moto().put_secret(&name, "second");
    assert_eq!(site.place.read("api/value").as_deref(), Some("first"));
    assert_eq!(running.exit(), None);
    drop(rule);
    site.follows("api/value", "second", &running);
    assert!(!running.stderr().contains("canary"), "{}", running.stderr());
    stop(running);
}

#[test]
fn a_secret_that_goes_away_or_is_denied_later_keeps_its_file() {
    let name = unique("app/gone");
    moto().create_secret(&name, "first");
    let site = Site::new(moto(), &[("api", json!({ "path": name, "refresh": "1s" }))]);
    let mut running = site.run();
    assert_eq!(site.place.await_file("api/value", &mut running), "first");
    moto().delete_secret(&name);
    eventually("it is missed", SOON, || {
        let log = running.stderr();
        if log.contains(&name) && log.contains("WARN") { Ok(()) } else { Err(log) }
    });
    assert_eq!(site.place.read("api/value").as_deref(), Some("first"));
    assert_eq!(running.exit(), None);
    moto().create_secret(&name, "again");
    eventually("it is found again", Duration::from_secs(60), || {
        site.place.read("api/value").as_deref() == Some("again")
    });
    stop(running);
}

impl Site {
    /// A lifecycle that gives up soon.
    fn short(&self) -> Value {
        json!({
            "state_directory": self.place.folder.join("state"),
            "revoke_delay": "0s",
            "startup_deadline": "3s",
        })
    }
}
