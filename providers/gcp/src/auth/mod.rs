//! Application default credentials: where a credential comes from, and how an access token is made of
//! it. Everything is read anew for each token, and nothing is kept.
//!
//! In Google's order: the file that is named (`credentials_file`, else GOOGLE_APPLICATION_CREDENTIALS),
//! the file that gcloud keeps for its user, the metadata server of the machine or pod.

mod federation;
mod file;
pub(crate) mod impersonation;
pub(crate) mod metadata;
mod service_account;
mod user;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use leasehold_core::{Environment, Error, Kind, Problem, SecretBytes};
use leasehold_http::why;
use serde::Deserialize;

use crate::api::{Answer, Api, Ask};
use crate::error::Site;

use federation::Federated;
use impersonation::Impersonation;
use metadata::Metadata;
pub(crate) use service_account::ServiceAccount;
use user::User;

/// What every token of ours is for. What it may do there is up to IAM.
pub(crate) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How long a token lives where we choose.
const LIFETIME: u64 = 3_600;
/// No token of Google's lives longer.
const LONGEST: u64 = 12 * 3_600;
/// Larger than any credential file, or token in one.
const LARGEST: u64 = 1024 * 1024;

/// Where credentials come from, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sources {
    /// Named by the configuration or the environment: it has to be there.
    named: Option<PathBuf>,
    /// Where gcloud keeps that of its user.
    well_known: Option<PathBuf>,
    metadata: Metadata,
    /// The service account to act as.
    impersonate: Option<String>,
    /// The IAM credentials API.
    pub(crate) iam: String,
}

/// A credential, as it was just read.
pub(crate) struct Credential {
    base: Base,
    /// Service accounts that are impersonated one after the other.
    via: Vec<Impersonation>,
    /// The project it belongs to, where it says so.
    pub(crate) project: Option<String>,
    /// The project whose quota its requests are counted by, where it says so.
    pub(crate) quota_project: Option<String>,
}

enum Base {
    ServiceAccount(ServiceAccount),
    User(User),
    Federated(Federated),
    Machine(Metadata),
}

/// An access token. It is the session's credential.
pub(crate) struct Token {
    pub(crate) secret: SecretBytes,
    pub(crate) ttl: Duration,
}

impl Sources {
    pub(crate) fn parse(
        credentials_file: Option<PathBuf>,
        impersonate: Option<String>,
        iam: String,
        environment: &Environment,
    ) -> Result<Self, Problem> {
        let path = |name: &str| environment.value(name).map(PathBuf::from);
        let folder = path("CLOUDSDK_CONFIG").or_else(|| Some(path("HOME")?.join(".config/gcloud")));
        Ok(Self {
            named: credentials_file.or_else(|| path("GOOGLE_APPLICATION_CREDENTIALS")),
            well_known: folder.map(|folder| folder.join("application_default_credentials.json")),
            metadata: Metadata::parse(environment.value("GCE_METADATA_HOST"))?,
            impersonate,
            iam,
        })
    }

    /// Where credentials come from, and whom they are used as, for people.
    pub(crate) fn portrait(&self) -> (String, Option<&str>) {
        let from = match &self.named {
            Some(file) => format!("with the credentials in {}", file.display()),
            None => "with the application default credentials (gcloud's file, else this machine's service account)"
                .to_owned(),
        };
        (from, self.impersonate.as_deref())
    }

    /// Tells two sources apart. No credential is in it.
    pub(crate) fn identity(&self) -> String {
        let file = self.named.as_ref().map(|file| file.display().to_string());
        format!(
            "credentials={} as={}",
            file.unwrap_or_else(|| "default".to_owned()),
            self.impersonate.as_deref().unwrap_or_default()
        )
    }

    /// The credential as it is now.
    pub(crate) fn read(&self, site: &Site<'_>) -> Result<Credential, Error> {
        let mut credential = match (&self.named, &self.well_known) {
            (Some(path), _) => file::read(path).map_err(|why| site.error(Kind::Invalid, why))?,
            (None, Some(path)) if exists(path) => {
                file::read(path).map_err(|why| site.error(Kind::Invalid, why))?
            }
            _ => Credential {
                base: Base::Machine(self.metadata.clone()),
                via: Vec::new(),
                project: None,
                quota_project: None,
            },
        };
        if let Some(account) = &self.impersonate {
            let hop = Impersonation::of(account, &self.iam)
                .ok_or_else(|| site.error(Kind::Invalid, "impersonate: no address can be made of it"))?;
            credential.via.push(hop);
        }
        Ok(credential)
    }

    /// The machine's metadata server.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

impl Credential {
    /// A new access token.
    pub(crate) async fn token(&self, api: &Api, ask: &Ask<'_>) -> Result<Token, Error> {
        let mut token = match &self.base {
            Base::ServiceAccount(account) => account.token(&api.site(ask))?,
            Base::User(user) => user.token(api, ask).await?,
            Base::Federated(federated) => federated.token(api, ask).await?,
            Base::Machine(metadata) => metadata.token(api, ask).await?,
        };
        for hop in &self.via {
            token = hop.token(api, ask, &token).await?;
        }
        Ok(token)
    }

    /// The service account whose key this is, where it is one and is used as itself.
    pub(crate) fn key_of(&self, account: &str) -> Option<&ServiceAccount> {
        match &self.base {
            Base::ServiceAccount(own) if self.via.is_empty() && own.email() == account => Some(own),
            _ => None,
        }
    }

    /// The service account that it acts as, where that is known without asking.
    pub(crate) fn account(&self) -> Option<&str> {
        match (self.via.last(), &self.base) {
            (Some(hop), _) => Some(hop.account()),
            (None, Base::ServiceAccount(own)) => Some(own.email()),
            (None, _) => None,
        }
    }

    /// Whether it is the machine's own.
    pub(crate) fn is_of_the_machine(&self) -> bool {
        matches!(self.base, Base::Machine(_))
    }
}

/// An answer with a token in it, as token services and the metadata server write it.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

impl Granted {
    fn read(answer: &Answer, site: &Site<'_>) -> Result<Token, Error> {
        let Self { access_token, expires_in } = answer.read(site)?;
        token(access_token, Duration::from_secs(expires_in)).ok_or_else(|| site.malformed(answer, "no token"))
    }
}

/// A token that can stand in a header.
fn token(text: String, ttl: Duration) -> Option<Token> {
    let sound = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    sound.then(|| Token { secret: SecretBytes::from_text(text), ttl: ttl.min(Duration::from_secs(LONGEST)) })
}

impl Token {
    /// For a header.
    pub(crate) fn text(&self) -> &str {
        self.secret.expose_text().unwrap_or_default()
    }
}

/// A log-in that is refused. A third party may have to confirm it, and what was just granted takes
/// Google a while to know everywhere: it may pass.
fn refused(site: &Site<'_>, detail: impl Into<String>) -> Error {
    site.error(Kind::Denied, detail).passing(None)
}

fn exists(path: &Path) -> bool {
    let missing =
        |error: std::io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    !std::fs::metadata(path).is_err_and(missing)
}

/// A file with a credential in it. The error names the file.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let size = std::fs::metadata(path).map_err(|error| format!("{shown} {}", why(&error)))?.len();
    if size > LARGEST {
        return Err(format!("{shown} is larger than 1 MiB: that is no credential"));
    }
    std::fs::read(path).map_err(|error| format!("{shown} {}", why(&error)))
}

/// An address as it stands in a credential file, where it may have a path and a query.
fn address(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let parsed = url::Url::parse(text).ok()?;
    let plain = matches!(parsed.scheme(), "https" | "http")
        && parsed.has_host()
        && parsed.username().is_empty()
        && parsed.password().is_none();
    (plain && uri.authority().is_some()).then_some(uri)
}

/// The address of a method of an API.
pub(crate) fn at(root: &str, path: &str) -> Option<Uri> {
    format!("{root}/{path}").parse().ok()
}
