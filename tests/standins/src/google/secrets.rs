//! Secret Manager.
//!
//! Written from the protobuf description `google.cloud.secretmanager.v1` (`service.proto` and
//! `resources.proto` of googleapis, with their HTTP rules), "REST Resource: projects.secrets.versions" (v1,
//! cloud.google.com/secret-manager), AIP-193 for errors and AIP-4111 for tokens that a service account signs
//! for itself.
//!
//! Strict about: HTTPS; a token in its time with the scope `cloud-platform`, or a self-signed one for this very
//! service; resource names, projects by id or number, and the number in every answer; `locations/…` at the
//! regional endpoint alone; states of versions; aliases; CRC32C as a string of a 64-bit number; pages.
//!
//! It does not do: writing through the interface, policies of their own for each secret (whoever is registered may
//! read all but what a test denies), replication, rotation, filters, customer keys, other regions.

use std::sync::Arc;

use leasehold_harness::http::{Request, Response};
use serde_json::{Value, json};

use super::status::{error_info, exhausted, failure, reply, status};
use super::store::{Place, Secret, Version, VersionState, is_name};
use super::{Google, Shared, State};
use crate::form::{Form, target};
use crate::pki::base64;
use crate::server::Service;

/// What a page holds, unless it is said.
const PAGE: usize = 25_000;

const HOST: &str = "secretmanager.googleapis.com";

pub(crate) struct Secrets(pub(crate) Arc<Shared>, pub(crate) Place);

impl Service for Secrets {
    fn answer(&self, request: &Request) -> Response {
        let Some((path, query)) = target(request) else { return no_such_method() };
        let mut state = self.0.state();
        let caller = match state.principal(request, &self.host()) {
            Ok(caller) => caller,
            Err(refused) => return *refused,
        };
        if state.throttled.0 > 0 {
            state.throttled.0 -= 1;
            return exhausted(state.throttled.1);
        }
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        let (project, rest) = match (self.1, path.as_slice()) {
            (Place::Global, ["v1", "projects", project, rest @ ..]) => (*project, rest),
            (Place::Regional, ["v1", "projects", project, "locations", Google::LOCATION, rest @ ..]) => {
                (*project, rest)
            }
            _ => return no_such_method(),
        };
        if ![Google::PROJECT, Google::PROJECT_NUMBER].contains(&project) {
            return denied("secretmanager.versions.access", &format!("projects/{project}"));
        }
        let asked = Asked { state: &state, reader: state.readers.contains(&caller) };
        self.route(&asked, request, rest, &query)
    }

    fn failure(&self, status: u16) -> Response {
        failure(status)
    }
}

/// What is there, and whether the caller may read it.
struct Asked<'a> {
    state: &'a State,
    reader: bool,
}

impl Asked<'_> {
    fn may_read(&self, name: &str) -> bool {
        self.reader && !self.state.store.denied.contains(name)
    }
}

impl Secrets {
    fn route(&self, asked: &Asked<'_>, request: &Request, path: &[&str], query: &Form) -> Response {
        match (request.method.as_str(), path) {
            ("GET", ["secrets", name, "versions"]) => self.list(asked, name, query),
            ("GET", ["secrets", name, "versions", version]) => match version.split_once(':') {
                None => self.describe(asked, name, version),
                Some((version, "access")) => self.access(asked, name, version),
                Some(_) => no_such_method(),
            },
            ("GET", ["secrets", name]) => self.secret(asked, name),
            ("POST", ["secrets", name]) => match name.split_once(':') {
                Some((name, "testIamPermissions")) => self.test(asked, name, &request.body),
                _ => no_such_method(),
            },
            _ => no_such_method(),
        }
    }

    fn access(&self, asked: &Asked<'_>, name: &str, version: &str) -> Response {
        let found = match self.find(asked, "secretmanager.versions.access", name, version) {
            Ok(found) => found,
            Err(refused) => return *refused,
        };
        let full = self.version_name(name, found);
        if found.state != VersionState::Enabled {
            let what = format!("Secret Version [{full}] is in {} state.", found.state.name());
            return status(400, "FAILED_PRECONDITION", &what, &[]);
        }
        let wrong = u32::from(asked.state.store.miscounted.contains(name));
        let checksum = i64::from(crc32c(&found.payload) ^ wrong);
        let mut payload = json!({ "dataCrc32c": checksum.to_string() });
        // What is empty is left out, as JSON of protobuf has it.
        if !found.payload.is_empty() {
            payload["data"] = base64(&found.payload).into();
        }
        reply(200, &json!({ "name": full, "payload": payload }))
    }

    fn describe(&self, asked: &Asked<'_>, name: &str, version: &str) -> Response {
        match self.find(asked, "secretmanager.versions.get", name, version) {
            Ok(found) => reply(200, &self.version_body(name, found)),
            Err(refused) => *refused,
        }
    }

    fn secret(&self, asked: &Asked<'_>, name: &str) -> Response {
        let secret = match self.find_secret(asked, "secretmanager.secrets.get", name) {
            Ok(secret) => secret,
            Err(refused) => return *refused,
        };
        let mut body =
            json!({ "name": self.secret_name(name), "createTime": time(secret.created), "etag": "\"1\"" });
        if self.1 == Place::Global {
            body["replication"] = json!({ "automatic": {} });
        }
        if !secret.aliases.is_empty() {
            let aliases =
                secret.aliases.iter().map(|(alias, number)| (alias.clone(), number.to_string().into()));
            body["versionAliases"] = Value::Object(aliases.collect());
        }
        if let Some(end) = secret.expires {
            body["expireTime"] = time(end).into();
        }
        reply(200, &body)
    }

    fn list(&self, asked: &Asked<'_>, name: &str, query: &Form) -> Response {
        let secret = match self.find_secret(asked, "secretmanager.versions.list", name) {
            Ok(secret) => secret,
            Err(refused) => return *refused,
        };
        let bad = |what| status(400, "INVALID_ARGUMENT", what, &[]);
        let most = match query.value("pageSize").map(str::parse::<i32>) {
            None | Some(Ok(0)) => PAGE,
            Some(Ok(most)) if most > 0 => PAGE.min(most as usize),
            Some(_) => return bad("page_size is no number that can be"),
        };
        let most = most.min(asked.state.page.unwrap_or(PAGE));
        let all = &secret.versions;
        let start = match query.value("pageToken").map(|token| token.strip_prefix("page-").map(str::parse)) {
            None => 0,
            Some(Some(Ok(start))) if start < all.len() => start,
            Some(_) => return bad("page_token is not one of this listing"),
        };
        let newest_first = all.iter().rev().skip(start).take(most);
        let versions: Vec<_> = newest_first.map(|version| self.version_body(name, version)).collect();
        let mut body = json!({ "totalSize": all.len() });
        // An empty list, and a token that leads nowhere, are left out, as JSON of protobuf has it.
        if start + versions.len() < all.len() {
            body["nextPageToken"] = format!("page-{}", start + versions.len()).into();
        }
        if !versions.is_empty() {
            body["versions"] = versions.into();
        }
        reply(200, &body)
    }

    /// An absent secret answers with no permission, and no error.
    fn test(&self, asked: &Asked<'_>, name: &str, body: &[u8]) -> Response {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(permissions) = body["permissions"].as_array() else {
            return status(400, "INVALID_ARGUMENT", "permissions are missing", &[]);
        };
        let known = |permission: &&Value| {
            permission.as_str().is_some_and(|permission| permission.starts_with("secretmanager."))
        };
        if !permissions.iter().all(|permission| known(&permission)) {
            return status(400, "INVALID_ARGUMENT", "a permission is not known for this resource", &[]);
        }
        let held = asked.state.store.secret(self.1, name).is_some() && asked.may_read(name);
        let mut answer = json!({});
        if held && !permissions.is_empty() {
            let reader = |permission: &&Value| {
                ["secretmanager.versions.access", "secretmanager.versions.get", "secretmanager.versions.list"]
                    .contains(&permission.as_str().unwrap_or_default())
            };
            answer["permissions"] = permissions.iter().filter(reader).cloned().collect::<Vec<_>>().into();
        }
        reply(200, &answer)
    }

    fn find<'a>(
        &self,
        asked: &Asked<'a>,
        permission: &str,
        name: &str,
        version: &str,
    ) -> Result<&'a Version, Box<Response>> {
        let secret = self.find_secret(asked, permission, name)?;
        secret.version(version).ok_or_else(|| {
            let full = format!("{}/versions/{version}", self.secret_name(name));
            let what = format!("Secret Version [{full}] not found.");
            Box::new(status(404, "NOT_FOUND", &what, &[]))
        })
    }

    fn find_secret<'a>(
        &self,
        asked: &Asked<'a>,
        permission: &str,
        name: &str,
    ) -> Result<&'a Secret, Box<Response>> {
        let full = self.secret_name(name);
        if !is_name(name) {
            let what = "the resource name does not match the pattern of secrets";
            return Err(Box::new(status(400, "INVALID_ARGUMENT", what, &[])));
        }
        if !asked.may_read(name) {
            return Err(Box::new(denied(permission, &full)));
        }
        asked.state.store.secret(self.1, name).ok_or_else(|| {
            let what = format!("Secret [{full}] not found or has no versions.");
            Box::new(status(404, "NOT_FOUND", &what, &[]))
        })
    }

    fn version_body(&self, name: &str, version: &Version) -> Value {
        let mut body = json!({
            "name": self.version_name(name, version), "state": version.state.name(),
            "createTime": time(version.created), "etag": format!("\"{}\"", version.etag),
        });
        if self.1 == Place::Global {
            body["replicationStatus"] = json!({ "automatic": {} });
        }
        if let Some(when) = version.destroyed {
            body["destroyTime"] = time(when).into();
        }
        body
    }

    fn version_name(&self, name: &str, version: &Version) -> String {
        format!("{}/versions/{}", self.secret_name(name), version.number)
    }

    /// With the project's number, whatever the caller said.
    fn secret_name(&self, name: &str) -> String {
        let number = Google::PROJECT_NUMBER;
        match self.1 {
            Place::Global => format!("projects/{number}/secrets/{name}"),
            Place::Regional => format!("projects/{number}/locations/{}/secrets/{name}", Google::LOCATION),
        }
    }

    fn host(&self) -> String {
        match self.1 {
            Place::Global => HOST.to_owned(),
            Place::Regional => format!("secretmanager.{}.rep.googleapis.com", Google::LOCATION),
        }
    }
}

/// CRC-32 with Castagnoli's polynomial, reflected (RFC 3720, B.4), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0x82f6_3b78 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), step))
}

fn time(time: std::time::SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}

fn denied(permission: &str, resource: &str) -> Response {
    let metadata = json!({ "permission": permission, "resource": resource });
    let info = error_info("IAM_PERMISSION_DENIED", "iam.googleapis.com", metadata);
    let what = format!("Permission '{permission}' denied for resource '{resource}' (or it may not exist).");
    status(403, "PERMISSION_DENIED", &what, &[info])
}

/// As the front end answers what no method's path fits: a page, no JSON.
fn no_such_method() -> Response {
    let response =
        Response { status: 404, body: b"<!doctype html><title>404</title>".to_vec(), ..Default::default() };
    response.header("Content-Type", "text/html; charset=UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        // The check value of CRC-32C in the catalogue of parametrised CRC algorithms.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }
}
