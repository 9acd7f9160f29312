//! Who a bearer token stands for.

use std::sync::Arc;

use leasehold_harness::http::{Request, Response, header};
use serde_json::json;

use super::status::{error_info, status};
use super::{Google, State};
use crate::jwt::{Jwt, now, random_hex};
use crate::pki::KeyPair;

/// A service account's key.
#[derive(Clone)]
pub(crate) struct ServiceAccount {
    pub(crate) key: Arc<KeyPair>,
    pub(crate) key_id: String,
}

/// A token that was issued.
pub(crate) struct Token {
    pub(crate) principal: String,
    pub(crate) scopes: Vec<String>,
    /// Seconds since 1970.
    pub(crate) expires: u64,
}

/// How far a self-signed token's end may lie from its beginning.
const LONGEST: u64 = 3600;

/// A machine's token is handed out again until it has this many seconds left.
const KEPT: u64 = 300;

impl State {
    /// Issues a token that lives `lifetime` seconds, unless the test has set a time; and how long it does.
    pub(crate) fn issue(&mut self, principal: &str, scopes: &[&str], lifetime: u64) -> (String, u64) {
        let lifetime = self.token_lifetime.map_or(lifetime, |set| set.as_secs());
        let token = format!("ya29.{}", random_hex(32));
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let known = Token { principal: principal.into(), scopes, expires: now() + lifetime };
        self.tokens.insert(token.clone(), known);
        (token, lifetime)
    }

    /// A token of the machine: the one of the last time while it has more than five minutes to live.
    pub(crate) fn issue_to_machine(&mut self, email: &str, scopes: &str) -> (String, u64) {
        let wanted = (email.to_owned(), scopes.to_owned());
        if let Some(token) = self.machine_tokens.get(&wanted) {
            let left = self.tokens.get(token).map_or(0, |known| known.expires.saturating_sub(now()));
            if left > KEPT {
                return (token.clone(), left);
            }
        }
        let (token, lifetime) = self.issue(email, &scopes.split(',').collect::<Vec<_>>(), 3599);
        self.machine_tokens.insert(wanted, token.clone());
        (token, lifetime)
    }

    /// Who asks, for the service at `host`; or the answer to whoever brings no good token.
    pub(crate) fn principal(&self, request: &Request, host: &str) -> Result<String, Box<Response>> {
        let shown = header(&request.headers, "authorization").and_then(|value| value.split_once(' '));
        let shown = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (_, token) = shown.ok_or_else(|| unauthenticated("CREDENTIALS_MISSING", host))?;
        let token = token.trim();
        let wrong = |reason| unauthenticated(reason, host);
        let (principal, scopes) = if let Some(known) = self.tokens.get(token) {
            if known.expires <= now() {
                return Err(wrong("ACCESS_TOKEN_EXPIRED"));
            }
            (known.principal.clone(), known.scopes.clone())
        } else {
            let token = Jwt::parse(token).ok_or_else(|| wrong("ACCESS_TOKEN_TYPE_UNSUPPORTED"))?;
            self.self_signed(&token, host).ok_or_else(|| wrong("ACCESS_TOKEN_TYPE_UNSUPPORTED"))?
        };
        if scopes.iter().any(|scope| scope == Google::SCOPE) {
            return Ok(principal);
        }
        let info =
            error_info("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "googleapis.com", json!({ "service": host }));
        let what = "the request's authentication lacks the scope";
        Err(Box::new(status(403, "PERMISSION_DENIED", what, &[info])))
    }

    /// A token that a service account signed for itself (AIP-4111): for this service by its audience, or for
    /// scopes without one.
    fn self_signed(&self, token: &Jwt, host: &str) -> Option<(String, Vec<String>)> {
        let email = token.claim("iss")?;
        let account = self.accounts.get(email)?;
        let (start, end, now) = (token.time("iat")?, token.time("exp")?, now());
        let good = token.claim("sub") == Some(email)
            && token.header["kid"] == account.key_id.as_str()
            && token.is_signed_by(&account.key)
            && start <= now + 300
            && start >= self.signed_since
            && now < end
            && end.saturating_sub(start) <= LONGEST;
        good.then_some(())?;
        let scopes = match (token.claim("aud"), token.claim("scope")) {
            (Some(audience), None) if audience == format!("https://{host}/") => {
                vec![Google::SCOPE.to_owned()]
            }
            (None, Some(scopes)) => scopes.split(' ').map(Into::into).collect(),
            _ => return None,
        };
        Some((email.to_owned(), scopes))
    }
}

fn unauthenticated(reason: &str, host: &str) -> Box<Response> {
    let info = error_info(reason, "googleapis.com", json!({ "service": host }));
    let what = "the request has no valid authentication credentials: an OAuth 2 access token is expected";
    let challenge = match reason {
        "CREDENTIALS_MISSING" => r#"Bearer realm="https://accounts.google.com/""#,
        _ => r#"Bearer realm="https://accounts.google.com/", error="invalid_token""#,
    };
    let response = status(401, "UNAUTHENTICATED", what, &[info]);
    Box::new(response.header("WWW-Authenticate", challenge))
}
