//! The JSON Schema of the configuration: what `leasehold schema` prints, and what a file is
//! checked against.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::raw::Raw;
use crate::registry;

/// The schema, with what each provider of this build adds to it.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let kinds: Vec<Value> = registry::schemas(&mut generator)
        .into_iter()
        .map(|(kind, schema)| provider(kind, schema.to_value()))
        .collect();
    let mut root = generator.into_root_schema_for::<Raw>().to_value();
    root["title"] = json!("leasehold");
    root["properties"]["providers"]["additionalProperties"] = json!({
        "oneOf": kinds,
        // For editors: which of them it is, shown by `type`.
        "type": "object",
        "required": ["type"],
    });
    root["properties"]["secrets"]["propertyNames"] = json!({ "pattern": "^[a-z][a-z0-9_]*$" });
    sorted(root)
}

/// With its keys in the order of the alphabet, however `serde_json` was built.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Object(object) => {
            let by_key: BTreeMap<String, Value> =
                object.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            by_key.into_iter().collect()
        }
        other => other,
    }
}

/// A provider's own schema with the `type` that picks it.
fn provider(kind: &str, mut schema: Value) -> Value {
    let Some(object) = schema.as_object_mut() else { return schema };
    let properties = object.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert(
            "type".to_owned(),
            json!({ "const": kind, "description": "Which kind of secret store this is." }),
        );
    }
    let required = object.entry("required").or_insert_with(|| json!([]));
    if let Some(required) = required.as_array_mut() {
        required.insert(0, json!("type"));
    }
    schema
}
