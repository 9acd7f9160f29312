//! What one process leaves for the next, and what the last one takes back.

use std::time::{Duration, Instant};

use harness::process::Exit;
use harness::{Proxy, Signal, eventually, postgres, vault};
use leasehold_harness as harness;

use crate::SOON;
use crate::stage::{Rights, Stage, leasehold, ready, run};

/// Two log-ins can be told apart only where there is a second one.
fn logs_in(stage: &Stage) -> String {
    let pair = std::fs::read_to_string(stage.live().join("db.env")).unwrap();
    let (username, password) = pair.split_once(' ').unwrap();
    assert_eq!(postgres().login(username, password), Ok(()));
    username.to_owned()
}

#[test]
fn one_and_the_same_credential_from_init_to_run_and_after_a_kill() {
    let stage = Stage::new("handed", "12s", "5m", Rights::Smallest);
    let config = stage.config("revoke_delay: 0s");
    let init = leasehold("init", &config).finish(SOON * 2);
    assert_eq!(init.exit, Exit::Code(0), "{}", init.stderr);
    assert!(init.stderr.contains("without a `leasehold run`"), "{}", init.stderr);
    let role = stage.only_role();
    assert_eq!(logs_in(&stage), role);
    let tokens = stage.tokens();

    let mark = vault().audit().mark();
    let mut sidecar = run(&config);
    ready(&sidecar, &config);
    assert_eq!((stage.only_role(), logs_in(&stage)), (role.clone(), role.clone()));
    sidecar.kill9();
    assert_eq!(stage.only_role(), role, "it had no chance to revoke anything");
    let mut sidecar = run(&config);
    ready(&sidecar, &config);
    assert_eq!((stage.only_role(), logs_in(&stage)), (role.clone(), role.clone()));

    // It does not only show it: it keeps it alive, under the token of the init container.
    let renewed = eventually("the lease is renewed", SOON, || {
        vault().audit().matching(mark, "update", "sys/leases/renew").into_iter().find(|entry| {
            entry.line["request"]["data"]["lease_id"].as_str().is_some_and(|id| id.starts_with(&stage.creds))
        })
    });
    assert_eq!((renewed.refused(), renewed.accessor()), (false, Some(tokens[0].as_str())));
    assert_eq!(stage.only_role(), role, "{}", sidecar.stderr());
    assert_eq!((stage.mints(), stage.tokens()), (1, tokens.clone()));

    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait(SOON), Exit::Code(0), "{}", sidecar.stderr());
    stage.nothing_is_left();
    assert!(!vault().token_lives(&tokens[0]));
}

#[test]
fn after_sigterm_it_goes_on_renewing_and_then_leaves_no_lease_and_no_token() {
    let stage = Stage::new("sigterm", "8s", "5m", Rights::Smallest);
    let config = stage.config("revoke_delay: 13s");
    let mut sidecar = run(&config);
    ready(&sidecar, &config);
    let role = stage.only_role();
    let token = stage.tokens().remove(0);
    assert!(vault().token_lives(&token));

    let (told, mark) = (Instant::now(), vault().audit().mark());
    sidecar.signal(Signal::TERM);
    // Longer than its TTL: without renewals it would be dead by then.
    while told.elapsed() < Duration::from_secs(9) {
        assert_eq!(logs_in(&stage), role);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(sidecar.exit(), None, "{}", sidecar.stderr());
    let renewals = vault().audit().matching(mark, "update", "sys/leases/renew");
    assert!(renewals.iter().any(|entry| entry.accessor() == Some(&token)), "{}", sidecar.stderr());

    assert_eq!(sidecar.wait(SOON), Exit::Code(0), "{}", sidecar.stderr());
    assert!(told.elapsed() >= Duration::from_secs(13));
    stage.nothing_is_left();
    assert!(!vault().token_lives(&token));
    assert_eq!((stage.mints(), stage.tokens().len()), (1, 1));
    let one_call = vault().audit().matching(mark, "update", "auth/token/revoke-self");
    assert_eq!(one_call.iter().filter(|entry| entry.accessor() == Some(&token)).count(), 1);
}

#[test]
fn in_the_wait_it_rotates_what_would_die_before_its_end_and_nothing_else() {
    let told = |max_ttl: &str, ttl: &str, delay: &str| {
        let stage = Stage::new("wait", ttl, max_ttl, Rights::Smallest);
        let config = stage.config(&format!("revoke_delay: {delay}"));
        let mut sidecar = run(&config);
        ready(&sidecar, &config);
        sidecar.signal(Signal::TERM);
        (stage, sidecar, Instant::now())
    };
    // The one would live for 4 s more; the other for 20 s, and is due for rotation after 15.
    let (short, mut ends_later, since) = told("4s", "3s", "9s");
    let (long, mut ends_too, _) = told("20s", "20s", "16s");
    while since.elapsed() < Duration::from_secs(7) {
        assert_eq!(ends_later.exit(), None, "{}", ends_later.stderr());
        logs_in(&long);
        std::thread::sleep(Duration::from_millis(50));
    }
    for (stage, sidecar) in [(&short, &mut ends_later), (&long, &mut ends_too)] {
        assert_eq!(sidecar.wait(SOON), Exit::Code(0), "{}", sidecar.stderr());
        stage.nothing_is_left();
    }
    assert!(short.mints() >= 3, "{}", ends_later.stderr());
    assert_eq!(long.mints(), 1, "{}", ends_too.stderr());
}

#[test]
fn a_token_that_was_given_outlives_us_and_our_lease_does_not() {
    let (stage, token) = Stage::given_token("given", "1m", "5m", Rights::RevokeLeases);
    let theirs = stage.database.mint("web");
    let config = stage.config("revoke_delay: 0s");
    let mut sidecar = run(&config);
    ready(&sidecar, &config);
    let ours = logs_in(&stage);
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait(SOON), Exit::Code(0), "{}", sidecar.stderr());
    assert!(vault().token_lives(&token));
    assert_eq!(stage.database.leases(), [theirs.lease], "ours was revoked by its id, at once");
    assert_eq!(stage.database.roles(), [theirs.username], "{ours} is gone");
}

#[test]
fn under_a_given_token_without_the_right_what_is_left_is_named() {
    let (stage, token) = Stage::given_token("named", "1m", "5m", Rights::Smallest);
    let config = stage.config("revoke_delay: 0s");
    let mut sidecar = run(&config);
    ready(&sidecar, &config);
    let role = stage.only_role();
    let lease = stage.database.leases().remove(0);
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait(SOON), Exit::Code(0), "{}", sidecar.stderr());
    assert!(vault().token_lives(&token));
    assert_eq!(stage.only_role(), role);
    let named = sidecar.stderr().lines().any(|line| line.contains("left behind") && line.contains(&lease));
    assert!(named, "{}", sidecar.stderr());
}

#[test]
fn a_second_signal_skips_the_wait_and_still_revokes() {
    let stage = Stage::new("second", "1m", "5m", Rights::Smallest);
    let config = stage.config("revoke_delay: 10m");
    let mut sidecar = run(&config);
    ready(&sidecar, &config);
    let token = stage.tokens().remove(0);
    sidecar.signal(Signal::TERM);
    eventually("it waits", SOON, || sidecar.stderr().contains("told to end; waiting"));
    stage.only_role();
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait(SOON), Exit::Code(0), "{}", sidecar.stderr());
    stage.nothing_is_left();
    assert!(!vault().token_lives(&token));
}

#[test]
fn a_third_signal_ends_at_once_and_leaves_everything_to_the_next_process() {
    let proxy = Proxy::to(vault().address());
    let stage = Stage::new("third", "1m", "5m", Rights::Smallest).through(proxy.url());
    let config = stage.config("revoke_delay: 10m, revoke_timeout: 5m");
    let mut sidecar = run(&config);
    ready(&sidecar, &config);
    let role = stage.only_role();
    let token = stage.tokens().remove(0);
    sidecar.signal(Signal::TERM);
    eventually("it waits", SOON, || sidecar.stderr().contains("told to end; waiting"));
    let rule = proxy.drop_requests("revoke-self");
    sidecar.signal(Signal::TERM);
    eventually("it tries to revoke", SOON, || rule.hits() > 0);
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait(SOON), Exit::Code(0), "{}", sidecar.stderr());
    assert!(vault().token_lives(&token));
    assert_eq!(stage.only_role(), role);

    drop(rule);
    let mut next = run(&config);
    ready(&next, &config);
    assert_eq!((stage.only_role(), logs_in(&stage)), (role.clone(), role));
    next.signal(Signal::INT);
    assert_eq!(next.wait(SOON), Exit::Code(0), "{}", next.stderr());
    stage.nothing_is_left();
    assert!(!vault().token_lives(&token));
    assert_eq!((stage.mints(), stage.tokens().len()), (1, 1));
}

#[test]
fn a_second_process_on_the_same_directories_waits_and_then_names_the_holder() {
    let stage = Stage::new("two", "1m", "5m", Rights::Smallest);
    let (live, state) = (stage.live(), stage.folder.join("state"));
    let config = stage.config("revoke_delay: 0s");
    let mut first = run(&config);
    ready(&first, &config);
    let role = stage.only_role();

    let started = Instant::now();
    let short = "startup_deadline: 3s, revoke_delay: 0s";
    let same_state = stage.config_in("same-state", &stage.folder.join("other-live"), &state, short);
    let same_output = stage.config_in("same-output", &live, &stage.folder.join("other-state"), short);
    for (directory, mut second) in [(&state, run(&same_state)), (&live, run(&same_output))] {
        assert_eq!(second.wait(SOON), Exit::Code(73), "{}", second.stderr());
        assert!(started.elapsed() >= Duration::from_secs(3), "it gave up early: {}", second.stderr());
        let last = second.stderr().lines().last().unwrap().to_owned();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        for word in [directory.to_str().unwrap(), "`leasehold run`", &host] {
            assert!(last.contains(word), "no {word}: {last}");
        }
    }
    assert_eq!((stage.only_role(), stage.mints(), stage.tokens().len()), (role.clone(), 1, 1));
    assert_eq!(first.exit(), None);

    // One that may wait for longer takes over when the first is gone.
    let mut successor = run(&config);
    eventually("the successor waits", SOON, || successor.stderr().contains("waiting for it"));
    first.kill9();
    ready(&successor, &config);
    assert_eq!((stage.only_role(), logs_in(&stage), stage.mints()), (role.clone(), role, 1));
    successor.signal(Signal::TERM);
    assert_eq!(successor.wait(SOON), Exit::Code(0), "{}", successor.stderr());
    stage.nothing_is_left();
}
