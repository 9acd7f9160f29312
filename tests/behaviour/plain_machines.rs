//! `deploy/systemd` and `deploy/compose`: their configurations are valid, and whoever starts and stops leasehold
//! there has more patience than leasehold asks for. (`tests/deploy/` runs them.)

use std::fs;
use std::path::{Path, PathBuf};

use harness::Leasehold;
use harness::process::Exit;

use super::*;

/// What the end takes beyond `revoke_delay` and `revoke_timeout`.
const CLOSING: Duration = Duration::from_secs(6);

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

/// The length that follows `key` at the start of a line.
#[track_caller]
fn length(text: &str, key: &str) -> Duration {
    let mut lines = text.lines().filter_map(|line| line.trim_start().strip_prefix(key));
    let value = lines.next().unwrap_or_else(|| panic!("there is no {key}")).trim();
    humantime::parse_duration(value).unwrap_or_else(|_| panic!("{key}{value} is no length"))
}

#[track_caller]
fn is_valid<const N: usize>(files: [&Path; N]) {
    let words = ["check".as_ref()];
    let words = words.into_iter().chain(files.iter().flat_map(|file| ["-c".as_ref(), file.as_os_str()]));
    let checked = Leasehold::command(words.collect::<Vec<_>>())
        .env("CREDENTIALS_DIRECTORY", "/run/credentials/leasehold@web.service")
        .env("VAULT_ADDR", "https://vault:8200")
        .env("VAULT_ROLE_ID", "role")
        .finish(SOON);
    assert_eq!(checked.exit, Exit::Code(0), "{}", checked.stderr);
}

#[test]
fn a_unit_has_more_patience_than_its_configuration_asks_for() {
    let (unit, config) = (text(deploy("systemd/leasehold@.service")), text(deploy("systemd/web.yaml")));
    let (delay, timeout) = (length(&config, "revoke_delay:"), length(&config, "revoke_timeout:"));
    let start = length(&config, "startup_deadline:") + timeout + CLOSING;
    assert!(length(&unit, "TimeoutStartSec=") > start);
    assert!(length(&unit, "TimeoutStopSec=") > delay + timeout + CLOSING);
    assert_eq!(delay, Duration::ZERO, "systemd stops the application first");

    // The group `web` is not on this machine.
    let folder = harness::tmpfs();
    let copy = folder.join("web.yaml");
    assert!(config.contains("  group: web\n") && unit.contains("SupplementaryGroups=%i\n"));
    fs::write(&copy, config.replace("group: web", "group: 10001")).unwrap();
    is_valid([&copy]);
}

#[test]
fn a_compose_file_has_more_patience_than_its_configuration_asks_for() {
    let (compose, config) = (text(deploy("compose/compose.yaml")), text(deploy("compose/config/web.yaml")));
    let (delay, timeout) = (length(&config, "revoke_delay:"), length(&config, "revoke_timeout:"));
    assert!(length(&compose, "start_period:") > length(&config, "startup_deadline:"));
    assert!(length(&compose, "stop_grace_period:") > delay + timeout + CLOSING);
    assert_eq!(delay, Duration::ZERO, "Compose stops what depends on it first");
    for store in ["mock", "vault"] {
        let store = deploy(&format!("compose/config/store-{store}.yaml"));
        is_valid([&deploy("compose/config/web.yaml"), &store]);
    }
}
