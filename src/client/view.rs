//! Lines for people: text in a few styles, which become colours only where a terminal shows them.
//!
//! No style names black or white, and nothing is said by colour alone: it has to be read on light and on
//! dark backgrounds, and in a log.

use std::io;

/// What whoever reads it can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Columns of the terminal; `None`: as many as it takes.
    pub columns: Option<usize>,
    /// What bars are made of.
    pub glyphs: Glyphs,
    /// Whether styles become colours.
    pub colours: Colours,
}

/// What bars are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// What every reader has.
    Ascii,
    /// Blocks.
    Unicode,
}

/// Whether styles become colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// Plain text.
    Off,
    /// Bold, faint, and three of the eight colours.
    On,
}

impl View {
    /// For what is no terminal.
    pub const PLAIN: Self = Self { columns: None, glyphs: Glyphs::Ascii, colours: Colours::Off };

    pub(super) fn ellipsis(&self) -> &'static str {
        match self.glyphs {
            Glyphs::Ascii => "..",
            Glyphs::Unicode => "…",
        }
    }
}

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    /// What the eye should find first.
    Strong,
    /// What it may skip.
    Faint,
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Broken.
    Bad,
}

impl Style {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Strong => Some("1"),
            Self::Faint => Some("2"),
            Self::Good => Some("32"),
            Self::Warning => Some("33"),
            Self::Bad => Some("1;31"),
        }
    }
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(Style, String)>);

impl Line {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::new().and(Style::Plain, text)
    }

    #[must_use]
    pub(crate) fn and(mut self, style: Style, text: impl Into<String>) -> Self {
        let text = text.into();
        if !text.is_empty() {
            self.0.push((style, text));
        }
        self
    }

    #[must_use]
    pub(crate) fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// In characters: what stands here is made of narrow ones.
    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// With spaces after it up to this width.
    #[must_use]
    pub(super) fn padded(self, width: usize) -> Self {
        let missing = width.saturating_sub(self.width());
        self.and(Style::Plain, " ".repeat(missing))
    }

    /// The same, for what is old.
    #[must_use]
    pub(super) fn faint(self) -> Self {
        Self(self.0.into_iter().map(|(_, text)| (Style::Faint, text)).collect())
    }

    /// Its first columns.
    #[must_use]
    pub(super) fn cut(self, width: usize) -> Self {
        let mut left = width;
        let cut = |(style, text): (Style, String)| {
            let text: String = text.chars().take(left).collect();
            left -= text.chars().count();
            (style, text)
        };
        Self(self.0.into_iter().map(cut).filter(|(_, text)| !text.is_empty()).collect())
    }

    /// Without what nobody sees at its end.
    #[must_use]
    pub(super) fn trimmed(mut self) -> Self {
        while let Some((_, text)) = self.0.last_mut() {
            text.truncate(text.trim_end().len());
            if !text.is_empty() {
                break;
            }
            self.0.pop();
        }
        self
    }

    /// As bytes, without the end of the line.
    pub(crate) fn painted(self, colours: Colours) -> String {
        let mut painted = String::new();
        for (style, text) in self.trimmed().0 {
            match style.code().filter(|_| colours == Colours::On) {
                Some(code) => painted.push_str(&format!("\x1b[{code}m{text}\x1b[0m")),
                None => painted.push_str(&text),
            }
        }
        painted
    }
}

/// Writes lines, each with its end.
pub(crate) fn write(lines: Vec<Line>, view: &View, out: &mut impl io::Write) -> io::Result<()> {
    lines.into_iter().try_for_each(|line| writeln!(out, "{}", line.painted(view.colours)))
}

/// A text over as many lines as it takes, the first after `first`, the others as far in. Words are kept whole
/// where they fit.
pub(crate) fn wrapped(first: Line, style: Style, text: &str, view: &View) -> Vec<Line> {
    const NARROWEST: usize = 20;
    let indent = first.width();
    let Some(room) = view.columns.map(|columns| columns.saturating_sub(indent).max(NARROWEST)) else {
        return vec![first.and(style, text)];
    };
    let mut rows: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        let mut word: &str = word;
        loop {
            let row = rows.last_mut().expect("there is always a row");
            let space = usize::from(!row.is_empty());
            let used = row.chars().count() + space;
            if used + word.chars().count() <= room {
                row.push_str(&" "[..space]);
                row.push_str(word);
                break;
            }
            if space == 0 {
                let end = word.char_indices().nth(room).map_or(word.len(), |(at, _)| at);
                row.push_str(&word[..end]);
                word = &word[end..];
            }
            rows.push(String::new());
        }
    }
    let mut rows = rows.into_iter();
    let mut lines = vec![first.and(style, rows.next().unwrap_or_default())];
    lines.extend(rows.map(|row| Line::plain(" ".repeat(indent)).and(style, row)));
    lines
}

/// A text of at most this many characters: the middle goes, since a lease's path is at its begin and what
/// tells it from others at its end.
pub(crate) fn elided(text: &str, width: usize, view: &View) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let gap = view.ellipsis();
    let kept = width.saturating_sub(gap.chars().count());
    let tail = kept.div_ceil(2);
    let begin: String = text.chars().take(kept - tail).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{begin}{gap}{end}").chars().take(width).collect()
}

/// A bar of this many columns: what is left, then what is gone.
pub(crate) fn bar(fraction: f64, width: usize, glyphs: Glyphs) -> (String, String) {
    let fraction = fraction.clamp(0.0, 1.0);
    match glyphs {
        Glyphs::Ascii => {
            let inside = width.saturating_sub(2);
            let full = (fraction * inside as f64).ceil() as usize;
            (format!("[{}", "#".repeat(full)), format!("{}]", "-".repeat(inside - full)))
        }
        Glyphs::Unicode => {
            // Half as high as a line, so that those of two rows are two.
            let halves = (fraction * (width * 2) as f64).ceil() as usize;
            let (full, part) = (halves / 2, ["", "▖"][halves % 2]);
            let rest = width - full - usize::from(!part.is_empty());
            (format!("{}{part}", "▄".repeat(full)), "▁".repeat(rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NARROW: View = View { columns: Some(30), glyphs: Glyphs::Unicode, colours: Colours::Off };

    #[test]
    fn a_long_text_keeps_to_its_columns_and_loses_nothing() {
        let text = "denied at a path that is_far_longer_than_any_line_could_be_and_has_no_space_in_it at all";
        let lines = wrapped(Line::plain("  ! "), Style::Bad, text, &NARROW);
        let painted: Vec<String> = lines.into_iter().map(|line| line.painted(Colours::Off)).collect();
        assert!(painted.iter().all(|line| line.chars().count() <= 30), "{painted:?}");
        let joined: String = painted.concat().chars().filter(|c| !c.is_whitespace() && *c != '!').collect();
        assert_eq!(joined, text.replace(' ', ""));
    }

    #[test]
    fn what_is_left_out_of_a_lease_is_its_middle() {
        let lease = "database/creds/web/n1ck1ZVTYJ9mgAiFqyuCuR8N";
        assert_eq!(elided(lease, 12, &NARROW), "datab…uCuR8N");
    }

    #[test]
    fn a_bar_is_as_wide_as_asked_and_never_empty_while_something_is_left() {
        for glyphs in [Glyphs::Ascii, Glyphs::Unicode] {
            for step in 0..=1_000 {
                let (full, rest) = bar(f64::from(step) / 1_000.0, 10, glyphs);
                assert_eq!(full.chars().count() + rest.chars().count(), 10, "{step}");
                let shown = full.trim_start_matches('[').chars().count();
                assert_eq!(shown == 0, step == 0, "{step} {full}");
            }
        }
    }

    #[test]
    fn styles_are_colours_only_where_they_are_wanted() {
        let line = || Line::new().and(Style::Good, "held").and(Style::Plain, "  ");
        assert_eq!(line().painted(Colours::Off), "held");
        assert_eq!(line().painted(Colours::On), "\x1b[32mheld\x1b[0m");
    }
}
