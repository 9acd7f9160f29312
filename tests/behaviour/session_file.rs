//! The session as a file, for an application that talks to Vault itself.

mod timing;

use harness::process::Exit;
use harness::{Signal, eventually, vault};
use leasehold_harness as harness;
use serde_json::json;

use super::bench::Bench;
use crate::SOON;

/// What a token says of itself; `None`: it is no more.
fn itself(token: &str) -> Option<String> {
    let answer = vault().client(token).read("auth/token/lookup-self");
    answer.ok().map(|answer| answer["data"]["accessor"].as_str().unwrap().to_owned())
}

const FILES: &str = "
secrets:
  app: { provider: vault, path: KV }
files:
  token: { session: vault, mode: \"0400\" }
  app.json: { secret: app, format: json }
";

fn bench(name: &str, options: serde_json::Value) -> (Bench<'static>, String) {
    let kv = vault().kv_mount(name, 2);
    kv.put("app", json!({ "value": "kept" }));
    let policy = vault().policy(name).read(&kv.data("app")).read(&kv.metadata("app"));
    let bench = Bench::new(vault(), policy, options);
    (bench, FILES.replace("KV", &format!("{}/app", kv.path())))
}

#[test]
fn the_token_in_the_file_is_the_one_that_leasehold_uses_and_ends_with_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let (bench, sections) = bench("tokenfile", json!({ "token_ttl": "10m" }));
    bench.configure(&bench.config(&vault().url(), "revoke_delay: 0s", &sections));
    let mut running = bench.run_until_ready();
    let token = bench.read("token").unwrap();
    assert_eq!(itself(&token).as_ref(), bench.tokens().last());
    let mode = std::fs::metadata(bench.folder.join("live/token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o400);
    let manifest = bench.read("..data/..manifest.json").unwrap();
    assert!(manifest.contains("\"token\"") && !manifest.contains(&token), "{manifest}");
    assert!(!running.stderr().contains(&token), "{}", running.stderr());
    assert!(!bench.status().to_string().contains(&token));
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    eventually("it is revoked with our end", SOON, || itself(&token).is_none());
}

#[test]
fn a_token_that_was_given_is_its_session_and_lives_on_after_our_end() {
    let kv = vault().kv_mount("giventoken", 2);
    kv.put("app", json!({ "value": "kept" }));
    let policy = vault().policy("giventoken").read(&kv.data("app")).read(&kv.metadata("app"));
    let token = vault().token(json!({ "policies": [policy.create()], "ttl": "10m" }));
    let token = token["client_token"].as_str().unwrap().to_owned();
    let policy = vault().policy("giventoken-bench").read(&kv.data("app"));
    let bench = Bench::new(vault(), policy, json!({ "token_ttl": "10m" }));
    std::fs::write(bench.folder.join("given"), &token).unwrap();
    let auth = format!("{{ method: token, token_file: {} }}", bench.folder.join("given").display());
    let bench = bench.with_auth(auth);
    let sections = FILES.replace("KV", &format!("{}/app", kv.path()));
    bench.configure(&bench.config(&vault().url(), "revoke_delay: 0s", &sections));
    let mut running = bench.run_until_ready();
    assert_eq!(bench.read("token"), Some(token.clone()));
    running.signal(Signal::TERM);
    assert_eq!(running.wait(SOON), Exit::Code(0), "{}", running.stderr());
    assert!(itself(&token).is_some(), "it is not ours to revoke");
}

#[test]
fn a_provider_without_a_session_of_its_own_is_named_by_the_check() {
    let (bench, sections) = bench("nosession", json!({ "token_ttl": "10m" }));
    let config = bench.config(&vault().url(), "", &sections.replace("session: vault", "session: local"));
    bench.configure(&config.replace("providers:\n", "providers:\n  local: { type: file, path: /run/x }\n"));
    let end = bench.command("check").finish(SOON);
    assert_eq!(end.exit, Exit::Code(78), "{}", end.stderr);
    assert!(end.stderr.contains("\"local\" (type file) has no session of its own"), "{}", end.stderr);
}
