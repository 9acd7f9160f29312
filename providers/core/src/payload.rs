//! From what a store keeps to fields: the same for every store.

use std::fmt;

use serde_json::{Map, Value};

use crate::pick::pick;
use crate::secret::{Field, Fields, SecretBytes, Shape};

/// Why a `key` finds nothing. Its text, for an error, names keys and never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSuchKey(String);

impl fmt::Display for NoSuchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoSuchKey {}

impl Fields {
    /// An object's entries, anything else as the field `value`.
    pub fn of_json(value: Value) -> Self {
        let mut fields = Self::new();
        match value {
            Value::Object(entries) => {
                entries.into_iter().for_each(|(name, value)| fields.insert_json(name, value));
            }
            single => fields.insert_json("value", single),
        }
        fields
    }

    /// An object's entries, or with `key` what there is of the one value in it (dots lead into objects).
    ///
    /// # Errors
    /// There is no such key.
    pub fn of_object(entries: Map<String, Value>, key: Option<&str>) -> Result<Self, NoSuchKey> {
        let Some(key) = key else { return Ok(Self::of_json(Value::Object(entries))) };
        let missing = format!("there is no key \"{key}\" in it; it has {}", listed(&entries));
        pick(Value::Object(entries), key).map(Self::of_json).ok_or(NoSuchKey(missing))
    }

    /// What a secret of one value holds: the entries of a JSON object as [`Fields::of_object`] has them, any
    /// other text or bytes as the field `value`, as they stand.
    ///
    /// # Errors
    /// There is no such key, or it is no JSON object.
    pub fn of_payload(payload: Vec<u8>, key: Option<&str>) -> Result<Self, NoSuchKey> {
        match (serde_json::from_slice(&payload), key) {
            (Ok(Value::Object(entries)), key) => Self::of_object(entries, key),
            (_, Some(key)) => Err(NoSuchKey(format!(
                "there is no key \"{key}\" in it, since it is no JSON object: leave key out"
            ))),
            (_, None) => {
                let shape = if std::str::from_utf8(&payload).is_ok() { Shape::Text } else { Shape::Binary };
                let mut fields = Self::new();
                fields.insert("value", Field { bytes: SecretBytes::new(payload), shape });
                Ok(fields)
            }
        }
    }
}

/// The names of keys, not all of too many.
fn listed(entries: &Map<String, Value>) -> String {
    const SHOWN: usize = 10;
    let names: Vec<&str> = entries.keys().map(String::as_str).take(SHOWN).collect();
    match entries.len().saturating_sub(SHOWN) {
        _ if names.is_empty() => "none".to_owned(),
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(payload: &[u8], key: Option<&str>) -> Result<Vec<(String, String, Shape)>, NoSuchKey> {
        let fields = Fields::of_payload(payload.to_vec(), key)?;
        let text = |field: &Field| String::from_utf8_lossy(field.bytes.expose()).into_owned();
        Ok(fields.iter().map(|(name, field)| (name.to_owned(), text(field), field.shape)).collect())
    }

    fn value(text: &str, shape: Shape) -> Vec<(String, String, Shape)> {
        vec![("value".to_owned(), text.to_owned(), shape)]
    }

    #[test]
    fn an_object_becomes_fields_and_everything_else_one_value_as_it_stands() {
        let fields = shown(br#"{"user":"u","port":5432}"#, None).unwrap();
        let pair = |name: &str, text: &str, shape| (name.to_owned(), text.to_owned(), shape);
        assert_eq!(fields, [pair("port", "5432", Shape::Json), pair("user", "u", Shape::Text)]);
        for text in ["plain", "", "5432", "[1]", "\"quoted\"", "{half", "with\nlines ü"] {
            assert_eq!(shown(text.as_bytes(), None).unwrap(), value(text, Shape::Text));
        }
        let binary = Fields::of_payload(vec![0, 255, 10], None).unwrap();
        let field = binary.get("value").unwrap();
        assert_eq!((field.bytes.expose(), field.shape), (&[0, 255, 10][..], Shape::Binary));
    }

    #[test]
    fn a_key_leads_to_one_value_or_to_the_entries_of_an_object() {
        let payload = br#"{"a":{"b":{"c":"deep"}},"x.y":"dotted"}"#;
        assert_eq!(shown(payload, Some("a.b.c")).unwrap(), value("deep", Shape::Text));
        assert_eq!(shown(payload, Some("x.y")).unwrap(), value("dotted", Shape::Text));
        assert_eq!(shown(payload, Some("a.b")).unwrap(), [("c".to_owned(), "deep".to_owned(), Shape::Text)]);
    }

    #[test]
    fn a_key_that_finds_nothing_is_told_what_there_is_and_no_value() {
        let said = shown(br#"{"a":"canary","b":1}"#, Some("c")).unwrap_err().to_string();
        assert_eq!(said, "there is no key \"c\" in it; it has a, b");
        let said = shown(b"canary", Some("c")).unwrap_err().to_string();
        assert_eq!(said, "there is no key \"c\" in it, since it is no JSON object: leave key out");
        let many: Map<String, Value> = (0..12).map(|at| (format!("k{at:02}"), Value::Null)).collect();
        let said = Fields::of_object(many, Some("c")).unwrap_err().to_string();
        assert!(said.ends_with("k08, k09 and 2 more"), "{said}");
    }
}
