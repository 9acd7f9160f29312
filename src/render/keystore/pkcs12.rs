//! PKCS#12 (RFC 7292) as Java writes it today: the key under AES-256 with PBKDF2 over HMAC-SHA256, all of it
//! under an HMAC-SHA256. Read by OpenSSL 1.1 and later, and by Java from 8u301, 11.0.12 and 17 on.
//!
//! Certificates are not encrypted: whoever connects is shown them, and a JVM that is given a truststore and no
//! password sees what is in it, instead of nothing at all.

use super::crypto::{ITERATIONS, drawn, encrypt, mac};
use super::material::Material;
use super::x509::Certificate;
use crate::der::{self, Der, element, integer, octets, oid, sequence, utf16};

const DATA: [u32; 7] = [1, 2, 840, 113549, 1, 7, 1];
const SHROUDED_KEY: [u32; 9] = [1, 2, 840, 113549, 1, 12, 10, 1, 2];
const CERTIFICATE_BAG: [u32; 9] = [1, 2, 840, 113549, 1, 12, 10, 1, 3];
const X509: [u32; 8] = [1, 2, 840, 113549, 1, 9, 22, 1];
const FRIENDLY_NAME: [u32; 7] = [1, 2, 840, 113549, 1, 9, 20];
const LOCAL_KEY_ID: [u32; 7] = [1, 2, 840, 113549, 1, 9, 21];
/// Java's own mark of a certificate that is an entry by itself: without it there is none.
const TRUSTED_KEY_USAGE: [u32; 8] = [2, 16, 840, 1, 113894, 746875, 1, 1];
const ANY_USAGE: [u32; 5] = [2, 5, 29, 37, 0];
const PBES2: [u32; 7] = [1, 2, 840, 113549, 1, 5, 13];
const PBKDF2: [u32; 7] = [1, 2, 840, 113549, 1, 5, 12];
const HMAC_SHA256: [u32; 6] = [1, 2, 840, 113549, 2, 9];
const AES_256_CBC: [u32; 9] = [2, 16, 840, 1, 101, 3, 4, 1, 42];
const SHA256: [u32; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 1];

/// Bytes of a salt.
const SALT: usize = 20;

pub(super) fn write(material: &Material, alias: &str, password: &str) -> Option<Der> {
    let content = material.content(alias);
    let mut safes = Vec::new();
    let certificates = match material {
        Material::Key(entry) => {
            // Java reads the entry's date from it, and finds the certificate of the key by it.
            let id = format!("Time {}", entry.chain.first()?.begin()).into_bytes();
            let marks = attributes(&[name(alias), attribute(&LOCAL_KEY_ID, &octets(&id))]);
            let key = shrouded(password, &content, entry.key.bytes())?;
            safes.push(data(&sequence(&[bag(&SHROUDED_KEY, &key, &marks).bytes()])));
            let own = |index: usize| if index == 0 { marks.bytes().to_vec() } else { Vec::new() };
            let bags = entry.chain.iter().enumerate();
            bags.map(|(index, one)| certificate(one, &Der::of(own(index)))).collect::<Vec<Der>>()
        }
        Material::Trust(trusted) => {
            let aliases = super::aliases(alias, trusted.len());
            let entry = |(one, alias): (&Certificate, &String)| {
                certificate(one, &attributes(&[name(alias), attribute(&TRUSTED_KEY_USAGE, &oid(&ANY_USAGE))]))
            };
            trusted.iter().zip(&aliases).map(entry).collect()
        }
    };
    let certificates: Vec<&[u8]> = certificates.iter().map(Der::bytes).collect();
    safes.push(data(&sequence(&certificates)));
    let safes: Vec<&[u8]> = safes.iter().map(Der::bytes).collect();
    let safe = sequence(&safes);
    let mac = sealed(password, &content, safe.bytes());
    Some(sequence(&[integer(3).bytes(), data(&safe).bytes(), mac.bytes()]))
}

/// A `ContentInfo` of plain bytes.
fn data(content: &Der) -> Der {
    let content = element(der::CONTEXT_0, &[octets(content.bytes()).bytes()]);
    sequence(&[oid(&DATA).bytes(), content.bytes()])
}

fn bag(kind: &[u32], value: &Der, attributes: &Der) -> Der {
    let value = element(der::CONTEXT_0, &[value.bytes()]);
    sequence(&[oid(kind).bytes(), value.bytes(), attributes.bytes()])
}

fn certificate(certificate: &Certificate, attributes: &Der) -> Der {
    let value = element(der::CONTEXT_0, &[octets(certificate.bytes()).bytes()]);
    bag(&CERTIFICATE_BAG, &sequence(&[oid(&X509).bytes(), value.bytes()]), attributes)
}

fn attributes(attributes: &[Der]) -> Der {
    element(der::SET, &attributes.iter().map(Der::bytes).collect::<Vec<_>>())
}

fn attribute(kind: &[u32], value: &Der) -> Der {
    sequence(&[oid(kind).bytes(), element(der::SET, &[value.bytes()]).bytes()])
}

fn name(alias: &str) -> Der {
    attribute(&FRIENDLY_NAME, &element(der::BMP_STRING, &[utf16(alias).bytes()]))
}

/// An `EncryptedPrivateKeyInfo`.
fn shrouded(password: &str, content: &[u8], key: &[u8]) -> Option<Der> {
    let salt = drawn::<SALT>("leasehold keystore: salt of the key", content);
    let iv = drawn("leasehold keystore: initial vector of the key", content);
    let encrypted = encrypt(password, &salt, &iv, key)?;
    let prf = sequence(&[oid(&HMAC_SHA256).bytes(), element(der::NULL, &[]).bytes()]);
    let derivation = [octets(&salt), integer(ITERATIONS), integer(32), prf];
    let derivation = sequence(&derivation.each_ref().map(Der::bytes));
    let derivation = sequence(&[oid(&PBKDF2).bytes(), derivation.bytes()]);
    let cipher = sequence(&[oid(&AES_256_CBC).bytes(), octets(&iv).bytes()]);
    let scheme = sequence(&[derivation.bytes(), cipher.bytes()]);
    let scheme = sequence(&[oid(&PBES2).bytes(), scheme.bytes()]);
    Some(sequence(&[scheme.bytes(), octets(encrypted.bytes()).bytes()]))
}

/// `MacData`.
fn sealed(password: &str, content: &[u8], safe: &[u8]) -> Der {
    let salt = drawn::<SALT>("leasehold keystore: salt of the seal", content);
    let password = utf16(&format!("{password}\0"));
    let digest = octets(&mac(password.bytes(), &salt, safe));
    let algorithm = sequence(&[oid(&SHA256).bytes(), element(der::NULL, &[]).bytes()]);
    let digest = sequence(&[algorithm.bytes(), digest.bytes()]);
    sequence(&[digest.bytes(), octets(&salt).bytes(), integer(ITERATIONS).bytes()])
}
