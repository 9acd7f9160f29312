//! The candidate check and `settle`: what the application has, and what happens at the store.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::Operation;

use super::rig::{FIRST_UNTIL, Rig, Setup, scratch};
use crate::config::model::{Content, File, Files, OnExpiry, OnFailure, Overlap};
use crate::keeper::{EndMode, Refreshed};
use crate::publisher::{Candidate, Check, Verdict};
use crate::schedule::{Lead, Policy, Room};

const SECOND: Duration = Duration::from_secs(1);
/// One lease lives for two minutes, so its overlap is 24 s.
const SHORT: &str = "{ ttl: 2m, max_ttl: 2m }";

/// Says what a test wants it to say.
#[derive(Clone, Default)]
struct Judge(Arc<Mutex<Judged>>);

#[derive(Default)]
struct Judged {
    says: Option<Verdict>,
    hangs: bool,
    /// The user name in each candidate that it has seen.
    seen: Vec<String>,
}

impl Judge {
    fn says(&self, verdict: Verdict) {
        let mut judged = self.0.lock().unwrap();
        (judged.says, judged.hangs) = (Some(verdict), false);
    }

    fn refuses(&self) {
        self.says(Verdict::Refused("the role is not known".to_owned()));
    }

    fn hangs(&self) {
        self.0.lock().unwrap().hangs = true;
    }

    fn seen(&self) -> Vec<String> {
        self.0.lock().unwrap().seen.clone()
    }

    fn with(&self, on_failure: OnFailure) -> Option<(Arc<dyn Check>, OnFailure)> {
        Some((Arc::new(self.clone()), on_failure))
    }
}

#[async_trait]
impl Check for Judge {
    async fn check(&self, candidate: &Candidate) -> Verdict {
        let user = |directory: &PathBuf| std::fs::read_to_string(directory.join("db/username"));
        let user = candidate.directory.as_ref().map(|directory| user(directory).unwrap_or_default());
        let (says, hangs) = {
            let mut judged = self.0.lock().unwrap();
            judged.seen.push(user.unwrap_or_default());
            (judged.says.clone().unwrap_or(Verdict::Good), judged.hangs)
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        says
    }
}

fn rig(judge: &Judge, on_failure: OnFailure, scratch: &tempfile::TempDir, yaml: &'static str) -> Rig {
    setup(judge, on_failure, scratch, yaml).start()
}

fn setup(judge: &Judge, on_failure: OnFailure, scratch: &tempfile::TempDir, yaml: &'static str) -> Setup {
    let output = Some(scratch.path().join("live"));
    Setup { yaml, output, check: judge.with(on_failure), ..Setup::default() }
}

fn refusals(rig: &Rig) -> u32 {
    rig.board.snapshot().verify.map_or(0, |verify| verify.tries)
}

fn mints(rig: &Rig) -> u64 {
    rig.mock.mints("database/creds/web")
}

/// The leases that live at the store.
fn leases(rig: &Rig) -> Vec<String> {
    rig.mock.leases_at("database/creds/web").into_iter().map(|lease| lease.id).collect()
}

/// The generations that lie in the volume.
fn left_in_place(rig: &Rig) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(rig.output().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("..generation"))
        .collect();
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn what_a_check_refuses_is_tried_again_then_given_back_and_replaced_no_sooner_than_in_five_minutes() {
    let (judge, scratch) = (Judge::default(), scratch());
    let mut rig = rig(
        &judge,
        OnFailure::Keep,
        &scratch,
        "{ ttl: 30m, max_ttl: 30m, session: { ttl: 2h, max_ttl: 2h } }",
    );
    rig.is_ready().await;
    let old = rig.published_user();
    judge.refuses();
    rig.until("the first refusal", |rig| refusals(rig) == 1).await;
    rig.until("many more", |rig| refusals(rig) >= 10).await;
    assert_eq!(mints(&rig), 2, "the same candidate is tried again");
    let tried: Vec<String> = judge.seen().split_off(1);
    assert!(tried.iter().all(|user| *user == tried[0] && Some(user) != old.as_ref()), "{tried:?}");
    assert_eq!(rig.published_user(), old);
    assert_eq!(rig.generation(), 1);
    let shown = rig.board.snapshot().verify.unwrap();
    assert!(shown.said.contains("not known") && shown.next.is_some(), "{shown:?}");

    rig.until("the last word", |rig| rig.said("verify_failed")).await;
    // Half of the overlap of 6 minutes before the end, but for the last try's own time.
    let left = rig.secret("db").expires.unwrap().since(rig.now());
    assert!(left > 170 * SECOND && left <= 181 * SECOND, "{left:?}");
    let refused = rig.now();
    rig.until("the revocation", |rig| leases(rig).len() == 1).await;
    assert!(rig.now().since(refused) < 2 * SECOND);
    let said = rig.events.recorded();
    let revoked = |line: &&String| line.contains("revoked the lease of a refused candidate of \"db\": ");
    assert_eq!(said.iter().filter(revoked).count(), 1, "{said:?}");
    assert_eq!(rig.published_user(), old);
    assert_eq!(left_in_place(&rig), ["..generation-1"], "nothing of it is left");

    judge.says(Verdict::Good);
    rig.until("the next mint", |rig| mints(rig) == 3).await;
    assert!(rig.now().since(refused) >= 300 * SECOND, "{:?}", rig.now().since(refused));
    rig.until("its publication", |rig| rig.generation() == 2).await;
    assert!(rig.board.snapshot().verify.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_found_good_after_some_tries_is_in_place_before_the_old_one_ends() {
    for first in [Verdict::Refused("no".to_owned()), Verdict::Unknown("away".to_owned())] {
        let (judge, scratch) = (Judge::default(), scratch());
        let mut rig = rig(&judge, OnFailure::Keep, &scratch, SHORT);
        rig.is_ready().await;
        let (old, end) = (rig.secret("db").lease.unwrap(), rig.secret("db").expires.unwrap());
        judge.says(first);
        rig.until("some tries", |rig| refusals(rig) == 3).await;
        assert_eq!(leases(&rig).len(), 2);
        judge.says(Verdict::Good);
        rig.until("the successor", |rig| rig.generation() == 2).await;
        assert!(rig.now() < end);
        assert_eq!(mints(&rig), 2);
        rig.until("the old one's end", |rig| !leases(rig).contains(&old)).await;
        assert_eq!(leases(&rig).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn with_on_failure_publish_it_is_put_in_place_at_half_an_overlap_before_the_old_end() {
    let (judge, scratch) = (Judge::default(), scratch());
    let mut rig = rig(&judge, OnFailure::Publish, &scratch, SHORT);
    rig.is_ready().await;
    let end = rig.secret("db").expires.unwrap();
    judge.says(Verdict::Unknown("the database is away".to_owned()));
    rig.until("the successor", |rig| rig.generation() == 2).await;
    let left = end.since(rig.now());
    assert!(left > 11 * SECOND && left <= 12 * SECOND, "{left:?}");
    assert!(rig.said("put in place all the same"));
    assert!(rig.said("less than its overlap"), "{:?}", rig.events.recorded());
    assert_eq!(mints(&rig), 2);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_delays_no_renewal_and_is_given_up_in_time() {
    let (judge, scratch) = (Judge::default(), scratch());
    let secrets = vec![("db", "database/creds/web"), ("queue", "rabbit/creds/web")];
    let yaml = "{ ttl: 1m, max_ttl: 1h, secrets: { database/creds/web: { ttl: 2m, max_ttl: 2m } } }";
    let mut rig = Setup { secrets, ..setup(&judge, OnFailure::Publish, &scratch, yaml) }.start();
    rig.is_ready().await;
    let end = rig.secret("db").expires.unwrap();
    judge.hangs();
    rig.until("the candidate", |_| judge.seen().len() == 2).await;
    let renewals = rig.mock.requests(Operation::Renew);
    rig.until("the end of patience", |rig| rig.generation() == 2).await;
    assert!(rig.now() < end);
    assert!(!rig.secret("queue").expired);
    rig.pass(60 * SECOND).await;
    assert!(rig.mock.requests(Operation::Renew) > renewals);
    assert!(!rig.said("expired"));
}

#[tokio::test(start_paused = true)]
async fn without_a_set_in_place_the_same_one_is_tried_for_as_long_as_the_start_may_take() {
    let (judge, scratch) = (Judge::default(), scratch());
    judge.refuses();
    let rig = rig(&judge, OnFailure::Keep, &scratch, "{ ttl: 1h }");
    rig.pass(3 * FIRST_UNTIL).await;
    assert!(!*rig.ready.borrow());
    assert!(refusals(&rig) > 20 && !rig.said("verify_failed"), "it is not given up before");
    assert_eq!(mints(&rig), 1);
    assert!(rig.board.snapshot().verify.unwrap().said.contains("not known"));
    // The end of the start gives back what was minted and not published.
    rig.end(EndMode::Unpublished).await;
    assert!(leases(&rig).is_empty());
}

#[tokio::test(start_paused = true)]
async fn with_on_failure_publish_the_first_set_is_in_place_at_half_of_the_start() {
    let (judge, scratch) = (Judge::default(), scratch());
    judge.refuses();
    let start = crate::clock::Clock::tokio().now();
    let mut rig = rig(&judge, OnFailure::Publish, &scratch, "{ ttl: 1h }");
    let begun = rig.now();
    assert!(begun.since(start) < SECOND);
    rig.is_ready().await;
    let took = rig.now().since(begun);
    assert!(took >= FIRST_UNTIL && took < FIRST_UNTIL + SECOND, "{took:?}");
    assert!(rig.said("put in place all the same"));
}

#[tokio::test(start_paused = true)]
async fn files_that_have_to_go_do_not_wait_for_a_check() {
    let (judge, scratch) = (Judge::default(), scratch());
    let setup = Setup { on_expiry: OnExpiry::Delete, ..setup(&judge, OnFailure::Keep, &scratch, SHORT) };
    let mut rig = setup.start();
    rig.is_ready().await;
    let end = rig.secret("db").expires.unwrap();
    judge.hangs();
    rig.until("the expiry", |rig| rig.secret("db").expired).await;
    rig.until("the files' end", |rig| rig.published_user().is_none()).await;
    assert!(rig.now().since(end) < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_newer_value_takes_the_place_of_the_one_on_trial() {
    let (judge, scratch) = (Judge::default(), scratch());
    let yaml = "{ secrets: { kv/db: { fields: { username: one } } } }";
    let policy = Policy { refresh: 10 * SECOND, ..Setup::default().policy };
    let secrets = vec![("db", "kv/db")];
    let mut rig = Setup { secrets, policy, ..setup(&judge, OnFailure::Keep, &scratch, yaml) }.start();
    rig.is_ready().await;
    judge.refuses();
    rig.mock.set_fields("kv/db", [("username", "two")]);
    rig.until("refusals", |rig| refusals(rig) >= 3).await;
    assert_eq!(rig.published_user().as_deref(), Some("one"));
    rig.mock.set_fields("kv/db", [("username", "three")]);
    rig.until("the newer value's trial", |_| judge.seen().iter().any(|user| user == "three")).await;
    judge.says(Verdict::Good);
    rig.until("the newer value", |rig| rig.published_user().as_deref() == Some("three")).await;
    assert!(!rig.said("verify_failed"));
}

#[tokio::test(start_paused = true)]
async fn a_polled_value_that_is_finally_refused_is_offered_again_five_minutes_later() {
    let (judge, scratch) = (Judge::default(), scratch());
    let yaml = "{ secrets: { kv/db: { fields: { username: one } } } }";
    let policy = Policy { refresh: 10 * SECOND, ..Setup::default().policy };
    let secrets = vec![("db", "kv/db")];
    let mut rig = Setup { secrets, policy, ..setup(&judge, OnFailure::Keep, &scratch, yaml) }.start();
    rig.is_ready().await;
    judge.refuses();
    rig.mock.set_fields("kv/db", [("username", "two")]);
    rig.until("the trial", |rig| refusals(rig) == 1).await;
    let begun = rig.now();
    rig.until("the last word", |rig| rig.said("verify_failed")).await;
    let tried = rig.now().since(begun);
    assert!(tried >= 295 * SECOND && tried <= 301 * SECOND, "{tried:?}");
    let (refused, seen) = (rig.now(), judge.seen().len());
    rig.until("the next offer", |_| judge.seen().len() > seen).await;
    assert!(rig.now().since(refused) >= 300 * SECOND);
    assert_eq!(rig.published_user().as_deref(), Some("one"));
}

#[tokio::test(start_paused = true)]
async fn who_asked_for_a_refresh_hears_of_the_first_refusal() {
    let (judge, scratch) = (Judge::default(), scratch());
    let mut rig = rig(&judge, OnFailure::Keep, &scratch, "{ ttl: 1h }");
    rig.is_ready().await;
    judge.refuses();
    let Refreshed::Failed(why) = rig.refresh("db").await else { panic!("it is refused") };
    assert!(why.contains("not known") && why.contains("asked again"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_reload_holds_once_its_files_are_found_good_and_not_where_they_are_refused() {
    let (judge, scratch) = (Judge::default(), scratch());
    let mut rig = rig(&judge, OnFailure::Keep, &scratch, "{ ttl: 1h }");
    rig.is_ready().await;
    let file = File {
        content: Content::Field { secret: "db".to_owned(), field: "username".to_owned(), decode: None },
        mode: None,
        owner: None,
        group: None,
        place: String::new(),
    };
    let files = Files::Named(BTreeMap::from([("user".to_owned(), file)]));
    let user = rig.output().unwrap().join("user");
    for verdict in [Verdict::Refused("no such user".to_owned()), Verdict::Unknown("no such user".to_owned())]
    {
        judge.says(verdict);
        let why = rig.replan(files.clone()).await.unwrap_err();
        assert!(why.contains("no such user"), "{why}");
        assert!(!user.exists());
        assert_eq!(left_in_place(&rig), ["..generation-1"]);
    }
    judge.says(Verdict::Good);
    assert_eq!(rig.replan(files).await, Ok(()));
    assert!(user.exists());
    assert_eq!(mints(&rig), 1);
}

#[tokio::test(start_paused = true)]
async fn where_there_are_no_files_the_check_runs_without_a_directory() {
    let judge = Judge::default();
    judge.refuses();
    let check = judge.with(OnFailure::Keep);
    let mut rig = Setup { check, ..Setup::default() }.start();
    rig.until("refusals", |rig| refusals(rig) >= 2).await;
    assert!(!*rig.ready.borrow());
    judge.says(Verdict::Good);
    rig.is_ready().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_in_place_already_needs_no_check_and_a_killed_trial_leaves_the_old_set() {
    let (judge, scratch, state) = (Judge::default(), scratch(), scratch());
    let with = |judge: &Judge| Setup {
        state: Some(state.path().to_owned()),
        ..setup(judge, OnFailure::Keep, &scratch, SHORT)
    };
    let mut rig = with(&judge).start();
    rig.is_ready().await;
    let old = rig.published_user();
    judge.refuses();
    rig.until("a trial", |rig| refusals(rig) == 2).await;
    assert_eq!(left_in_place(&rig), ["..generation-1", "..generation-2"]);
    let (mock, clock) = rig.kill().await;

    // What it minted is tried again, and given back in time; the set in place is taken up unasked.
    let mut rig = with(&judge).start_on(mock, clock);
    assert_eq!(left_in_place(&rig), ["..generation-1"], "the next start clears up");
    rig.until("the last word", |rig| rig.said("verify_failed")).await;
    rig.is_ready().await;
    assert_eq!(rig.published_user(), old);
    assert_eq!(rig.generation(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_credential_is_neither_checked_nor_published_before_it_is_known_everywhere() {
    let (judge, scratch) = (Judge::default(), scratch());
    let room = Room { overlap: Overlap::Auto, lead: Lead { settle: 20 * SECOND, ..Lead::default() } };
    let policy = Policy { room, ..Setup::default().policy };
    let mut rig = Setup { policy, ..setup(&judge, OnFailure::Keep, &scratch, SHORT) }.start();
    let start = rig.now();
    rig.until("the first mint", |rig| mints(rig) == 1).await;
    rig.pass(19 * SECOND).await;
    assert!(judge.seen().is_empty() && !*rig.ready.borrow());
    rig.is_ready().await;
    let took = rig.now().since(start);
    assert!(took >= 20 * SECOND && took < 21 * SECOND, "{took:?}");

    let end = rig.secret("db").expires.unwrap();
    rig.until("the successor's mint", |rig| mints(rig) == 2).await;
    let minted = rig.now();
    rig.until("the successor", |rig| rig.generation() == 2).await;
    assert!(rig.now().since(minted) >= 20 * SECOND - SECOND / 10);
    assert_eq!(judge.seen().len(), 2);
    // Rotation was due that much earlier: the overlap is whole.
    assert!(end.since(rig.now()) >= 24 * SECOND, "{:?}", end.since(rig.now()));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_lost_while_its_set_is_on_trial_is_not_published() {
    let (judge, scratch) = (Judge::default(), scratch());
    let mut rig = rig(&judge, OnFailure::Keep, &scratch, SHORT);
    rig.is_ready().await;
    judge.refuses();
    rig.until("the trial", |rig| refusals(rig) == 2).await;
    let lost = judge.seen().pop().unwrap();
    let current = rig.secret("db").lease.unwrap();
    for lease in leases(&rig).into_iter().filter(|lease| *lease != current) {
        assert!(rig.mock.revoke_lease(&lease));
    }
    rig.mock.delay(Operation::Fetch, 20 * SECOND);
    rig.stale("db").await;
    rig.until("its loss", |rig| rig.said("lease_lost")).await;
    judge.says(Verdict::Good);
    rig.until("another", |rig| rig.generation() == 2).await;
    assert_ne!(rig.published_user().unwrap(), lost);
}
