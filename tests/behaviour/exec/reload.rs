//! Another `env` in a configuration that is read again.

use super::*;

/// Says what it was started with, at each start.
const SAYS: &str = "
    trap 'exit 0' TERM
    echo \"$DB_USER ${GREETING-none} ${MORE-none}\" >> FOLDER/starts
    while :; do sleep 0.05; done";

/// A place whose configuration has this `env` beside the name of the user.
fn configure(place: &Place, env: &Value) {
    let mut config = quiet();
    config["exec"] = json!({ "splay": "0s", "grace": "5s" });
    config["env"] = json!({ "DB_USER": "{{ db.username }}" });
    config["env"].as_object_mut().unwrap().extend(env.as_object().unwrap().clone());
    place.configure(config);
}

/// What the command was started with so far, without the user, which stays the same.
#[track_caller]
fn starts(place: &Place) -> Vec<String> {
    let starts = lines(&place.folder.join("starts"));
    let (users, said): (Vec<&str>, Vec<&str>) =
        starts.iter().map(|line| line.split_once(' ').unwrap()).unzip();
    assert!(users.iter().all(|user| *user == users[0] && user.len() > 5), "{users:?}");
    said.into_iter().map(str::to_owned).collect()
}

#[track_caller]
fn started(place: &Place, expected: &[&str], running: &mut Running) {
    eventually(&format!("it is started with {expected:?}"), SOON, || match starts(place) {
        starts if starts == expected => Ok(()),
        starts => Err(format!("{starts:?}\n{}", running.stderr())),
    });
}

#[track_caller]
fn says(what: &str, running: &mut Running) {
    eventually(&format!("it says {what:?}"), SOON, || match running.stderr() {
        stderr if stderr.contains(what) => Ok(()),
        stderr => Err(stderr),
    });
}

#[test]
fn a_changed_template_restarts_the_command_and_a_refused_one_does_not() {
    let place = Place::new();
    configure(&place, &json!({ "GREETING": "hello" }));
    let mut running = sh(&place, SAYS).start();
    started(&place, &["hello none"], &mut running);

    // There is no such field: the old templates stay, and the command is left alone.
    configure(&place, &json!({ "GREETING": "{{ db.nickname }}" }));
    says("nickname", &mut running);
    says("the old one stays", &mut running);

    configure(&place, &json!({ "GREETING": "good day" }));
    started(&place, &["hello none", "good day none"], &mut running);
    says("env.GREETING", &mut running);

    // One that is taken away is gone.
    configure(&place, &json!({}));
    started(&place, &["hello none", "good day none", "none none"], &mut running);
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
}

#[test]
fn a_new_name_and_one_that_says_which_code_runs_wait_for_a_restart() {
    let place = Place::new();
    configure(&place, &json!({ "GREETING": "hello", "LD_LIBRARY_PATH": "/nowhere" }));
    let mut running = sh(&place, SAYS).start();
    started(&place, &["hello none"], &mut running);

    configure(&place, &json!({ "GREETING": "hello", "LD_LIBRARY_PATH": "/elsewhere", "MORE": "more" }));
    says("only a restart takes over: env.LD_LIBRARY_PATH; env.MORE (new)", &mut running);
    let status: Value = serde_json::from_str(&place.finish(&["status", "--json"]).stdout).unwrap();
    let waiting = status.to_string();
    assert!(waiting.contains("env.LD_LIBRARY_PATH") && waiting.contains("env.MORE"), "{waiting}");

    // What may change does so beside them.
    configure(&place, &json!({ "GREETING": "good day", "LD_PRELOAD": "/evil.so", "MORE": "more" }));
    started(&place, &["hello none", "good day none"], &mut running);
    let environ = fs::read_to_string(format!("/proc/{}/environ", child(&running))).unwrap();
    assert!(environ.contains("LD_LIBRARY_PATH=/nowhere\0") && !environ.contains("evil"), "{environ}");
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
}

/// The command's process.
#[track_caller]
fn child(running: &Running) -> String {
    let pid = running.pid().as_raw_nonzero();
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap().trim().to_owned()
}
