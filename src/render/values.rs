//! Secrets as a template sees them. Nothing is copied before it is looked up, and what is looked
//! up in vain is remembered for the error.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use leasehold_core::{Field, Fields, Shape};
use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};

use super::{Secrets, no_field};
use crate::clock::locked;

/// What a template did that cannot be, in our own words; without any value.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    /// The name that it is about, as it stands in the template.
    pub(super) name: String,
    pub(super) text: String,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Trouble {}

/// What happened while one template was rendered.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// What was looked up in vain, in order. No trouble by itself: `is defined` asks.
    missed: Mutex<Vec<Trouble>>,
    /// What was looked up and is one value, by its name: nothing in it can be named.
    single: Mutex<BTreeMap<String, String>>,
    /// What cannot be, whatever came of it.
    misused: Mutex<Option<String>>,
}

impl Trace {
    fn missed(&self, name: &str, text: String) {
        locked(&self.missed).push(Trouble { name: name.to_owned(), text });
    }

    /// Remembers what is no list and no mapping.
    fn single(&self, name: &str, path: impl FnOnce() -> String, value: &Value) {
        let what = match value.kind() {
            ValueKind::Map | ValueKind::Seq | ValueKind::None => return,
            ValueKind::String => "a text",
            ValueKind::Number => "a number",
            ValueKind::Bool => "a boolean",
            _ => "binary",
        };
        let text = format!("{} is {what}: nothing in it can be named with `.` or `[…]`", path());
        locked(&self.single).insert(name.to_owned(), text);
    }

    /// What is one value, and is followed by a name or an index in this line.
    pub(super) fn taken_apart(&self, line: &str) -> Option<String> {
        let followed = |name: &str| {
            line.match_indices(name).any(|(at, _)| {
                let rest = line[at + name.len()..].trim_start_matches(['"', '\'', ']']);
                rest.starts_with(['.', '['])
            })
        };
        locked(&self.single).iter().find(|(name, _)| followed(name)).map(|(_, text)| text.clone())
    }

    fn misused(&self, text: String) {
        locked(&self.misused).get_or_insert(text);
    }

    /// The last vain look-up of a name that stands in this line.
    pub(super) fn last_missed(&self, line: &str) -> Option<Trouble> {
        locked(&self.missed).iter().rev().find(|trouble| line.contains(&trouble.name)).cloned()
    }

    pub(super) fn take_misused(&self) -> Option<String> {
        locked(&self.misused).take()
    }
}

/// All secrets, by name: what a template's names are looked up in.
pub(super) struct Root {
    pub(super) secrets: Secrets,
    pub(super) trace: Arc<Trace>,
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secrets")
    }
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        match self.secrets.get(name) {
            Some(Some(fields)) => Some(Value::from_object(Secret {
                name: name.to_owned(),
                fields: Arc::clone(fields),
                trace: Arc::clone(&self.trace),
            })),
            Some(None) => Some(Value::from(())),
            None => {
                let there: Vec<&str> = self.secrets.keys().map(String::as_str).collect();
                let text = format!("there is no secret {name:?}: there are {}", there.join(", "));
                self.trace.missed(name, text);
                None
            }
        }
    }
}

/// One secret.
struct Secret {
    name: String,
    fields: Arc<Fields>,
    trace: Arc<Trace>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret {:?}", self.name)
    }
}

impl Object for Secret {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        match self.fields.get(name) {
            Some(field) => {
                let value = self.value(name, field);
                self.trace.single(name, || format!("field {name:?} of secret {:?}", self.name), &value);
                Some(value)
            }
            None => {
                let of = format!("secret {:?}", self.name);
                self.trace.missed(name, no_field(&of, name, self.fields.names()));
                None
            }
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names: Vec<Value> = self.fields.names().map(Value::from).collect();
        Enumerator::Iter(Box::new(names.into_iter()))
    }
}

impl Secret {
    fn value(self: &Arc<Self>, name: &str, field: &Field) -> Value {
        let path = format!("field {name:?} of secret {:?}", self.name);
        let parsed = match field.shape {
            Shape::Text => field.bytes.expose_text().map(Value::from),
            Shape::Json => {
                serde_json::from_slice(field.bytes.expose()).ok().map(|json| nested(json, &path, &self.trace))
            }
            Shape::Binary => None,
        };
        parsed.unwrap_or_else(|| {
            Value::from_object(Binary {
                fields: Arc::clone(&self.fields),
                name: name.to_owned(),
                path,
                trace: Arc::clone(&self.trace),
            })
        })
    }
}

/// A JSON object inside a field.
struct Nested {
    path: String,
    members: BTreeMap<String, Value>,
    trace: Arc<Trace>,
}

impl fmt::Debug for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl Object for Nested {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let value = self.members.get(name).cloned();
        match &value {
            Some(value) => self.trace.single(name, || format!("{name:?} in {}", self.path), value),
            None => {
                self.trace.missed(name, no_field(&self.path, name, self.members.keys().map(String::as_str)));
            }
        }
        value
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let names: Vec<Value> = self.members.keys().map(Value::from).collect();
        Enumerator::Iter(Box::new(names.into_iter()))
    }
}

/// A JSON list inside a field.
struct Items {
    path: String,
    items: Vec<Value>,
    trace: Arc<Trace>,
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl Object for Items {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let value = key.as_usize().and_then(|index| self.items.get(index));
        if value.is_none() {
            let there = match self.items.len() {
                0 => "it is an empty list".to_owned(),
                1 => "it is a list of one, [0]".to_owned(),
                many => format!("it is a list of {many}, from [0] to [{}]", many - 1),
            };
            let name = key.to_string();
            self.trace.missed(&name, format!("{} has no item {name}: {there}", self.path));
        }
        value.cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.items.len())
    }
}

fn nested(json: serde_json::Value, path: &str, trace: &Arc<Trace>) -> Value {
    match json {
        serde_json::Value::Object(members) => {
            let members = members.into_iter().map(|(name, json)| {
                let value = nested(json, &format!("{name:?} in {path}"), trace);
                (name, value)
            });
            Value::from_object(Nested {
                path: path.to_owned(),
                members: members.collect(),
                trace: Arc::clone(trace),
            })
        }
        serde_json::Value::Array(items) => {
            let items = items.into_iter().enumerate();
            let items = items.map(|(index, json)| nested(json, &format!("item {index} of {path}"), trace));
            let items = items.collect();
            Value::from_object(Items { path: path.to_owned(), items, trace: Arc::clone(trace) })
        }
        serde_json::Value::String(text) => Value::from(text),
        serde_json::Value::Bool(bool) => Value::from(bool),
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Number(number) => number
            .as_i64()
            .map(Value::from)
            .or_else(|| number.as_u64().map(Value::from))
            .unwrap_or_else(|| Value::from(number.as_f64().unwrap_or(f64::NAN))),
    }
}

/// A field of bytes that are no text.
pub(super) struct Binary {
    fields: Arc<Fields>,
    name: String,
    path: String,
    trace: Arc<Trace>,
}

impl Binary {
    pub(super) fn bytes(&self) -> &[u8] {
        self.fields.get(&self.name).map_or(&[], |field| field.bytes.expose())
    }

    /// Why it cannot be written as text.
    pub(super) fn refusal(&self) -> String {
        format!("{} is binary and no text: write `| b64encode`, or a file of its own with `field`", self.path)
    }
}

impl fmt::Debug for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl Object for Binary {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    /// Called for text, wherever it would end up.
    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trace.misused(self.refusal());
        Ok(())
    }
}
