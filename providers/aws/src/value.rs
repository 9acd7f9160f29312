//! From what the store keeps to fields.

use leasehold_core::{Error, Field, Fields, Kind, SecretBytes, Shape};

use crate::error::Site;

/// The fields of a text.
pub(crate) fn of_text(text: String, key: Option<&str>, site: &Site<'_>) -> Result<Fields, Error> {
    let missing = |missing: leasehold_core::NoSuchKey| site.error(Kind::Absent, missing.to_string());
    Fields::of_payload(text.into_bytes(), key).map_err(missing)
}

/// The field of bytes that the store does not call a text.
pub(crate) fn of_bytes(bytes: Vec<u8>, key: Option<&str>, site: &Site<'_>) -> Result<Fields, Error> {
    if let Some(key) = key {
        return Err(site.error(
            Kind::Absent,
            format!("there is no key \"{key}\" in it, since it is binary: leave key out"),
        ));
    }
    let mut fields = Fields::new();
    fields.insert("value", Field { bytes: SecretBytes::new(bytes), shape: Shape::Binary });
    Ok(fields)
}
