//! Restarts, on short leases.

use harness::stalls;
use rustix::process::Pid;

use super::namespace::{UNSHARED, first};
use super::terminal::{ended_with, line};
use super::*;
use crate::stage::{Rights, Stage};
use crate::terminal::Terminal;

/// A command that cannot be there twice, and says each start. One that is killed leaves its lock: it has to be
/// given the time to end by itself.
const ALONE: &str = "
    set -C; : > FOLDER/lock || { echo >> FOLDER/twice; exit 9; }
    set +C
    trap 'rm FOLDER/lock; exit 0' TERM
    echo $DB_USER >> FOLDER/starts
    while :; do sleep 0.05; done";

fn short(ttl: &str) -> Value {
    let mut config = quiet();
    config["providers"]["store"] = json!({ "type": "mock", "ttl": ttl, "max_ttl": ttl, "renewable": false });
    config["exec"] = json!({ "splay": "0s" });
    config
}

#[test]
fn a_rotation_restarts_the_command_and_never_are_there_two() {
    let place = Place::new();
    place.configure(short("4s"));
    let mut running = sh(&place, ALONE).start();
    let pid = running.pid();
    restarts(&place, &mut running, |_| pid);
}

#[test]
fn as_pid_1_a_rotation_restarts_the_command_and_never_are_there_two() {
    if !harness::tmpfs::root("a PID namespace") {
        return;
    }
    let place = Place::new();
    place.configure(short("4s"));
    let mut running = sh(&place, ALONE).under(UNSHARED).start();
    restarts(&place, &mut running, first);
}

/// The command is started three times, each with another credential, and ends when leasehold, which has this
/// process id, is told to.
#[track_caller]
fn restarts(place: &Place, running: &mut Running, leasehold: impl Fn(&Running) -> Pid) {
    let starts = place.folder.join("starts");
    eventually("three starts", Duration::from_secs(30), || {
        if lines(&starts).len() >= 3 { Ok(()) } else { Err(running.stderr()) }
    });
    rustix::process::kill_process(leasehold(running), Signal::TERM).unwrap();
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    let mut users = lines(&starts);
    let count = users.len();
    users.dedup();
    assert_eq!(users.len(), count, "each has another credential");
    assert!(!place.folder.join("twice").exists());
}

/// It ends once it is let go, and says when it was told to.
const LINGERS: &str = "
    trap 'echo >> FOLDER/told' TERM
    echo $DB_USER >> FOLDER/starts
    until [ -e FOLDER/go ]; do sleep 0.05; done
    exit 3";

/// A command is told to end, and what it has is replaced twice and more while it drains.
fn drained(config: Value) -> (Place, String) {
    let place = Place::new();
    place.configure(config);
    let mut running = sh(&place, LINGERS).start();
    place.await_file("db/username", &mut running);
    eventually("the command runs", SOON, || lines(&place.folder.join("starts")).len() == 1);
    running.signal(Signal::TERM);
    eventually("it is told", SOON, || lines(&place.folder.join("told")).len() == 1);
    let at_the_signal = place.read("db/username").unwrap();
    let mut seen = vec![at_the_signal];
    eventually("two lives of a lease go by in the drain", Duration::from_secs(60), || {
        let now = place.read("db/username").unwrap_or_default();
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        if seen.len() >= 4 { Ok(()) } else { Err(running.stderr()) }
    });
    assert_eq!(lines(&place.folder.join("starts")).len(), 1, "{}", running.stderr());
    fs::write(place.folder.join("go"), "").unwrap();
    assert_eq!(running.wait(SOON), Exit::Code(3), "{}", running.stderr());
    let said = running.stderr();
    (place, said)
}

#[test]
fn a_command_that_drains_has_the_successors_of_what_it_reads_and_nothing_is_called_expired() {
    let mut config = short("8s");
    config["exec"] = json!({ "splay": "0s", "grace": "1s", "on_change": "restart" });
    config["env"] = json!({ "FIXED": "as it is" });
    config["secrets"]["db"]["on_expiry"] = json!("exit");
    stalls();
    let began = std::time::Instant::now();
    let (_, said) = drained(config);
    let stood_still = !stalls().lost(began, std::time::Instant::now()).is_zero();
    assert!(stood_still || !said.contains("expired"), "{said}");
    assert!(!said.contains("cannot be given"), "{said}");
}

#[test]
fn a_drain_is_not_hurried_for_what_the_environment_cannot_get_any_more() {
    let mut config = short("8s");
    config["exec"] = json!({ "splay": "0s", "grace": "1s" });
    config["secrets"]["db"]["on_expiry"] = json!("exit");
    let (_, said) = drained(config);
    assert!(
        said.contains("secret \"db\" has a successor, which the command cannot be given while it ends"),
        "{said}"
    );
    assert!(!said.contains("and was killed"), "{said}");
}

#[test]
fn restarted_as_pid_1_at_a_terminal_the_command_has_it_again() {
    if !harness::tmpfs::root("a PID namespace") {
        return;
    }
    let place = Place::new();
    let mut config = short("4s");
    config["log"] = json!({ "level": "warn" });
    place.configure(config);
    let (starts, typed) = (place.folder.join("starts"), place.folder.join("typed"));
    let script = format!("echo $DB_USER >> {}\nexec cat >> {}\n", starts.display(), typed.display());
    let command = format!("sh {}", place.file("typist", &script).display());
    let terminal = Terminal::open(&place.folder);
    terminal.prompts("outer$");
    terminal.keys(&[&format!("{} {}", UNSHARED.join(" "), line(&place, &command)), "Enter"]);
    for count in [1, 3] {
        eventually("it is started again", Duration::from_secs(30), || {
            if lines(&starts).len() >= count { Ok(()) } else { Err(terminal.tmux(&["capture-pane", "-p"])) }
        });
        let word = format!("word-{count}");
        terminal.keys(&[&word, "Enter"]);
        eventually("it reads", SOON, || lines(&typed).last() == Some(&word));
    }
    // Its input ends, and so does it.
    terminal.keys(&["C-d"]);
    ended_with(&terminal, 0);
}

#[test]
fn one_whose_environment_is_the_same_is_left_alone() {
    let place = Place::new();
    let mut config = short("3s");
    config["env"] = json!({ "FIXED": "as it is" });
    place.configure(config);
    let mut running = sh(&place, ALONE).start();
    let first = place.await_file("db/username", &mut running);
    eventually("two rotations", Duration::from_secs(30), || {
        let generation = place.metric("leasehold_generation", &[]);
        if generation >= 3.0 { Ok(()) } else { Err(running.stderr()) }
    });
    assert_ne!(place.read("db/username").unwrap(), first);
    assert_eq!(lines(&place.folder.join("starts")).len(), 1, "{}", running.stderr());
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0));
}

#[test]
fn it_is_not_ready_while_the_command_is_drained() {
    let place = Place::new();
    let mut config = short("10s");
    config["exec"] = json!({ "splay": "0s", "drain": "3s" });
    place.configure(config);
    let mut running = sh(&place, ALONE).start();
    eventually("ready", SOON, || place.ready() == 200);
    eventually("not ready", SOON, || place.ready() == 503);
    assert_eq!(lines(&place.folder.join("starts")).len(), 1, "it runs on: {}", running.stderr());
    eventually("ready again", SOON, || place.ready() == 200);
    // Its first act comes a moment after its start.
    eventually("the second", SOON, || lines(&place.folder.join("starts")).len() == 2);
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0));
}

/// A configuration of a stage at the real servers, with `env`.
fn at_the_servers(stage: &Stage, lifecycle: &str, exec: &str) -> std::path::PathBuf {
    let config = stage.config(lifecycle);
    let more = format!("env: {{ DB_USER: '{{{{ db.username }}}}' }}\nexec: {{ {exec} }}\n");
    fs::write(&config, fs::read_to_string(&config).unwrap() + &more).unwrap();
    config
}

fn exec(config: &Path, script: &str) -> Leasehold {
    let words =
        ["exec", "-c", &config.display().to_string(), "--", "/bin/sh", "-c", script].map(str::to_owned);
    Leasehold::command(words)
}

#[test]
fn twenty_starts_in_a_crash_loop_take_one_role_and_a_clean_end_gives_it_back() {
    let stage = Stage::new("crashloop", "5m", "1h", Rights::Smallest);
    let config = at_the_servers(&stage, "revoke_delay: 0s", "");
    for _ in 0..20 {
        let ended = exec(&config, "exit 1").finish(SOON);
        assert_eq!(ended.exit, Exit::Code(1), "{}", ended.stderr);
    }
    stage.only_role();
    assert_eq!(stage.mints(), 1);
    let ended = exec(&config, "exit 0").finish(SOON);
    assert_eq!(ended.exit, Exit::Code(0), "{}", ended.stderr);
    stage.nothing_is_left();
    assert_eq!(stage.mints(), 1);
}

#[test]
fn after_a_handover_the_next_start_goes_on_with_the_lease_and_no_word_is_of_files_or_run() {
    let stage = Stage::new("exechandover", "5m", "1h", Rights::Smallest);
    let config = at_the_servers(&stage, "revoke_delay: 10m", "");
    let text = fs::read_to_string(&config).unwrap();
    let (files, output) = (text.find("files:").unwrap(), text.find("output:").unwrap());
    fs::write(&config, format!("{}files: {{}}\n{}", &text[..files], &text[output..])).unwrap();
    let note = stage.folder.join("user");
    let script =
        format!("trap 'exit 7' TERM; echo $DB_USER > {}; while :; do sleep 0.05; done", note.display());
    let mut first = exec(&config, &script).start();
    eventually(
        "the command runs",
        SOON,
        || if lines(&note).len() == 1 { Ok(()) } else { Err(first.stderr()) },
    );
    let told = Leasehold::command(["handover", "-c", &config.display().to_string()]).finish(SOON);
    assert_eq!(told.exit, Exit::Code(0), "{told:?}");
    assert!(told.stdout.contains("revokes nothing: it is passed on to the command"), "{told:?}");
    first.signal(Signal::TERM);
    assert_eq!(first.wait(SOON), Exit::Code(7), "{}", first.stderr());
    let said = first.stderr();
    assert!(
        said.contains("without a `leasehold exec` that takes it over, secret \"db\" ends first"),
        "{said}"
    );
    for untrue in ["waits for nothing", "the set is in place and", "leasehold run"] {
        assert!(!said.contains(untrue), "{untrue}: {said}");
    }
    let role = stage.only_role();
    assert_eq!(lines(&note), std::slice::from_ref(&role));

    let next = exec(&config, "echo $DB_USER").finish(SOON);
    assert_eq!((next.exit, next.stdout.trim()), (Exit::Code(0), role.as_str()), "{}", next.stderr);
    assert_eq!((stage.mints(), stage.tokens().len()), (1, 1));
    stage.nothing_is_left();
}

#[test]
fn told_to_revoke_a_crash_leaves_nothing() {
    let stage = Stage::new("crashrevoke", "5m", "1h", Rights::Smallest);
    let config = at_the_servers(&stage, "revoke_delay: 0s", "on_crash: revoke");
    assert_eq!(exec(&config, "exit 1").finish(SOON).exit, Exit::Code(1));
    stage.nothing_is_left();
}

#[test]
fn the_old_lease_outlives_the_restart_by_its_overlap() {
    const LIFE: Duration = Duration::from_secs(12);
    stalls();
    let stage = Stage::new("execoverlap", "12s", "12s", Rights::RevokeLeases);
    let config = at_the_servers(&stage, "overlap: 2s, revoke_delay: 0s", "splay: 0s, grace: 1s");
    let folder = stage.folder.display().to_string();
    let script = "echo $DB_USER >> FOLDER/starts; exec sleep 60".replace("FOLDER", &folder);
    let mut running = exec(&config, &script).start();
    let starts = stage.folder.join("starts");
    eventually("restarted", Duration::from_secs(30), || {
        if lines(&starts).len() == 2 { Ok(()) } else { Err(running.stderr()) }
    });
    let restarted = std::time::Instant::now();
    let old = lines(&starts)[0].clone();
    eventually("it is revoked", SOON, || match stage.database.roles().contains(&old) {
        true => Err(running.stderr()),
        false => Ok(()),
    });
    let outlived = restarted.elapsed();
    assert!(outlived >= Duration::from_millis(1_500) || stalls().within(LIFE), "{outlived:?}");
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(128 + 15), "{}", running.stderr());
    stage.nothing_is_left();
}
