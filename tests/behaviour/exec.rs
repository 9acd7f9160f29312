//! `leasehold exec -- CMD`: the command's life, by its exit codes, signals, restarts and what is left.

mod namespace;
mod reload;
mod terminal;
mod timing;

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::leasehold::Running;
use harness::process::Exit;
use harness::{Leasehold, Signal, eventually};
use leasehold_harness as harness;
use serde_json::{Value, json};

use crate::lifecycle::given::{Place, SOON};

/// A store inside the process whose leases live for long.
fn quiet() -> Value {
    json!({
        "providers": { "store": { "type": "mock", "ttl": "10m" } },
        "secrets": { "db": { "provider": "store", "path": "database/creds/web" } },
        "env": { "DB_USER": "{{ db.username }}", "DB_PASSWORD": "{{ db.password }}" },
    })
}

/// With a shell script as the command.
fn sh(place: &Place, script: &str) -> Leasehold {
    let config = place.folder.join("leasehold.yaml");
    let script = script.replace("FOLDER", &place.folder.display().to_string());
    let words =
        ["exec", "-c", &config.display().to_string(), "--", "/bin/sh", "-c", &script].map(str::to_owned);
    Leasehold::command(words)
}

/// What a script wrote into a file beside the configuration, once it is a whole line.
#[track_caller]
fn written(place: &Place, name: &str, running: &mut Running) -> String {
    eventually(&format!("{name} is written"), SOON, || {
        let text = fs::read_to_string(place.folder.join(name)).unwrap_or_default();
        if text.ends_with('\n') { Ok(text.trim().to_owned()) } else { Err(running.stderr()) }
    })
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Scripts, and the codes that they end with.
const ENDS: [(&str, i32); 5] = [
    ("exit 0", 0),
    ("exit 3", 3),
    ("exit 255", 255),
    ("kill -KILL $$", 128 + 9),
    ("kill -TERM $$; sleep 60", 128 + 15),
];

#[test]
fn it_ends_with_the_commands_code_or_128_and_its_signal() {
    for (script, code) in ENDS {
        let place = Place::new();
        place.configure(quiet());
        let ended = sh(&place, script).finish(SOON);
        assert_eq!(ended.exit, Exit::Code(code), "{script}: {}", ended.stderr);
    }
}

#[test]
fn the_command_gets_env_the_directory_and_what_is_not_secret_of_our_environment() {
    let place = Place::new();
    place.configure(quiet());
    let ended = sh(&place, "env; umask; echo to-stderr >&2; cat; cat $LEASEHOLD_DIR/db/username")
        .env("PLAIN", "stays")
        .env("EMPTY", "")
        .env("STORE_TOKEN", "canary-token")
        .env("LEASEHOLD_OTHER", "canary-ours")
        .env("RUST_BACKTRACE", "1")
        .finish(SOON);
    assert_eq!(ended.exit, Exit::Code(0), "{}", ended.stderr);
    let has = |line: &str| ended.stdout.lines().any(|have| have == line);
    let value = |name: &str| {
        let found = ended.stdout.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        found.unwrap_or_else(|| panic!("{name}: {}", ended.stdout)).to_owned()
    };
    assert!(has("PLAIN=stays") && has("EMPTY=") && has("RUST_BACKTRACE=1"), "{}", ended.stdout);
    assert_eq!(value("LEASEHOLD_DIR"), place.live().display().to_string());
    assert!(ended.stdout.ends_with(&value("DB_USER")), "{}", ended.stdout);
    assert!(!value("DB_PASSWORD").is_empty());
    assert!(!ended.stdout.contains("canary"), "{}", ended.stdout);
    assert!(!has("0077"), "the umask is put back: {}", ended.stdout);
    assert!(ended.stderr.contains("to-stderr"));
    assert!(ended.stderr.contains("STORE_TOKEN") && !ended.stderr.contains("canary"), "{}", ended.stderr);
    assert!(!ended.stderr.contains(&value("DB_PASSWORD")));
}

#[test]
fn without_files_there_is_no_directory() {
    let place = Place::new();
    let mut config = quiet();
    config["files"] = json!({});
    place.configure(config);
    let ended = sh(&place, "echo \"${LEASEHOLD_DIR-none} $DB_USER\"").finish(SOON);
    assert_eq!(ended.exit, Exit::Code(0), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("none ") && ended.stdout.trim().len() > 5, "{}", ended.stdout);
    assert!(!place.live().exists());
}

#[test]
fn without_files_the_application_says_that_it_was_refused_over_the_admin_socket_and_has_nothing_to_acknowledge()
 {
    let place = Place::new();
    let mut config = quiet();
    config["files"] = json!({});
    config["lifecycle"] = json!({ "acknowledge": "required" });
    place.configure(config);
    let vain = "lifecycle.acknowledge: `files` is empty: there is nothing to acknowledge";
    let checked = place.command(&["check"]).finish(SOON);
    assert_eq!(checked.exit, Exit::Code(0), "{checked:?}");
    assert!(checked.stdout.contains(&format!("\nnote: {vain}")), "{}", checked.stdout);
    let mut running = sh(&place, "echo started > FOLDER/started; exec sleep 60").start();
    written(&place, "started", &mut running);
    eventually("the start says it, too", SOON, || running.stderr().contains(vain));
    let stale = place.command(&["stale", "db"]).finish(SOON);
    assert_eq!(stale.exit, Exit::Code(0), "{}\n{}", stale.stderr, running.stderr());
    assert!(!stale.stdout.trim().is_empty(), "{stale:?}");
    let unknown = place.command(&["stale", "nonsense"]).finish(SOON);
    assert!(unknown.stderr.contains("there is no secret"), "{unknown:?}");
    let ack = place.command(&["ack"]).finish(SOON);
    assert_ne!(ack.exit, Exit::Code(0), "{ack:?}");
    assert!(ack.stderr.contains("nothing waits for it"), "{ack:?}");
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(128 + 15));
}

#[test]
fn no_credential_stands_in_a_command_line_nor_in_our_environment() {
    let place = Place::new();
    place.configure(quiet());
    let mut running = sh(&place, "echo $DB_PASSWORD > FOLDER/password; exec sleep 60").start();
    let password = written(&place, "password", &mut running);
    let pid = running.pid().as_raw_nonzero();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(&password), "{:?}", entry.path());
    }
    let ours = fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&ours).contains(&password));
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(128 + 15));
}

#[test]
fn what_cannot_be_started_is_said_before_anything_is_fetched() {
    for (word, code, words) in [
        ("no-such-command", 127, "is it in this image, and on PATH?"),
        ("/no/such/command", 127, "there is no such program"),
        ("/etc/passwd", 126, "give our uid the right to execute it"),
    ] {
        let place = Place::new();
        let config = place.configure(quiet());
        let words_of = ["exec", "-c", &config.display().to_string(), "--", word].map(str::to_owned);
        let ended = Leasehold::command(words_of).finish(SOON);
        assert_eq!(ended.exit, Exit::Code(code), "{}", ended.stderr);
        assert!(ended.stderr.contains(words) && ended.stderr.contains(word), "{}", ended.stderr);
        assert!(!ended.stderr.contains("minted"), "{}", ended.stderr);
    }
}

#[test]
fn a_start_that_fails_never_starts_the_command() {
    let place = Place::new();
    let mut config = quiet();
    config["providers"]["store"]["script"] = json!([{ "deny": "fetch" }]);
    place.configure(config);
    let ended = sh(&place, "echo > FOLDER/ran").finish(SOON);
    assert_eq!(ended.exit, Exit::Code(77), "{}", ended.stderr);
    assert!(!place.folder.join("ran").exists());
}

#[test]
fn signals_reach_the_command_and_a_hangup_reloads_nothing() {
    let place = Place::new();
    place.configure(quiet());
    let script = "
        for s in HUP INT QUIT USR1 USR2 WINCH; do trap \"echo $s >> FOLDER/got\" $s; done
        trap 'echo TERM >> FOLDER/got; exit 7' TERM
        echo > FOLDER/started
        while :; do sleep 0.05; done";
    let mut running = sh(&place, script).start();
    written(&place, "started", &mut running);
    let got = place.folder.join("got");
    let mut expected = Vec::new();
    for (signal, name) in [
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::WINCH, "WINCH"),
    ] {
        running.signal(signal);
        expected.push(name.to_owned());
        eventually(name, SOON, || if lines(&got) == expected { Ok(()) } else { Err(running.stderr()) });
    }
    assert!(!running.stderr().contains("configuration"), "{}", running.stderr());
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(7), "{}", running.stderr());
    assert_eq!(lines(&got).last().map(String::as_str), Some("TERM"));
    assert!(running.stderr().contains("what is held is taken back"), "{}", running.stderr());
}

#[test]
fn the_first_sigterm_waits_for_the_command_and_the_second_kills_it() {
    let place = Place::new();
    place.configure(quiet());
    let script = "trap 'echo > FOLDER/told' TERM; echo > FOLDER/started; while :; do sleep 0.05; done";
    let mut running = sh(&place, script).start();
    written(&place, "started", &mut running);
    running.signal(Signal::TERM);
    written(&place, "told", &mut running);
    assert!(running.exit().is_none());
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(128 + 9), "{}", running.stderr());
    assert!(running.stderr().contains("session"), "{}", running.stderr());
}

#[test]
fn status_shows_the_command() {
    let place = Place::new();
    place.configure(quiet());
    let mut running = sh(&place, "echo $$ > FOLDER/pid; exec sleep 60").start();
    let pid = written(&place, "pid", &mut running);
    eventually("ready", SOON, || place.ready() == 200);
    let shown = place.finish(&["status", "--json"]);
    let report: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(report["command"]["state"], "running", "{report}");
    assert_eq!(report["command"]["pid"].to_string(), pid);
    assert_eq!(report["command"]["restarts"], 0);
    let table = place.finish(&["status"]).stdout;
    assert!(table.contains(&format!("command running as process {pid}")), "{table}");
    running.signal(Signal::TERM);
    running.wait(SOON);
}

#[test]
fn on_expiry_exit_ends_the_command_first_and_then_us_with_75() {
    let place = Place::new();
    let mut config = quiet();
    config["providers"]["store"] = json!({
        "type": "mock", "ttl": "9s", "max_ttl": "9s", "renewable": false,
        // After the first one, and before its successor is fetched.
        "script": [{ "at": "3s", "outage": true }],
    });
    config["secrets"]["db"]["on_expiry"] = json!("exit");
    place.configure(config);
    let mut running =
        sh(&place, "trap 'echo TERM > FOLDER/got; exit 0' TERM; while :; do sleep 0.05; done").start();
    assert_eq!(running.wait(Duration::from_secs(30)), Exit::Code(75), "{}", running.stderr());
    assert_eq!(lines(&place.folder.join("got")), ["TERM"]);
}
