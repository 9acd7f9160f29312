//! Keystores for a JVM: PKCS#12, and Java's own JKS.
//!
//! The bytes follow from what goes in, from nothing else: the same certificate, key, alias and password give
//! the same file, so that what did not change makes no new generation. That is why the containers are
//! written here, with the few parts of DER that they need ([`crate::der`]), over crates for the cryptography alone
//! ([`crypto`]): the crates that write whole keystores draw their salts at random, let the plaintext of a key
//! lie in buffers that nothing wipes, and bring a parser for every form that they can read.
//!
//! Salts are drawn from the content and not from the password: a salt of both would let somebody who has the
//! file try passwords at the price of one hash instead of ten thousand.

mod crypto;
mod jks;
mod key;
mod material;
mod pkcs12;
mod x509;

use leasehold_core::{Fields, SecretBytes};

use crate::config::model::{Entries, Keystore, KeystoreKind};
use material::{KeyEntry, Material};

/// Writes one; the error is a whole text without any value.
pub(super) fn write(
    keystore: &Keystore,
    fields: &Fields,
    password: &SecretBytes,
) -> Result<SecretBytes, String> {
    let material = match keystore.entries {
        Entries::Key => Material::Key(KeyEntry::of(&keystore.secret, fields)?),
        Entries::Trust => Material::Trust(material::trusted(&keystore.secret, fields)?),
    };
    let password = password_of(keystore.kind, password)?;
    // Java looks an alias up in lower case, and JKS finds only what is stored so.
    let alias = keystore.alias.to_lowercase();
    match keystore.kind {
        KeystoreKind::Pkcs12 => pkcs12::write(&material, &alias, password),
        KeystoreKind::Jks => jks::write(&material, &alias, password),
    }
    .map(|bytes| SecretBytes::new(bytes.into_vec()))
    .ok_or_else(|| "the keystore is too large for its format".to_owned())
}

/// The password, where a JVM can use it.
fn password_of(kind: KeystoreKind, password: &SecretBytes) -> Result<&str, String> {
    let Some(text) = password.expose_text() else {
        return Err("the keystore's password is no text".to_owned());
    };
    if text.is_empty() {
        return Err("the keystore's password is empty: without one a JVM checks nothing".to_owned());
    }
    if text.chars().any(|char| matches!(char, '\n' | '\r')) {
        return Err(
            "the keystore's password has a line break in it, which nobody can type: leave it out, with \
                    `| trim` where the store has one"
                .to_owned(),
        );
    }
    if kind == KeystoreKind::Pkcs12 && !text.chars().all(|char| matches!(char, ' '..='~')) {
        return Err(
            "the keystore's password has characters that are not in ASCII, and no JVM opens a PKCS#12 \
                    keystore with such a password: take another one, or `format: jks`"
                .to_owned(),
        );
    }
    Ok(text)
}

/// The aliases of `count` entries: the name itself, then the name with a number.
fn aliases(alias: &str, count: usize) -> Vec<String> {
    (1..=count)
        .map(|number| if number == 1 { alias.to_owned() } else { format!("{alias}-{number}") })
        .collect()
}

#[cfg(test)]
mod tests;
