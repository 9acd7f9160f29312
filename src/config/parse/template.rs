//! Templates, as far as they can be judged before there are values: syntax, names of secrets,
//! names of filters, tests and functions, and of the files that `path` is given.

use std::sync::Arc;

use minijinja::value::{Object, Value};
use minijinja::{Environment, Error, ErrorKind};

use super::Context;
use crate::config::report::{KeyPath, did_you_mean, listed, nearest, quoted};
use crate::render::{FILTERS, Paths, WordKind, environment, knows_filter, knows_test, words};

/// True for a name that templates know without being given it.
pub(super) fn knows(name: &str) -> bool {
    environment(&Paths::default()).globals().any(|(known, _)| known == name)
}

/// Says what is wrong with a template.
pub(super) fn check(text: &str, path: &KeyPath, secrets: &[String], cx: &mut Context<'_>) {
    let environment = environment(&Paths::default());
    let template = match environment.template_from_str(text) {
        Ok(template) => template,
        Err(error) => {
            let line = error.line().map_or_else(String::new, |line| format!(", at its line {line}"));
            let message = format!("no valid template{line}: {}", syntax(&error));
            return cx.problem(path, message);
        }
    };
    let mut unknown: Vec<String> = template
        .undeclared_variables(false)
        .into_iter()
        .filter(|name| !secrets.contains(name) && !knows(name))
        .collect();
    unknown.sort_unstable();
    for name in &unknown {
        let line = line_of(text, name).map_or_else(String::new, |line| format!(", at its line {line},"));
        if is_called(text, name) {
            let message = format!(
                "the template{line} calls {}, and there is no such helper: `path(\"FILE\")` is a function, the \
                 others are written as `{{{{ value | HELPER }}}}`: {}",
                quoted(name),
                listed(FILTERS, "and")
            );
            let help = nearest(name, FILTERS.into_iter().chain(["path"])).map(did_you_mean);
            cx.problem_with(path, message, help);
            continue;
        }
        let names = secrets.iter().map(String::as_str);
        let help = nearest(name, names.clone()).map(did_you_mean);
        let message = format!(
            "the template{line} uses {}, which is no secret; defined under `secrets`: {}",
            quoted(name),
            listed(names, "and")
        );
        cx.problem_with(path, message, help);
    }
    if unknown.is_empty() && called(text, &environment, path, cx) == Calls::Known {
        let root = AnySecrets(secrets.to_vec());
        if let Err(error) = template.render(Value::from_object(root)) {
            rehearsed(&error, path, cx);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Calls {
    Known,
    Unknown,
}

/// Says which filters, tests and files are named that do not exist, in branches that nothing runs, too.
fn called(text: &str, environment: &Environment<'_>, path: &KeyPath, cx: &mut Context<'_>) -> Calls {
    let mut calls = Calls::Known;
    for word in words(text) {
        let (message, help) = match word.kind {
            WordKind::Filter if !knows_filter(environment, word.name) => (
                format!("uses a filter that does not exist: {}", quoted(word.name)),
                nearest(word.name, FILTERS),
            ),
            WordKind::Test if !knows_test(environment, word.name) => {
                (format!("uses a test (`is`) that does not exist: {}", quoted(word.name)), None)
            }
            WordKind::File => match unknown_file(word.name, cx) {
                Some(unknown) => unknown,
                None => continue,
            },
            _ => continue,
        };
        calls = Calls::Unknown;
        let help = help.map(did_you_mean);
        cx.problem_with(path, format!("the template, at its line {}, {message}", word.line), help);
    }
    calls
}

/// What is wrong with what `path` is given, and what was probably meant.
fn unknown_file<'a>(name: &str, cx: &'a Context<'_>) -> Option<(String, Option<&'a str>)> {
    let given = quoted(name);
    match &cx.files {
        Some(files) if files.iter().any(|file| file == name) => None,
        Some(files) => {
            let names = files.iter().map(String::as_str);
            let message = format!(
                "asks for the path of {given}, which is no file; defined under `files`: {}",
                listed(names.clone(), "and")
            );
            Some((message, nearest(name, names)))
        }
        None => {
            let secret = name.split_once('/').map(|(secret, _)| secret);
            let known = secret.is_some_and(|secret| cx.secrets.iter().any(|known| known == secret));
            let message =
                format!("asks for the path of {given}; without `files` each field has one, at SECRET/FIELD");
            (!known).then_some((message, None))
        }
    }
}

/// The secrets, each with every field, to see whether a template knows what it calls.
#[derive(Debug)]
struct AnySecrets(Vec<String>);

impl Object for AnySecrets {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.iter().any(|name| Some(name.as_str()) == key.as_str()).then(|| Value::from_object(AnySecret))
    }
}

/// A secret that has every field.
#[derive(Debug)]
struct AnySecret;

impl Object for AnySecret {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from("1"))
    }
}

/// What rendering with made-up values shows. Only names that are unknown count: everything else
/// may be the made-up values' fault.
fn rehearsed(error: &Error, path: &KeyPath, cx: &mut Context<'_>) {
    let what = match error.kind() {
        ErrorKind::UnknownFilter => "a filter (`|`)",
        ErrorKind::UnknownTest => "a test (`is`)",
        ErrorKind::UnknownFunction => "a function",
        _ => return,
    };
    let line = error.line().map_or_else(String::new, |line| format!(", at its line {line},"));
    cx.problem(path, format!("the template{line} uses {what} that does not exist"));
}

/// Our own words for what the template language says: its text may quote the template.
fn syntax(error: &Error) -> &'static str {
    let detail = error.detail().unwrap_or_default();
    if detail.contains("unexpected end") {
        "something is not closed (`{{ … }}`, `{% if … %}` … `{% endif %}`)"
    } else if detail.contains("unknown statement") {
        "an unknown statement (`{% … %}`)"
    } else if detail.contains("end of variable block") {
        "an expression in `{{ … }}` does not end where it should"
    } else if detail.contains("end of block") {
        "a statement in `{% … %}` does not end where it should"
    } else if detail.contains("string") {
        "a text in quotes is not expected here, or not closed"
    } else {
        "it does not follow the syntax of templates"
    }
}

/// Whether this name is used as a function.
fn is_called(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let within = text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        !within && text[at + name.len()..].trim_start().starts_with('(')
    })
}

/// The first line that holds this name as a word.
fn line_of(text: &str, name: &str) -> Option<usize> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.lines()
        .position(|line| line.split(|c: char| !of_name(c)).any(|word| word == name))
        .map(|index| index + 1)
}
