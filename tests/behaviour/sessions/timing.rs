//! Tokens that live shorter than their leases.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use harness::process::Exit;
use harness::vault::{Audit, Entry, Mark};
use harness::{Signal, eventually, postgres, stalls, vault};
use leasehold_harness as harness;
use serde_json::json;

use crate::lifecycle::given::{Place, SOON, provider, role_under};

const OVERLAP: Duration = Duration::from_secs(2);
/// How long a token lives, whatever is renewed.
const TOKEN: Duration = Duration::from_secs(15);

/// What the application saw.
#[derive(Default)]
struct Seen {
    logins: usize,
    failed: Vec<String>,
    torn: Vec<String>,
    /// By user name: when its file was written, since 1970.
    written: BTreeMap<String, Duration>,
    /// Device, inode, and times of the KV file, in every generation seen.
    kv: Vec<(u64, u64, i64, i64)>,
    /// Names of the KV file: those of two generations, once a second one is there.
    links: u64,
    late: usize,
}

fn read_and_log_in(place: &Place, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let read = Instant::now();
        // One `..data` for all of it.
        let generation = fs::canonicalize(place.live().join("..data")).unwrap();
        let text = fs::read_to_string(generation.join("db.env")).unwrap();
        let kv = fs::metadata(generation.join("kv/value")).unwrap();
        let times = (kv.dev(), kv.ino(), kv.mtime(), kv.mtime_nsec());
        if seen.kv.last() != Some(&times) {
            seen.kv.push(times);
        }
        seen.links = seen.links.max(kv.nlink());
        let Some((username, password)) = text.trim().split_once(' ') else {
            seen.torn.push(text);
            continue;
        };
        let modified = fs::metadata(generation.join("db.env")).unwrap().modified().unwrap();
        let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        seen.written.entry(username.to_owned()).or_insert(since);
        match postgres().login(username, password) {
            Ok(()) => seen.logins += 1,
            // A stall of the machine is not ours.
            Err(_) if read.elapsed() >= OVERLAP || stalls().within(TOKEN) => seen.late += 1,
            Err(error) => seen.failed.push(format!("{username}: {error}")),
        }
        thread::sleep(Duration::from_millis(25));
    }
    seen
}

/// Accessors of all tokens that this mount gave out, in their order, with the time.
fn logins(audit: &Audit, mark: Mark, mount: &str) -> Vec<(String, Duration)> {
    let entries = audit.matching(mark, "update", &format!("auth/{mount}/login"));
    let accessor =
        |line: &serde_json::Value| line["response"]["auth"]["accessor"].as_str().map(str::to_owned);
    entries.iter().filter_map(|entry| Some((accessor(&entry.line)?, entry.at))).collect()
}

/// What the tokens that this mount gave out have revoked of themselves, in order.
fn own_revocations(audit: &Audit, mark: Mark, mount: &str) -> Vec<Entry> {
    let ours = logins(audit, mark, mount);
    let mut entries = audit.matching(mark, "update", "auth/token/revoke-self");
    entries.retain(|entry| ours.iter().any(|(accessor, _)| entry.accessor() == Some(&**accessor)));
    entries
}

#[test]
fn a_token_is_replaced_before_its_max_ttl_without_a_failed_log_in_and_what_is_polled_stays() {
    let (database, kv) = (vault().database_mount("short"), vault().kv_mount("polled", 2));
    let creds = database.role("web", "60s", "10m");
    kv.put("app", json!({ "value": "kept" }));
    let policy =
        vault().policy("short").read(&creds).read(&kv.data("app")).read(&kv.metadata("app")).create();
    let role = role_under(
        "short",
        &policy,
        json!({ "token_ttl": TOKEN.as_secs(), "token_max_ttl": TOKEN.as_secs() }),
    );
    let place = Place::new();
    place.configure(json!({
        "providers": { "vault": provider(&vault().url(), &role) },
        "secrets": {
            "db": { "provider": "vault", "path": creds },
            "kv": { "provider": "vault", "path": format!("{}/app", kv.path()), "refresh": "3s" },
        },
        "files": {
            "db.env": { "template": "{{ db.username }} {{ db.password }}\n" },
            "kv/value": { "secret": "kv", "field": "value" },
        },
        "lifecycle": { "overlap": "2s" },
    }));
    let (audit, mark) = (vault().audit(), vault().audit().mark());
    let (began, _) = (Instant::now(), stalls());
    let mut running = place.run();
    place.await_file("db.env", &mut running);

    let stop = AtomicBool::new(false);
    let seen = thread::scope(|scope| {
        let reader = scope.spawn(|| read_and_log_in(&place, &stop));
        let revoked = || own_revocations(&audit, mark, &role.mount).len();
        eventually("five sessions are replaced and revoked", Duration::from_secs(120), || {
            if revoked() >= 5 { Ok(()) } else { Err(format!("{} so far:\n{}", revoked(), running.stderr())) }
        });
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(seen.failed.is_empty() && seen.torn.is_empty(), "{:?} {:?}", seen.failed, seen.torn);
    assert!(seen.logins > 500, "{} log-ins are too few to show anything", seen.logins);
    assert!(seen.late * 50 <= seen.logins, "{} log-ins, {} not counted", seen.logins, seen.late);

    // The file of the polled secret is one file, linked into every generation; it was read once.
    assert_eq!(seen.kv.len(), 1, "{:?}", seen.kv);
    assert!(seen.links >= 2, "{} links", seen.links);
    assert_eq!(audit.matching(mark, "read", &kv.data("app")).len(), 1, "the value is not fetched again");
    assert!(audit.matching(mark, "read", &kv.metadata("app")).len() > 10, "but looked at");

    // Order and times, as the server saw them.
    let sessions = logins(&audit, mark, &role.mount);
    let mints = audit.matching(mark, "read", &creds);
    let revocations = own_revocations(&audit, mark, &role.mount);
    let mut shortest = Duration::MAX;
    let (mut ages, mut late) = (Vec::new(), 0);
    for pair in sessions.windows(2) {
        let (old, new) = (&pair[0], &pair[1]);
        let minted =
            mints.iter().find(|mint| mint.accessor() == Some(&*new.0)).expect("minted under the new one");
        let username = minted.line["response"]["data"]["username"].as_str().unwrap();
        let written = seen.written.get(username).expect("the application read it");
        // A token that ended by itself cannot ask for anything: where the machine stands still for longer than
        // there is for a log-in and a mint, its own end comes first.
        let Some(entry) = revocations.iter().find(|entry| entry.accessor() == Some(&*old.0)) else {
            late += 1;
            continue;
        };
        let (age, after) = (entry.asked - old.1, entry.asked.saturating_sub(*written));
        ages.push(age.as_millis());
        assert!(after >= OVERLAP, "revoked {after:?} after the successor was written");
        shortest = shortest.min(after);
    }
    // The last but one may still have its overlap.
    let stood_still = stalls().within(began.elapsed());
    assert!(ages.len() >= 5 && (late <= 1 || stood_still), "{} revoked by us, {late} not", ages.len());
    let order: Vec<_> = revocations
        .iter()
        .map(|entry| sessions.iter().position(|(id, _)| entry.accessor() == Some(id)))
        .collect();
    assert!(order.is_sorted(), "the oldest goes first: {order:?}");
    println!(
        "{} log-ins over {} sessions, none failed, {} not counted; an old token revoked {shortest:?} or more after \
         its leases' successors were written, at ages of {ages:?} ms; {late} late",
        seen.logins,
        sessions.len(),
        seen.late
    );

    // Killed in mid-replacement: the new session and its lease are there, and so are the old ones.
    let sessions_before = logins(&audit, mark, &role.mount).len();
    eventually("the next session is there", SOON, || {
        logins(&audit, mark, &role.mount).len() > sessions_before
    });
    running.kill9();
    let both: Vec<String> =
        logins(&audit, mark, &role.mount).into_iter().map(|(accessor, _)| accessor).collect();
    let both = &both[both.len() - 2..];
    assert!(both.iter().all(|accessor| vault().token_lives(accessor)), "killed too late");
    let mut running = place.run();
    eventually("it runs again", SOON, || match running.exit() {
        Some(exit) => panic!("{exit:?}: {}", running.stderr()),
        None => place.ready() == 200,
    });
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    let all = logins(&audit, mark, &role.mount);
    eventually("no token and no lease is left", SOON, || {
        !all.iter().any(|(accessor, _)| vault().token_lives(accessor)) && database.leases().is_empty()
    });
    // Gone because we revoked them, not because their time was over: of the old one there was little left.
    let revoked = own_revocations(&audit, mark, &role.mount);
    for (accessor, may_have_ended) in both.iter().zip([stalls().within(TOKEN), false]) {
        let by_us = revoked.iter().any(|entry| entry.accessor() == Some(accessor));
        assert!(by_us || may_have_ended, "{accessor} was not revoked");
    }
}
