//! Acting as a service account: its token, made by the IAM credentials API for whoever may.

use http::Uri;
use leasehold_core::Error;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{LIFETIME, LONGEST, SCOPE, Token, address, refused, token};
use crate::api::{Answer, Api, Ask, Call, Peer};
use crate::error::Site;
use crate::time::until;

/// `type: impersonated_service_account`.
#[derive(Deserialize)]
pub(super) struct RawImpersonated {
    service_account_impersonation_url: String,
    #[serde(default)]
    delegates: Vec<String>,
    pub(super) source_credentials: Value,
}

/// One service account that is impersonated.
pub(crate) struct Impersonation {
    at: Uri,
    account: String,
    delegates: Vec<String>,
    lifetime: u64,
}

impl Impersonation {
    /// Of the configuration.
    pub(super) fn of(account: &str, iam: &str) -> Option<Self> {
        let at = super::at(iam, &format!("v1/projects/-/serviceAccounts/{account}:generateAccessToken"))?;
        Some(Self { at, account: account.to_owned(), delegates: Vec::new(), lifetime: LIFETIME })
    }

    /// Of a credential file of its own.
    pub(super) fn parse(raw: &RawImpersonated) -> Result<Self, String> {
        let hop = Self::by_url(&raw.service_account_impersonation_url, LIFETIME)?;
        Ok(Self { delegates: raw.delegates.clone(), ..hop })
    }

    /// Of the address that a credential file gives.
    pub(super) fn by_url(url: &str, lifetime: u64) -> Result<Self, String> {
        let wrong = || {
            "has a service_account_impersonation_url that does not end in \
             serviceAccounts/ACCOUNT:generateAccessToken"
                .to_owned()
        };
        let at = address(url).ok_or_else(wrong)?;
        let account = at
            .path()
            .strip_suffix(":generateAccessToken")
            .and_then(|path| path.rsplit_once("/serviceAccounts/"))
            .map(|(_, account)| account.to_owned())
            .filter(|account| crate::config::is_account(account))
            .ok_or_else(wrong)?;
        Ok(Self { at, account, delegates: Vec::new(), lifetime: lifetime.clamp(600, LONGEST) })
    }

    pub(super) fn account(&self) -> &str {
        &self.account
    }

    /// Its token, with that of whoever impersonates it.
    pub(super) async fn token(&self, api: &Api, ask: &Ask<'_>, by: &Token) -> Result<Token, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Granted {
            access_token: String,
            expire_time: String,
        }
        let site = api.site(ask);
        let mut body = json!({ "scope": [SCOPE], "lifetime": format!("{}s", self.lifetime) });
        if !self.delegates.is_empty() {
            body["delegates"] = json!(self.delegates);
        }
        let call = Call::json(Peer::Iam, self.at.clone(), &body).authorized("Bearer", by.text());
        let answer = api.exchange(ask, call).await?;
        if !answer.status.is_success() {
            return Err(denied(
                &site,
                &answer,
                &self.account,
                "roles/iam.serviceAccountTokenCreator (from a workload of a cluster or another cloud: \
                 roles/iam.workloadIdentityUser)",
            ));
        }
        let Granted { access_token, expire_time } = answer.read(&site)?;
        until(&expire_time, &answer.headers)
            .and_then(|ttl| token(access_token, ttl))
            .ok_or_else(|| site.malformed(&answer, "a token or its end is strange"))
    }
}

/// Why the IAM credentials API does not do it in the name of that account.
pub(crate) fn denied(site: &Site<'_>, answer: &Answer, account: &str, role: &str) -> Error {
    if let Some(error) = site.common(answer) {
        return error;
    }
    let verdict = answer.verdict();
    let status = answer.status.as_u16();
    let detail = match (status, verdict.reason.as_str()) {
        (403, "SERVICE_DISABLED") => "the IAM Service Account Credentials API is not enabled: \"gcloud services \
                                      enable iamcredentials.googleapis.com\" in the project of the credentials"
            .to_owned(),
        (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT") => {
            "the access scopes of this machine do not include cloud-platform: change them, or use workload \
             identity"
                .to_owned()
        }
        (401, _) => "the credentials are not accepted by Google (401): was the key deleted, or is the clock of \
                     this machine wrong?"
            .to_owned(),
        (404, _) => format!("there is no service account {account} (404)"),
        (400, _) => format!("the IAM credentials API finds the request for {account} wrong (400)"),
        _ => format!("the credentials may not act as {account} ({status}): grant them {role} on it"),
    };
    refused(site, detail)
}
