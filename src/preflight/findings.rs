//! What was found, in the order it was found, and how it is said.

use std::fmt;

use leasehold_core::{Error, Kind, MissingRight};

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    found: Vec<Finding>,
    /// Policy stanzas that would grant what is missing, each once.
    policy: Vec<String>,
}

/// One thing that was found. Without any value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub weight: Weight,
    /// `provider vault`, `secret db`, `file db.env`.
    pub about: String,
    /// What it is.
    pub text: String,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// It works, less well.
    Warning,
    /// It would not start, for this kind of reason.
    Problem(Kind),
}

impl Findings {
    /// In the order they were made.
    pub fn found(&self) -> &[Finding] {
        &self.found
    }

    /// The kind of the first problem, if there is one.
    pub fn problem_kind(&self) -> Option<Kind> {
        self.found.iter().find_map(|finding| match finding.weight {
            Weight::Problem(kind) => Some(kind),
            _ => None,
        })
    }

    pub(super) fn good(&mut self, about: &str, text: String) {
        self.add(Weight::Good, about, text);
    }

    pub(crate) fn note(&mut self, about: &str, text: String) {
        self.add(Weight::Note, about, text);
    }

    pub(super) fn warning(&mut self, about: &str, text: String) {
        self.add(Weight::Warning, about, text);
    }

    pub(super) fn problem(&mut self, about: &str, error: &Error) {
        self.add(Weight::Problem(error.kind), about, in_words(error));
    }

    /// An error that the start would shrug off.
    pub(super) fn excused(&mut self, about: &str, error: &Error) {
        let text = format!("{}; it is not required, so its files are left out", in_words(error));
        self.note(about, text);
    }

    /// The configuration does not fit what the store has.
    pub(super) fn wrong(&mut self, about: &str, text: String) {
        self.add(Weight::Problem(Kind::Invalid), about, text);
    }

    /// Rights that are missing, by secret. What several secrets miss is said once.
    pub(super) fn rights(&mut self, provider: &str, missing: Vec<(String, MissingRight)>) {
        let mut said: Vec<MissingRight> = Vec::new();
        for (_, right) in &missing {
            if said.contains(right) {
                continue;
            }
            let secrets: Vec<&str> =
                missing.iter().filter(|(_, other)| other == right).map(|(name, _)| name.as_str()).collect();
            let about = match secrets.as_slice() {
                [only] => format!("secret {only}"),
                _ => provider.to_owned(),
            };
            let text =
                format!("may not {} {}: wanted {}", right.capabilities.join(", "), right.path, right.purpose);
            let weight = if right.required { Weight::Problem(Kind::Denied) } else { Weight::Warning };
            self.add(weight, &about, text);
            if !self.policy.contains(&right.remedy) {
                self.policy.push(right.remedy.clone());
            }
            said.push(right.clone());
        }
    }

    fn add(&mut self, weight: Weight, about: &str, text: String) {
        let finding = Finding { weight, about: about.to_owned(), text };
        if !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }
}

/// Without what the line begins with: the provider's or the secret's name.
fn in_words(error: &Error) -> String {
    let path = error.reference.split_once(" (").and_then(|(_, path)| path.strip_suffix(')'));
    let path = path.map_or_else(String::new, |path| format!("{path}: "));
    format!("{path}{}", error.detail)
}

impl fmt::Display for Findings {
    /// A line for each finding, the policy that is missing, and a line that counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.found {
            let weight = match finding.weight {
                Weight::Good => "ok",
                Weight::Note => "note",
                Weight::Warning => "warning",
                Weight::Problem(_) => "problem",
            };
            writeln!(f, "{weight:<8} {}: {}", finding.about, finding.text)?;
        }
        if !self.policy.is_empty() {
            writeln!(f, "\nWhat grants what is missing:\n")?;
            for stanza in &self.policy {
                writeln!(f, "{}\n", stanza.trim_end())?;
            }
        }
        let count = |wanted: fn(&Weight) -> bool| self.found.iter().filter(|f| wanted(&f.weight)).count();
        let problems = count(|weight| matches!(weight, Weight::Problem(_)));
        let warnings = count(|weight| *weight == Weight::Warning);
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        write!(f, "{problems} problem{}, {warnings} warning{}", plural(problems), plural(warnings))
    }
}
