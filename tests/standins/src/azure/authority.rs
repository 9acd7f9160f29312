//! The token endpoint of the Microsoft identity platform.
//!
//! Written from "Microsoft identity platform and the OAuth 2.0 client credentials flow" (v2.0), "Microsoft
//! identity platform application authentication certificate credentials", "Workload identity federation" and
//! "Microsoft Entra authentication and authorization error codes", all on learn.microsoft.com.
//!
//! Strict about: HTTPS; POST of a form; the tenant; `grant_type=client_credentials`; a scope that is one
//! resource with `/.default`; exactly one kind of client credential, and a right one. A client assertion's
//! signature is verified: against a registered certificate (PS256 or RS256, with `x5t#S256` or `x5t`, `iss` =
//! `sub` = client, `aud` this tenant's, `exp` and `nbf`), or against a cluster whose issuer, subject and
//! audience are registered. Tokens are signed, and remembered: what was not issued here is no token.
//!
//! It does not do: other grants, v2.0 access tokens, conditional access, throttling by itself.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_harness::http::{Request, Response, header};
use ring::digest;
use serde_json::json;

use super::{Azure, Shared, State};
use crate::cluster::Cluster;
use crate::form::{Form, target};
use crate::jwt::{Jwt, jwk, now, random_hex, sign};
use crate::pki::KeyPair;
use crate::server::Service;

/// A clock may be this much ahead of ours.
const SKEW: u64 = 300;

/// A machine's token is handed out again until it has this many seconds left.
const KEPT: u64 = 300;

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An application (a client) of one tenant.
pub(crate) struct Application {
    pub(crate) tenant: String,
    pub(crate) credentials: Vec<Credential>,
}

/// What an application may show.
pub(crate) enum Credential {
    Secret(String),
    Certificate(Arc<KeyPair>),
    Federated { cluster: Cluster, subject: String, audience: String },
}

/// A token that was issued.
pub(crate) struct Token {
    pub(crate) tenant: String,
    pub(crate) audience: String,
    pub(crate) client: String,
    /// Seconds since 1970.
    pub(crate) expires: u64,
}

pub(crate) struct Authority(pub(crate) Arc<Shared>);

/// Why a token is refused: status, OAuth's word for it, the service's number, and what is wrong.
struct Refused(u16, &'static str, u32, &'static str);

impl Service for Authority {
    fn answer(&self, request: &Request) -> Response {
        let Some((path, _)) = target(request) else { return not_found() };
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        match (request.method.as_str(), path.as_slice()) {
            ("POST", [tenant, "oauth2", "v2.0", "token"]) => self.token(tenant, request),
            ("GET", [tenant, ".well-known", "openid-configuration"])
            | ("GET", [tenant, "v2.0", ".well-known", "openid-configuration"]) => {
                self.metadata(tenant, request)
            }
            ("GET", [_, "discovery", "v2.0", "keys"]) => {
                Response::json(200, &json!({ "keys": [jwk(&self.0.key, "authority")] }).to_string())
            }
            _ => not_found(),
        }
    }

    fn failure(&self, status: u16) -> Response {
        refusal(&Refused(status, "temporarily_unavailable", 90033, "a fault that a test asked for"))
    }
}

impl Authority {
    fn token(&self, tenant: &str, request: &Request) -> Response {
        match self.grant(tenant, request) {
            Ok((token, lifetime)) => {
                let body = json!({
                    "token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime,
                    "access_token": token,
                });
                Response::json(200, &body.to_string())
                    .header("Cache-Control", "no-store, no-cache")
                    .header("Pragma", "no-cache")
            }
            Err(refused) => refusal(&refused),
        }
    }

    fn grant(&self, tenant: &str, request: &Request) -> Result<(String, u64), Refused> {
        let mut state = self.0.state();
        if !state.tenants.iter().any(|known| known == tenant) {
            return Err(Refused(400, "invalid_request", 90002, "there is no such tenant"));
        }
        let missing = |what| Refused(400, "invalid_request", 900144, what);
        let form = Form::of_body(request).ok_or(missing("the body is no form"))?;
        let grant = form.value("grant_type").ok_or(missing("the form lacks grant_type"))?;
        if grant != "client_credentials" {
            let what = "the grant type is not supported";
            return Err(Refused(400, "unsupported_grant_type", 70003, what));
        }
        let client = form.value("client_id").ok_or(missing("the form lacks client_id"))?;
        let scope = form.value("scope").ok_or(missing("the form lacks scope"))?;
        let resource = scope.strip_suffix("/.default").filter(|resource| !resource.contains(' '));
        let what = "for client credentials the scope is one resource with /.default";
        let resource = resource.ok_or(Refused(400, "invalid_scope", 1_002_012, what))?;
        let application = state.applications.get(client).filter(|known| known.tenant == tenant);
        let what = "there is no such application in this tenant";
        let application = application.ok_or(Refused(400, "unauthorized_client", 700_016, what))?;

        let bases = [state.authority.clone(), of_host(request)];
        let proven = match (form.value("client_secret"), form.value("client_assertion")) {
            (Some(secret), None) => shown_secret(application, secret),
            (None, Some(assertion)) if form.value("client_assertion_type") == Some(ASSERTION) => {
                let audiences: Vec<_> = bases
                    .iter()
                    .flat_map(|base| {
                        ["oauth2/v2.0/token", "v2.0"].map(|end| format!("{base}/{tenant}/{end}"))
                    })
                    .collect();
                shown_assertion(application, client, assertion, &audiences)
            }
            (None, Some(_)) => Err(missing("the form lacks client_assertion_type, or has another one")),
            _ => {
                let what = "the form needs one of client_secret and client_assertion";
                Err(Refused(401, "invalid_client", 7_000_218, what))
            }
        };
        proven?;
        Ok(issue(&self.0, &mut state, tenant, resource, client))
    }

    fn metadata(&self, tenant: &str, request: &Request) -> Response {
        let state = self.0.state();
        if !state.tenants.iter().any(|known| known == tenant) {
            return refusal(&Refused(400, "invalid_tenant", 90002, "there is no such tenant"));
        }
        let base = of_host(request);
        let body = json!({
            "issuer": issuer(tenant),
            "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
            "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
            "response_types_supported": ["code", "id_token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        });
        Response::json(200, &body.to_string())
    }
}

/// A token of a managed identity: the one of the last time while it has more than five minutes to live.
pub(crate) fn issue_to_machine(
    shared: &Shared,
    state: &mut State,
    resource: &str,
    client: &str,
) -> (String, u64) {
    let wanted = (client.to_owned(), resource.to_owned());
    if let Some(token) = state.machine_tokens.get(&wanted) {
        let left = state.tokens.get(token).map_or(0, |known| known.expires.saturating_sub(now()));
        if left > KEPT {
            return (token.clone(), left);
        }
    }
    let (token, lifetime) = issue(shared, state, Azure::TENANT, resource, client);
    state.machine_tokens.insert(wanted, token.clone());
    (token, lifetime)
}

/// Issues a token and remembers it; its lifetime in seconds beside it.
pub(crate) fn issue(
    shared: &Shared,
    state: &mut State,
    tenant: &str,
    resource: &str,
    client: &str,
) -> (String, u64) {
    let (now, lifetime) = (now(), state.token_lifetime.as_secs());
    let expires = now + lifetime;
    let claims = json!({
        "aud": resource, "iss": issuer(tenant), "iat": now, "nbf": now, "exp": expires, "appid": client,
        "appidacr": "1", "idp": issuer(tenant), "oid": client, "sub": client, "tid": tenant,
        "uti": random_hex(11), "ver": "1.0",
    });
    let token = sign(&shared.key, &[("kid", "authority")], &claims);
    let known = Token { tenant: tenant.into(), audience: resource.into(), client: client.into(), expires };
    state.tokens.insert(token.clone(), known);
    (token, lifetime)
}

fn issuer(tenant: &str) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

/// Where the client thinks that it is: through a proxy it may know us by another name.
fn of_host(request: &Request) -> String {
    format!("https://{}", header(&request.headers, "host").unwrap_or_default())
}

fn shown_secret(application: &Application, shown: &str) -> Result<(), Refused> {
    let is = |known: &Credential| matches!(known, Credential::Secret(secret) if secret == shown);
    let what = "the client secret is wrong";
    application.credentials.iter().any(is).then_some(()).ok_or(Refused(
        401,
        "invalid_client",
        7_000_215,
        what,
    ))
}

fn shown_assertion(
    application: &Application,
    client: &str,
    assertion: &str,
    audiences: &[String],
) -> Result<(), Refused> {
    let wrong = |number, what| Refused(401, "invalid_client", number, what);
    let token = Jwt::parse(assertion).ok_or(wrong(50027, "the client assertion is no JSON Web Token"))?;
    if token.claim("iss") == Some(client) {
        return by_certificate(application, client, &token, audiences);
    }
    let federated = application.credentials.iter().filter_map(|known| match known {
        Credential::Federated { cluster, subject, audience } => Some((cluster, subject, audience)),
        _ => None,
    });
    let of_issuer: Vec<_> =
        federated.filter(|(cluster, ..)| token.claim("iss") == Some(cluster.issuer())).collect();
    let federated = |number, what| Refused(401, "invalid_client", number, what);
    if of_issuer.is_empty() {
        return Err(federated(700_211, "no federated credential has the assertion's issuer"));
    }
    let of_subject: Vec<_> =
        of_issuer.into_iter().filter(|(_, subject, _)| token.claim("sub") == Some(subject)).collect();
    if of_subject.is_empty() {
        return Err(federated(700_213, "no federated credential has the assertion's subject"));
    }
    let (cluster, ..) = of_subject
        .into_iter()
        .find(|(.., audience)| token.is_for(audience))
        .ok_or(federated(700_212, "no federated credential has the assertion's audience"))?;
    if token.time("exp").is_none_or(|end| end <= now()) {
        return Err(federated(700_024, "the assertion is not within its time"));
    }
    let verified = cluster.verify(assertion).map(|_| ());
    verified.ok_or(federated(5_000_819, "the assertion's signature is not that of its issuer"))
}

fn by_certificate(
    application: &Application,
    client: &str,
    token: &Jwt,
    audiences: &[String],
) -> Result<(), Refused> {
    let wrong = |number, what| Refused(401, "invalid_client", number, what);
    let named = |pair: &KeyPair| {
        let thumbprint =
            |algorithm| URL_SAFE_NO_PAD.encode(digest::digest(algorithm, pair.certificate_der()));
        match (&token.header["x5t#S256"], &token.header["x5t"]) {
            (serde_json::Value::String(shown), _) => *shown == thumbprint(&digest::SHA256),
            (_, serde_json::Value::String(shown)) => *shown == thumbprint(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            _ => false,
        }
    };
    let pair = application.credentials.iter().find_map(|known| match known {
        Credential::Certificate(pair) if named(pair) => Some(pair),
        _ => None,
    });
    let pair = pair.ok_or(wrong(700_027, "no registered certificate has the assertion's thumbprint"))?;
    if !token.is_signed_by(pair) && !token.is_signed_with_pss_by(pair) {
        return Err(wrong(700_027, "the assertion's signature is not that of the certificate"));
    }
    if token.claim("sub") != Some(client) {
        return Err(wrong(700_021, "the assertion's issuer and subject are not both the client"));
    }
    if !audiences.iter().any(|audience| token.is_for(audience)) {
        return Err(wrong(700_023, "the assertion's audience is not this tenant"));
    }
    let now = now();
    let in_time = token.time("exp").is_some_and(|end| now < end)
        && token.time("nbf").is_none_or(|start| start <= now + SKEW);
    in_time.then_some(()).ok_or(wrong(700_024, "the assertion is not within its time"))
}

fn refusal(Refused(status, error, number, what): &Refused) -> Response {
    let body = json!({
        "error": error,
        "error_description": format!("AADSTS{number}: {what}."),
        "error_codes": [number],
        "timestamp": humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        "trace_id": random_hex(16),
        "correlation_id": random_hex(16),
    });
    Response::json(*status, &body.to_string())
}

fn not_found() -> Response {
    Response { status: 404, ..Default::default() }
}
