use std::collections::BTreeMap;

use super::*;

#[test]
fn a_command_that_ends_well_acknowledges_and_its_output_shows_no_value() {
    let actions = r#"
  - name: reload
    command: ["sh", "-c", "env -0 > FOLDER/seen.part && mv FOLDER/seen.part FOLDER/seen && printf 'it is %s, or %s\\n' \"$(cat $LEASEHOLD_DIR/password)\" \"$(base64 -w0 $LEASEHOLD_DIR/password)\""]
    environment: { MODE: gentle }
"#;
    let told = Told::start(stage("commanded", "2m"), "", actions);
    let first = told.file("password");
    let replaced = told.rotate();
    let second = told.file("password");
    assert_ne!(first, second);
    assert_eq!(told.answer("reload (command sh)"), "ok (exit code 0)");

    let seen = fs::read_to_string(told.stage.folder.join("seen")).unwrap();
    let mut seen: BTreeMap<&str, &str> = seen.split('\0').filter_map(|pair| pair.split_once('=')).collect();
    // What the shell adds by itself.
    seen.retain(|name, _| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    let (path, live) = (std::env::var("PATH").unwrap(), told.stage.live().display().to_string());
    let expected = BTreeMap::from([
        ("PATH", path.as_str()),
        ("LEASEHOLD_DIR", &live),
        ("LEASEHOLD_GENERATION", "2"),
        ("LEASEHOLD_CHANGED", "db.env\npassword\nusername"),
        ("MODE", "gentle"),
    ]);
    assert_eq!(seen, expected);

    told.says(["reload (command sh) says: it is [redacted], or [redacted]"]);
    told.says(["announced generation 2: reload (command sh)"]);
    told.says(["acknowledged generation 2"]);
    told.is_gone(&replaced);
    eventually("that is counted", SOON, || told.given_back() == Some(1.0));
    assert_eq!(told.status()["acknowledged"], 2);
    let log = told.log();
    assert!(!log.contains(&first) && !log.contains(&second), "{log}");
    told.end();
}

#[test]
fn a_command_that_ends_badly_is_tried_again_and_the_replaced_lease_ends_by_itself() {
    let actions = r#"
  - command: ["sh", "-c", "echo $LEASEHOLD_GENERATION >> FOLDER/tries; echo no such $(cat $LEASEHOLD_DIR/password) >&2; exit 1"]
    retries: 2
"#;
    let told = Told::start(stage("failing", "6s"), "", actions);
    let replaced = told.rotate();
    let password = told.file("password");
    assert_eq!(told.answer("command sh"), "it ended with exit code 1");
    told.says(["could not announce generation 2: command sh: it ended with exit code 1"]);
    told.says(["command sh says: no such [redacted]"]);
    assert_eq!(fs::read_to_string(told.stage.folder.join("tries")).unwrap(), "2\n2\n2\n");
    told.is_gone(&replaced);
    let status = told.status();
    assert_eq!(
        (&status["acknowledged"], told.given_back()),
        (&Value::Null, None),
        "{status}\n{}",
        told.log()
    );
    assert!(!told.log().contains(&password), "{}", told.log());
    told.end();
}
