//! The cryptography of keystores, and the one place here that names its crates.

use std::num::NonZeroU32;

use aes::Aes256;
use cbc::Encryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeEncrypt as _, KeyIvInit as _};
use ring::{digest, hmac, pbkdf2};
use zeroize::Zeroizing;

use crate::der::Der;

/// How often a password is hashed: as Java's own `keytool` does.
pub(super) const ITERATIONS: u32 = 10_000;

const BLOCK: usize = 16;

/// Bytes that follow from a label and a content, for salts and the like.
pub(super) fn drawn<const N: usize>(label: &str, content: &[u8]) -> [u8; N] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, label.as_bytes());
    let tag = hmac::sign(&key, content);
    let mut drawn = [0; N];
    let length = N.min(tag.as_ref().len());
    drawn[..length].copy_from_slice(&tag.as_ref()[..length]);
    drawn
}

/// AES-256 in CBC mode, the key made of the password by PBKDF2 over HMAC-SHA256.
pub(super) fn encrypt(password: &str, salt: &[u8], iv: &[u8; BLOCK], plain: &[u8]) -> Option<Der> {
    let mut key = Zeroizing::new([0; 32]);
    let rounds = NonZeroU32::new(ITERATIONS)?;
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut *key);
    let mut buffer = Zeroizing::new(vec![0; plain.len() + BLOCK - plain.len() % BLOCK]);
    buffer[..plain.len()].copy_from_slice(plain);
    let cipher = Encryptor::<Aes256>::new((&*key).into(), iv.into());
    cipher.encrypt_padded::<Pkcs7>(&mut buffer, plain.len()).ok()?;
    Some(Der::of(std::mem::take(&mut *buffer)))
}

/// The MAC of PKCS#12 (RFC 7292, appendix B) with SHA-256. `password`: UTF-16 with its two zero bytes.
pub(super) fn mac(password: &[u8], salt: &[u8], content: &[u8]) -> Vec<u8> {
    const FOR_A_MAC: u8 = 3;
    const CHUNK: usize = 64;
    let filled = |bytes: &[u8]| -> Zeroizing<Vec<u8>> {
        let length = bytes.len().div_ceil(CHUNK) * CHUNK;
        let mut filled = Zeroizing::new(Vec::with_capacity(length));
        filled.extend(bytes.iter().copied().cycle().take(length));
        filled
    };
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&[FOR_A_MAC; CHUNK]);
    context.update(&filled(salt));
    context.update(&filled(password));
    let mut key = Zeroizing::new([0; digest::SHA256_OUTPUT_LEN]);
    key.copy_from_slice(context.finish().as_ref());
    for _ in 1..ITERATIONS {
        let next = digest::digest(&digest::SHA256, &*key);
        key.copy_from_slice(next.as_ref());
    }
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*key), content).as_ref().to_vec()
}

/// SHA-1 of all parts together. Only what JKS prescribes hangs on it.
pub(super) fn sha1(parts: &[&[u8]]) -> Zeroizing<[u8; digest::SHA1_OUTPUT_LEN]> {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = Zeroizing::new([0; digest::SHA1_OUTPUT_LEN]);
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
