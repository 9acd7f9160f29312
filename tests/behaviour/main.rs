//! Behaviour of the binary and of the library, against real servers.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start servers, wait on real clocks and write their own files"
)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it did"
)]

mod actions;
mod applications;
#[cfg(feature = "aws")]
mod aws;
mod bench;
#[cfg(all(feature = "azure", feature = "gcp"))]
mod clouds;
mod commands;
mod crash;
#[cfg(feature = "mock")]
mod dev;
#[cfg(feature = "all")]
mod documents;
mod drills;
mod endings;
mod exec;
mod exec_provider;
mod explain;
mod file_provider;
#[cfg(feature = "generate-key")]
mod generate_key;
mod handover;
mod healing;
mod hygiene;
mod inflight;
mod lifecycle;
mod observability;
mod oneline;
mod outage;
#[cfg(feature = "all")]
mod pages;
mod plain_machines;
mod rotation;
mod session_file;
mod sessions;
mod stage;
mod status;
mod successor;
mod systemd;
#[cfg(feature = "mock")]
mod template_file;
mod terminal;
mod verify;
mod volume;

use std::time::Duration;

use harness::{Leasehold, eventually, postgres, vault};
use leasehold_harness as harness;
use serde_json::json;

const SOON: Duration = Duration::from_secs(15);

#[test]
fn the_real_servers_mint_a_credential_that_logs_in_until_it_is_revoked() {
    let database = vault().database_mount("smoke");
    let creds = database.role("web", "1m", "5m");
    let policy = vault().policy("smoke").read(&creds).create();
    let token = vault().token(json!({ "policies": [policy], "ttl": "5m" }));
    let client = vault().client(token["client_token"].as_str().unwrap());
    let mark = vault().audit().mark();

    let minted = client.read(&creds).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let (username, password) = (text(&minted["data"]["username"]), text(&minted["data"]["password"]));
    assert_eq!(postgres().login(&username, &password), Ok(()));
    assert_eq!(database.roles(), std::slice::from_ref(&username));
    assert_eq!(database.leases(), [text(&minted["lease_id"])]);
    assert!(vault().lease_lookup(&text(&minted["lease_id"])).unwrap().lives());
    assert_eq!(vault().audit().matching(mark, "read", &creds).len(), 1);

    assert_eq!(client.read("sys/mounts").unwrap_err().status, 403);
    vault().revoke_prefix(&creds);
    eventually("the lease and the role are gone", SOON, || {
        database.leases().is_empty() && database.roles().is_empty()
    });
    assert!(postgres().login(&username, &password).is_err());
}

#[test]
fn the_binary_under_test_gets_nothing_of_our_environment_but_the_path() {
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "cargo sets it for tests");
    let shown =
        Leasehold::command(["unused"]).under(["sh", "-c", "env"]).env("ASKED", "for").finish(SOON).stdout;
    let mut names: Vec<_> = shown.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.retain(|name| !["HOME", "LANG", "PWD", "SHLVL", "_"].contains(name));
    names.sort_unstable();
    assert_eq!(names, ["ASKED", "PATH"]);
}
