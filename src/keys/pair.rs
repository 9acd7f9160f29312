//! Key pairs, by ring; the numbers of an RSA key are made beside ([`super::rsa`]).

use leasehold_core::{KeyKind, SecretBytes};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use zeroize::Zeroizing;

use super::pem::pem;
use super::rsa;
use crate::der::{self, Der, OBJECT_IDENTIFIER as OBJECT, OCTET_STRING, element, sequence};

const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
const NULL: &[u8] = &[0x05, 0x00];

/// A key pair.
pub(super) struct Pair {
    signer: Signer,
    /// PKCS #8.
    private_key: Der,
    /// SubjectPublicKeyInfo.
    public_key: Der,
}

/// Who signs, and what its signature is called.
enum Signer {
    Ec(EcdsaKeyPair, &'static [u8]),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Pair {
    /// Makes one. `None`: there is no randomness.
    pub(super) fn generate(kind: KeyKind) -> Option<Self> {
        let random = SystemRandom::new();
        match kind {
            KeyKind::EcP256 => ec(&random, &ECDSA_P256_SHA256_ASN1_SIGNING, P256, ECDSA_SHA256),
            KeyKind::EcP384 => ec(&random, &ECDSA_P384_SHA384_ASN1_SIGNING, P384, ECDSA_SHA384),
            KeyKind::Ed25519 => ed25519(&random),
            KeyKind::Rsa2048 => rsa_of(&random, 2048),
            KeyKind::Rsa3072 => rsa_of(&random, 3072),
            KeyKind::Rsa4096 => rsa_of(&random, 4096),
        }
    }

    /// PKCS #8 in PEM.
    pub(super) fn private_key(&self) -> SecretBytes {
        SecretBytes::new(pem("PRIVATE KEY", &self.private_key).as_bytes().to_vec())
    }

    /// As it stands in a request and in a certificate.
    pub(super) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// The name of [`Pair::sign`]'s signature.
    pub(super) fn signature_algorithm(&self) -> Der {
        match &self.signer {
            Signer::Ec(_, name) => algorithm(name, &[]),
            Signer::Ed25519(_) => algorithm(ED25519, &[]),
            Signer::Rsa(_) => algorithm(RSA_SHA256, NULL),
        }
    }

    /// Signs. `None`: there is no randomness.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.signer {
            Signer::Ec(pair, _) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
            Signer::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
            Signer::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

fn ec(
    random: &SystemRandom,
    signing: &'static EcdsaSigningAlgorithm,
    curve: &[u8],
    signature: &'static [u8],
) -> Option<Pair> {
    // ring's document lies on the stack and is not wiped; it is short-lived, and so is what follows it there.
    let private_key = Der::of(EcdsaKeyPair::generate_pkcs8(signing, random).ok()?.as_ref().to_vec());
    let pair = EcdsaKeyPair::from_pkcs8(signing, &private_key, random).ok()?;
    let curve = element(OBJECT, &[curve]);
    let public_key = sequence(&[&algorithm(EC, &curve), &der::bits(pair.public_key().as_ref())]);
    Some(Pair { signer: Signer::Ec(pair, signature), private_key, public_key })
}

fn ed25519(random: &SystemRandom) -> Option<Pair> {
    let mut seed = Zeroizing::new([0; 32]);
    random.fill(&mut *seed).ok()?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).ok()?;
    let public_key = sequence(&[&algorithm(ED25519, &[]), &der::bits(pair.public_key().as_ref())]);
    let private_key = pkcs8(&algorithm(ED25519, &[]), &element(OCTET_STRING, &[&*seed]));
    Some(Pair { signer: Signer::Ed25519(pair), private_key, public_key })
}

fn rsa_of(random: &SystemRandom, modulus: u32) -> Option<Pair> {
    let private_key = rsa::private_key(random, modulus)?;
    // It also checks that the numbers belong together.
    let pair = RsaKeyPair::from_der(&private_key).ok()?;
    let name = algorithm(RSA, NULL);
    let public_key = sequence(&[&name, &der::bits(pair.public_key().as_ref())]);
    Some(Pair { signer: Signer::Rsa(Box::new(pair)), private_key: pkcs8(&name, &private_key), public_key })
}

fn algorithm(name: &[u8], parameters: &[u8]) -> Der {
    sequence(&[&element(OBJECT, &[name]), parameters])
}

/// A private key of any kind, in the form that everybody reads.
fn pkcs8(algorithm: &[u8], private_key: &[u8]) -> Der {
    sequence(&[&der::unsigned(&[]), algorithm, &element(OCTET_STRING, &[private_key])])
}
