//! IAM Service Account Credentials.
//!
//! Written from "REST Resource: projects.serviceAccounts" (v1, cloud.google.com/iam/docs/reference/credentials
//! /rest): `generateAccessToken`, `generateIdToken`, `signJwt`.
//!
//! Strict about: HTTPS; a good token; `projects/-`; the right to act as the account (a service account has none
//! over itself unless it is given); the scope; a lifetime of at most an hour; for `signJwt` a payload that is a
//! JSON object in a string, with an `exp` at most twelve hours ahead.
//!
//! It does not do: delegation chains, `signBlob`.

use std::sync::Arc;

use leasehold_harness::http::{Request, Response};
use serde_json::{Value, json};

use super::oauth::identity;
use super::status::{error_info, failure, reply, status};
use super::{Shared, State};
use crate::form::target;
use crate::jwt::{now, sign};
use crate::server::Service;

const HOST: &str = "iamcredentials.googleapis.com";
const LONGEST: u64 = 3600;

pub(crate) struct Iam(pub(crate) Arc<Shared>);

impl Service for Iam {
    fn answer(&self, request: &Request) -> Response {
        let mut state = self.0.state();
        let caller = match state.principal(request, HOST) {
            Ok(caller) => caller,
            Err(refused) => return *refused,
        };
        let Some((path, _)) = target(request) else { return Response { status: 404, ..Default::default() } };
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        let ("POST", ["v1", "projects", "-", "serviceAccounts", named]) =
            (request.method.as_str(), path.as_slice())
        else {
            return Response { status: 404, ..Default::default() };
        };
        let Some((email, method)) = named.split_once(':') else {
            return Response { status: 404, ..Default::default() };
        };
        let permission = match method {
            "generateAccessToken" => "iam.serviceAccounts.getAccessToken",
            "generateIdToken" => "iam.serviceAccounts.getOpenIdToken",
            "signJwt" => "iam.serviceAccounts.signJwt",
            _ => return Response { status: 404, ..Default::default() },
        };
        let right = (caller, email.to_owned());
        if !state.accounts.contains_key(email) || !state.impersonators.contains(&right) {
            let info = error_info(
                "IAM_PERMISSION_DENIED",
                "iam.googleapis.com",
                json!({ "permission": permission }),
            );
            let what = format!("Permission '{permission}' denied on resource (or it may not exist).");
            return status(403, "PERMISSION_DENIED", &what, &[info]);
        }
        let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
            return invalid("the body is no JSON");
        };
        match method {
            "generateAccessToken" => access_token(&mut state, email, &body),
            "generateIdToken" => self.id_token(email, &body),
            _ => sign_jwt(&state, email, &body),
        }
    }

    fn failure(&self, status: u16) -> Response {
        failure(status)
    }
}

impl Iam {
    fn id_token(&self, email: &str, body: &Value) -> Response {
        let Some(audience) = body["audience"].as_str() else { return invalid("the audience is missing") };
        reply(200, &json!({ "token": identity(&self.0, email, audience, json!({})) }))
    }
}

fn access_token(state: &mut State, email: &str, body: &Value) -> Response {
    let scopes: Vec<_> = body["scope"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if scopes.is_empty() {
        return invalid("the scope is missing");
    }
    let lifetime = match &body["lifetime"] {
        Value::Null => LONGEST,
        given => match given.as_str().and_then(|text| text.strip_suffix('s')?.parse().ok()) {
            Some(seconds @ 1..=LONGEST) => seconds,
            _ => return invalid("the lifetime is no duration of at most 3600s"),
        },
    };
    let (token, lifetime) = state.issue(email, &scopes, lifetime);
    let end = std::time::SystemTime::now() + std::time::Duration::from_secs(lifetime);
    let end = humantime::format_rfc3339_seconds(end).to_string();
    reply(200, &json!({ "accessToken": token, "expireTime": end }))
}

fn sign_jwt(state: &State, email: &str, body: &Value) -> Response {
    let claims = body["payload"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let Some(claims) = claims.filter(Value::is_object) else {
        return invalid("the payload is no JSON object in a string");
    };
    if claims["exp"].as_u64().is_some_and(|end| end > now() + 12 * 3600) {
        return invalid("exp is more than twelve hours ahead");
    }
    let account = &state.accounts[email];
    let token = sign(&account.key, &[("kid", &account.key_id)], &claims);
    reply(200, &json!({ "keyId": account.key_id, "signedJwt": token }))
}

fn invalid(what: &str) -> Response {
    status(400, "INVALID_ARGUMENT", what, &[])
}
