use super::*;
use crate::lifecycle::given::Place;
use harness::process::Group;
use serde_json::json;

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

#[test]
fn a_process_of_another_uid_is_named_at_the_start_with_what_to_do() {
    if !harness::tmpfs::root("running as another uid") {
        return;
    }
    const UID: u32 = 65_532;
    let place = Place::new();
    // The application is of our uid, leasehold is not.
    let name = format!("app{}", std::process::id());
    let program = place.folder.join(&name);
    fs::copy("/bin/sleep", &program).unwrap();
    let application = Group::spawn(std::process::Command::new(&program).arg("600"));
    place.configure(json!({
        "providers": { "store": { "type": "mock", "ttl": "10m" } },
        "secrets": { "db": { "provider": "store", "path": "database/creds/web" } },
        "on_change": [{ "signal": "HUP", "process": name }],
    }));
    for path in [place.folder.to_path_buf(), place.folder.join("state")] {
        std::os::unix::fs::chown(path, Some(UID), Some(UID)).unwrap();
    }
    let mut running = place.command(&["run"]).user(UID, UID).start();
    let expected = format!(
        "we may not signal process {}: it runs as another user; give both containers one runAsUser",
        application.pid().as_raw_nonzero()
    );
    let said = eventually("the warning", SOON * 2, || {
        let log = running.stderr();
        let line = log.lines().find(|line| line.contains("as things are it will fail")).map(str::to_owned);
        line.ok_or(log)
    });
    running.signal(Signal::TERM);
    let end = running.wait(SOON);
    assert!(said.contains(&expected), "{said}");
    assert_eq!(end, Exit::Code(0), "{}", running.stderr());
}
