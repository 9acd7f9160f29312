//! Promises 2 and 3: renewal, rotation, overlap, losses.

use std::time::Duration;

use leasehold_core::{Kind, Operation};
use leasehold_mock::Fault;

use super::rig::{Setup, scratch};
use crate::config::model::{Acknowledge, OnExpiry, Overlap};
use crate::keeper::Refreshed;
use crate::schedule::{Lead, Policy, Room};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_and_then_replaced_before_its_max_ttl_with_an_overlap() {
    let scratch = scratch();
    let mut rig = Setup {
        yaml: "{ ttl: 20s, max_ttl: 60s }",
        output: Some(scratch.path().join("live")),
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    let first = rig.mock.leases_at("database/creds/web")[0].clone();
    assert_eq!(rig.published_user().as_deref(), first.fields.get("username").unwrap().bytes.expose_text());
    rig.until("a rotation", |rig| rig.mock.mints("database/creds/web") == 2).await;
    let rotated = rig.now();
    let old = rig.mock.leases().into_iter().find(|lease| lease.id == first.id).unwrap();
    assert!(old.renewals >= 2, "it was renewed before: {}", old.renewals);
    assert!(old.ends_in >= 4 * SECOND, "the old one has its overlap before it: {:?}", old.ends_in);
    rig.until("the new one in place", |rig| rig.generation() == 2).await;
    rig.until("the old one's end", |rig| rig.mock.leases_at("database/creds/web").len() == 1).await;
    let overlapped = rig.now().since(rotated);
    assert!(overlapped >= 4 * SECOND, "revoked {overlapped:?} after the rotation");
    assert!(rig.mock.requests(Operation::Revoke) == 1, "revoked, not left to end");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_renewed_is_rotated_where_others_are_renewed() {
    let mut rig = Setup { yaml: "{ ttl: 100s, renewable: false }", ..Setup::default() }.start();
    rig.is_ready().await;
    let start = rig.now();
    rig.until("a rotation", |rig| rig.mock.mints("database/creds/web") == 2).await;
    let at = rig.now().since(start);
    assert!(at >= 59 * SECOND && at <= 71 * SECOND, "{at:?}");
    assert_eq!(rig.mock.requests(Operation::Renew), 0);
}

#[tokio::test(start_paused = true)]
async fn a_grant_with_too_little_room_for_a_successor_is_warned_of_once() {
    let said = async |overlap, fixed| {
        let lead = Lead { fixed, ..Lead::default() };
        let policy = Policy { room: Room { overlap, lead }, ..Setup::default().policy };
        let mut rig = Setup { yaml: "{ ttl: 80s, renewable: false }", policy, ..Setup::default() }.start();
        rig.is_ready().await;
        rig.until("rotations", |rig| rig.mock.mints("database/creds/web") == 4).await;
        let of_it = |line: &String| line.contains("shortened");
        rig.events.recorded().into_iter().filter(of_it).collect::<Vec<_>>()
    };
    assert_eq!(said(Overlap::Auto, 20 * SECOND).await, [""; 0]);
    let said = said(Overlap::Fixed(30 * SECOND), 21 * SECOND).await;
    let [overlap, lead] = &said[..] else { panic!("{said:?}") };
    assert!(overlap.contains("the overlap of \"db\" is shortened from 30s to 26s"), "{overlap}");
    assert!(
        lead.contains("may take 21s until it is in use") && lead.contains("due only 20s earlier"),
        "{lead}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_keeps_the_lease_and_mints_nothing() {
    let mut rig = Setup { yaml: "{ ttl: 60s, max_ttl: 1h }", ..Setup::default() }.start();
    rig.is_ready().await;
    rig.mock.fail(Fault::new(Kind::Malformed).on(Operation::Renew).times(3));
    rig.until("four renewals", |rig| rig.mock.requests(Operation::Renew) >= 4).await;
    rig.pass(5 * SECOND).await;
    assert_eq!(rig.mock.mints("database/creds/web"), 1);
    assert_eq!(rig.mock.leases()[0].renewals, 1);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_goes_on_failing_ends_in_one_mint_and_not_in_a_loop() {
    let mut rig = Setup { yaml: "{ ttl: 60s, max_ttl: 1h }", ..Setup::default() }.start();
    rig.is_ready().await;
    rig.mock.fail(Fault::new(Kind::Malformed).on(Operation::Renew));
    rig.until("a successor", |rig| rig.mock.mints("database/creds/web") == 2).await;
    rig.pass(30 * SECOND).await;
    assert_eq!(rig.mock.mints("database/creds/web"), 2);
    let renewals = rig.mock.requests(Operation::Renew);
    assert!(renewals <= 20, "{renewals} renewals: each is waited for");
}

#[tokio::test(start_paused = true)]
async fn a_lease_lost_at_the_store_is_replaced_by_one_mint_within_the_splay() {
    let mut rig = Setup { yaml: "{ ttl: 60s, max_ttl: 1h }", ..Setup::default() }.start();
    rig.is_ready().await;
    rig.mock.revoke_path("database/creds/web");
    rig.until("the renewal that notices", |rig| rig.mock.requests(Operation::Lookup) >= 1).await;
    let noticed = rig.now();
    rig.until("a successor", |rig| rig.mock.leases_at("database/creds/web").len() == 1).await;
    assert!(rig.now().since(noticed) <= 11 * SECOND);
    rig.pass(20 * SECOND).await;
    assert_eq!(rig.mock.mints("database/creds/web"), 2);
    assert_eq!(rig.mock.requests(Operation::Revoke), 0, "there is nothing to revoke");
}

#[tokio::test(start_paused = true)]
async fn a_refused_renewal_of_a_lease_that_lives_changes_nothing() {
    let mut rig = Setup { yaml: "{ ttl: 60s, max_ttl: 1h }", ..Setup::default() }.start();
    rig.is_ready().await;
    rig.mock.fail(Fault::new(Kind::LeaseGone).on(Operation::Renew).times(1));
    rig.until("the look-up", |rig| rig.mock.requests(Operation::Lookup) == 1).await;
    rig.until("the next renewal", |rig| rig.mock.requests(Operation::Renew) >= 2).await;
    rig.pass(10 * SECOND).await;
    assert_eq!(rig.mock.mints("database/creds/web"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_applications_word_brings_one_look_up_and_a_lost_lease_a_successor_at_once() {
    let policy = Policy { heal_splay: Duration::from_secs(600), ..Setup::default().policy };
    let mut rig = Setup { yaml: "{ ttl: 10m, max_ttl: 1h }", policy, ..Setup::default() }.start();
    rig.is_ready().await;
    rig.mock.revoke_path("database/creds/web");
    let asked = rig.now();
    for _ in 0..10 {
        rig.stale("db").await;
    }
    rig.until("a successor", |rig| rig.mock.leases_at("database/creds/web").len() == 1).await;
    assert!(rig.now().since(asked) < SECOND, "at once, whatever the splay: {:?}", rig.now().since(asked));
    assert_eq!(rig.mock.requests(Operation::Lookup), 1, "ten words, one look-up");
    assert_eq!(rig.mock.mints("database/creds/web"), 2);
}

#[tokio::test(start_paused = true)]
async fn the_applications_word_about_a_lease_that_lives_mints_nothing() {
    let mut rig = Setup { yaml: "{ ttl: 10m, max_ttl: 1h }", ..Setup::default() }.start();
    rig.is_ready().await;
    rig.stale("db").await;
    rig.until("the look-up", |rig| rig.mock.requests(Operation::Lookup) == 1).await;
    rig.pass(30 * SECOND).await;
    assert_eq!(rig.mock.mints("database/creds/web"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_every_so_often_notices_a_lost_lease_before_its_renewal() {
    let policy = Policy { lookup: Some(5 * SECOND), heal_splay: SECOND, ..Setup::default().policy };
    let mut rig = Setup { yaml: "{ ttl: 10m, max_ttl: 1h }", policy, ..Setup::default() }.start();
    rig.is_ready().await;
    rig.mock.revoke_path("database/creds/web");
    let start = rig.now();
    rig.until("a successor", |rig| rig.mock.mints("database/creds/web") == 2).await;
    assert!(rig.now().since(start) < 8 * SECOND);
    assert_eq!(rig.mock.requests(Operation::Renew), 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_suspension_a_lease_that_ended_is_replaced_at_once() {
    let scratch = scratch();
    let mut rig = Setup {
        yaml: "{ ttl: 10m, max_ttl: 1h, session: { ttl: 24h, max_ttl: 48h } }",
        output: Some(scratch.path().join("live")),
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    let before = rig.published_user();
    rig.suspend(Duration::from_secs(3_600));
    let woke = rig.now();
    rig.until("a successor in place", |rig| rig.published_user() != before).await;
    assert!(rig.now().since(woke) < 2 * SECOND, "{:?}", rig.now().since(woke));
    assert!(!rig.secret("db").expired);
}

#[tokio::test(start_paused = true)]
async fn an_expired_secret_keeps_its_files_or_loses_them_or_ends_us() {
    for (on_expiry, stays) in [(OnExpiry::Keep, true), (OnExpiry::Delete, false), (OnExpiry::Exit, true)] {
        let scratch = scratch();
        let mut rig = Setup {
            yaml: "{ ttl: 30s, max_ttl: 1h }",
            output: Some(scratch.path().join("live")),
            on_expiry,
            ..Setup::default()
        }
        .start();
        rig.is_ready().await;
        rig.mock.outage();
        rig.until("the expiry", |rig| rig.secret("db").expired).await;
        rig.pass(2 * SECOND).await;
        assert_eq!(rig.published_user().is_some(), stays, "{on_expiry:?}");
        assert_eq!(rig.fatal.try_recv().is_ok(), on_expiry == OnExpiry::Exit, "{on_expiry:?}");
        if on_expiry == OnExpiry::Exit {
            continue;
        }
        rig.mock.heal();
        rig.until("recovery", |rig| !rig.secret("db").expired).await;
        rig.until("its files", |rig| rig.published_user().is_some()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_that_is_expected_decides_over_the_old_lease() {
    for acknowledged in [true, false] {
        let scratch = scratch();
        let mut rig = Setup {
            yaml: "{ ttl: 60s, renewable: false }",
            output: Some(scratch.path().join("live")),
            acknowledge: Acknowledge::Required,
            ..Setup::default()
        }
        .start();
        rig.is_ready().await;
        rig.until("a rotation", |rig| rig.generation() == 2).await;
        assert!(rig.secret("db").awaiting_ack.is_some());
        if acknowledged {
            rig.announcements.acknowledge(Some(2), None).unwrap();
        }
        rig.until("the old one's end", |rig| rig.mock.leases_at("database/creds/web").len() == 1).await;
        rig.pass(2 * SECOND).await;
        assert_eq!(rig.mock.requests(Operation::Revoke), u64::from(acknowledged), "else it ends by itself");
    }
}

#[tokio::test(start_paused = true)]
async fn rotations_that_fall_together_make_one_generation() {
    let scratch = scratch();
    let mut rig = Setup {
        yaml: "{ ttl: 10m, max_ttl: 1h }",
        secrets: vec![("db", "database/creds/web"), ("queue", "rabbit/creds/web"), ("api", "kv/api")],
        output: Some(scratch.path().join("live")),
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    assert_eq!(rig.generation(), 1);
    let (one, other) = tokio::join!(rig.refresh("db"), rig.refresh("queue"));
    assert_eq!((one, other), (Refreshed::Published(2), Refreshed::Published(2)));
    assert_eq!(rig.refresh("api").await, Refreshed::Unchanged);
    assert_eq!(rig.generation(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_changed_static_secret_makes_a_generation_within_its_refresh_and_an_unchanged_one_none() {
    let scratch = scratch();
    let policy = Policy { refresh: 20 * SECOND, ..Setup::default().policy };
    let mut rig = Setup {
        secrets: vec![("api", "kv/api")],
        policy,
        output: Some(scratch.path().join("live")),
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    rig.until("three polls", |rig| rig.mock.requests(Operation::Fetch) == 4).await;
    assert_eq!(rig.generation(), 1);
    rig.mock.rotate("kv/api");
    let start = rig.now();
    rig.until("the new value", |rig| rig.generation() == 2).await;
    assert!(rig.now().since(start) <= 21 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn twenty_five_polled_secrets_stay_together_in_as_few_requests_as_the_store_takes_them() {
    let names: Vec<(&str, &str)> = (0..25)
        .map(|at| {
            let path: &'static str = format!("kv/s{at}").leak();
            (&path[3..], path)
        })
        .collect();
    let policy = Policy { refresh: 60 * SECOND, ..Setup::default().policy };
    let mut rig = Setup { secrets: names, policy, ..Setup::default() }.start();
    rig.is_ready().await;
    let before = rig.mock.requests(Operation::Fetch);
    rig.pass(3_600 * SECOND).await;
    let polls = rig.mock.requests(Operation::Fetch) - before;
    let most = rig.board.snapshot().providers["mock"].polls_per_hour;
    // The mock takes 20 at once.
    assert!((most - 150.0).abs() < 0.01, "two requests each 48 s at most: {most}");
    assert!(polls >= 120 && polls as f64 <= most + 2.0, "{polls} requests in an hour");
}

#[tokio::test(start_paused = true)]
async fn an_overlap_above_a_third_of_the_grant_is_cut_to_it_and_said() {
    let policy =
        Policy { room: Overlap::Fixed(Duration::from_secs(3_600)).into(), ..Setup::default().policy };
    let mut rig = Setup { yaml: "{ ttl: 60s, max_ttl: 1h }", policy, ..Setup::default() }.start();
    rig.is_ready().await;
    assert!(rig.said("third"), "{:?}", rig.events.recorded());
}

#[tokio::test(start_paused = true)]
async fn the_ceiling_on_mints_holds_and_is_said() {
    let policy = Policy { mints_per_minute: 3, ..Setup::default().policy };
    let mut rig = Setup { yaml: "{ ttl: 10m, max_ttl: 1h }", policy, ..Setup::default() }.start();
    rig.is_ready().await;
    let start = rig.now();
    for _ in 0..5 {
        rig.refresh("db").await;
    }
    assert_eq!(rig.mock.mints("database/creds/web"), 6);
    let took = rig.now().since(start);
    assert!(took >= 60 * SECOND && took <= 125 * SECOND, "six mints, three a minute: {took:?}");
    assert!(
        rig.events.recorded().iter().any(|line| line.contains("mints_limited")),
        "{:?}",
        rig.events.recorded()
    );
}

#[tokio::test(start_paused = true)]
async fn a_generation_stays_readable_until_the_leases_in_it_that_were_replaced_are_revoked() {
    let scratch = scratch();
    let policy = Policy { room: Overlap::Fixed(30 * SECOND).into(), ..Setup::default().policy };
    let mut rig = Setup {
        yaml: "{ ttl: 100s, renewable: false }",
        policy,
        output: Some(scratch.path().join("live")),
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    let old = scratch.path().join("live/..generation-1");
    rig.until("a rotation", |rig| rig.generation() == 2).await;
    rig.pass(25 * SECOND).await;
    assert!(old.is_dir(), "longer than ten seconds: its lease still lives");
    rig.until("the old one's end", |rig| rig.mock.leases_at("database/creds/web").len() == 1).await;
    rig.until("its generation's end", |_| !old.exists()).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_out_later_does_not_stay_readable_in_an_old_generation() {
    let scratch = scratch();
    let policy = Policy { refresh: 5 * SECOND, ..Setup::default().policy };
    let mut rig = Setup {
        secrets: vec![("api", "kv/api"), ("db", "database/creds/web")],
        required: false,
        policy,
        output: Some(scratch.path().join("live")),
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    rig.mock.remove("kv/api");
    rig.until("a set without it", |rig| rig.generation() == 2).await;
    assert!(!scratch.path().join("live/api").exists());
    rig.pass(15 * SECOND).await;
    assert!(!scratch.path().join("live/..generation-1").exists(), "its ten seconds are over");
}
