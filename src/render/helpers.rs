//! The filters that make values fit where they go: into a URL, a shell, JSON, a file of PEM blocks.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};

use super::buffer::Buffer;
use super::format::{self, Style};
use super::pem;
use super::template::refuse;
use super::values::Binary;

/// The names of the filters that are ours, for who looks for one.
pub(crate) const FILTERS: [&str; 10] = [
    "b64decode",
    "b64encode",
    "json",
    "pem_certificates",
    "pem_private_key",
    "pem_split",
    "shell_quote",
    "toml",
    "urlencode",
    "yaml",
];

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("b64decode", b64decode);
    environment.add_filter("b64encode", b64encode);
    environment.add_filter("json", minijinja::filters::tojson);
    environment.add_filter("pem_certificates", pem_certificates);
    environment.add_filter("pem_private_key", pem_private_key);
    environment.add_filter("pem_split", pem_split);
    environment.add_filter("shell_quote", shell_quote);
    environment.add_filter("toml", |value: &Value| written(value, "toml", Style::Toml));
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("yaml", |value: &Value| written(value, "yaml", Style::Yaml));
}

/// Everything but letters, digits and `-._~` as `%XX`: safe in every part of a URL, a password
/// with a slash included.
fn urlencode(value: &Value) -> Result<String, Error> {
    let text = bytes_of(value, "urlencode")?;
    let mut encoded = String::with_capacity(text.len() * 3);
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}")?;
        }
    }
    Ok(encoded)
}

fn b64encode(value: &Value) -> Result<String, Error> {
    match value.downcast_object_ref::<Binary>() {
        Some(binary) => Ok(STANDARD.encode(binary.bytes())),
        None if value.kind() == ValueKind::Bytes => Ok(STANDARD.encode(value.as_bytes().unwrap_or_default())),
        None => Ok(STANDARD.encode(bytes_of(value, "b64encode")?)),
    }
}

/// What is no text can be encoded again, and not written.
fn b64decode(value: &Value) -> Result<Value, Error> {
    let bytes = from_base64(&bytes_of(value, "b64decode")?)
        .ok_or_else(|| refuse("`b64decode` is given what is no base64"))?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(error) => Value::from_bytes(error.into_bytes()),
    })
}

/// The bytes that this text stands for: both alphabets, padded or not, with or without line breaks.
pub(super) fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    const ANY: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const ENGINE: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY);
    let text: Vec<u8> = text
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    ENGINE.decode(text).ok()
}

/// One word of a shell's line, in single quotes where it is not plain.
fn shell_quote(value: &Value) -> Result<String, Error> {
    let text = text_of(value, "shell_quote")?;
    if text.contains('\0') {
        return Err(refuse("`shell_quote` is given a text with a NUL, which no word of a shell can hold"));
    }
    let mut out = Buffer::default();
    if text.is_empty() {
        out.push(b"''");
    } else {
        format::shell_word(&mut out, &text);
    }
    into_text(out)
}

/// A value as YAML or TOML has it on one line: texts in double quotes, lists and maps in brackets.
fn written(value: &Value, filter: &str, style: Style) -> Result<String, Error> {
    if value.kind() == ValueKind::Undefined {
        return Err(ErrorKind::UndefinedError.into());
    }
    let json =
        serde_json::to_value(value).map_err(|_| refuse(format!("`{filter}` is given what has no text")))?;
    let mut out = Buffer::default();
    format::nested(&mut out, style, &json)
        .map_err(|why| refuse(format!("`{filter}` is given a value that {why}")))?;
    into_text(out)
}

/// The blocks of one text or of a list of texts, each with its line break at the end.
fn pem_split(value: &Value) -> Result<Vec<String>, Error> {
    Ok(blocks(value, "pem_split")?.into_iter().map(|block| block.text.clone()).collect())
}

fn pem_certificates(value: &Value) -> Result<String, Error> {
    let blocks = blocks(value, "pem_certificates")?.into_iter().filter(|block| block.label == "CERTIFICATE");
    let text: String = blocks.map(|block| block.text.clone()).collect();
    if text.is_empty() {
        Err(refuse("`pem_certificates` is given a text without a certificate"))
    } else {
        Ok(text)
    }
}

fn pem_private_key(value: &Value) -> Result<String, Error> {
    let blocks = blocks(value, "pem_private_key")?;
    blocks
        .into_iter()
        .find(|block| block.label.ends_with("PRIVATE KEY"))
        .map(|block| block.text.clone())
        .ok_or_else(|| refuse("`pem_private_key` is given a text without a private key"))
}

fn blocks(value: &Value, filter: &str) -> Result<Vec<pem::Block>, Error> {
    let mut text = String::new();
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        for item in value.try_iter()? {
            text.push_str(&text_of(&item, filter)?);
            text.push('\n');
        }
    } else {
        text = text_of(value, filter)?;
    }
    let blocks = pem::blocks(&text).map_err(|why| refuse(format!("`{filter}` is given {why}")))?;
    if blocks.is_empty() {
        return Err(refuse(format!("`{filter}` is given a text without any `-----BEGIN …-----`")));
    }
    Ok(blocks)
}

fn text_of(value: &Value, filter: &str) -> Result<String, Error> {
    String::from_utf8(bytes_of(value, filter)?)
        .map_err(|_| refuse(format!("`{filter}` wants one text or number")))
}

fn bytes_of(value: &Value, filter: &str) -> Result<Vec<u8>, Error> {
    match value.kind() {
        ValueKind::String | ValueKind::Number => Ok(value.to_string().into_bytes()),
        ValueKind::Bool => Ok(if value.is_true() { "true" } else { "false" }.into()),
        ValueKind::Undefined => Err(ErrorKind::UndefinedError.into()),
        _ => Err(refuse(format!("`{filter}` wants one text or number"))),
    }
}

fn into_text(buffer: Buffer) -> Result<String, Error> {
    let text = buffer.into_secret().expose_text().map(str::to_owned);
    text.ok_or_else(|| refuse("this value has no text"))
}
