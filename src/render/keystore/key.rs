//! Private keys: whichever of the three forms they come in, PKCS#8 goes into the keystore.

use super::x509::Certificate;
use crate::der::{self, Der, Reader};

/// A private key, as PKCS#8 of its first version: what every JVM reads.
pub(super) struct PrivateKey {
    pkcs8: Der,
}

/// Whether a key is that of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fits {
    Yes,
    No,
    /// The key does not say enough.
    Unknown,
}

const RSA: [u32; 7] = [1, 2, 840, 113549, 1, 1, 1];
const EC: [u32; 6] = [1, 2, 840, 10045, 2, 1];

impl PrivateKey {
    /// From what stood in a block of PEM with this label. The error says what is wrong with it.
    pub(super) fn new(label: &str, der: &Der) -> Result<Self, &'static str> {
        let pkcs8 = match label {
            "PRIVATE KEY" => renewed(der),
            "RSA PRIVATE KEY" => of_pkcs1(der),
            "EC PRIVATE KEY" => of_sec1(der),
            "ENCRYPTED PRIVATE KEY" => return Err("is encrypted: the store has to give it in plain"),
            _ => return Err("is of a kind that no keystore takes (PKCS#8, PKCS#1 and SEC 1 are taken)"),
        };
        pkcs8.map(|pkcs8| Self { pkcs8 }).ok_or("is damaged, or an EC key that does not name its curve")
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.pkcs8.bytes()
    }

    pub(super) fn fits(&self, certificate: &Certificate) -> Fits {
        let fits = || {
            let (algorithm, key) = opened(&self.pkcs8)?;
            let (certified, bits) = certificate.public_key()?;
            let kind = |algorithm| Some(Reader::new(algorithm).take(der::OBJECT_IDENTIFIER)?.whole);
            let kind_of_key = kind(algorithm)?;
            if kind_of_key != kind(certified)? {
                return Some(false);
            }
            if kind_of_key == der::oid(&RSA).bytes() {
                return Some(
                    rsa_modulus(key)? == Reader::inside(bits, der::SEQUENCE)?.take(der::INTEGER)?.content,
                );
            }
            (kind_of_key == der::oid(&EC).bytes()).then_some(())?;
            Some(ec_point(key)? == bits)
        };
        match fits() {
            Some(true) => Fits::Yes,
            Some(false) => Fits::No,
            None => Fits::Unknown,
        }
    }
}

fn pkcs8(algorithm: &[u8], key: &[u8]) -> Der {
    let algorithm = der::sequence(&[algorithm]);
    der::sequence(&[der::integer(0).bytes(), algorithm.bytes(), der::octets(key).bytes()])
}

/// The contents of the algorithm, and the key in its own form.
fn opened(pkcs8: &Der) -> Option<(&[u8], &[u8])> {
    let mut inside = Reader::inside(pkcs8.bytes(), der::SEQUENCE)?;
    inside.take(der::INTEGER)?;
    let algorithm = inside.take(der::SEQUENCE)?.content;
    Some((algorithm, inside.take(der::OCTET_STRING)?.content))
}

/// Without attributes and public key, which old JVMs do not expect there.
fn renewed(der: &Der) -> Option<Der> {
    let (algorithm, key) = opened(der)?;
    Reader::new(algorithm).take(der::OBJECT_IDENTIFIER)?;
    Some(pkcs8(algorithm, key))
}

fn of_pkcs1(key: &Der) -> Option<Der> {
    rsa_modulus(key.bytes())?;
    let algorithm = [der::oid(&RSA), der::element(der::NULL, &[])];
    Some(pkcs8(&[algorithm[0].bytes(), algorithm[1].bytes()].concat(), key.bytes()))
}

fn of_sec1(key: &Der) -> Option<Der> {
    let mut inside = after_ec_number(key.bytes())?;
    let curve = Reader::inside(inside.take(der::CONTEXT_0)?.whole, der::CONTEXT_0)?.next()?.whole;
    Some(pkcs8(&[der::oid(&EC).bytes(), curve].concat(), key.bytes()))
}

/// Of a key in the form of PKCS#1.
fn rsa_modulus(key: &[u8]) -> Option<&[u8]> {
    let mut inside = Reader::inside(key, der::SEQUENCE)?;
    inside.take(der::INTEGER)?; // version
    Some(inside.take(der::INTEGER)?.content)
}

fn after_ec_number(key: &[u8]) -> Option<Reader<'_>> {
    let mut inside = Reader::inside(key, der::SEQUENCE)?;
    inside.take(der::INTEGER)?; // version
    inside.take(der::OCTET_STRING)?; // the secret number
    Some(inside)
}

/// The public point, of a key in the form of SEC 1 that holds it.
fn ec_point(key: &[u8]) -> Option<&[u8]> {
    let mut inside = after_ec_number(key)?;
    inside.optional(der::CONTEXT_0); // curve
    let bits = Reader::new(inside.take(der::CONTEXT_1)?.content).take(der::BIT_STRING)?.content;
    bits.split_first().map(|(_, point)| point)
}
