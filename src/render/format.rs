//! All fields of a secret as one file.
//!
//! JSON, YAML and TOML are written by hand: the fields are texts and small JSON values, and a
//! serialiser would copy each of them. A double-quoted string with escapes is the same in all
//! three.

use leasehold_core::{Field, Fields, SecretBytes, Shape};
use serde_json::Value;

use super::buffer::Buffer;
use crate::config::model::Format;

/// Writes them; the error is a whole text without any value.
pub(super) fn write(format: Format, secret: &str, fields: &Fields) -> Result<SecretBytes, String> {
    let size: usize = fields.iter().map(|(name, field)| name.len() + field.bytes.len() * 2 + 16).sum();
    let mut out = Buffer::with_capacity(size);
    let refuse = |name: &str, why: &str| format!("field {name:?} of secret {secret:?} {why}");
    if format == Format::Json {
        out.push(b"{");
    }
    for (index, (name, field)) in fields.iter().enumerate() {
        let written = match format {
            Format::Json => {
                out.push(if index == 0 { b"\n  " } else { b",\n  " });
                quoted(&mut out, name);
                out.push(b": ");
                value(&mut out, Style::Json, field)
            }
            Format::Yaml => {
                yaml_key(&mut out, name);
                out.push(b": ");
                value(&mut out, Style::Yaml, field)
            }
            Format::Toml => {
                toml_key(&mut out, name);
                out.push(b" = ");
                value(&mut out, Style::Toml, field)
            }
            Format::Env => env(&mut out, name, field),
            Format::Properties => properties(&mut out, name, field),
        };
        written.map_err(|why| refuse(name, why))?;
        if format != Format::Json {
            out.push(b"\n");
        }
    }
    if format == Format::Json {
        out.push(if fields.is_empty() { b"}\n" } else { b"\n}\n" });
    }
    if format == Format::Yaml && fields.is_empty() {
        out.push(b"{}\n");
    }
    Ok(out.into_secret())
}

const BINARY: &str = "is binary and no text: give it a file of its own with `field`";

/// Which of the three.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Json,
    Yaml,
    Toml,
}

fn value(out: &mut Buffer, style: Style, field: &Field) -> Result<(), &'static str> {
    let text = field.bytes.expose_text().ok_or(BINARY)?;
    match field.shape {
        Shape::Binary => Err(BINARY),
        Shape::Text => {
            quoted(out, text);
            Ok(())
        }
        Shape::Json => {
            let json = serde_json::from_str(text).map_err(|_| "is said to be JSON and is not")?;
            nested(out, style, &json)
        }
    }
}

/// A value on one line.
pub(super) fn nested(out: &mut Buffer, style: Style, json: &Value) -> Result<(), &'static str> {
    match json {
        Value::Null if style == Style::Toml => return Err("holds null, which TOML does not have"),
        Value::Number(number) if style == Style::Toml && number.is_u64() && !number.is_i64() => {
            return Err("holds a number that is too large for TOML");
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push(json.to_string().as_bytes()),
        Value::String(text) => quoted(out, text),
        Value::Array(items) => {
            out.push(b"[");
            for (index, item) in items.iter().enumerate() {
                out.push(if index == 0 { b"" } else { b", " });
                nested(out, style, item)?;
            }
            out.push(b"]");
        }
        Value::Object(members) => {
            out.push(b"{");
            for (index, (name, member)) in members.iter().enumerate() {
                out.push(if index == 0 { b"" } else { b", " });
                quoted(out, name);
                out.push(if style == Style::Toml { b" = " } else { b": " });
                nested(out, style, member)?;
            }
            out.push(b"}");
        }
    }
    Ok(())
}

/// A double-quoted string that JSON, YAML and TOML read alike: what one of them does not allow
/// raw is escaped in all.
fn quoted(out: &mut Buffer, text: &str) {
    out.push(b"\"");
    let mut utf8 = [0; 4];
    for char in text.chars() {
        match char {
            '"' => out.push(b"\\\""),
            '\\' => out.push(b"\\\\"),
            '\n' => out.push(b"\\n"),
            '\r' => out.push(b"\\r"),
            '\t' => out.push(b"\\t"),
            '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                out.push(format!("\\u{:04X}", u32::from(char)).as_bytes());
            }
            char => out.push(char.encode_utf8(&mut utf8).as_bytes()),
        }
    }
    out.push(b"\"");
}

fn bare(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn toml_key(out: &mut Buffer, name: &str) {
    if bare(name) { out.push(name.as_bytes()) } else { quoted(out, name) }
}

/// Plain where no reader can take it for anything but a text.
fn yaml_key(out: &mut Buffer, name: &str) {
    const WORDS: [&str; 10] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "none"];
    let plain = bare(name)
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && !WORDS.contains(&name.to_ascii_lowercase().as_str());
    if plain { out.push(name.as_bytes()) } else { quoted(out, name) }
}

fn text_of(field: &Field) -> Result<&str, &'static str> {
    match field.shape {
        Shape::Binary => Err(BINARY),
        Shape::Text | Shape::Json => field.bytes.expose_text().ok_or(BINARY),
    }
}

/// `NAME=value` for a shell's `.`: what is not plain stands in single quotes.
fn env(out: &mut Buffer, name: &str, field: &Field) -> Result<(), &'static str> {
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !starts_well || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err("is no name of an environment variable (letters, digits and `_`): use a template");
    }
    let text = text_of(field)?;
    if text.contains('\0') {
        return Err("holds NUL, which no environment variable can");
    }
    out.push(name.as_bytes());
    out.push(b"=");
    shell_word(out, text);
    Ok(())
}

/// In single quotes, but where it is plain.
pub(super) fn shell_word(out: &mut Buffer, text: &str) {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./:@%+,".contains(&byte)) {
        out.push(text.as_bytes());
        return;
    }
    out.push(b"'");
    for (index, piece) in text.split('\'').enumerate() {
        out.push(if index == 0 { b"" } else { b"'\\''" });
        out.push(piece.as_bytes());
    }
    out.push(b"'");
}

/// `name=value` as `java.util.Properties` reads it, in plain ASCII.
fn properties(out: &mut Buffer, name: &str, field: &Field) -> Result<(), &'static str> {
    let text = text_of(field)?;
    property(out, name, Part::Key);
    out.push(b"=");
    property(out, text, Part::Value);
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Key,
    Value,
}

fn property(out: &mut Buffer, text: &str, part: Part) {
    let mut units = [0; 2];
    for (index, char) in text.chars().enumerate() {
        match char {
            '\\' => out.push(b"\\\\"),
            '\n' => out.push(b"\\n"),
            '\r' => out.push(b"\\r"),
            '\t' => out.push(b"\\t"),
            '\x0c' => out.push(b"\\f"),
            ' ' if part == Part::Key || index == 0 => out.push(b"\\ "),
            '=' | ':' | '#' | '!' if part == Part::Key => out.push(&[b'\\', char as u8]),
            ' '..='~' => out.push(&[char as u8]),
            char => {
                for unit in char.encode_utf16(&mut units) {
                    out.push(format!("\\u{unit:04X}").as_bytes());
                }
            }
        }
    }
}
