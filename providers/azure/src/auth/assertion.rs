//! What an application with a certificate signs to prove who it is: a JSON Web Token for the
//! authority, with `PS256`, and the certificate in its header.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use azure_core::Uuid;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use leasehold_core::SecretBytes;
use leasehold_http::{sha256, sign_ps256};
use serde_json::{Value, json};

use crate::content::blocks;

/// It is used at once.
const LIFE: Duration = Duration::from_secs(10 * 60);

/// Signs for `audience`. `now` is a clock of the cloud's. The error is for a person, and goes on
/// from the file's name.
pub(super) fn sign(
    pem: &SecretBytes,
    client: &str,
    audience: &str,
    now: SystemTime,
) -> Result<SecretBytes, &'static str> {
    let text = pem.expose_text().unwrap_or_default();
    let chain: Vec<String> = blocks(text)
        .filter(|block| block.label == "CERTIFICATE")
        .map(|block| block.body.split_whitespace().collect())
        .collect();
    let own = chain.first().ok_or(
        "holds no certificate in PEM form: put the certificate and its key into it, one after the other",
    )?;
    let der = STANDARD.decode(own).map_err(|_| "holds a certificate that is no base64")?;
    let thumbprint = sha256(&der).ok_or("has no thumbprint: the library of cryptography lacks SHA-256")?;
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let header = json!({
        "alg": "PS256",
        "typ": "JWT",
        "x5t#S256": URL_SAFE_NO_PAD.encode(thumbprint),
        "x5c": chain,
    });
    let claims = json!({
        "aud": audience,
        "iss": client,
        "sub": client,
        "jti": Uuid::new_v4().to_string(),
        "iat": seconds,
        "nbf": seconds,
        "exp": seconds + LIFE.as_secs(),
    });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = sign_ps256(pem.expose(), signed.as_bytes())
        .ok_or("holds no RSA key in PEM form that is not encrypted: other keys cannot sign here")?;
    Ok(SecretBytes::from_text(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}
