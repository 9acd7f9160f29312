//! YAML → a tree that keeps file, line and column of everything.
//!
//! One document a file; duplicate keys, keys that are no text, tags and runaway aliases are
//! problems. Types are not decided here: a scalar keeps its text, so that `0440` and `1.10` are
//! what was written.

mod syntax;

use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span};

use super::report::{KeyPath, Place, Problem, Segment, quoted};
use syntax::syntax;

/// One value with its place.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Clone)]
pub(super) enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A scalar, as written.
#[derive(Clone)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) style: Style,
}

/// How a scalar was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Without quotes: its text decides what it is.
    Plain,
    /// In quotes or as a block: text.
    Quoted,
    /// Something of the environment is in it: it is what its place asks for.
    Expanded,
    /// It could not be expanded; that has been said.
    Failed,
}

/// One entry of a mapping.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Of the key.
    pub(super) place: Place,
    pub(super) value: Node,
}

/// What the text of a plain scalar says it is (YAML 1.2, core schema).
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text,
}

/// What came of reading a file.
pub(super) struct Parsed {
    /// The tree; where the file breaks off, what stands before. `None`: an empty file.
    pub(super) root: Option<Node>,
    pub(super) problems: Vec<Problem>,
}

impl Node {
    /// The entries of a mapping.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The value of a key.
    pub(super) fn at(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// True for a key without a value.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.plain() == Plain::Null)
    }

    /// The place of what a path leads to, or of the last thing on the way that is there. The key's
    /// place where there is a key: that is where one looks.
    pub(super) fn place_of(&self, path: &KeyPath) -> Place {
        let mut place = &self.place;
        let mut node = self;
        for segment in path.segments() {
            match (segment, &node.kind) {
                (Segment::Key(key), Kind::Map(entries)) => {
                    let Some(entry) = entries.iter().find(|entry| entry.key == *key) else { break };
                    (place, node) = (&entry.place, &entry.value);
                }
                (Segment::Index(index), Kind::List(items)) => {
                    let Some(item) = items.get(*index) else { break };
                    (place, node) = (&item.place, item);
                }
                // A mapping's key may look like a number.
                (Segment::Index(index), Kind::Map(entries)) => {
                    let key = index.to_string();
                    let Some(entry) = entries.iter().find(|entry| entry.key == key) else { break };
                    (place, node) = (&entry.place, &entry.value);
                }
                _ => break,
            }
        }
        place.clone()
    }
}

impl Scalar {
    /// What it is, by the rules of YAML 1.2.
    pub(super) fn plain(&self) -> Plain {
        if self.style != Style::Plain {
            return Plain::Text;
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Plain::Null,
            "true" | "True" | "TRUE" => Plain::Bool(true),
            "false" | "False" | "FALSE" => Plain::Bool(false),
            text => number(text),
        }
    }
}

fn number(text: &str) -> Plain {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Plain::Text;
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return u64::from_str_radix(octal, 8).map_or(Plain::Text, Plain::Unsigned);
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).map_or(Plain::Text, Plain::Unsigned);
    }
    if let Ok(value) = text.parse() {
        return Plain::Unsigned(value);
    }
    if let Ok(value) = text.parse() {
        return Plain::Signed(value);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Plain::Float(value),
        _ => Plain::Text,
    }
}

/// Reads one file. `order` is its position among the files given.
pub(super) fn parse(text: &str, file: &Arc<str>, order: usize) -> Parsed {
    let mut builder = Builder {
        events: Parser::new_from_str(text),
        file: Arc::clone(file),
        order,
        anchors: Vec::new(),
        nodes: 0,
        problems: Vec::new(),
    };
    let root = builder.document();
    Parsed { root, problems: builder.problems }
}

/// More is no configuration, but an attempt to fill memory through aliases.
const MOST_NODES: usize = 200_000;
/// Deeper is a mistake; this bounds the recursion.
const DEEPEST: usize = 64;

struct Builder<'a> {
    events: Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>,
    file: Arc<str>,
    order: usize,
    anchors: Vec<(usize, Node)>,
    nodes: usize,
    problems: Vec<Problem>,
}

/// The rest of the file is not read; the problem is noted.
struct Broken;

impl<'a> Builder<'a> {
    fn document(&mut self) -> Option<Node> {
        let mut root = None;
        loop {
            match self.next() {
                None => return root,
                Some((Event::StreamEnd, _)) => return root,
                Some((Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd, _)) => {}
                Some((_, span)) if root.is_some() => {
                    let place = self.place(&span);
                    self.note(place, "a second document begins here; only one is allowed in a file");
                    return root;
                }
                Some((event, span)) => {
                    let (node, end) = self.node(event, &span, 0);
                    root = node;
                    if end.is_err() {
                        return root;
                    }
                }
            }
        }
    }

    /// The next event that is no comment; `None` at the end or at the first error.
    fn next(&mut self) -> Option<(Event<'a>, Span)> {
        loop {
            match self.events.next_event()? {
                Ok((Event::Comment(..) | Event::Anchor(..), _)) => {}
                Ok(event) => return Some(event),
                Err(error) => {
                    let mark = error.marker();
                    let place = Place {
                        order: self.order,
                        file: Arc::clone(&self.file),
                        line: mark.line().max(1),
                        column: mark.col() + 1,
                    };
                    let (message, help) = syntax(&error);
                    let mut problem = Problem::new(Some(place), KeyPath::default(), message);
                    problem.help = help.map(str::to_owned);
                    self.problems.push(problem);
                    return None;
                }
            }
        }
    }

    /// One value. Where the file breaks off inside it, what there is of it.
    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> (Option<Node>, Result<(), Broken>) {
        let place = self.place(span);
        self.nodes += 1;
        if self.nodes > MOST_NODES || depth > DEEPEST {
            let what = if depth > DEEPEST { "nested too deeply" } else { "too large" };
            self.note(place, format!("this is {what} for a configuration"));
            return (None, Err(Broken));
        }
        if event.tag().is_some_and(|tag| tag.is_custom()) {
            self.note(place.clone(), "tags (`!name`) have no meaning here; remove it");
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain if tag.is_none() => Style::Plain,
                    _ => Style::Quoted,
                };
                let kind = Kind::Scalar(Scalar { text: text.into_owned(), style });
                let node = Node { place, kind };
                self.remember(anchor, &node);
                (Some(node), Ok(()))
            }
            Event::SequenceStart(_, anchor, _) => {
                let (items, end) = self.list(depth);
                let node = Node { place, kind: Kind::List(items) };
                self.remember(anchor, &node);
                (Some(node), end)
            }
            Event::MappingStart(_, anchor, _) => {
                let (entries, end) = self.map(depth);
                let node = Node { place, kind: Kind::Map(entries) };
                self.remember(anchor, &node);
                (Some(node), end)
            }
            Event::Alias(anchor) => {
                let found = self.anchors.iter().rev().find(|(id, _)| *id == anchor);
                let Some(node) = found.map(|(_, node)| node.clone()) else {
                    self.note(place, "an alias (`*name`) inside the value that it names");
                    return (None, Err(Broken));
                };
                self.nodes += size(&node);
                (Some(node), Ok(()))
            }
            _ => {
                self.note(place, "a value was expected here");
                (None, Err(Broken))
            }
        }
    }

    fn list(&mut self, depth: usize) -> (Vec<Node>, Result<(), Broken>) {
        let mut items = Vec::new();
        loop {
            match self.next() {
                None => return (items, Err(Broken)),
                Some((Event::SequenceEnd, _)) => return (items, Ok(())),
                Some((event, span)) => {
                    let (item, end) = self.node(event, &span, depth + 1);
                    items.extend(item);
                    if end.is_err() {
                        return (items, end);
                    }
                }
            }
        }
    }

    fn map(&mut self, depth: usize) -> (Vec<Entry>, Result<(), Broken>) {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = match self.next() {
                None => return (entries, Err(Broken)),
                Some((Event::MappingEnd, _)) => break,
                Some(key) => key,
            };
            let (key, end) = self.node(event, &span, depth + 1);
            let (Some(key), Ok(())) = (key, end) else { return (entries, Err(Broken)) };
            let Some((event, span)) = self.next() else { return (entries, Err(Broken)) };
            let (value, end) = self.node(event, &span, depth + 1);
            if let Some(value) = value {
                self.add(key, value, &mut entries, &mut merged);
            }
            if end.is_err() {
                return (entries, end);
            }
        }
        for entry in merged {
            if !entries.iter().any(|known| known.key == entry.key) {
                entries.push(entry);
            }
        }
        (entries, Ok(()))
    }

    fn add(&mut self, key: Node, value: Node, entries: &mut Vec<Entry>, merged: &mut Vec<Entry>) {
        let Kind::Scalar(Scalar { text, style }) = key.kind else {
            let message = "a key has to be text, not a list or a mapping";
            let problem = Problem::new(Some(key.place), KeyPath::default(), message);
            return self.problems.push(problem.help("text that begins with `{` or `[` belongs in quotes"));
        };
        if text == "<<" && style == Style::Plain {
            return match value.kind {
                Kind::Map(more) => merged.extend(more),
                Kind::List(items) if items.iter().all(|item| matches!(item.kind, Kind::Map(_))) => {
                    merged.extend(items.iter().flat_map(|item| item.entries().iter().cloned()));
                }
                _ => self.note(key.place, "`<<` takes a mapping or a list of mappings, by alias"),
            };
        }
        if let Some(first) = entries.iter().find(|entry| entry.key == text) {
            let message = format!("the key {} is already set at {}; set it once", quoted(&text), first.place);
            return self.note(key.place, message);
        }
        entries.push(Entry { key: text, place: key.place, value });
    }

    fn remember(&mut self, anchor: usize, node: &Node) {
        if anchor != 0 {
            self.anchors.push((anchor, node.clone()));
        }
    }

    fn note(&mut self, place: Place, message: impl Into<String>) {
        self.problems.push(Problem::new(Some(place), KeyPath::default(), message));
    }

    fn place(&self, span: &Span) -> Place {
        Place {
            order: self.order,
            file: Arc::clone(&self.file),
            line: span.start.line().max(1),
            column: span.start.col() + 1,
        }
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.kind {
        Kind::Scalar(_) => 0,
        Kind::List(items) => items.iter().map(size).sum(),
        Kind::Map(entries) => entries.iter().map(|entry| size(&entry.value)).sum(),
    }
}
