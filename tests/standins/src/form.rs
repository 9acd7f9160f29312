//! Queries and forms: `application/x-www-form-urlencoded`.

use leasehold_harness::http::{Request, header};
use percent_encoding::percent_decode_str;

/// Names and values, decoded, in their order.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Of a query or a body; `None` where it is no text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let decode = |part: &str| {
            let spaced = part.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned())
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        });
        pairs.collect::<Option<_>>().map(Self)
    }

    /// The body of a request that says it is a form; `None` where it is none.
    pub(crate) fn of_body(request: &Request) -> Option<Self> {
        let kind = header(&request.headers, "content-type")?.split(';').next()?.trim().to_ascii_lowercase();
        (kind == "application/x-www-form-urlencoded").then_some(())?;
        Self::parse(std::str::from_utf8(&request.body).ok()?)
    }

    /// A value that is there and not empty. Twice the same name is none: nobody could say which one counts.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = found.next()?;
        (found.next().is_none() && !first.is_empty()).then_some(first)
    }
}

/// Path and query of a request's target, the path's parts decoded.
pub(crate) fn target(request: &Request) -> Option<(Vec<String>, Form)> {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let parts = path.split('/').skip(1).map(|part| Some(percent_decode_str(part).decode_utf8().ok()?.into()));
    Some((parts.collect::<Option<_>>()?, Form::parse(query)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_and_a_name_given_twice_counts_for_nothing() {
        let form = Form::parse("scope=https%3A%2F%2Fvault%2F.default&a=b+c&twice=1&twice=2&empty=").unwrap();
        assert_eq!(form.value("scope"), Some("https://vault/.default"));
        assert_eq!(form.value("a"), Some("b c"));
        assert_eq!(["twice", "empty", "absent"].map(|name| form.value(name)), [None; 3]);
    }

    #[test]
    fn only_what_says_that_it_is_a_form_is_one() {
        let request = |kind: &str| Request {
            headers: vec![("Content-Type".into(), kind.into())],
            body: b"a=b".to_vec(),
            ..Default::default()
        };
        assert!(Form::of_body(&request("application/x-www-form-urlencoded; charset=utf-8")).is_some());
        assert!(Form::of_body(&request("application/json")).is_none());
    }
}
