//! The schema that `leasehold schema` prints.

use serde_json::Value;

use super::super::schema;
use super::good;
use super::good::SMALL;

/// Of a build that holds every provider, as the tests' is.
#[test]
#[cfg_attr(not(feature = "all"), ignore = "the schema of this build leaves providers out")]
fn the_schema_is_what_was_reviewed() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&schema()).unwrap());
}

#[test]
fn the_defaults_that_the_schema_names_are_the_ones_that_count() {
    let schema = schema();
    let mut text = String::from(SMALL);
    let mut count = 0;
    for (section, of) in schema["properties"].as_object().unwrap() {
        let Some(pointer) = reference(of) else { continue };
        let Some(properties) = schema.pointer(pointer).and_then(|of| of["properties"].as_object()) else {
            continue;
        };
        let defaults: serde_json::Map<String, Value> = properties
            .iter()
            .filter_map(|(key, property)| Some((key.clone(), property.get("default")?.clone())))
            // A configured state directory is another thing than the default one.
            .filter(|(key, _)| key != "state_directory")
            .collect();
        count += defaults.len();
        match section.as_str() {
            // It is one of two things, and neither of them is a default.
            "verify" => text.push_str(&format!("{section}: {}\n", verify(defaults))),
            _ => text.push_str(&format!("{section}: {}\n", Value::Object(defaults))),
        }
    }
    assert!(count > 20, "only {count} defaults were found");
    let written = good(&text);
    let left_out = good(&format!("{SMALL}verify: {}\n", verify(serde_json::Map::new())));
    assert_eq!(super::super::reload_diff(&left_out, &written), super::super::Diff::default());
}

fn verify(mut keys: serde_json::Map<String, Value>) -> Value {
    keys.insert("command".into(), serde_json::json!(["/bin/try"]));
    Value::Object(keys)
}

/// The definition that a property refers to.
fn reference(property: &Value) -> Option<&str> {
    let direct = property.get("$ref");
    let branch = || property.get("anyOf")?.as_array()?.iter().find_map(|branch| branch.get("$ref"));
    direct.or_else(branch)?.as_str().map(|pointer| pointer.trim_start_matches('#'))
}
