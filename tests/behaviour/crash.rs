//! Every lease is accounted for after a crash: killed before any system call of record, publish and retire,
//! started again, ended, nothing of it is left at the server.
//!
//! The places are recorded from a first run under strace, as the calls on the state and the output directory;
//! then each is a run of its own, which has to end by SIGKILL. strace sees paths of a process that is not
//! dumpable only with CAP_SYS_PTRACE: without it nothing would be injected.

mod points;
mod site;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use crate::harness;
use harness::leasehold::Running;
use harness::process::Exit;
use harness::{Signal, eventually, vault};

use points::Point;
use site::{LogIn, SOON, Scenario, Server, Site};

/// How many runs at once: most of their time they wait.
const AT_ONCE: usize = 4;
/// How long the server's queue of revocations may take.
const QUEUE: Duration = Duration::from_secs(10);

const OWN: Scenario =
    Scenario { log_in: LogIn::Own, token_ttl: "10m", token_max_ttl: "20m", overlap: "300ms" };
const GIVEN: Scenario = Scenario { log_in: LogIn::Given, ..OWN };

/// What the traced process is taken through before it is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `run`, and one rotation that an operator asks for.
    Rotation,
    /// `init`.
    Init,
}

impl Way {
    fn command(self) -> &'static str {
        match self {
            Way::Rotation => "run",
            Way::Init => "init",
        }
    }
}

#[test]
fn killed_at_any_call_of_record_publish_and_retire_no_lease_of_a_token_of_our_own_is_left() {
    let tried = kill_everywhere(OWN, Way::Rotation, |_| true);
    assert!(tried > 80, "only {tried} places");
}

#[test]
fn killed_at_any_change_of_record_publish_and_retire_no_lease_that_was_seen_is_left_under_a_given_token() {
    let tried = kill_everywhere(GIVEN, Way::Rotation, Point::changes);
    assert!(tried > 30, "only {tried} places");
}

#[test]
fn an_init_killed_at_any_change_is_taken_over_or_leaves_nothing() {
    let tried = kill_everywhere(OWN, Way::Init, Point::changes);
    assert!(tried > 15, "only {tried} places");
}

/// Kills at each wanted point; how many they were.
fn kill_everywhere(scenario: Scenario, way: Way, wanted: impl Fn(&Point) -> bool) -> usize {
    assert!(
        harness::tmpfs::root("tracing a process that is not dumpable"),
        "as root, or nothing is injected"
    );
    let server = Server::new(scenario);
    let (paths, mut points) = first_run(&server, way);
    points.retain(|point| wanted(point));
    let tried = points.len();
    points.reverse();
    let waiting = Mutex::new(points);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let (waiting, failed, paths) = (&waiting, &failed, &paths);
            scope.spawn(move || {
                let server = Server::new(scenario);
                loop {
                    let Some(point) = waiting.lock().unwrap().pop() else { return };
                    let told = catch_unwind(AssertUnwindSafe(|| kill_at(&server, way, paths, &point)));
                    if told.is_err() {
                        let mut failed = failed.lock().unwrap();
                        failed.push(format!("worker {worker}, killed {point}"));
                        if failed.len() > 5 {
                            waiting.lock().unwrap().clear();
                        }
                        server.clear();
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "of {tried} places:\n{}", failed.join("\n"));
    tried
}

/// What a run does that nobody kills: on which paths, and with which calls.
fn first_run(server: &Server, way: Way) -> (BTreeSet<String>, Vec<Point>) {
    let learnt = traced_to_its_end(server, way, |trace, _| points::to_learn(trace));
    let paths = points::paths(&learnt, Path::new(FOLDER));
    let counted = traced_to_its_end(server, way, |trace, folder| points::to_count(trace, &paths, folder));
    (paths, points::points(&counted))
}

/// Stands for the folder of a run in what is kept of its trace.
const FOLDER: &str = "/FOLDER";

fn traced_to_its_end(server: &Server, way: Way, under: impl Fn(&Path, &Path) -> Vec<String>) -> String {
    let site = Site::new(server);
    let trace = site.folder.join("trace");
    let mut running = site.start(way.command(), under(&trace, &site.folder));
    let read = || std::fs::read_to_string(&trace).unwrap().replace(site.folder.to_str().unwrap(), FOLDER);
    if way == Way::Init {
        assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
        let trace = read();
        let mut next = site.start("run", Vec::new());
        eventually("it is taken over", SOON, || site.is_ready());
        site.end(&mut next);
        return trace;
    }
    eventually("the first generation is announced", SOON, || site.recorded("announced").len() == 1);
    let asked = eventually("a rotation can be asked for", SOON, || site.refresh());
    eventually("the second one is in place", SOON, || {
        site.in_place().is_some_and(|found| found.generation == 2)
    });
    eventually("the old lease is retired", SOON, || site.recorded("held").len() == 1);
    let trace = read();
    drop(asked);
    // strace lets the signal through to whom it traces.
    rustix::process::kill_process_group(running.pid(), Signal::TERM).unwrap();
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    trace
}

/// One run that is killed at a point, the next that takes over, and what both left.
fn kill_at(server: &Server, way: Way, paths: &BTreeSet<String>, point: &Point) {
    println!("killed {point}");
    let site = Site::new(server);
    let trace = site.folder.join("trace");
    let under = points::to_kill(&trace, paths, &site.folder, point);
    let mut running = site.start(way.command(), under);
    let (mut asked, mut first) = (None, None);
    let exit = site.drive(&mut running, || {
        if way == Way::Rotation && asked.is_none() && site.recorded("announced").len() == 1 {
            first = site.in_place();
            asked = site.refresh();
        }
    });
    assert_eq!(exit, Exit::Signal(9), "it ended by itself: {}", running.stderr());
    let expected = 1 + usize::from(asked.is_some());
    let record = site.record();
    let before = site.mints();
    let found = site.in_place_logs_in("after the kill");

    let mut next = site.start("run", Vec::new());
    let explain = |next: &Running| format!("{}\nthen\n{}", running.stderr(), next.stderr());
    eventually("the next one is ready", SOON, || site.is_ready().then_some(()).ok_or_else(|| next.stderr()));
    let taken_over = site.in_place_logs_in("once the next one is ready").expect("a ready one has a set");
    let mints = site.mints();
    let seen = before.iter().any(|lease| record.contains(lease.as_str()));
    if seen {
        assert_eq!(mints, before, "what was recorded is taken over: {}", explain(&next));
    }
    assert!(mints.len() <= expected + 1, "{mints:?}: {}", explain(&next));
    if let Some(found) = &found {
        assert!(taken_over.generation >= found.generation, "{found:?}, then {taken_over:?}");
    }
    eventually("what was replaced is retired", SOON, || {
        (site.recorded("held").len() == 1).then_some(()).ok_or_else(|| explain(&next))
    });
    if first.is_some_and(|first| first.username != taken_over.username) {
        eventually("the application was told", SOON, || {
            (site.told() > 0).then_some(()).ok_or_else(|| explain(&next))
        });
    }
    site.in_place_logs_in("at the end");
    site.end(&mut next);
    assert_eq!(site.mints(), mints, "nothing is minted without need: {}", explain(&next));
    let left = check_what_is_left(&site, server, &record, &before, &explain(&next));
    if left > 0 {
        server.clear();
    }
}

/// What the server still has of both; how many leases nobody had seen.
fn check_what_is_left(site: &Site<'_>, server: &Server, record: &str, before: &[String], log: &str) -> usize {
    let unseen: Vec<&String> = before.iter().filter(|lease| !record.contains(lease.as_str())).collect();
    let given = server.is_given();
    let allowed = |lease: &String| given && unseen.contains(&lease);
    let left = eventually("no lease is left", QUEUE, || {
        let left = server.leases();
        if left.iter().all(allowed) { Ok(left) } else { Err(format!("{left:?}: {log}")) }
    });
    assert!(left.len() <= 1, "{left:?}: {log}");
    assert!(server.given_token_lives(), "it was only given: {log}");
    for accessor in site.log_ins() {
        // One that was answered to a dying process was never used, and nothing hangs on it.
        assert!(!vault().token_lives(&accessor) || !site.was_used(&accessor), "{accessor} lives: {log}");
    }
    assert_eq!(site.recorded("held"), [""; 0], "{log}");
    if !given {
        assert_eq!(site.recorded("session"), [""; 0], "{log}");
    }
    left.len()
}
