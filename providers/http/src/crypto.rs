//! The one place that names a library of cryptography for TLS and signatures; keystores have one of their
//! own (`render/keystore/crypto.rs`). A build that needs another one (FIPS) puts
//! it here, behind a feature beside `ring`.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::HashAlgorithm;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

#[cfg(not(feature = "ring"))]
compile_error!("no library of cryptography: choose the feature `ring`");

/// Its name, for people.
pub const CRYPTOGRAPHY: &str = "ring";

/// What TLS and signatures are made with.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Signs with an RSA key in PEM form as JWTs do under `RS256` (PKCS #1 v1.5, SHA-256). `None`: it
/// is no such key.
pub fn sign_rs256(key_pem: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    sign(key_pem, SignatureScheme::RSA_PKCS1_SHA256, message)
}

/// The same under `PS256` (PSS, SHA-256).
pub fn sign_ps256(key_pem: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    sign(key_pem, SignatureScheme::RSA_PSS_SHA256, message)
}

/// The SHA-256 digest, as the thumbprint of a certificate. `None`: the library has none.
pub fn sha256(message: &[u8]) -> Option<Vec<u8>> {
    let provider = provider();
    let suites = provider.cipher_suites.iter().filter_map(|suite| suite.tls13());
    let hash = suites
        .map(|suite| suite.common.hash_provider)
        .find(|hash| hash.algorithm() == HashAlgorithm::SHA256)?;
    Some(hash.hash(message).as_ref().to_vec())
}

fn sign(key_pem: &[u8], scheme: SignatureScheme, message: &[u8]) -> Option<Vec<u8>> {
    let key = PrivateKeyDer::from_pem_slice(key_pem).ok()?;
    let key = provider().key_provider.load_private_key(key).ok()?;
    key.choose_scheme(&[scheme])?.sign(message).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_standard() {
        let digest = sha256(b"abc").expect("every library of cryptography has it");
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn what_is_no_rsa_key_signs_nothing() {
        assert_eq!(sign_ps256(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"x"), None);
        assert_eq!(sign_rs256(b"", b"x"), None);
    }
}
