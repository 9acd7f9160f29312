//! The Azure Instance Metadata Service, over plain HTTP as on a machine.
//!
//! Written from "How to use managed identities for Azure resources on an Azure VM to acquire an access token"
//! and "Azure Instance Metadata Service" (learn.microsoft.com).
//!
//! Strict about: `Metadata: true`, in small letters; no `X-Forwarded-For`; `api-version`; `resource`; an identity that the
//! machine has. Numbers of a token answer are strings, as there. A token that has more than five minutes
//! to live is given again.
//!
//! It does not do: identities by object or resource id, attested data, scheduled events.

use std::sync::Arc;

use leasehold_harness::http::{Request, Response, header};
use serde_json::{Value, json};

use super::{Shared, State, authority};
use crate::form::{Form, target};
use crate::jwt::now;
use crate::server::Service;

/// The machine that the metadata speaks of.
pub const SUBSCRIPTION: &str = "8d10da13-8125-4ba9-a717-bf7490507b3d";
/// Its resource group.
pub const RESOURCE_GROUP: &str = "leasehold-tests";
/// Its name.
pub const MACHINE: &str = "machine-1";

pub(crate) struct Imds(pub(crate) Arc<Shared>);

impl Service for Imds {
    fn answer(&self, request: &Request) -> Response {
        let Some((path, query)) = target(request) else { return error(400, "bad_request", "no such target") };
        if header(&request.headers, "metadata") != Some("true") {
            return error(400, "bad_request_102", "Required metadata header not specified");
        }
        if header(&request.headers, "x-forwarded-for").is_some() {
            return error(400, "invalid_request", "the request was forwarded");
        }
        if request.method != "GET" {
            return error(405, "method_not_allowed", "only GET is known");
        }
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["metadata", "identity", "oauth2", "token"] => self.token(&query),
            ["metadata", "instance"] => instance(&query),
            _ => error(404, "not_found", "there is no such metadata"),
        }
    }

    fn failure(&self, status: u16) -> Response {
        error(status, "unknown", "a fault that a test asked for")
    }
}

impl Imds {
    fn token(&self, query: &Form) -> Response {
        if !is_version(query, "2018-02-01") {
            return error(400, "invalid_request", "api-version is missing or not known");
        }
        let Some(resource) = query.value("resource") else {
            return error(400, "invalid_request", "the resource is missing");
        };
        let mut state = self.0.state();
        let Some(client) = identity_of(&state, query) else {
            return error(400, "invalid_request", "Identity not found");
        };
        let (token, lifetime) = authority::issue_to_machine(&self.0, &mut state, resource, &client);
        let now = now();
        let body = json!({
            "access_token": token, "client_id": client, "resource": resource, "token_type": "Bearer",
            "expires_in": lifetime.to_string(), "ext_expires_in": lifetime.to_string(),
            "expires_on": (now + lifetime).to_string(), "not_before": now.to_string(),
        });
        Response::json(200, &body.to_string())
    }
}

/// The managed identity that is asked for. By anything but its client id none is known.
pub(crate) fn identity_of(state: &State, query: &Form) -> Option<String> {
    let by_other = ["object_id", "principal_id", "mi_res_id", "msi_res_id"];
    if by_other.iter().any(|name| query.value(name).is_some()) {
        return None;
    }
    let found = match query.value("client_id") {
        Some(asked) => state.identities.iter().find(|known| *known == asked),
        None => state.identities.first(),
    };
    found.cloned()
}

fn instance(query: &Form) -> Response {
    if !is_version(query, "2017-04-02") {
        return error(400, "bad_request", "api-version is missing or not known");
    }
    let id = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}/providers/Microsoft.Compute\
         /virtualMachines/{MACHINE}"
    );
    let body = json!({ "compute": {
        "azEnvironment": "AzurePublicCloud", "location": "westeurope", "name": MACHINE,
        "resourceGroupName": RESOURCE_GROUP, "resourceId": id, "subscriptionId": SUBSCRIPTION,
        "vmId": "02aab8a4-74ef-476e-8182-f6d2ba4166a6", "vmScaleSetName": "",
    } });
    Response::json(200, &body.to_string())
}

/// Whether the query names a version, a date that is not before the first one.
fn is_version(query: &Form, first: &str) -> bool {
    query.value("api-version").is_some_and(|version| version.len() == first.len() && version >= first)
}

fn error(status: u16, code: &str, what: &str) -> Response {
    let body: Value = json!({ "error": code, "error_description": what });
    Response::json(status, &body.to_string())
}
