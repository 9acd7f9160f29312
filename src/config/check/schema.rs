//! What a schema allows, what a value is, and the words for both.

use serde_json::Value;

use crate::config::report::{listed, nearest};
use crate::config::tree::{Kind, Node, Plain, Scalar, Style};

pub(super) fn alternatives(schema: &Value) -> &[Value] {
    let branches = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array);
    branches.map_or(&[], Vec::as_slice)
}

pub(super) fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(only)) => vec![only],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The scalar as one of these types. Where text is allowed every scalar is text, exactly as
/// written: nobody has to know that `1.10` is a number to YAML.
pub(super) fn scalar_as(scalar: &Scalar, types: &[&str]) -> Option<Value> {
    let allowed = |name: &str| types.contains(&name);
    let plain = match scalar.style {
        Style::Expanded => Scalar { text: scalar.text.clone(), style: Style::Plain }.plain(),
        _ => scalar.plain(),
    };
    match plain {
        Plain::Unsigned(value) if allowed("integer") || allowed("number") => Some(value.into()),
        Plain::Signed(value) if allowed("integer") || allowed("number") => Some(value.into()),
        Plain::Float(value) if allowed("number") => Some(value.into()),
        Plain::Bool(value) if allowed("boolean") => Some(value.into()),
        _ if allowed("string") => Some(Value::String(scalar.text.clone())),
        _ => None,
    }
}

pub(super) fn is(scalar: &Scalar, word: &Value) -> bool {
    match word {
        Value::String(word) => scalar.text == *word,
        Value::Bool(_) => scalar_as(scalar, &["boolean"]).as_ref() == Some(word),
        Value::Number(_) => scalar_as(scalar, &["integer", "number"]).as_ref() == Some(word),
        _ => false,
    }
}

/// A value of any shape, by YAML's own rules. What came from the environment is text.
pub(super) fn any(node: &Node) -> Value {
    match &node.kind {
        Kind::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), any(&entry.value))).collect(),
        Kind::List(items) => items.iter().map(any).collect(),
        Kind::Scalar(scalar) => match scalar.plain() {
            Plain::Null => Value::Null,
            Plain::Bool(value) => value.into(),
            Plain::Unsigned(value) => value.into(),
            Plain::Signed(value) => value.into(),
            Plain::Float(value) => value.into(),
            Plain::Text => Value::String(scalar.text.clone()),
        },
    }
}

pub(super) fn found(node: &Node) -> &'static str {
    match &node.kind {
        Kind::Map(_) => "a mapping",
        Kind::List(_) => "a list",
        Kind::Scalar(scalar) => match scalar.plain() {
            Plain::Null => "no value",
            Plain::Bool(_) => "true or false",
            Plain::Unsigned(_) | Plain::Signed(_) | Plain::Float(_) => "a number",
            Plain::Text if scalar.style == Style::Quoted => "text in quotes",
            Plain::Text => "text",
        },
    }
}

/// What a schema wants, in words: its `title`, else its types.
pub(super) fn type_words(schema: &Value) -> String {
    if let Some(Value::String(title)) = schema.get("title") {
        return title.clone();
    }
    let words: Vec<&str> = types(schema)
        .into_iter()
        .filter(|name| *name != "null")
        .map(|name| match name {
            "string" => "text",
            "integer" => "a whole number",
            "number" => "a number",
            "boolean" => "true or false",
            "array" => "a list",
            "object" => "a mapping",
            _ => "a value",
        })
        .collect();
    match words.is_empty() {
        true => "a value".to_owned(),
        false => listed(words, "or"),
    }
}

pub(super) fn word_text(word: &Value) -> String {
    match word {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn nearest_word<'a>(text: &str, words: &'a [String]) -> Option<&'a str> {
    let without_sig = text.strip_prefix("SIG").or_else(|| text.strip_prefix("sig")).unwrap_or(text);
    nearest(without_sig, words.iter().map(String::as_str).filter(|word| word.len() > 1))
}

pub(super) fn first_sentence(text: &str) -> String {
    let line = text.split("\n\n").next().unwrap_or(text).replace('\n', " ");
    let first = line.split_once(". ").map_or(line.trim_end_matches('.'), |(first, _)| first);
    let mut letters = first.chars();
    let initial = letters.next().map(|letter| letter.to_lowercase().to_string()).unwrap_or_default();
    // A word in capitals stays one.
    match letters.clone().next().is_some_and(char::is_uppercase) {
        true => first.to_owned(),
        false => initial + letters.as_str(),
    }
}
