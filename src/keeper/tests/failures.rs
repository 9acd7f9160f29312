//! Promises 3, 6 and 8: what the store answers, and what that does.

use std::time::Duration;

use leasehold_core::{Kind, Operation};
use leasehold_mock::Fault;

use super::rig::{Setup, scratch};
use crate::keeper::{Fatal, Refreshed};

const SECOND: Duration = Duration::from_secs(1);

fn kind(fatal: Fatal) -> Kind {
    match fatal {
        Fatal::Store(error) => error.kind,
        Fatal::Expired { .. } => panic!("nothing has expired"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_before_the_first_generation_ends_at_once() {
    for expected in [Kind::Denied, Kind::Absent, Kind::Invalid] {
        let mut rig = Setup { yaml: "{}", ..Setup::default() }.start();
        rig.mock.fail(Fault::new(expected).on(Operation::Fetch));
        let start = rig.now();
        let fatal = rig.fatal.recv().await.unwrap();
        assert_eq!(kind(fatal), expected);
        assert!(rig.now().since(start) < SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_passing_error_before_the_first_generation_is_waited_out() {
    for passing in [Kind::Unavailable, Kind::Throttled, Kind::Malformed] {
        let mut rig = Setup::default().start();
        rig.mock.fail(Fault::new(passing).times(5));
        rig.is_ready().await;
        assert!(rig.fatal.try_recv().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_log_in_that_a_third_party_confirms_is_tried_for_thirty_seconds() {
    let mut rig = Setup::default().start();
    rig.mock.fail(Fault::new(Kind::Denied).on(Operation::Login).passing(None));
    let start = rig.now();
    assert_eq!(kind(rig.fatal.recv().await.unwrap()), Kind::Denied);
    let took = rig.now().since(start);
    assert!(took >= 30 * SECOND && took < 32 * SECOND, "{took:?}");
    assert!(rig.mock.requests(Operation::Login) >= 3);
}

#[tokio::test(start_paused = true)]
async fn a_refused_log_in_where_asking_again_locks_us_out_is_tried_as_often_as_allowed() {
    let mut rig = Setup::default().start();
    rig.mock.fail(Fault::new(Kind::Denied).on(Operation::Login).passing(Some(3)));
    assert_eq!(kind(rig.fatal.recv().await.unwrap()), Kind::Denied);
    assert_eq!(rig.mock.requests(Operation::Login), 3);

    let mut rig = Setup::default().start();
    rig.mock.fail(Fault::new(Kind::Denied).on(Operation::Login));
    assert_eq!(kind(rig.fatal.recv().await.unwrap()), Kind::Denied);
    assert_eq!(rig.mock.requests(Operation::Login), 1);
}

#[tokio::test(start_paused = true)]
async fn no_answer_of_the_store_ends_us_after_the_first_generation() {
    for kind in
        [Kind::Denied, Kind::Absent, Kind::Invalid, Kind::Internal, Kind::Malformed, Kind::Unavailable]
    {
        let scratch = scratch();
        let mut rig = Setup {
            yaml: "{ ttl: 30s, max_ttl: 1m }",
            secrets: vec![("db", "database/creds/web"), ("api", "kv/api")],
            output: Some(scratch.path().join("live")),
            ..Setup::default()
        }
        .start();
        rig.is_ready().await;
        rig.mock.fail(Fault::new(kind));
        rig.pass(120 * SECOND).await;
        assert!(rig.fatal.try_recv().is_err(), "{kind:?}");
        assert!(rig.published_user().is_some(), "{kind:?}: the files stay");
        assert!(rig.secret("db").error.is_some() || kind == Kind::Unavailable, "{kind:?} is visible");
        rig.mock.heal();
        rig.until("recovery", |rig| !rig.secret("db").expired && rig.secret("db").error.is_none()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_costs_few_requests_and_recovers_alone() {
    let mut rig = Setup {
        yaml: "{ ttl: 20s, max_ttl: 1h }",
        secrets: vec![("db", "database/creds/web"), ("queue", "rabbit/creds/web"), ("api", "kv/api")],
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    rig.mock.outage();
    rig.until("it is noticed", |rig| rig.events.recorded().iter().any(|line| line.contains("failed"))).await;
    let before = rig.mock.history().len();
    rig.pass(600 * SECOND).await;
    let requests = rig.mock.history().len() - before;
    assert!(requests <= 120, "{requests} requests in ten minutes of outage");
    rig.mock.heal();
    rig.until("recovery", |rig| !rig.secret("db").expired && !rig.secret("queue").expired).await;
}

#[tokio::test(start_paused = true)]
async fn a_throttled_mount_does_not_stop_the_renewals_of_another() {
    let mut rig = Setup {
        yaml: "{ ttl: 20s, max_ttl: 10m }",
        secrets: vec![("db", "database/creds/web"), ("queue", "rabbit/creds/web")],
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    rig.mock.fail(
        Fault::new(Kind::Throttled)
            .on(Operation::Renew)
            .at("rabbit/creds/web")
            .retry_after(Duration::from_secs(3_600)),
    );
    rig.pass(15 * SECOND).await;
    rig.until("renewals of the other", |rig| {
        rig.mock.leases_at("database/creds/web").iter().any(|lease| lease.renewals >= 3)
    })
    .await;
    assert_eq!(rig.mock.mints("database/creds/web"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_store_throttles_is_tried_by_one_at_a_time() {
    let secrets = vec![
        ("a", "database/creds/a"),
        ("b", "database/creds/b"),
        ("c", "database/creds/c"),
        ("d", "database/creds/d"),
        ("e", "database/creds/e"),
        ("f", "database/creds/f"),
    ];
    let paths: Vec<_> = secrets.iter().map(|(_, path)| *path).collect();
    let mut rig = Setup { yaml: "{ ttl: 200s, max_ttl: 10h }", secrets, ..Setup::default() }.start();
    rig.is_ready().await;
    let throttled = || Fault::new(Kind::Throttled).on(Operation::Renew).retry_after(Duration::from_secs(5));
    paths.iter().for_each(|path| rig.mock.fail(throttled().at(path)));
    // Renewals are due from 120 s to 140 s on, and are given up at 159 s.
    rig.pass(155 * SECOND).await;
    let asked = rig.mock.requests(Operation::Renew);
    assert!((4..=9).contains(&asked), "{asked} renewals in 35 s, of which each asks for 5 s of peace");
    rig.mock.heal();
    rig.until("one that is answered lets all the others go", |rig| {
        paths.iter().all(|path| rig.mock.leases_at(path).iter().any(|lease| lease.renewals >= 1))
    })
    .await;
    assert!(paths.iter().all(|path| rig.mock.mints(path) == 1));
}

#[tokio::test(start_paused = true)]
async fn a_denial_costs_one_new_log_in_and_is_then_reported_and_retried() {
    let mut rig = Setup { yaml: "{ ttl: 30s, max_ttl: 10m }", ..Setup::default() }.start();
    rig.is_ready().await;
    rig.mock.deny(Operation::Renew, "database/creds/web");
    rig.until("the denial", |rig| rig.secret("db").error.is_some()).await;
    rig.pass(8 * SECOND).await;
    assert_eq!(rig.mock.requests(Operation::Login), 2);
    assert!(rig.fatal.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_not_required_is_left_out_where_it_is_absent_or_unreachable() {
    for kind in [Kind::Absent, Kind::Unavailable] {
        let scratch = scratch();
        let mut rig = Setup {
            secrets: vec![("api", "kv/api"), ("db", "database/creds/web")],
            required: false,
            output: Some(scratch.path().join("live")),
            ..Setup::default()
        }
        .start();
        rig.mock.fail(Fault::new(kind).on(Operation::Fetch).at("kv/api"));
        rig.is_ready().await;
        assert!(!scratch.path().join("live/api").exists(), "{kind:?}");
        assert!(rig.published_user().is_some(), "{kind:?}");
        rig.mock.heal();
        rig.until("it comes later", |_| scratch.path().join("live/api/value").exists()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_logged_in_at_holds_up_nothing_that_is_not_required() {
    let scratch = scratch();
    let output = Some(scratch.path().join("live"));
    let mut rig = Setup { required: false, output, ..Setup::default() }.start();
    rig.mock.fail(Fault::new(Kind::Unavailable).on(Operation::Login));
    rig.is_ready().await;
    assert_eq!(rig.published_user(), None);
    rig.mock.heal();
    rig.until("it comes later", |rig| rig.published_user().is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_not_required_and_denied_ends_the_start() {
    let mut rig = Setup { required: false, ..Setup::default() }.start();
    rig.mock.deny(Operation::Fetch, "database/creds/web");
    assert_eq!(kind(rig.fatal.recv().await.unwrap()), Kind::Denied);
}

#[tokio::test(start_paused = true)]
async fn a_mint_that_is_not_answered_holds_up_nothing_else_even_while_the_store_fails() {
    let mut rig = Setup {
        yaml: "{ ttl: 20s, max_ttl: 1h }",
        secrets: vec![("db", "database/creds/web"), ("queue", "rabbit/creds/web")],
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    let mut hold = rig.mock.hold_at(Operation::Fetch, "rabbit/creds/web");
    let (reply, _answer) = tokio::sync::oneshot::channel();
    rig.order(crate::keeper::Order::Refresh { secret: "queue".to_owned(), reply }).await;
    hold.reached(1).await;
    rig.mock.fail(Fault::new(Kind::Unavailable).on(Operation::Renew).times(3));
    rig.until("the other's renewals", |rig| {
        rig.mock.leases_at("database/creds/web").iter().any(|lease| lease.renewals >= 3)
    })
    .await;
    assert_eq!(rig.mock.mints("database/creds/web"), 1);
    drop(hold);
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_tried_again_no_slower_than_a_fifth_of_what_is_left_of_the_session() {
    let mut rig = Setup {
        yaml: "{ ttl: 10m, max_ttl: 10h, session: { kind: periodic, ttl: 100s } }",
        secrets: vec![("db", "database/creds/web"), ("api", "kv/api")],
        policy: crate::schedule::Policy { refresh: 5 * SECOND, ..Setup::default().policy },
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    rig.mock.deny(Operation::Fetch, "kv/api");
    rig.until("the denial", |rig| rig.secret("api").error.is_some()).await;
    let asked = |rig: &super::rig::Rig| rig.mock.history().iter().filter(|r| r.paths == ["kv/api"]).count();
    let before = asked(&rig);
    rig.pass(100 * SECOND).await;
    let tries = asked(&rig) - before;
    assert!((4..=20).contains(&tries), "{tries} tries in 100 s: at most 20 s apart, and no hurry");
}

#[tokio::test(start_paused = true)]
async fn a_denial_that_comes_late_and_under_an_older_session_costs_no_further_log_in() {
    let mut rig = Setup {
        yaml: "{ ttl: 10m, max_ttl: 1h }",
        secrets: vec![("db", "database/creds/web"), ("queue", "rabbit/creds/web")],
        ..Setup::default()
    }
    .start();
    rig.is_ready().await;
    let mut hold = rig.mock.hold_at(Operation::Fetch, "rabbit/creds/web");
    for path in ["database/creds/web", "rabbit/creds/web"] {
        rig.mock.deny(Operation::Fetch, path);
    }
    let late = async {
        hold.reached(1).await;
        rig.until("the new log-in", |rig| rig.mock.requests(Operation::Login) == 2).await;
        rig.pass(SECOND).await;
        hold.release();
    };
    tokio::join!(rig.refresh("queue"), rig.refresh("db"), late);
    rig.pass(20 * SECOND).await;
    assert_eq!(rig.mock.requests(Operation::Login), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_a_refresh_behind_an_unreachable_store_is_answered_at_once() {
    let mut rig =
        Setup { secrets: vec![("api", "kv/api"), ("db", "database/creds/web")], ..Setup::default() }.start();
    rig.is_ready().await;
    rig.mock.fail(Fault::new(Kind::Unavailable));
    // From the second time on one thing at a time is tried.
    for _ in 0..5 {
        let start = rig.now();
        for answer in <[_; 2]>::from(tokio::join!(rig.refresh("api"), rig.refresh("db"))) {
            assert!(
                matches!(&answer, Refreshed::Failed(why) if why.contains("fetch at provider")),
                "{answer:?}"
            );
        }
        assert!(rig.now().since(start) < SECOND);
    }
    rig.mock.heal();
    rig.until("both are fetched, as was asked", |rig| {
        ["api", "db"].iter().all(|name| rig.secret(name).error.is_none())
    })
    .await;
    assert_eq!(rig.mock.mints("database/creds/web"), 2);
}
