//! What a file holds: fields, or one value.

use std::path::Path;

use leasehold_core::{Field, SecretBytes, Shape};
use serde_json::{Map, Value};

use crate::config::Format;

/// What came out of a file.
pub(crate) enum Content {
    /// JSON, YAML or an environment file.
    Document(Value),
    /// Anything else, as it stands.
    Plain(Vec<u8>),
}

/// Why it cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nonsense {
    /// It is not what its name says.
    Broken(Format),
    /// SOPS made it, and has not decrypted it.
    Encrypted,
}

/// How a file of this name is written, where the name says it.
pub(crate) fn format_of(name: &str) -> Option<Format> {
    let name = Path::new(name);
    // `.env` has no extension, and is one.
    let extension = name.extension().or_else(|| name.file_name()).and_then(|word| word.to_str())?;
    match extension.trim_start_matches('.').to_ascii_lowercase().as_str() {
        "json" => Some(Format::Json),
        "yaml" | "yml" => Some(Format::Yaml),
        "env" => Some(Format::Env),
        _ => None,
    }
}

/// What one file holds. Without a word of its name it is JSON where it begins like an object, and else
/// its bytes.
pub(crate) fn of_file(name: &str, bytes: Vec<u8>) -> Result<Content, Nonsense> {
    match format_of(name) {
        Some(format) => document(format, &bytes).map(Content::Document),
        None if bytes.trim_ascii_start().starts_with(b"{") => {
            document(Format::Json, &bytes).map(Content::Document)
        }
        None => Ok(Content::Plain(bytes)),
    }
}

/// A whole document.
pub(crate) fn document(format: Format, bytes: &[u8]) -> Result<Value, Nonsense> {
    let broken = Nonsense::Broken(format);
    // The parsers' own words may quote a value.
    let value = match format {
        Format::Json => serde_json::from_slice(bytes).map_err(|_| broken)?,
        Format::Yaml => {
            let text = std::str::from_utf8(bytes).map_err(|_| broken)?;
            serde_saphyr::from_str(text).map_err(|_| broken)?
        }
        Format::Env => Value::Object(environment(bytes).ok_or(broken)?),
    };
    match is_encrypted(&value) {
        true => Err(Nonsense::Encrypted),
        false => Ok(value),
    }
}

/// SOPS leaves its own key beside what it encrypted; in an environment file as names that begin so.
fn is_encrypted(value: &Value) -> bool {
    let Value::Object(entries) = value else { return false };
    let has_mac = |sops: &Value| sops.get("mac").is_some();
    entries.get("sops").is_some_and(has_mac) || entries.contains_key("sops_mac")
}

/// `NAME=value` lines; `export` before it, comments, and quotes around the value as shells have them.
fn environment(bytes: &[u8]) -> Option<Map<String, Value>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut entries = Map::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=')?;
        let name = name.trim_end();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return None;
        }
        entries.insert(name.to_owned(), Value::String(unquoted(value.trim_start())?));
    }
    Some(entries)
}

fn unquoted(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        return rest.strip_suffix('\'').filter(|inner| !inner.contains('\'')).map(str::to_owned);
    }
    let Some(rest) = value.strip_prefix('"') else { return Some(value.to_owned()) };
    let mut out = String::with_capacity(rest.len());
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return characters.as_str().is_empty().then_some(out),
            '\\' => match characters.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
}

/// Bytes as they stand: a text where they are one.
pub(crate) fn plain(bytes: Vec<u8>) -> Field {
    let shape = if std::str::from_utf8(&bytes).is_ok() { Shape::Text } else { Shape::Binary };
    Field { bytes: SecretBytes::new(bytes), shape }
}
