//! From a status of the API to what it means, in our own words. The body of an error is never
//! quoted: it may hold what was sent.

use std::time::{Duration, SystemTime};

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use leasehold_core::{Error, Kind, Operation};

use leasehold_http::Trouble;

/// Where something was tried: what an error begins with.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) provider: &'a str,
    pub(crate) operation: Operation,
    /// `secret "db" (database/creds/web)`; empty for a log-in.
    pub(crate) on: &'a str,
}

impl Site<'_> {
    pub(crate) fn error(&self, kind: Kind, detail: impl Into<String>) -> Error {
        Error::new(kind, self.operation, self.provider, detail).on(self.on)
    }

    /// No answer came.
    pub(crate) fn unanswered(&self, trouble: &Trouble, address: &str) -> Error {
        let kind = match trouble {
            Trouble::Files(_) if !self.is_about_what_we_hold() => Kind::Invalid,
            Trouble::TooLarge => Kind::Malformed,
            _ => Kind::Unavailable,
        };
        match trouble {
            Trouble::Files(why) => self.error(kind, why.clone()),
            _ => self.error(kind, format!("the store at {address}: {trouble}")),
        }
    }

    /// An answer came that cannot be read.
    pub(crate) fn malformed(&self, what: &str) -> Error {
        self.error(
            Kind::Malformed,
            format!("the store's answer makes no sense ({what}): is something else at that address?"),
        )
    }

    /// An answer that is no success, by the API's table. Callers that know better say it first.
    pub(crate) fn refused(&self, status: StatusCode, headers: &HeaderMap) -> Error {
        let detail = match status.as_u16() {
            400 => {
                "the store says that the request is wrong (400): does the role exist that the path names? \
                    Are data and version right?"
                    .to_owned()
            }
            401 | 403 => format!("the store denied it ({})", status.as_u16()),
            404 => "there is nothing at that path (404): check mount and path, and the namespace".to_owned(),
            405 => "the store cannot do this at that path (405): a path that is written to needs data, \
                    one that is read has none"
                .to_owned(),
            407 => "the proxy wants a user and a password (407): put them into its URL".to_owned(),
            412 => "the store has not caught up with an earlier write yet (412)".to_owned(),
            413 => "the store finds the request too large (413)".to_owned(),
            429 => "too many requests (429): a rate limit, or a quota of leases".to_owned(),
            472 => "this node is a disaster recovery secondary (472): set address to the primary".to_owned(),
            473 => "this node is a performance standby that cannot serve it (473)".to_owned(),
            500 => "the store, or what it asked behind it, failed (500)".to_owned(),
            501 => "the store is not initialized (501)".to_owned(),
            502 => "the store, or a proxy before it, got no good answer behind it (502)".to_owned(),
            503 => "the store is sealed, or in maintenance (503)".to_owned(),
            other => format!("the store answered {other}"),
        };
        let kind = match kind_of(status) {
            // About what we hold, only 400 and 404 have a meaning, which the caller knows.
            Kind::Invalid | Kind::Absent if self.is_about_what_we_hold() => Kind::Unavailable,
            kind => kind,
        };
        self.error(kind, detail).retry_after(retry_after(headers))
    }

    /// Not the store's own answer: an error of its API is always JSON. What an ingress or a
    /// firewall says (404 above all) tells nothing of tokens, leases and secrets.
    pub(crate) fn not_the_store(&self, status: StatusCode, address: &str) -> Error {
        // What most servers say to plain http on a port that speaks TLS.
        let scheme = match status == StatusCode::BAD_REQUEST && address.starts_with("http:") {
            true => " (is it https instead of http?)",
            false => "",
        };
        self.error(
            Kind::Malformed,
            format!(
                "something that is not the store answered {} at {address}: check the address{scheme}, and what \
                 stands before the store",
                status.as_u16()
            ),
        )
    }

    /// Whether a wrong verdict would cost a session or a lease that may still live.
    fn is_about_what_we_hold(&self) -> bool {
        matches!(self.operation, Operation::Lookup | Operation::Renew | Operation::Revoke)
    }
}

/// What a status means where nothing else is known.
pub(crate) fn kind_of(status: StatusCode) -> Kind {
    match status.as_u16() {
        401 | 403 => Kind::Denied,
        404 => Kind::Absent,
        407 | 408 | 412 | 472 | 473 => Kind::Unavailable,
        429 => Kind::Throttled,
        400..=499 => Kind::Invalid,
        500..=599 => Kind::Unavailable,
        _ => Kind::Malformed,
    }
}

/// How long the store asks us to wait: seconds, or a date by its own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(date(headers)?).unwrap_or_default())
}

/// The store's clock when it answered, in whole seconds.
pub(crate) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn each_status_of_the_table_is_permanent_or_passing_as_the_api_says() {
        for (status, kind) in [
            (400, Kind::Invalid),
            (403, Kind::Denied),
            (404, Kind::Absent),
            (405, Kind::Invalid),
            (412, Kind::Unavailable),
            (429, Kind::Throttled),
            (472, Kind::Unavailable),
            (473, Kind::Unavailable),
            (500, Kind::Unavailable),
            (501, Kind::Unavailable),
            (502, Kind::Unavailable),
            (503, Kind::Unavailable),
            (504, Kind::Unavailable),
        ] {
            assert_eq!(kind_of(StatusCode::from_u16(status).unwrap()), kind, "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_clock_of_the_store() {
        let seconds = headers(&[(RETRY_AFTER, "7")]);
        assert_eq!(retry_after(&seconds), Some(Duration::from_secs(7)));
        let later = headers(&[
            (DATE, "Tue, 24 Nov 2026 11:00:00 GMT"),
            (RETRY_AFTER, "Tue, 24 Nov 2026 11:00:30 GMT"),
        ]);
        assert_eq!(retry_after(&later), Some(Duration::from_secs(30)));
        let past = headers(&[
            (DATE, "Tue, 24 Nov 2026 11:00:00 GMT"),
            (RETRY_AFTER, "Tue, 24 Nov 2026 10:00:00 GMT"),
        ]);
        assert_eq!(retry_after(&past), Some(Duration::ZERO));
        assert_eq!(retry_after(&headers(&[(RETRY_AFTER, "soon")])), None);
    }
}
