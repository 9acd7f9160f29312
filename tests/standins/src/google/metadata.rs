//! The metadata server of Compute Engine, over plain HTTP as on a machine.
//!
//! Written from "View and query VM metadata", "Predefined metadata keys" and "Verify the identity of instances"
//! (cloud.google.com/compute/docs/metadata).
//!
//! Strict about: `Metadata-Flavor: Google` (which every answer carries as well); no `X-Forwarded-For`; accounts
//! that the machine has; an audience for an identity token. An access token that has more than five minutes to
//! live is given again.
//!
//! It does not do: waiting for changes, recursion, custom attributes, licences.

use std::sync::Arc;

use leasehold_harness::http::{Request, Response, header};
use serde_json::json;

use super::oauth::identity;
use super::{Google, Shared, State};
use crate::form::{Form, target};
use crate::server::Service;

/// The machine's zone.
pub const ZONE: &str = "europe-west3-a";
/// The machine's name.
pub const MACHINE: &str = "machine-1";
/// The machine's number.
pub const MACHINE_ID: &str = "4520031799277581759";

pub(crate) struct Metadata(pub(crate) Arc<Shared>);

impl Service for Metadata {
    fn answer(&self, request: &Request) -> Response {
        self.respond(request).header("Metadata-Flavor", "Google").header("Server", "Metadata Server for VM")
    }

    fn failure(&self, status: u16) -> Response {
        text(status, "a fault that a test asked for")
    }
}

impl Metadata {
    fn respond(&self, request: &Request) -> Response {
        let Some((path, query)) = target(request) else { return text(400, "no such target") };
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        // Whoever only looks for us may ask without the header.
        if path == [""] && request.method == "GET" {
            return text(200, "computeMetadata/\n");
        }
        if header(&request.headers, "metadata-flavor") != Some("Google") {
            return text(403, "the header Metadata-Flavor: Google is missing");
        }
        if header(&request.headers, "x-forwarded-for").is_some() {
            return text(403, "the request was forwarded");
        }
        if request.method != "GET" {
            return text(405, "only GET is known");
        }
        let ["computeMetadata", "v1", path @ ..] = path.as_slice() else { return absent() };
        let mut state = self.0.state();
        match path {
            ["project", "project-id"] => text(200, Google::PROJECT),
            ["project", "numeric-project-id"] => text(200, Google::PROJECT_NUMBER),
            ["universe", "universe-domain" | "universe_domain"] => text(200, "googleapis.com"),
            ["instance", "zone"] => text(200, &format!("projects/{}/zones/{ZONE}", Google::PROJECT_NUMBER)),
            ["instance", "name"] => text(200, MACHINE),
            ["instance", "id"] => text(200, MACHINE_ID),
            ["instance", "service-accounts", account, what] => {
                self.account(&mut state, account, what, &query)
            }
            _ => absent(),
        }
    }

    fn account(&self, state: &mut State, account: &str, what: &str, query: &Form) -> Response {
        let Some(email) = state.machine.clone().filter(|own| account == "default" || account == own) else {
            return absent();
        };
        match what {
            "email" => text(200, &email),
            "scopes" => text(200, &format!("{}\n", Google::SCOPE)),
            "token" => {
                let scopes = query.value("scopes").unwrap_or(Google::SCOPE);
                let (token, lifetime) = state.issue_to_machine(&email, scopes);
                let body = json!({ "access_token": token, "expires_in": lifetime, "token_type": "Bearer" });
                Response::json(200, &body.to_string())
            }
            "identity" => {
                let Some(audience) = query.value("audience") else {
                    return text(400, "the audience is missing");
                };
                let more = match query.value("format") {
                    Some("full") => json!({ "google": { "compute_engine": {
                        "project_id": Google::PROJECT,
                        "project_number": Google::PROJECT_NUMBER.parse::<u64>().unwrap_or_default(),
                        "zone": ZONE, "instance_id": MACHINE_ID, "instance_name": MACHINE,
                        "instance_creation_timestamp": 1_700_000_000,
                    } } }),
                    None | Some("standard") => json!({}),
                    Some(_) => return text(400, "the format is standard or full"),
                };
                text(200, &identity(&self.0, &email, audience, more))
            }
            _ => absent(),
        }
    }
}

fn text(status: u16, body: &str) -> Response {
    let response = Response { status, body: body.as_bytes().to_vec(), ..Default::default() };
    response.header("Content-Type", "application/text")
}

fn absent() -> Response {
    text(404, "there is no such metadata")
}
