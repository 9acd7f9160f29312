use std::path::Path;
use std::time::{Duration, Instant};

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
