//! Which fields the files and the environment of a configuration use of each secret.
//!
//! Templates are read as text here, expression by expression: that finds what stands in every
//! branch, and names in brackets. What a template computes (`db[name]`) is not found.

use std::collections::BTreeMap;

use super::model::{Config, Content, Files};
use crate::registry::Shape;

/// By secret.
pub(super) fn fields(config: &Config) -> BTreeMap<String, Shape> {
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    let names: Vec<&str> = config.secrets.keys().map(String::as_str).collect();
    let template = |text: &str, shapes: &mut BTreeMap<String, Shape>| {
        for expression in expressions(text) {
            for name in &names {
                for chain in chains(expression, name) {
                    shapes.entry((*name).to_owned()).or_default().add(chain);
                }
            }
        }
    };
    if let Files::Named(files) = &config.files {
        for file in files.values() {
            match &file.content {
                Content::Template(text) => template(text, &mut shapes),
                Content::Field { secret, field, .. } => {
                    shapes.entry(secret.clone()).or_default().add([field.as_str()]);
                }
                Content::Format { .. } | Content::Session { .. } => {}
                #[cfg(feature = "keystore")]
                Content::Keystore(keystore) => template(&keystore.password, &mut shapes),
            }
        }
    }
    config.env.values().for_each(|variable| template(&variable.template, &mut shapes));
    shapes
}

/// What stands between `{{` and `}}`, and between `{%` and `%}`.
fn expressions(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        rest = &rest[at + 1..];
        let (open, end) = match rest.as_bytes().first() {
            Some(b'{') => (true, "}}"),
            Some(b'%') => (true, "%}"),
            Some(b'#') => (false, "#}"),
            _ => continue,
        };
        let inside = &rest[1..];
        let length = inside.find(end).unwrap_or(inside.len());
        if open {
            found.push(&inside[..length]);
        }
        rest = &inside[length..];
    }
    found
}

/// The names that are looked up in the secret `name`: of `name.a["b"]` the names `a` and `b`.
fn chains<'a>(expression: &'a str, name: &str) -> Vec<Vec<&'a str>> {
    let of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, _) in expression.match_indices(name) {
        let before = expression[..at].chars().next_back();
        if before.is_some_and(|c| of_word(c) || matches!(c, '.' | '"' | '\'')) {
            continue;
        }
        let mut rest = &expression[at + name.len()..];
        let mut chain = Vec::new();
        loop {
            let trimmed = rest.trim_start();
            if let Some(after) = trimmed.strip_prefix('.') {
                let length = after.find(|c: char| !of_word(c)).unwrap_or(after.len());
                let (word, after) = after.split_at(length);
                // A method of the template language, not a field.
                if word.is_empty() || after.starts_with('(') {
                    break;
                }
                chain.push(word);
                rest = after;
            } else if let Some((word, after)) = bracketed(trimmed) {
                chain.push(word);
                rest = after;
            } else {
                break;
            }
        }
        if !chain.is_empty() {
            found.push(chain);
        }
    }
    found
}

/// `["word"] rest`
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('[')?.trim_start();
    let quote = inside.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (word, after) = inside[1..].split_once(quote)?;
    Some((word, after.trim_start().strip_prefix(']')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_is_looked_up_is_found_in_every_branch() {
        let text = r#"db.example {{ db.user | urlencode }}{# {{ db.no }} #}
            {% if api["my-key"] == "x" %}{{ api.a.b }}{% else %}{{ api['c'].d ~ mydb.e ~ x.db.f }}{% endif %}
            {% for name in db.items() %}{{ db[name] }}{% endfor %}{{ db.pass"#;
        let found = |name: &str| -> Vec<Vec<&str>> {
            expressions(text).into_iter().flat_map(|expression| chains(expression, name)).collect()
        };
        assert_eq!(found("db"), [vec!["user"], vec!["pass"]]);
        assert_eq!(found("api"), [vec!["my-key"], vec!["a", "b"], vec!["c", "d"]]);
    }
}
