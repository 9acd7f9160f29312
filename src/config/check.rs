//! The tree against the schema: every unknown key, wrong type, missing key and unknown word at
//! once, with places. What is wrong is taken out, so that the rest can still be looked at; what
//! is left decodes.
//!
//! It knows the part of JSON Schema that our types and schemars produce, not all of it.

mod schema;

use serde_json::{Map, Value};

use super::report::{KeyPath, Problem, did_you_mean, listed, nearest, quoted};
use super::tree::{Kind, Node, Plain, Style};
use crate::registry;
use schema::{
    alternatives, any, first_sentence, found, is, nearest_word, required, scalar_as, type_words, types,
    word_text,
};

/// Checks `node` against the whole `schema`.
pub(super) fn check(node: &Node, schema: &Value, problems: &mut Vec<Problem>) -> Checked {
    let mut checker = Checker { root: schema, problems, meant: Vec::new() };
    let value = checker.value(node, schema, &KeyPath::default());
    Checked { value, meant: checker.meant }
}

/// What is left after the check.
pub(super) struct Checked {
    /// `None`: nothing of it can be used.
    pub(super) value: Option<Value>,
    /// Keys that an unknown one was probably meant to be: not missing, only misspelt.
    pub(super) meant: Vec<KeyPath>,
}

struct Checker<'a> {
    root: &'a Value,
    problems: &'a mut Vec<Problem>,
    meant: Vec<KeyPath>,
}

impl<'a> Checker<'a> {
    fn value(&mut self, node: &Node, schema: &'a Value, path: &KeyPath) -> Option<Value> {
        if matches!(&node.kind, Kind::Scalar(scalar) if scalar.style == Style::Failed) {
            return None;
        }
        let schema = self.resolved(schema);
        if node.is_null() && self.allows_null(schema) {
            // "None of them" and "not said" are two things for a mapping of names.
            if schema.get("additionalProperties").is_some_and(Value::is_object) {
                let message = "no value; write `{}` for none, or leave the key out";
                self.problems.push(Problem::new(Some(node.place.clone()), path.clone(), message));
                return None;
            }
            return Some(Value::Null);
        }
        if let Some(allowed) = self.words(schema) {
            return self.word(node, &allowed, path);
        }
        let branches = self.branches(schema);
        match branches.as_slice() {
            [] => self.typed(node, schema, path),
            [only] if schema.get("properties").is_none() => self.value(node, only, path),
            _ => self.one_of(node, schema, &branches, path),
        }
    }

    fn resolved(&self, mut schema: &'a Value) -> &'a Value {
        // A chain of references is short; a circle would be a bug of the schema.
        for _ in 0..8 {
            let Some(pointer) = schema.get("$ref").and_then(Value::as_str) else { break };
            let Some(target) = self.root.pointer(pointer.trim_start_matches('#')) else { break };
            schema = target;
        }
        schema
    }

    fn allows_null(&self, schema: &'a Value) -> bool {
        types(schema).contains(&"null")
            || alternatives(schema).iter().any(|branch| types(self.resolved(branch)) == ["null"])
    }

    /// The alternatives that are not `null`.
    fn branches(&self, schema: &'a Value) -> Vec<&'a Value> {
        alternatives(schema)
            .iter()
            .map(|branch| self.resolved(branch))
            .filter(|branch| types(branch) != ["null"])
            .collect()
    }

    /// The words that are allowed, where it is a choice of words.
    fn words(&self, schema: &'a Value) -> Option<Vec<&'a Value>> {
        if let Some(only) = schema.get("const") {
            return Some(vec![only]);
        }
        if let Some(Value::Array(words)) = schema.get("enum") {
            return Some(words.iter().filter(|word| !word.is_null()).collect());
        }
        let branches = self.branches(schema);
        if branches.is_empty() {
            return None;
        }
        let words: Option<Vec<_>> = branches.iter().map(|branch| self.words(branch)).collect();
        words.map(|words| words.concat())
    }

    fn word(&mut self, node: &Node, allowed: &[&'a Value], path: &KeyPath) -> Option<Value> {
        let scalar = match &node.kind {
            Kind::Scalar(scalar) if !node.is_null() => Some(scalar),
            _ => None,
        };
        if let Some(word) = scalar.and_then(|scalar| allowed.iter().find(|word| is(scalar, word))) {
            return Some((*word).clone());
        }
        let shown: Vec<String> = allowed.iter().map(|word| word_text(word)).collect();
        let expected = match shown.as_slice() {
            [only] => format!("expected {only}"),
            many => format!("expected one of {}", listed(many.iter().map(String::as_str), "or")),
        };
        let message = match &node.kind {
            Kind::Scalar(_) if !node.is_null() => expected,
            _ => format!("{expected}; found {}", found(node)),
        };
        let mut problem = Problem::new(Some(node.place.clone()), path.clone(), message);
        if let Some(scalar) = scalar {
            // `off` and the like are booleans to older YAML tools, which write them back as such.
            if scalar.plain() == Plain::Bool(false) && shown.iter().any(|word| word == "off") {
                problem = problem.help("write \"off\" in quotes");
            } else if shown.contains(&scalar.text) {
                problem = problem.help("write it without quotes");
            } else if let Some(near) = nearest_word(&scalar.text, &shown) {
                problem = problem.help(did_you_mean(near));
            }
        }
        self.problems.push(problem);
        None
    }

    /// One of several shapes: picked by a key that says which, else by what the value is.
    fn one_of(
        &mut self,
        node: &Node,
        schema: &'a Value,
        branches: &[&'a Value],
        path: &KeyPath,
    ) -> Option<Value> {
        let Some(tag) = self.discriminator(branches) else {
            let fits = branches.iter().find(|branch| self.fits(node, branch));
            // A misspelt word, rather than another shape.
            let word = || branches.iter().find(|branch| self.words(branch).is_some());
            let scalar = matches!(node.kind, Kind::Scalar(_)) && !node.is_null();
            return match fits.or_else(|| word().filter(|_| scalar)) {
                Some(branch) => self.value(node, branch, path),
                None => {
                    let names: Vec<String> = branches.iter().map(|branch| type_words(branch)).collect();
                    self.mismatch(node, &listed(names.iter().map(String::as_str), "or"), path)
                }
            };
        };
        if !matches!(node.kind, Kind::Map(_)) {
            return self.mismatch(node, &format!("a mapping with the key {}", quoted(tag)), path);
        }
        let words: Vec<&'a Value> =
            branches.iter().filter_map(|branch| self.words(self.property(branch, tag)?)).flatten().collect();
        let shown: Vec<String> = words.iter().map(|word| word_text(word)).collect();
        let list = listed(shown.iter().map(String::as_str), "or");
        let at = path.key(tag);
        let Some(chosen) = node.at(tag).filter(|value| !value.is_null()) else {
            let message = format!("this key is required: one of {list}");
            let mut problem = Problem::new(Some(node.place.clone()), at, message);
            let keys = node.entries().iter().map(|entry| entry.key.as_str());
            if let Some(near) = keys.clone().find(|key| nearest(key, [tag]).is_some()) {
                problem = problem.help(format!("{} is no key here; {}", quoted(near), did_you_mean(tag)));
            }
            self.problems.push(problem);
            return None;
        };
        let branch = branches.iter().find(|branch| {
            let words = self.property(branch, tag).and_then(|property| self.words(property));
            match &chosen.kind {
                Kind::Scalar(scalar) => words.is_some_and(|words| words.iter().any(|word| is(scalar, word))),
                _ => false,
            }
        });
        match branch {
            Some(branch) => self.object(node, &[schema, branch], path),
            None if tag == "type" => {
                let text = chosen.text().unwrap_or_default();
                let mut problem = Problem::new(Some(chosen.place.clone()), at, registry::missing(text));
                if let Some(near) = nearest_word(text, &shown) {
                    problem = problem.help(did_you_mean(near));
                }
                self.problems.push(problem);
                None
            }
            None => self.word(chosen, &words, &at),
        }
    }

    /// The key whose fixed value tells the branches apart.
    fn discriminator(&self, branches: &[&'a Value]) -> Option<&'a str> {
        let first = self.resolved(branches.first()?).get("properties")?.as_object()?;
        first.keys().map(String::as_str).find(|key| {
            branches.iter().all(|branch| {
                self.property(branch, key).is_some_and(|property| self.words(property).is_some())
                    && required(branch).any(|name| name == *key)
            })
        })
    }

    fn property(&self, schema: &'a Value, key: &str) -> Option<&'a Value> {
        self.resolved(schema).get("properties")?.get(key).map(|property| self.resolved(property))
    }

    fn fits(&self, node: &Node, schema: &'a Value) -> bool {
        let types = types(schema);
        match &node.kind {
            Kind::Map(_) => types.contains(&"object"),
            Kind::List(_) => types.contains(&"array"),
            Kind::Scalar(scalar) => {
                self.words(schema).is_some_and(|words| words.iter().any(|word| is(scalar, word)))
                    || (schema.get("const").is_none() && schema.get("enum").is_none() && {
                        matches!(scalar.plain(), Plain::Unsigned(_) | Plain::Signed(_) | Plain::Float(_))
                            && (types.contains(&"integer") || types.contains(&"number"))
                            || matches!(scalar.plain(), Plain::Bool(_)) && types.contains(&"boolean")
                            || types.contains(&"string")
                    })
            }
        }
    }

    fn typed(&mut self, node: &Node, schema: &'a Value, path: &KeyPath) -> Option<Value> {
        let types = types(schema);
        if types.is_empty() && schema.get("properties").is_none() {
            return Some(any(node));
        }
        match &node.kind {
            Kind::Map(_) if types.contains(&"object") || types.is_empty() => {
                self.object(node, &[schema], path)
            }
            // A section whose keys are all commented out.
            Kind::Scalar(_)
                if node.is_null() && types.contains(&"object") && schema.get("properties").is_some() =>
            {
                self.object(node, &[schema], path)
            }
            Kind::List(items) if types.contains(&"array") => self.list(items, schema, path),
            Kind::Scalar(scalar) if !node.is_null() => match scalar_as(scalar, &types) {
                Some(value) => self.in_range(node, value, schema, path),
                None => self.mismatch(node, &type_words(schema), path),
            },
            _ => self.mismatch(node, &type_words(schema), path),
        }
    }

    fn in_range(&mut self, node: &Node, value: Value, schema: &Value, path: &KeyPath) -> Option<Value> {
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let (least, most) = (bound("minimum"), bound("maximum"));
        let outside = value.as_f64().is_some_and(|value| {
            least.is_some_and(|least| value < least) || most.is_some_and(|most| value > most)
        });
        if !outside {
            return Some(value);
        }
        let message = match (least, most) {
            (Some(least), Some(most)) => format!("expected a number from {least} to {most}"),
            (Some(least), None) => format!("expected a number of at least {least}"),
            (_, most) => format!("expected a number of at most {}", most.unwrap_or_default()),
        };
        self.problems.push(Problem::new(Some(node.place.clone()), path.clone(), message));
        None
    }

    fn list(&mut self, items: &[Node], schema: &'a Value, path: &KeyPath) -> Option<Value> {
        let Some(of) = schema.get("items") else { return Some(items.iter().map(any).collect()) };
        // Keeps an item's position: what is looked at later is found by it, and what is wrong with
        // the placeholder is not said again.
        let placeholder = match types(self.resolved(of)).as_slice() {
            types if types.contains(&"object") => Some(Value::Object(Map::new())),
            types if types.contains(&"string") => Some(Value::String(String::new())),
            _ => None,
        };
        let mut values = Vec::with_capacity(items.len());
        let mut whole = true;
        for (index, item) in items.iter().enumerate() {
            match self.value(item, of, &path.index(index)) {
                Some(value) => values.push(value),
                None => match &placeholder {
                    Some(placeholder) => values.push(placeholder.clone()),
                    None => whole = false,
                },
            }
        }
        whole.then_some(Value::Array(values))
    }

    /// A mapping; `parts` are what is known of it: its own schema and the branch that was picked.
    fn object(&mut self, node: &Node, parts: &[&'a Value], path: &KeyPath) -> Option<Value> {
        let property = |key: &str| parts.iter().rev().find_map(|part| part.get("properties")?.get(key));
        let others = parts.iter().find_map(|part| part.get("additionalProperties").filter(|s| s.is_object()));
        let closed = parts.iter().any(|part| {
            ["additionalProperties", "unevaluatedProperties"]
                .iter()
                .any(|key| part.get(*key) == Some(&Value::Bool(false)))
        });
        let mut known: Vec<&str> = parts
            .iter()
            .filter_map(|part| part.get("properties")?.as_object())
            .flat_map(|properties| properties.keys().map(String::as_str))
            .collect();
        known.sort_unstable();
        known.dedup();
        let mut object = Map::new();
        for entry in node.entries() {
            let above = path;
            let path = path.key(&entry.key);
            let value = match (property(&entry.key), others) {
                (Some(schema), _) | (None, Some(schema)) => {
                    self.value(&entry.value, schema, &path).filter(|value| !value.is_null())
                }
                (None, None) if closed => {
                    let unset: Vec<&str> =
                        known.iter().copied().filter(|key| node.at(key).is_none()).collect();
                    let near = nearest(&entry.key, unset);
                    self.meant.extend(near.map(|near| above.key(near)));
                    self.unknown(entry.place.clone(), path, &known, near);
                    None
                }
                (None, None) => Some(any(&entry.value)),
            };
            if let Some(value) = value {
                object.insert(entry.key.clone(), value);
            }
        }
        for name in parts.iter().flat_map(|part| required(part)) {
            let given = node.at(name).is_some_and(|value| !value.is_null());
            if !given && !self.meant.contains(&path.key(name)) {
                let mut problem =
                    Problem::new(Some(node.place.clone()), path.key(name), "this key is required");
                let says = property(name).and_then(|schema| {
                    schema.get("description").or_else(|| self.resolved(schema).get("description"))
                });
                if let Some(Value::String(says)) = says {
                    problem = problem.help(first_sentence(says));
                }
                self.problems.push(problem);
            }
        }
        Some(Value::Object(object))
    }

    fn unknown(&mut self, place: super::report::Place, path: KeyPath, known: &[&str], near: Option<&str>) {
        let message = format!("unknown key; allowed here: {}", listed(known.iter().copied(), "and"));
        let mut problem = Problem::new(Some(place), path, message);
        if let Some(near) = near {
            problem = problem.help(did_you_mean(near));
        }
        self.problems.push(problem);
    }

    fn mismatch(&mut self, node: &Node, expected: &str, path: &KeyPath) -> Option<Value> {
        let message = format!("expected {expected}; found {}", found(node));
        let mut problem = Problem::new(Some(node.place.clone()), path.clone(), message);
        if expected == "a list" && matches!(node.kind, Kind::Scalar(_)) && !node.is_null() {
            problem = problem.help(match path.ends_with("command") {
                true => r#"write ["PROGRAM", "ARGUMENT"]: no shell takes it apart"#,
                false => "write it in brackets: [ … ]",
            });
        }
        self.problems.push(problem);
        None
    }
}
