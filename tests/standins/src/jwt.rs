//! JSON Web Tokens (RFC 7519), signed with RS256 or PS256.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::KeyPair;

/// A token taken apart; nothing of it is verified yet.
#[derive(Debug)]
pub(crate) struct Jwt {
    pub(crate) header: Value,
    pub(crate) claims: Value,
    signed: String,
    signature: Vec<u8>,
}

impl Jwt {
    /// `None` where it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        let (header, claims): (Value, Value) = (json(header)?, json(claims)?);
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        (header.is_object() && claims.is_object()).then_some(())?;
        Some(Self { header, claims, signed: signed.to_owned(), signature })
    }

    /// Whether it says RS256, and is.
    pub(crate) fn is_signed_by(&self, key: &KeyPair) -> bool {
        self.header["alg"] == "RS256" && key.has_signed(self.signed.as_bytes(), &self.signature)
    }

    /// Whether it says PS256, and is.
    pub(crate) fn is_signed_with_pss_by(&self, key: &KeyPair) -> bool {
        self.header["alg"] == "PS256" && key.has_signed_with_pss(self.signed.as_bytes(), &self.signature)
    }

    /// A claim that is text.
    pub(crate) fn claim(&self, name: &str) -> Option<&str> {
        self.claims[name].as_str()
    }

    /// A claim that is a time, in seconds since 1970.
    pub(crate) fn time(&self, name: &str) -> Option<u64> {
        self.claims[name].as_u64()
    }

    /// Whether `aud` is this, or a list with this in it.
    pub(crate) fn is_for(&self, audience: &str) -> bool {
        match &self.claims["aud"] {
            Value::Array(all) => all.iter().any(|one| one == audience),
            one => one == audience,
        }
    }
}

/// A token with these claims, signed with RS256, and these headers beside `alg` and `typ`.
pub(crate) fn sign(key: &KeyPair, headers: &[(&str, &str)], claims: &Value) -> String {
    assemble(headers, claims, |message| key.sign(message))
}

/// The same with any signature; the headers say which.
pub(crate) fn assemble(
    headers: &[(&str, &str)],
    claims: &Value,
    signature: impl FnOnce(&[u8]) -> Vec<u8>,
) -> String {
    let mut header = json!({ "alg": "RS256", "typ": "JWT" });
    for (name, value) in headers {
        header[*name] = (*value).into();
    }
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(signature(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// The public key as a JSON Web Key.
pub(crate) fn jwk(key: &KeyPair, id: &str) -> Value {
    let (n, e) = key.components();
    let [n, e] = [n, e].map(|number| URL_SAFE_NO_PAD.encode(number));
    json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": n, "e": e })
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// That many random bytes as lower-case hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random)
        .expect("the system has random bytes");
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
