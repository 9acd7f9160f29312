//! A page of the documentation, taken apart: its blocks of code, each known by the line before it.
//!
//! | before the block | what it is |
//! | --- | --- |
//! | `The store holds…:` | the values of the page's secrets; what they do not name is made up |
//! | `` `NAME` holds:`` | a file beside the configuration of the next example |
//! | anything else, the first block in YAML | the stores and secrets that all examples go with |
//! | anything else, another block in YAML | an example: the rest of a configuration |
//! | anything else, a block in `sh` or `python` | a program that is run after the example |
//! | `` `NAME`:`` | what the example writes to that file |
//! | `The files:` | mode and name of all that the example writes |
//! | `The command gets:` | variables of a command under `exec` |
//! | `` `leasehold COMMAND` says:`` | the error that the example is for |
//! | `It prints:` | what the program prints |
//!
//! A row of a table with the columns `example` and `gives` is a template and its text.

use std::fs;
use std::path::Path;

/// What is said on a page.
pub(super) struct Page {
    /// In YAML.
    pub(super) base: String,
    /// In YAML.
    pub(super) values: String,
    pub(super) examples: Vec<Example>,
    /// Templates and their texts.
    pub(super) rows: Vec<(String, String)>,
}

/// A configuration, and what comes of it.
#[derive(Default)]
pub(super) struct Example {
    pub(super) configuration: String,
    /// Files beside it.
    pub(super) beside: Vec<(String, String)>,
    pub(super) shown: Vec<Shown>,
}

/// What a page shows of an example.
pub(super) enum Shown {
    File { name: String, text: String },
    Files(String),
    Variables(String),
    Error { command: String, text: String },
    Program { language: String, text: String, prints: Option<String> },
}

impl Page {
    /// Reads it. What is shown and belongs to nothing is a mistake of the page.
    #[track_caller]
    pub(super) fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut page =
            Self { base: String::new(), values: String::new(), examples: Vec::new(), rows: rows(&text) };
        let mut beside = Vec::new();
        for Block { before, language, text } in blocks(&text) {
            if before.starts_with("The store holds") {
                page.values = text;
            } else if let Some(file) = quoted(&before, " holds:") {
                beside.push((file.to_owned(), text));
            } else if let Some(shown) = shown(&before, &language, &text) {
                let example = page.examples.last_mut();
                example.unwrap_or_else(|| panic!("{name}: {before} of no example")).shown.push(shown);
            } else if before == "It prints:" {
                let last = page.examples.last_mut().and_then(|example| example.shown.last_mut());
                let Some(Shown::Program { prints, .. }) = last else {
                    panic!("{name}: {text} of no program")
                };
                *prints = Some(text);
            } else if language == "yaml" && page.base.is_empty() {
                page.base = text;
            } else if language == "yaml" {
                let beside = std::mem::take(&mut beside);
                page.examples.push(Example { configuration: text, beside, shown: Vec::new() });
            } else {
                panic!("{name}: nobody looks at this block in {language:?}, after {before:?}:\n{text}");
            }
        }
        assert!(beside.is_empty(), "{name}: {beside:?} is beside no example");
        page
    }
}

fn shown(before: &str, language: &str, text: &str) -> Option<Shown> {
    let text = text.to_owned();
    Some(if let Some(name) = quoted(before, ":") {
        Shown::File { name: name.to_owned(), text }
    } else if let Some(command) = quoted(before, " says:").and_then(|said| said.strip_prefix("leasehold ")) {
        Shown::Error { command: command.to_owned(), text }
    } else if before == "The files:" {
        Shown::Files(text)
    } else if before == "The command gets:" {
        Shown::Variables(text)
    } else if matches!(language, "sh" | "python") {
        Shown::Program { language: language.to_owned(), text, prints: None }
    } else {
        return None;
    })
}

/// What stands in a code span, where that and `after` are all of the line.
fn quoted<'a>(line: &'a str, after: &str) -> Option<&'a str> {
    let inside = line.strip_prefix('`')?.strip_suffix(after)?.strip_suffix('`')?;
    (!inside.contains('`')).then_some(inside)
}

struct Block {
    /// The last line before it that is not empty.
    before: String,
    language: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut before = "";
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text =
                lines.by_ref().take_while(|line| *line != "```").flat_map(|line| [line, "\n"]).collect();
            blocks.push(Block { before: before.to_owned(), language: language.to_owned(), text });
            before = "";
        } else if !line.is_empty() {
            before = line;
        }
    }
    blocks
}

/// The rows of the tables that show templates. In a cell `\|` is a bar, and `⏎` the end of a line.
fn rows(page: &str) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut columns = None;
    for line in page.lines() {
        let Some(inside) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
            columns = None;
            continue;
        };
        let inside = inside.replace("\\|", "\0");
        let cells: Vec<String> = inside.split(" | ").map(|cell| cell.replace('\0', "|")).collect();
        let column = |name: &str| cells.iter().position(|cell| cell == name);
        if let Some(found) = column("example").zip(column("gives")) {
            columns = Some(found);
        } else if let Some((example, gives)) = columns
            && !line.starts_with("| ---")
        {
            let code = |at: usize| quoted(&cells[at], "").unwrap_or_else(|| panic!("no code: {line}"));
            rows.push((code(example).to_owned(), code(gives).replace('⏎', "\n")));
        }
    }
    rows
}
