//! Errors as Google's interfaces write them: `google.rpc.Status` in JSON (AIP-193).

use std::time::Duration;

use leasehold_harness::http::Response;
use serde_json::{Value, json};

/// An answer that is an error: HTTP status, canonical code, message, details.
pub(crate) fn status(http: u16, code: &str, what: &str, details: &[Value]) -> Response {
    let mut error = json!({ "code": http, "message": what, "status": code });
    if !details.is_empty() {
        error["details"] = details.into();
    }
    reply(http, &json!({ "error": error }))
}

/// Why, for a program.
pub(crate) fn error_info(reason: &str, domain: &str, metadata: Value) -> Value {
    let kind = "type.googleapis.com/google.rpc.ErrorInfo";
    json!({ "@type": kind, "reason": reason, "domain": domain, "metadata": metadata })
}

/// 429, with when to come again both in the body and in the header.
pub(crate) fn exhausted(retry_after: Duration) -> Response {
    let seconds = retry_after.as_secs();
    let kind = "type.googleapis.com/google.rpc.RetryInfo";
    let retry = json!({ "@type": kind, "retryDelay": format!("{seconds}s") });
    status(429, "RESOURCE_EXHAUSTED", "the quota of requests is used up", &[retry])
        .header("Retry-After", &seconds.to_string())
}

/// The canonical code that belongs to an HTTP status.
pub(crate) fn failure(http: u16) -> Response {
    let code = match http {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    };
    status(http, code, "a fault that a test asked for", &[])
}

pub(crate) fn reply(http: u16, body: &Value) -> Response {
    let response = Response { status: http, body: body.to_string().into_bytes(), ..Default::default() };
    response
        .header("Content-Type", "application/json; charset=UTF-8")
        .header("Cache-Control", "private")
        .header("Vary", "Origin, X-Origin, Referer")
}

/// OAuth's form of an error (RFC 6749, 5.2).
pub(crate) fn oauth_error(http: u16, error: &str, what: &str) -> Response {
    reply(http, &json!({ "error": error, "error_description": what }))
}
