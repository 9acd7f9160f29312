//! A service account's key: it signs its own access tokens (AIP-4111), and asks nobody for them.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_core::{Error, Kind, SecretBytes};
use leasehold_http::sign_rs256;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{LIFETIME, SCOPE, Token, token};
use crate::error::Site;
use crate::time::since_1970;

/// As it stands in the file.
#[derive(Deserialize)]
pub(super) struct RawServiceAccount {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
}

/// A service account and a key of its own.
pub(crate) struct ServiceAccount {
    email: String,
    key: SecretBytes,
    key_id: Option<String>,
}

impl ServiceAccount {
    pub(super) fn parse(raw: RawServiceAccount) -> Result<Self, String> {
        let key = SecretBytes::from_text(raw.private_key);
        if sign_rs256(key.expose(), b"").is_none() {
            return Err("has a private_key that is no RSA key in PEM form".to_owned());
        }
        Ok(Self { email: raw.client_email, key, key_id: raw.private_key_id })
    }

    pub(crate) fn email(&self) -> &str {
        &self.email
    }

    /// An access token that Google takes as if it had given it out itself.
    pub(super) fn token(&self, site: &Site<'_>) -> Result<Token, Error> {
        let now = since_1970();
        let claims = json!({
            "iss": self.email,
            "sub": self.email,
            "scope": SCOPE,
            "iat": now,
            "exp": now + LIFETIME,
        });
        self.sign(&claims).and_then(|signed| token(signed, Duration::from_secs(LIFETIME))).ok_or_else(|| {
            site.error(Kind::Internal, "the key of the credential file could not sign a token")
        })
    }

    /// A JSON Web Token with these claims.
    pub(crate) fn sign(&self, claims: &Value) -> Option<String> {
        let mut header = json!({ "alg": "RS256", "typ": "JWT" });
        if let Some(id) = &self.key_id {
            header["kid"] = json!(id);
        }
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = sign_rs256(self.key.expose(), signed.as_bytes())?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
