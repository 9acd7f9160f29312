//! The provider's part of the configuration: as written ([`Raw`]), and as used ([`Settings`]).
//!
//! Parsing opens nothing and reads no file. It reports all problems at once, and repeats no value:
//! any of them may have come from a variable that holds a secret.

use std::path::PathBuf;

use leasehold_core::{
    Character, Environment, Error, Grants, Portrait, Problem, Provider, ProviderSettings, SecretRef,
    Surroundings,
};
use leasehold_http::{RawTls, Transport};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::auth::Sources;
use crate::backend::Gcp;
use crate::explain;
use crate::reference::{self, Resource, is_location, is_project};

const UNIVERSE: &str = "googleapis.com";

/// Google Secret Manager. It logs in with application default credentials: a credential file
/// (`credentials_file`, else GOOGLE_APPLICATION_CREDENTIALS, else the one that gcloud keeps), else the
/// service account of the machine or pod. The file is read again at each log-in.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GcpSecretManager")]
pub struct Raw {
    /// The project of secrets whose `path` names none. Default: GOOGLE_CLOUD_PROJECT or
    /// GCLOUD_PROJECT, else that of the credential file, else that of the machine.
    pub project: Option<String>,
    /// For regional secrets: where they are, like `europe-west3`. Asked then is the endpoint of that
    /// location.
    pub location: Option<String>,
    /// The address of the API, where it is not Google's own: `https://secretmanager.example`.
    pub endpoint: Option<String>,
    /// The address of the IAM credentials API, where it is not Google's own. Used with `impersonate`.
    pub iam_endpoint: Option<String>,
    /// The domain of a cloud of its own. Default: GOOGLE_CLOUD_UNIVERSE_DOMAIN, else
    /// `googleapis.com`.
    pub universe_domain: Option<String>,
    /// A credential file, as JSON: a service account's key, workload identity federation, or what
    /// `gcloud auth application-default login` writes.
    pub credentials_file: Option<PathBuf>,
    /// A service account to act as: its email address. The credentials need
    /// roles/iam.serviceAccountTokenCreator on it.
    pub impersonate: Option<String>,
    /// TLS of the connections, those of log-ins included.
    #[serde(default)]
    pub tls: RawTls,
    /// `env` (the default: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, networks such as 10.0.0.0/8
    /// included), `none`, or the URL of an HTTP proxy. The machine's metadata server is never asked
    /// through it.
    pub proxy: Option<String>,
}

/// A provider's settings, valid. Its `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(crate) project: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) universe: String,
    pub(crate) quota_project: Option<String>,
    pub(crate) sources: Sources,
    pub(crate) transport: Transport,
}

impl ProviderSettings for Settings {
    type Raw = Raw;

    fn parse(name: &str, raw: Raw, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let _ = name;
        let mut problems = Problems::default();
        let project = raw
            .project
            .or_else(|| environment.value("GOOGLE_CLOUD_PROJECT").map(str::to_owned))
            .or_else(|| environment.value("GCLOUD_PROJECT").map(str::to_owned))
            .filter(|project| {
                problems.unless(is_project(project), "project", "is no project's id or number, like my-app")
            });
        let location = raw.location.filter(|location| {
            problems.unless(is_location(location), "location", "is no location, like europe-west3")
        });
        let endpoint = raw.endpoint.and_then(|endpoint| problems.root("endpoint", &endpoint));
        let iam = raw.iam_endpoint.and_then(|endpoint| problems.root("iam_endpoint", &endpoint));
        let universe = raw
            .universe_domain
            .or_else(|| environment.value("GOOGLE_CLOUD_UNIVERSE_DOMAIN").map(str::to_owned))
            .unwrap_or_else(|| UNIVERSE.to_owned());
        problems.unless(is_domain(&universe), "universe_domain", "is no domain, like googleapis.com");
        if raw.credentials_file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            problems.add("credentials_file", "is empty: give the path of a file");
        }
        if raw.impersonate.as_deref().is_some_and(|account| !is_account(account)) {
            problems.add(
                "impersonate",
                "is no service account's address, like web@my-app.iam.gserviceaccount.com",
            );
        }
        let transport = match Transport::parse(raw.tls, raw.proxy.as_deref(), environment) {
            Ok(transport) => transport,
            Err(found) => {
                problems.0.extend(found);
                Transport::default()
            }
        };
        let iam = iam.unwrap_or_else(|| format!("https://iamcredentials.{universe}"));
        let sources = Sources::parse(raw.credentials_file, raw.impersonate, iam, environment);
        match sources {
            Ok(sources) if problems.0.is_empty() => Ok(Self {
                project,
                location,
                endpoint,
                universe,
                quota_project: environment.value("GOOGLE_CLOUD_QUOTA_PROJECT").map(str::to_owned),
                sources,
                transport,
            }),
            sources => {
                problems.0.extend(sources.err());
                Err(problems.0)
            }
        }
    }

    /// Project, location, endpoint, and where the credentials come from.
    fn identity(&self) -> String {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        format!(
            "gcp-secret-manager {} project={} location={} endpoint={} {}",
            self.universe,
            text(&self.project),
            text(&self.location),
            text(&self.endpoint),
            self.sources.identity(),
        )
    }

    fn has_session(&self) -> bool {
        true
    }

    fn portrait(&self) -> Portrait {
        explain::portrait(self)
    }

    fn character(&self, reference: &SecretRef) -> Character {
        explain::character(reference)
    }

    fn grants(&self, references: &[&SecretRef]) -> Grants {
        explain::grants(self, references)
    }

    fn build(self, name: &str, surroundings: Surroundings) -> Result<Box<dyn Provider>, Error> {
        Ok(Box::new(Gcp::new(name, self, surroundings)))
    }

    fn check_reference(&self, reference: &SecretRef) -> Vec<Problem> {
        reference::problems(reference)
    }
}

impl Settings {
    /// Scheme, host and port that know this secret.
    pub(crate) fn root(&self, resource: &Resource) -> String {
        match (&self.endpoint, &resource.location) {
            (Some(endpoint), _) => endpoint.clone(),
            (None, Some(location)) => format!("https://secretmanager.{location}.rep.{}", self.universe),
            (None, None) => format!("https://secretmanager.{}", self.universe),
        }
    }
}

/// Collects what is wrong.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, key: &str, message: &str) {
        self.0.push(Problem::new(key, message));
    }

    /// Whether it is right.
    fn unless(&mut self, right: bool, key: &str, message: &str) -> bool {
        if !right {
            self.add(key, message);
        }
        right
    }

    fn root(&mut self, key: &str, url: &str) -> Option<String> {
        let root = root(url);
        if root.is_none() {
            self.add(key, "is no address like https://host or https://host:port, without a path");
        }
        root
    }
}

/// `https://host:port` without anything behind it.
pub(crate) fn root(url: &str) -> Option<String> {
    let parsed = url::Url::parse(url).ok()?;
    let plain = matches!(parsed.scheme(), "https" | "http")
        && parsed.has_host()
        && parsed.username().is_empty()
        && parsed.password().is_none()
        && parsed.path() == "/"
        && parsed.query().is_none()
        && parsed.fragment().is_none();
    plain.then(|| parsed.as_str().trim_end_matches('/').to_owned())
}

fn is_domain(text: &str) -> bool {
    !text.is_empty()
        && text.split('.').all(|part| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

/// An email address as service accounts have it, or such an account's number.
pub(crate) fn is_account(text: &str) -> bool {
    let word = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
    };
    match text.split_once('@') {
        Some((name, domain)) => word(name) && is_domain(domain),
        None => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(raw: Value, environment: &[(&str, &str)]) -> Result<Settings, Vec<Problem>> {
        let raw: Raw = serde_json::from_value(raw).unwrap();
        let variables = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::parse("gcp", raw, &Environment::new(variables))
    }

    fn resource(settings: &Settings, path: &str) -> Resource {
        Resource::parse(path, settings.project.as_deref(), settings.location.as_deref()).unwrap()
    }

    #[test]
    fn nothing_has_to_be_said_and_the_file_wins_over_the_environment() {
        let bare = parse(json!({}), &[]).unwrap();
        assert_eq!(bare.project, None);
        let by_environment = parse(json!({}), &[("GCLOUD_PROJECT", "two"), ("GOOGLE_CLOUD_PROJECT", "one")]);
        assert_eq!(by_environment.unwrap().project.as_deref(), Some("one"));
        let by_file = parse(json!({ "project": "mine" }), &[("GOOGLE_CLOUD_PROJECT", "one")]);
        assert_eq!(by_file.unwrap().project.as_deref(), Some("mine"));
    }

    #[test]
    fn the_endpoint_follows_the_location_of_the_secret_unless_it_is_given() {
        let global = parse(json!({ "project": "p" }), &[]).unwrap();
        let asked = |settings: &Settings, path: &str| settings.root(&resource(settings, path));
        assert_eq!(asked(&global, "db"), "https://secretmanager.googleapis.com");
        assert_eq!(
            asked(&global, "projects/q/locations/europe-west3/secrets/db"),
            "https://secretmanager.europe-west3.rep.googleapis.com"
        );
        let regional = parse(json!({ "project": "p", "location": "us-east1" }), &[]).unwrap();
        assert_eq!(asked(&regional, "db"), "https://secretmanager.us-east1.rep.googleapis.com");
        let own = parse(json!({ "project": "p", "universe_domain": "cloud.example" }), &[]).unwrap();
        assert_eq!(asked(&own, "db"), "https://secretmanager.cloud.example");
        let given = parse(json!({ "project": "p", "endpoint": "https://sm.example:8443/" }), &[]).unwrap();
        assert_eq!(asked(&given, "db"), "https://sm.example:8443");
    }

    #[test]
    fn all_problems_are_said_at_once_and_no_value_is_repeated() {
        let problems = parse(
            json!({
                "project": "canary project", "location": "canary/x", "endpoint": "https://canary@host/path",
                "iam_endpoint": "canary", "universe_domain": "canary..x", "credentials_file": "",
                "impersonate": "canary canary", "tls": { "ca_file": "" }, "proxy": "socks5://canary",
            }),
            &[("GCE_METADATA_HOST", "canary canary")],
        )
        .unwrap_err();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "project",
                "location",
                "endpoint",
                "iam_endpoint",
                "universe_domain",
                "credentials_file",
                "impersonate",
                "tls.ca_file",
                "proxy",
                ""
            ]
        );
        assert!(problems.iter().all(|problem| !problem.message.contains("canary")), "{problems:?}");
    }

    #[test]
    fn another_store_or_log_in_is_another_identity() {
        let of = |raw| parse(raw, &[]).unwrap().identity();
        let all = [
            of(json!({})),
            of(json!({ "project": "a" })),
            of(json!({ "location": "a" })),
            of(json!({ "endpoint": "https://a" })),
            of(json!({ "credentials_file": "/a" })),
            of(json!({ "impersonate": "a@b.iam.gserviceaccount.com" })),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
    }
}
