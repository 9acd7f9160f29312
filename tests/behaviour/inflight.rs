//! What happens to a credential whose answer is still on its way when the process is told to end, to do
//! without it, or has waited too long.

use harness::process::Exit;
use harness::vault::DatabaseMount;
use harness::{Proxy, Signal};

use super::bench::{Bench, START};
use super::*;

/// Half of `revoke_timeout` is how long a mint in flight is awaited.
const END: &str = "revoke_delay: 0s, revoke_timeout: 20s";
const ONE: &str = "files: { db.env: { template: \"{{ db.username }} {{ db.password }}\" } }\n";

fn secret(creds: &str) -> String {
    format!("secrets: {{ db: {{ provider: vault, path: {creds} }} }}\n{ONE}")
}

fn database(name: &str, ttl: &str) -> (DatabaseMount<'static>, String) {
    let database = vault().database_mount(name);
    let creds = database.role("web", ttl, "10m");
    (database, creds)
}

#[test]
fn a_mint_that_is_answered_within_half_of_the_time_is_taken_back_after_sigterm() {
    let (database, creds) = database("inflight", "10m");
    let bench = Bench::new(vault(), vault().policy("inflight").read(&creds), json!({ "token_ttl": "10m" }));
    let proxy = Proxy::to(vault().address());
    bench.configure(&bench.config(&proxy.url(), END, &secret(&creds)));
    let rule = proxy.withhold(&format!("/v1/{creds}"));
    let mut running = bench.run();
    eventually("the store has minted, and its answer is kept back", START, || rule.waiting() == 1);
    assert_eq!(database.roles().len(), 1);

    running.signal(Signal::TERM);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(running.exit(), None, "the answer is awaited");
    rule.release();
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    bench.nothing_is_left(&database);
    assert_eq!(proxy.requests(&format!("/v1/{creds}")).len(), 1, "one mint");
    assert!(!running.stderr().contains("left"), "nothing is named: {}", running.stderr());
}

#[test]
fn a_mint_that_a_reload_makes_unwanted_is_revoked_as_soon_as_it_is_answered() {
    let (database, creds) = database("unwanted", "10m");
    let other = database.role("other", "10m", "10m");
    let policy = vault().policy("unwanted").read(&creds).read(&other).revoke_leases();
    let bench = Bench::new(vault(), policy, json!({ "token_ttl": "10m" }));
    let proxy = Proxy::to(vault().address());
    let before = bench.config(&proxy.url(), END, &secret(&creds));
    bench.configure(&before);
    let mut running = bench.run_until_ready();
    let kept = bench.lease("db");

    let both = format!(
        "secrets: {{ db: {{ provider: vault, path: {creds} }}, other: {{ provider: vault, path: {other} }} }}\n\
         files: {{ db.env: {{ template: \"{{{{ db.username }}}} {{{{ db.password }}}}\" }}, other.env: {{ secret: other, format: env }} }}\n"
    );
    let rule = proxy.withhold(&format!("/v1/{other}"));
    bench.configure(&bench.config(&proxy.url(), END, &both));
    eventually("the store has minted, and its answer is kept back", SOON, || rule.waiting() == 1);
    bench.configure(&before);
    eventually("the secret is gone", SOON, || bench.status()["secrets"].get("other").is_none());
    assert_eq!(database.leases().len(), 2);

    rule.release();
    eventually("what nobody wants is revoked", SOON, || database.leases() == [kept.clone()]);
    eventually("and its role is gone", SOON, || database.roles().len() == 1);
    assert_eq!(bench.lease("db"), kept);
    assert_eq!(running.exit(), None);
    assert_eq!(bench.read("other.env"), None);

    // The same again, and SIGTERM in place of the answer.
    let rule = proxy.withhold(&format!("/v1/{other}"));
    bench.configure(&bench.config(&proxy.url(), END, &both));
    eventually("the store has minted, and its answer is kept back", SOON, || rule.waiting() == 1);
    bench.configure(&before);
    eventually("the secret is gone", SOON, || bench.status()["secrets"].get("other").is_none());
    running.signal(Signal::TERM);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(running.exit(), None, "the answer is awaited, though nobody wants it");
    rule.release();
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    bench.nothing_is_left(&database);
}

#[test]
fn a_mint_that_is_answered_after_the_deadline_of_the_start_is_taken_back() {
    let (database, creds) = database("late", "10m");
    let bench = Bench::new(vault(), vault().policy("late").read(&creds), json!({ "token_ttl": "10m" }));
    let proxy = Proxy::to(vault().address());
    let lifecycle = format!("{END}, startup_deadline: 6s");
    bench.configure(&bench.config(&proxy.url(), &lifecycle, &secret(&creds)));
    let rule = proxy.withhold(&format!("/v1/{creds}"));
    let mut running = bench.run();
    eventually("the store has minted, and its answer is kept back", START, || rule.waiting() == 1);
    let started = std::time::Instant::now();
    while started.elapsed() < Duration::from_secs(8) {
        assert_eq!(running.exit(), None, "{}", running.stderr());
        std::thread::sleep(Duration::from_millis(50));
    }
    rule.release();
    assert_eq!(running.wait(SOON), Exit::Code(75), "{}", running.stderr());
    bench.nothing_is_left(&database);
    assert_eq!(bench.read("db.env"), None);
}

#[test]
fn a_mint_that_is_never_answered_is_named_at_the_end() {
    let (database, creds) = database("unanswered", "5s");
    let policy = vault().policy("unanswered").read(&creds).create();
    let token = vault().token(json!({ "policies": [policy], "ttl": "10m" }));
    let text = |key: &str| token[key].as_str().unwrap().to_owned();
    let bench = Bench::new(vault(), vault().policy("unused").read("nowhere"), json!({}));
    let file = bench.folder.join("token");
    std::fs::write(&file, text("client_token")).unwrap();
    let bench = bench.with_auth(format!("{{ method: token, token_file: {} }}", file.display()));
    let proxy = Proxy::to(vault().address());
    let lifecycle = "revoke_delay: 0s, revoke_timeout: 2s";
    bench.configure(&bench.config(&proxy.url(), lifecycle, &secret(&creds)));
    let rule = proxy.withhold(&format!("/v1/{creds}"));
    let mut running = bench.run();
    eventually("the store has minted, and its answer is kept back", START, || rule.waiting() == 1);
    let leases = database.leases();
    assert_eq!(leases.len(), 1);

    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    let log = running.stderr();
    let named = log.lines().find(|line| line.contains("still in flight")).unwrap_or_else(|| panic!("{log}"));
    for word in ["WARN", "\"db\"", "by its own TTL"] {
        assert!(named.contains(word), "{word}: {named}");
    }
    eventually("it ends by its TTL", SOON, || database.leases().is_empty() && database.roles().is_empty());
    assert!(vault().token_lives(&text("accessor")), "a token that was given is not ours to end");
    rule.release();
}

#[test]
fn of_two_mints_of_a_secret_that_left_and_came_back_one_stays() {
    let (database, creds) = database("returned", "10m");
    let kv = vault().kv_mount("returned-kv", 1);
    kv.put("app", json!({ "key": "value" }));
    let policy = vault().policy("returned").read(&creds).read(&kv.data("app")).revoke_leases();
    let bench = Bench::new(vault(), policy, json!({ "token_ttl": "10m" }));
    let proxy = Proxy::to(vault().address());
    let lifecycle = format!("{END}, overlap: 1s");
    let app = format!("app: {{ provider: vault, path: {} }}", kv.data("app"));
    let with = secret(&creds).replace("secrets: { ", &format!("secrets: {{ {app}, "));
    let without = format!("secrets: {{ {app} }}\nfiles: {{ app.env: {{ secret: app, format: env }} }}\n");
    let [with, without] = [with, without].map(|it| bench.config(&proxy.url(), &lifecycle, &it));
    bench.configure(&with);
    let rule = proxy.withhold(&format!("/v1/{creds}"));
    let mut running = bench.run();
    eventually("the store has minted, and its answer is kept back", START, || rule.waiting() == 1);
    bench.configure(&without);
    eventually("the secret is gone", SOON, || bench.status()["secrets"].get("db").is_none());
    bench.configure(&with);
    eventually("the store has minted again", SOON, || rule.waiting() == 2);
    assert_eq!(database.leases().len(), 2);

    rule.release();
    bench.ready(&mut running);
    eventually("one is given back", SOON, || database.leases().len() == 1 && database.roles().len() == 1);
    assert_eq!(database.leases(), [bench.lease("db")]);
    assert_eq!(bench.login("db.env"), Ok(()));
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    bench.nothing_is_left(&database);
}
