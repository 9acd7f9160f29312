//! From what the vault answers to what it means, in our own words. Its messages are never quoted;
//! its codes are named, where they are among those that we know.

use std::time::{Duration, SystemTime};

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use leasehold_core::{Error, Kind, Operation};
use leasehold_http::Trouble;
use serde::Deserialize;

use crate::address::Address;
use crate::wire::Answer;

/// Where something was tried: what an error begins with.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) provider: &'a str,
    pub(crate) operation: Operation,
    /// `secret "api" (api-key)`; empty for a log-in.
    pub(crate) on: &'a str,
}

/// The body of a refusal.
#[derive(Default, Deserialize)]
struct Refusal {
    error: Reason,
}

#[derive(Default, Deserialize)]
struct Reason {
    code: Option<String>,
    innererror: Option<Box<Reason>>,
}

impl Refusal {
    /// The innermost of its codes that we know, in our own spelling.
    fn code(&self) -> Option<&'static str> {
        let inner = self.error.innererror.as_ref().and_then(|inner| inner.code.as_deref());
        [inner, self.error.code.as_deref()].into_iter().flatten().find_map(known)
    }
}

/// The codes that a message may name.
fn known(code: &str) -> Option<&'static str> {
    const CODES: [&str; 13] = [
        "AccessDenied",
        "BadParameter",
        "Forbidden",
        "ForbiddenByConnection",
        "ForbiddenByFirewall",
        "ForbiddenByPolicy",
        "ForbiddenByRbac",
        "SecretDisabled",
        "SecretNotFound",
        "Throttled",
        "Unauthorized",
        "VaultDisabled",
        "VaultNotFound",
    ];
    CODES.into_iter().find(|known| *known == code)
}

impl Site<'_> {
    pub(crate) fn error(&self, kind: Kind, detail: impl Into<String>) -> Error {
        Error::new(kind, self.operation, self.provider, detail).on(self.on)
    }

    /// No answer came from `whom` at `place`.
    pub(crate) fn unanswered(&self, trouble: &Trouble, whom: &str, place: &str) -> Error {
        let kind = kind_of_trouble(trouble);
        match trouble {
            Trouble::Files(why) => self.error(kind, why.clone()),
            Trouble::Name => self
                .error(kind, format!("{whom} at {place}: {trouble}: does it exist, and is its name right?")),
            _ => self.error(kind, format!("{whom} at {place}: {trouble}")),
        }
    }

    /// An answer came that cannot be read.
    pub(crate) fn malformed(&self, what: &str) -> Error {
        self.error(
            Kind::Malformed,
            format!("the vault's answer makes no sense ({what}): is something else at that address?"),
        )
    }

    /// Not a vault's own answer: those of its API are JSON, and a stranger gets a challenge.
    pub(crate) fn not_the_vault(&self, status: StatusCode, place: &str) -> Error {
        self.error(
            Kind::Malformed,
            format!(
                "something that is no vault answered {} at {place}: check address, and what stands before the \
                 vault",
                status.as_u16()
            ),
        )
    }

    /// An answer that is no success.
    pub(crate) fn refused(&self, answer: &Answer, address: &Address) -> Error {
        let status = answer.status;
        let refusal: Option<Refusal> = serde_json::from_slice(&answer.body).ok();
        let code = refusal.as_ref().and_then(Refusal::code);
        let said =
            code.map_or_else(|| status.as_u16().to_string(), |code| format!("{} {code}", status.as_u16()));
        let vault = address.vault();
        let (kind, detail) = match (status.as_u16(), code) {
            (401, _) => (
                Kind::SessionEnded,
                format!(
                    "the vault does not accept our token ({said}): it has ended, or is of another tenant"
                ),
            ),
            (407, _) => (
                Kind::Unavailable,
                "the proxy wants a user and a password (407): put them into its URL".to_owned(),
            ),
            (403 | 404 | 400, _) if refusal.is_none() => {
                return self.not_the_vault(status, address.shown());
            }
            (403, Some("SecretDisabled")) => (
                Kind::Absent,
                format!(
                    "it is there, and that version is disabled ({said}): enable it (az keyvault secret set-attributes \
                     --vault-name {vault} --name NAME --version VERSION --enabled true), or write a new version"
                ),
            ),
            (403, Some("ForbiddenByFirewall" | "ForbiddenByConnection")) => (
                Kind::Denied,
                format!(
                    "the vault's network rules do not let us in ({said}): allow our address (az keyvault \
                     network-rule add --name {vault} --ip-address OURS), or reach it through its private endpoint"
                ),
            ),
            (403, Some("ForbiddenByPolicy" | "VaultDisabled")) => (
                Kind::Denied,
                format!(
                    "a policy on the vault, or its being disabled, forbids it ({said}): ask who looks after the \
                     vault {vault}"
                ),
            ),
            (403, Some("ForbiddenByRbac")) => (
                Kind::Denied,
                format!(
                    "our identity may not read it ({said}): it lacks the role \"Key Vault Secrets User\" on the \
                     vault {vault}, or on the secret; a new assignment takes some minutes"
                ),
            ),
            (403, _) => (
                Kind::Denied,
                format!(
                    "our identity may not read it ({said}): it lacks the role \"Key Vault Secrets User\" on the \
                     vault {vault}, or, where the vault has access policies, the secret permission get"
                ),
            ),
            (404, Some("VaultNotFound")) => {
                (Kind::Absent, format!("there is no vault {vault} ({said}): check address"))
            }
            (404, _) => (
                Kind::Absent,
                format!(
                    "there is no such secret, or no such version of it, in the vault {vault} ({said}): check path \
                     and version; one that was deleted comes back by az keyvault secret recover --vault-name {vault} --name NAME"
                ),
            ),
            (400, _) => (
                Kind::Invalid,
                format!("the vault says that the request is wrong ({said}): check path and version"),
            ),
            (429, _) => (Kind::Throttled, format!("too many requests for the vault ({said})")),
            (500..=599, _) => (Kind::Unavailable, format!("the vault failed ({said})")),
            (status, _) => (
                kind_of(answer.status),
                format!("the vault answered {status}: check address, and what stands before the vault"),
            ),
        };
        self.error(kind, detail).retry_after(retry_after(&answer.headers))
    }
}

/// What a status means where nothing else is known.
pub(crate) fn kind_of(status: StatusCode) -> Kind {
    match status.as_u16() {
        401 => Kind::SessionEnded,
        403 => Kind::Denied,
        404 => Kind::Absent,
        407 | 408 | 410 => Kind::Unavailable,
        429 => Kind::Throttled,
        400..=499 => Kind::Invalid,
        500..=599 => Kind::Unavailable,
        _ => Kind::Malformed,
    }
}

/// What it means that no answer came.
pub(crate) fn kind_of_trouble(trouble: &Trouble) -> Kind {
    match trouble {
        Trouble::Files(_) => Kind::Invalid,
        Trouble::TooLarge => Kind::Malformed,
        _ => Kind::Unavailable,
    }
}

/// How long we are asked to wait: milliseconds, seconds, or a date by the answer's own clock.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    if let Some(wait) = number("retry-after-ms").or_else(|| number("x-ms-retry-after-ms")) {
        return Some(Duration::from_millis(wait));
    }
    if let Some(wait) = number(RETRY_AFTER.as_str()) {
        return Some(Duration::from_secs(wait));
    }
    let until = httpdate::parse_http_date(headers.get(RETRY_AFTER)?.to_str().ok()?.trim()).ok()?;
    Some(until.duration_since(date(headers)?).unwrap_or_default())
}

/// The clock of who answered, in whole seconds.
pub(crate) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(status: u16, body: &str, headers: &[(&'static str, &str)]) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
                .collect(),
            body: Bytes::from(body.to_owned()),
        }
    }

    fn refused(answer: &Answer) -> Error {
        let address = Address::parse("https://team.vault.azure.net").unwrap();
        let site = Site { provider: "azure", operation: Operation::Fetch, on: "secret \"it\" (it)" };
        site.refused(answer, &address)
    }

    fn body(code: &str, inner: Option<&str>) -> String {
        let mut error = serde_json::json!({ "code": code, "message": "canary-text" });
        if let Some(inner) = inner {
            error["innererror"] = serde_json::json!({ "code": inner });
        }
        serde_json::json!({ "error": error }).to_string()
    }

    #[test]
    fn each_refusal_has_its_kind_and_a_remedy_and_quotes_nothing() {
        for (status, body, kind, said) in [
            (401, body("Unauthorized", None), Kind::SessionEnded, "401 Unauthorized"),
            (403, body("Forbidden", Some("SecretDisabled")), Kind::Absent, "--enabled true"),
            (403, body("Forbidden", Some("ForbiddenByRbac")), Kind::Denied, "Key Vault Secrets User"),
            (403, body("Forbidden", Some("AccessDenied")), Kind::Denied, "permission get"),
            (403, body("Forbidden", Some("canary")), Kind::Denied, "403 Forbidden"),
            (
                403,
                body("Forbidden", Some("ForbiddenByFirewall")),
                Kind::Denied,
                "network-rule add --name team",
            ),
            (403, body("Forbidden", Some("ForbiddenByPolicy")), Kind::Denied, "policy on the vault"),
            (403, "<html>canary</html>".to_owned(), Kind::Malformed, "no vault answered 403"),
            (404, body("SecretNotFound", None), Kind::Absent, "az keyvault secret recover"),
            (404, "canary".to_owned(), Kind::Malformed, "no vault answered 404"),
            (400, body("BadParameter", None), Kind::Invalid, "check path and version"),
            (429, body("Throttled", None), Kind::Throttled, "too many requests"),
            (503, "canary".to_owned(), Kind::Unavailable, "the vault failed (503)"),
            (302, "canary".to_owned(), Kind::Malformed, "check address"),
        ] {
            let error = refused(&answer(status, &body, &[]));
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.detail.contains(said), "{error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }

    #[test]
    fn waiting_is_asked_for_in_milliseconds_seconds_or_by_a_date() {
        let wait = |headers: &[(&'static str, &str)]| refused(&answer(429, "{}", headers)).retry_after;
        assert_eq!(wait(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(
            wait(&[("x-ms-retry-after-ms", "250"), ("retry-after", "7")]),
            Some(Duration::from_millis(250))
        );
        let dates =
            [("date", "Tue, 24 Nov 2026 11:00:00 GMT"), ("retry-after", "Tue, 24 Nov 2026 11:00:30 GMT")];
        assert_eq!(wait(&dates), Some(Duration::from_secs(30)));
        assert_eq!(wait(&[("retry-after", "soon")]), None);
    }
}
