//! Drills in a running instance: what they leave alone at the real server, and how it goes on after them.

use std::path::{Path, PathBuf};

use harness::leasehold::{Finished, Running};
use harness::process::Exit;
use harness::{Signal, eventually, vault};
use leasehold_harness as harness;
use serde_json::{Value, json};

use crate::SOON;
use crate::lifecycle::given::Place;
use crate::stage::{Rights, Stage, ready, run};

/// A stage where drills may be played.
fn with_drills(stage: &Stage) -> PathBuf {
    let config = stage.config("overlap: 1s, revoke_delay: 0s");
    let text = std::fs::read_to_string(&config).unwrap();
    let admin = text.replace("admin: { ", "admin: { drills: true, ");
    std::fs::write(&config, admin).unwrap();
    config
}

/// `leasehold WORD… -c CONFIG`.
fn ask(config: &Path, words: &str) -> Finished {
    let words = words.split(' ').map(AsRef::as_ref).chain(["-c".as_ref(), config.as_os_str()]);
    harness::Leasehold::command(words).finish(SOON)
}

#[track_caller]
fn drill(config: &Path, words: &str) -> String {
    let told = ask(config, &format!("drill {words}"));
    assert_eq!(told.exit, Exit::Code(0), "{words}: {told:?}");
    told.stdout
}

fn lease(config: &Path) -> String {
    let status: Value = serde_json::from_str(&ask(config, "status --json").stdout).unwrap();
    status["secrets"]["db"]["lease"].as_str().unwrap().to_owned()
}

fn user(stage: &Stage) -> String {
    std::fs::read_to_string(stage.live().join("username")).unwrap()
}

fn ended(mut running: Running) -> String {
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    running.stderr()
}

#[test]
fn a_lease_played_as_lost_is_replaced_at_once_each_time_and_then_given_back_at_the_server() {
    let stage = Stage::new("drillexpire", "10m", "1h", Rights::RevokeLeases);
    let config = with_drills(&stage);
    let running = run(&config);
    ready(&running, &config);
    let mut before = (lease(&config), user(&stage));
    // One soon after the other: neither waits for anything.
    for round in 1..=2 {
        let told = drill(&config, "expire db --for 10m");
        assert!(told.contains("it is looked up now, and replaced"), "{told}");
        let now = eventually("another lease, in the files, too", SOON, || {
            let now = (lease(&config), user(&stage));
            if now.0 != before.0 && now.1 != before.1 { Ok(now) } else { Err(running.stderr()) }
        });
        assert!(vault().lease_lookup(&before.0).is_some_and(|lease| lease.lives()), "the drill goes on");
        drill(&config, "stop");
        eventually("the lost one is given back", SOON, || stage.database.leases() == [now.0.clone()]);
        assert_eq!((stage.only_role(), stage.mints()), (now.1.clone(), round + 1));
        before = now;
    }
    let said = ended(running);
    assert!(!said.contains("the application was refused"), "{said}");
    stage.nothing_is_left();
}

#[test]
fn an_outage_leaves_file_and_lease_in_place_and_ends_with_the_first_signal() {
    let stage = Stage::new("drilloutage", "10m", "1h", Rights::Smallest);
    let config = with_drills(&stage);
    let running = run(&config);
    ready(&running, &config);
    let (held, asked) = ((lease(&config), user(&stage)), vault().audit().mark());
    drill(&config, "outage db --for 10m");
    let refused = ask(&config, "refresh db");
    assert_eq!(refused.exit, Exit::Code(75), "{refused:?}");
    assert!(refused.stdout.contains("(a drill)") || refused.stderr.contains("(a drill)"), "{refused:?}");
    assert_eq!((lease(&config), user(&stage)), held);
    assert_eq!((stage.only_role(), stage.mints()), (held.1, 1));
    assert!(vault().audit().matching(asked, "read", &stage.creds).is_empty());

    // While it lasts nothing could be given back.
    let token = stage.tokens().remove(0);
    let said = ended(running);
    assert!(said.contains("drill ends: outage of provider vault"), "{said}");
    stage.nothing_is_left();
    assert!(!vault().token_lives(&token));
}

#[test]
fn what_a_drill_had_refused_recovers_soon_after_its_end_with_nobody_asking() {
    let place = Place::new();
    place.configure(json!({
        "providers": { "store": { "type": "mock", "ttl": "6s", "max_ttl": "6s" } },
        "secrets": { "db": { "provider": "store", "path": "database/creds/web" } },
        "admin": { "drills": true },
    }));
    let mut running = place.run();
    place.await_file("db/username", &mut running);
    let said = |words: &str| {
        let told = place.command(&words.split(' ').collect::<Vec<_>>()).finish(SOON);
        assert_eq!(told.exit, Exit::Code(0), "{words}: {told:?}");
        told.stdout
    };
    let db = || serde_json::from_str::<Value>(&said("status --json")).unwrap()["secrets"]["db"].clone();
    // By its time, and by hand.
    for (drill, stop) in [("drill deny db --for 12s", None), ("drill deny db --for 10m", Some("drill stop"))]
    {
        said(drill);
        let held = db()["lease"].clone();
        eventually("it expires", SOON, || if db()["state"] == "expired" { Ok(()) } else { Err(db()) });
        if let Some(stop) = stop {
            said(stop);
        }
        eventually(&format!("a new one after {drill}"), SOON, || {
            let now = db();
            if now["state"] == "held" && now["lease"] != held { Ok(()) } else { Err(now) }
        });
    }
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
}
