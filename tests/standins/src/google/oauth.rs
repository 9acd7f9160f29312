//! The OAuth 2.0 token endpoint.
//!
//! Written from "Using OAuth 2.0 for Server to Server Applications" and "Using OAuth 2.0 for Web Server
//! Applications" (developers.google.com/identity/protocols/oauth2), and RFC 7523.
//!
//! Strict about: HTTPS; POST of a form; a service account's assertion (RS256 by the registered key and its
//! `kid`, `aud` this endpoint, `scope` or `target_audience`, `exp` at most an hour after `iat`); a refresh
//! token with its own client's id and secret.
//!
//! It does not do: consent, other grants, domain-wide delegation (`sub`).

use std::sync::Arc;

use leasehold_harness::http::{Request, Response};
use serde_json::json;

use super::status::{failure, oauth_error, reply};
use super::{Google, Shared, State};
use crate::form::Form;
use crate::jwt::{Jwt, jwk, now, sign};
use crate::server::Service;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

pub(crate) struct OAuth(pub(crate) Arc<Shared>);

impl Service for OAuth {
    fn answer(&self, request: &Request) -> Response {
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/token") => self.token(request),
            ("GET", "/oauth2/v3/certs") => reply(200, &json!({ "keys": [jwk(&self.0.key, "identity")] })),
            _ => Response { status: 404, ..Default::default() },
        }
    }

    fn failure(&self, status: u16) -> Response {
        match status {
            400 | 401 => oauth_error(status, "invalid_grant", "a fault that a test asked for"),
            _ => failure(status),
        }
    }
}

impl OAuth {
    fn token(&self, request: &Request) -> Response {
        let Some(form) = Form::of_body(request) else {
            return oauth_error(400, "invalid_request", "the body is no form");
        };
        let mut state = self.0.state();
        match form.value("grant_type") {
            Some(JWT_BEARER) => self.assertion(&mut state, &form),
            Some("refresh_token") => refresh(&mut state, &form),
            Some(_) => oauth_error(400, "unsupported_grant_type", "the grant type is not known"),
            None => oauth_error(400, "invalid_request", "the form lacks grant_type"),
        }
    }

    fn assertion(&self, state: &mut State, form: &Form) -> Response {
        let refused = |what| oauth_error(400, "invalid_grant", what);
        let Some(token) = form.value("assertion").and_then(Jwt::parse) else {
            return refused("the assertion is no JSON Web Token");
        };
        let Some(email) = token.claim("iss").map(str::to_owned) else {
            return refused("the assertion has no issuer");
        };
        let Some(account) = state.accounts.get(&email).cloned() else {
            return refused("there is no such account");
        };
        if token.header["kid"].as_str().is_some_and(|id| id != account.key_id)
            || !token.is_signed_by(&account.key)
        {
            return refused("the assertion's signature is not the account's");
        }
        // Through a proxy we may be known by our real name.
        if ![state.token_uri.as_str(), "https://oauth2.googleapis.com/token"]
            .iter()
            .any(|own| token.is_for(own))
        {
            return refused("the assertion's audience is not this endpoint");
        }
        let (Some(start), Some(end)) = (token.time("iat"), token.time("exp")) else {
            return refused("the assertion lacks iat or exp");
        };
        let now = now();
        if start > now + 300 || end <= now || end.saturating_sub(start) > 3600 {
            return refused("the assertion must be a short-lived token in its time");
        }
        match (token.claim("scope"), token.claims["target_audience"].as_str()) {
            (Some(scopes), None) if !scopes.is_empty() => {
                let scopes: Vec<_> = scopes.split(' ').collect();
                let (token, lifetime) = state.issue(&email, &scopes, 3599);
                reply(200, &json!({ "access_token": token, "expires_in": lifetime, "token_type": "Bearer" }))
            }
            (None, Some(audience)) => {
                reply(200, &json!({ "id_token": identity(&self.0, &email, audience, json!({})) }))
            }
            _ => oauth_error(400, "invalid_scope", "the assertion needs one of scope and target_audience"),
        }
    }
}

fn refresh(state: &mut State, form: &Form) -> Response {
    let known = form.value("refresh_token").and_then(|token| state.refresh.get(token)).cloned();
    let Some((id, secret, person)) = known else {
        return oauth_error(400, "invalid_grant", "there is no such refresh token");
    };
    if form.value("client_id") != Some(&id) || form.value("client_secret") != Some(&secret) {
        return oauth_error(401, "invalid_client", "the client is not the refresh token's");
    }
    let (token, lifetime) = state.issue(&person, &[Google::SCOPE], 3599);
    let scope = Google::SCOPE;
    reply(
        200,
        &json!({ "access_token": token, "expires_in": lifetime, "token_type": "Bearer", "scope": scope }),
    )
}

/// An identity token of a service account, for an audience.
pub(crate) fn identity(shared: &Shared, email: &str, audience: &str, more: serde_json::Value) -> String {
    let now = now();
    let mut claims = json!({
        "iss": "https://accounts.google.com", "aud": audience, "azp": subject(email), "sub": subject(email),
        "email": email, "email_verified": true, "iat": now, "exp": now + 3600,
    });
    if let (Some(claims), serde_json::Value::Object(more)) = (claims.as_object_mut(), more) {
        claims.extend(more);
    }
    sign(&shared.key, &[("kid", "identity")], &claims)
}

/// An account's number: the same for the same address.
pub(crate) fn subject(email: &str) -> String {
    let number = email.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    format!("1{:020}", number)
}
