//! The log-in itself: what is sent for each method, and what a refusal means.

use std::sync::Arc;

use leasehold_core::{Error, Identity, Kind, Login, Operation, SecretBytes};
use serde_json::json;
use vaultrs::api::auth::approle::requests::LoginWithApproleRequest;
use vaultrs::api::auth::kubernetes::requests::LoginWithKubernetesRequest;
use vaultrs::api::auth::oidc::requests::JWTLoginRequest;
use vaultrs::api::auth::userpass::requests::LoginRequest;
use vaultrs::api::sys::requests::UnwrapRequest;

use super::approle::AppRole;
use super::password::Password;
use super::source::is_header_safe;
use super::{Auth, Method, Source};
use crate::api::{Answer, Api, Ask};
use crate::endpoints::{Call, TokenState};
use crate::session;

impl Auth {
    /// Logs in. `kept` is a secret id that was unwrapped before, `identity` who knows us in a cloud.
    pub(crate) async fn login(
        &self,
        api: &Api,
        namespace: Option<&str>,
        kept: Option<&SecretBytes>,
        identity: Option<&Arc<dyn Identity>>,
    ) -> Result<Login, Error> {
        let ask =
            Ask { operation: Operation::Login, token: None, namespace: self.namespace(namespace), on: "" };
        let mount = self.mount.clone();
        let answer = match &self.method {
            Method::Token(source) => return given(api, &ask, source).await,
            Method::AppRole(role) => return self.approle(api, &ask, role, kept).await,
            Method::Kubernetes(jwt) => {
                let role = jwt.role.clone().unwrap_or_default();
                let jwt = text(api, &ask, "auth.token_file", &Source::File(jwt.token_file.clone())).map_err(|mut error| {
                    error.detail += ": mount the pod's token there (a projected volume with a serviceAccountToken of \
                                     the role's audience)";
                    error
                })?;
                api.exchange(&ask, LoginWithKubernetesRequest { mount, role, jwt }).await?
            }
            Method::Jwt(jwt) => {
                let role = jwt.role.clone();
                let jwt = text(api, &ask, "auth.token_file", &Source::File(jwt.token_file.clone()))?;
                api.exchange(&ask, JWTLoginRequest { mount, jwt, role }).await?
            }
            // Both take the same request; vaultrs names it after one of them.
            Method::Userpass(user) | Method::Ldap(user) => {
                let Password { username, password } = user;
                let password = text(api, &ask, "auth.password", password)?;
                api.exchange(&ask, LoginRequest { mount, username: username.clone(), password }).await?
            }
            Method::Cert(cert) => {
                let body = cert.role.as_ref().map_or(json!({}), |role| json!({ "name": role }));
                api.exchange(&ask, Call::write(format!("auth/{mount}/login"), &body)).await?
            }
            Method::Cloud(login) => login.send(api, &ask, &mount, identity).await?,
        };
        self.session(api, &ask, &answer)
    }

    async fn approle(
        &self,
        api: &Api,
        ask: &Ask<'_>,
        role: &AppRole,
        kept: Option<&SecretBytes>,
    ) -> Result<Login, Error> {
        let role_id = text(api, ask, "auth.role_id", &role.role_id)?;
        let secret_id = match (kept, &role.secret_id) {
            (Some(kept), Some(_)) if role.wrapped => kept.expose_text().unwrap_or_default().to_owned(),
            (None, Some(source)) if role.wrapped => {
                return unwrap(api, ask, source).await.map(Login::Keep);
            }
            (_, Some(source)) => text(api, ask, "auth.secret_id", source)?,
            (_, None) => String::new(),
        };
        let request = LoginWithApproleRequest { mount: self.mount.clone(), role_id, secret_id };
        let answer = api.exchange(ask, request).await?;
        match (self.session(api, ask, &answer), &role.secret_id) {
            // The secret id that we unwrapped once may be used up. Where a new wrapping token was
            // put in the old one's place, go on with that.
            (Err(refused), Some(source)) if role.wrapped && refused.kind == Kind::Denied => {
                unwrap(api, ask, source).await.map(Login::Keep).map_err(|error| {
                    match error.kind {
                Kind::Denied => api.site(ask).error(
                    Kind::Denied,
                    "the store does not accept the secret id that was unwrapped earlier, and the wrapping \
                         token is used up: put a new one into auth.secret_id_file, or restart with one",
                ),
                _ => error,
            }
                })
            }
            (result, _) => result,
        }
    }

    fn session(&self, api: &Api, ask: &Ask<'_>, answer: &Answer) -> Result<Login, Error> {
        let site = api.site(ask);
        let at = format!("auth/{}", self.mount);
        match answer.status.as_u16() {
            // Vault 1.13 says no to a wrong ldap password with a success that holds nothing.
            200..=299 if !answer.is_empty() => {
                let reply = answer.reply(&site)?;
                let auth = reply.auth.ok_or_else(|| site.malformed("no auth in it"))?;
                session::logged_in(auth, &reply.request_id, &site).map(Login::Session)
            }
            status if matches!(status, 200..=299 | 400 | 401 | 403) || answer.is_refused_by_a_500() => {
                let error = site.error(
                    Kind::Denied,
                    format!("the store refused the log-in at {at} ({status}): {}", self.method.remedy()),
                );
                Err(match self.method {
                    Method::Kubernetes(_) | Method::Jwt(_) | Method::Cloud(_) => error.passing(None),
                    Method::Ldap(_) => error.passing(Some(3)),
                    _ => error,
                })
            }
            status @ (404 | 405) => Err(site.error(
                Kind::Invalid,
                format!(
                    "there is no {} log-in at {at} ({status}): check auth.mount and the namespace",
                    self.method.word()
                ),
            )),
            // So it says a failure behind it, and some of its methods say so a proof that they refuse.
            500 if matches!(self.method, Method::Cloud(_)) => {
                let mut error = answer.refused(&site);
                error.detail = format!("{} at {at}: {}", error.detail, self.method.remedy());
                Err(error)
            }
            _ => Err(answer.refused(&site)),
        }
    }
}

impl Method {
    /// What to look at when it is refused.
    fn remedy(&self) -> &'static str {
        match self {
            Self::Token(_) => "give it a token that lives",
            Self::AppRole(role) if role.secret_id.is_none() => {
                "no secret_id is configured, and the role seems to want one"
            }
            Self::AppRole(_) => {
                "check auth.mount, role_id and secret_id: a secret id may have expired, be used up or be bound to an \
                 address"
            }
            Self::Kubernetes(_) => {
                "check that the role exists and is bound to this service account, namespace and audience, \
                 and that the store can reach the kubernetes api server"
            }
            Self::Jwt(_) => {
                "check that the role exists and is bound to the token's issuer, audience and subject, \
                 and that the token has not expired"
            }
            Self::Userpass(_) => "check username and password",
            Self::Ldap(_) => {
                "check username and password, and that the store can reach the ldap server; it is tried three \
                 times at most, so that nobody is locked out"
            }
            Self::Cert(_) => "check that its role trusts the CA of tls.client_certificate",
            Self::Cloud(login) => login.remedy(),
        }
    }
}

/// A token that somebody gave us: what it is, the store knows.
async fn given(api: &Api, ask: &Ask<'_>, source: &Source) -> Result<Login, Error> {
    let token = secret(api, ask, "auth.token_file", source)?;
    let site = api.site(ask);
    let Some(text) = token.expose_text().filter(|text| is_header_safe(text)) else {
        return Err(site.error(
            Kind::Denied,
            "what auth.token_file holds is no token: there is a space, a line break or something else in it \
             that no token has",
        ));
    };
    let ask = Ask { token: Some(text), ..*ask };
    let answer = api.look_token_up(&ask).await?;
    match answer.status.as_u16() {
        200..=299 => {
            let state: TokenState = answer.data(&site)?;
            session::given(Arc::clone(&token), state, &site).map(Login::Session).map_err(|error| {
                site.error(
                    if error.kind == Kind::SessionEnded { Kind::Denied } else { error.kind },
                    "the token that was given has ended: give a new one",
                )
            })
        }
        400 | 401 | 403 => Err(match api.pulse_open(&ask).await? {
            session::Pulse::Alive => site.error(
                Kind::Denied,
                format!(
                    "the token that was given may not look itself up: attach the default policy, or {}",
                    session::stanza("auth/token/lookup-self", &["read"])
                ),
            ),
            session::Pulse::Dead => site.error(
                Kind::Denied,
                "the store does not know the token that was given: it has ended, was revoked, or is of \
                 another namespace",
            ),
        }),
        _ => Err(answer.refused(&site)),
    }
}

/// Exchanges the wrapping token for the secret id. It works once in its life.
async fn unwrap(api: &Api, ask: &Ask<'_>, source: &Source) -> Result<SecretBytes, Error> {
    let wrapping = secret(api, ask, "auth.secret_id", source)?;
    let site = api.site(ask);
    let Some(token) = wrapping.expose_text().filter(|text| is_header_safe(text)) else {
        return Err(site.error(Kind::Denied, "what auth.secret_id holds is no wrapping token"));
    };
    let ask = Ask { token: Some(token), ..*ask };
    let answer = api.exchange(&ask, UnwrapRequest { token: None }).await?;
    match answer.status.as_u16() {
        200..=299 => {
            let mut data = answer.reply(&site)?.data.unwrap_or_default();
            match data.remove("secret_id") {
                Some(serde_json::Value::String(id)) if !id.is_empty() => Ok(SecretBytes::from_text(id)),
                _ => Err(site.error(
                    Kind::Denied,
                    "the wrapping token held no secret id: it must come from \
                     auth/approle/role/NAME/secret-id with a wrap TTL",
                )),
            }
        }
        400 | 403 | 404 => Err(site.error(
            Kind::Denied,
            "the wrapping token is not valid any more: it has expired, or somebody else unwrapped it. if nobody \
             of yours did, treat the secret id as stolen; then give a new wrapping token",
        )),
        _ => Err(answer.refused(&site)),
    }
}

fn secret(api: &Api, ask: &Ask<'_>, key: &str, source: &Source) -> Result<Arc<SecretBytes>, Error> {
    source.read().map_err(|why| api.site(ask).error(Kind::Invalid, format!("{key}: {why}")))
}

/// As the request types want it. It is wiped by the binary's allocator.
fn text(api: &Api, ask: &Ask<'_>, key: &str, source: &Source) -> Result<String, Error> {
    let secret = secret(api, ask, key, source)?;
    Ok(secret.expose_text().unwrap_or_default().to_owned())
}
