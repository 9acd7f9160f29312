//! From an answer of Google's to what it means, in our own words. The body of an error is never
//! quoted, only told by the words of its fixed lists: it may hold what was sent.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use leasehold_core::{Error, Kind, Operation};
use leasehold_http::Trouble;

use crate::api::{Answer, Peer};
use crate::time::date;

/// Where something was tried: what an error begins with.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) provider: &'a str,
    pub(crate) operation: Operation,
    /// `secret "db" (prod-db)`; empty for a log-in.
    pub(crate) on: &'a str,
}

impl Site<'_> {
    pub(crate) fn error(&self, kind: Kind, detail: impl Into<String>) -> Error {
        Error::new(kind, self.operation, self.provider, detail).on(self.on)
    }

    /// No answer came.
    pub(crate) fn unanswered(&self, peer: Peer, address: &str, trouble: &Trouble) -> Error {
        match trouble {
            Trouble::Files(why) => self.error(Kind::Invalid, why.clone()),
            Trouble::TooLarge => self.error(Kind::Malformed, format!("{peer} at {address}: {trouble}")),
            _ => self.error(Kind::Unavailable, format!("{peer} at {address}: {trouble}")),
        }
    }

    /// An answer came that cannot be read.
    pub(crate) fn malformed(&self, answer: &Answer, what: &str) -> Error {
        self.error(
            Kind::Malformed,
            format!(
                "the answer of {} at {} makes no sense ({what}): is something else at that address?",
                answer.peer, answer.address
            ),
        )
    }

    /// What a status means whoever said it, or `None` where that depends on what was asked: 400, 401,
    /// 403, 404 and their like, said by Google itself.
    pub(crate) fn common(&self, answer: &Answer) -> Option<Error> {
        let (peer, address, status) = (answer.peer, &answer.address, answer.status.as_u16());
        let kind = kind_of(answer.status);
        let detail = match status {
            407 => "the proxy wants a user and a password (407): put them into its URL".to_owned(),
            429 => format!(
                "{peer} throttles us (429): too many requests in this project within a minute; poll less \
                 often (refresh), or ask for a larger quota"
            ),
            408 | 499 => format!("{peer} gave the request up ({status})"),
            300..=399 => {
                format!("{peer} at {address} sent us to another address ({status}): set endpoint to that one")
            }
            500..=599 => format!("{peer} cannot serve it at the moment ({status})"),
            _ if answer.is_foreign() => {
                return Some(self.error(
                    Kind::Malformed,
                    format!(
                        "something that is not {peer} answered {status} at {address}: check endpoint and \
                         location, and what stands before it"
                    ),
                ));
            }
            400..=499 => return None,
            other => format!("{peer} answered {other}"),
        };
        Some(self.error(kind, detail).retry_after(self.retry_after(answer)))
    }

    /// How long we are asked to wait: by a header, or by a detail of the error.
    fn retry_after(&self, answer: &Answer) -> Option<Duration> {
        retry_after(&answer.headers).or_else(|| {
            let delay = answer.verdict().retry_delay?;
            let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
            Duration::try_from_secs_f64(seconds).ok()
        })
    }
}

/// What a status means where nothing else is known.
pub(crate) fn kind_of(status: StatusCode) -> Kind {
    match status.as_u16() {
        401 => Kind::SessionEnded,
        403 => Kind::Denied,
        404 => Kind::Absent,
        407 | 408 | 499 => Kind::Unavailable,
        429 => Kind::Throttled,
        400..=499 => Kind::Invalid,
        500..=599 => Kind::Unavailable,
        _ => Kind::Malformed,
    }
}

/// Seconds, or a date by the other side's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(date(headers)?).unwrap_or_default())
}
