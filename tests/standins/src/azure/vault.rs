//! The data plane of Azure Key Vault: secrets, and certificates as far as reading goes.
//!
//! Written from the OpenAPI descriptions `Microsoft.KeyVault` `secrets.json` and `certificates.json`, 7.5 and
//! 7.6 (azure-rest-api-specs), and from "Authentication, requests and responses", "Azure Key Vault REST API
//! Error Codes", "About Azure Key Vault secrets" and "Azure Key Vault throttling guidance"
//! (learn.microsoft.com).
//!
//! Strict about: HTTPS; a token of the tenant's authority, for this resource, in its time (else 401 with the
//! challenge); an `api-version` that exists; names, which know no case; disabled versions; deleted secrets;
//! `maxresults`; the limit of 25 KiB. `exp` and `nbf` are told and not enforced, as documented.
//!
//! It does not do: keys, issuing and policies of certificates, backup, rotation, tags, network rules; an
//! registered may read all, but for clients and secrets that a test denies.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_harness::http::{Request, Response, header};
use ring::digest;
use serde_json::{Value, json};

use super::authority::Token;
use super::store::{Attributes, Kind, Secret, Version, is_name};
use super::{Azure, Shared, State};
use crate::form::{Form, target};
use crate::jwt::{now, random_hex};
use crate::pki::base64;
use crate::server::Service;

/// The most that a page holds, and what it holds unless less is asked for.
pub(crate) const MOST_PER_PAGE: usize = 25;

/// The stable versions of the interface.
const VERSIONS: &[&str] = &[
    "2015-06-01",
    "2016-10-01",
    "7.0",
    "7.1",
    "7.2",
    "7.3",
    "7.4",
    "7.5",
    "7.6",
    "2025-06-01",
    "2025-07-01",
];

pub(crate) struct Vault(pub(crate) Arc<Shared>);

impl Service for Vault {
    fn answer(&self, request: &Request) -> Response {
        let response = self.respond(request);
        response
            .header("Cache-Control", "no-cache")
            .header("Pragma", "no-cache")
            .header("x-ms-keyvault-service-version", "1.9.0.0")
            .header("x-ms-request-id", &random_hex(16))
    }

    fn failure(&self, status: u16) -> Response {
        error(status, "InternalServerError", "a fault that a test asked for", None)
    }
}

impl Vault {
    fn respond(&self, request: &Request) -> Response {
        let mut state = self.0.state();
        let refused = match authenticate(&state, request) {
            Ok(token) => state.refused.contains(&token.client),
            Err(why) => return challenge(&state, why),
        };
        if state.throttled.0 > 0 {
            state.throttled.0 -= 1;
            return throttled(state.throttled.1);
        }
        let Some((path, query)) = target(request) else {
            return error(400, "BadParameter", "the target cannot be read", None);
        };
        match query.value("api-version") {
            None => return error(400, "BadParameter", "api-version must be specified", None),
            Some(version) if !VERSIONS.contains(&version) => {
                return error(400, "BadParameter", "the specified version is not recognized", None);
            }
            Some(_) => {}
        }
        if refused {
            return error(403, "Forbidden", "the caller may do nothing here", Some("ForbiddenByRbac"));
        }
        let mut path: Vec<_> = path.iter().map(String::as_str).collect();
        if path.last() == Some(&"") {
            path.pop();
        }
        let base = format!("https://{}", header(&request.headers, "host").unwrap_or_default());
        route(&mut state, request, &path, &query, &base)
    }
}

fn route(state: &mut State, request: &Request, path: &[&str], query: &Form, base: &str) -> Response {
    match (request.method.as_str(), path) {
        ("GET", ["secrets"]) => list_secrets(state, query, base),
        ("GET", ["secrets", name, "versions"]) => list_versions(state, query, base, "secrets", name),
        ("GET", ["secrets", name]) => read_secret(state, base, name, None),
        ("GET", ["secrets", name, version]) => read_secret(state, base, name, Some(version)),
        ("PUT", ["secrets", name]) => set_secret(state, base, name, &request.body),
        ("DELETE", ["secrets", name]) => delete_secret(state, base, name),
        ("GET", ["deletedsecrets", name]) => read_deleted(state, base, name),
        ("GET", ["certificates", name, "versions"]) => {
            list_versions(state, query, base, "certificates", name)
        }
        ("GET", ["certificates", name]) => read_certificate(state, base, name, None),
        ("GET", ["certificates", name, version]) => read_certificate(state, base, name, Some(version)),
        _ => error(404, "NotFound", "there is no such operation", None),
    }
}

/// The request's token, or why it is not good.
fn authenticate<'a>(state: &'a State, request: &Request) -> Result<&'a Token, &'static str> {
    let shown = header(&request.headers, "authorization").ok_or("the request has no bearer token")?;
    let (scheme, token) = shown.split_once(' ').ok_or("the request has no bearer token")?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err("the request has no bearer token");
    }
    let token = state.tokens.get(token.trim()).ok_or("the token is not one of the authority's")?;
    if token.expires <= now() {
        return Err("the token has expired");
    }
    if token.tenant != Azure::TENANT {
        return Err("the token is another tenant's");
    }
    // To the letter: with a slash at its end it is another one.
    if token.audience != state.resource {
        return Err("the token was made for another audience");
    }
    Ok(token)
}

fn challenge(state: &State, why: &str) -> Response {
    let (authority, resource) = (&state.authority, &state.resource);
    let tenant = Azure::TENANT;
    let challenge = format!(r#"Bearer authorization="{authority}/{tenant}", resource="{resource}""#);
    error(401, "Unauthorized", why, None).header("WWW-Authenticate", &challenge)
}

fn throttled(retry_after: Duration) -> Response {
    error(429, "Throttled", "there were too many requests", None)
        .header("Retry-After", &retry_after.as_secs().to_string())
}

fn read_secret(state: &State, base: &str, name: &str, version: Option<&str>) -> Response {
    let found = match find(state, "secrets", name, version) {
        Ok(found) => found,
        Err(refused) => return *refused,
    };
    if !found.attributes.enabled {
        return error(403, "Forbidden", "a disabled secret cannot be read", Some("SecretDisabled"));
    }
    let mut body = describe(state, base, "secrets", name, found);
    body["value"] = found.value.clone().into();
    json_response(200, &body)
}

fn read_certificate(state: &State, base: &str, name: &str, version: Option<&str>) -> Response {
    let found = match find(state, "certificates", name, version) {
        Ok(found) => found,
        Err(refused) => return *refused,
    };
    let Kind::Certificate(der) = &found.kind else { return absent("certificates") };
    let mut body = describe(state, base, "certificates", name, found);
    for (other, field) in [("secrets", "sid"), ("keys", "kid")] {
        body[field] = id(state, base, other, name, Some(&found.id)).into();
    }
    body["x5t"] = thumbprint(der).into();
    body["cer"] = base64(der).into();
    body["policy"] = json!({
        "id": format!("{}/policy", id(state, base, "certificates", name, None)),
        "key_props": { "exportable": true, "kty": "RSA", "key_size": 2048, "reuse_key": false },
        "secret_props": { "contentType": found.content_type },
    });
    json_response(200, &body)
}

/// A version that the caller may see.
fn find<'a>(
    state: &'a State,
    kind: &str,
    name: &str,
    version: Option<&str>,
) -> Result<&'a Version, Box<Response>> {
    if !is_name(name) {
        return Err(Box::new(error(400, "BadParameter", "the name is not one that can exist", None)));
    }
    if state.store.denies(name) {
        let what = "the caller may not get this";
        return Err(Box::new(error(403, "Forbidden", what, Some("ForbiddenByRbac"))));
    }
    state.store.version(name, version).ok_or_else(|| Box::new(absent(kind)))
}

fn absent(kind: &str) -> Response {
    let code = if kind == "secrets" { "SecretNotFound" } else { "CertificateNotFound" };
    error(404, code, "this vault has nothing of this name and version", None)
}

fn set_secret(state: &mut State, base: &str, name: &str, body: &[u8]) -> Response {
    let bad = |what| error(400, "BadParameter", what, None);
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return bad("the body is no JSON") };
    let Some(value) = body["value"].as_str() else { return bad("the body lacks a value") };
    if state.store.denies(name) {
        return error(403, "Forbidden", "the caller may not set this", Some("ForbiddenByRbac"));
    }
    if state.store.deleted(name).is_some() {
        let what = "a deleted secret has this name until it is purged";
        return error(409, "Conflict", what, Some("ObjectIsDeletedButRecoverable"));
    }
    match state.store.put(name, value, body["contentType"].as_str(), Kind::Plain) {
        Err(why) => bad(why),
        Ok(version) => read_secret(state, base, name, Some(&version)),
    }
}

fn delete_secret(state: &mut State, base: &str, name: &str) -> Response {
    if let Err(refused) = find(state, "secrets", name, None) {
        return *refused;
    }
    state.store.delete(name, now());
    read_deleted(state, base, name)
}

fn read_deleted(state: &State, base: &str, name: &str) -> Response {
    let Some((secret, when)) = state.store.deleted(name) else { return absent("secrets") };
    let Some(newest) = secret.versions.last() else { return absent("secrets") };
    let body = json!({
        "id": format!("{base}/secrets/{}/{}", secret.name, newest.id),
        "recoveryId": format!("{base}/deletedsecrets/{}", secret.name),
        "deletedDate": when, "scheduledPurgeDate": when + 90 * 24 * 3600,
        "attributes": attributes(&newest.attributes),
    });
    json_response(200, &body)
}

fn list_secrets(state: &State, query: &Form, base: &str) -> Response {
    let all: Vec<_> = state
        .store
        .secrets()
        .filter_map(|secret: &Secret| {
            let newest = secret.versions.last()?;
            let mut item = describe(state, base, "secrets", &secret.name, newest);
            item["id"] = id(state, base, "secrets", &secret.name, None).into();
            Some(item)
        })
        .collect();
    page(state, query, &format!("{base}/secrets"), all)
}

fn list_versions(state: &State, query: &Form, base: &str, kind: &str, name: &str) -> Response {
    if let Err(refused) = find(state, kind, name, None) {
        return *refused;
    }
    let versions = state.store.secret(name).map(|secret| secret.versions.as_slice()).unwrap_or_default();
    let all: Vec<_> = versions.iter().map(|version| describe(state, base, kind, name, version)).collect();
    page(state, query, &format!("{}/versions", id(state, base, kind, name, None)), all)
}

fn page(state: &State, query: &Form, url: &str, all: Vec<Value>) -> Response {
    let bad = |what| error(400, "BadParameter", what, None);
    let most = match query.value("maxresults").map(str::parse::<usize>) {
        None => state.page,
        Some(Ok(asked)) if (1..=MOST_PER_PAGE).contains(&asked) => asked.min(state.page),
        Some(_) => return bad("maxresults is a number of 1 to 25"),
    };
    let start = match query.value("$skiptoken").map(|token| usize::from_str_radix(token, 16)) {
        None => 0,
        Some(Ok(start)) if start < all.len() => start,
        Some(_) => return bad("the $skiptoken is not one of this listing"),
    };
    let end = (start + most).min(all.len());
    let version = query.value("api-version").unwrap_or_default();
    let next = (end < all.len())
        .then(|| format!("{url}?api-version={version}&$skiptoken={end:08x}&maxresults={most}"));
    json_response(200, &json!({ "value": all[start..end], "nextLink": next }))
}

/// What reading and listing have in common.
fn describe(state: &State, base: &str, kind: &str, name: &str, version: &Version) -> Value {
    let mut body = json!({
        "id": id(state, base, kind, name, Some(&version.id)),
        "attributes": attributes(&version.attributes),
    });
    if kind == "secrets" {
        if let Some(content_type) = &version.content_type {
            body["contentType"] = content_type.as_str().into();
        }
        if let Kind::Certificate(_) = version.kind {
            body["managed"] = true.into();
            body["kid"] = id(state, base, "keys", name, Some(&version.id)).into();
        }
    } else if let Kind::Certificate(der) = &version.kind {
        body["x5t"] = thumbprint(der).into();
    }
    body
}

/// By the name as it was written first.
fn id(state: &State, base: &str, kind: &str, name: &str, version: Option<&str>) -> String {
    let name = state.store.secret(name).map_or(name, |secret| &secret.name);
    let version = version.map(|version| format!("/{version}")).unwrap_or_default();
    format!("{base}/{kind}/{name}{version}")
}

fn attributes(of: &Attributes) -> Value {
    let mut body = json!({
        "enabled": of.enabled, "created": of.created, "updated": of.updated,
        "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90,
    });
    for (field, time) in [("exp", of.expires), ("nbf", of.not_before)] {
        if let Some(time) = time {
            body[field] = time.into();
        }
    }
    body
}

fn thumbprint(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der))
}

fn json_response(status: u16, body: &Value) -> Response {
    let mut response = Response { status, ..Default::default() };
    response.body = body.to_string().into_bytes();
    response.header("Content-Type", "application/json; charset=utf-8")
}

fn error(status: u16, code: &str, what: &str, inner: Option<&str>) -> Response {
    let mut body = json!({ "error": { "code": code, "message": what } });
    if let Some(inner) = inner {
        body["error"]["innererror"] = json!({ "code": inner });
    }
    json_response(status, &body).header("x-ms-error-code", code)
}
