//! What goes into a keystore, from the fields of a secret: those of Vault's PKI, and those of a TLS secret of
//! Kubernetes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_core::{Field, Fields, Shape};
use zeroize::Zeroizing;

use super::super::{no_field, pem};
use super::key::{Fits, PrivateKey};
use super::x509::Certificate;
use crate::der::Der;

/// Where a private key is looked for, the first that there is.
const KEYS: [&str; 2] = ["private_key", "tls.key"];
/// Where a certificate is looked for, the first that there is.
const CERTIFICATES: [&str; 2] = ["certificate", "tls.crt"];
/// Where its issuers are looked for, all of them.
const ISSUERS: [&str; 3] = ["ca_chain", "issuing_ca", "ca.crt"];

/// The entries of a keystore.
pub(super) enum Material {
    Key(KeyEntry),
    Trust(Vec<Certificate>),
}

/// A private key with its certificate and that one's issuers.
pub(super) struct KeyEntry {
    pub(super) key: PrivateKey,
    /// The certificate of the key first.
    pub(super) chain: Vec<Certificate>,
}

impl Material {
    /// All certificates, in order.
    pub(super) fn certificates(&self) -> &[Certificate] {
        match self {
            Self::Key(entry) => &entry.chain,
            Self::Trust(certificates) => certificates,
        }
    }

    /// What the salts of a keystore with these entries are drawn from.
    pub(super) fn content(&self, alias: &str) -> Zeroizing<Vec<u8>> {
        let key = match self {
            Self::Key(entry) => entry.key.bytes(),
            Self::Trust(_) => &[],
        };
        let certificates = self.certificates().iter().map(Certificate::bytes);
        let parts: Vec<&[u8]> = [alias.as_bytes(), key].into_iter().chain(certificates).collect();
        let mut content = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum()));
        for part in parts {
            content.extend_from_slice(&(part.len() as u64).to_be_bytes());
            content.extend_from_slice(part);
        }
        content
    }
}

impl KeyEntry {
    pub(super) fn of(secret: &str, fields: &Fields) -> Result<Self, String> {
        let (of_certificate, mut found) = match first(fields, CERTIFICATES) {
            Some((name, field)) => (name, blocks(secret, name, field)?),
            None => return Err(lacking(secret, CERTIFICATES, fields)),
        };
        let mut of_key = of_certificate;
        if let Some((name, field)) = first(fields, KEYS) {
            of_key = name;
            // A bundle in the field of the certificate begins with the same key again.
            found.keys = blocks(secret, name, field)?.keys;
        }
        let key = match found.keys.len() {
            0 if of_key == of_certificate => return Err(lacking(secret, KEYS, fields)),
            0 => return Err(refused(secret, of_key, "holds no private key in PEM")),
            1 => found.keys.remove(0),
            _ => return Err(refused(secret, of_key, "holds several private keys, and an entry has one")),
        };
        if found.certificates.is_empty() {
            return Err(refused(secret, of_certificate, "holds no certificate in PEM"));
        }
        if key.fits(&found.certificates[0]) == Fits::No {
            return Err(format!(
                "field {of_key:?} of secret {secret:?} is not the key of the first certificate in \
                 {of_certificate:?}"
            ));
        }
        let mut chain = Vec::new();
        found.certificates.into_iter().for_each(|certificate| add(&mut chain, certificate));
        for (name, field) in all(fields, &ISSUERS) {
            blocks(secret, name, field)?.certificates.into_iter().for_each(|issuer| add(&mut chain, issuer));
        }
        Ok(Self { key, chain })
    }
}

/// The authorities among the certificates of a secret.
pub(super) fn trusted(secret: &str, fields: &Fields) -> Result<Vec<Certificate>, String> {
    let names = [&ISSUERS[..], &CERTIFICATES[..]].concat();
    let mut trusted = Vec::new();
    for (name, field) in all(fields, &names) {
        let certificates = blocks(secret, name, field)?.certificates;
        certificates.into_iter().filter(Certificate::is_authority).for_each(|one| add(&mut trusted, one));
    }
    match trusted.is_empty() {
        false => Ok(trusted),
        true if all(fields, &names).next().is_none() => {
            let lacking = no_field(&format!("secret {secret:?}"), ISSUERS[0], fields.names());
            Err(format!("{lacking} (looked for: {})", names.join(", ")))
        }
        true => {
            let there: Vec<&str> = all(fields, &names).map(|(name, _)| name).collect();
            Err(format!(
                "secret {secret:?} holds no certificate of an authority, which is all that a truststore takes; looked \
                 at: {}",
                there.join(", ")
            ))
        }
    }
}

fn first<'a, const N: usize>(
    fields: &'a Fields,
    names: [&'static str; N],
) -> Option<(&'static str, &'a Field)> {
    names.into_iter().find_map(|name| Some((name, fields.get(name)?)))
}

fn all<'a>(fields: &'a Fields, names: &[&'static str]) -> impl Iterator<Item = (&'static str, &'a Field)> {
    names.iter().filter_map(|&name| Some((name, fields.get(name)?)))
}

/// Once, wherever it comes up again.
fn add(certificates: &mut Vec<Certificate>, one: Certificate) {
    if !certificates.iter().any(|known| known.bytes() == one.bytes()) {
        certificates.push(one);
    }
}

fn lacking(secret: &str, names: [&str; 2], fields: &Fields) -> String {
    let lacking = no_field(&format!("secret {secret:?}"), names[0], fields.names());
    format!("{lacking} (nor {:?}): `entries: key` needs both a key and a certificate", names[1])
}

fn refused(secret: &str, field: &str, why: &str) -> String {
    format!("field {field:?} of secret {secret:?} {why}")
}

/// What is in a field.
#[derive(Default)]
struct Found {
    keys: Vec<PrivateKey>,
    certificates: Vec<Certificate>,
}

fn blocks(secret: &str, name: &str, field: &Field) -> Result<Found, String> {
    let refuse = |why: &str| refused(secret, name, why);
    let Some(text) = field.bytes.expose_text() else {
        return Err(refuse("is binary, and a keystore is made of PEM"));
    };
    let mut found = Found::default();
    if field.shape != Shape::Json {
        collect(text, &mut found).map_err(refuse)?;
        return Ok(found);
    }
    match serde_json::from_str(text) {
        // Vault's list of issuers.
        Ok(serde_json::Value::Array(items)) => {
            for item in items {
                collect(item.as_str().unwrap_or_default(), &mut found).map_err(refuse)?;
            }
            Ok(found)
        }
        Ok(serde_json::Value::Null) => Ok(found),
        _ => Err(refuse("is neither a text nor a list of texts, and a keystore is made of PEM")),
    }
}

fn collect(text: &str, found: &mut Found) -> Result<(), &'static str> {
    for block in pem::blocks(text)? {
        if block.label == "CERTIFICATE" {
            let der = decoded(&block)?;
            found.certificates.push(Certificate::new(der).ok_or("holds a certificate that is none")?);
        } else if block.label.ends_with("PRIVATE KEY") {
            if block.text.contains("Proc-Type:") {
                return Err("is encrypted: the store has to give it in plain");
            }
            found.keys.push(PrivateKey::new(&block.label, &decoded(&block)?)?);
        }
    }
    Ok(())
}

/// What stands in a block.
fn decoded(block: &pem::Block) -> Result<Der, &'static str> {
    const DAMAGED: &str = "holds a block of PEM that is damaged";
    let frame = |edge: &str| format!("-----{edge} {}-----", block.label).len();
    let text = block.text.trim_end();
    let body = text.get(frame("BEGIN")..text.len() - frame("END")).ok_or(DAMAGED)?;
    let mut base64 = Zeroizing::new(Vec::with_capacity(body.len()));
    base64.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut bytes = Zeroizing::new(vec![0; base64.len() / 4 * 3 + 3]);
    let length = STANDARD.decode_slice(&*base64, &mut bytes).map_err(|_| DAMAGED)?;
    bytes.truncate(length);
    Ok(Der::of(std::mem::take(&mut *bytes)))
}
