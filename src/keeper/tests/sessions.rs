//! The token as a session: renewed, replaced, overlapped, never revoked where it was given.

use std::time::Duration;

use leasehold_core::{Kind, Operation, Origin};
use leasehold_mock::Fault;

use super::rig::{Setup, scratch};
use crate::config::model::Overlap;
use crate::keeper::{Fatal, LimitedUses};
use crate::schedule::Policy;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_session_that_reaches_its_max_ttl_is_replaced_without_refetching_what_does_not_hang_on_it() {
    let scratch = scratch();
    let policy = Policy {
        room: Overlap::Fixed(2 * SECOND).into(),
        refresh: Duration::from_secs(3_600),
        ..Setup::default().policy
    };
    let mut rig = Setup {
        yaml: "{ ttl: 60s, max_ttl: 10m, session: { ttl: 15s, max_ttl: 15s } }",
        secrets: vec![("db", "database/creds/web"), ("api", "kv/api")],
        policy,
        output: Some(scratch.path().join("live")),
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    let first = rig.mock.sessions()[0].id.clone();
    rig.until("five replacements", |rig| rig.mock.requests(Operation::Login) >= 6).await;
    let kv_reads = rig.mock.history().iter().filter(|request| request.paths == ["kv/api"]).count();
    assert_eq!(kv_reads, 1, "the polled one is not touched");
    assert!(rig.mock.sessions().iter().all(|session| session.id != first), "the first one is revoked");
    assert!(rig.mock.sessions().len() <= 2);
    let mints = rig.mock.mints("database/creds/web");
    assert!((5..=7).contains(&mints), "one mint a session: {mints}");
    assert!(!rig.secret("db").expired);
}

#[tokio::test(start_paused = true)]
async fn an_old_session_is_revoked_only_after_its_leases_successors_had_their_overlap() {
    let policy = Policy { room: Overlap::Fixed(2 * SECOND).into(), ..Setup::default().policy };
    let mut rig = Setup {
        yaml: "{ ttl: 60s, max_ttl: 10m, session: { ttl: 15s, max_ttl: 15s } }",
        policy,
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    rig.until("the successor", |rig| rig.mock.mints("database/creds/web") == 2).await;
    let minted = rig.now();
    rig.until("the old session's end", |rig| rig.mock.sessions().len() == 1).await;
    let after = rig.now().since(minted);
    assert!(after >= 2 * SECOND && after <= 4 * SECOND, "{after:?}");
    let revocations: Vec<_> =
        rig.mock.history().into_iter().filter(|request| request.operation == Operation::Revoke).collect();
    assert_eq!(revocations.len(), 1, "one call ends the session and its leases: {revocations:?}");
    assert!(revocations[0].paths.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_is_renewed_and_its_leases_stay() {
    let mut rig = Setup {
        yaml: "{ ttl: 10m, max_ttl: 10h, session: { kind: periodic, ttl: 30s } }",
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    rig.pass(300 * SECOND).await;
    assert_eq!(rig.mock.requests(Operation::Login), 1);
    assert_eq!(rig.mock.mints("database/creds/web"), 1);
    assert_eq!(rig.mock.sessions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_without_end_is_never_renewed() {
    let mut rig =
        Setup { yaml: "{ ttl: 10m, max_ttl: 10h, session: { kind: root } }", ..Setup::default() }.start();
    rig.is_ready().await;
    rig.pass(Duration::from_secs(3_000)).await;
    assert_eq!(rig.mock.requests(Operation::Login), 1);
    assert_eq!(rig.mock.mints("database/creds/web"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_gone_is_replaced_and_what_hung_on_it_is_healed() {
    let mut rig = Setup { yaml: "{ ttl: 60s, max_ttl: 1h }", ..Setup::default() }.start();
    rig.is_ready().await;
    let id = rig.mock.sessions()[0].id.clone();
    assert!(rig.mock.expire_session(&id));
    rig.until("a new lease", |rig| rig.mock.leases_at("database/creds/web").len() == 1).await;
    rig.pass(30 * SECOND).await;
    assert_eq!(rig.mock.mints("database/creds/web"), 2);
    assert_eq!(rig.mock.requests(Operation::Login), 2);
}

#[tokio::test(start_paused = true)]
async fn the_effective_expiry_is_everywhere_the_earlier_one() {
    let mut rig =
        Setup { yaml: "{ ttl: 10m, max_ttl: 1h, session: { kind: batch, ttl: 60s } }", ..Setup::default() }
            .start();
    rig.is_ready().await;
    rig.pass(SECOND).await;
    let expires = rig.secret("db").expires.unwrap().since(rig.now());
    assert!(expires <= 60 * SECOND, "{expires:?}");
    let start = rig.now();
    rig.until("a successor before the session's end", |rig| rig.mock.mints("database/creds/web") == 2).await;
    assert!(rig.now().since(start) < 58 * SECOND);
    assert!(!rig.secret("db").expired);
}

#[tokio::test(start_paused = true)]
async fn a_given_session_is_never_revoked_and_a_new_one_is_taken_when_it_is_given() {
    let mut rig = Setup {
        yaml: "{ ttl: 10m, max_ttl: 1h, session: { given: true, ttl: 1h, max_ttl: 2h } }",
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    let first = rig.mock.sessions()[0].id.clone();
    assert_eq!(rig.mock.sessions()[0].origin, Origin::Given);
    rig.mock.give_another_session();
    rig.order(crate::keeper::Order::LookAgain).await;
    rig.until("the new one", |rig| {
        rig.board.snapshot().providers["mock"].session.as_deref().is_some_and(|id| id != first)
    })
    .await;
    rig.pass(60 * SECOND).await;
    assert!(rig.mock.sessions().iter().any(|session| session.id == first), "the old one still lives");
}

#[tokio::test(start_paused = true)]
async fn a_session_for_a_limited_number_of_requests_serves_init_with_static_reads_only() {
    let yaml = "{ session: { uses: 20 } }";
    let mut rig = Setup { yaml, ..Setup::default() }.start();
    assert!(matches!(rig.fatal.recv().await, Some(Fatal::Store(error)) if error.kind == Kind::Invalid));

    let mut rig = Setup { yaml, limited_uses: LimitedUses::StaticReads, ..Setup::default() }.start();
    assert!(matches!(rig.fatal.recv().await, Some(Fatal::Store(error)) if error.kind == Kind::Invalid));

    let mut rig = Setup {
        yaml,
        secrets: vec![("api", "kv/api")],
        limited_uses: LimitedUses::StaticReads,
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
}

#[tokio::test(start_paused = true)]
async fn a_given_session_near_its_end_is_asked_for_again_without_hurry_and_its_end_is_everywhere_its_own() {
    let mut rig = Setup {
        yaml: "{ ttl: 10m, max_ttl: 1h, session: { given: true, ttl: 30s, max_ttl: 60s } }",
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    rig.pass(50 * SECOND).await;
    let left = rig.secret("db").expires.unwrap().since(rig.now());
    assert!(left <= 10 * SECOND, "it dies with its session: {left:?}");
    rig.pass(60 * SECOND).await;
    let logins = rig.mock.requests(Operation::Login);
    assert!(logins <= 40, "{logins} log-ins in a minute and a half");
    assert!(rig.secret("db").expired);
}

#[tokio::test(start_paused = true)]
async fn leases_of_a_given_session_that_was_replaced_are_revoked_by_id_once_they_are_replaced() {
    let policy = Policy { room: Overlap::Fixed(SECOND).into(), ..Setup::default().policy };
    let mut rig = Setup {
        policy,
        yaml: "{ ttl: 60s, renewable: false, session: { given: true, ttl: 1h, max_ttl: 2h } }",
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    let first = rig.mock.leases()[0].clone();
    rig.mock.fail(Fault::new(Kind::Unavailable).on(Operation::Revoke).times(2));
    rig.mock.give_another_session();
    rig.order(crate::keeper::Order::LookAgain).await;
    rig.until("the old lease's end", |rig| rig.mock.leases().iter().all(|lease| lease.id != first.id)).await;
    assert!(rig.mock.requests(Operation::Revoke) >= 3, "refused twice, revoked then, by id");
}
