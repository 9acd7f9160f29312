//! The values that must not be shown, and a text without them.
//!
//! It keeps no value alive: what nobody holds any more is forgotten. A value is found as it is, and as
//! templates write it: percent-encoded, in base64, escaped for JSON or a shell; one of several lines also
//! line by line, since a program may indent it. Shorter than four bytes it is not looked for: it would be
//! in every sentence.

use std::sync::{Arc, Mutex, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use leasehold_core::{Fields, SecretBytes, Shape};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::clock::locked;

/// Shorter ones are in every sentence.
const SHORTEST: usize = 4;
/// A line of a longer value that is shorter than this says nothing of it.
const SHORTEST_LINE: usize = 8;

const REDACTED: &str = "[redacted]";

/// The values that are held. Clones share them.
#[derive(Clone, Default)]
pub struct Known(Arc<Mutex<Values>>);

#[derive(Default)]
struct Values {
    fields: Vec<Weak<Fields>>,
    credentials: Vec<Weak<SecretBytes>>,
}

impl Known {
    /// From now on, and as long as somebody holds them, these are not shown.
    pub fn fields(&self, fields: &Arc<Fields>) {
        let known = &mut locked(&self.0).fields;
        known.retain(|held| held.strong_count() > 0);
        if !known.iter().any(|held| std::ptr::eq(held.as_ptr(), Arc::as_ptr(fields))) {
            known.push(Arc::downgrade(fields));
        }
    }

    /// The same for a credential of a session.
    pub fn credential(&self, credential: &Arc<SecretBytes>) {
        let known = &mut locked(&self.0).credentials;
        known.retain(|held| held.strong_count() > 0);
        if !known.iter().any(|held| std::ptr::eq(held.as_ptr(), Arc::as_ptr(credential))) {
            known.push(Arc::downgrade(credential));
        }
    }

    /// A text in which no value stands, neither a known one nor one of `also`.
    pub(super) fn redacted(&self, text: &[u8], also: &[&SecretBytes]) -> Zeroizing<String> {
        if text.is_empty() {
            return Zeroizing::default();
        }
        let forms = self.forms(also);
        let mut hidden = vec![false; text.len()];
        for form in forms.iter().filter(|form| !form.is_empty()) {
            let (first, length) = (form[0], form.len());
            for at in 0..text.len().saturating_sub(length - 1) {
                if text[at] == first && text[at..at + length] == form[..] {
                    hidden[at..at + length].fill(true);
                }
            }
        }
        let mut shown = Zeroizing::new(Vec::with_capacity(text.len() + REDACTED.len()));
        for (at, byte) in text.iter().enumerate() {
            match hidden[at] {
                false => shown.push(*byte),
                true if at == 0 || !hidden[at - 1] => shown.extend_from_slice(REDACTED.as_bytes()),
                true => {}
            }
        }
        Zeroizing::new(String::from_utf8_lossy(&shown).into_owned())
    }

    fn forms(&self, also: &[&SecretBytes]) -> Vec<Zeroizing<Vec<u8>>> {
        let mut forms = Vec::new();
        let values = locked(&self.0);
        for fields in values.fields.iter().filter_map(Weak::upgrade) {
            for (_, field) in fields.iter() {
                add(&mut forms, field.bytes.expose());
                if field.shape == Shape::Json
                    && let Ok(value) = serde_json::from_slice(field.bytes.expose())
                {
                    add_json(&mut forms, &value);
                }
            }
        }
        for credential in values.credentials.iter().filter_map(Weak::upgrade) {
            add(&mut forms, credential.expose());
        }
        for value in also {
            add(&mut forms, value.expose());
        }
        forms
    }
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known(redacted)")
    }
}

fn add_json(forms: &mut Vec<Zeroizing<Vec<u8>>>, value: &Value) {
    match value {
        Value::String(text) => add(forms, text.as_bytes()),
        Value::Number(number) => add(forms, number.to_string().as_bytes()),
        Value::Array(items) => items.iter().for_each(|item| add_json(forms, item)),
        Value::Object(entries) => entries.values().for_each(|item| add_json(forms, item)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// A value in all the forms in which it is looked for.
fn add(forms: &mut Vec<Zeroizing<Vec<u8>>>, value: &[u8]) {
    let value = value.trim_ascii();
    if value.len() < SHORTEST {
        return;
    }
    let mut push = |form: Vec<u8>| {
        let form = Zeroizing::new(form);
        if !forms.contains(&form) {
            forms.push(form);
        }
    };
    push(value.to_vec());
    push(STANDARD_NO_PAD.encode(value).into_bytes());
    push(URL_SAFE_NO_PAD.encode(value).into_bytes());
    if value.iter().any(|byte| !byte.is_ascii_alphanumeric()) {
        push(percent_encoded(value, b"-_.~"));
        // As templates write it: a slash stays.
        push(percent_encoded(value, b"-_.~/"));
    }
    let Ok(text) = std::str::from_utf8(value) else { return };
    if text.contains(|c: char| c == '"' || c == '\\' || c.is_control()) {
        let quoted = Zeroizing::new(serde_json::Value::from(text).to_string());
        push(quoted.trim_matches('"').as_bytes().to_vec());
    }
    if text.contains('\'') {
        push(text.replace('\'', r"'\''").into_bytes());
    }
    if text.contains('\n') {
        for line in text.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE) {
            push(line.as_bytes().to_vec());
        }
    }
}

fn percent_encoded(value: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(value.len() * 3);
    for byte in value {
        if byte.is_ascii_alphanumeric() || plain.contains(byte) {
            encoded.push(*byte);
        } else {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    encoded
}
