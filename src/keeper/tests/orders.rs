//! Orders that a drill gives: a look-up at once, and what failed tried again soon.

use std::time::Duration;

use leasehold_core::{Kind, Operation};
use leasehold_mock::Fault;

use super::rig::Setup;
use crate::keeper::Order;

const SECOND: Duration = Duration::from_secs(1);

fn db() -> String {
    "db".to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_is_ordered_is_not_held_back_by_one_on_the_applications_word() {
    let mut rig = Setup { yaml: "{ ttl: 10m, max_ttl: 1h }", ..Setup::default() }.start();
    rig.is_ready().await;
    for round in 1..=2 {
        let said = rig.stale("db").await;
        assert_eq!(said.starts_with("looked at"), round == 2, "{said}");
        rig.until("the look-up", |rig| rig.mock.requests(Operation::Lookup) >= round).await;
        rig.mock.revoke_path("database/creds/web");
        let asked = rig.now();
        rig.order(Order::LookUp { secret: db() }).await;
        rig.until("a successor", |rig| rig.mock.mints("database/creds/web") == round + 1).await;
        assert!(rig.now().since(asked) < SECOND, "{:?}", rig.now().since(asked));
    }
    let said = rig.events.recorded().join("\n");
    assert!(said.contains("s ago, and once in 10 s is enough"), "{said}");
    assert_eq!(said.matches("the application was refused").count(), 2, "{said}");
}

#[tokio::test(start_paused = true)]
async fn what_was_denied_is_tried_again_soon_once_that_is_said_to_be_over() {
    let mut rig =
        Setup { yaml: "{ ttl: 6s, max_ttl: 6s, session: { ttl: 1h } }", ..Setup::default() }.start();
    rig.is_ready().await;
    rig.mock.fail(Fault::new(Kind::Denied).on(Operation::Fetch));
    rig.mock.fail(Fault::new(Kind::Denied).on(Operation::Renew));
    rig.until("it expires", |rig| rig.secret("db").expired).await;
    let next = rig.secret("db").next.unwrap().0;
    assert!(next.since(rig.now()) > 60 * SECOND, "a denial is not hurried");
    rig.mock.heal();
    let over = rig.now();
    rig.order(Order::TryAgain { secret: Some("other".to_owned()) }).await;
    rig.pass(SECOND).await;
    assert!(rig.secret("db").expired, "that was about another secret");
    rig.order(Order::TryAgain { secret: Some(db()) }).await;
    rig.until("a new one", |rig| !rig.secret("db").expired).await;
    assert!(rig.now().since(over) < 3 * SECOND, "{:?}", rig.now().since(over));

    // A denial that comes now is the store's own, and worth a log-in.
    let logins = rig.mock.requests(Operation::Login);
    rig.mock.fail(Fault::new(Kind::Denied).on(Operation::Fetch).times(1));
    rig.until("a log-in", |rig| rig.mock.requests(Operation::Login) > logins).await;
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_that_is_said_to_be_over_all_is_tried_again_within_the_splay() {
    let mut rig =
        Setup { yaml: "{ ttl: 20m, max_ttl: 40m, session: { ttl: 24h, max_ttl: 48h } }", ..Setup::default() }
            .start();
    rig.is_ready().await;
    rig.mock.outage();
    rig.until("renewals fail", |rig| rig.secret("db").error.is_some_and(|error| error.count > 8)).await;
    rig.mock.heal();
    let over = rig.now();
    rig.order(Order::TryAgain { secret: None }).await;
    rig.until("a renewal", |rig| rig.mock.leases()[0].renewals == 1).await;
    assert!(rig.now().since(over) <= 11 * SECOND, "{:?}", rig.now().since(over));
    assert_eq!(rig.mock.mints("database/creds/web"), 1);
}
