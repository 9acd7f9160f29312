//! The public key of a certificate request (PKCS #10). The rest of it is not asked for: whom a
//! certificate is for stands in the secret's `data`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{PublicKeyData, SignatureAlgorithm};

/// The key that a request asks a certificate for.
pub(crate) struct PublicKey {
    bits: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT: u8 = 0x06;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// The key in a request, PEM. `None`: there is none, or one of another kind.
pub(crate) fn public_key(pem: &str) -> Option<PublicKey> {
    let body: String = pem
        .lines()
        .map(str::trim)
        .skip_while(|line| !line.starts_with("-----BEGIN"))
        .skip(1)
        .take_while(|line| !line.starts_with("-----END"))
        .collect();
    let der = STANDARD.decode(body).ok()?;
    let (request, _) = element(&der, SEQUENCE)?;
    let (info, _) = element(request, SEQUENCE)?;
    let (_version, rest) = element(info, INTEGER)?;
    let (_subject, rest) = element(rest, SEQUENCE)?;
    let (key, _) = element(rest, SEQUENCE)?;
    let (kind, rest) = element(key, SEQUENCE)?;
    let (bits, _) = element(rest, BIT_STRING)?;
    let (kind, parameters) = element(kind, OBJECT)?;
    let algorithm = match kind {
        RSA => &rcgen::PKCS_RSA_SHA256,
        ED25519 => &rcgen::PKCS_ED25519,
        EC => match element(parameters, OBJECT)?.0 {
            P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            _ => return None,
        },
        _ => return None,
    };
    // The first byte counts the bits that are left over: none in a key.
    let (&0, bits) = bits.split_first()? else { return None };
    Some(PublicKey { bits: bits.to_vec(), algorithm })
}

/// The content of the first element, which has to have this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let length = match first {
        0..=0x7f => usize::from(first),
        0x81..=0x83 => {
            let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            rest = after;
            bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    (found == tag).then_some((content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(algorithm: &'static SignatureAlgorithm) -> (rcgen::KeyPair, String) {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec!["web.svc".to_owned()]).unwrap();
        let pem = params.serialize_request(&key).unwrap().pem().unwrap();
        (key, pem)
    }

    #[test]
    fn the_key_of_a_request_is_found() {
        for algorithm in
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
        {
            let (key, pem) = request(algorithm);
            let found = public_key(&pem).unwrap();
            assert_eq!(found.subject_public_key_info(), key.subject_public_key_info(), "{algorithm:?}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused_and_cut_off_ones_do_no_harm() {
        let (_, pem) = request(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert!(public_key("").is_none());
        assert!(public_key("-----BEGIN CERTIFICATE REQUEST-----\n!!\n-----END-----").is_none());
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(body).unwrap();
        for length in 0..der.len() / 2 {
            let cut = STANDARD.encode(&der[..length]);
            assert!(public_key(&format!("-----BEGIN X-----\n{cut}\n-----END X-----")).is_none(), "{length}");
        }
    }
}
