//! Promise 4: one credential from one process to the next.

use std::time::Duration;

use leasehold_core::Operation;

use super::rig::{Setup, scratch};
use crate::keeper::EndMode;

const SECOND: Duration = Duration::from_secs(1);

fn setup(scratch: &tempfile::TempDir) -> Setup {
    Setup {
        yaml: "{ ttl: 60s, max_ttl: 10m }",
        secrets: vec![("db", "database/creds/web"), ("api", "kv/api")],
        state: Some(scratch.path().join("state")),
        output: Some(scratch.path().join("live")),
        ..Setup::default()
    }
}

fn directories() -> tempfile::TempDir {
    let scratch = scratch();
    std::fs::create_dir(scratch.path().join("state")).expect("a fresh directory on tmpfs");
    scratch
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_is_followed_by_one_with_the_same_lease_and_the_same_files() {
    let scratch = directories();
    let mut first = setup(&scratch).start();
    first.is_ready().await;
    let user = first.published_user();
    let (mock, clock) = first.kill().await;

    let mut second = setup(&scratch).start_on(mock, clock);
    second.is_ready().await;
    assert_eq!(second.published_user(), user);
    assert_eq!(second.generation(), 1, "nothing changed for the application");
    assert_eq!(second.mock.mints("database/creds/web"), 1);
    assert_eq!(second.mock.requests(Operation::Login), 1);
    second.until("it is renewed", |rig| rig.mock.leases()[0].renewals >= 2).await;
    assert_eq!(second.mock.mints("database/creds/web"), 1);
    let left = second.end(EndMode::Revoke).await;
    assert!(left.items.is_empty(), "{left:?}");
    assert!(second.mock.leases().is_empty() && second.mock.sessions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_revoked_meanwhile_is_noticed_and_replaced() {
    let scratch = directories();
    let mut first = setup(&scratch).start();
    first.is_ready().await;
    let user = first.published_user();
    let (mock, clock) = first.kill().await;
    mock.revoke_path("database/creds/web");

    let mut second = setup(&scratch).start_on(mock, clock);
    second.is_ready().await;
    assert_ne!(second.published_user(), user);
    assert_eq!(second.mock.mints("database/creds/web"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_starts_while_the_store_is_away_serves_what_was_handed_over() {
    let scratch = directories();
    let mut first = setup(&scratch).start();
    first.is_ready().await;
    let user = first.published_user();
    let (mock, clock) = first.kill().await;
    mock.outage();

    let mut second = setup(&scratch).start_on(mock, clock);
    second.is_ready().await;
    assert_eq!(second.published_user(), user);
    second.mock.heal();
    second.until("it is renewed", |rig| rig.mock.leases().iter().any(|lease| lease.renewals >= 1)).await;
    assert_eq!(second.mock.mints("database/creds/web"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_expired_hand_over_is_replaced() {
    let scratch = directories();
    let mut first = setup(&scratch).start();
    first.is_ready().await;
    let (mock, clock) = first.kill().await;
    mock.jump(Duration::from_secs(7_200));
    clock.jump(Duration::from_secs(7_200));

    let mut second = setup(&scratch).start_on(mock, clock);
    second.is_ready().await;
    assert_eq!(second.mock.mints("database/creds/web"), 2);
    assert_eq!(second.mock.leases().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_process_killed_in_mid_rotation_leaves_nothing_behind_its_successors_end() {
    let scratch = directories();
    let mut first = setup(&scratch).start();
    first.is_ready().await;
    first.refresh("db").await;
    assert_eq!(first.mock.leases_at("database/creds/web").len(), 2, "the old one has its overlap");
    let (mock, clock) = first.kill().await;

    let mut second = setup(&scratch).start_on(mock, clock);
    second.is_ready().await;
    assert_eq!(second.mock.mints("database/creds/web"), 2);
    second.until("the old one is revoked", |rig| rig.mock.leases_at("database/creds/web").len() == 1).await;
    assert_eq!(second.mock.requests(Operation::Revoke), 1);
    second.end(EndMode::Revoke).await;
    assert!(second.mock.leases().is_empty() && second.mock.sessions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_count_of_mints_survives_a_crash_loop() {
    let scratch = directories();
    let mut rig = setup(&scratch).start();
    rig.is_ready().await;
    let mut start = rig.now();
    let mut mints = 1;
    for _ in 0..20 {
        let (mock, clock) = rig.kill().await;
        mock.revoke_path("database/creds/web");
        rig = setup(&scratch).start_on(mock, clock);
        rig.pass(2 * SECOND).await;
        let now = rig.mock.mints("database/creds/web");
        if rig.now().since(start) >= 60 * SECOND {
            start = rig.now();
            mints = now;
        }
        assert!(now - mints <= 6, "{} mints within a minute", now - mints);
    }
}
