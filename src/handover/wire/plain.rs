//! Secrets on their way: base64, without a buffer that is not wiped.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use leasehold_core::{Field, Fields, SecretBytes, Shape};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

/// Plaintext, base64 on its way.
pub(super) struct WireBytes(pub(super) Arc<SecretBytes>);

impl Serialize for WireBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Plain(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WireBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Decode).map(|bytes| Self(Arc::new(bytes)))
    }
}

/// Writes base64 straight into the serializer's buffer, without a text of its own in between.
struct Plain<'a>(&'a SecretBytes);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0.expose(), &STANDARD))
    }
}

struct Decode;

impl Visitor<'_> for Decode {
    type Value = SecretBytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretBytes, E> {
        let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
        let length = STANDARD.decode_slice(text, &mut bytes).map_err(|_| E::custom("not base64"))?;
        bytes.truncate(length);
        Ok(SecretBytes::new(std::mem::take(&mut *bytes)))
    }
}

/// The fields of a secret: name → shape and value.
pub(super) struct WireFields(pub(super) Arc<Fields>);

impl Serialize for WireFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, field) in self.0.iter() {
            let shape = match field.shape {
                Shape::Text => "text",
                Shape::Json => "json",
                Shape::Binary => "binary",
            };
            map.serialize_entry(name, &BTreeMap::from([(shape, Plain(&field.bytes))]))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for WireFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadFields)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireField {
    Text(WireBytes),
    Json(WireBytes),
    Binary(WireBytes),
}

struct ReadFields;

impl<'de> Visitor<'de> for ReadFields {
    type Value = WireFields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fields by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WireFields, A::Error> {
        let mut fields = Fields::new();
        while let Some((name, field)) = map.next_entry::<String, WireField>()? {
            let (shape, WireBytes(bytes)) = match field {
                WireField::Text(bytes) => (Shape::Text, bytes),
                WireField::Json(bytes) => (Shape::Json, bytes),
                WireField::Binary(bytes) => (Shape::Binary, bytes),
            };
            let bytes = Arc::into_inner(bytes).ok_or_else(|| de::Error::custom("shared"))?;
            fields.insert(name, Field { bytes, shape });
        }
        Ok(WireFields(Arc::new(fields)))
    }
}
