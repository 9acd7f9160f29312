//! `${NAME}`, `${NAME:-default}` and `$${` in scalar values, once, after parsing.
//!
//! Templates, `env`, commands and bodies are left as they are: there `${…}` belongs to whoever
//! reads them. Keys are never expanded, and what a variable brings is not looked at again.

use std::collections::BTreeSet;

use leasehold_core::Environment;

use super::report::{KeyPath, Problem, Segment, quoted};
use super::tree::{Kind, Node, Scalar, Style};

/// Expands a whole tree in place.
pub(super) fn expand(node: &mut Node, environment: &Environment, problems: &mut Vec<Problem>) {
    walk(node, &KeyPath::default(), environment, problems);
}

fn walk(node: &mut Node, path: &KeyPath, environment: &Environment, problems: &mut Vec<Problem>) {
    if is_literal(path) {
        return;
    }
    match &mut node.kind {
        Kind::Scalar(scalar) => {
            let mut wrong = Vec::new();
            if let Some(text) = expanded(&scalar.text, environment, &mut wrong) {
                let style = if wrong.is_empty() { Style::Expanded } else { Style::Failed };
                *scalar = Scalar { text, style };
            }
            for message in wrong {
                problems.push(Problem::new(Some(node.place.clone()), path.clone(), message));
            }
        }
        Kind::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(item, &path.index(index), environment, problems);
            }
        }
        Kind::Map(entries) => {
            for entry in entries {
                walk(&mut entry.value, &path.key(&entry.key), environment, problems);
            }
        }
    }
}

/// The variables that stand where a credential may stand: in a provider's log-in and proxy, in the
/// environment of its program or of a hook, in a hook's address and headers, and in what is written to
/// get a secret.
pub(super) fn secret_variables(node: &Node) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (section, keys) in [("providers", &["auth", "proxy", "environment"][..]), ("secrets", &["data"])] {
        for entry in node.at(section).map_or(&[][..], Node::entries) {
            for value in keys.iter().filter_map(|key| entry.value.at(key)) {
                variables(value, &mut names);
            }
        }
    }
    let actions = match node.at("on_change").map(|actions| &actions.kind) {
        Some(Kind::List(items)) => items.as_slice(),
        _ => &[],
    };
    for hook in actions.iter().chain(node.at("verify")) {
        let http = hook.at("http");
        let parts = [
            hook.at("environment"),
            http.and_then(|http| http.at("url")),
            http.and_then(|http| http.at("headers")),
        ];
        parts.into_iter().flatten().for_each(|part| variables(part, &mut names));
    }
    names
}

fn variables(node: &Node, names: &mut BTreeSet<String>) {
    match &node.kind {
        Kind::List(items) => items.iter().for_each(|item| variables(item, names)),
        Kind::Map(entries) => entries.iter().for_each(|entry| variables(&entry.value, names)),
        Kind::Scalar(scalar) => {
            for (at, _) in scalar.text.match_indices("${") {
                let escaped = scalar.text[..at].ends_with('$');
                let name: String = scalar.text[at + 2..]
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .collect();
                if !escaped && is_name(&name) {
                    names.insert(name);
                }
            }
        }
    }
}

/// True where `${…}` is somebody else's.
fn is_literal(path: &KeyPath) -> bool {
    let key = |index: usize| match path.segments().get(index) {
        Some(Segment::Key(key)) => key.as_str(),
        _ => "",
    };
    match key(0) {
        "env" => true,
        "files" => matches!(key(2), "template" | "password"),
        "on_change" => key(2) == "command" || (key(2) == "http" && key(3) == "body"),
        "verify" => key(1) == "command" || (key(1) == "http" && key(2) == "body"),
        "providers" => key(2) == "command",
        _ => false,
    }
}

/// The text with its variables replaced; `None` where there is nothing to replace. What is wrong
/// is said in `wrong`, and stands as nothing in the text.
fn expanded(text: &str, environment: &Environment, wrong: &mut Vec<String>) -> Option<String> {
    if !text.contains("${") {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &from[2..];
            continue;
        }
        out.push_str(before);
        let Some(end) = from.find('}') else {
            wrong.push("`${` without a closing `}`; write `$${` for the two characters themselves".into());
            return Some(out);
        };
        let inner = &from[2..end];
        rest = &from[end + 1..];
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        if !is_name(name) {
            wrong.push(
                "`${…}` holds no name of an environment variable (letters, digits and `_`, then `}` or \
                 `:-default}`); write `$${` for the two characters themselves"
                    .into(),
            );
        } else if default.is_some_and(|default| default.contains("${")) {
            wrong.push(format!("the default of {} cannot hold another variable", quoted(name)));
        } else {
            match environment.value(name).or(default) {
                Some(value) => out.push_str(value),
                None => wrong.push(format!(
                    "the environment variable {} is not set, or empty, and there is no default; set it, or \
                     write `${{{name}:-default}}`",
                    quoted(name)
                )),
            }
        }
    }
    out.push_str(rest);
    Some(out)
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
