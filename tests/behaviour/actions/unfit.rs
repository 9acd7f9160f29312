use super::*;

#[test]
fn what_will_not_work_is_said_at_the_start_and_the_files_are_there_all_the_same() {
    let actions = r#"
  - { signal: HUP, process: nobody-has-this }
  - command: ["FOLDER/plain"]
  - command: ["no-such-program", "--soft"]
    retries: 0
"#;
    let stage = stage("unfit", "2m");
    let plain = stage.folder.join("plain");
    fs::write(&plain, "no program\n").unwrap();
    let told = Told::start(stage, "", actions);
    let warned = told.says(["on_change[1]", "as things are it will fail", "may not be run by us"]);
    assert!(warned.contains(&plain.display().to_string()), "{warned}");
    told.says(["on_change[2], command no-such-program", "as things are it will fail", "on PATH"]);
    let before = told.file("password");
    let replaced = told.rotate();
    let after = told.file("password");
    assert_ne!(before, after, "a new set is in place");
    told.says(["could not announce generation 2: command no-such-program"]);
    told.is_kept(&replaced);
    // Ten seconds after the first set.
    told.says(["on_change[0], signal HUP to nobody-has-this", "as things are it will fail"]);
    assert_eq!(told.file("password"), after);
    told.end();
}

#[test]
fn a_check_refuses_what_can_never_work() {
    let stage = stage("refused", "2m");
    for (action, expected) in [
        (r#"{ command: ["bin/reload"] }"#, "on_change[0].command: expected the absolute path"),
        (r#"{ command: ["/bin/reload --soft"] }"#, "on_change[0].command: each word is an item"),
        (r#"{ command: ["true"], environment: { LEASEHOLD_DIR: here } }"#, "are set by leasehold"),
        (r#"{ command: ["true"], files: [nothing] }"#, "on_change[0].files"),
        (r#"{ http: { url: "app:8080" } }"#, "on_change[0].http.url: expected a URL"),
        (r#"{ http: { url: "http://me:me@app/" } }"#, "write an `Authorization` under `headers`"),
        ("{ signal: HUP }", "process"),
        (r#"{ signal: HUP, process: web, command: ["true"] }"#, "on_change[0]"),
        (r#"{ command: ["true"], retrys: 1 }"#, "retries"),
    ] {
        let config = configured(&stage, "", &format!("  - {action}"));
        let end = leasehold("check", &config).finish(SOON);
        assert_eq!(end.exit, Exit::Code(78), "{action}: {}{}", end.stdout, end.stderr);
        let said = end.stderr.replace("\n  ", ": ");
        assert!(said.contains(expected), "{action}: {said}");
    }
}
