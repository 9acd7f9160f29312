//! Which fields a secret is to have, where somebody knows: names, and names inside them.

use std::collections::BTreeMap;

use fastrand::Rng;
use leasehold_core::Fields;
use serde_json::{Map, Value};

use crate::made_up;

/// Names of fields. One that has names inside is an object, any other is a text or a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape(BTreeMap<String, Shape>);

impl Shape {
    /// Adds a field, by the names that lead to it.
    pub fn add<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        let mut at = self;
        for name in names {
            at = at.0.entry(name.to_owned()).or_default();
        }
    }

    /// Adds what another one has.
    pub fn merge(&mut self, other: &Shape) {
        for (name, inside) in &other.0 {
            self.0.entry(name.clone()).or_default().merge(inside);
        }
    }

    /// Takes a field out: it comes from elsewhere.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// The names of its fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// True for one that names nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes up the fields that are not there yet.
    pub(crate) fn complete(&self, fields: &mut Fields, seed: u64, path: &str, turn: u64) {
        for (name, inside) in &self.0 {
            if fields.get(name).is_some() {
                continue;
            }
            let mut dice = made_up::dice(seed, name, path, turn);
            match inside.value(name, &mut dice) {
                Value::String(text) => fields.insert_text(name, text),
                other => fields.insert_json(name, other),
            }
        }
    }

    fn value(&self, name: &str, dice: &mut Rng) -> Value {
        if self.0.is_empty() {
            return leaf(name, dice);
        }
        let members: Map<String, Value> =
            self.0.iter().map(|(name, inside)| (name.clone(), inside.value(name, dice))).collect();
        Value::Object(members)
    }
}

/// A value that fits a name, by its last word; what is no such word is random.
fn leaf(name: &str, dice: &mut Rng) -> Value {
    let lower = name.to_lowercase();
    let last = lower.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    match last {
        "port" => Value::from(5432),
        "host" | "hostname" | "server" => Value::from("localhost"),
        "url" | "uri" | "endpoint" | "address" => Value::from("http://localhost:8080"),
        "email" | "mail" => Value::from("somebody@example.com"),
        "user" | "username" | "login" => Value::from(format!("mock-{}", made_up::text(dice, 6))),
        "database" | "dbname" | "db" => Value::from("app"),
        "region" => Value::from("eu-west-1"),
        _ => Value::from(made_up::text(dice, 32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_made_up_by_their_names_and_what_is_there_stays() {
        let mut shape = Shape::default();
        shape.add(["user"]);
        shape.add(["db", "port"]);
        shape.add(["db", "password"]);
        shape.add(["api-key"]);
        let mut fields = Fields::new();
        fields.insert_text("user", "app".to_owned());
        shape.complete(&mut fields, 1, "kv/app", 0);
        let text = |fields: &Fields, name: &str| fields.get(name).unwrap().bytes.expose().to_vec();
        assert_eq!(text(&fields, "user"), b"app");
        assert_eq!(text(&fields, "api-key").len(), 32);
        let db: Value = serde_json::from_slice(&text(&fields, "db")).unwrap();
        assert_eq!(db["port"], 5432);
        assert_eq!(db["password"].as_str().unwrap().len(), 32);

        let again = |turn| {
            let mut fields = Fields::new();
            shape.complete(&mut fields, 1, "kv/app", turn);
            text(&fields, "api-key")
        };
        assert_eq!(again(0), text(&fields, "api-key"));
        assert_ne!(again(1), again(0), "the next turn brings another value");
    }
}
