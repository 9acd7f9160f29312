//! The Security Token Service.
//!
//! Written from "Method: token" (v1, cloud.google.com/iam/docs/reference/sts/rest), "Workload Identity
//! Federation" and RFC 8693.
//!
//! Strict about: HTTPS; POST of a form or JSON; the grant type; the provider's full name as audience; the type
//! of token asked for and shown; the shown token's signature, issuer, audience and time; the provider's attribute condition,
//! which names the subjects that are registered. What status a rejection by it has, the description does
//! not say: here it is 401.
//!
//! It does not do: AWS and SAML subjects, other attribute conditions, workforce pools, access boundaries.

use std::sync::Arc;

use leasehold_harness::http::{Request, Response, header};
use serde_json::{Value, json};

use super::status::{failure, oauth_error, reply};
use super::{Google, Shared};
use crate::form::Form;
use crate::server::Service;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const SUBJECTS: &[&str] =
    &["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token"];

pub(crate) struct Sts(pub(crate) Arc<Shared>);

impl Service for Sts {
    fn answer(&self, request: &Request) -> Response {
        if (request.method.as_str(), request.path.as_str()) != ("POST", "/v1/token") {
            return Response { status: 404, ..Default::default() };
        }
        let Some(asked) = Asked::of(request) else {
            return oauth_error(400, "invalid_request", "the body is neither a form nor JSON");
        };
        self.exchange(&asked)
    }

    fn failure(&self, status: u16) -> Response {
        match status {
            400 | 401 => oauth_error(status, "invalid_grant", "a fault that a test asked for"),
            _ => failure(status),
        }
    }
}

impl Sts {
    fn exchange(&self, asked: &Asked) -> Response {
        let invalid = |what| oauth_error(400, "invalid_request", what);
        if asked.value("grant_type", "grantType").as_deref() != Some(EXCHANGE) {
            return oauth_error(400, "unsupported_grant_type", "the grant type is not token exchange");
        }
        if asked.value("requested_token_type", "requestedTokenType").as_deref() != Some(ACCESS_TOKEN) {
            return invalid("the requested token type is not an access token");
        }
        let kind = asked.value("subject_token_type", "subjectTokenType").unwrap_or_default();
        if !SUBJECTS.contains(&kind.as_str()) {
            return invalid("the subject token type is not one of this provider's");
        }
        let Some(scope) = asked.value("scope", "scope") else { return invalid("the scope is missing") };
        let mut state = self.0.state();
        let provider = asked.value("audience", "audience").unwrap_or_default();
        if !provider.starts_with("//iam.googleapis.com/projects/") {
            return invalid("the audience is no full resource name of a provider");
        }
        let Some(clusters) = state.pools.get(&provider) else {
            return oauth_error(400, "invalid_target", "there is no such provider");
        };
        let shown = asked.value("subject_token", "subjectToken").unwrap_or_default();
        let Some(token) = clusters.iter().find_map(|cluster| cluster.verify(&shown)) else {
            return oauth_error(400, "invalid_grant", "the subject token is not a good one of the issuer");
        };
        if ![provider.clone(), format!("https:{provider}")].iter().any(|audience| token.is_for(audience)) {
            return oauth_error(400, "invalid_grant", "the subject token's audience is not this provider");
        }
        let Some(subject) = token.claim("sub") else {
            return oauth_error(400, "invalid_grant", "the subject token has no subject");
        };
        let principal = Google::federated_principal(subject);
        if !state.conditions.contains(&principal) {
            let what = "the attribute condition rejects the subject token";
            return oauth_error(401, "unauthorized_client", what);
        }
        let scopes: Vec<_> = scope.split(' ').collect();
        let (token, lifetime) = state.issue(&principal, &scopes, 3600);
        reply(
            200,
            &json!({
                "access_token": token, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer",
                "expires_in": lifetime,
            }),
        )
    }
}

/// A request's fields: of a form, where names have underscores, or of JSON, where they have humps.
enum Asked {
    Form(Form),
    Json(Value),
}

impl Asked {
    fn of(request: &Request) -> Option<Self> {
        let kind = header(&request.headers, "content-type")?;
        if kind.starts_with("application/json") {
            return serde_json::from_slice(&request.body).ok().map(Self::Json);
        }
        Form::of_body(request).map(Self::Form)
    }

    fn value(&self, in_form: &str, in_json: &str) -> Option<String> {
        match self {
            Self::Form(form) => form.value(in_form).map(Into::into),
            Self::Json(json) => json[in_json].as_str().map(Into::into),
        }
    }
}
