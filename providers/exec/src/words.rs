//! The program's own words, and what is shown of them.

use leasehold_core::SecretBytes;
use serde_json::Value;

use crate::config::Messages;

/// More than one reads in a log.
const LONGEST: usize = 200;

/// Shorter ones are in every sentence.
const SHORTEST: usize = 4;

/// What must not be in a text that is shown: all that went to the program as a value and all that came
/// back as one.
#[derive(Default)]
pub(crate) struct Values(Vec<SecretBytes>);

impl Values {
    pub(crate) fn add(&mut self, value: &[u8]) {
        if value.len() >= SHORTEST {
            self.0.push(SecretBytes::new(value.to_vec()));
        }
    }

    /// Every text and number of a JSON value.
    pub(crate) fn add_json(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add(text.as_bytes()),
            Value::Number(number) => self.add(number.to_string().as_bytes()),
            Value::Array(items) => items.iter().for_each(|item| self.add_json(item)),
            Value::Object(entries) => entries.values().for_each(|item| self.add_json(item)),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn are_in(&self, text: &str) -> bool {
        let held =
            |value: &SecretBytes| text.as_bytes().windows(value.len()).any(|window| window == value.expose());
        self.0.iter().any(held)
    }
}

/// What is appended to an error of ours: its words in one line, or that they are not shown.
pub(crate) fn said(words: Option<&str>, messages: Messages, values: &Values) -> String {
    let line = words.and_then(|words| words.lines().map(str::trim).find(|line| !line.is_empty()));
    match (line, messages) {
        (None, _) => String::new(),
        (Some(_), Messages::Hidden) => {
            "; its own words are not shown (messages: shown does, where they never hold a value)".to_owned()
        }
        (Some(line), Messages::Shown) if values.are_in(line) => {
            "; its own words are not shown, since a value is in them".to_owned()
        }
        (Some(line), Messages::Shown) => format!("; it says: {}", plain(line, LONGEST)),
    }
}

/// One line without control characters, of this many characters at most.
pub(crate) fn plain(text: &str, longest: usize) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(longest).collect();
    if text.chars().nth(longest).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_are_shown_only_where_that_is_vouched_for_and_never_with_a_value() {
        let mut values = Values::default();
        values.add(b"canary");
        values.add_json(&json!({ "deep": ["hunter22", 815_4711, true], "short": "abc" }));
        assert!(!said(Some("the role is gone"), Messages::Hidden, &values).contains("role"));
        assert_eq!(
            said(Some("\n the role\tis abc \nmore"), Messages::Shown, &values),
            "; it says: the role is abc"
        );
        for words in ["a canary!", "hunter22", "number 8154711 is out"] {
            let said = said(Some(words), Messages::Shown, &values);
            assert!(said.contains("a value is in them") && !said.contains(words), "{said}");
        }
        assert_eq!(said(None, Messages::Hidden, &values), "");
        assert_eq!(said(Some(" \n"), Messages::Shown, &values), "");
        let long = said(Some(&"x".repeat(500)), Messages::Shown, &values);
        assert!(long.ends_with("xx…") && long.chars().count() < 220, "{long}");
    }
}
