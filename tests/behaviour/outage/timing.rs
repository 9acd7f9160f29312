//! An outage of every kind during renewals, under an application that logs in all the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use harness::http::Response;
use harness::process::Exit;
use harness::vault::{Vault, VaultConfig};
use harness::{Proxy, Signal, stalls};

use super::super::bench::Bench;
use super::super::*;

/// A lease lives that long without being renewed.
const LIFE: Duration = Duration::from_secs(15);
/// Requests per minute that leasehold may make, whatever the store does: two a second.
const CEILING: f64 = 120.0;
/// What may come at once on top: each lease and the token once.
const BURST: f64 = 4.0;
const SECRETS: [&str; 3] = ["one", "two", "three"];

/// Logs in again and again with what the files say.
struct Application {
    stop: Arc<AtomicBool>,
    failures: Arc<Mutex<Vec<String>>>,
    logins: Arc<Mutex<usize>>,
}

impl Application {
    fn run<'scope>(scope: &'scope std::thread::Scope<'scope, '_>, bench: &'scope Bench<'_>) -> Self {
        stalls();
        let app = Self { stop: Arc::default(), failures: Arc::default(), logins: Arc::default() };
        let (stop, failures, logins) = (app.stop.clone(), app.failures.clone(), app.logins.clone());
        scope.spawn(move || {
            let start = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                for name in SECRETS {
                    let read = Instant::now();
                    let result = bench.login(name);
                    *logins.lock().unwrap() += 1;
                    // A stall of the machine between reading and logging in is not ours.
                    if let Err(why) = result
                        && read.elapsed() < Duration::from_millis(900)
                        && !stalls().within(LIFE)
                    {
                        failures.lock().unwrap().push(format!("{:?} {name}: {why}", start.elapsed()));
                    }
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        app
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[test]
fn files_stay_valid_through_every_kind_of_outage_and_it_recovers_alone() {
    let vault = Vault::own(VaultConfig::default());
    let database = vault.database_mount("outage");
    let mut policy = vault.policy("outage");
    let (mut secrets, mut files) = (String::from("secrets:\n"), String::from("files:\n"));
    for name in SECRETS {
        let creds = database.role(name, &format!("{}s", LIFE.as_secs()), "1h");
        policy = policy.read(&creds);
        secrets += &format!("  {name}: {{ provider: vault, path: {creds} }}\n");
        files +=
            &format!("  {name}: {{ template: \"{{{{ {name}.username }}}} {{{{ {name}.password }}}}\" }}\n");
    }
    let bench = Bench::new(&vault, policy, json!({ "token_ttl": "10m" }));
    let proxy = Proxy::to(vault.address());
    let lifecycle = "overlap: 1s, revoke_delay: 0s, heal_splay: 1s";
    bench.configure(&bench.config(&proxy.url(), lifecycle, &(secrets + &files)));
    let mut running = bench.run_until_ready();
    let ours = |path: &str| proxy.requests(path);

    std::thread::scope(|scope| {
        let application = Application::run(scope, &bench);
        // Each begins an outage, and its handle ends it.
        type Outage<'a> = (&'a str, Box<dyn FnOnce() -> Box<dyn FnOnce() + 'a> + 'a>);
        let outages: Vec<Outage<'_>> = vec![
            (
                "stopped",
                Box::new(|| {
                    vault.freeze();
                    Box::new(|| vault.thaw())
                }),
            ),
            (
                "killed and restarted",
                Box::new(|| {
                    vault.kill9();
                    Box::new(|| {
                        vault.start();
                        vault.unseal();
                    })
                }),
            ),
            (
                "sealed",
                Box::new(|| {
                    vault.seal();
                    Box::new(|| vault.unseal())
                }),
            ),
            (
                "429",
                Box::new(|| {
                    let rule = proxy.answer("/v1/", Response::status(429).header("Retry-After", "1"));
                    Box::new(move || drop(rule))
                }),
            ),
            (
                "503",
                Box::new(|| {
                    let rule = proxy.answer("/v1/", Response::status(503));
                    Box::new(move || drop(rule))
                }),
            ),
        ];
        for (name, begin) in outages {
            let before = ours("").len();
            let began = Instant::now();
            let end = begin();
            eventually("a renewal meets the outage", SOON, || ours("").len() > before);
            std::thread::sleep(Duration::from_millis(1_500));
            let (asked, lasted) = (ours("").len() - before, began.elapsed());
            end();
            let healed = Instant::now();
            let mark = vault.audit().mark();
            for secret in SECRETS {
                eventually("every secret is renewed or replaced", SOON, || {
                    let status = bench.status();
                    let it = &status["secrets"][secret];
                    (it["state"] == "held"
                        && it["error"].is_null()
                        && it["remaining_seconds"].as_f64() > Some(6.5))
                    .then_some(())
                    .ok_or_else(|| it.to_string())
                });
            }
            eventually("the server has been asked", SOON, || !vault.audit().since(mark).is_empty());
            let allowed = CEILING * lasted.as_secs_f64() / 60.0 + BURST;
            println!(
                "{name}: {asked} requests in {lasted:?}, {allowed:.0} allowed; healed in {:?}",
                healed.elapsed()
            );
            assert!((asked as f64) <= allowed, "{name}: {asked} requests in {lasted:?}");
            assert!(bench.is_ready(), "{name}");
            assert_eq!(running.exit(), None, "{name}: {}", running.stderr());
            let failures = application.failures.lock().unwrap().clone();
            assert!(failures.is_empty(), "{name}: {failures:#?}\n{}", running.stderr());
        }
        let logins = *application.logins.lock().unwrap();
        println!("{logins} log-ins, none failed; {} requests", ours("").len());
        assert!(logins > 100, "{logins}");
    });
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    bench.nothing_is_left(&database);
}

#[test]
fn a_store_that_fails_for_long_is_asked_seldom_whatever_is_due() {
    let database = vault().database_mount("seldom");
    let mut policy = vault().policy("seldom");
    let mut secrets = String::from("secrets:\n");
    for number in 1..=6 {
        let creds = database.role(&format!("role{number}"), "10m", "1h");
        policy = policy.read(&creds);
        // Something is due for each of them every second.
        secrets += &format!("  s{number}: {{ provider: vault, path: {creds}, lookup: 1s }}\n");
    }
    let bench = Bench::new(vault(), policy, json!({ "token_ttl": "10m" }));
    let proxy = Proxy::to(vault().address());
    bench.configure(&bench.config(&proxy.url(), "revoke_delay: 0s", &secrets));
    let mut running = bench.run_until_ready();
    let leases = database.leases();
    let lookups = || proxy.requests("/sys/leases/lookup");
    eventually("each is looked at", SOON, || lookups().len() >= 6);

    const LASTS: Duration = Duration::from_secs(10);
    let throttling = Response::status(429).header("Retry-After", "3");
    for (name, response, ceiling) in [("503", Response::status(503), CEILING), ("429", throttling, 60.0)] {
        // What was on its way when it began was asked of a store that answered.
        let before = proxy.requests("").len();
        let (began, rule) = (Instant::now(), proxy.answer("/v1/", response));
        std::thread::sleep(LASTS);
        let (asked, lasted) = (proxy.requests("").len() - before, began.elapsed());
        drop(rule);
        let allowed = ceiling * lasted.as_secs_f64() / 60.0 + 6.0;
        println!("{name}: {asked} requests in {lasted:?}, {allowed:.0} allowed");
        assert!(asked > 0 && asked as f64 <= allowed, "{name}: {asked}");
        let healed = lookups().len();
        eventually("it asks again", Duration::from_secs(30), || lookups().len() > healed + 6);
    }
    assert_eq!(database.leases(), leases, "every lease is as it was");
    assert!(bench.is_ready());
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    bench.nothing_is_left(&database);
}
