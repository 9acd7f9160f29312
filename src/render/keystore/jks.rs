//! JKS, the keystore that Java had before PKCS#12, for what still asks for it by name. Its protection is weak
//! by design: the key is hidden under a stream of SHA-1 over the password, and the file sealed by one SHA-1.
//! What keeps the file is its mode and that it lies in memory.

use zeroize::Zeroizing;

use super::crypto::{drawn, sha1};
use super::material::{KeyEntry, Material};
use super::x509::Certificate;
use crate::der::{self, Der, element, octets, oid, sequence, utf16};

const MAGIC: u32 = 0xfeed_feed;
const VERSION: u32 = 2;
const PRIVATE_KEY: u32 = 1;
const TRUSTED: u32 = 2;
/// What stands between the password and the content under the seal.
const SEAL: &[u8] = b"Mighty Aphrodite";
const PROTECTOR: [u32; 11] = [1, 3, 6, 1, 4, 1, 42, 2, 17, 1, 1];
const HASH: usize = 20;

pub(super) fn write(material: &Material, alias: &str, password: &str) -> Option<Der> {
    let size: usize = material.certificates().iter().map(|one| one.bytes().len() + 256).sum();
    let mut out = Writer(Zeroizing::new(Vec::with_capacity(size * 2 + 16_384)));
    out.number(MAGIC);
    out.number(VERSION);
    let password = utf16(password);
    match material {
        Material::Key(entry) => {
            out.number(1);
            out.number(PRIVATE_KEY);
            out.text(alias)?;
            out.moment(entry.chain.first()?.begin());
            let salt = drawn("leasehold keystore: salt of the key", &material.content(alias));
            out.block(protected(entry, password.bytes(), salt).bytes())?;
            out.number(u32::try_from(entry.chain.len()).ok()?);
            entry.chain.iter().try_for_each(|one| out.certificate(one))?;
        }
        Material::Trust(trusted) => {
            out.number(u32::try_from(trusted.len()).ok()?);
            for (one, alias) in trusted.iter().zip(super::aliases(alias, trusted.len())) {
                out.number(TRUSTED);
                out.text(&alias)?;
                out.moment(one.begin());
                out.certificate(one)?;
            }
        }
    }
    let seal = sha1(&[password.bytes(), SEAL, &out.0]);
    Some(Der::of([&out.0[..], &*seal].concat()))
}

/// An `EncryptedPrivateKeyInfo` of Java's own making: salt, hidden key, and a hash to know it by.
fn protected(entry: &KeyEntry, password: &[u8], salt: [u8; HASH]) -> Der {
    let key = entry.key.bytes();
    let mut hidden = Vec::with_capacity(key.len() + 2 * HASH);
    hidden.extend_from_slice(&salt);
    let mut stream = Zeroizing::new(salt);
    for chunk in key.chunks(HASH) {
        *stream = *sha1(&[password, &*stream]);
        hidden.extend(chunk.iter().zip(stream.iter()).map(|(byte, mask)| byte ^ mask));
    }
    hidden.extend_from_slice(&*sha1(&[password, key]));
    let algorithm = sequence(&[oid(&PROTECTOR).bytes(), element(der::NULL, &[]).bytes()]);
    sequence(&[algorithm.bytes(), octets(&hidden).bytes()])
}

/// Writes as Java's `DataOutputStream` does. What is in it is hidden already or public.
struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    fn number(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    fn moment(&mut self, milliseconds: u64) {
        self.0.extend_from_slice(&milliseconds.to_be_bytes());
    }

    fn block(&mut self, bytes: &[u8]) -> Option<()> {
        self.number(u32::try_from(bytes.len()).ok()?);
        self.0.extend_from_slice(bytes);
        Some(())
    }

    fn text(&mut self, text: &str) -> Option<()> {
        self.0.extend_from_slice(&u16::try_from(text.len()).ok()?.to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        Some(())
    }

    fn certificate(&mut self, certificate: &Certificate) -> Option<()> {
        self.text("X.509")?;
        self.block(certificate.bytes())
    }
}
