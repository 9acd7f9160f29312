//! A token from Microsoft Entra ID, for an application's secret or for what it signed.

use std::sync::Arc;
use std::time::Duration;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use azure_core::http::{ClientMethodOptions, ClientOptions};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions, ClientSecretCredential,
    ClientSecretCredentialOptions,
};
use leasehold_core::{Error, Kind, SecretBytes, async_trait};
use serde::Deserialize;

use super::{Auth, Method, assertion, source};
use crate::challenge::Challenge;
use crate::error::{Site, kind_of, retry_after};
use crate::session::Grant;
use crate::wire::{Answer, Exchange, Seen, Wire};

/// Asks for a token. The official credentials live for one question: what they keep, they keep no
/// longer.
pub(super) async fn token(
    auth: &Auth,
    method: &Method,
    wire: &Arc<Wire>,
    challenge: &Challenge,
    site: &Site<'_>,
) -> Result<Grant, Error> {
    let Some(tenant) = auth.tenant().or(challenge.tenant.as_deref()) else {
        return Err(site.error(
            Kind::Invalid,
            "the tenant of our identity is not known: set auth.tenant_id, or AZURE_TENANT_ID",
        ));
    };
    let client = auth.client().unwrap_or_default().to_owned();
    let place = auth.authority.as_str().trim_end_matches('/');
    let unreadable = |key: &str, why: String| site.error(Kind::Invalid, format!("{key}: {why}"));
    let exchange = Exchange::new(wire, site.operation);
    let client_options = options(&exchange, place);
    let scope = challenge.scope();
    let answer = match method {
        Method::Secret(secret) => {
            let secret = secret.read().map_err(|why| unreadable("auth.client_secret", why))?;
            let secret = Secret::new(secret.expose_text().unwrap_or_default().to_owned());
            let options = ClientSecretCredentialOptions { client_options };
            ask(ClientSecretCredential::new(tenant, client, secret, Some(options)), &scope).await
        }
        Method::Certificate(file) => {
            let pem = source::read(file).map_err(|why| unreadable("auth.certificate_file", why))?;
            let Some(date) = challenge.date else {
                return Err(site.malformed("it has no date, and what we sign needs one"));
            };
            let audience = format!("{place}/{tenant}/oauth2/v2.0/token");
            let signed = assertion::sign(&pem, &client, &audience, date)
                .map_err(|why| unreadable("auth.certificate_file", format!("{} {why}", file.display())))?;
            by_assertion(tenant, client, signed, client_options, &scope).await
        }
        Method::Workload(file) => {
            let token = source::read(file).map_err(|why| {
                unreadable(
                    "auth.token_file",
                    format!(
                        "{why}: label the pod azure.workload.identity/use: \"true\", so that its token is \
                         mounted there"
                    ),
                )
            })?;
            by_assertion(tenant, client, token, client_options, &scope).await
        }
        Method::Managed(..) => return Err(site.error(Kind::Internal, "a managed identity has no authority")),
    };
    match (exchange.last(), answer) {
        (Some(Seen::Nothing(trouble)), _) => Err(site.unanswered(&trouble, "the authority", place)),
        (Some(Seen::Answer(answer)), Ok(token)) if answer.status.is_success() => {
            granted(&token, &answer).ok_or_else(|| senseless(place, site))
        }
        (Some(Seen::Answer(answer)), _) if answer.status.is_success() => Err(senseless(place, site)),
        (Some(Seen::Answer(answer)), _) => Err(refused(&answer, method, place, site)),
        (None, _) => Err(site.error(
            Kind::Invalid,
            "nothing was asked of the authority: auth.tenant_id, auth.client_id or the credential cannot be \
             used as they are",
        )),
    }
}

/// Over our transport, at our authority: without the latter it would be read from the process's
/// environment.
fn options(exchange: &Arc<Exchange>, authority: &str) -> ClientOptions {
    let mut custom = CustomConfiguration::default();
    custom.authority_host = authority.to_owned();
    ClientOptions { cloud: Some(Arc::new(CloudConfiguration::Custom(custom))), ..exchange.options(None) }
}

async fn ask<C: TokenCredential>(
    credential: azure_core::Result<Arc<C>>,
    scope: &str,
) -> azure_core::Result<AccessToken> {
    credential?.get_token(&[scope], None).await
}

async fn by_assertion(
    tenant: &str,
    client: String,
    assertion: SecretBytes,
    client_options: ClientOptions,
    scope: &str,
) -> azure_core::Result<AccessToken> {
    let options = ClientAssertionCredentialOptions { client_options };
    ask(ClientAssertionCredential::new(tenant.to_owned(), client, Ready(assertion), Some(options)), scope)
        .await
}

/// An assertion that was made before it is asked for.
#[derive(Debug)]
struct Ready(SecretBytes);

#[async_trait]
impl ClientAssertion for Ready {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.expose_text().unwrap_or_default().to_owned())
    }
}

/// The token, and how long it lives by the answer itself: the official crate's own figure was made
/// with a clock of ours.
fn granted(token: &AccessToken, answer: &Answer) -> Option<Grant> {
    #[derive(Deserialize)]
    struct Life {
        expires_in: u64,
    }
    let Life { expires_in } = serde_json::from_slice(&answer.body).ok()?;
    let token = token.token.secret();
    let usable = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) && expires_in > 0;
    usable.then(|| Grant {
        token: SecretBytes::from_text(token.to_owned()),
        expires_in: Duration::from_secs(expires_in),
    })
}

fn senseless(place: &str, site: &Site<'_>) -> Error {
    site.error(
        Kind::Malformed,
        format!(
            "the answer of the authority at {place} holds no token: check authority, and what stands before it"
        ),
    )
}

/// The body of a refusal, as far as it is a number.
#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    error_codes: Vec<u64>,
}

fn refused(answer: &Answer, method: &Method, place: &str, site: &Site<'_>) -> Error {
    let status = answer.status;
    let wait = retry_after(&answer.headers);
    let refusal: Option<Refusal> = serde_json::from_slice(&answer.body).ok();
    match (status.as_u16(), refusal) {
        (429, _) => {
            site.error(Kind::Throttled, format!("too many log-ins for the authority at {place} (429)"))
        }
        (407, _) => site.error(
            Kind::Unavailable,
            "the proxy wants a user and a password (407): put them into its URL",
        ),
        (400 | 401 | 403, Some(refusal)) => {
            let code = refusal.error_codes.first().copied();
            let shown = code.map_or_else(|| status.as_u16().to_string(), |code| format!("AADSTS{code}"));
            let detail =
                format!("the authority refused the log-in ({shown}): {}", remedy(code.unwrap_or_default(), method));
            match (code, method) {
                (Some(90002 | 900023), _) => site.error(Kind::Invalid, detail),
                // What an administrator has just set up takes some seconds to be known everywhere.
                (_, Method::Workload(_)) => site.error(Kind::Denied, detail).passing(None),
                _ => site.error(Kind::Denied, detail),
            }
        }
        (500..=599, _) => {
            site.error(Kind::Unavailable, format!("the authority at {place} failed ({})", status.as_u16()))
        }
        (code, _) => {
            let kind = match kind_of(status) {
                Kind::Unavailable => Kind::Unavailable,
                _ => Kind::Malformed,
            };
            site.error(
                kind,
                format!(
                    "something that is no authority answered {code} at {place}: check authority, and what stands \
                     before it"
                ),
            )
        }
    }
    .retry_after(wait)
}

/// What to look at when it is refused.
fn remedy(code: u64, method: &Method) -> &'static str {
    match (code, method) {
        (7_000_215, _) => "the client secret is wrong: give its value, not its id",
        (7_000_222, _) => "the client secret has expired: give the application a new one",
        (700_016, _) => "the tenant has no application of that auth.client_id: check both",
        (90_002 | 900_023, _) => "there is no such tenant in that cloud: check auth.tenant_id, and cloud",
        (700_027 | 700_030, _) => {
            "the application does not know the certificate: add that of auth.certificate_file to it"
        }
        (700_024, Method::Workload(_)) => {
            "the token of auth.token_file has expired, or is not valid yet: is it still replaced by the kubelet?"
        }
        (700_024, _) => "what we signed is out of its time: check the clocks",
        (70_021 | 700_211 | 700_212 | 700_213, _) => {
            "no federated credential of the application fits the token's issuer, subject (service account) and \
             audience: create it with az identity federated-credential create"
        }
        (500_011, _) => "the tenant does not know the vault's cloud: check auth.tenant_id, and cloud",
        (53_003, _) => "a conditional access policy of the tenant forbids it: ask its administrator",
        (_, Method::Secret(_)) => "check auth.tenant_id, auth.client_id and the client secret",
        (_, Method::Certificate(_)) => {
            "check auth.tenant_id, auth.client_id, and that the application knows the certificate"
        }
        _ => {
            "check auth.tenant_id and auth.client_id, and that the application has a federated credential for \
             this service account"
        }
    }
}
