use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use harness::stalls;

use super::*;

const TTL: Duration = Duration::from_secs(3);

#[test]
fn a_command_that_hangs_holds_up_no_renewal_and_no_other_action() {
    let actions = r#"
  - name: hangs
    command: ["sh", "-c", "echo $$ > FOLDER/part; mv FOLDER/part FOLDER/pid; exec sleep 600"]
    timeout: 10m
  - name: slow
    command: ["sleep", "600"]
    timeout: 1s
    retries: 0
  - name: quick
    command: ["true"]
"#;
    stalls();
    let told = Told::start(stage("held", &format!("{TTL:?}")), ", acknowledge: none", actions);
    told.rotate();
    let pid = eventually("it hangs", SOON, || fs::read_to_string(told.stage.folder.join("pid")));
    let hanging = Path::new("/proc").join(pid.trim());
    assert_eq!(told.answer("quick (command true)"), "ok (exit code 0)");
    let late = told.says(["could not announce generation 2: slow (command sleep)"]);
    assert!(late.contains("not done within 1s"), "{late}");
    let status = told.status();
    let running = &status["running_actions"]["hangs (command sh)"];
    let shown = [&running["generation"], &running["attempt"], &running["attempts"], &running["next"]];
    assert_eq!(shown, [&Value::from(2), &Value::from(1), &Value::from(4), &Value::Null], "{status}");
    let table = told.ask(["status"]).stdout;
    assert!(table.contains("  hangs (command sh): running for "), "{table}");

    let lease = || told.status()["secrets"]["db"]["lease"].as_str().unwrap().to_owned();
    let (begun, before) = (Instant::now(), lease());
    eventually("twice the time that it would have lived", SOON, || begun.elapsed() >= TTL * 2);
    let (after, lives) = (lease(), vault().lease_lookup(&before).is_some_and(|lease| lease.lives()));
    // One that ended while the machine stood still was not held up by an action.
    let stalled = stalls().within(begun.elapsed() + TTL);
    assert!(after == before || stalled, "renewed, not replaced: {}", told.log());
    assert!(lives || stalled, "{}", told.log());
    assert!(hanging.exists(), "{}", told.log());
    told.end();
    eventually("it ended with leasehold", SOON, || !hanging.exists());
}

/// When what happened so long after 1970 did, by the clock that stalls are told by.
fn instant(since_1970: Duration) -> Instant {
    let ago = SystemTime::UNIX_EPOCH.elapsed().unwrap().saturating_sub(since_1970);
    Instant::now().checked_sub(ago).unwrap()
}

#[test]
fn beside_a_slow_a_hanging_and_a_failing_action_all_leases_are_renewed_on_time() {
    const TTL: Duration = Duration::from_secs(12);
    /// Before the end of a lease a renewal has to be asked for.
    const ROOM: Duration = Duration::from_secs(2);
    let actions = r#"
  - name: slow
    command: ["sleep", "60"]
    timeout: 2m
  - name: hangs
    command: ["sh", "-c", "echo $$ > FOLDER/part; mv FOLDER/part FOLDER/pid; exec sleep 600"]
    timeout: 10m
  - name: fails
    command: ["sh", "-c", "echo >> FOLDER/tries; exit 1"]
    retries: 6
"#;
    stalls();
    let mark = vault().audit().mark();
    let stage = stage("unhurried", &format!("{TTL:?}"));
    let config = configured(&stage, ", acknowledge: none", actions);
    let another = format!("secrets:\n  other: {{ provider: vault, path: {} }}\n", stage.creds);
    let text = fs::read_to_string(&config).unwrap().replacen("secrets:\n", &another, 1);
    let text = text.replacen("files:\n", "files:\n  other: { secret: other, field: username }\n", 1);
    fs::write(&config, text).unwrap();
    let told = Told::running(stage, config);
    told.rotate();
    let begun = Instant::now();
    let pid = eventually("it hangs", SOON, || fs::read_to_string(told.stage.folder.join("pid")));
    let hanging = Path::new("/proc").join(pid.trim());
    let leases = || {
        let status = told.status();
        ["db", "other"].map(|name| status["secrets"][name]["lease"].as_str().unwrap().to_owned())
    };
    let held = leases();
    assert_ne!(held[0], held[1]);

    eventually("the slow one is done", Duration::from_secs(90), || {
        let log = told.log();
        if log.contains("announced generation 2: slow (command sleep)") { Ok(()) } else { Err(log) }
    });
    assert!(begun.elapsed() > Duration::from_secs(59), "{}", told.log());
    assert!(hanging.exists(), "{}", told.log());
    told.says(["could not announce generation 2: fails (command sh): it ended with exit code 1"]);
    assert_eq!(fs::read_to_string(told.stage.folder.join("tries")).unwrap().lines().count(), 7);

    let lost = stalls().lost(begun, Instant::now());
    assert!(leases() == held || lost > ROOM, "none is replaced: {}", told.log());
    let entries = vault().audit().since(mark);
    for lease in held {
        let of_it = entries.iter().filter(|entry| !entry.refused()).filter(|entry| {
            entry.line["response"]["secret"]["lease_id"] == *lease
                || entry.path == "sys/leases/renew" && entry.line["request"]["data"]["lease_id"] == *lease
        });
        // Minted, renewed again and again, and now.
        let mut last = None;
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let times = of_it.map(|entry| (entry.asked, entry.at)).chain([(now, now)]).collect::<Vec<_>>();
        for (asked, answered) in &times {
            if let Some(lives_from) = last.replace(*answered) {
                let waited = asked.saturating_sub(lives_from);
                let lost = stalls().lost(instant(lives_from), instant(*asked));
                assert!(waited <= TTL - ROOM + lost, "{lease}: {waited:?}, {lost:?} lost\n{}", told.log());
            }
        }
        assert!(times.len() >= 7 || lost > ROOM, "{lease}: {times:?}");
    }
    told.end();
    eventually("it ended with leasehold", SOON, || !hanging.exists());
}

#[test]
fn several_rotations_in_quick_succession_run_one_debounced_action() {
    let actions = r#"
  - name: calm
    command: ["sh", "-c", "echo $LEASEHOLD_GENERATION >> FOLDER/calm"]
    debounce: 8s
  - name: eager
    command: ["sh", "-c", "echo $LEASEHOLD_GENERATION >> FOLDER/eager"]
"#;
    let told = Told::start(stage("debounced", "2m"), ", acknowledge: none", actions);
    let lines = |name: &str| fs::read_to_string(told.stage.folder.join(name)).unwrap_or_default();
    for expected in ["2\n", "2\n3\n", "2\n3\n4\n"] {
        told.rotate();
        eventually("who is told at once knows of it", SOON, || lines("eager") == expected);
    }
    assert_eq!(lines("calm"), "", "it waits for the last of them: {}", told.log());
    assert_eq!(told.answer("calm (command sh)"), "ok (exit code 0)");
    assert_eq!(lines("calm"), "4\n", "{}", told.log());
    told.end();
}
