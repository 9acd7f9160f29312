//! Keys that are made where they are used: for each fetch of a secret with `generate_key` a key
//! pair of its own, and a certificate request for it.
//!
//! The request goes to the store in `data.csr`. The private key goes nowhere: it joins the fields
//! of the answer as `private_key` (PKCS #8, PEM) and `private_key_type`, so that all that is made of
//! a secret is made of it, too. A fetch that failed takes its key along; the next try has another.
//!
//! An answer that brings a key of the store's, or a certificate of another key, is refused: a key
//! file and a certificate that do not belong together stop a server. What is asked for is
//! [`Names`]; what it is made with needs the feature `generate-key`.

mod names;
#[cfg(feature = "generate-key")]
mod pair;
#[cfg(feature = "generate-key")]
mod pem;
#[cfg(feature = "generate-key")]
mod request;
#[cfg(feature = "generate-key")]
mod rsa;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_core::{
    Error, Fetched, Field, Fields, KeyKind, Kind, Operation, SecretBytes, SecretRef, Shape, Wanted,
};
use serde_json::Value;

pub(crate) use names::Names;

/// Whether this build can make keys.
pub const HELD: bool = cfg!(feature = "generate-key");

/// The entry of `data` in which the request goes to the store.
pub(crate) const REQUEST: &str = "csr";
/// The field that the key becomes.
pub(crate) const PRIVATE_KEY: &str = "private_key";
/// The field that says what the key is.
pub(crate) const PRIVATE_KEY_TYPE: &str = "private_key_type";

/// A key that was made, and what may be known of it.
struct Key {
    kind: KeyKind,
    /// PKCS #8 in PEM, without a line break at its end.
    private_key: SecretBytes,
    /// The certificate request, PEM.
    request: String,
    /// The public key as it stands in a certificate (SubjectPublicKeyInfo, DER).
    public_key: Vec<u8>,
}

/// What a provider is asked for, with the keys that were made for it.
pub(crate) struct Prepared<'a> {
    provider: &'a str,
    each: Vec<One<'a>>,
}

enum One<'a> {
    AsItStands(Wanted<'a>),
    WithKey { reference: Box<SecretRef>, known_version: Option<&'a str>, key: Key },
}

impl<'a> Prepared<'a> {
    /// Makes the keys that are wanted. One of RSA takes up to some seconds, on a thread beside.
    ///
    /// # Errors
    /// A key cannot be made: the system gives no randomness.
    pub(crate) async fn new(provider: &'a str, wanted: &[Wanted<'a>]) -> Result<Self, Error> {
        let mut each = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            each.push(match wanted.reference.generate_key {
                None => One::AsItStands(*wanted),
                Some(kind) => with_key(provider, wanted, kind).await?,
            });
        }
        Ok(Self { provider, each })
    }

    /// What the provider is asked for.
    pub(crate) fn wanted(&self) -> Vec<Wanted<'_>> {
        let wanted = |one| match one {
            &One::AsItStands(wanted) => wanted,
            One::WithKey { reference, known_version, .. } => {
                Wanted { reference, known_version: *known_version }
            }
        };
        self.each.iter().map(wanted).collect()
    }

    /// What it answered, each with its key.
    pub(crate) fn join(self, answers: Vec<Result<Fetched, Error>>) -> Vec<Result<Fetched, Error>> {
        let provider = self.provider;
        let mut keys = self.each.into_iter();
        let mut join = |answer: Result<Fetched, Error>| match keys.next() {
            Some(One::WithKey { reference, key, .. }) => {
                answer.and_then(|fetched| joined(provider, &reference, fetched, key))
            }
            _ => answer,
        };
        answers.into_iter().map(&mut join).collect()
    }
}

async fn with_key<'a>(provider: &str, wanted: &Wanted<'a>, kind: KeyKind) -> Result<One<'a>, Error> {
    let mut reference = Box::new(wanted.reference.clone());
    let mut data = reference.data.take().unwrap_or_default();
    let failed = |error, detail: &str| {
        Error::new(error, Operation::Fetch, provider, detail).on(named(wanted.reference))
    };
    let names = Names::of(&data).map_err(|_| {
        failed(Kind::Invalid, "its data names somebody whom a certificate request cannot name")
    })?;
    let key = make(kind, names).await.ok_or_else(|| {
        failed(
            Kind::Internal,
            "no key could be made: the system gave no randomness, or this build makes none",
        )
    })?;
    data.insert(REQUEST.to_owned(), Value::String(key.request.clone()));
    reference.data = Some(data);
    Ok(One::WithKey { reference, known_version: wanted.known_version, key })
}

#[cfg(not(feature = "generate-key"))]
async fn make(_: KeyKind, _: Names) -> Option<Key> {
    None
}

/// A key and the request for it.
#[cfg(feature = "generate-key")]
async fn make(kind: KeyKind, names: Names) -> Option<Key> {
    let at_once = move || {
        let pair = pair::Pair::generate(kind)?;
        let request = request::request(&pair, &names)?;
        Some(Key { kind, private_key: pair.private_key(), request, public_key: pair.public_key().to_vec() })
    };
    match kind.family() {
        "rsa" => {
            #[allow(clippy::disallowed_methods, reason = "it is awaited here, and would hold up renewals")]
            let beside = tokio::task::spawn_blocking(at_once);
            beside.await.ok().flatten()
        }
        _ => at_once(),
    }
}

/// The fields of an answer, and the key.
fn joined(provider: &str, reference: &SecretRef, fetched: Fetched, key: Key) -> Result<Fetched, Error> {
    let refused =
        |kind, detail: String| Error::new(kind, Operation::Fetch, provider, detail).on(named(reference));
    let Some(fields) = fetched.fields else { return Ok(fetched) };
    if fields.get(PRIVATE_KEY).is_some() {
        let detail = "the store made a key of its own, and with generate_key the key is made here: name a path that \
                      signs a request (of a PKI, sign/ROLE and not issue/ROLE)";
        return Err(refused(Kind::Invalid, detail.to_owned()));
    }
    if certificate(&fields).is_some_and(|certificate| !holds(&certificate, &key.public_key)) {
        let detail = "the certificate is of another key than that of the request: the store did not sign what it \
                      was asked to";
        return Err(refused(Kind::Malformed, detail.to_owned()));
    }
    let mut fields = Arc::try_unwrap(fields).unwrap_or_else(|shared| copied(&shared));
    fields.insert(PRIVATE_KEY, Field { bytes: key.private_key, shape: Shape::Text });
    fields.insert_text(PRIVATE_KEY_TYPE, key.kind.family().to_owned());
    Ok(Fetched { fields: Some(Arc::new(fields)), ..fetched })
}

/// The first certificate of an answer, DER. `None`: it has none, or in a form that is not known.
fn certificate(fields: &Fields) -> Option<Vec<u8>> {
    let text = fields.get("certificate")?.bytes.expose_text()?;
    let base64 = match text.split_once("-----BEGIN CERTIFICATE-----") {
        Some((_, rest)) => rest.split_once("-----END CERTIFICATE-----")?.0,
        None => text,
    };
    STANDARD.decode(base64.split_whitespace().collect::<String>()).ok()
}

fn holds(der: &[u8], part: &[u8]) -> bool {
    der.windows(part.len()).any(|window| window == part)
}

fn copied(fields: &Fields) -> Fields {
    let mut copy = Fields::new();
    for (name, field) in fields.iter() {
        copy.insert(
            name,
            Field { bytes: SecretBytes::new(field.bytes.expose().to_vec()), shape: field.shape },
        );
    }
    copy
}

fn named(reference: &SecretRef) -> String {
    format!("secret \"{}\" ({})", reference.name, reference.path)
}

#[cfg(all(test, feature = "generate-key"))]
mod tests;
