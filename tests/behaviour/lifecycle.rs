//! The life of a process: expiry, optional secrets, the application's end, swap, probes and metrics.

pub(crate) mod given;

use std::process::Command;
use std::time::Duration;

use harness::process::{Exit, Group};
use harness::tmpfs::root;
use harness::{Proxy, Signal, eventually, vault};
use leasehold_harness as harness;
use serde_json::json;

use given::{Place, SOON, provider, reader};

#[test]
fn on_expiry_keeps_the_file_or_takes_it_away() {
    let (database, kv) = (vault().database_mount("expiry"), vault().kv_mount("expiry", 1));
    let creds = database.role("web", "4s", "1h");
    kv.put("app", json!({ "value": "v" }));
    let role = reader("expiry", &[&creds, &kv.data("app")], json!({}));
    let proxy = Proxy::to(vault().address());
    let place = Place::new();
    place.configure(json!({
        "providers": { "vault": provider(&proxy.url(), &role) },
        "secrets": {
            "kept": { "provider": "vault", "path": creds, "on_expiry": "keep" },
            "dropped": { "provider": "vault", "path": creds, "on_expiry": "delete" },
            "kv": { "provider": "vault", "path": format!("{}/app", kv.path()) },
        },
        "files": {
            "kept": { "secret": "kept", "field": "username" },
            "dropped": { "secret": "dropped", "field": "username" },
            "both": { "template": "{{ kept.username }} {{ dropped.username }}" },
            "kv": { "secret": "kv", "field": "value" },
        },
        "lifecycle": { "overlap": "1s" },
    }));
    let mut running = place.run();
    let kept = place.await_file("kept", &mut running);
    let logged_in = proxy.requests("/login")[0].at;
    eventually("ready", SOON, || place.ready() == 200);
    // Until it truly expires, an outage changes nothing for the application.
    let outage = proxy.refuse();
    proxy.cut();
    assert_eq!(place.ready(), 200);
    eventually("the files of the one that is dropped are gone", SOON, || {
        let gone = place.read("dropped").is_none() && place.read("both").is_none();
        if gone { Ok(()) } else { Err(running.stderr()) }
    });
    // It was minted after the log-in.
    assert!(logged_in.elapsed() >= Duration::from_secs(4), "nothing expires before its time");
    eventually("not ready", SOON, || place.ready() == 503);
    eventually("the store has ended it, too", SOON, || !database.roles().contains(&kept));
    assert_eq!(place.read("kept").as_deref(), Some(&*kept));
    assert_eq!(place.read("kv").as_deref(), Some("v"), "what is polled never expires");
    assert_eq!(place.get("/livez").unwrap().status, 200);
    assert!(running.exit().is_none());

    drop(outage);
    eventually("all is well again", Duration::from_secs(60), || {
        let there = place.read("dropped").is_some() && place.read("both").is_some();
        if there && place.ready() == 200 { Ok(()) } else { Err(running.stderr()) }
    });
    assert_ne!(place.read("kept").as_deref(), Some(&*kept));
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0));
}

#[test]
fn on_expiry_exit_ends_us_with_75_once_it_has_truly_expired() {
    let database = vault().database_mount("exits");
    let creds = database.role("web", "6s", "1h");
    let role = reader("exits", &[&creds], json!({}));
    let proxy = Proxy::to(vault().address());
    let place = Place::new();
    place.configure(json!({
        "providers": { "vault": provider(&proxy.url(), &role) },
        "secrets": { "db": { "provider": "vault", "path": creds, "on_expiry": "exit" } },
        "lifecycle": { "revoke_timeout": "1s" },
    }));
    let message = place.file("termination", "");
    let mut running = place.command(&["run"]).env("TERMINATION_MESSAGE_PATH", &message).start();
    let username = place.await_file("db/username", &mut running);
    // Renewed at least once: its end is the renewed one.
    eventually("renewed", SOON, || running.stderr().contains("renewed \"db\""));
    let _outage = proxy.refuse();
    proxy.cut();
    assert_eq!(running.wait(SOON), Exit::Code(75), "{}", running.stderr());
    let said = std::fs::read_to_string(message).unwrap();
    assert!(said.contains("secret \"db\" has expired"), "{said}");
    assert_eq!(place.read("db/username").as_deref(), Some(&*username), "the files stay");
    eventually("the store has ended it, too", SOON, || database.roles().is_empty());
}

#[test]
fn what_is_not_required_is_left_out_while_it_is_absent_or_unreachable() {
    let kv = vault().kv_mount("optional", 2);
    kv.put("there", json!({ "value": "here" }));
    let (there, absent) = (kv.data("there"), kv.data("absent"));
    let metadata = (kv.metadata("there"), kv.metadata("absent"));
    let role = reader("optional", &[&there, &absent, &metadata.0, &metadata.1], json!({}));
    let proxy = Proxy::to(vault().address());
    let away = proxy.refuse();
    let place = Place::new();
    let path = |key: &str| format!("{}/{key}", kv.path());
    place.configure(json!({
        "providers": { "vault": provider(&vault().url(), &role), "away": provider(&proxy.url(), &role) },
        "secrets": {
            "there": { "provider": "vault", "path": path("there") },
            "absent": { "provider": "vault", "path": path("absent"), "required": false, "refresh": "1s" },
            "far": { "provider": "away", "path": path("there"), "required": false, "refresh": "1s" },
        },
        "files": {
            "there": { "secret": "there", "field": "value" },
            "absent": { "secret": "absent", "field": "value" },
            "far": { "secret": "far", "field": "value" },
            "far.env": { "template": "FAR={{ far.value }}" },
            "all": { "template":
                "{% if there %}there {% endif %}{% if absent %}absent {% endif %}{% if far %}far {% endif %}" },
        },
    }));
    let mut running = place.run();
    place.await_file("there", &mut running);
    eventually("ready without them", SOON, || place.ready() == 200);
    assert_eq!((place.read("absent"), place.read("far")), (None, None));
    assert_eq!(place.read("all").as_deref(), Some("there "), "a template that can do without them stays");
    assert_eq!(place.read("far.env"), None, "and one that cannot goes, too");

    kv.put("absent", json!({ "value": "late" }));
    eventually("what was absent comes", SOON, || place.read("absent").as_deref() == Some("late"));
    assert_eq!(place.read("far"), None);
    drop(away);
    eventually("what was unreachable comes", Duration::from_secs(60), || {
        if place.read("far").as_deref() == Some("here") { Ok(()) } else { Err(running.stderr()) }
    });
    assert_eq!(place.read("all").as_deref(), Some("there absent far "));
    assert_eq!(place.read("far.env").as_deref(), Some("FAR=here"));
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0));
}

#[test]
fn what_is_denied_is_not_left_out_however_little_it_is_required() {
    let kv = vault().kv_mount("denied", 1);
    kv.put("app", json!({ "value": "here" }));
    let role = reader("denied", &["sys/nothing"], json!({}));
    let place = Place::new();
    place.configure(json!({
        "providers": { "vault": provider(&vault().url(), &role) },
        "secrets": { "kv": { "provider": "vault", "path": format!("{}/app", kv.path()), "required": false } },
    }));
    let ended = place.finish(&["run"]);
    assert_eq!(ended.exit, Exit::Code(77), "{}", ended.stderr);
    assert!(ended.stderr.contains(&kv.data("app")), "{}", ended.stderr);
    assert_eq!(place.read("kv/value"), None);
}

#[test]
fn we_end_after_the_application_and_keep_its_lease_alive_until_then() {
    let database = vault().database_mount("follows");
    let creds = database.role("web", "6s", "1h");
    let role = reader("follows", &[&creds], json!({}));
    let place = Place::new();
    // A process with a name that no other has.
    let name = format!("app-{}", std::process::id());
    let binary = harness::tmpfs::Folder::on_disk();
    // By another process: what a child of a test beside this one holds open for writing cannot be executed.
    let copied = Command::new("install").args(["-m", "755", "/bin/sleep"]).arg(binary.join(&name)).status();
    assert!(copied.unwrap().success());
    let mut application = Group::spawn(Command::new(binary.join(&name)).arg("600"));
    place.configure(json!({
        "providers": { "vault": provider(&vault().url(), &role) },
        "secrets": { "db": { "provider": "vault", "path": creds } },
        "lifecycle": { "application": { "process": name } },
    }));
    let mark = vault().audit().mark();
    let mut running = place.run();
    let username = place.await_file("db/username", &mut running);
    running.signal(Signal::TERM);
    eventually("it waits", SOON, || running.stderr().contains("waiting for the end of process"));
    let minted = vault().audit().matching(mark, "read", &creds)[0].at;
    // Well beyond the lease's TTL of 6 s: it would be gone without them.
    eventually("it goes on renewing", SOON, || {
        let renewals = vault().audit().matching(mark, "update", "sys/leases/renew");
        renewals.iter().any(|entry| {
            let lease = entry.line["request"]["data"]["lease_id"].as_str();
            lease.is_some_and(|id| id.starts_with(&creds)) && entry.at - minted > Duration::from_secs(8)
        })
    });
    assert_eq!(database.roles(), [username]);
    assert!(running.exit().is_none(), "{}", running.stderr());

    application.kill();
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    eventually("all is revoked", SOON, || database.roles().is_empty() && database.leases().is_empty());
    assert_eq!(vault().audit().matching(mark, "read", &creds).len(), 1, "nothing was rotated for it");
}

#[test]
fn strict_refuses_memory_that_may_be_swapped_and_takes_what_may_not() {
    if !root("a mount namespace with a swap device in /proc/swaps") {
        return;
    }
    let kv = vault().kv_mount("swap", 1);
    kv.put("app", json!({ "value": "v" }));
    let role = reader("swap", &[&kv.data("app")], json!({}));
    let place = Place::new();
    let configure = |strict: &str| {
        place.configure(json!({
            "providers": { "vault": provider(&vault().url(), &role) },
            "secrets": { "kv": { "provider": "vault", "path": format!("{}/app", kv.path()) } },
            "output": { "require_tmpfs": strict },
        }))
    };
    // The kernel's list of swap devices is played: this machine may have none.
    let swaps =
        place.file("swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2\tpartition\t1000\t0\t-2\n");
    let with_swap = |inside: &str| {
        let script = format!("mount --bind {} /proc/swaps && {inside} exec \"$0\" \"$@\"", swaps.display());
        let words = ["unshare", "-m", "--propagation", "private", "sh", "-c", &script];
        place.command(&["init"]).under(words).finish(SOON)
    };
    configure("strict");
    let refused = with_swap("");
    assert_eq!(refused.exit, Exit::Code(73), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("may be swapped to disk") && refused.stderr.contains("noswap"),
        "{}",
        refused.stderr
    );
    assert_eq!(place.read("kv/value"), None);

    let live = place.live().display().to_string();
    let mount = format!("mkdir -p {live} && mount -t tmpfs -o noswap,mode=0700 tmpfs {live} &&");
    let noswap = with_swap(&mount);
    assert_eq!(noswap.exit, Exit::Code(0), "{}", noswap.stderr);

    std::fs::remove_dir_all(place.live()).unwrap();
    let mut running = place.command(&["init"]).start();
    assert_eq!(running.wait(SOON), Exit::Code(0), "no swap here: {}", running.stderr());
}

/// The names of the contract.
const NAMES: [&str; 15] = [
    "leasehold_secret_expiry_timestamp_seconds",
    "leasehold_secret_last_success_timestamp_seconds",
    "leasehold_secret_failures_total",
    "leasehold_generation",
    "leasehold_generation_timestamp_seconds",
    "leasehold_mints_total",
    "leasehold_mints_ceiling",
    "leasehold_revocations_total",
    "leasehold_retiring_leases",
    "leasehold_ack_pending_seconds",
    "leasehold_actions_total",
    "leasehold_requests_total",
    "leasehold_request_duration_seconds",
    "leasehold_reload_failures_total",
    "leasehold_build_info",
];

#[test]
fn probes_and_metrics_tell_the_life_of_a_lease() {
    let database = vault().database_mount("told");
    // Replaced four seconds before its end: the machine may stand still for less.
    let creds = database.role("web", "9s", "9s");
    let policy = vault().policy("told").read(&creds).revoke_leases().create();
    let role = given::role_under("told", &policy, json!({}));
    let proxy = Proxy::to(vault().address());
    let place = Place::new();
    place.configure(json!({
        "providers": { "vault": provider(&proxy.url(), &role) },
        "secrets": { "db": { "provider": "vault", "path": creds, "overlap": "3s" } },
        "on_change": [{ "signal": "HUP", "process": "nobody-has-this" }],
    }));
    assert_eq!(place.finish(&["probe", "live"]).exit, Exit::Code(75), "nothing runs yet");
    let away = proxy.refuse();
    let mut running = place.run();
    // Live without a store, and not ready before the first set.
    eventually("live", SOON, || place.get("/livez").is_some_and(|answer| answer.status == 200));
    assert_eq!(place.ready(), 503);
    assert_eq!(place.finish(&["probe", "live"]).exit, Exit::Code(0));
    assert_eq!(place.finish(&["probe", "ready"]).exit, Exit::Code(75));
    let mut probe = place.command(&["probe", "ready", "--wait", "30s"]).start();
    eventually("it has asked in vain", SOON, || {
        probe.exit().is_none() && !proxy.requests("").is_empty() || running.stderr().contains("trying again")
    });
    assert_eq!(probe.exit(), None, "it waits");
    drop(away);
    assert_eq!(probe.wait(Duration::from_secs(40)), Exit::Code(0));
    assert_eq!(place.ready(), 200);

    // From here on it stays ready, whatever the store does, until something truly expires.
    let revoked = || place.metric("leasehold_revocations_total", &["secret=\"db\"", "outcome=\"ok\""]);
    eventually("rotated and revoked", Duration::from_secs(40), || {
        assert_eq!(place.ready(), 200);
        if revoked() >= 1.0 { Ok(()) } else { Err(running.stderr()) }
    });
    let broken = proxy.answer("sys/leases/renew", harness::http::Response::status(500));
    eventually("a failed renewal is counted", SOON, || {
        place.metric("leasehold_secret_failures_total", &["secret=\"db\""]) >= 1.0
    });
    drop(broken);
    assert_eq!(place.ready(), 200);
    let failed_action = || place.metric("leasehold_actions_total", &["outcome=\"failed\""]);
    eventually("the action's failure is counted", SOON, || failed_action() >= 1.0);
    place.file("leasehold.yaml", "secrets: {}\nunknown: 1\n");
    running.signal(Signal::HUP);
    // The broken file must not blind us: the port is the one that runs.
    eventually("the reload's failure is counted", SOON, || {
        place.metric("leasehold_reload_failures_total", &[]) >= 1.0
    });
    let metrics = place.metrics();
    for name in NAMES {
        assert!(metrics.contains(&format!("# TYPE {name} ")), "{name} is missing in:\n{metrics}");
    }
    let sample = |name: &str| place.metric(name, &[]);
    assert!(sample("leasehold_mints_total") >= 2.0);
    assert_eq!(sample("leasehold_build_info"), 1.0);
    assert!(sample("leasehold_requests_total") >= 4.0);
    assert!(sample("leasehold_secret_expiry_timestamp_seconds") > 1e9);
    assert!(sample("leasehold_secret_last_success_timestamp_seconds") > 1e9);
    assert!(sample("leasehold_mints_ceiling") >= 6.0);
    assert!(!metrics.contains(&creds), "no path in a metric");
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0));
}

#[test]
fn a_taken_port_is_a_warning_and_no_end() {
    let kv = vault().kv_mount("port", 1);
    kv.put("app", json!({ "value": "v" }));
    let role = reader("port", &[&kv.data("app")], json!({}));
    let place = Place::new();
    place.configure(json!({
        "providers": { "vault": provider(&vault().url(), &role) },
        "secrets": { "kv": { "provider": "vault", "path": format!("{}/app", kv.path()) } },
    }));
    let _taken = std::net::TcpListener::bind(place.telemetry).unwrap();
    let mut running = place.run();
    place.await_file("kv/value", &mut running);
    assert!(running.stderr().contains("going on without /livez"), "{}", running.stderr());
    assert_eq!(
        place.finish(&["probe", "ready", "--wait", "10s"]).exit,
        Exit::Code(0),
        "the socket is asked first"
    );
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0));
}
