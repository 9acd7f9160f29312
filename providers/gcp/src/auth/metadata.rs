//! The metadata server: the service account of a machine, or of a pod by workload identity.
//!
//! It is this machine's own and answers in the clear: it is never asked through a proxy, and what comes
//! without its mark is no answer of its own.

use http::{HeaderName, HeaderValue, Uri};
use leasehold_core::{Error, Kind, Problem, SecretBytes};
use url::form_urlencoded;

use super::{Granted, Token, refused};
use crate::api::{Answer, Api, Ask, Call, Peer};
use crate::config::root;
use crate::error::Site;

const HOST: &str = "http://metadata.google.internal";
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const ACCOUNT: &str = "instance/service-accounts/default";

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    root: String,
    named: Named,
}

/// Whether the environment says that there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Yes,
    No,
}

impl Metadata {
    /// `GCE_METADATA_HOST`, or the usual one.
    pub(super) fn parse(host: Option<&str>) -> Result<Self, Problem> {
        let Some(host) = host else { return Ok(Self { root: HOST.to_owned(), named: Named::No }) };
        let root = root(&format!("http://{host}")).ok_or_else(|| {
            Problem::new("", "GCE_METADATA_HOST of the environment is not HOST or HOST:PORT")
        })?;
        Ok(Self { root, named: Named::Yes })
    }

    /// An access token of the service account.
    pub(super) async fn token(&self, api: &Api, ask: &Ask<'_>) -> Result<Token, Error> {
        let answer = self.ask(api, ask, &format!("{ACCOUNT}/token")).await?;
        Granted::read(&answer, &api.site(ask))
    }

    /// An identity token of the service account, for this audience.
    pub(crate) async fn identity(
        &self,
        api: &Api,
        ask: &Ask<'_>,
        audience: &str,
    ) -> Result<SecretBytes, Error> {
        let audience: String = form_urlencoded::byte_serialize(audience.as_bytes()).collect();
        let path = format!("{ACCOUNT}/identity?audience={audience}&format=full");
        let answer = self.ask(api, ask, &path).await?;
        self.line(api, ask, &answer).map(|token| SecretBytes::from_text(token.to_owned()))
    }

    /// The id of the machine's project.
    pub(crate) async fn project(&self, api: &Api, ask: &Ask<'_>) -> Result<String, Error> {
        let answer = self.ask(api, ask, "project/project-id").await?;
        self.line(api, ask, &answer).map(str::to_owned)
    }

    /// The address of the service account. On a cluster it may be the name of a pool instead.
    pub(crate) async fn email(&self, api: &Api, ask: &Ask<'_>) -> Result<String, Error> {
        let answer = self.ask(api, ask, &format!("{ACCOUNT}/email")).await?;
        self.line(api, ask, &answer).map(str::to_owned)
    }

    fn line<'a>(&self, api: &Api, ask: &Ask<'_>, answer: &'a Answer) -> Result<&'a str, Error> {
        answer.line().ok_or_else(|| api.site(ask).malformed(answer, "no line of text"))
    }

    async fn ask(&self, api: &Api, ask: &Ask<'_>, path: &str) -> Result<Answer, Error> {
        let site = api.site(ask);
        let url: Uri = format!("{}/computeMetadata/v1/{path}", self.root)
            .parse()
            .map_err(|_| site.error(Kind::Internal, "an address of the metadata server cannot be made"))?;
        let flavor = HeaderValue::from_static("Google");
        let call = Call::get(Peer::Metadata, url).header(FLAVOR, flavor.clone());
        let answer = match api.exchange(ask, call).await {
            Ok(answer) => answer,
            Err(error) if self.named == Named::No && error.kind == Kind::Unavailable => {
                return Err(nowhere(&site, &error));
            }
            Err(error) => return Err(error),
        };
        if answer.status.is_success() && answer.headers.get(FLAVOR) != Some(&flavor) {
            return Err(match self.named {
                Named::No => nowhere(&site, &site.malformed(&answer, "no Metadata-Flavor")),
                Named::Yes => site.malformed(&answer, "no Metadata-Flavor"),
            });
        }
        match answer.status.as_u16() {
            200 => Ok(answer),
            404 => Err(refused(
                &site,
                "the metadata server knows no service account for this machine or pod (404): attach one, or \
                 set credentials_file",
            )),
            // It answers in plain text: what it means is in its status alone.
            status @ 400..=499 if !matches!(status, 408 | 429) => Err(refused(
                &site,
                format!(
                    "the metadata server gives this machine or pod no token ({status}): on a cluster, is the \
                     Kubernetes service account bound to the one of Google (roles/iam.workloadIdentityUser)?"
                ),
            )),
            status => Err(site.common(&answer).unwrap_or_else(|| {
                site.error(Kind::Unavailable, format!("the metadata server answered {status}"))
            })),
        }
    }
}

/// There are no credentials at all. A metadata server may come up later than its pods do.
fn nowhere(site: &Site<'_>, error: &Error) -> Error {
    refused(
        site,
        format!(
            "there are no credentials of Google: neither credentials_file nor GOOGLE_APPLICATION_CREDENTIALS \
             names a file, gcloud keeps none here, and there is no metadata server ({})",
            error.detail
        ),
    )
}
