//! Templates: minijinja, strict, without anything that reads another file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use leasehold_core::SecretBytes;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior};

use super::buffer::Buffer;
use super::values::{Binary, Root, Trace, Trouble};
use super::{Fault, Paths, Secrets, helpers};
use crate::config::model::is_session_value;

/// The compiled templates, by file.
pub(super) struct Templates {
    environment: Environment<'static>,
    sources: BTreeMap<String, String>,
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.sources.keys()).finish()
    }
}

impl Templates {
    pub(super) fn new(paths: &Paths) -> Self {
        Self { environment: environment(paths), sources: BTreeMap::new() }
    }

    /// Compiles one and says which names it may look up outside itself.
    pub(super) fn add(&mut self, file: &str, source: &str) -> Result<BTreeSet<String>, Fault> {
        self.environment
            .add_template_owned(file.to_owned(), source.to_owned())
            .map_err(|error| fault(&error, &Trace::default(), source, &Secrets::new()))?;
        self.sources.insert(file.to_owned(), source.to_owned());
        let template = self.environment.get_template(file).expect("it was added above");
        Ok(template.undeclared_variables(false).into_iter().collect())
    }

    pub(super) fn render(&self, file: &str, secrets: &Secrets) -> Result<SecretBytes, Fault> {
        let source = self.sources.get(file).map_or("", String::as_str);
        let trace = Arc::new(Trace::default());
        // A session is a file of its own, and nothing that a template can name.
        let seen = secrets.iter().filter(|(name, _)| !is_session_value(name));
        let seen: Secrets = seen.map(|(name, fields)| (name.clone(), fields.clone())).collect();
        let root = Root { secrets: seen, trace: Arc::clone(&trace) };
        let mut buffer = Buffer::with_capacity(source.len() * 2 + 512);
        let outcome = self.environment.get_template(file).and_then(|template| {
            template.render_captured_to(Value::from_object(root), &mut buffer).map(|_| ())
        });
        outcome.map_err(|error| fault(&error, &trace, source, secrets))?;
        // Text was made of what has none, and the engine went on.
        if let Some(text) = trace.take_misused() {
            return Err(Fault::new(text));
        }
        Ok(buffer.into_secret())
    }
}

/// What templates are compiled and rendered in.
pub(crate) fn environment(paths: &Paths) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the default delimiters are good"));
    environment.set_formatter(format);
    helpers::add(&mut environment);
    paths.clone().add(&mut environment);
    environment
}

/// Whether templates know a filter of this name.
pub(crate) fn knows_filter(environment: &Environment<'_>, name: &str) -> bool {
    knows(environment, "name is filter", name)
}

/// Whether templates know a test of this name.
pub(crate) fn knows_test(environment: &Environment<'_>, name: &str) -> bool {
    knows(environment, "name is test", name)
}

fn knows(environment: &Environment<'_>, question: &'static str, name: &str) -> bool {
    let names = BTreeMap::from([("name", Value::from(name))]);
    let answer = environment.compile_expression(question).and_then(|asked| asked.eval(names));
    answer.is_ok_and(|answer| answer.is_true())
}

/// Our own text for the engine's error: its own may quote a value.
fn fault(error: &Error, trace: &Trace, source: &str, secrets: &Secrets) -> Fault {
    let line = error.line();
    let text = match error.kind() {
        // These say what stands in the template, never what is looked up.
        ErrorKind::SyntaxError
        | ErrorKind::UnknownFilter
        | ErrorKind::UnknownTest
        | ErrorKind::UnknownFunction => {
            format!("{}: {}", error.kind(), error.detail().unwrap_or("see the template engine's syntax"))
        }
        ErrorKind::UndefinedError => undefined(line, trace, source, secrets),
        kind => trouble(error).map_or_else(|| own_words(kind), |trouble| trouble.text.clone()),
    };
    Fault { line, text }
}

fn undefined(line: Option<usize>, trace: &Trace, source: &str, secrets: &Secrets) -> String {
    let line = line.and_then(|line| source.lines().nth(line - 1)).unwrap_or(source);
    if let Some(trouble) = trace.last_missed(line) {
        return trouble.text;
    }
    let left_out: Vec<&str> = secrets
        .iter()
        .filter(|(name, fields)| fields.is_none() && line.contains(name.as_str()))
        .map(|(name, _)| name.as_str())
        .collect();
    match left_out.first() {
        Some(name) => {
            format!("secret {name:?} is left out (it is not required): guard it with `{{% if {name} %}}`")
        }
        None => trace.taken_apart(line).unwrap_or_else(|| {
            "a value that is not there is used: a text or a number has no fields and no items".to_owned()
        }),
    }
}

fn own_words(kind: ErrorKind) -> String {
    match kind {
        ErrorKind::InvalidOperation => {
            "something is done with a value that cannot be done with its type, such \
                                        as arithmetic with a text or a loop over a number"
                .to_owned()
        }
        kind => kind.to_string(),
    }
}

/// What our own filters and formatter said.
fn trouble(error: &Error) -> Option<&Trouble> {
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        if let Some(trouble) = source.downcast_ref() {
            return Some(trouble);
        }
        next = source.source();
    }
    None
}

pub(super) fn refuse(text: impl Into<String>) -> Error {
    let trouble = Trouble { name: String::new(), text: text.into() };
    Error::new(ErrorKind::InvalidOperation, "refused").with_source(trouble)
}

/// What `{{ … }}` writes: text and numbers as they are, booleans as every format spells them,
/// and nothing that only looks like text.
fn format(output: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Bool => Ok(output.write_str(if value.is_true() { "true" } else { "false" })?),
        ValueKind::None => {
            Err(refuse("a value that is none has no text: guard it with `{% if … is not none %}`"))
        }
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => {
            Err(refuse("several values together have no text: name a field, or write `| json`"))
        }
        ValueKind::Plain => match value.downcast_object_ref::<Binary>() {
            Some(binary) => Err(refuse(binary.refusal())),
            None => Err(refuse("this value has no text")),
        },
        ValueKind::Bytes => Err(refuse("bytes are no text: write `| b64encode`")),
        _ => minijinja::escape_formatter(output, state, value),
    }
}
