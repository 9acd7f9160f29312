use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use harness::process::Exit;
use harness::tmpfs::Folder;
use harness::vault::PkiMount;
use harness::{Signal, eventually, pki, stalls, vault};
use leasehold_harness as harness;
use serde_json::{Value, json};

use super::read_set;
use crate::SOON;
use crate::stage::{ready, run};

/// The longest that a certificate lives here.
const LIFE: Duration = Duration::from_secs(24);

/// Writes a configuration for a certificate that lives for so long.
fn config(mount: &PkiMount<'_>, folder: &Folder, ttl: &str, revoke: &str, updates: &[&str]) -> PathBuf {
    let path = mount.role("web", json!({}));
    let policy = updates.iter().fold(vault().policy("pki").update(&path), |policy, path| policy.update(path));
    let options = json!({ "token_policies": [policy.create()], "token_ttl": "10m" });
    let role = vault().approle_mount("pki").role("web", options);
    std::fs::write(folder.join("secret-id"), &role.secret_id).unwrap();
    std::fs::create_dir(folder.join("state")).unwrap();
    let file = folder.join("leasehold.yaml");
    let text = format!(
        r#"
providers:
  vault:
    type: vault
    address: "{address}"
    auth: {{ method: approle, mount: {mount}, role_id: {role_id}, secret_id_file: {folder}/secret-id }}
secrets:
  cert:
    provider: vault
    path: {path}
    data: {{ common_name: web.test, ttl: {ttl}, private_key_format: pkcs8 }}
    revoke: {revoke}
files:
  tls/tls.crt: {{ secret: cert, field: certificate }}
  tls/tls.key: {{ secret: cert, field: private_key, mode: "0400" }}
  serial: {{ secret: cert, field: serial_number }}
output: {{ directory: {folder}/live }}
lifecycle: {{ state_directory: {folder}/state, overlap: 1s, revoke_delay: 0s }}
admin: {{ listen: "unix:{folder}/admin.sock" }}
telemetry: {{ listen: "off" }}
"#,
        address = vault().url(),
        mount = role.mount,
        role_id = role.role_id,
        folder = folder.display(),
    );
    std::fs::write(&file, text).unwrap();
    file
}

/// Reads the set in place until there were so many serial numbers; each time the pair has to match and live.
fn serials(folder: &Folder, wanted: usize) -> Vec<String> {
    let mut serials: Vec<String> = Vec::new();
    eventually("enough certificates", Duration::from_secs(20) * wanted as u32, || {
        let names = ["tls/tls.crt", "tls/tls.key", "serial", "..manifest.json"];
        let [certificate, key, serial, manifest] = read_set(&folder.join("live"), names).unwrap();
        assert_eq!(pki::is_pair(&certificate, &key), Ok(()), "{serial}");
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        let expires = humantime::parse_rfc3339(manifest["secrets"]["cert"]["expires"].as_str().unwrap());
        let lives = expires.unwrap() > SystemTime::now() || stalls().within(LIFE);
        assert!(lives, "{serial} was in place for too long: {manifest}");
        if serials.last() != Some(&serial) {
            serials.push(serial);
        }
        serials.len() >= wanted
    });
    serials
}

/// Whether the list of revoked certificates itself has this number, which clients fetch.
fn is_on_the_crl(mount: &PkiMount<'_>, serial: &str) -> bool {
    let list = vault().read(&format!("{}/cert/crl", mount.path())).unwrap();
    let pem = list["data"]["certificate"].as_str().unwrap().to_owned();
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(body).unwrap();
    let number: Vec<u8> = serial.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    der.windows(number.len()).any(|part| part == number)
}

#[test]
fn a_certificate_and_its_key_match_in_every_generation() {
    let mount = vault().pki_mount("pairs");
    let folder = harness::tmpfs();
    stalls();
    let config = config(&mount, &folder, "5s", "false", &[]);
    let mut sidecar = run(&config);
    ready(&sidecar, &config);
    let serials = serials(&folder, 4);
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait(SOON), Exit::Code(0), "{}", sidecar.stderr());
    assert_eq!(mount.revoked(), [""; 0], "a certificate lives to its end: {serials:?}");
}

#[test]
fn with_revoke_a_replaced_certificate_is_on_the_crl_and_at_the_end_the_last_is_too() {
    let mount = vault().pki_mount("revoked");
    let folder = harness::tmpfs();
    stalls();
    // Vault puts no certificate on the list that ends within two seconds; the first is replaced seven seconds
    // before its end, or more.
    let config = config(&mount, &folder, "24s", "true", &[&format!("{}/revoke", mount.path())]);
    let mut sidecar = run(&config);
    ready(&sidecar, &config);
    let serials = serials(&folder, 2);
    eventually("the replaced one is on the list", SOON, || {
        if is_on_the_crl(&mount, &serials[0]) { Ok(()) } else { Err(sidecar.stderr()) }
    });
    let [current] = read_set(&folder.join("live"), ["serial"]).unwrap();
    assert!(!is_on_the_crl(&mount, &current), "the one in use is not");
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.wait(SOON), Exit::Code(0), "{}", sidecar.stderr());
    let [last] = read_set(&folder.join("live"), ["serial"]).unwrap();
    assert!(is_on_the_crl(&mount, &last), "{}", sidecar.stderr());
}
