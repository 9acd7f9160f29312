//! The one-line form: what the flags of a command line say, as one more source of the
//! configuration.
//!
//! `--secret db=vault:database/creds/web` stands for an entry under `secrets`, and for its provider
//! where no file defines one of that name. The flags become a tree like a file's, whose places
//! are the flags, so that merging, checks and messages are those of every other source. The same
//! tree is what `--print-config` writes. Only references and templates stand on a command line:
//! whoever reads `/proc/PID/cmdline` learns no credential.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use super::report::{KeyPath, Place, Problem, did_you_mean, listed, nearest};
use super::tree::{Entry, Kind, Node, Scalar, Style};

/// What PROVIDER may be where no file defines one of that name, and the type that it stands for:
/// the types whose settings the environment can hold.
pub const PROVIDERS: [(&str, &str); 8] = [
    ("vault", "vault"),
    ("aws", "aws-secrets-manager"),
    ("aws-secrets-manager", "aws-secrets-manager"),
    ("aws-parameter-store", "aws-parameter-store"),
    ("gcp", "gcp-secret-manager"),
    ("gcp-secret-manager", "gcp-secret-manager"),
    ("azure", "azure-key-vault"),
    ("azure-key-vault", "azure-key-vault"),
];
/// Needs no settings at all.
const MOCK: &str = "mock";
/// Types whose settings stand in no variable.
const BY_FILE_ONLY: [&str; 2] = ["exec", "file"];

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--secret`.
    pub secrets: Vec<SecretFlag>,
    /// `--env`.
    pub env: Vec<TemplateFlag>,
    /// `--file`.
    pub files: Vec<TemplateFlag>,
    /// `--directory`.
    pub directory: Option<String>,
    /// For whom.
    pub form: Form,
}

/// What the command makes of flags that stand alone, without a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `run` and `init`: everything else has its default.
    #[default]
    Pod,
    /// `exec`: one command on a terminal or in a script. Nothing is written but what `--file`
    /// asks for, nothing listens, nothing is left for a next process, and only warnings are said.
    Command,
}

/// `NAME=PROVIDER:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFlag {
    name: String,
    provider: String,
    path: String,
}

/// `NAME=TEMPLATE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateFlag {
    name: String,
    text: String,
}

impl SecretFlag {
    /// Reads `NAME=PROVIDER:PATH`.
    ///
    /// # Errors
    /// It has another form; what is expected, in words.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let expected = "expected NAME=PROVIDER:PATH, such as db=vault:database/creds/web";
        let (name, rest) = text.split_once('=').ok_or(expected)?;
        let (provider, path) = rest.split_once(':').ok_or(expected)?;
        if name.is_empty() || provider.is_empty() || path.is_empty() {
            return Err(expected);
        }
        if path.contains(['#', '?']) {
            return Err(
                "`#` and `?` have no meaning here: a field is chosen in a template, such as {{ db.password }}; \
                 what else a secret can have (data, version, refresh) belongs into a file, and --print-config \
                 writes one to begin with",
            );
        }
        Ok(Self { name: name.to_owned(), provider: provider.to_owned(), path: path.to_owned() })
    }
}

impl TemplateFlag {
    /// Reads `NAME=TEMPLATE`.
    ///
    /// # Errors
    /// It has another form; what is expected, in words.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text.split_once('=') {
            Some((name, text)) if !name.is_empty() => {
                Ok(Self { name: name.to_owned(), text: text.to_owned() })
            }
            _ => Err("expected NAME=TEMPLATE, such as 'PGUSER={{ db.username }}'"),
        }
    }
}

impl Flags {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.env.is_empty() && self.files.is_empty() && self.directory.is_none()
    }

    /// Whether they can stand alone, so that no file is looked for.
    pub fn stand_alone(&self) -> bool {
        !self.secrets.is_empty()
    }
}

/// What the files say that the flags may refer to.
pub(super) struct Beside {
    /// How many files there are.
    pub(super) files: usize,
    /// The providers that they define. `None`: not known, since one of them cannot be read.
    pub(super) providers: Option<BTreeSet<String>>,
}

/// The flags as a tree. `None` where there are none.
pub(super) fn tree(flags: &Flags, beside: &Beside, problems: &mut Vec<Problem>) -> Option<Node> {
    if flags.is_empty() {
        return None;
    }
    let mut root = Map::new(Place::flag(beside.files, "the command line"));
    let mut order = beside.files;
    let mut place = |flag: &str, name: &str| {
        order += 1;
        Place::flag(order, &format!("--{flag} {name}"))
    };
    for SecretFlag { name, provider, path } in &flags.secrets {
        let at = place("secret", name);
        if let Some(kind) = kind(name, provider, &at, beside, problems) {
            let providers = root.map("providers", &at);
            // Several secrets may name it.
            if providers.at(provider).is_none() {
                providers.map(provider, &at).text("type", kind, &at);
            }
        }
        let path_of_key = KeyPath::of(&["secrets", name]);
        if let Some(secret) = root.map("secrets", &at).new_map(name, &at, path_of_key, problems) {
            secret.text("provider", provider, &at);
            secret.text("path", path, &at);
        }
    }
    for TemplateFlag { name, text } in &flags.files {
        let at = place("file", name);
        let path_of_key = KeyPath::of(&["files", name]);
        if let Some(file) = root.map("files", &at).new_map(name, &at, path_of_key, problems) {
            file.text("template", text, &at);
        }
    }
    for TemplateFlag { name, text } in &flags.env {
        let at = place("env", name);
        let env = root.map("env", &at);
        match env.at(name) {
            Some(first) => problems.push(twice(first, &at, KeyPath::of(&["env", name]))),
            None => env.text(name, text, &at),
        }
    }
    if let Some(directory) = &flags.directory {
        let at = place("directory", "DIR");
        if flags.form == Form::Command && beside.files == 0 && flags.stand_alone() && flags.files.is_empty() {
            let message =
                "nothing would be written there: in front of a command that is what `--file` asks for";
            let problem = Problem::new(Some(at.clone()), KeyPath::of(&["output", "directory"]), message);
            problems.push(problem.help("add `--file NAME=TEMPLATE`, or leave `--directory` out"));
        }
        root.map("output", &at).text("directory", directory, &at);
    }
    if flags.form == Form::Command && beside.files == 0 && flags.stand_alone() {
        for_one_command(&mut root);
    }
    Some(root.into_node())
}

/// What a command on a terminal needs and a sidecar does not.
fn for_one_command(root: &mut Map) {
    let at = root.place.clone();
    root.map("files", &at);
    root.map("lifecycle", &at).text("state_directory", "off", &at);
    root.map("admin", &at).text("listen", "off", &at);
    root.map("telemetry", &at).text("listen", "off", &at);
    root.map("log", &at).text("level", "warn", &at);
}

/// The type of a provider that no file defines.
fn kind(
    secret: &str,
    provider: &str,
    place: &Place,
    beside: &Beside,
    problems: &mut Vec<Problem>,
) -> Option<&'static str> {
    let defined = beside.providers.as_ref()?;
    if defined.contains(provider) {
        return None;
    }
    if provider == MOCK {
        return Some(MOCK);
    }
    if let Some((_, kind)) = PROVIDERS.iter().find(|(short, _)| *short == provider) {
        return Some(kind);
    }
    let path = KeyPath::of(&["secrets", secret, "provider"]);
    let problem = if BY_FILE_ONLY.contains(&provider) {
        let message = format!(
            "a provider of type {provider} has settings that no environment variable holds; define it in a file"
        );
        Problem::new(Some(place.clone()), path, message)
            .help(format!("name the file with `-c FILE`; then `--secret {secret}=NAME:PATH` takes its name"))
    } else {
        let short = PROVIDERS.iter().map(|(short, _)| *short).chain([MOCK]);
        let names: Vec<&str> = defined.iter().map(String::as_str).chain(short).collect();
        let message =
            format!("no provider of this name; there are: {}", listed(names.iter().copied(), "and"));
        let problem = Problem::new(Some(place.clone()), path, message);
        match nearest(provider, names) {
            Some(name) => problem.help(did_you_mean(name)),
            None => problem,
        }
    };
    problems.push(problem);
    None
}

fn twice(first: &Place, again: &Place, path: KeyPath) -> Problem {
    let message = format!("this name is already given with {first}");
    Problem::new(Some(again.clone()), path, message).help("give each name once")
}

/// A mapping that is being made.
struct Map {
    place: Place,
    entries: Vec<(String, Place, Value)>,
}

enum Value {
    Text(String),
    Map(Map),
}

impl Map {
    fn new(place: Place) -> Self {
        Self { place, entries: Vec::new() }
    }

    /// The place of a key.
    fn at(&self, key: &str) -> Option<&Place> {
        self.entries.iter().find(|(known, ..)| known == key).map(|(_, place, _)| place)
    }

    /// The mapping at a key; made where it is not there.
    fn map(&mut self, key: &str, place: &Place) -> &mut Map {
        let index = match self.entries.iter().position(|(known, _, value)| known == key && value.is_map()) {
            Some(index) => index,
            None => {
                let map = Value::Map(Map::new(place.clone()));
                self.entries.push((key.to_owned(), place.clone(), map));
                self.entries.len() - 1
            }
        };
        match &mut self.entries[index].2 {
            Value::Map(map) => map,
            Value::Text(_) => unreachable!("looked for, or made, as a mapping"),
        }
    }

    /// A mapping at a key that is not there yet; a problem where it is.
    fn new_map(
        &mut self,
        key: &str,
        place: &Place,
        path: KeyPath,
        problems: &mut Vec<Problem>,
    ) -> Option<&mut Map> {
        if let Some(first) = self.at(key) {
            problems.push(twice(first, place, path));
            return None;
        }
        Some(self.map(key, place))
    }

    fn text(&mut self, key: &str, text: &str, place: &Place) {
        self.entries.push((key.to_owned(), place.clone(), Value::Text(text.to_owned())));
    }

    fn into_node(self) -> Node {
        let entries = self.entries.into_iter().map(|(key, place, value)| Entry {
            key,
            value: match value {
                Value::Map(map) => map.into_node(),
                Value::Text(text) => {
                    Node { place: place.clone(), kind: Kind::Scalar(Scalar { text, style: Style::Quoted }) }
                }
            },
            place,
        });
        Node { place: self.place, kind: Kind::Map(entries.collect()) }
    }
}

impl Value {
    fn is_map(&self) -> bool {
        matches!(self, Self::Map(_))
    }
}

impl Place {
    /// A place that is no line of a file.
    fn flag(order: usize, flag: &str) -> Self {
        Self { order, file: Arc::from(flag), line: 0, column: 0 }
    }
}

/// A tree of mappings and texts as YAML.
pub(super) fn yaml(root: &Node) -> String {
    let mut text = String::new();
    block(root.entries(), 0, &mut text);
    text
}

fn block(entries: &[Entry], depth: usize, out: &mut String) {
    for Entry { key, value, .. } in entries {
        let indent = "  ".repeat(depth);
        // Writing to a string does not fail.
        let _ = match &value.kind {
            Kind::Scalar(scalar) => writeln!(out, "{indent}{}: {}", word(key), word(&scalar.text)),
            _ if value.entries().is_empty() => writeln!(out, "{indent}{}: {{}}", word(key)),
            _ => writeln!(out, "{indent}{}:", word(key)),
        };
        block(value.entries(), depth + 1, out);
    }
}

/// A text as one line of YAML: as it is where it cannot be taken for anything else, else in double
/// quotes.
fn word(text: &str) -> String {
    const ANOTHER_MEANING: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.'))
        && !ANOTHER_MEANING.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        return text.to_owned();
    }
    let mut quoted = String::from('"');
    for c in text.chars() {
        // Writing to a string does not fail.
        let _ = match c {
            '"' | '\\' => write!(quoted, "\\{c}"),
            '\n' => write!(quoted, "\\n"),
            '\t' => write!(quoted, "\\t"),
            '\r' => write!(quoted, "\\r"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                write!(quoted, "\\u{:04X}", u32::from(c))
            }
            c => write!(quoted, "{c}"),
        };
    }
    quoted.push('"');
    quoted
}
