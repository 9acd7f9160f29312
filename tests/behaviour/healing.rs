//! What the store loses, an operator takes away, or a policy no longer allows: noticed, healed by one mint,
//! and never the end of what works.

use harness::Signal;
use harness::process::Exit;
use harness::vault::{DatabaseMount, Entry, Mark};

use super::bench::Bench;
use super::*;

const QUICK: &str = "revoke_delay: 0s";
const PAIR: &str = "files: { db.env: { template: \"{{ db.username }} {{ db.password }}\" } }\n";

/// A database whose role `web` has this TTL.
fn database(name: &str, ttl: &str) -> (DatabaseMount<'static>, String) {
    let database = vault().database_mount(name);
    let creds = database.role("web", ttl, "1h");
    (database, creds)
}

fn secret(creds: &str, more: &str) -> String {
    format!("secrets: {{ db: {{ provider: vault, path: {creds}{more} }} }}\n{PAIR}")
}

/// How often the store was asked to mint since `mark`.
fn mints(mark: Mark, creds: &str) -> usize {
    vault().audit().matching(mark, "read", creds).len()
}

/// What was asked about leases of `creds` since `mark`: the server is shared with other tests.
fn asked(mark: Mark, what: &str, creds: &str) -> Vec<Entry> {
    let mut asked = vault().audit().matching(mark, "update", &format!("sys/leases/{what}"));
    asked.retain(|entry| of(entry).starts_with(creds));
    asked
}

fn of(entry: &Entry) -> &str {
    entry.line["request"]["data"]["lease_id"].as_str().unwrap_or_default()
}

fn lookups(mark: Mark, creds: &str) -> Vec<String> {
    asked(mark, "lookup", creds).iter().map(|entry| of(entry).to_owned()).collect()
}

/// Revokes as an operator does, and waits until the server has done it.
fn revoke(database: &DatabaseMount<'_>, creds: &str) {
    vault().revoke_prefix(creds);
    eventually("the server has revoked it", SOON, || {
        database.leases().is_empty() && database.roles().is_empty()
    });
}

#[test]
fn a_word_of_the_application_replaces_a_revoked_lease_at_once_with_one_look_up() {
    let (database, creds) = database("stale", "10m");
    let bench = Bench::new(vault(), vault().policy("stale").read(&creds), json!({ "token_ttl": "10m" }));
    bench.configure(&bench.config(&vault().url(), "heal_splay: 10m, revoke_delay: 0s", &secret(&creds, "")));
    let mut running = bench.run_until_ready();
    let (before, lease) = (bench.pair("db.env"), bench.lease("db"));
    assert_eq!(bench.login("db.env"), Ok(()));
    revoke(&database, &creds);
    assert!(bench.login("db.env").is_err());

    let mark = vault().audit().mark();
    for _ in 0..10 {
        let (status, answer) = bench.ack_socket("/v1/stale", &json!({ "secret": "db" }));
        assert_eq!(status, 200, "{answer}");
    }
    eventually("a new credential, long before 10 min", SOON, || bench.pair("db.env") != before);
    assert_eq!(bench.login("db.env"), Ok(()));
    // A further question would have come by now.
    eventually("it is said that the lease is in place", SOON, || bench.lease("db") != lease);
    assert_eq!(lookups(mark, &creds), [lease]);
    assert_eq!(mints(mark, &creds), 1);
    assert_eq!(database.roles().len(), 1);

    // A lease that lives is looked at, and stays.
    let mark = vault().audit().mark();
    let (before, lease) = (bench.pair("db.env"), bench.lease("db"));
    std::thread::sleep(Duration::from_secs(10));
    assert_eq!(bench.ack_socket("/v1/stale", &json!({ "secret": "db" })).0, 200);
    eventually("one look-up", SOON, || lookups(mark, &creds) == [lease.clone()]);
    assert_eq!((mints(mark, &creds), bench.pair("db.env")), (0, before));
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0));
    bench.nothing_is_left(&database);
}

#[test]
fn a_look_up_notices_a_revoked_lease_before_its_renewal() {
    let (database, creds) = database("lookup", "10m");
    let bench = Bench::new(vault(), vault().policy("lookup").read(&creds), json!({ "token_ttl": "10m" }));
    let lifecycle = "heal_splay: 1s, revoke_delay: 0s";
    bench.configure(&bench.config(&vault().url(), lifecycle, &secret(&creds, ", lookup: 5s")));
    let mut running = bench.run_until_ready();
    let before = bench.pair("db.env");
    let mark = vault().audit().mark();
    eventually("it asks without being told", SOON, || !lookups(mark, &creds).is_empty());
    assert_eq!((mints(mark, &creds), bench.pair("db.env")), (0, before.clone()));

    revoke(&database, &creds);
    eventually("a new credential, long before 6 min", SOON, || bench.pair("db.env") != before);
    assert_eq!(bench.login("db.env"), Ok(()));
    assert_eq!(mints(mark, &creds), 1);
    assert!(asked(mark, "renew", &creds).is_empty());
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0));
    bench.nothing_is_left(&database);
}

#[test]
fn a_policy_taken_away_ends_nothing_and_given_back_it_recovers_alone() {
    let database = vault().database_mount("policy");
    let creds = database.role("web", "5s", "8s");
    let policy = vault().policy("policy").read(&creds).create();
    // The token lives for long enough to show that a denial is no reason to wait for its end.
    let options = json!({ "token_ttl": "20s" });
    let bench = Bench::new(vault(), vault().policy("nothing").read("nowhere"), options.clone());
    let role = format!("auth/{}/role/web", bench.approle.path());
    vault().write(&role, json!({ "token_ttl": "20s", "token_policies": [policy] }));
    bench.configure(&bench.config(&vault().url(), QUICK, &secret(&creds, "")));
    let mut running = bench.run_until_ready();

    vault().write(
        &format!("sys/policies/acl/{policy}"),
        json!({ "policy": "path \"nowhere\" { capabilities = [\"read\"] }" }),
    );
    let mark = vault().audit().mark();
    eventually("status shows the denial", Duration::from_secs(20), || {
        let status = bench.status();
        let error = &status["secrets"]["db"]["error"];
        (error["kind"] == "denied" && error["text"].as_str().is_some_and(|text| text.contains(&creds)))
            .then_some(())
            .ok_or_else(|| status.to_string())
    });
    eventually("it has expired", Duration::from_secs(20), || {
        bench.status()["secrets"]["db"]["state"] == "expired"
    });
    assert_eq!(running.exit(), None);
    assert!(bench.read("db.env").is_some_and(|text| text.split(' ').count() == 2), "the files stay");
    assert!(!bench.is_ready(), "a required secret has truly expired");
    let login = format!("auth/{}/login", bench.approle.path());
    let logins = vault().audit().matching(mark, "update", &login).len();
    assert!(logins <= 3, "a denial costs one log-in, not {logins}");

    vault().write(
        &format!("sys/policies/acl/{policy}"),
        json!({ "policy": format!("path \"{creds}\" {{ capabilities = [\"read\"] }}") }),
    );
    // A fifth of the session at the longest.
    eventually("it recovers alone", Duration::from_secs(20), || bench.is_ready());
    assert_eq!(bench.login("db.env"), Ok(()));
    assert_eq!(bench.status()["secrets"]["db"]["error"], json!(null));
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0));
    bench.nothing_is_left(&database);
}

#[test]
fn an_expiry_is_everywhere_the_earlier_one_of_lease_and_token() {
    let (database, creds) = database("earlier", "10m");
    let options = json!({ "token_ttl": "60s", "token_max_ttl": "60s" });
    let bench = Bench::new(vault(), vault().policy("earlier").read(&creds), options);
    bench.configure(&bench.config(&vault().url(), QUICK, &secret(&creds, "")));
    let mut running = bench.run_until_ready();
    let status = bench.status();
    let lease = status["secrets"]["db"]["lease"].as_str().unwrap().to_owned();
    assert!(vault().lease_lookup(&lease).unwrap().ttl > 500, "the lease itself has longer");
    let token = vault().write("auth/token/lookup-accessor", json!({ "accessor": bench.tokens()[0] }));
    let ends = token["data"]["expire_time"].as_str().unwrap().to_owned();

    let secret = &status["secrets"]["db"];
    assert_eq!(secret["expires"], status["providers"]["vault"]["session_ends"]);
    assert!(secret["remaining_seconds"].as_f64().unwrap() <= 60.0, "{secret}");
    assert!(secret["granted_seconds"].as_f64().unwrap() <= 60.0, "{secret}");
    let shown = secret["expires"].as_str().unwrap();
    // We count from the request, the server from its answer: never later, and not much earlier.
    let seconds = |sql: &str| -> f64 { postgres().execute(sql)[0][0].as_ref().unwrap().parse().unwrap() };
    let of = |time: &str| seconds(&format!("SELECT extract(epoch FROM '{time}'::timestamptz)"));
    assert!((-5.0..=0.5).contains(&(of(shown) - of(&ends))), "{shown} {ends}");
    let metric = bench.metric("leasehold_secret_expiry_timestamp_seconds{").unwrap();
    assert!((metric - of(shown)).abs() <= 1.0, "{metric} {shown}");
    let table = bench.command("status").finish(SOON).stdout;
    // But for the ids, whose letters are drawn.
    let times = table.replace(&lease, "").replace(&bench.tokens()[0], "");
    assert!(!times.contains("9m") && !times.contains("10m"), "{table}");
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0));
    bench.nothing_is_left(&database);
}

mod timing {
    use super::*;

    #[test]
    fn a_revoked_prefix_is_noticed_at_the_next_renewal_and_healed_by_one_mint() {
        let (database, creds) = database("prefix", "10s");
        let bench = Bench::new(vault(), vault().policy("prefix").read(&creds), json!({ "token_ttl": "10m" }));
        bench.configure(&bench.config(
            &vault().url(),
            "heal_splay: 2s, revoke_delay: 0s",
            &secret(&creds, ""),
        ));
        let mut running = bench.run_until_ready();
        let (before, lease) = (bench.pair("db.env"), bench.lease("db"));
        revoke(&database, &creds);
        let mark = vault().audit().mark();

        eventually("a new credential", Duration::from_secs(20), || bench.pair("db.env") != before);
        assert_eq!(bench.login("db.env"), Ok(()));
        let first = |entries: Vec<Entry>| {
            entries
                .into_iter()
                .next()
                .unwrap_or_else(|| panic!("it is in the audit log: {}", running.stderr()))
        };
        let renewed = first(asked(mark, "renew", &creds)).at;
        let minted = first(vault().audit().matching(mark, "read", &creds)).asked;
        assert!(renewed < minted, "it is the renewal that notices");
        // The splay, and two seconds for a busy machine.
        assert!(minted - renewed < Duration::from_secs(4), "{:?}", minted - renewed);
        assert_eq!(lookups(mark, &creds), [lease]);
        let healed = bench.lease("db");
        // Until well after the next renewal there is no further mint.
        eventually("the new one is renewed", Duration::from_secs(20), || {
            asked(mark, "renew", &creds).iter().any(|entry| !entry.refused() && of(entry) == healed)
        });
        assert_eq!(mints(mark, &creds), 1);
        assert_eq!(database.leases(), [healed]);
        running.signal(Signal::TERM);
        assert_eq!(running.wait(SOON), Exit::Code(0));
        bench.nothing_is_left(&database);
    }
}
