//! The session as a file: it changes with the session, and the old one outlives the change.

use std::time::Duration;

use leasehold_core::Operation;
use leasehold_mock::Mock;

use super::rig::{Rig, Setup, scratch};
use crate::config::model::{Acknowledge, Overlap};
use crate::schedule::Policy;

const SECOND: Duration = Duration::from_secs(1);
const SHORT: &str = "{ ttl: 60s, max_ttl: 10m, session: { ttl: 15s, max_ttl: 15s } }";

fn setup(folder: &tempfile::TempDir) -> Setup {
    Setup {
        yaml: SHORT,
        policy: Policy { room: Overlap::Fixed(3 * SECOND).into(), ..Setup::default().policy },
        output: Some(folder.path().join("live")),
        session_file: true,
        ..Setup::default()
    }
}

fn token(folder: &tempfile::TempDir) -> String {
    std::fs::read_to_string(folder.path().join("live/token")).expect("the file is there")
}

fn lives(mock: &Mock, token: &str) -> bool {
    mock.sessions().iter().any(|session| session.credential.expose() == token.as_bytes())
}

#[tokio::test(start_paused = true)]
async fn the_file_holds_the_session_and_the_old_one_lives_on_for_the_overlap() {
    let folder = scratch();
    let mut rig = setup(&folder).start();
    rig.is_ready().await;
    let mut before = token(&folder);
    assert!(lives(&rig.mock, &before));
    for _ in 0..3 {
        let old = before.clone();
        rig.until("another session in the file", |_| token(&folder) != old).await;
        let changed = rig.now();
        assert!(lives(&rig.mock, &old), "it is not taken from under the application");
        before = token(&folder);
        assert!(lives(&rig.mock, &before));
        rig.until("the old session's end", |rig| !lives(&rig.mock, &old)).await;
        let after = rig.now().since(changed);
        assert!(after >= 2900 * SECOND / 1000 && after <= 5 * SECOND, "{after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_session_that_nothing_else_hangs_on_waits_for_the_application_all_the_same() {
    let folder = scratch();
    let mut rig = Setup { secrets: vec![("db", "kv/db")], ..setup(&folder) }.start();
    rig.is_ready().await;
    let old = token(&folder);
    rig.until("another session in the file", |_| token(&folder) != old).await;
    let changed = rig.now();
    rig.until("the old session's end", |rig| !lives(&rig.mock, &old)).await;
    assert!(rig.now().since(changed) >= 2900 * SECOND / 1000, "{:?}", rig.now().since(changed));
}

#[tokio::test(start_paused = true)]
async fn where_the_application_has_to_answer_the_old_session_is_not_revoked_before_it_does() {
    let folder = scratch();
    let setup = Setup { acknowledge: Acknowledge::Required, ..setup(&folder) };
    let mut rig = Setup { secrets: vec![("db", "kv/db")], ..setup }.start();
    rig.is_ready().await;
    let old = token(&folder);
    rig.until("another session in the file", |_| token(&folder) != old).await;
    rig.until("the old session's end", |rig| !lives(&rig.mock, &old)).await;
    assert_eq!(rig.mock.requests(Operation::Revoke), 0, "it ended by itself");
    let old = token(&folder);
    rig.until("another session in the file", |_| token(&folder) != old).await;
    rig.announcements.acknowledge(None, None).expect("it counts");
    rig.until("the old session's end", |rig| !lives(&rig.mock, &old)).await;
    assert_eq!(rig.mock.requests(Operation::Revoke), 1);
}

#[tokio::test(start_paused = true)]
async fn the_next_process_keeps_the_session_and_leaves_the_file_alone() {
    let (folder, state) = (scratch(), scratch());
    let setup = || Setup {
        yaml: "{ ttl: 60s, max_ttl: 10m, session: { ttl: 60s, max_ttl: 10m } }",
        state: Some(state.path().to_owned()),
        ..setup(&folder)
    };
    let mut rig = setup().start();
    rig.is_ready().await;
    let (first, generation) = (token(&folder), rig.generation());
    let (mock, clock) = rig.kill().await;
    let mut rig: Rig = setup().start_on(mock, clock);
    rig.is_ready().await;
    rig.pass(20 * SECOND).await;
    assert_eq!((token(&folder), rig.generation()), (first.clone(), generation));
    assert!(lives(&rig.mock, &first));
    assert_eq!(rig.mock.requests(Operation::Login), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_the_store_has_lost_is_replaced_in_the_file() {
    let folder = scratch();
    let mut rig = Setup { yaml: "{ ttl: 60s, max_ttl: 1h }", ..setup(&folder) }.start();
    rig.is_ready().await;
    let old = token(&folder);
    let id = rig.mock.sessions()[0].id.clone();
    assert!(rig.mock.expire_session(&id));
    rig.until("a living session in the file", |rig| {
        token(&folder) != old && lives(&rig.mock, &token(&folder))
    })
    .await;
}
