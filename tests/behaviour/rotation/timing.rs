use std::collections::BTreeMap;
use std::os::unix::fs::chown;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::process::Exit;
use harness::tmpfs::{ProtectedSymlinks, Volume, root};
use harness::vault::DatabaseMount;
use harness::{Signal, eventually, postgres, stalls, vault};
use leasehold_harness as harness;

use super::read_set;
use crate::SOON;
use crate::stage::{Rights, Stage, leasehold};
use crate::volume::as_user;

/// Nobody's on any machine.
const WRITER: u32 = 61_542;
const READER: u32 = 61_543;
const SHARED: u32 = 61_610;

/// A third of a TTL of three seconds: the most that is granted of it.
const OVERLAP: Duration = Duration::from_secs(1);
/// The longest that a lease lives here.
const LIFE: Duration = Duration::from_secs(6);
const PACE: Duration = Duration::from_millis(20);

/// What the application went through.
#[derive(Debug, Default)]
struct Life {
    logins: usize,
    /// Failed with what was read less than `overlap` ago, or not to be read at all.
    failures: Vec<String>,
    /// Failed with what was older, or while the machine stood still, which is not ours.
    stalls: usize,
    /// Every user in its order, and when `..data` was opened for the last time that led to it.
    users: Vec<(String, Instant)>,
}

/// When a role was there for the first time, and when it was gone.
#[derive(Debug, Default)]
struct Roles {
    samples: usize,
    most: Vec<String>,
    gone: BTreeMap<String, Instant>,
}

/// An application that reads its files anew for each connection, as another user than the writer.
fn apply(live: &Path, life: &Mutex<Life>, stop: &AtomicBool) {
    as_user(READER, READER, &[SHARED], || {
        let mut next = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let opened = Instant::now();
            let set = read_set(live, ["db.env", "username", "password"]);
            let outcome = set.and_then(|[pair, username, password]| {
                if pair != format!("{username} {password}") {
                    return Err(format!("torn: {pair} is not {username} {password}"));
                }
                let outcome = postgres().login(&username, &password);
                Ok((username, outcome))
            });
            let took = opened.elapsed();
            let mut life = life.lock().unwrap();
            life.logins += 1;
            match outcome {
                Err(why) => life.failures.push(why),
                Ok((username, outcome)) => {
                    match outcome {
                        Ok(()) => {}
                        Err(why) if took < OVERLAP && !stalls().within(LIFE) => {
                            life.failures.push(format!("{username}: {why}"))
                        }
                        Err(_) => life.stalls += 1,
                    }
                    match life.users.last_mut().filter(|(last, _)| *last == username) {
                        Some((_, last)) => *last = opened,
                        None => life.users.push((username, opened)),
                    }
                }
            }
            drop(life);
            next = (next + PACE).max(Instant::now());
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    });
}

/// Looks from beside, at the server, which roles there are.
fn count(database: &DatabaseMount<'_>, roles: &Mutex<Roles>, stop: &AtomicBool) {
    let mut before = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let now = database.roles();
        let at = Instant::now();
        let mut roles = roles.lock().unwrap();
        roles.samples += 1;
        for gone in before.iter().filter(|name| !now.contains(name)) {
            roles.gone.insert(String::clone(gone), at);
        }
        // After a stall the end of one and the mint of another are overdue at the same moment.
        if now.len() > roles.most.len() && !stalls().within(LIFE) {
            roles.most.clone_from(&now);
        }
        before = now;
        drop(roles);
        std::thread::sleep(PACE);
    }
}

/// Rotates so many times under an application, with the writer, the reader and the volume of a pod with
/// `fsGroup`. Returns what was seen and the log.
fn rotate(stage: &Stage, rotations: usize) -> (Life, Roles, String) {
    let (began, _) = (Instant::now(), stalls());
    let _protected = ProtectedSymlinks::on();
    let mounted = Volume::mount(SHARED);
    let live = mounted.join("live");
    let config =
        stage.config_in("leasehold", &live, &stage.folder.join("state"), "overlap: 1s, revoke_delay: 0s");
    chown(&stage.folder, Some(WRITER), Some(WRITER)).unwrap();
    for entry in std::fs::read_dir(&stage.folder).unwrap() {
        chown(entry.unwrap().path(), Some(WRITER), Some(WRITER)).unwrap();
    }
    let mut sidecar = leasehold("run", &config).user(WRITER, SHARED).start();
    eventually("the first generation", SOON, || match sidecar.exit() {
        Some(exit) => panic!("{exit:?}: {}", sidecar.stderr()),
        None => read_set(&live, ["db.env"]),
    });
    let (life, roles, stop) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let application = scope.spawn(|| apply(&live, &life, &stop));
        let counting = scope.spawn(|| count(&stage.database, &roles, &stop));
        // The last one that was replaced is to be seen gone, too.
        eventually("all rotations", Duration::from_secs(10) * rotations as u32, || {
            let (life, roles): (&Mutex<Life>, &Mutex<Roles>) = (&life, &roles);
            let (users, gone) = (life.lock().unwrap().users.len(), roles.lock().unwrap().gone.len());
            let over = application.is_finished() || counting.is_finished() || sidecar.exit().is_some();
            let failed = !life.lock().unwrap().failures.is_empty();
            if over || failed || (users > rotations && gone >= rotations) {
                Ok(())
            } else {
                Err(format!("{users} users, {gone} gone; {}", sidecar.stderr()))
            }
        });
        stop.store(true, Ordering::Relaxed);
    });
    let log = sidecar.stderr();
    assert_eq!(sidecar.exit(), None, "{log}");
    let mints = stage.metric("leasehold_mints_total{secret=\"db\",provider=\"vault\"}");
    assert!(mints.is_some_and(|mints| mints > rotations as f64), "{mints:?}");
    // An answer may still be on its way; a denial comes only where the role has not ended before; and so may
    // others have, where the successor took longer than the margin for it, or the machine stood still.
    let (outcome, least) = match (stage.may_revoke(), stalls().within(began.elapsed())) {
        (true, false) => ("ok", rotations * 9 / 10),
        (true, true) => ("ok", rotations * 2 / 3),
        (false, _) => ("denied", 1),
    };
    let labelled =
        format!("leasehold_revocations_total{{secret=\"db\",provider=\"vault\",outcome=\"{outcome}\"}}");
    eventually("the revocations are counted", SOON, || {
        stage.metric(&labelled).is_some_and(|revocations| revocations >= least as f64)
    });
    let token = stage.tokens().remove(0);
    assert!(vault().token_lives(&token));
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait(SOON), Exit::Code(0), "{}", sidecar.stderr());
    stage.nothing_is_left();
    assert!(!vault().token_lives(&token));
    (life.into_inner().unwrap(), roles.into_inner().unwrap(), log)
}

fn not_one_failure(life: &Life, roles: &Roles, rotations: usize, log: &str) {
    println!(
        "{} log-ins, {} failed, {} stalls, {} users, {} samples of pg_roles, at most {} alive",
        life.logins,
        life.failures.len(),
        life.stalls,
        life.users.len(),
        roles.samples,
        roles.most.len(),
    );
    assert_eq!(life.failures, [""; 0], "{log}");
    assert!(life.users.len() > rotations, "{log}");
    // A rotation or two per second would be others: enough log-ins for each to mean something.
    assert!(life.logins >= rotations * 20, "{} log-ins, {} stalls", life.logins, life.stalls);
    assert!(life.stalls * 50 <= life.logins, "{} log-ins, {} stalls", life.logins, life.stalls);
    // Make before break: from the last time that it could be read on, each outlived its successor's announcement.
    for (user, last_read) in &life.users {
        if let Some(gone) = roles.gone.get(user) {
            let before = last_read.checked_sub(LIFE).unwrap_or(*last_read);
            let outlived = gone.saturating_duration_since(*last_read) + stalls().lost(before, *gone);
            assert!(outlived >= OVERLAP, "{user} was gone {outlived:?} after it was last read\n{log}");
        }
    }
}

#[test]
fn not_one_log_in_fails_over_thirty_rotations_and_old_roles_go_after_the_overlap() {
    if !root("acting as other users in a mounted tmpfs") {
        return;
    }
    const ROTATIONS: usize = 30;
    let stage = Stage::new("rotated", "3s", "4s", Rights::RevokeLeases);
    let (life, roles, log) = rotate(&stage, ROTATIONS);
    not_one_failure(&life, &roles, ROTATIONS, &log);
    assert_eq!(roles.most.len(), 2, "one in use, one in its overlap: {:?}\n{log}", roles.most);
    // Announcement, overlap, revocation; and a second for a busy machine.
    let lingered: Vec<Duration> = life.users[..ROTATIONS]
        .iter()
        .map(|(user, last_read)| {
            let gone = roles.gone[user];
            gone.saturating_duration_since(*last_read).saturating_sub(stalls().lost(*last_read, gone))
        })
        .collect();
    println!("gone after {:?} to {:?}", lingered.iter().min().unwrap(), lingered.iter().max().unwrap());
    let late = lingered.iter().filter(|lingered| **lingered > OVERLAP + Duration::from_secs(1)).count();
    assert!(late * 10 <= ROTATIONS, "{lingered:?}");
}

#[test]
fn without_the_right_to_revoke_an_old_role_ends_by_itself_and_that_is_said_once() {
    if !root("acting as other users in a mounted tmpfs") {
        return;
    }
    const ROTATIONS: usize = 4;
    let stage = Stage::new("forgone", "6s", "6s", Rights::Smallest);
    let (life, roles, log) = rotate(&stage, ROTATIONS);
    not_one_failure(&life, &roles, ROTATIONS, &log);
    assert!(roles.most.len() <= 3, "six seconds each, a new one every four: {:?}\n{log}", roles.most);
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("could not revoke")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].contains("sys/leases/revoke"), "{}", warnings[0]);
}
