//! From the content of a secret to its fields.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_core::{Error, Field, Fields, Kind, SecretBytes, Shape};
use serde_json::Value;

use crate::error::Site;

const PKCS12: &str = "application/x-pkcs12";

/// The fields of a secret: those of a JSON object, else one field `value`. With `key`, what is there
/// in the object (dots lead into objects).
pub(crate) fn of_secret(
    value: String,
    content_type: &str,
    key: Option<&str>,
    site: &Site<'_>,
) -> Result<Fields, Error> {
    if let (None, Some(bytes)) = (key, bundle(&value, content_type)) {
        let mut fields = Fields::new();
        fields.insert("value", Field { bytes: SecretBytes::new(bytes), shape: Shape::Binary });
        return Ok(fields);
    }
    let missing = |missing: leasehold_core::NoSuchKey| site.error(Kind::Absent, missing.to_string());
    Fields::of_payload(value.into_bytes(), key).map_err(missing)
}

/// The fields of a certificate with its key, named as Vault's PKI names them.
pub(crate) fn of_certificate(value: &str, content_type: &str, site: &Site<'_>) -> Result<Fields, Error> {
    if content_type.starts_with(PKCS12) {
        return Err(site.error(
            Kind::Invalid,
            "the vault gave the certificate as PKCS #12 although PEM was asked for: set the content type of its \
             policy to application/x-pem-file, and make a new version",
        ));
    }
    let (mut key, mut chain) = (None, Vec::new());
    for block in blocks(value) {
        match block.label {
            "CERTIFICATE" => chain.push(block.whole.to_owned()),
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => key = Some(block.whole.to_owned()),
            _ => {}
        }
    }
    if chain.is_empty() {
        return Err(site.error(
            Kind::Invalid,
            "the secret of that name holds no certificate in PEM form: is it one of the vault's certificates? \
             as a secret, it is read at secrets/NAME",
        ));
    }
    let Some(key) = key else {
        return Err(site.error(
            Kind::Invalid,
            "the certificate comes without its private key: its policy does not let the key be exported; make a \
             new version with an exportable key",
        ));
    };
    let mut fields = Fields::new();
    fields.insert_text("certificate", chain.remove(0));
    fields.insert_text("private_key", key);
    fields.insert_json("ca_chain", Value::from(chain));
    Ok(fields)
}

/// One block of a PEM text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    pub(crate) label: &'a str,
    /// Between its lines.
    pub(crate) body: &'a str,
    /// With them, without a line break at its end.
    pub(crate) whole: &'a str,
}

/// The blocks of a PEM text, in order.
pub(crate) fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    const BEGIN: &str = "-----BEGIN ";
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(BEGIN)?;
        let from = &rest[start..];
        let (label, after) = from[BEGIN.len()..].split_once("-----")?;
        let end = format!("-----END {label}-----");
        let length = after.find(&end)?;
        let whole = from.len() - after.len() + length + end.len();
        rest = &from[whole..];
        Some(Block { label, body: after[..length].trim(), whole: &from[..whole] })
    })
}

/// A PKCS #12 bundle travels as base64; in a file one wants its bytes.
fn bundle(value: &str, content_type: &str) -> Option<Vec<u8>> {
    content_type.starts_with(PKCS12).then(|| STANDARD.decode(value.trim()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use leasehold_core::Operation;

    use super::*;

    const SITE: Site<'static> =
        Site { provider: "azure", operation: Operation::Fetch, on: "secret \"it\" (it)" };

    fn secret(value: &str, content_type: &str, key: Option<&str>) -> Result<Fields, Error> {
        of_secret(value.to_owned(), content_type, key, &SITE)
    }

    fn pem(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn a_bundle_is_its_bytes_and_a_wrong_content_type_spoils_nothing() {
        let fields = secret("AAEC/w==", PKCS12, None).unwrap();
        let field = fields.get("value").unwrap();
        assert_eq!((field.bytes.expose(), field.shape), (&[0u8, 1, 2, 255][..], Shape::Binary));
        let fields = secret("not base64!", PKCS12, None).unwrap();
        assert_eq!(fields.get("value").unwrap().shape, Shape::Text);
    }

    #[test]
    fn a_certificate_is_taken_apart_whatever_the_order() {
        let (key, leaf, ca) =
            (pem("PRIVATE KEY", "a2V5"), pem("CERTIFICATE", "bGVhZg=="), pem("CERTIFICATE", "Y2E="));
        for text in [format!("{key}{leaf}{ca}"), format!("Bag Attributes\n{leaf}{ca}\n{key}")] {
            let fields = of_certificate(&text, "application/x-pem-file", &SITE).unwrap();
            assert_eq!(fields.names().collect::<Vec<_>>(), ["ca_chain", "certificate", "private_key"]);
            let text = |name| fields.get(name).unwrap().bytes.expose_text().unwrap().to_owned();
            assert_eq!(text("certificate"), leaf.trim_end());
            assert_eq!(text("private_key"), key.trim_end());
            assert_eq!(text("ca_chain"), serde_json::json!([ca.trim_end()]).to_string());
        }
    }

    #[test]
    fn a_certificate_that_cannot_be_served_says_what_to_change() {
        for (value, content_type, said) in [
            ("AAEC/w==".to_owned(), PKCS12, "application/x-pem-file"),
            ("canary".to_owned(), "", "secrets/NAME"),
            (pem("CERTIFICATE", "Y2FuYXJ5"), "application/x-pem-file", "exportable"),
            (pem("ENCRYPTED PRIVATE KEY", "Y2FuYXJ5"), "", "no certificate"),
            ("-----BEGIN CERTIFICATE-----\ncanary".to_owned(), "", "no certificate"),
        ] {
            let error = of_certificate(&value, content_type, &SITE).unwrap_err();
            assert_eq!(error.kind, Kind::Invalid);
            assert!(error.detail.contains(said), "{error}");
            assert!(!error.detail.contains("canary"), "{error}");
        }
    }
}
