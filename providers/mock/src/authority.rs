//! The mock's certificate authority: a root, an intermediate below it, and what that signs. Its
//! certificates are real ones of keys made on the spot, so that a TLS server starts with them; they
//! are trusted by nobody who was not given the root.
//!
//! Keys come from the system's randomness: the same seed gives the same serial numbers, not the
//! same keys.

use std::net::IpAddr;
use std::time::Duration;

use leasehold_core::{Fields, Kind};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::request::{PublicKey, public_key};

/// How long before its making a certificate begins: clocks differ.
const BEFORE: Duration = Duration::from_secs(30);
/// How long the authority itself lives.
const AUTHORITY: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// Who signs.
pub(crate) struct Authority {
    root: String,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

/// What is to be signed.
pub(crate) struct Asked<'a> {
    /// The secret's `data`.
    pub(crate) data: &'a Map<String, Value>,
    /// Whom it is for where `data` names nobody.
    pub(crate) role: &'a str,
    /// The serial number.
    pub(crate) serial: [u8; 20],
    /// Since 1970.
    pub(crate) now: Duration,
    /// How long it is to live.
    pub(crate) ttl: Duration,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// Makes its keys and certificates. `now`: since 1970.
    pub(crate) fn new(now: Duration) -> Result<Self, Failure> {
        let root = CertifiedIssuer::self_signed(authority("mock root", now), key()?).map_err(failed)?;
        let intermediate =
            CertifiedIssuer::signed_by(authority("mock intermediate", now), key()?, &root).map_err(failed)?;
        Ok(Self { root: trimmed(root.pem()), intermediate })
    }

    /// Signs; with a `csr` in `data`, the key in it, else one that is made here. The fields are
    /// those of Vault's PKI.
    pub(crate) fn sign(&self, asked: &Asked<'_>) -> Result<Fields, Failure> {
        let text = |name: &str| asked.data.get(name).and_then(Value::as_str);
        let mut params = CertificateParams::default();
        let common_name = text("common_name").unwrap_or(asked.role);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = names(common_name, asked.data)?;
        params.serial_number = Some(SerialNumber::from_slice(&asked.serial));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyAgreement];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let end = asked.now + asked.ttl;
        lives(&mut params, asked.now.saturating_sub(BEFORE), end);

        let intermediate = trimmed(self.intermediate.pem());
        let mut fields = Fields::new();
        let (certificate, private_key) = match text("csr") {
            Some(request) => {
                let key: PublicKey = public_key(request).ok_or_else(|| {
                    let lacks = "data.csr is no certificate request in PEM for a key of EC P-256 or P-384, RSA or Ed25519";
                    Failure::new(Kind::Invalid, lacks)
                })?;
                (params.signed_by(&key, &self.intermediate).map_err(failed)?, None)
            }
            None => {
                let key = key()?;
                let certificate = params.signed_by(&key, &self.intermediate).map_err(failed)?;
                (certificate, Some(trimmed(key.serialize_pem())))
            }
        };
        let mut certificate = trimmed(certificate.pem());
        if text("format") == Some("pem_bundle") {
            let parts = private_key.iter().chain([&certificate, &intermediate]);
            certificate = parts.map(String::as_str).collect::<Vec<_>>().join("\n");
        }
        if let Some(private_key) = private_key {
            fields.insert_text("private_key", private_key);
            fields.insert_text("private_key_type", "ec".to_owned());
        }
        fields.insert_text("certificate", certificate);
        fields.insert_json("ca_chain", json!([intermediate, self.root]));
        fields.insert_text("issuing_ca", intermediate);
        fields.insert_text("serial_number", shown(&asked.serial));
        fields.insert_json("expiration", json!(end.as_secs()));
        Ok(fields)
    }
}

/// A serial number as Vault writes it.
pub(crate) fn shown(serial: &[u8; 20]) -> String {
    serial.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn authority(name: &str, now: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    lives(&mut params, now.saturating_sub(BEFORE), now + AUTHORITY);
    params
}

/// The names that it is good for: the common name unless `exclude_cn_from_sans` says no,
/// `alt_names` and `ip_sans`, each a list or words with commas.
fn names(common_name: &str, data: &Map<String, Value>) -> Result<Vec<SanType>, Failure> {
    let excluded = data
        .get("exclude_cn_from_sans")
        .is_some_and(|value| value.as_bool().unwrap_or_else(|| value.as_str() == Some("true")));
    let mut words: Vec<String> = if excluded { Vec::new() } else { vec![common_name.to_owned()] };
    words.extend(listed(data.get("alt_names")));
    words.extend(listed(data.get("ip_sans")));
    let mut names = Vec::new();
    for word in words {
        let name = match word.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) if word.contains('@') => SanType::Rfc822Name(word.as_str().try_into().map_err(unnamed)?),
            // A common name may be words that are no host's name.
            Err(_) if word.contains(char::is_whitespace) => continue,
            Err(_) => SanType::DnsName(word.as_str().try_into().map_err(unnamed)?),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn listed(value: Option<&Value>) -> Vec<String> {
    let words: Vec<&str> = match value {
        Some(Value::String(words)) => words.split(',').collect(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    words.into_iter().map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// When it begins and ends, both since 1970.
fn lives(params: &mut CertificateParams, from: Duration, to: Duration) {
    let at = |since: Duration| date_time_ymd(1970, 1, 1) + Duration::from_secs(since.as_secs());
    (params.not_before, params.not_after) = (at(from), at(to));
}

fn key() -> Result<KeyPair, Failure> {
    KeyPair::generate().map_err(failed)
}

/// As Vault gives it: without a line break at its end.
fn trimmed(pem: String) -> String {
    pem.trim_end().to_owned()
}

fn failed(_: rcgen::Error) -> Failure {
    Failure::new(Kind::Internal, "the mock's authority could not sign")
}

fn unnamed(_: rcgen::Error) -> Failure {
    Failure::new(Kind::Invalid, "common_name and alt_names of data hold letters that no host's name has")
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::PublicKeyData;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_790_000_000);

    fn sign(authority: &Authority, data: Value) -> Result<Fields, Failure> {
        let data = data.as_object().unwrap();
        let ttl = Duration::from_secs(60);
        authority.sign(&Asked { data, role: "web", serial: [0x55; 20], now: NOW, ttl })
    }

    fn text(fields: &Fields, name: &str) -> String {
        fields.get(name).unwrap_or_else(|| panic!("{name}")).bytes.expose_text().unwrap().to_owned()
    }

    fn der(pem: &str) -> Vec<u8> {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        STANDARD.decode(body).unwrap()
    }

    fn holds(der: &[u8], part: &[u8]) -> bool {
        der.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn a_certificate_is_of_its_key_and_of_all_names_that_were_asked_for() {
        let authority = Authority::new(NOW).unwrap();
        let data = json!({ "common_name": "web.svc", "alt_names": "a.svc, b.svc", "ip_sans": ["127.0.0.1"] });
        let fields = sign(&authority, data).unwrap();
        let key = KeyPair::from_pem(&text(&fields, "private_key")).unwrap();
        let certificate = der(&text(&fields, "certificate"));
        assert!(holds(&certificate, &key.subject_public_key_info()));
        for name in [&b"web.svc"[..], b"a.svc", b"b.svc", &[0x87, 4, 127, 0, 0, 1], &[0x55; 20]] {
            assert!(holds(&certificate, name), "{name:?}");
        }
        assert_eq!(text(&fields, "serial_number"), shown(&[0x55; 20]));
        let expiration = (NOW + Duration::from_secs(60)).as_secs().to_string();
        assert_eq!(text(&fields, "expiration"), expiration);
        let chain: Vec<String> = serde_json::from_str(&text(&fields, "ca_chain")).unwrap();
        assert_eq!((chain.len(), &chain[0]), (2, &text(&fields, "issuing_ca")));
        assert!(!text(&fields, "certificate").ends_with('\n'), "as Vault gives it");
    }

    #[test]
    fn a_request_is_signed_for_its_own_key_and_no_key_is_handed_out() {
        let authority = Authority::new(NOW).unwrap();
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
        let fields = sign(&authority, json!({ "common_name": "web.svc", "csr": csr })).unwrap();
        assert!(holds(&der(&text(&fields, "certificate")), &key.subject_public_key_info()));
        assert!(fields.get("private_key").is_none());
    }

    #[test]
    fn a_bundle_holds_key_certificate_and_issuer() {
        let authority = Authority::new(NOW).unwrap();
        let fields = sign(&authority, json!({ "format": "pem_bundle" })).unwrap();
        let bundle = text(&fields, "certificate");
        assert!(bundle.starts_with(&text(&fields, "private_key")), "the key comes first");
        assert!(bundle.ends_with(&text(&fields, "issuing_ca")));
        assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2);
    }

    #[test]
    fn what_cannot_be_signed_is_the_requests_fault() {
        let authority = Authority::new(NOW).unwrap();
        for data in [json!({ "csr": "none" }), json!({ "common_name": "süß.svc" })] {
            let failure = sign(&authority, data).unwrap_err();
            assert_eq!(failure.kind, Kind::Invalid, "{}", failure.detail);
        }
    }
}
