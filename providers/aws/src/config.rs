//! The provider's part of the configuration: as written ([`Raw`]), and as used.
//!
//! Both types of provider are written alike. Parsing opens nothing and reads no file; what profiles and the
//! machine say is looked at when credentials are first needed. It reports all problems at once, and repeats
//! no value.

use std::path::PathBuf;

use leasehold_core::{
    Character, Environment, Error, Grants, Portrait, Problem, Provider, ProviderSettings, SecretRef,
    Surroundings,
};
use leasehold_http::{RawTls, Transport};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::arn::Arn;
use crate::backend::Aws;
use crate::chain::{Chain, Role};
use crate::regions::Place;
use crate::service::Service;
use crate::{explain, reference};

/// AWS Secrets Manager, or Parameter Store. Credentials come from the SDK's default chain: environment,
/// profile, web identity (IRSA), EKS Pod Identity, ECS, instance metadata (IMDSv2).
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Aws")]
pub struct Raw {
    /// The region: `eu-west-1`. Default: AWS_REGION, AWS_DEFAULT_REGION, the profile's, the machine's.
    pub region: Option<String>,
    /// Where to read, in this order, while `region` does not answer: regions that the secrets are replicated
    /// to.
    #[serde(default)]
    pub regions: Vec<RawRegion>,
    /// The store's address, where it is not AWS's own: `https://vpce-….secretsmanager.eu-west-1.vpce.amazonaws.com`.
    /// Default: AWS_ENDPOINT_URL_SECRETS_MANAGER or AWS_ENDPOINT_URL_SSM, AWS_ENDPOINT_URL, the profile's.
    /// (STS: AWS_ENDPOINT_URL_STS.)
    pub endpoint: Option<String>,
    /// Whether to use endpoints with validated cryptography. Default: AWS_USE_FIPS_ENDPOINT, the profile's.
    pub fips: Option<bool>,
    /// Whether to use endpoints that have IPv6 addresses, too. Default: AWS_USE_DUALSTACK_ENDPOINT, the
    /// profile's.
    pub dual_stack: Option<bool>,
    /// The profile of the shared files. It wins over credentials in the environment. Default: AWS_PROFILE.
    pub profile: Option<String>,
    /// A role to assume with the credentials that were found.
    pub role_arn: Option<String>,
    /// What the role's trust policy wants to hear, where it does.
    pub external_id: Option<String>,
    /// The name of the session under `role_arn`, which CloudTrail shows. Default: `leasehold`.
    pub session_name: Option<String>,
    /// TLS of the connections. The files are read again when they change. Default of `ca_file`:
    /// AWS_CA_BUNDLE. `server_name` and the client certificate are the store's, not those of STS.
    #[serde(default)]
    pub tls: RawTls,
    /// `env` (the default: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, networks such as 10.0.0.0/8
    /// included), `none`, or the URL of an HTTP proxy. What says who this machine is (instance metadata,
    /// container credentials) is never asked through a proxy.
    pub proxy: Option<String>,
}

/// A region to read from while the first does not answer.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RawRegion {
    /// `eu-central-1`
    Name(String),
    /// With the store's address there.
    #[serde(rename_all = "snake_case")]
    At {
        /// `eu-central-1`
        region: String,
        /// The store's address in that region.
        endpoint: String,
    },
}

/// What both types of provider have in common, valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// At least one; the first is asked first. Without a region the SDK finds it.
    pub(crate) places: Vec<Place>,
    pub(crate) chain: Chain,
    pub(crate) transport: Transport,
}

/// `type: aws-secrets-manager`, valid. Its `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretsManager(Settings);

/// `type: aws-parameter-store`, valid. Its `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterStore(Settings);

impl ProviderSettings for SecretsManager {
    type Raw = Raw;

    fn parse(name: &str, raw: Raw, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let _ = name;
        Settings::parse(raw, environment).map(Self)
    }

    fn identity(&self) -> String {
        format!("aws-secrets-manager {}", self.0.identity())
    }

    fn portrait(&self) -> Portrait {
        explain::portrait(&self.0, "AWS Secrets Manager")
    }

    fn character(&self, reference: &SecretRef) -> Character {
        explain::of_secrets_manager(reference)
    }

    fn grants(&self, references: &[&SecretRef]) -> Grants {
        explain::grants_of_secrets_manager(&self.0, references)
    }

    fn build(self, name: &str, surroundings: Surroundings) -> Result<Box<dyn Provider>, Error> {
        Ok(Box::new(Aws::new(name, self.0, Service::secrets(), surroundings.observer)))
    }

    fn check_reference(&self, reference: &SecretRef) -> Vec<Problem> {
        reference::of_secrets_manager(reference, &self.0.places)
    }
}

impl ProviderSettings for ParameterStore {
    type Raw = Raw;

    fn parse(name: &str, raw: Raw, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let _ = name;
        Settings::parse(raw, environment).map(Self)
    }

    fn identity(&self) -> String {
        format!("aws-parameter-store {}", self.0.identity())
    }

    fn portrait(&self) -> Portrait {
        explain::portrait(&self.0, "AWS Systems Manager Parameter Store")
    }

    fn character(&self, reference: &SecretRef) -> Character {
        explain::of_parameter_store(reference)
    }

    fn grants(&self, references: &[&SecretRef]) -> Grants {
        explain::grants_of_parameter_store(&self.0, references)
    }

    fn build(self, name: &str, surroundings: Surroundings) -> Result<Box<dyn Provider>, Error> {
        Ok(Box::new(Aws::new(name, self.0, Service::parameters(), surroundings.observer)))
    }

    fn check_reference(&self, reference: &SecretRef) -> Vec<Problem> {
        reference::of_parameter_store(reference, &self.0.places)
    }
}

impl Settings {
    fn parse(raw: Raw, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let places = places(&raw, environment, &mut problems);
        if places.iter().any(|place| place.endpoint.is_some()) {
            for (key, wanted) in [("fips", raw.fips), ("dual_stack", raw.dual_stack)] {
                if wanted == Some(true) {
                    problems.push(Problem::new(
                        key,
                        "does not go with endpoint: the endpoint that you name either is of that kind, or is not",
                    ));
                }
            }
        }
        let role = role(raw.role_arn, raw.external_id, raw.session_name, &mut problems);
        if raw.profile.as_deref().is_some_and(|profile| !is_line(profile)) {
            problems.push(Problem::new("profile", "is empty, or holds control characters"));
        }
        let mut tls = raw.tls;
        tls.ca_file = tls.ca_file.or_else(|| environment.value("AWS_CA_BUNDLE").map(PathBuf::from));
        let transport = match Transport::parse(tls, raw.proxy.as_deref(), environment) {
            Ok(transport) => transport,
            Err(found) => {
                problems.extend(found);
                Transport::default()
            }
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let chain = Chain {
            environment: environment.clone(),
            profile: raw.profile,
            role,
            fips: raw.fips,
            dual_stack: raw.dual_stack,
        };
        Ok(Self { places, chain, transport })
    }

    /// Where, and as whom as far as that is named.
    fn identity(&self) -> String {
        let places: Vec<String> = self
            .places
            .iter()
            .map(|Place { region, endpoint }| {
                format!(
                    "{}@{}",
                    region.as_deref().unwrap_or_default(),
                    endpoint.as_deref().unwrap_or_default()
                )
            })
            .collect();
        let Chain { environment, profile, role, .. } = &self.chain;
        let profile = profile.as_deref().or(environment.value("AWS_PROFILE")).unwrap_or_default();
        let web = environment.value("AWS_ROLE_ARN").unwrap_or_default();
        let role = role.as_ref().map(|role| role.arn.as_str()).unwrap_or_default();
        format!("regions={} profile={profile} web={web} role={role}", places.join(","))
    }
}

fn places(raw: &Raw, environment: &Environment, problems: &mut Vec<Problem>) -> Vec<Place> {
    let mut sound = |key: &str, region: &str, endpoint: Option<&str>| {
        if !is_region(region) {
            problems.push(Problem::new(key, "is no region like eu-west-1"));
        }
        if let Some(endpoint) = endpoint
            && !is_endpoint(endpoint)
        {
            let key = if key == "region" { "endpoint" } else { key };
            problems.push(Problem::new(
                key,
                "the endpoint is no URL like https://secretsmanager.eu-west-1.amazonaws.com, without a query and \
                 without a user",
            ));
        }
    };
    let others: Vec<Place> = raw
        .regions
        .iter()
        .enumerate()
        .map(|(at, other)| {
            let (region, endpoint) = match other {
                RawRegion::Name(region) => (region, None),
                RawRegion::At { region, endpoint } => (region, Some(endpoint.clone())),
            };
            sound(&format!("regions.{at}"), region, endpoint.as_deref());
            Place { region: Some(region.clone()), endpoint }
        })
        .collect();
    let named = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(|name| environment.value(name));
    let first = match (&raw.region, others.is_empty()) {
        (Some(region), _) => Some(region.clone()),
        (None, true) => named.map(str::to_owned),
        (None, false) => None,
    };
    sound("region", first.as_deref().unwrap_or("eu-west-1"), raw.endpoint.as_deref());
    let mut places = Vec::new();
    if first.is_some() || others.is_empty() {
        places.push(Place { region: first, endpoint: raw.endpoint.clone() });
    } else if raw.endpoint.is_some() {
        problems.push(Problem::new(
            "endpoint",
            "belongs to region, which is missing: set it, or give each of regions its own as {region, endpoint}",
        ));
    }
    for (at, place) in others.into_iter().enumerate() {
        if places.iter().any(|known: &Place| known.region == place.region) {
            problems.push(Problem::new(format!("regions.{at}"), "is named before already"));
        } else {
            places.push(place);
        }
    }
    places
}

fn role(
    arn: Option<String>,
    external_id: Option<String>,
    session_name: Option<String>,
    problems: &mut Vec<Problem>,
) -> Option<Role> {
    let Some(arn) = arn else {
        for (key, given) in [("external_id", external_id.is_some()), ("session_name", session_name.is_some())]
        {
            if given {
                problems.push(Problem::new(key, "goes with role_arn, which is missing"));
            }
        }
        return None;
    };
    let is_role = Arn::parse(&arn).is_some_and(|parts| {
        parts.service == "iam" && parts.has_account() && parts.resource.starts_with("role/")
    });
    if !is_role {
        problems.push(Problem::new("role_arn", "is no ARN like arn:aws:iam::123456789012:role/web"));
    }
    if external_id.as_deref().is_some_and(|id| !is_line(id)) {
        problems.push(Problem::new("external_id", "is empty, or holds control characters"));
    }
    let session_name = session_name.unwrap_or_else(|| "leasehold".to_owned());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if !(2..=64).contains(&session_name.len()) || !session_name.bytes().all(allowed) {
        problems.push(Problem::new("session_name", "is not 2 to 64 letters, digits and _+=,.@-"));
    }
    Some(Role { arn, external_id, session_name })
}

fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && !text.chars().any(char::is_control)
}

/// Lower case words and a number: `eu-west-1`.
pub(crate) fn is_region(text: &str) -> bool {
    let mut parts = text.split('-');
    let sound = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    text.len() <= 32
        && parts.clone().count() >= 3
        && parts.all(sound)
        && text.ends_with(|c: char| c.is_ascii_digit())
}

fn is_endpoint(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.query().is_none()
            && uri
                .authority()
                .is_some_and(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'))
    })
}

#[cfg(test)]
mod tests;
