//! Against the programs that read such files: OpenSSL, and Java's own keytool.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_core::Field;
use leasehold_harness as harness;
use serde_json::json;

use super::*;

const PASSWORD: &str = "canary 'p\"a$$";

/// A chain of authorities, and a certificate below it for keys of two kinds.
struct Site {
    folder: harness::tmpfs::Folder,
    /// The root last.
    issuers: Vec<String>,
}

/// How many authorities there are above a certificate.
const DEPTH: usize = 6;

fn site() -> &'static Site {
    static SITE: OnceLock<Site> = OnceLock::new();
    SITE.get_or_init(|| {
        let folder = harness::tmpfs();
        let mut site = Site { folder, issuers: Vec::new() };
        let config = "[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n\
                      [leaf]\nbasicConstraints=critical,CA:FALSE\n";
        fs::write(site.path("conf"), config).unwrap();
        for level in 0..DEPTH {
            site.certify(&format!("ca{level}"), "EC", "ca", level.checked_sub(1));
            site.issuers.insert(0, site.read(&format!("ca{level}.pem")));
        }
        for kind in ["RSA", "EC"] {
            site.certify(kind, kind, "leaf", Some(DEPTH - 1));
        }
        site
    })
}

impl Site {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Makes a key and a certificate of it, signed by the authority of that level.
    fn certify(&self, name: &str, kind: &str, extensions: &str, by: Option<usize>) {
        let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
        let option = if kind == "RSA" { "rsa_keygen_bits:2048" } else { "ec_paramgen_curve:P-256" };
        self.openssl(&["genpkey", "-algorithm", kind, "-pkeyopt", option, "-out", &key]);
        let subject = format!("/CN={name}");
        let mut words = vec!["req", "-x509", "-new", "-config", "conf", "-days", "9", "-subj", &subject];
        words.extend(["-extensions", extensions, "-key", &key, "-out", &pem]);
        let signer = by.map(|level| (format!("ca{level}.pem"), format!("ca{level}.key")));
        if let Some((certificate, key)) = &signer {
            words.extend(["-CA", certificate, "-CAkey", key]);
        }
        self.openssl(&words);
    }

    fn run(&self, program: &str, words: &[&str], password: &str) -> Output {
        let mut command = Command::new(harness::program(program));
        command.args(words).current_dir(&self.folder).stdin(Stdio::null());
        command.env("P", password).env("LC_ALL", "C.UTF-8").output().unwrap()
    }

    #[track_caller]
    fn openssl(&self, words: &[&str]) -> String {
        text(self.run("openssl", words, PASSWORD))
    }

    /// The fields as Vault's PKI gives them, the key in one of its forms.
    fn fields(&self, kind: &str, form: &str) -> Fields {
        let key = format!("{kind}.key");
        let key = match form {
            "pkcs8" => self.read(&key),
            "old" => self.openssl(&["pkey", "-in", &key, "-traditional"]),
            other => panic!("{other}"),
        };
        let mut fields = Fields::new();
        fields.insert_text("private_key", key);
        fields.insert_text("certificate", self.read(&format!("{kind}.pem")));
        fields.insert_json("ca_chain", json!(self.issuers));
        fields.insert_text("issuing_ca", self.issuers[0].clone());
        fields.insert_text("serial_number", "7a:69".to_owned());
        fields
    }

    fn place(&self, name: &str, bytes: &SecretBytes) {
        fs::write(self.path(name), bytes.expose()).unwrap();
    }

    /// What keytool says of a file.
    fn keytool(&self, words: &[&str], password: &str) -> Output {
        let words =
            [&["-J-Dsun.jnu.encoding=UTF-8", "-J-Xshare:auto"], words, &["-storepass:env", "P"]].concat();
        self.run("keytool", &words, password)
    }
}

#[track_caller]
fn text(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn keystore(kind: KeystoreKind, entries: Entries) -> Keystore {
    Keystore {
        secret: "cert".to_owned(),
        kind,
        entries,
        alias: "Web".to_owned(),
        password: "{{ store.password }}".to_owned(),
    }
}

fn made(
    kind: KeystoreKind,
    entries: Entries,
    fields: &Fields,
    password: &str,
) -> Result<SecretBytes, String> {
    let made = write(&keystore(kind, entries), fields, &SecretBytes::from_text(password.to_owned()));
    if let Err(error) = &made {
        assert!(!error.contains("canary") && !error.contains("BEGIN"), "{error}");
    }
    made
}

/// The base64 of each block with this label, in order.
fn blocks(text: &str, label: &str) -> Vec<String> {
    let blocks = super::super::pem::blocks(text).unwrap();
    let wanted = blocks.iter().filter(|block| block.label == label);
    wanted.map(|block| block.text.lines().filter(|line| !line.starts_with('-')).collect()).collect()
}

fn chain(site: &Site, kind: &str) -> Vec<String> {
    blocks(&format!("{}{}", site.read(&format!("{kind}.pem")), site.issuers.concat()), "CERTIFICATE")
}

#[test]
fn openssl_finds_the_key_and_a_long_chain_in_a_pkcs12_whatever_form_the_key_came_in() {
    let site = site();
    for (kind, form) in [("RSA", "pkcs8"), ("RSA", "old"), ("EC", "pkcs8"), ("EC", "old")] {
        let name = format!("{kind}-{form}.p12");
        let fields = site.fields(kind, form);
        site.place(&name, &made(KeystoreKind::Pkcs12, Entries::Key, &fields, PASSWORD).unwrap());
        let read = site.openssl(&["pkcs12", "-in", &name, "-passin", "env:P", "-nodes"]);
        let key = blocks(&site.read(&format!("{kind}.key")), "PRIVATE KEY");
        assert_eq!(blocks(&read, "PRIVATE KEY"), key, "{name}");
        assert_eq!(blocks(&read, "CERTIFICATE"), chain(site, kind), "{name}");
        assert!(read.contains("friendlyName: web"), "{read}");
        let wrong = site.run("openssl", &["pkcs12", "-in", &name, "-passin", "pass:x", "-nodes"], "");
        assert!(!wrong.status.success(), "a wrong password is refused");
    }
}

#[test]
fn java_finds_the_key_and_a_long_chain_in_both_and_refuses_a_wrong_password() {
    let site = site();
    for (kind, name, key) in [
        (KeystoreKind::Pkcs12, "java.p12", "RSA"),
        (KeystoreKind::Jks, "java.jks", "RSA"),
        (KeystoreKind::Jks, "java-ec.jks", "EC"),
    ] {
        let bytes = made(kind, Entries::Key, &site.fields(key, "old"), PASSWORD).unwrap();
        site.place(name, &bytes);
        // Java takes the entry out and writes it anew; OpenSSL shows what it took.
        let copy = format!("{name}.copy");
        let words =
            ["-importkeystore", "-srckeystore", name, "-destkeystore", &copy, "-deststoretype", "PKCS12"];
        let words = [&words[..], &["-srcstorepass:env", "P", "-deststorepass:env", "P"]].concat();
        text(site.run("keytool", &words, PASSWORD));
        let read = site.openssl(&["pkcs12", "-in", &copy, "-passin", "env:P", "-nodes"]);
        assert_eq!(
            blocks(&read, "PRIVATE KEY"),
            blocks(&site.read(&format!("{key}.key")), "PRIVATE KEY"),
            "{name}"
        );
        assert_eq!(blocks(&read, "CERTIFICATE"), chain(site, key), "{name}");
        assert!(read.contains("friendlyName: web"), "{read}");
    }
    let words = [("java.p12", "Failed PKCS12 integrity checking"), ("java.jks", "password was incorrect")];
    for (name, words) in words {
        let wrong = site.keytool(&["-list", "-keystore", name], "wrong1");
        let said = String::from_utf8_lossy(&wrong.stdout).into_owned();
        assert!(!wrong.status.success() && said.contains(words), "{name}: {said}");
    }
}

#[test]
fn a_truststore_holds_each_authority_once_and_nothing_else() {
    let site = site();
    let fields = site.fields("EC", "pkcs8");
    for (kind, name) in [(KeystoreKind::Pkcs12, "trust.p12"), (KeystoreKind::Jks, "trust.jks")] {
        site.place(name, &made(kind, Entries::Trust, &fields, PASSWORD).unwrap());
        let said = text(site.keytool(&["-list", "-rfc", "-keystore", name], PASSWORD));
        assert_eq!(said.matches("Entry type: trustedCertEntry").count(), DEPTH, "{name}: {said}");
        let mut found = blocks(&said, "CERTIFICATE");
        let mut wanted = chain(site, "EC").split_off(1);
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{name}: {said}");
        for alias in ["web", "web-2", &format!("web-{DEPTH}")] {
            assert!(said.contains(&format!("Alias name: {alias}\n")), "{name}: {said}");
        }
    }
    let without = text(site.run("keytool", &["-list", "-keystore", "trust.p12"], ""));
    assert_eq!(without.matches("trustedCertEntry").count(), DEPTH, "also without a password: {without}");
}

#[test]
fn the_same_gives_the_same_bytes_and_another_key_alias_or_password_gives_others() {
    let site = site();
    let fields = site.fields("RSA", "pkcs8");
    for kind in [KeystoreKind::Pkcs12, KeystoreKind::Jks] {
        let one = made(kind, Entries::Key, &fields, PASSWORD).unwrap();
        assert_eq!(one, made(kind, Entries::Key, &site.fields("RSA", "old"), PASSWORD).unwrap());
        assert_ne!(one, made(kind, Entries::Key, &site.fields("EC", "old"), PASSWORD).unwrap());
        assert_ne!(one, made(kind, Entries::Key, &fields, "another").unwrap());
        let renamed = Keystore { alias: "other".to_owned(), ..keystore(kind, Entries::Key) };
        let password = SecretBytes::from_text(PASSWORD.to_owned());
        assert_ne!(one, write(&renamed, &fields, &password).unwrap());
    }
}

#[test]
fn no_part_of_the_key_stands_in_the_file_as_it_is() {
    let site = site();
    let fields = site.fields("RSA", "pkcs8");
    let key = STANDARD.decode(blocks(&site.read("RSA.key"), "PRIVATE KEY").concat()).unwrap();
    // The first third of a key is the public half, which stands in the certificate too.
    let secret = &key[key.len() / 2..];
    for kind in [KeystoreKind::Pkcs12, KeystoreKind::Jks] {
        let made = made(kind, Entries::Key, &fields, PASSWORD).unwrap();
        for part in secret.chunks_exact(8) {
            assert!(!made.expose().windows(8).any(|window| window == part), "{kind:?}");
        }
    }
}

#[test]
fn jks_takes_a_password_beyond_ascii_and_for_pkcs12_it_is_refused_since_no_jvm_opens_it() {
    let (site, fields) = (site(), site().fields("EC", "pkcs8"));
    let password = "pässwörd-канарейка-😀";
    site.place("unicode.jks", &made(KeystoreKind::Jks, Entries::Key, &fields, password).unwrap());
    let said = text(site.keytool(&["-list", "-keystore", "unicode.jks"], password));
    assert!(said.contains("PrivateKeyEntry"), "{said}");
    let why = made(KeystoreKind::Pkcs12, Entries::Key, &fields, password).unwrap_err();
    assert!(why.contains("not in ASCII") && why.contains("format: jks"), "{why}");
}

#[test]
fn what_a_secret_lacks_or_holds_damaged_is_said_by_its_names() {
    let (site, whole) = (site(), site().fields("EC", "pkcs8"));
    let with = |changes: &[(&str, &str)]| {
        let mut fields = Fields::new();
        for (name, field) in whole.iter() {
            match changes.iter().find(|(changed, _)| *changed == name) {
                Some((_, "")) => {}
                Some((_, text)) => fields.insert_text(name, (*text).to_owned()),
                None => fields
                    .insert(name, Field { bytes: SecretBytes::new(field.bytes.expose().to_vec()), ..*field }),
            }
        }
        fields
    };
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nY2FuYXJ5\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let damaged = "-----BEGIN CERTIFICATE-----\nY2FuYXJ5canary\n-----END CERTIFICATE-----\n";
    let leaf = site.read("EC.pem");
    for (fields, entries, why) in [
        (
            with(&[("private_key", "")]),
            Entries::Key,
            "secret \"cert\" has no field \"private_key\": it has ca_chain, certificate, issuing_ca, serial_number (nor \
             \"tls.key\")",
        ),
        (
            with(&[("certificate", "")]),
            Entries::Key,
            "secret \"cert\" has no field \"certificate\": it has ca_chain, ",
        ),
        (
            with(&[("private_key", "canary")]),
            Entries::Key,
            "field \"private_key\" of secret \"cert\" holds no private key",
        ),
        (
            with(&[("certificate", "canary")]),
            Entries::Key,
            "field \"certificate\" of secret \"cert\" holds no certificate",
        ),
        (
            with(&[("certificate", damaged)]),
            Entries::Key,
            "field \"certificate\" of secret \"cert\" holds a block of PEM",
        ),
        (
            with(&[("private_key", encrypted)]),
            Entries::Key,
            "field \"private_key\" of secret \"cert\" is encrypted",
        ),
        (
            with(&[("private_key", &site.read("RSA.key"))]),
            Entries::Key,
            "field \"private_key\" of secret \"cert\" is not the key of the first certificate in \"certificate\"",
        ),
        (
            with(&[("private_key", &site.read("ca0.key"))]),
            Entries::Key,
            "field \"private_key\" of secret \"cert\" is not the key of the first certificate in \"certificate\"",
        ),
        (
            with(&[("ca_chain", ""), ("issuing_ca", &leaf)]),
            Entries::Trust,
            "secret \"cert\" holds no certificate of an authority",
        ),
        (
            with(&[("ca_chain", ""), ("issuing_ca", ""), ("certificate", "")]),
            Entries::Trust,
            "secret \"cert\" has no field \"ca_chain\": it has private_key, serial_number (looked for: ca_chain, ",
        ),
    ] {
        let error = made(KeystoreKind::Pkcs12, entries, &fields, PASSWORD).unwrap_err();
        assert!(error.starts_with(why), "{error}\n{why}");
    }
    for (password, why) in [("", "empty"), ("canary\n", "line break")] {
        let error = made(KeystoreKind::Jks, Entries::Key, &whole, password).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_bundle_and_the_names_of_a_kubernetes_secret_are_taken_too() {
    let (site, wanted) = (site(), site().fields("RSA", "pkcs8"));
    let wanted = made(KeystoreKind::Pkcs12, Entries::Key, &wanted, PASSWORD).unwrap();
    let (key, leaf, issuers) = (site.read("RSA.key"), site.read("RSA.pem"), site.issuers.concat());
    let mut bundle = Fields::new();
    bundle.insert_text("certificate", format!("{key}{leaf}{issuers}"));
    let mut kubernetes = Fields::new();
    kubernetes.insert_text("tls.key", key.clone());
    kubernetes.insert_text("tls.crt", format!("{leaf}{issuers}"));
    kubernetes.insert_text("ca.crt", site.issuers[DEPTH - 1].clone());
    for fields in [bundle, kubernetes] {
        assert_eq!(made(KeystoreKind::Pkcs12, Entries::Key, &fields, PASSWORD).unwrap(), wanted);
    }
}
