use std::path::Path;

use super::*;

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
    let told = Told::start(stage("held", "3s"), ", acknowledge: none", actions);
    told.rotate();
    let pid = eventually("it hangs", SOON, || fs::read_to_string(told.stage.folder.join("pid")));
    let hanging = Path::new("/proc").join(pid.trim());
    assert_eq!(told.answer("quick (command true)"), "ok (exit code 0)");
    let late = told.says(["could not announce generation 2: slow (command sleep)"]);
    assert!(late.contains("not done within 1s"), "{late}");

    let lease = told.status()["secrets"]["db"]["lease"].as_str().unwrap().to_owned();
    let renewals = || {
        let labelled = r#"leasehold_requests_total{provider="vault",operation="renew",outcome="ok"}"#;
        told.stage.metric(labelled).unwrap_or_default()
    };
    let before = renewals();
    // Three renewals take longer than the lease would live without them.
    eventually("it is renewed", SOON, || {
        let renewed = renewals() - before;
        if renewed >= 3.0 { Ok(()) } else { Err(format!("{renewed} renewals\n{}", told.log())) }
    });
    assert!(vault().lease_lookup(&lease).is_some_and(|lease| lease.lives()), "{}", told.log());
    assert!(hanging.exists(), "{}", told.log());
    told.end();
    eventually("it ended with leasehold", SOON, || !hanging.exists());
}
