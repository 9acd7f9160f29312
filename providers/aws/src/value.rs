//! From what the store keeps to fields: a JSON object's entries, or the one field `value`.

use leasehold_core::{Error, Field, Fields, Kind, SecretBytes, Shape, pick};
use serde_json::Value;

use crate::error::Site;

/// The fields of a text. With `key`, those of the one value in it (dots lead into objects).
pub(crate) fn of_text(text: String, key: Option<&str>, site: &Site<'_>) -> Result<Fields, Error> {
    let mut fields = Fields::new();
    let object = match serde_json::from_str(&text) {
        Ok(Value::Object(entries)) => Some(entries),
        _ => None,
    };
    match (object, key) {
        (None, None) => fields.insert_text("value", text),
        (None, Some(key)) => {
            return Err(site.error(
                Kind::Absent,
                format!("there is no key \"{key}\" in it, since it is no JSON object: leave key out"),
            ));
        }
        (Some(entries), None) => {
            for (name, value) in entries {
                fields.insert_json(name, value);
            }
        }
        (Some(entries), Some(key)) => {
            let names: Vec<&str> = entries.keys().map(String::as_str).collect();
            let missing = format!("there is no key \"{key}\" in it; it has {}", listed(&names));
            match pick(Value::Object(entries), key) {
                None => return Err(site.error(Kind::Absent, missing)),
                Some(Value::Object(entries)) => {
                    for (name, value) in entries {
                        fields.insert_json(name, value);
                    }
                }
                Some(single) => fields.insert_json("value", single),
            }
        }
    }
    Ok(fields)
}

/// The field of bytes that are no text.
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

fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    match names {
        [] => "none".to_owned(),
        names if names.len() > SHOWN => {
            format!("{} and {} more", names[..SHOWN].join(", "), names.len() - SHOWN)
        }
        names => names.join(", "),
    }
}
