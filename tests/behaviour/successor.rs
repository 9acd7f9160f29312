//! `leasehold handover`: an operator says that a successor comes, and the next SIGTERM leaves everything to it.

use std::path::Path;
use std::time::{Duration, Instant};

use harness::leasehold::Finished;
use harness::process::Exit;
use harness::{Signal, eventually, postgres, vault};
use leasehold_harness as harness;

use crate::SOON;
use crate::stage::{Rights, Stage, leasehold, ready, run};

/// `leasehold handover -c CONFIG WORD…`.
fn handover(config: &Path, words: &[&str]) -> Finished {
    let mut all = vec!["handover".as_ref(), "-c".as_ref(), config.as_os_str()];
    all.extend(words.iter().map(std::ffi::OsStr::new));
    harness::Leasehold::command(all).finish(SOON)
}

#[track_caller]
fn credential(stage: &Stage) -> String {
    let pair = std::fs::read_to_string(stage.live().join("db.env")).unwrap();
    let (username, password) = pair.split_once(' ').unwrap();
    assert_eq!(postgres().login(username, password), Ok(()));
    username.to_owned()
}

#[track_caller]
fn says_it_in_its_status(config: &Path, expected: bool) {
    let json = leasehold("status", config).finish(SOON).stdout;
    let table = json_status(config);
    assert_eq!(table["handover"], expected, "{table}");
    assert_eq!(json.contains("leaves everything to a successor"), expected, "{json}");
}

fn json_status(config: &Path) -> serde_json::Value {
    let words = ["status".as_ref(), "--json".as_ref(), "-c".as_ref(), config.as_os_str()];
    serde_json::from_str(&harness::Leasehold::command(words).finish(SOON).stdout).unwrap()
}

#[test]
fn the_next_sigterm_leaves_all_to_a_successor_which_goes_on_with_the_same_lease() {
    let stage = Stage::new("succeeded", "1m", "5m", Rights::Smallest);
    // Without the hand-over it would go on for ten minutes, and then revoke.
    let config = stage.config("revoke_delay: 10m");
    let mut first = run(&config);
    ready(&first, &config);
    let (role, leases, tokens) = (stage.only_role(), stage.database.leases(), stage.tokens());
    assert_eq!(credential(&stage), role);
    says_it_in_its_status(&config, false);

    let told = handover(&config, &[]);
    assert_eq!(told.exit, Exit::Code(0), "{told:?}");
    assert!(told.stdout.contains("the next SIGTERM revokes nothing"), "{told:?}");
    assert!(first.stderr().contains("the next SIGTERM revokes nothing"), "{}", first.stderr());
    says_it_in_its_status(&config, true);

    let mark = vault().audit().mark();
    let asked = Instant::now();
    first.signal(Signal::TERM);
    assert_eq!(first.wait(SOON), Exit::Code(0), "{}", first.stderr());
    assert!(asked.elapsed() < Duration::from_secs(10), "it waits for nobody");
    assert!(first.stderr().contains("handed over"), "{}", first.stderr());
    assert_eq!(credential(&stage), role);

    let mut second = run(&config);
    ready(&second, &config);
    assert_eq!((stage.only_role(), credential(&stage)), (role.clone(), role));
    assert_eq!((stage.database.leases(), stage.tokens(), stage.mints()), (leases, tokens.clone(), 1));
    // Tests beside this one revoke at the same server.
    let revoked = |path: &str| {
        let all = vault().audit().matching(mark, "update", path);
        all.iter().filter(|entry| entry.accessor() == Some(&tokens[0])).count()
    };
    assert_eq!((revoked("auth/token/revoke-self"), revoked("sys/leases/revoke")), (0, 0));
    // What was said held for one end.
    says_it_in_its_status(&config, false);

    second.signal(Signal::INT);
    assert_eq!(second.wait(SOON), Exit::Code(0), "{}", second.stderr());
    stage.nothing_is_left();
    assert!(!vault().token_lives(&tokens[0]));
}

#[test]
fn taken_back_or_on_a_terminal_the_end_revokes_as_ever() {
    for (words, signal) in [(&["--cancel"][..], Signal::TERM), (&[], Signal::INT)] {
        let stage = Stage::new("cancelled", "1m", "5m", Rights::Smallest);
        let config = stage.config("revoke_delay: 0s");
        let mut running = run(&config);
        ready(&running, &config);
        assert_eq!(handover(&config, &[]).exit, Exit::Code(0));
        let again = handover(&config, words);
        assert_eq!(again.exit, Exit::Code(0), "{again:?}");
        running.signal(signal);
        assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
        stage.nothing_is_left();
    }
}

#[test]
fn where_nothing_is_recorded_it_is_refused_with_the_reason() {
    let stage = Stage::new("refused", "1m", "5m", Rights::Smallest);
    let config = stage.config("revoke_delay: 0s");
    let text = std::fs::read_to_string(&config).unwrap();
    let state = format!("state_directory: {}", stage.folder.join("state").display());
    std::fs::write(&config, text.replace(&state, "state_directory: off")).unwrap();
    let mut running = run(&config);
    ready(&running, &config);
    let refused = handover(&config, &[]);
    assert_ne!(refused.exit, Exit::Code(0), "{refused:?}");
    assert!(refused.stderr.contains("lifecycle.state_directory is off"), "{refused:?}");
    says_it_in_its_status(&config, false);
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    stage.nothing_is_left();
}

#[test]
fn a_hand_over_that_could_not_be_written_is_not_promised() {
    if !harness::tmpfs::root("a full volume of our own") {
        return;
    }
    let stage = Stage::new("full", "8s", "5m", Rights::Smallest);
    let volume = harness::tmpfs::Volume::with_options("size=1m");
    let state = volume.join("state");
    let config = stage.config_in("full", &stage.live(), &state, "revoke_delay: 0s");
    let mut running = run(&config);
    ready(&running, &config);
    assert_eq!(handover(&config, &[]).exit, Exit::Code(0));
    assert_eq!(handover(&config, &["--cancel"]).exit, Exit::Code(0));
    // A renewal is recorded, and there is no room any more.
    fill(&volume.join("filler"));
    let said = eventually("it is refused", SOON, || {
        let answer = handover(&config, &[]);
        let refused = answer.exit != Exit::Code(0);
        handover(&config, &["--cancel"]);
        refused.then_some(answer.stderr)
    });
    assert!(said.contains("the hand-over is not whole: held.") && said.contains("make room there"), "{said}");
    std::fs::remove_file(volume.join("filler")).unwrap();
    eventually("the next record is whole again", SOON, || handover(&config, &[]).exit == Exit::Code(0));
    running.signal(Signal::INT);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    stage.nothing_is_left();
}

/// Until nothing fits any more.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}
