//! What is wrong with a configuration, as one report for a person.
//!
//! Every problem says where it is, which key it is about, what is allowed and what was probably
//! meant. It never repeats a value: a value may be a secret that landed in the wrong place. What
//! it repeats are keys, and names that the configuration defines elsewhere.

use std::fmt;
use std::sync::Arc;

/// Everything that is wrong, in the order of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as far as it has a place.
    pub place: Option<Place>,
    /// The key it is about. Empty: a whole file, or all of them.
    pub key: KeyPath,
    /// What is wrong and what is allowed. Never the value.
    pub message: String,
    /// What was probably meant, or what to do.
    pub help: Option<String>,
}

/// A place in a file, counted from 1; or a flag of the command line, whose line is 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which of the given files, for the order of the report.
    pub(super) order: usize,
    /// The file as it was named; or the flag.
    pub file: Arc<str>,
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// The way to a key from the top of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPath(Vec<Segment>);

/// One step of a [`KeyPath`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Into a mapping.
    Key(String),
    /// Into a list, counted from 0.
    Index(usize),
}

impl Report {
    /// A report of these problems, sorted by place; those without one come first.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        problems.dedup();
        Self { problems }
    }

    /// The problems, by place.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// One line: the first problem and how many more there are. For the termination message.
    pub fn first_line(&self) -> String {
        let first = self.problems.first().map(Problem::in_one_line).unwrap_or_default();
        match self.problems.len() {
            0 | 1 => first,
            count => format!("{first} (and {} more)", count - 1),
        }
    }
}

impl fmt::Display for Report {
    /// One block for each problem, and a line that counts them last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}\n")?;
        }
        match self.problems.len() {
            1 => f.write_str("1 problem in the configuration"),
            count => write!(f, "{count} problems in the configuration"),
        }
    }
}

impl std::error::Error for Report {}

impl Problem {
    /// A problem with this key, at this place.
    pub(super) fn new(place: Option<Place>, key: KeyPath, message: impl Into<String>) -> Self {
        Self { place, key, message: message.into(), help: None }
    }

    /// Adds what was probably meant, or what to do.
    #[must_use]
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn in_one_line(&self) -> String {
        let place = self.place.as_ref().map(ToString::to_string);
        let key = (!self.key.0.is_empty()).then(|| self.key.to_string());
        let help = self.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        let said = [place, key, Some(format!("{}{help}", self.message))];
        let said = said.into_iter().flatten().collect::<Vec<_>>().join(": ");
        said.lines().map(str::trim).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = !self.key.0.is_empty();
        match &self.place {
            Some(place) if key => writeln!(f, "{place}: {}", self.key)?,
            Some(place) => writeln!(f, "{place}")?,
            None if key => writeln!(f, "{}", self.key)?,
            None => {}
        }
        let indent = if self.place.is_some() || key { "  " } else { "" };
        write!(f, "{indent}{}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

impl Place {
    /// Without the column: `FILE:LINE`, or the flag.
    pub(super) fn line(&self) -> String {
        match self.line {
            0 => self.file.to_string(),
            line => format!("{}:{line}", self.file),
        }
    }
}

impl KeyPath {
    /// The steps, from the top.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether it leads to a key of that name.
    pub(super) fn ends_with(&self, name: &str) -> bool {
        matches!(self.0.last(), Some(Segment::Key(key)) if key == name)
    }

    /// One step into a mapping.
    #[must_use]
    pub(super) fn key(&self, key: &str) -> Self {
        let mut longer = self.clone();
        longer.0.push(Segment::Key(key.to_owned()));
        longer
    }

    /// One step into a list.
    #[must_use]
    pub(super) fn index(&self, index: usize) -> Self {
        let mut longer = self.clone();
        longer.0.push(Segment::Index(index));
        longer
    }

    /// The path with these keys from the top.
    pub(super) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|&key| Segment::Key(key.to_owned())).collect())
    }

    /// Goes on along what a provider calls a key: `auth.role`, `redirect_to.0` or `redirect_to[0]`.
    #[must_use]
    pub(super) fn along(&self, dotted: &str) -> Self {
        let mut longer = self.clone();
        for part in dotted.split(['.', '[']).map(|part| part.trim_end_matches(']')) {
            if part.is_empty() {
                continue;
            }
            longer.0.push(match part.parse() {
                Ok(index) => Segment::Index(index),
                Err(_) => Segment::Key(part.to_owned()),
            });
        }
        longer
    }
}

impl fmt::Display for KeyPath {
    /// `files["db.env"].mode`, `on_change[0].signal`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) if is_plain(key) && position == 0 => f.write_str(key)?,
                Segment::Key(key) if is_plain(key) => write!(f, ".{key}")?,
                Segment::Key(key) => write!(f, "[{:?}]", shortened(key))?,
            }
        }
        Ok(())
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key.chars().count() <= LONGEST_KEY
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// How much of a key is shown. Longer ones are text that slipped into a key's place.
const LONGEST_KEY: usize = 64;

fn shortened(key: &str) -> String {
    if key.chars().count() <= LONGEST_KEY {
        return key.to_owned();
    }
    key.chars().take(LONGEST_KEY / 2).chain("…".chars()).collect()
}

/// A key as it stands in a sentence.
pub(super) fn quoted(key: &str) -> String {
    format!("{:?}", shortened(key))
}

/// The name among `known` that `written` was probably meant to be.
pub(super) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    known
        .into_iter()
        .map(|name| (name, strsim::damerau_levenshtein(&lower, &name.to_lowercase())))
        // Up to a third of the letters may differ; at least one, but never all.
        .filter(|(name, distance)| {
            let length = name.chars().count().max(lower.chars().count());
            *distance <= (length / 3).max(1) && (*distance < length || *distance == 0)
        })
        .min_by_key(|(_, distance)| *distance)
        .map(|(name, _)| name)
}

/// `did you mean "vault"?`
pub(super) fn did_you_mean(name: &str) -> String {
    format!("did you mean {}?", quoted(name))
}

/// `a, b or c`, or a word where there is nothing to list.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    const MOST: usize = 20;
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [only] => (*only).to_owned(),
        [init @ .., end] if names.len() <= MOST => format!("{} {last} {end}", init.join(", ")),
        many => format!("{} and {} more", many[..MOST].join(", "), many.len() - MOST),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_name_without_a_letter_in_common_is_not_near() {
        assert_eq!(nearest("b", ["a"]), None);
        assert_eq!(nearest("B", ["b"]), Some("b"));
        assert_eq!(nearest("ac", ["ab"]), Some("ab"));
        assert_eq!(nearest("valut", ["aws", "vault"]), Some("vault"));
    }
}
