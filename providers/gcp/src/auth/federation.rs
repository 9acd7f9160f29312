//! Workload identity federation: a token of another issuer, exchanged for one of Google's (RFC 8693).

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Uri};
use leasehold_core::{Error, Kind, SecretBytes};
use serde::Deserialize;
use serde_json::{Value, json};

use super::impersonation::Impersonation;
use super::{Granted, LIFETIME, SCOPE, Token, address, refused};
use crate::api::{Answer, Api, Ask, Call, Peer};
use crate::error::Site;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// As it stands in the file.
#[derive(Deserialize)]
pub(super) struct RawFederated {
    audience: String,
    subject_token_type: String,
    token_url: String,
    credential_source: RawSource,
    service_account_impersonation_url: Option<String>,
    #[serde(default)]
    service_account_impersonation: RawLifetime,
    client_id: Option<String>,
    client_secret: Option<String>,
    workforce_pool_user_project: Option<String>,
}

#[derive(Default, Deserialize)]
struct RawLifetime {
    token_lifetime_seconds: Option<u64>,
}

#[derive(Deserialize)]
struct RawSource {
    file: Option<PathBuf>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    format: RawFormat,
    environment_id: Option<String>,
    executable: Option<Value>,
    certificate: Option<Value>,
}

#[derive(Default, Deserialize)]
struct RawFormat {
    #[serde(default)]
    r#type: String,
    subject_token_field_name: Option<String>,
}

/// Who we are elsewhere, and where that is exchanged.
pub(super) struct Federated {
    audience: String,
    token_type: String,
    at: Uri,
    source: Source,
    format: Format,
    client: Option<(String, SecretBytes)>,
    user_project: Option<String>,
}

enum Source {
    File(PathBuf),
    Url(Uri, Vec<(HeaderName, HeaderValue)>),
}

enum Format {
    Text,
    Json { field: String },
}

impl Federated {
    /// The exchange, and the service account that the file says to act as afterwards.
    pub(super) fn parse(raw: RawFederated) -> Result<(Self, Option<Impersonation>), String> {
        let at = address(&raw.token_url).ok_or("has a token_url that is no address")?;
        let lifetime = raw.service_account_impersonation.token_lifetime_seconds.unwrap_or(LIFETIME);
        let hop = raw
            .service_account_impersonation_url
            .map(|url| Impersonation::by_url(&url, lifetime))
            .transpose()?;
        let format = Format::parse(&raw.credential_source.format)?;
        let source = Source::parse(raw.credential_source)?;
        let client = raw.client_id.zip(raw.client_secret.map(SecretBytes::from_text));
        let federated = Self {
            audience: raw.audience,
            token_type: raw.subject_token_type,
            at,
            source,
            format,
            client,
            user_project: raw.workforce_pool_user_project,
        };
        Ok((federated, hop))
    }

    pub(super) async fn token(&self, api: &Api, ask: &Ask<'_>) -> Result<Token, Error> {
        let site = api.site(ask);
        let subject = self.subject(api, ask).await?;
        let options = self.user_project.as_ref().map(|project| json!({ "userProject": project }).to_string());
        let mut form = vec![
            ("grant_type", GRANT),
            ("audience", self.audience.as_str()),
            ("scope", SCOPE),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token_type", self.token_type.as_str()),
            ("subject_token", subject.expose_text().unwrap_or_default()),
        ];
        if let Some(options) = options.as_deref().filter(|_| self.client.is_none()) {
            form.push(("options", options));
        }
        let mut call = Call::form(Peer::Tokens, self.at.clone(), &form);
        if let Some((id, secret)) = &self.client {
            let pair = format!("{id}:{}", secret.expose_text().unwrap_or_default());
            call = call.authorized("Basic", &STANDARD.encode(pair));
        }
        let answer = api.exchange(ask, call).await?;
        if answer.status.is_success() {
            return Granted::read(&answer, &site);
        }
        Err(site.common(&answer).unwrap_or_else(|| unaccepted(&site, &answer)))
    }

    /// The token of the other issuer, as it is now.
    async fn subject(&self, api: &Api, ask: &Ask<'_>) -> Result<SecretBytes, Error> {
        let site = api.site(ask);
        match &self.source {
            Source::File(path) => {
                let wrong = |why: &str| {
                    site.error(Kind::Invalid, format!("credential_source: the file {} {why}", path.display()))
                };
                let bytes = super::read(path)
                    .map_err(|why| site.error(Kind::Invalid, format!("credential_source: {why}")))?;
                let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is not text"))?;
                self.format.token(text).ok_or_else(|| wrong("holds no token of that format"))
            }
            Source::Url(url, headers) => {
                let call = Call::get(Peer::Source, url.clone());
                let call =
                    headers.iter().fold(call, |call, (name, value)| call.header(name.clone(), value.clone()));
                let answer = api.exchange(ask, call).await?;
                if !answer.status.is_success() {
                    return Err(match answer.status.as_u16() {
                        429 | 500..=599 => site.error(Kind::Unavailable, said_no(&answer)),
                        _ => refused(&site, said_no(&answer)),
                    });
                }
                answer
                    .text()
                    .and_then(|text| self.format.token(text))
                    .ok_or_else(|| site.malformed(&answer, "no token of that format"))
            }
        }
    }
}

impl Source {
    fn parse(raw: RawSource) -> Result<Self, String> {
        let refused = [
            (raw.executable.is_some(), "an executable"),
            (raw.environment_id.is_some(), "the credentials of aws"),
            (raw.certificate.is_some(), "a client certificate"),
        ];
        if let Some((_, what)) = refused.iter().find(|(found, _)| *found) {
            return Err(format!(
                "has {what} as credential_source, which is not supported: use a file or an address"
            ));
        }
        match (raw.file, raw.url) {
            (Some(path), None) if !path.as_os_str().is_empty() => Ok(Self::File(path)),
            (None, Some(url)) => {
                let url = address(&url).ok_or("has a url in credential_source that is no address")?;
                let headers: Option<Vec<_>> =
                    raw.headers.iter().map(|(name, value)| header(name, value)).collect();
                Ok(Self::Url(url, headers.ok_or("has a header in credential_source that is none")?))
            }
            _ => Err("has neither one file nor one url in credential_source".to_owned()),
        }
    }
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
}

impl Format {
    fn parse(raw: &RawFormat) -> Result<Self, String> {
        match (raw.r#type.as_str(), &raw.subject_token_field_name) {
            ("" | "text", _) => Ok(Self::Text),
            ("json", Some(field)) => Ok(Self::Json { field: field.clone() }),
            ("json", None) => {
                Err("has a credential_source of JSON without subject_token_field_name".to_owned())
            }
            _ => Err("has a format in credential_source that is neither text nor json".to_owned()),
        }
    }

    /// The token in a text.
    fn token(&self, text: &str) -> Option<SecretBytes> {
        let token = match self {
            Self::Text => text.trim().to_owned(),
            Self::Json { field } => {
                let value: Value = serde_json::from_str(text).ok()?;
                value.get(field)?.as_str()?.trim().to_owned()
            }
        };
        (!token.is_empty()).then(|| SecretBytes::from_text(token))
    }
}

fn said_no(answer: &Answer) -> String {
    format!(
        "{} at {} gives no token ({}): check credential_source",
        answer.peer,
        answer.address,
        answer.status.as_u16()
    )
}

/// Why Google does not accept the other issuer's token.
fn unaccepted(site: &Site<'_>, answer: &Answer) -> Error {
    let status = answer.status.as_u16();
    refused(
        site,
        match answer.oauth_error().as_str() {
            "invalid_grant" => "our token of the other issuer is not accepted by Google (invalid_grant): has it \
                                expired, is its audience the one that the provider of the pool allows, and can \
                                Google read the issuer's keys?"
                .to_owned(),
            "invalid_target" => "there is no such provider of a workload identity pool, or it is disabled \
                                 (invalid_target): check audience in the credential file"
                .to_owned(),
            "unauthorized_client" => "the provider of the workload identity pool does not admit this identity \
                                      (unauthorized_client): check its attribute condition"
                .to_owned(),
            _ => format!("the token service refuses the exchange ({status}): check the credential file"),
        },
    )
}
