use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

/// Bytes of a secret: wiped on drop, redacted in `Debug`, without `Display`, `Serialize` or
/// `Clone`. Share them as `Arc`.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes the bytes over; the caller keeps no copy.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Takes a text over; the caller keeps no copy.
    pub fn from_text(text: String) -> Self {
        Self::new(text.into_bytes())
    }

    /// The plaintext. Every caller is a place to look at when one asks where secrets flow.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The plaintext as text, or `None` where it is not UTF-8.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True for a secret of no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for SecretBytes {
    /// Equal contents. Not in constant time: it compares what we hold with what we hold.
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(redacted)")
    }
}

/// What the bytes of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// UTF-8 text, as the store gave it.
    Text,
    /// A JSON number, boolean, null, array or object, in its compact form.
    Json,
    /// Any bytes.
    Binary,
}

/// One field of a secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// The value.
    pub bytes: SecretBytes,
    /// How to read it.
    pub shape: Shape,
}

/// The fields of one secret, by name. Names are not secret; values are.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, Field>);

impl Fields {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text field, replacing one of the same name.
    pub fn insert_text(&mut self, name: impl Into<String>, value: String) {
        self.insert(name, Field { bytes: SecretBytes::from_text(value), shape: Shape::Text });
    }

    /// Adds a field, replacing one of the same name.
    pub fn insert(&mut self, name: impl Into<String>, field: Field) {
        self.0.insert(name.into(), field);
    }

    /// Adds what a JSON value holds: a string as [`Shape::Text`], anything else as
    /// [`Shape::Json`].
    pub fn insert_json(&mut self, name: impl Into<String>, value: serde_json::Value) {
        match value {
            serde_json::Value::String(text) => self.insert_text(name, text),
            other => self
                .insert(name, Field { bytes: SecretBytes::from_text(other.to_string()), shape: Shape::Json }),
        }
    }

    /// The field of this name.
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.0.get(name)
    }

    /// All fields, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.0.iter().map(|(name, field)| (name.as_str(), field))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without any field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_fields_shows_names_and_no_value() {
        let mut fields = Fields::new();
        fields.insert_text("password", "canary-plaintext".to_owned());
        fields.insert_json("port", serde_json::json!({ "nested": "canary-plaintext" }));
        let shown = format!("{fields:?}");
        assert!(shown.contains("password") && shown.contains("port"));
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[test]
    fn a_json_string_becomes_text_and_the_rest_stays_json() {
        let mut fields = Fields::new();
        fields.insert_json("a", serde_json::json!("plain"));
        fields.insert_json("b", serde_json::json!(5432));
        assert_eq!(fields.get("a").map(|f| (f.bytes.expose(), f.shape)), Some((&b"plain"[..], Shape::Text)));
        assert_eq!(fields.get("b").map(|f| (f.bytes.expose(), f.shape)), Some((&b"5432"[..], Shape::Json)));
    }
}
