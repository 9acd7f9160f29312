//! The identity endpoint of App Service, over plain HTTP as beside an application there.
//!
//! Written from "How to use managed identities for App Service and Azure Functions", its REST endpoint of
//! 2019-08-01 (learn.microsoft.com).
//!
//! Strict about: `X-IDENTITY-HEADER`, the value that the environment gives; `api-version`; `resource`; an
//! identity that the application has. `expires_on` is a string, and there is no `expires_in`, as there.
//!
//! It does not do: identities by principal or resource id, the older version of 2017. What the status of a
//! missing header is, the description does not say: here it is 401.

use std::sync::Arc;

use leasehold_harness::http::{Request, Response, header};
use serde_json::json;

use super::imds::identity_of;
use super::{Shared, authority};
use crate::form::target;
use crate::jwt::now;
use crate::server::Service;

pub(crate) struct AppService(pub(crate) Arc<Shared>);

impl Service for AppService {
    fn answer(&self, request: &Request) -> Response {
        let mut state = self.0.state();
        if header(&request.headers, "x-identity-header") != Some(&state.identity_header) {
            return error(401, "the header X-IDENTITY-HEADER is missing or wrong");
        }
        let Some((path, query)) = target(request) else { return error(400, "no such target") };
        if request.method != "GET" || path != ["MSI", "token"] {
            return error(404, "there is no such operation");
        }
        if query.value("api-version") != Some("2019-08-01") {
            return error(400, "api-version is missing or not known");
        }
        let Some(resource) = query.value("resource") else { return error(400, "the resource is missing") };
        let Some(client) = identity_of(&state, &query) else {
            return error(400, "no managed identity fits the request");
        };
        let (token, lifetime) = authority::issue_to_machine(&self.0, &mut state, resource, &client);
        let body = json!({
            "access_token": token, "client_id": client, "resource": resource, "token_type": "Bearer",
            "expires_on": (now() + lifetime).to_string(),
        });
        Response::json(200, &body.to_string())
    }

    fn failure(&self, status: u16) -> Response {
        error(status, "a fault that a test asked for")
    }
}

fn error(status: u16, what: &str) -> Response {
    Response::json(status, &json!({ "statusCode": status, "message": what }).to_string())
}
