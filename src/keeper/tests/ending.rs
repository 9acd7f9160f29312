//! Promise 5: nothing outlives the pod.

use std::time::Duration;

use leasehold_core::{Kind, Operation};
use leasehold_mock::Fault;

use super::rig::Setup;
use crate::keeper::{EndMode, Order};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_end_revokes_the_session_and_with_it_every_lease_in_one_call() {
    let mut rig = Setup {
        secrets: vec![("db", "database/creds/web"), ("queue", "rabbit/creds/web")],
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    let left = rig.end(EndMode::Revoke).await;
    assert!(left.items.is_empty(), "{left:?}");
    assert!(rig.mock.leases().is_empty() && rig.mock.sessions().is_empty());
    assert_eq!(rig.mock.requests(Operation::Revoke), 1);
}

#[tokio::test(start_paused = true)]
async fn under_a_given_session_the_leases_are_revoked_by_id_and_the_session_lives() {
    let mut rig = Setup {
        yaml: "{ session: { given: true } }",
        secrets: vec![("db", "database/creds/web"), ("queue", "rabbit/creds/web")],
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    let left = rig.end(EndMode::Revoke).await;
    assert!(left.items.is_empty(), "{left:?}");
    assert!(rig.mock.leases().is_empty());
    assert_eq!(rig.mock.sessions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_store_does_not_let_us_revoke_is_named() {
    let mut rig = Setup { yaml: "{ session: { given: true } }", ..Setup::default() }.start();
    rig.is_ready().await;
    rig.mock.deny(Operation::Revoke, "database/creds/web");
    let left = rig.end(EndMode::Revoke).await;
    assert_eq!(left.items.len(), 1);
    let lease = rig.mock.leases()[0].id.clone();
    assert!(left.items[0].0.contains(&lease), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_mint_in_flight_is_awaited_and_given_back() {
    let mut rig = Setup { yaml: "{ ttl: 10m, max_ttl: 1h }", ..Setup::default() }.start();
    rig.is_ready().await;
    let mut hold = rig.mock.hold(Operation::Fetch);
    let (reply, _answer) = tokio::sync::oneshot::channel();
    rig.order(Order::Refresh { secret: "db".to_owned(), reply }).await;
    hold.reached(1).await;
    assert_eq!(rig.mock.leases_at("database/creds/web").len(), 2, "the store has minted already");
    let mock = rig.mock.clone();
    let release = tokio::spawn(async move {
        tokio::time::sleep(SECOND).await;
        hold.release();
    });
    let left = rig.end(EndMode::Revoke).await;
    release.await.unwrap();
    assert!(left.items.is_empty(), "{left:?}");
    assert!(mock.leases().is_empty() && mock.sessions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_mint_that_is_not_answered_in_time_is_named() {
    let mut rig = Setup { yaml: "{ ttl: 10m, max_ttl: 1h }", ..Setup::default() }.start();
    rig.is_ready().await;
    let mut hold = rig.mock.hold(Operation::Fetch);
    let (reply, _answer) = tokio::sync::oneshot::channel();
    rig.order(Order::Refresh { secret: "db".to_owned(), reply }).await;
    hold.reached(1).await;
    let start = rig.now();
    let left = rig.end(EndMode::Revoke).await;
    assert!(rig.now().since(start) <= 5 * SECOND);
    assert!(left.items.iter().any(|(what, _)| what.contains("mint") && what.contains("db")), "{left:?}");
    drop(hold);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_fails_gives_back_what_it_did_not_publish() {
    let mut rig = Setup {
        secrets: vec![("db", "database/creds/web"), ("queue", "rabbit/creds/web")],
        ..Setup::default()
    }
    .start();
    rig.mock.fail(Fault::new(Kind::Denied).on(Operation::Fetch).at("rabbit/creds/web"));
    rig.fatal.recv().await.unwrap();
    rig.until("the other was minted", |rig| rig.mock.mints("database/creds/web") == 1).await;
    let left = rig.end(EndMode::Unpublished).await;
    assert!(left.items.is_empty(), "{left:?}");
    assert!(rig.mock.leases().is_empty() && rig.mock.sessions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_process_that_fails_after_publishing_keeps_what_it_published() {
    let mut rig = Setup::default().start();
    rig.is_ready().await;
    rig.pass(SECOND).await;
    rig.end(EndMode::Unpublished).await;
    assert_eq!(rig.mock.leases().len(), 1);
    assert_eq!(rig.mock.sessions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn in_the_wait_for_the_end_leases_are_renewed_and_only_what_would_die_is_rotated() {
    let mut rig = Setup {
        yaml: "{ ttl: 20s, max_ttl: 60s, secrets: { rabbit/creds/web: { ttl: 20s, max_ttl: 10m } } }",
        secrets: vec![("db", "database/creds/web"), ("queue", "rabbit/creds/web")],
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    let until = rig.now() + 50 * SECOND;
    rig.order(Order::Wait { until: Some(until) }).await;
    rig.pass(49 * SECOND).await;
    assert_eq!(rig.mock.mints("database/creds/web"), 1, "it lives past the end of the wait");
    assert!(rig.mock.leases_at("rabbit/creds/web")[0].renewals >= 2);
    assert!(!rig.secret("db").expired);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_leaves_the_configuration_is_given_back_and_the_others_keep_their_leases() {
    let mut rig = Setup {
        yaml: "{ ttl: 10m, max_ttl: 1h, session: { ttl: 10h, max_ttl: 20h } }",
        secrets: vec![("db", "database/creds/web"), ("queue", "rabbit/creds/web")],
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    let mut plans = rig.plans.clone();
    plans.remove("queue");
    rig.reload(plans).await;
    rig.until("it is given back", |rig| rig.mock.leases_at("rabbit/creds/web").is_empty()).await;
    assert_eq!(rig.mock.requests(Operation::Revoke), 1);
    assert_eq!(rig.mock.leases_at("database/creds/web").len(), 1);
    assert_eq!(rig.mock.mints("database/creds/web"), 1);
}
