//! What Vault's log-in `gcp` is shown: a token of a service account, signed by Google or by the
//! account's own key.

use std::sync::Arc;

use leasehold_core::{
    Cloud, Error, Identity, IdentityRequest, Kind, Observer, Operation, Proof, SecretBytes, async_trait,
};
use leasehold_http::{RawTls, Transport};
use serde::Deserialize;
use serde_json::json;

use crate::api::{Api, Ask, Call, Peer};
use crate::auth::impersonation::denied;
use crate::auth::{Sources, at};
use crate::config::{is_account, root};
use crate::time::since_1970;

/// How long the token that we sign is good for; Vault takes no more than 15 minutes.
const LIFETIME: u64 = 600;
const IAM: &str = "https://iamcredentials.googleapis.com";

/// Proves to a third party which service account we are.
///
/// # Errors
/// `Invalid`, where what was asked for is wrong.
pub fn identity(
    provider: &str,
    request: &IdentityRequest,
    observer: Arc<dyn Observer>,
) -> Result<Arc<dyn Identity>, Error> {
    let wrong = |detail: String| Error::new(Kind::Invalid, Operation::Login, provider, detail);
    let Cloud::Gcp { audience, service_account, endpoint } = &request.cloud else {
        return Err(Error::new(
            Kind::Internal,
            Operation::Login,
            provider,
            "an identity of another cloud was asked of Google",
        ));
    };
    let tls = RawTls { ca_file: request.ca_file.clone(), ..RawTls::default() };
    let transport = Transport::parse(tls, request.proxy.as_deref(), &request.environment)
        .map_err(|problems| wrong(problems.first().map(said).unwrap_or_default()))?;
    let iam = root(endpoint.as_deref().unwrap_or(IAM))
        .ok_or_else(|| wrong("the endpoint of the IAM credentials API is no address".to_owned()))?;
    if service_account.as_deref().is_some_and(|account| !is_account(account)) {
        return Err(wrong("service_account is no service account's address".to_owned()));
    }
    let sources =
        Sources::parse(None, None, iam, &request.environment).map_err(|problem| wrong(said(&problem)))?;
    Ok(Arc::new(Prover {
        api: Api::new(provider, transport, observer),
        sources,
        audience: audience.clone(),
        service_account: service_account.clone(),
    }))
}

fn said(problem: &leasehold_core::Problem) -> String {
    match problem.key.as_str() {
        "" => problem.message.clone(),
        key => format!("{key} {}", problem.message),
    }
}

struct Prover {
    api: Api,
    sources: Sources,
    audience: String,
    service_account: Option<String>,
}

#[async_trait]
impl Identity for Prover {
    async fn prove(&self) -> Result<Proof, Error> {
        let ask = Ask { operation: Operation::Login, on: "" };
        let token = match &self.service_account {
            None => self.sources.metadata().identity(&self.api, &ask, &self.audience).await?,
            Some(account) => self.signed(&ask, account).await?,
        };
        Ok(Proof::Token { token, about: Default::default() })
    }
}

impl Prover {
    /// A token in the name of that account: signed by its key where we have it, else by Google.
    async fn signed(&self, ask: &Ask<'_>, account: &str) -> Result<SecretBytes, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Signed {
            signed_jwt: String,
        }
        let site = self.api.site(ask);
        let credential = self.sources.read(&site)?;
        let claims = json!({ "sub": account, "aud": self.audience, "exp": since_1970() + LIFETIME });
        if let Some(own) = credential.key_of(account) {
            return own
                .sign(&claims)
                .map(SecretBytes::from_text)
                .ok_or_else(|| site.error(Kind::Internal, "the key of the credential file could not sign"));
        }
        let url = at(&self.sources.iam, &format!("v1/projects/-/serviceAccounts/{account}:signJwt"))
            .ok_or_else(|| site.error(Kind::Invalid, "no address can be made of service_account"))?;
        let token = credential.token(&self.api, ask).await?;
        let body = json!({ "payload": claims.to_string() });
        let call = Call::json(Peer::Iam, url, &body).authorized("Bearer", token.text());
        let answer = self.api.exchange(ask, call).await?;
        if !answer.status.is_success() {
            return Err(denied(&site, &answer, account, "roles/iam.serviceAccountTokenCreator"));
        }
        let Signed { signed_jwt } = answer.read(&site)?;
        Ok(SecretBytes::from_text(signed_jwt))
    }
}
