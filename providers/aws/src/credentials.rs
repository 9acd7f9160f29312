//! Why there are no credentials, in our own words: what was looked at, and what to do.

use std::error::Error as StdError;
use std::io;

use aws_config::meta::ProviderChainError;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use leasehold_core::{Environment, Kind};
use leasehold_http::{Trouble, classify, why};

use crate::arn::Arn;
use crate::error::{About, Asked, Refusal, Site, find, kind_of};

/// Where the credentials come from, as far as the configuration and the environment say.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    environment: Environment,
    profile: Option<String>,
    role_arn: Option<String>,
}

impl Sources {
    pub(crate) fn new(environment: Environment, profile: Option<String>, role_arn: Option<String>) -> Self {
        Self { environment, profile, role_arn }
    }

    /// Our account, where a role says so.
    pub(crate) fn account(&self) -> Option<&str> {
        let role = self.role_arn.as_deref().or(self.environment.value("AWS_ROLE_ARN"))?;
        Arn::parse(role).filter(Arn::has_account).map(|arn| arn.account)
    }

    /// The first source of the chain that is set.
    pub(crate) fn first(&self) -> String {
        let set = |name| self.environment.value(name).is_some();
        let source = if self.profile.is_none() && set("AWS_ACCESS_KEY_ID") {
            "AWS_ACCESS_KEY_ID of the environment".to_owned()
        } else if let Some(profile) = self.profile.as_deref().or(self.environment.value("AWS_PROFILE")) {
            format!("profile {profile}")
        } else if set("AWS_WEB_IDENTITY_TOKEN_FILE") {
            "the web identity of AWS_WEB_IDENTITY_TOKEN_FILE".to_owned()
        } else if set("AWS_CONTAINER_CREDENTIALS_FULL_URI") || set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            "the container's".to_owned()
        } else {
            "the default profile, or the instance's".to_owned()
        };
        match self.role_arn {
            Some(_) => format!("those of role_arn, assumed with {source}"),
            None => source,
        }
    }

    /// Every source, and whether it is set.
    fn all(&self) -> String {
        let state = |name: &str| match self.environment.value(name) {
            Some(_) => format!("{name} is set"),
            None => format!("{name} is not set"),
        };
        let profile = match self.profile.as_deref().or(self.environment.value("AWS_PROFILE")) {
            Some(profile) => format!("profile {profile}"),
            None => "the default profile".to_owned(),
        };
        let container = match self.environment.value("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            Some(_) => state("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            None => state("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        };
        let instance = match self.environment.value("AWS_EC2_METADATA_DISABLED") {
            Some(_) => "AWS_EC2_METADATA_DISABLED is set",
            None => "no answer",
        };
        format!(
            "looked at the environment ({}), {profile} in the shared files (credential_process and sso are not \
             supported), web identity ({}), the container ({container}) and the instance metadata service ({instance})",
            state("AWS_ACCESS_KEY_ID"),
            state("AWS_WEB_IDENTITY_TOKEN_FILE"),
        )
    }
}

/// What a failure of the chain means.
pub(crate) fn refusal(site: &Site<'_>, asked: &Asked<'_>, failed: &CredentialsError) -> Refusal {
    let sources = asked.sources;
    let (kind, detail) = match failed {
        CredentialsError::CredentialsNotLoaded(_) => match unreached(failed) {
            Some(trouble) => (
                Kind::Unavailable,
                format!(
                    "there are no aws credentials, and the instance metadata service was not reached ({trouble}); \
                     where this machine has none, set AWS_EC2_METADATA_DISABLED to true: {}",
                    sources.all()
                ),
            ),
            None => (Kind::Denied, format!("there are no aws credentials: {}", sources.all())),
        },
        CredentialsError::ProviderTimedOut(_) => {
            (Kind::Unavailable, format!("the aws credentials ({}) did not come in time", sources.first()))
        }
        other => because(sources, other).unwrap_or_else(|| match failed {
            CredentialsError::InvalidConfiguration(_) => (
                Kind::Invalid,
                format!(
                    "the aws credentials cannot be had, since a setting is wrong or not supported \
                     (credential_process and sso are not): {}",
                    sources.all()
                ),
            ),
            _ => (
                Kind::Denied,
                format!("the aws credentials cannot be had from {}: {}", sources.first(), sources.all()),
            ),
        }),
    };
    Refusal { error: site.error(kind, detail), about: About::Credentials }
}

/// A source of the chain that may have credentials, and did not hear us.
fn unreached(failed: &CredentialsError) -> Option<Trouble> {
    let chain = find::<ProviderChainError<CredentialsError>>(failed)?;
    chain.attempts().iter().find_map(|attempt| classify(attempt.error()))
}

/// What stands behind it: STS, the network, a file.
fn because(sources: &Sources, failed: &CredentialsError) -> Option<(Kind, String)> {
    let failed: &(dyn StdError + 'static) = failed;
    if let Some(SdkError::ServiceError(context)) =
        find::<SdkError<AssumeRoleWithWebIdentityError, HttpResponse>>(failed)
    {
        return Some(web_identity(context.raw().status().as_u16(), context.err().code()));
    }
    if let Some(SdkError::ServiceError(context)) = find::<SdkError<AssumeRoleError, HttpResponse>>(failed) {
        return Some(assumed_role(sources, context.raw().status().as_u16(), context.err().code()));
    }
    match classify(failed) {
        Some(Trouble::Files(why)) => return Some((Kind::Invalid, why)),
        Some(trouble) => {
            let whom = "what gives us aws credentials (STS, or a service of this machine)";
            return Some((Kind::Unavailable, format!("{whom}: {trouble}")));
        }
        None => {}
    }
    let io = find::<io::Error>(failed)?;
    let file = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
        .into_iter()
        .find_map(|name| Some((name, sources.environment.value(name)?)));
    Some(match file {
        Some((name, path)) => (
            Kind::Denied,
            format!("{name} of the environment names {path}, which {}: is the token mounted?", why(io)),
        ),
        None => (Kind::Denied, format!("a file of aws credentials {}: {}", why(io), sources.all())),
    })
}

fn web_identity(status: u16, code: Option<&str>) -> (Kind, String) {
    let (kind, why) = match code.unwrap_or_default() {
        "AccessDenied" | "AccessDeniedException" => (
            Kind::Denied,
            "STS does not let this token have the role: its trust policy has to allow \
             sts:AssumeRoleWithWebIdentity to our service account, and AWS_ROLE_ARN has to name it",
        ),
        "InvalidIdentityToken" => (
            Kind::Denied,
            "STS does not accept the token: is the cluster's OIDC provider known to IAM, and is the token's audience \
             sts.amazonaws.com?",
        ),
        "ExpiredTokenException" | "ExpiredToken" => (
            Kind::Denied,
            "the token of AWS_WEB_IDENTITY_TOKEN_FILE has expired: has the kubelet replaced the file?",
        ),
        "IDPRejectedClaim" => (Kind::Denied, "the token's issuer rejected it"),
        "IDPCommunicationError" => (Kind::Unavailable, "STS cannot reach the token's issuer"),
        "RegionDisabledException" => {
            (Kind::Invalid, "STS is not activated in this region: choose another region")
        }
        code => of_sts(status, code),
    };
    (kind, format!("no aws credentials by web identity: {why}"))
}

fn assumed_role(sources: &Sources, status: u16, code: Option<&str>) -> (Kind, String) {
    let (kind, why) = match code.unwrap_or_default() {
        "AccessDenied" | "AccessDeniedException" => (
            Kind::Denied,
            "STS does not let us assume the role: we need sts:AssumeRole on it, its trust policy has to name us, and \
             external_id has to be what it wants",
        ),
        "ExpiredTokenException" | "ExpiredToken" => {
            (Kind::Denied, "the credentials that were to assume the role have expired")
        }
        "RegionDisabledException" => {
            (Kind::Invalid, "STS is not activated in this region: choose another region")
        }
        code => of_sts(status, code),
    };
    (kind, format!("the role could not be assumed ({}): {why}", sources.first()))
}

fn of_sts(status: u16, code: &str) -> (Kind, &'static str) {
    match kind_of(status, Some(code)) {
        Kind::Throttled => (Kind::Throttled, "STS says that there were too many requests"),
        Kind::Unavailable => (Kind::Unavailable, "STS failed, or is not ready"),
        Kind::Denied | Kind::SessionEnded => (Kind::Denied, "STS does not accept our credentials"),
        Kind::Invalid => {
            (Kind::Invalid, "STS says that the request is wrong: check the role's ARN and session_name")
        }
        _ => (Kind::Malformed, "something that is not STS answered: check AWS_ENDPOINT_URL_STS"),
    }
}
