//! Keys made where they are used, against the real PKI: what of them arrives there, and what the
//! application reads.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::process::Exit;
use harness::tmpfs::Folder;
use harness::vault::{Mark, PkiMount};
use harness::{Leasehold, Signal, eventually, vault};
use leasehold_harness as harness;
use serde_json::json;

use crate::SOON;
use crate::stage::{ready, run};

/// A PKI that signs for any name, and a folder for everything that a leasehold needs.
struct Pki {
    mount: PkiMount<'static>,
    folder: Folder,
    config: PathBuf,
    mark: Mark,
}

impl Pki {
    fn new(name: &str, kind: &str, ttl: &str) -> Self {
        let mark = vault().audit().mark();
        let mount = vault().pki_mount(name);
        mount.role("web", json!({ "key_type": "any" }));
        let path = format!("{}/sign/web", mount.path());
        let policy = vault().policy(name).update(&path).create();
        let options = json!({ "token_policies": [policy], "token_ttl": "10m" });
        let role = vault().approle_mount(name).role("web", options);
        let folder = harness::tmpfs();
        fs::write(folder.join("secret-id"), &role.secret_id).unwrap();
        fs::create_dir(folder.join("state")).unwrap();
        let config = folder.join("leasehold.yaml");
        let text = format!(
            r#"
providers:
  vault:
    type: vault
    address: "{address}"
    auth: {{ method: approle, mount: {login}, role_id: {role_id}, secret_id_file: {folder}/secret-id }}
secrets:
  cert:
    provider: vault
    path: {path}
    data: {{ common_name: web.test, alt_names: "b.test", ip_sans: "127.0.0.1", ttl: {ttl} }}
    generate_key: {kind}
files:
  tls/tls.crt: {{ secret: cert, field: certificate }}
  tls/tls.key: {{ secret: cert, field: private_key, mode: "0400" }}
  tls/type: {{ secret: cert, field: private_key_type }}
output: {{ directory: {folder}/live }}
lifecycle: {{ state_directory: {folder}/state, overlap: 1s, revoke_delay: 0s }}
admin: {{ listen: "unix:{folder}/admin.sock" }}
telemetry: {{ listen: "off" }}
log: {{ level: trace }}
"#,
            address = vault().url(),
            login = role.mount,
            role_id = role.role_id,
            folder = folder.display(),
        );
        fs::write(&config, text).unwrap();
        Self { mount, folder, config, mark }
    }

    /// Certificate and key of one set, through the one directory that both are in.
    fn pair(&self) -> (String, String) {
        let set = self.folder.join("live/..data").canonicalize().unwrap();
        let read = |name: &str| fs::read_to_string(set.join("tls").join(name)).unwrap();
        (read("tls.crt"), read("tls.key"))
    }

    /// What was asked of it since the beginning.
    fn asked(&self, verb: &str) -> Vec<String> {
        let path = format!("{}/{verb}", self.mount.path());
        let entries = vault().audit().matching(self.mark, "update", &path);
        entries.iter().map(|entry| entry.line.to_string()).collect()
    }
}

/// What openssl prints when it reads this.
#[track_caller]
fn openssl(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("openssl");
    let piped = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = piped.spawn().expect("openssl is installed");
    running.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a key is that of a certificate.
#[track_caller]
fn are_a_pair((certificate, key): &(String, String)) {
    let of_certificate = openssl(&["x509", "-pubkey", "-noout"], certificate);
    assert_eq!(openssl(&["pkey", "-pubout"], key), of_certificate, "of one set");
}

/// No line of these keys is in a text.
#[track_caller]
fn without_keys(keys: &[String], text: &str) {
    for line in keys.iter().flat_map(|key| key.lines()).filter(|line| line.len() == 64).skip(1) {
        assert!(!text.contains(line), "a part of a key is there");
    }
    assert!(!text.contains("PRIVATE KEY"), "a key is there");
}

#[test]
fn a_key_is_made_here_the_store_sees_the_request_alone_and_both_files_are_of_one_key() {
    for (kind, family) in [("ec-p256", "ec"), ("rsa-2048", "rsa"), ("ed25519", "ed25519")] {
        let pki = Pki::new("own-key", kind, "1h");
        let mut sidecar = run(&pki.config);
        ready(&sidecar, &pki.config);
        let pair = pki.pair();
        are_a_pair(&pair);
        assert_eq!(fs::read_to_string(pki.folder.join("live/tls/type")).unwrap(), family);
        let shown = openssl(&["x509", "-noout", "-subject", "-ext", "subjectAltName"], &pair.0);
        for name in ["web.test", "DNS:b.test", "IP Address:127.0.0.1"] {
            assert!(shown.contains(name), "{kind}: {name} in {shown}");
        }
        let asked = pki.asked("sign/web");
        assert_eq!(asked.len(), 1, "{kind}: {asked:?}");
        assert!(asked[0].contains("BEGIN CERTIFICATE REQUEST"), "{kind}: {}", asked[0]);
        let keys = [pair.1];
        without_keys(&keys, &asked[0]);
        sidecar.signal(Signal::TERM);
        assert_eq!(sidecar.wait(SOON), Exit::Code(0), "{}", sidecar.stderr());
        without_keys(&keys, &sidecar.stderr());
    }
}

#[test]
fn each_rotation_has_a_new_key_and_certificate_and_key_of_a_set_always_match() {
    let pki = Pki::new("own-keys", "ec-p256", "5s");
    let mut sidecar = run(&pki.config);
    ready(&sidecar, &pki.config);
    let mut keys: Vec<String> = Vec::new();
    eventually("enough keys", Duration::from_secs(60), || {
        let pair = pki.pair();
        are_a_pair(&pair);
        if keys.last() != Some(&pair.1) {
            keys.push(pair.1);
        }
        keys.len() >= 4
    });
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait(SOON), Exit::Code(0), "{}", sidecar.stderr());
    let distinct: std::collections::BTreeSet<&String> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "no key comes back");
    let asked = pki.asked("sign/web").join("\n");
    without_keys(&keys, &asked);
}

#[test]
fn a_restart_adopts_certificate_and_key_and_mints_nothing() {
    let pki = Pki::new("own-kept", "ec-p384", "1h");
    let mut first = run(&pki.config);
    ready(&first, &pki.config);
    let pair = pki.pair();
    first.kill9();
    let mut second = run(&pki.config);
    ready(&second, &pki.config);
    assert_eq!(pki.pair(), pair);
    assert_eq!(pki.asked("sign/web").len(), 1);
    second.signal(Signal::TERM);
    assert_eq!(second.wait(SOON), Exit::Code(0), "{}", second.stderr());
}

#[test]
fn openssl_verifies_what_was_made_as_a_servers() {
    let pki = Pki::new("own-served", "ec-p256", "1h");
    let mut sidecar = run(&pki.config);
    ready(&sidecar, &pki.config);
    let (certificate, key) = pki.pair();
    let ca = pki.folder.join("ca.pem");
    fs::write(&ca, &pki.mount.ca).unwrap();
    let ca = ca.display().to_string();
    let verified = openssl(&["verify", "-purpose", "sslserver", "-CAfile", &ca], &certificate);
    assert!(verified.contains("OK"), "{verified}");
    assert!(openssl(&["pkey", "-check", "-noout"], &key).contains("valid"));
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait(SOON), Exit::Code(0), "{}", sidecar.stderr());
}

#[test]
fn check_mints_with_a_key_of_its_own_and_writes_nothing() {
    let pki = Pki::new("own-check", "ec-p256", "1h");
    let config = pki.config.display().to_string();
    let done = Leasehold::command(["check", "-c", &config, "--online", "--mint"]).finish(SOON);
    assert_eq!(done.exit, Exit::Code(0), "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("private_key, private_key_type"), "{}", done.stdout);
    assert_eq!(pki.asked("sign/web").len(), 1);
    assert!(!pki.folder.join("live").exists());
    without_keys(&[], &done.stdout);
}

#[cfg(feature = "mock")]
#[test]
fn on_a_laptop_the_same_file_gets_a_certificate_of_the_key_that_is_made_there() {
    let pki = Pki::new("own-laptop", "ed25519", "1h");
    let config = pki.config.display().to_string();
    let show = "cat \"$LEASEHOLD_DIR/tls/tls.crt\"; echo; cat \"$LEASEHOLD_DIR/tls/tls.key\"";
    let done = Leasehold::command(["dev", "-c", &config, "--", "sh", "-c", show]).finish(SOON);
    assert_eq!(done.exit, Exit::Code(0), "{}", done.stderr);
    are_a_pair(&(done.stdout.clone(), done.stdout));
    assert_eq!(pki.asked("sign/web").len(), 0, "the store is made up");
}
