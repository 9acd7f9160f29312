//! A payload as fields: a JSON object's entries, else the one field `value`.

use leasehold_core::{Field, Fields, SecretBytes, Shape};
use serde_json::Value;

/// Why `key` found nothing. Names only, never a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing(pub(crate) String);

/// The fields of a payload, or with `key` the one value in it (dots lead into objects): an object's
/// entries become the fields, anything else the field `value`.
pub(crate) fn fields(payload: Vec<u8>, key: Option<&str>) -> Result<Fields, Missing> {
    let object = match serde_json::from_slice::<Value>(&payload) {
        Ok(object @ Value::Object(_)) => Some(object),
        _ => None,
    };
    let mut fields = Fields::new();
    let chosen = match (object, key) {
        (None, Some(key)) => {
            return Err(Missing(format!(
                "there is no key \"{key}\" in it: it is no JSON object; leave `key` out"
            )));
        }
        (None, None) => {
            let shape = if std::str::from_utf8(&payload).is_ok() { Shape::Text } else { Shape::Binary };
            fields.insert("value", Field { bytes: SecretBytes::new(payload), shape });
            return Ok(fields);
        }
        (Some(object), None) => object,
        (Some(object), Some(key)) => {
            let names = listed(&object);
            pick(object, key)
                .ok_or_else(|| Missing(format!("there is no key \"{key}\" in it; it has {names}")))?
        }
    };
    match chosen {
        Value::Object(entries) => {
            for (name, value) in entries {
                fields.insert_json(name, value);
            }
        }
        single => fields.insert_json("value", single),
    }
    Ok(fields)
}

/// A key as it stands, else the way that its dots describe.
fn pick(value: Value, key: &str) -> Option<Value> {
    let Value::Object(mut entries) = value else { return None };
    if let Some(found) = entries.remove(key) {
        return Some(found);
    }
    key.match_indices('.').find_map(|(at, _)| {
        let inner = entries.get(&key[..at])?.clone();
        pick(inner, &key[at + 1..])
    })
}

fn listed(value: &Value) -> String {
    const SHOWN: usize = 10;
    let Value::Object(entries) = value else { return "none".to_owned() };
    let names: Vec<&str> = entries.keys().map(String::as_str).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        names if names.len() > SHOWN => {
            format!("{} and {} more", names[..SHOWN].join(", "), names.len() - SHOWN)
        }
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(payload: &[u8], key: Option<&str>) -> Result<Vec<(String, Vec<u8>, Shape)>, Missing> {
        let fields = fields(payload.to_vec(), key)?;
        Ok(fields
            .iter()
            .map(|(name, field)| (name.to_owned(), field.bytes.expose().to_vec(), field.shape))
            .collect())
    }

    fn value(bytes: &[u8], shape: Shape) -> Result<Vec<(String, Vec<u8>, Shape)>, Missing> {
        Ok(vec![("value".to_owned(), bytes.to_vec(), shape)])
    }

    #[test]
    fn an_object_becomes_fields_and_anything_else_one_value() {
        assert_eq!(
            shown(br#"{"user":"a","port":5432}"#, None),
            Ok(vec![
                ("port".to_owned(), b"5432".to_vec(), Shape::Json),
                ("user".to_owned(), b"a".to_vec(), Shape::Text),
            ])
        );
        for text in [&b"hunter2\n"[..], b"[1]", b"5", b"\"quoted\"", b"{half", b"", "tŷ".as_bytes()] {
            assert_eq!(shown(text, None), value(text, Shape::Text));
        }
        assert_eq!(shown(b"\xff\x00\xfe", None), value(b"\xff\x00\xfe", Shape::Binary));
        assert_eq!(shown(b"{}", None), Ok(Vec::new()));
    }

    #[test]
    fn a_key_is_a_name_or_a_way() {
        let payload = br#"{"a":{"b":"deep","c.d":{"e":1}},"a.x":"flat"}"#;
        assert_eq!(shown(payload, Some("a.b")), value(b"deep", Shape::Text));
        assert_eq!(shown(payload, Some("a.x")), value(b"flat", Shape::Text));
        assert_eq!(shown(payload, Some("a.c.d.e")), value(b"1", Shape::Json));
        let Err(Missing(said)) = shown(payload, Some("nothing")) else { panic!("there is no such key") };
        assert_eq!(said, "there is no key \"nothing\" in it; it has a, a.x");
        assert!(shown(b"canary", Some("a")).is_err_and(|missing| !missing.0.contains("canary")));
    }
}
