//! Headings, rows and texts, wrapped to the width of a page.

use crate::client::{Line, Style, View, wrapped};

/// Where the texts of rows begin.
const LABEL: usize = 15;

/// What is being written.
pub(super) struct Page {
    view: View,
    lines: Vec<Line>,
}

impl Page {
    pub(super) fn new(view: View) -> Self {
        Self { view, lines: Vec::new() }
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    pub(super) fn lines(self) -> Vec<Line> {
        self.lines
    }

    /// `PROVIDER vault`, and what it is.
    pub(super) fn heading(&mut self, kind: &str, name: &str, text: &str) {
        self.gap();
        let first = Line::new().and(Style::Strong, kind).and(Style::Plain, " ").and(Style::Strong, name);
        let colon = if name.is_empty() || text.is_empty() { "" } else { ": " };
        self.lines.extend(wrapped(first, Style::Plain, &format!("{colon}{text}"), &self.view));
    }

    /// `  Request   reads …`
    pub(super) fn row(&mut self, label: &str, text: &str) {
        let first = Line::plain("  ").and(Style::Faint, format!("{label:<width$}", width = LABEL - 2));
        self.lines.extend(wrapped(first, Style::Plain, text, &self.view));
    }

    /// More of the row before.
    pub(super) fn more(&mut self, text: &str) {
        self.row("", text);
    }

    /// A text over the whole width.
    pub(super) fn text(&mut self, text: &str) {
        self.lines.extend(wrapped(Line::new(), Style::Plain, text, &self.view));
    }

    /// A text as far in as a row.
    pub(super) fn indented(&mut self, text: &str) {
        self.lines.extend(wrapped(Line::plain("  "), Style::Plain, text, &self.view));
    }

    /// As it stands: it is to be copied.
    pub(super) fn verbatim(&mut self, text: &str) {
        self.lines.extend(text.lines().map(|line| Line::plain("  ").and(Style::Plain, line)));
    }

    pub(super) fn raw(&mut self, lines: Vec<Line>) {
        self.lines.extend(lines);
    }

    /// An empty line, where there is something before it.
    pub(super) fn gap(&mut self) {
        if !self.lines.is_empty() {
            self.lines.push(Line::new());
        }
    }
}

/// `no files`, `1 file`, `2 files`.
pub(super) fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}
