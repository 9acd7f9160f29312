//! What is made, in the eyes of openssl, and what of it leaves.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use leasehold_core::Fields;
use serde_json::json;

use super::*;

const ALL: [KeyKind; 6] = [
    KeyKind::EcP256,
    KeyKind::EcP384,
    KeyKind::Ed25519,
    KeyKind::Rsa2048,
    KeyKind::Rsa3072,
    KeyKind::Rsa4096,
];

/// What openssl prints when it reads this.
#[track_caller]
fn openssl(arguments: &[&str], input: &[u8]) -> String {
    let mut command = Command::new("openssl");
    let piped = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = piped.spawn().expect("openssl is installed");
    running.stdin.take().unwrap().write_all(input).unwrap();
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {said}");
    said
}

fn reference(kind: KeyKind, data: Value) -> SecretRef {
    SecretRef {
        name: "cert".to_owned(),
        path: "pki/sign/web".to_owned(),
        data: data.as_object().cloned(),
        generate_key: Some(kind),
        ..SecretRef::default()
    }
}

fn wanted(reference: &SecretRef) -> [Wanted<'_>; 1] {
    [Wanted { reference, known_version: None }]
}

fn answer(fields: Fields) -> Vec<Result<Fetched, Error>> {
    vec![Ok(Fetched { fields: Some(Arc::new(fields)), ..Fetched::unchanged(None) })]
}

fn sent(prepared: &Prepared<'_>) -> Map {
    prepared.wanted()[0].reference.data.clone().unwrap()
}

type Map = serde_json::Map<String, Value>;

#[tokio::test]
async fn openssl_takes_a_key_of_each_kind_and_its_request_with_every_name() {
    let data = json!({
        "common_name": "web.svc", "alt_names": "b.svc,ops@example.com", "ip_sans": "192.0.2.7,2001:db8::7",
        "uri_sans": "spiffe://example.com/web", "ttl": "24h",
    });
    for kind in ALL {
        let reference = reference(kind, data.clone());
        let prepared = Prepared::new("vault", &wanted(&reference)).await.unwrap();
        let request = sent(&prepared)["csr"].as_str().unwrap().to_owned();
        assert_eq!(sent(&prepared)["ttl"], "24h", "what the configuration says is sent, too");
        let joined = prepared.join(answer(Fields::new())).pop().unwrap().unwrap().fields.unwrap();
        let key = joined.get("private_key").unwrap().bytes.expose().to_vec();
        assert!(key.starts_with(b"-----BEGIN PRIVATE KEY-----\n"), "{kind}: PKCS #8");
        assert!(!key.ends_with(b"\n"), "{kind}: as a PKI gives it");
        assert_eq!(joined.get("private_key_type").unwrap().bytes.expose(), kind.family().as_bytes());

        let checked = openssl(&["pkey", "-check", "-noout"], &key);
        assert!(checked.contains("is valid"), "{kind}: {checked}");
        let verified = openssl(&["req", "-verify", "-noout"], request.as_bytes());
        assert!(verified.contains("verify OK"), "{kind}: {verified}");
        let of_key = openssl(&["pkey", "-pubout"], &key);
        let of_request = openssl(&["req", "-pubkey", "-noout"], request.as_bytes());
        assert_eq!(of_key, of_request, "{kind}");
        let shown = openssl(&["req", "-text", "-noout"], request.as_bytes());
        let subject = shown.replace(" = ", "=");
        assert!(subject.contains("CN=web.svc"), "{kind}: {shown}");
        for name in [
            "DNS:web.svc",
            "DNS:b.svc",
            "email:ops@example.com",
            "URI:spiffe://example.com/web",
            "IP Address:192.0.2.7",
            "IP Address:2001:DB8:0:0:0:0:0:7",
        ] {
            assert!(shown.contains(name), "{kind}: {name} in {shown}");
        }
        let size = kind.as_str().rsplit_once('-').map(|(_, size)| size.trim_start_matches('p').to_owned());
        if let Some(size) = size {
            assert!(shown.contains(&format!("Public-Key: ({size} bit)")), "{kind}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_request_without_names_is_one_all_the_same() {
    let reference = reference(KeyKind::EcP256, json!({}));
    let prepared = Prepared::new("vault", &wanted(&reference)).await.unwrap();
    let request = sent(&prepared)["csr"].as_str().unwrap().to_owned();
    let verified = openssl(&["req", "-verify", "-noout"], request.as_bytes());
    assert!(verified.contains("verify OK"), "{verified}");
}

#[tokio::test]
async fn what_goes_to_the_store_is_the_request_and_never_the_key() {
    for kind in [KeyKind::EcP256, KeyKind::Ed25519, KeyKind::Rsa2048] {
        let reference = reference(kind, json!({ "common_name": "web.svc" }));
        let prepared = Prepared::new("vault", &wanted(&reference)).await.unwrap();
        let sent = Value::Object(sent(&prepared)).to_string();
        let shown = format!("{:?}", prepared.wanted());
        let fields = prepared.join(answer(Fields::new())).pop().unwrap().unwrap().fields.unwrap();
        let key = fields.get("private_key").unwrap().bytes.expose_text().unwrap().to_owned();
        assert!(sent.contains("BEGIN CERTIFICATE REQUEST") && !sent.contains("PRIVATE"), "{kind}");
        // The first line of a key of any kind is the same; the rest is its own.
        for line in key.lines().filter(|line| !line.starts_with('-')).skip(1) {
            assert!(!sent.contains(line) && !shown.contains(line), "{kind}");
        }
    }
}

#[tokio::test]
async fn each_fetch_has_a_key_of_its_own_and_a_failed_one_brings_none() {
    let reference = reference(KeyKind::EcP256, json!({ "common_name": "web.svc" }));
    let one = Prepared::new("vault", &wanted(&reference)).await.unwrap();
    let other = Prepared::new("vault", &wanted(&reference)).await.unwrap();
    assert_ne!(sent(&one)["csr"], sent(&other)["csr"]);
    let error = Error::new(Kind::Unavailable, Operation::Fetch, "vault", "away");
    assert_eq!(one.join(vec![Err(error.clone())]).pop().unwrap().unwrap_err(), error);
    let unchanged = other.join(vec![Ok(Fetched::unchanged(None))]).pop().unwrap().unwrap();
    assert!(unchanged.fields.is_none(), "the old certificate keeps its old key");
}

#[tokio::test]
async fn an_answer_with_a_key_of_the_stores_is_refused() {
    let reference = reference(KeyKind::EcP256, json!({ "common_name": "web.svc" }));
    let prepared = Prepared::new("vault", &wanted(&reference)).await.unwrap();
    let mut fields = Fields::new();
    fields.insert_text("private_key", "canary".to_owned());
    let error = prepared.join(answer(fields)).pop().unwrap().unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    assert_eq!(
        error.to_string(),
        "fetch at provider \"vault\", secret \"cert\" (pki/sign/web): the store made a key of its own, and with \
         generate_key the key is made here: name a path that signs a request (of a PKI, sign/ROLE and not issue/ROLE)"
    );
}

#[tokio::test]
async fn a_certificate_of_another_key_is_refused() {
    let reference = reference(KeyKind::EcP256, json!({ "common_name": "web.svc" }));
    for mine in [true, false] {
        let prepared = Prepared::new("vault", &wanted(&reference)).await.unwrap();
        let One::WithKey { key, .. } = &prepared.each[0] else { panic!("it has a key") };
        let mut public_key = key.public_key.clone();
        if !mine {
            *public_key.last_mut().unwrap() ^= 1;
        }
        let mut fields = Fields::new();
        let pem = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----",
            STANDARD.encode([&[0x30, 0x00][..], &public_key].concat())
        );
        fields.insert_text("certificate", pem);
        let joined = prepared.join(answer(fields)).pop().unwrap();
        assert_eq!(joined.err().map(|error| error.kind), (!mine).then_some(Kind::Malformed));
    }
}

#[tokio::test]
async fn what_wants_no_key_is_asked_for_as_it_stands() {
    let mut reference = reference(KeyKind::EcP256, json!({ "common_name": "web.svc" }));
    reference.generate_key = None;
    let prepared = Prepared::new("vault", &wanted(&reference)).await.unwrap();
    assert!(!sent(&prepared).contains_key("csr"));
    let mut fields = Fields::new();
    fields.insert_text("private_key", "of the store".to_owned());
    let fields = prepared.join(answer(fields)).pop().unwrap().unwrap().fields.unwrap();
    assert_eq!(fields.get("private_key").unwrap().bytes.expose(), b"of the store");
}
