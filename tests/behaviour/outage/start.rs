//! A start while the store is down.

use std::fs;
use std::time::Instant;

use harness::process::Exit;
use harness::{Proxy, Signal};
use serde_json::Value;

use super::super::bench::{Bench, START};
use super::super::*;

const PAIR: &str = "files: { db.env: { template: \"{{ db.username }} {{ db.password }}\" } }\n";

#[test]
fn without_a_store_it_ends_at_the_deadline_and_says_why() {
    let database = vault().database_mount("down");
    let creds = database.role("web", "1m", "1h");
    let bench = Bench::new(vault(), vault().policy("down").read(&creds), json!({ "token_ttl": "10m" }));
    let proxy = Proxy::to(vault().address());
    let sections = format!("secrets: {{ db: {{ provider: vault, path: {creds} }} }}\n{PAIR}");
    bench.configure(&bench.config(&proxy.url(), "startup_deadline: 3s", &sections));
    let termination = bench.folder.join("termination-log");
    for command in ["run", "init"] {
        fs::write(&termination, "what an earlier end said").unwrap();
        let refusing = proxy.refuse();
        let started = Instant::now();
        let finished = bench.command(command).finish(START);
        let took = started.elapsed();
        drop(refusing);
        assert_eq!(finished.exit, Exit::Code(75), "{}", finished.stderr);
        assert!((Duration::from_secs(3)..Duration::from_secs(10)).contains(&took), "{took:?}");
        let said = fs::read_to_string(&termination).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        for word in ["3s", "startup_deadline", "refused", &proxy.address().to_string()] {
            assert!(said.contains(word), "{word}: {said}");
        }
        assert!(finished.stderr.contains(said.trim()), "{}", finished.stderr);
        assert!(
            finished.stderr.contains("retry") || finished.stderr.contains("again"),
            "{}",
            finished.stderr
        );
        assert_eq!(bench.read("db.env"), None);
    }
}

#[test]
fn with_a_hand_over_it_serves_at_once_while_the_store_is_down() {
    let database = vault().database_mount("handed");
    let creds = database.role("web", "15s", "1h");
    let bench = Bench::new(vault(), vault().policy("handed").read(&creds), json!({ "token_ttl": "10m" }));
    let proxy = Proxy::to(vault().address());
    let sections = format!("secrets: {{ db: {{ provider: vault, path: {creds} }} }}\n{PAIR}");
    bench.configure(&bench.config(&proxy.url(), "startup_deadline: 3s, revoke_delay: 0s", &sections));
    assert_eq!(bench.command("init").finish(START).exit, Exit::Code(0));
    let (leases, pair) = (database.leases(), bench.pair("db.env"));
    assert_eq!(leases.len(), 1);
    // The volume of another container: only the hand-over is left.
    fs::remove_dir_all(bench.folder.join("live")).unwrap();
    let mark = vault().audit().mark();

    let refusing = proxy.refuse();
    let mut running = bench.run_until_ready();
    assert_eq!(bench.pair("db.env"), pair);
    assert_eq!(bench.login("db.env"), Ok(()));
    assert_eq!(bench.lease("db"), leases[0]);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(4) {
        assert_eq!(running.exit(), None, "the deadline of the start is met: {}", running.stderr());
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(refusing);
    eventually("it renews what it was handed", Duration::from_secs(20), || {
        let renewals = vault().audit().matching(mark, "update", "sys/leases/renew");
        let of = |lease: &Value| lease.as_str() == Some(leases[0].as_str());
        renewals.iter().any(|entry| !entry.refused() && of(&entry.line["request"]["data"]["lease_id"]))
    });
    assert_eq!((database.leases(), bench.pair("db.env")), (leases, pair));
    assert!(vault().audit().matching(mark, "read", &creds).is_empty());
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    bench.nothing_is_left(&database);
}

#[test]
fn told_to_end_while_the_store_is_down_it_names_what_is_left_and_ends_in_time() {
    let database = vault().database_mount("leaving");
    let creds = database.role("web", "5s", "1h");
    let options = json!({ "token_ttl": "10s" });
    let bench = Bench::new(vault(), vault().policy("leaving").read(&creds), options);
    let proxy = Proxy::to(vault().address());
    let sections = format!("secrets: {{ db: {{ provider: vault, path: {creds} }} }}\n{PAIR}");
    bench.configure(&bench.config(&proxy.url(), "revoke_delay: 0s, revoke_timeout: 2s", &sections));
    let mut running = bench.run_until_ready();
    let refusing = proxy.refuse();
    let started = Instant::now();
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    // The time-out, and what a busy machine adds.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let (log, accessor) = (running.stderr(), bench.tokens().remove(0));
    let named = log.lines().find(|line| line.contains("left behind")).unwrap_or_else(|| panic!("{log}"));
    for word in ["WARN", &accessor, "ends by itself in"] {
        assert!(named.contains(word), "{word}: {named}");
    }
    drop(refusing);
    bench.nothing_is_left(&database);
}
