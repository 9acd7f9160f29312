//! Whom a certificate is asked for: what `data` says, as a certificate request says it.
//!
//! A PKI reads the names from the request where its role says so (as a role does that says
//! nothing), else from `data`: so they are in both.

use std::net::IpAddr;

use leasehold_core::Problem;
use serde_json::{Map, Value};

/// The names in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// The subject's common name.
    pub(crate) common_name: Option<String>,
    /// Hosts.
    pub(crate) dns: Vec<String>,
    /// Mailboxes.
    pub(crate) email: Vec<String>,
    /// Addresses.
    pub(crate) ip: Vec<IpAddr>,
    /// URIs, such as a SPIFFE id.
    pub(crate) uri: Vec<String>,
}

impl Names {
    /// What `common_name`, `alt_names`, `ip_sans`, `uri_sans` and `exclude_cn_from_sans` of `data` say.
    ///
    /// # Errors
    /// Every name that has no place in a request, by its key.
    pub(crate) fn of(data: &Map<String, Value>) -> Result<Self, Vec<Problem>> {
        let mut names = Self::default();
        let mut problems = Vec::new();
        names.common_name = text(data.get("common_name"));
        if let Some(name) = names.common_name.clone()
            && !is_true(data.get("exclude_cn_from_sans"))
            // A common name may be words that are no host's name.
            && name.is_ascii()
            && !name.contains(char::is_whitespace)
        {
            names.add(name);
        }
        for (key, take) in
            [("alt_names", Self::named as Take), ("ip_sans", Self::address), ("uri_sans", Self::uri)]
        {
            let taken = words(data.get(key)).into_iter().try_for_each(|word| take(&mut names, word));
            problems.extend(taken.err().map(|why| Problem::new(format!("data.{key}"), why)));
        }
        if data.contains_key("other_sans") {
            let why = "cannot be put into the request that is made here with `generate_key`";
            problems.push(Problem::new("data.other_sans", why));
        }
        if problems.is_empty() { Ok(names) } else { Err(problems) }
    }

    /// Whether there is anything beside the common name.
    #[cfg(any(test, feature = "generate-key"))]
    pub(crate) fn is_bare(&self) -> bool {
        self.dns.is_empty() && self.email.is_empty() && self.ip.is_empty() && self.uri.is_empty()
    }

    fn add(&mut self, name: String) {
        match name.parse() {
            Ok(address) => push(&mut self.ip, address),
            Err(_) if name.contains('@') => push(&mut self.email, name),
            Err(_) => push(&mut self.dns, name),
        }
    }

    fn named(&mut self, word: String) -> Result<(), &'static str> {
        if !word.is_ascii() {
            return Err("holds a letter that no host's name has: write it in its ASCII form (`xn--…`)");
        }
        self.add(word);
        Ok(())
    }

    fn address(&mut self, word: String) -> Result<(), &'static str> {
        push(&mut self.ip, word.parse().map_err(|_| "holds what is no IP address")?);
        Ok(())
    }

    fn uri(&mut self, word: String) -> Result<(), &'static str> {
        if !word.is_ascii() || !word.contains(':') {
            return Err("holds what is no URI, such as `spiffe://example.com/web`");
        }
        push(&mut self.uri, word);
        Ok(())
    }
}

type Take = fn(&mut Names, String) -> Result<(), &'static str>;

fn push<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

fn is_true(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(yes)) => *yes,
        Some(Value::String(text)) => matches!(text.as_str(), "true" | "1"),
        _ => false,
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A list, or words with commas between them.
fn words(value: Option<&Value>) -> Vec<String> {
    let words: Vec<&str> = match value {
        Some(Value::String(words)) => words.split(',').collect(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    words.into_iter().map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(data: Value) -> Result<Names, Vec<Problem>> {
        Names::of(data.as_object().unwrap())
    }

    #[test]
    fn names_come_from_texts_and_lists_and_each_only_once() {
        let names = names(json!({
            "common_name": "web.svc",
            "alt_names": "web.svc, b.svc, ops@example.com",
            "ip_sans": ["127.0.0.1", "::1"],
            "uri_sans": "spiffe://example.com/web",
        }))
        .unwrap();
        assert_eq!(names.common_name.as_deref(), Some("web.svc"));
        assert_eq!(names.dns, ["web.svc", "b.svc"]);
        assert_eq!(names.email, ["ops@example.com"]);
        assert_eq!(names.ip.len(), 2);
        assert_eq!(names.uri, ["spiffe://example.com/web"]);
    }

    #[test]
    fn a_common_name_is_a_name_of_the_host_unless_excluded_or_no_such_name() {
        assert_eq!(names(json!({ "common_name": "web.svc" })).unwrap().dns, ["web.svc"]);
        assert!(names(json!({ "common_name": "web.svc", "exclude_cn_from_sans": true })).unwrap().is_bare());
        assert!(names(json!({ "common_name": "Some Service" })).unwrap().is_bare());
        assert_eq!(names(json!({})).unwrap(), Names::default());
    }

    #[test]
    fn what_has_no_place_in_a_request_is_named_by_its_key_and_not_repeated() {
        let problems = names(json!({
            "alt_names": "canäry.svc", "ip_sans": "canary", "uri_sans": ["canary"], "other_sans": "canary",
        }))
        .unwrap_err();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["data.alt_names", "data.ip_sans", "data.uri_sans", "data.other_sans"]);
        assert!(
            problems
                .iter()
                .all(|problem| !problem.message.contains("can") || problem.message.contains("cannot"))
        );
    }
}
