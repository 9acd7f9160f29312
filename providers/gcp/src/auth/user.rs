//! A person who logged in with gcloud: a refresh token, exchanged for an access token.

use http::Uri;
use leasehold_core::{Error, Kind, SecretBytes};
use serde::Deserialize;

use super::{Granted, Token, address, refused};
use crate::api::{Api, Ask, Call, Peer};

const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// As it stands in the file.
#[derive(Deserialize)]
pub(super) struct RawUser {
    client_id: String,
    client_secret: String,
    refresh_token: String,
    token_uri: Option<String>,
}

/// A log-in of gcloud's.
pub(super) struct User {
    client_id: String,
    client_secret: SecretBytes,
    refresh_token: SecretBytes,
    at: Uri,
}

impl User {
    pub(super) fn parse(raw: RawUser) -> Result<Self, String> {
        let at = address(raw.token_uri.as_deref().unwrap_or(TOKEN_URI))
            .ok_or_else(|| "has a token_uri that is no address".to_owned())?;
        Ok(Self {
            client_id: raw.client_id,
            client_secret: SecretBytes::from_text(raw.client_secret),
            refresh_token: SecretBytes::from_text(raw.refresh_token),
            at,
        })
    }

    pub(super) async fn token(&self, api: &Api, ask: &Ask<'_>) -> Result<Token, Error> {
        let site = api.site(ask);
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", self.client_id.as_str()),
            ("client_secret", self.client_secret.expose_text().unwrap_or_default()),
            ("refresh_token", self.refresh_token.expose_text().unwrap_or_default()),
        ];
        let answer = api.exchange(ask, Call::form(Peer::Tokens, self.at.clone(), &form)).await?;
        if answer.status.is_success() {
            return Granted::read(&answer, &site);
        }
        if let Some(error) = site.common(&answer) {
            return Err(error);
        }
        Err(match answer.oauth_error().as_str() {
            // Nothing but a new log-in by that person helps.
            "invalid_grant" => site.error(
                Kind::Denied,
                "the log-in of gcloud's user has ended or was taken back (invalid_grant): run \
                 \"gcloud auth application-default login\" again",
            ),
            _ => refused(
                &site,
                format!(
                    "the token service does not accept the credential file of gcloud's user ({}): run \
                     \"gcloud auth application-default login\" again",
                    answer.status.as_u16()
                ),
            ),
        })
    }
}
