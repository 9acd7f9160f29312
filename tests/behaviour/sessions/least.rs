//! What happens where the store allows no more than the documented smallest policy.

use std::time::Duration;

use harness::{Signal, eventually, vault};
use leasehold_harness as harness;
use serde_json::json;

use crate::lifecycle::given::{Place, SOON, provider, reader};

#[test]
fn a_denied_revocation_lets_the_old_lease_end_by_itself_and_says_so_once() {
    let database = vault().database_mount("least");
    // A successor that takes longer than a second to be in place leaves nothing of the old one to revoke.
    let creds = database.role("web", "10s", "10s");
    let role = reader("least", &[&creds], json!({}));
    let place = Place::new();
    place.configure(json!({
        "providers": { "vault": provider(&vault().url(), &role) },
        "secrets": { "db": { "provider": "vault", "path": creds, "overlap": "500ms" } },
    }));
    let mark = vault().audit().mark();
    let mut running = place.run();
    let first = place.await_file("db/username", &mut running);
    eventually("two rotations", Duration::from_secs(60), || {
        if vault().audit().matching(mark, "read", &creds).len() > 2 { Ok(()) } else { Err(running.stderr()) }
    });
    eventually("the first role has ended by itself", SOON, || !database.roles().contains(&first));

    // Asked for each replaced lease, denied each time, said once.
    let asked = || -> Vec<_> {
        let mut asked = vault().audit().matching(mark, "update", "sys/leases/revoke");
        asked.retain(|entry| {
            entry.line["request"]["data"]["lease_id"].as_str().is_some_and(|lease| lease.starts_with(&creds))
        });
        asked
    };
    eventually("two revocations were denied", SOON, || asked().len() >= 2);
    assert!(asked().iter().all(harness::vault::Entry::refused));
    let denied = || place.metric("leasehold_revocations_total", &["outcome=\"denied\"", "secret=\"db\""]);
    eventually("and counted", SOON, || if denied() >= 2.0 { Ok(()) } else { Err(place.metrics()) });
    let log = running.stderr();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("could not revoke")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    assert!(
        warnings[0].contains("sys/leases/revoke") && warnings[0].contains("ends by itself"),
        "{warnings:?}"
    );
    assert_eq!(place.ready(), 200);

    running.signal(Signal::TERM);
    running.wait(SOON);
    eventually("all else went with the token", SOON, || {
        database.leases().is_empty() && database.roles().is_empty()
    });
}

#[test]
fn where_the_metadata_is_denied_the_value_is_read_instead() {
    let kv = vault().kv_mount("bare", 2);
    kv.put("app", json!({ "value": "first" }));
    let role = reader("bare", &[&kv.data("app")], json!({}));
    let place = Place::new();
    place.configure(json!({
        "providers": { "vault": provider(&vault().url(), &role) },
        "secrets": { "kv": { "provider": "vault", "path": format!("{}/app", kv.path()), "refresh": "1s" } },
    }));
    let mark = vault().audit().mark();
    let mut running = place.run();
    assert_eq!(place.await_file("kv/value", &mut running), "first");
    eventually("looked at three times", SOON, || {
        vault().audit().matching(mark, "read", &kv.data("app")).len() >= 3
    });
    kv.put("app", json!({ "value": "second" }));
    eventually("the change is there", SOON, || place.read("kv/value").as_deref() == Some("second"));
    let log = running.stderr();
    let said: Vec<_> = log.lines().filter(|line| line.contains("metadata")).collect();
    assert_eq!(said.len(), 1, "{log}");
    assert!(!log.contains("WARN") || !said[0].contains("WARN"), "{said:?}");
    // Two generations: what did not change made none.
    assert_eq!(place.metric("leasehold_generation", &[]), 2.0);
    running.signal(Signal::TERM);
    running.wait(SOON);
}
