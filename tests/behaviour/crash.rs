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
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness;
use harness::leasehold::Running;
use harness::process::Exit;
use harness::{Signal, eventually, vault};

use points::Point;
use site::{InPlace, LogIn, Mint, SOON, Scenario, Server, Site};

/// How long the server's queue of revocations may take.
const QUEUE: Duration = Duration::from_secs(10);

const OWN: Scenario = Scenario {
    log_in: LogIn::Own,
    token_ttl: "10m",
    token_max_ttl: "20m",
    overlap: "300ms",
    acknowledge: "auto",
};
const GIVEN: Scenario = Scenario { log_in: LogIn::Given, ..OWN };
/// Replaced 5 s before its end: until then what is in place at the kill has to be good, and be taken over.
const SHORT_SESSION: Scenario = Scenario { token_ttl: "15s", token_max_ttl: "15s", overlap: "3s", ..OWN };
const ACKNOWLEDGED: Scenario = Scenario { acknowledge: "required", ..OWN };

/// Through what the traced process goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// `run`, and one rotation that an operator asks for.
    Rotation,
    /// The same, told to end once the replaced lease is retired; only what comes then.
    End,
    /// `run` until its session is replaced; only what comes from the new session's record on.
    Session,
    /// `run`, and one rotation that the application does not acknowledge; only what comes from its
    /// publication on.
    Unacknowledged,
    /// `run` after another that was killed with a new credential recorded and not published.
    TakeOver,
    /// `init`.
    Init,
}

impl Way {
    fn command(self) -> &'static str {
        if self == Way::Init { "init" } else { "run" }
    }

    fn rotates(self) -> bool {
        matches!(self, Way::Rotation | Way::End | Way::Unacknowledged)
    }

    /// How many runs at once: most of their time they wait, for a session's end more than for others.
    fn at_once(self) -> usize {
        if self == Way::Session { 10 } else { 4 }
    }
}

#[test]
fn killed_at_any_call_of_record_publish_and_retire_no_lease_of_a_token_of_our_own_is_left() {
    let mut plan = Plan::new(OWN, Way::Rotation);
    for wanted in ["announced.json", "held.", "session.", "\"..data\"", "unlinkat"] {
        assert!(plan.points.iter().any(|point| point.line().contains(wanted)), "{wanted} is not among them");
    }
    plan.points.push(Point::first("pidfd_send_signal"));
    let tried = plan.kill_everywhere();
    assert!(tried.places > 80, "{tried:?}");
    assert_eq!(tried.unseen, 0, "one call ends all of a session's");
}

#[test]
fn killed_at_any_change_only_a_lease_that_nobody_saw_is_left_under_a_given_token() {
    let tried = Plan::new(GIVEN, Way::Rotation).changes().kill_everywhere();
    assert!(tried.places > 30, "{tried:?}");
    assert!(tried.unseen > 0, "{tried:?}: a mint whose answer is not recorded yet was not among them");
}

#[test]
fn killed_again_while_it_takes_over_the_next_one_takes_over_all() {
    let rotation = Plan::new(OWN, Way::Rotation);
    let recorded = rotation.points.iter().enumerate().filter(|(_, point)| point.renames_to("held."));
    let (second, _) = recorded.take(2).last().expect("two credentials are recorded");
    let crash = Crash { point: rotation.points[second + 1].clone(), paths: rotation.paths };
    let tried = Plan::after(Some(crash), OWN, Way::TakeOver).changes().kill_everywhere();
    assert!(tried.places > 15, "{tried:?}");
}

#[test]
fn killed_while_it_ends_the_next_one_ends_it() {
    for scenario in [OWN, GIVEN] {
        let tried = Plan::new(scenario, Way::End).kill_everywhere();
        assert!(tried.places > 0, "{tried:?}");
    }
}

#[test]
fn killed_before_an_expected_acknowledgement_the_next_one_waits_for_it() {
    let tried = Plan::new(ACKNOWLEDGED, Way::Unacknowledged).changes().kill_everywhere();
    assert!(tried.places > 3, "{tried:?}");
}

#[test]
fn an_init_killed_at_any_change_is_taken_over_or_leaves_nothing() {
    let tried = Plan::new(OWN, Way::Init).changes().kill_everywhere();
    assert!(tried.places > 15, "{tried:?}");
}

/// What is killed where.
struct Plan {
    scenario: Scenario,
    way: Way,
    paths: BTreeSet<String>,
    points: Vec<Point>,
    before: Option<Crash>,
}

/// An earlier process of the same directories, killed in its rotation.
#[derive(Clone)]
struct Crash {
    paths: BTreeSet<String>,
    point: Point,
}

/// What came of a plan.
#[derive(Clone, Copy, Debug, Default)]
struct Tried {
    /// At how many places a process was killed.
    places: usize,
    /// How often a lease was left whose record no process had made.
    unseen: usize,
}

impl Plan {
    fn new(scenario: Scenario, way: Way) -> Self {
        Self::after(None, scenario, way)
    }

    /// Learns from runs that nobody kills.
    fn after(before: Option<Crash>, scenario: Scenario, way: Way) -> Self {
        assert!(harness::tmpfs::root("tracing a process that is not dumpable"), "or nothing is injected");
        let server = Server::new(scenario);
        let crash = before.as_ref();
        // A session's replacement touches what a rotation does, and takes seconds to come.
        let sooner = if way == Way::Session { Way::Rotation } else { way };
        let learnt = traced_to_its_end(&server, sooner, crash, |trace, _| points::to_learn(trace));
        let paths = points::paths(&learnt.whole, Path::new(FOLDER));
        let counted =
            traced_to_its_end(&server, way, crash, |trace, folder| points::to_count(trace, &paths, folder));
        let mut points = points::points(&counted.whole);
        let settled = points::points(&counted.settled).len();
        match way {
            Way::Rotation | Way::TakeOver | Way::Init => points.truncate(settled),
            Way::End => drop(points.drain(..settled)),
            Way::Unacknowledged => {
                let noted = points.iter().rposition(|point| point.renames_to("held.")).expect("it is noted");
                points.truncate(noted + 1);
                let published = points.iter().rposition(|point| point.renames_to("..data"));
                points.drain(..published.expect("it is published"));
            }
            Way::Session => {
                points.truncate(settled);
                let recorded = points.iter().rposition(|point| point.renames_to("session."));
                let second = recorded.expect("a new session is recorded");
                // It is written first.
                points.drain(..second - 3);
            }
        }
        Self { scenario, way, paths, points, before }
    }

    /// Only where something changes: what the next process finds is the same before the others.
    fn changes(mut self) -> Self {
        self.points.retain(Point::changes);
        self
    }

    fn kill_everywhere(self) -> Tried {
        let Self { scenario, way, paths, mut points, before } = self;
        let places = points.len();
        points.reverse();
        let waiting = Mutex::new(points);
        let failed = Mutex::new(Vec::new());
        let unseen = AtomicUsize::new(0);
        let work = || {
            let server = Server::new(scenario);
            loop {
                let Some(point) = waiting.lock().unwrap().pop() else { return };
                match catch_unwind(AssertUnwindSafe(|| {
                    kill_at(&server, way, before.as_ref(), &paths, &point)
                })) {
                    Ok(left) => drop(unseen.fetch_add(left, Ordering::Relaxed)),
                    Err(_) => {
                        let mut failed = failed.lock().unwrap();
                        failed.push(format!("killed {point}"));
                        if failed.len() > 5 {
                            waiting.lock().unwrap().clear();
                        }
                        server.clear();
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..way.at_once() {
                scope.spawn(work);
            }
        });
        let failed = failed.into_inner().unwrap();
        assert!(failed.is_empty(), "of {places} places:\n{}", failed.join("\n"));
        Tried { places, unseen: unseen.into_inner() }
    }
}

/// Stands for the folder of a run in what is kept of its trace.
const FOLDER: &str = "/FOLDER";

/// What a run does that nobody kills.
struct Traced {
    /// Until it has nothing more to do.
    settled: String,
    /// Until its end.
    whole: String,
}

fn traced_to_its_end(
    server: &Server,
    way: Way,
    crash: Option<&Crash>,
    under: impl Fn(&Path, &Path) -> Vec<String>,
) -> Traced {
    let site = Site::new(server);
    if let Some(crash) = crash {
        killed(&site, Way::Rotation, &crash.paths, &crash.point);
    }
    let trace = site.folder.join("trace");
    let mut running = site.start(way.command(), under(&trace, &site.folder));
    let read = || std::fs::read_to_string(&trace).unwrap().replace(site.folder.to_str().unwrap(), FOLDER);
    if way == Way::Init {
        assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
        let mut next = site.start("run", Vec::new());
        eventually("it is taken over", SOON, || site.is_ready());
        site.end(&mut next);
        return Traced { settled: read(), whole: read() };
    }
    eventually("the first generation is announced", SOON, || site.recorded("announced").len() == 1);
    let asked = way.rotates().then(|| eventually("a rotation can be asked for", SOON, || site.refresh()));
    if way == Way::Unacknowledged {
        eventually("the replaced lease is noted", SOON, || site.record().contains("etiring"));
        site.acknowledge();
    }
    eventually("a second generation is in place and all else retired", SOON, || site.has_rotated());
    let settled = read();
    drop(asked);
    // strace lets the signal through to whom it traces.
    rustix::process::kill_process_group(running.pid(), Signal::TERM).unwrap();
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    Traced { settled, whole: read() }
}

/// A run that was killed.
struct Killed {
    running: Running,
    /// What was in place before it rotated.
    first: Option<InPlace>,
    /// How many mints it should have come to.
    mints: usize,
    /// It was told to end before.
    ending: bool,
}

fn killed(site: &Site<'_>, way: Way, paths: &BTreeSet<String>, point: &Point) -> Killed {
    let under = points::to_kill(&site.folder.join("trace"), paths, &site.folder, point);
    let mut running = site.start(way.command(), under);
    let group = running.pid();
    let (mut asked, mut first, mut ending) = (None, None, false);
    let exit = site.drive(&mut running, || {
        if way.rotates() && asked.is_none() && site.recorded("announced").len() == 1 {
            first = site.in_place();
            asked = site.refresh();
        }
        if way == Way::End && !ending && site.has_rotated() {
            ending = true;
            rustix::process::kill_process_group(group, Signal::TERM).unwrap();
        }
    });
    assert_eq!(exit, Exit::Signal(9), "it ended by itself: {}", running.stderr());
    let mints = if asked.is_some() || way == Way::Session { 2 } else { 1 };
    Killed { running, first, mints, ending }
}

/// One run that is killed at a point, the next that takes over, and what both left: how many
/// leases nobody had seen.
fn kill_at(
    server: &Server,
    way: Way,
    crash: Option<&Crash>,
    paths: &BTreeSet<String>,
    point: &Point,
) -> usize {
    println!("killed {point}");
    let site = Site::new(server);
    let earlier = crash.map(|crash| killed(&site, Way::Rotation, &crash.paths, &crash.point));
    let Killed { running, first, mints: expected, ending } = killed(&site, way, paths, point);
    let (first, expected) = earlier.map_or((first, expected), |earlier| (earlier.first, earlier.mints));
    let record = site.record();
    let before = site.mints();
    check_what_is_recorded(&site, &record, &before, ending);
    let found = if ending { None } else { site.in_place_logs_in("after the kill") };

    let mut next = site.start("run", Vec::new());
    let explain = |next: &Running| format!("{}\nthen\n{}", running.stderr(), next.stderr());
    eventually("the next one is ready", SOON, || site.is_ready().then_some(()).ok_or_else(|| next.stderr()));
    let taken_over = site.in_place_logs_in("once the next one is ready").expect("a ready one has a set");
    let mints = site.mints();
    let recorded = before.iter().any(|mint| record.contains(&mint.lease));
    if recorded && matches!(way, Way::Rotation | Way::TakeOver | Way::Init) {
        assert_eq!(mints, before, "what was recorded is taken over: {}", explain(&next));
    }
    if matches!(way, Way::Rotation | Way::TakeOver) {
        assert!(!next.stderr().contains("is gone at"), "none was: {}", explain(&next));
    }
    if let Some(found) = &found {
        assert!(taken_over.generation >= found.generation, "{found:?}, then {taken_over:?}");
    }
    if way == Way::Unacknowledged {
        let first = first.as_ref().expect("it was read before the rotation");
        eventually("its overlap of 300 ms is over", SOON, || match site.awaits_for() {
            Some(seconds) if seconds > 0.6 => Ok(()),
            _ => Err(explain(&next)),
        });
        assert_eq!(first.logs_in(), Ok(()), "nobody acknowledged: {}", explain(&next));
        site.acknowledge();
    }
    eventually("what was replaced is retired", SOON, || match site.has_settled() {
        true => Ok(()),
        false => Err(explain(&next)),
    });
    if first.is_some_and(|first| first.username != taken_over.username) {
        eventually("the application was told", SOON, || match site.told() {
            0 => Err(explain(&next)),
            _ => Ok(()),
        });
    }
    site.in_place_logs_in("at the end");
    site.end(&mut next);
    assert!(site.mints().len() <= expected + 1, "{:?}: {}", site.mints(), explain(&next));
    let left = check_what_is_left(&site, server, &record, &before, &explain(&next));
    if left > 0 {
        server.clear();
    }
    left
}

/// The order of the records, as the dead process left it.
fn check_what_is_recorded(site: &Site<'_>, record: &str, mints: &[Mint], ending: bool) {
    assert!(site.recorded_mints() >= mints.len(), "a mint is counted before it is sent");
    if ending {
        return;
    }
    if let Some(found) = site.in_place() {
        let mint = mints.iter().find(|mint| mint.username == found.username).expect("it was minted");
        assert!(record.contains(&mint.lease), "a lease is recorded before it is published");
    }
    let sessions = site.recorded("session");
    for accessor in site.log_ins() {
        let recorded = sessions.iter().any(|name| name.contains(&accessor));
        assert!(
            recorded || !site.was_used(&accessor) || !vault().token_lives(&accessor),
            "{accessor} was used"
        );
    }
}

/// What the server still has of both.
fn check_what_is_left(site: &Site<'_>, server: &Server, record: &str, before: &[Mint], log: &str) -> usize {
    let unseen: Vec<&Mint> = before.iter().filter(|mint| !record.contains(&mint.lease)).collect();
    let given = server.is_given();
    let allowed = |lease: &String| given && unseen.iter().any(|mint| mint.lease == *lease);
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

/// A session lives for seconds here: a stalled machine would be taken for a fault.
mod timing {
    use super::*;

    #[test]
    fn killed_in_mid_replacement_of_a_session_both_tokens_are_gone_after_the_next_one() {
        let tried = Plan::new(SHORT_SESSION, Way::Session).changes().kill_everywhere();
        assert!(tried.places > 15, "{tried:?}");
    }
}
