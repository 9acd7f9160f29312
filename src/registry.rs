//! From a `type:` of the configuration to a provider. Adding a provider is one line here: its
//! feature, its `type`, and the settings of its crate ([`leasehold_core::ProviderSettings`]).

use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "explain")]
use leasehold_core::{Character, Grants, Portrait};
use leasehold_core::{
    Cloud, Environment, Error, Identity, IdentityRequest, Kind, Observer, Operation, Problem, Provider,
    ProviderSettings, SecretRef, Spawn, Surroundings,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::{Map, Value};

#[cfg(feature = "mock")]
mod development;
#[cfg(feature = "mock")]
pub use development::{Development, Forecast, MOCK, Shape, Used};
#[cfg(feature = "mock")]
pub(crate) use development::{Wanted, is_known};

macro_rules! providers {
    ($($(#[$doc:meta])* $variant:ident = $kind:literal, $feature:literal, $settings:ty;)*) => {
        #[cfg(not(any($(feature = $feature),*)))]
        compile_error!("a build without any provider fetches nothing: choose features such as `vault` or `mock`");

        /// Every `type` that leasehold knows and the feature that holds it, whether or not this
        /// build does.
        const KNOWN: &[(&str, &str)] = &[$(($kind, $feature)),*];

        /// The parsed settings of one provider.
        #[allow(clippy::large_enum_variant, reason = "there are a handful of them in a process")]
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Settings {
            $($(#[$doc])* #[cfg(feature = $feature)] $variant($settings),)*
        }

        /// The `type`s that this build holds.
        pub fn kinds() -> Vec<&'static str> {
            vec![$(#[cfg(feature = $feature)] $kind,)*]
        }

        /// The features that this build holds.
        pub fn features() -> Vec<&'static str> {
            let mut features = vec![$(#[cfg(feature = $feature)] $feature,)*];
            features.dedup();
            features
        }

        /// What each kind lets a configuration say, without its `type`.
        pub(crate) fn schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
            vec![$(
                #[cfg(feature = $feature)]
                ($kind, <<$settings as ProviderSettings>::Raw as JsonSchema>::json_schema(generator)),
            )*]
        }

        /// Parses the settings of the provider `name`. `raw` has no `type` any more.
        ///
        /// # Errors
        /// Every problem, with its key from the provider's level down. A kind that this build does
        /// not hold, and values of a wrong shape, are one problem.
        pub fn parse(
            kind: &str,
            name: &str,
            raw: Map<String, Value>,
            environment: &Environment,
        ) -> Result<Settings, Vec<Problem>> {
            let settings = match kind {
                $(#[cfg(feature = $feature)] $kind => {
                    // serde's own text may quote a value.
                    let raw = <<$settings as ProviderSettings>::Raw>::deserialize(Value::Object(raw))
                        .map_err(|_| vec![Problem::new("", format!("no settings of a provider of type {kind}"))])?;
                    <$settings>::parse(name, raw, environment).map(Settings::$variant)?
                })*
                other => return Err(vec![Problem::new("type", missing(other))]),
            };
            settings.identity_is_held()?;
            Ok(settings)
        }

        impl Settings {
            /// Its `type`.
            pub fn kind(&self) -> &'static str {
                match *self {
                    $(#[cfg(feature = $feature)] Self::$variant(_) => $kind,)*
                }
            }

            /// What distinguishes its store and log-in: what was taken under another identity is
            /// not adopted.
            pub fn identity(&self) -> String {
                match *self {
                    $(#[cfg(feature = $feature)] Self::$variant(ref settings) => settings.identity(),)*
                }
            }

            /// Whether a log-in uses up a wrapping token, so that nobody may log in only to look.
            pub fn unwraps(&self) -> bool {
                match *self {
                    $(#[cfg(feature = $feature)] Self::$variant(ref settings) => settings.unwraps(),)*
                }
            }

            /// Whether its sessions have a credential that an application could use.
            pub fn has_session(&self) -> bool {
                match *self {
                    $(#[cfg(feature = $feature)] Self::$variant(ref settings) => settings.has_session(),)*
                }
            }

            /// What can be seen to be wrong with a reference before the store is asked.
            pub(crate) fn check_reference(&self, reference: &SecretRef) -> Vec<Problem> {
                match *self {
                    $(#[cfg(feature = $feature)] Self::$variant(ref settings) => {
                        settings.check_reference(reference)
                    })*
                }
            }

            /// The store, and who we are there, for people.
            #[cfg(feature = "explain")]
            pub(crate) fn portrait(&self) -> Portrait {
                match *self {
                    $(#[cfg(feature = $feature)] Self::$variant(ref settings) => settings.portrait(),)*
                }
            }

            /// What a secret is, without asking the store.
            #[cfg(feature = "explain")]
            pub(crate) fn character(&self, reference: &SecretRef) -> Character {
                match *self {
                    $(#[cfg(feature = $feature)] Self::$variant(ref settings) => settings.character(reference),)*
                }
            }

            /// The least that the store has to grant for these secrets.
            #[cfg(feature = "explain")]
            pub(crate) fn grants(&self, references: &[&SecretRef]) -> Grants {
                match *self {
                    $(#[cfg(feature = $feature)] Self::$variant(ref settings) => settings.grants(references),)*
                }
            }

            /// The program that is started for each request, and the environment in which it is looked for.
            pub(crate) fn program(&self) -> Option<(&[String], &Environment)> {
                match *self {
                    $(#[cfg(feature = $feature)] Self::$variant(ref settings) => settings.program(),)*
                }
            }

            fn identity_request(&self) -> Option<&IdentityRequest> {
                match *self {
                    $(#[cfg(feature = $feature)] Self::$variant(ref settings) => settings.identity_request(),)*
                }
            }

            fn build_in(&self, name: &str, surroundings: Surroundings) -> Result<Box<dyn Provider>, Error> {
                match self.clone() {
                    $(#[cfg(feature = $feature)] Self::$variant(settings) => settings.build(name, surroundings),)*
                }
            }

            /// The same settings, logging in with the token in this file.
            ///
            /// # Errors
            /// The log-in takes no such token.
            pub fn with_jwt_file(&self, file: &Path) -> Result<Self, Problem> {
                match self.clone() {
                    $(#[cfg(feature = $feature)] Self::$variant(settings) => {
                        settings.with_jwt_file(file.to_owned()).map(Self::$variant)
                    })*
                }
            }
        }
    };
}

providers! {
    /// Vault and OpenBao.
    Vault = "vault", "vault", leasehold_vault::Settings;
    /// AWS Secrets Manager.
    Aws = "aws-secrets-manager", "aws", leasehold_aws::SecretsManager;
    /// AWS Systems Manager Parameter Store.
    AwsParameters = "aws-parameter-store", "aws", leasehold_aws::ParameterStore;
    /// Google Secret Manager.
    Google = "gcp-secret-manager", "gcp", leasehold_gcp::Settings;
    /// Azure Key Vault.
    Azure = "azure-key-vault", "azure", leasehold_azure::Settings;
    /// Any program.
    Exec = "exec", "exec", leasehold_exec::Settings;
    /// A directory or a file.
    File = "file", "file", leasehold_file::Settings;
    /// A scripted store, for laptops and tests.
    Mock = "mock", "mock", leasehold_mock::Settings;
}

impl Settings {
    /// The provider.
    ///
    /// # Errors
    /// What its crate says: a client that cannot be built.
    pub fn build(
        &self,
        name: &str,
        observer: Arc<dyn Observer>,
        spawn: &Arc<dyn Spawn>,
    ) -> Result<Box<dyn Provider>, Error> {
        let identity = self
            .identity_request()
            .map(|request| prover(name, request, Arc::clone(&observer)))
            .transpose()?;
        let surroundings = Surroundings { observer, spawn: Arc::clone(spawn), identity };
        self.build_in(name, surroundings)
    }

    /// A log-in by a cloud needs the crate of that cloud.
    fn identity_is_held(&self) -> Result<(), Vec<Problem>> {
        match self.identity_request() {
            Some(IdentityRequest { cloud, .. }) if !holds(cloud) => {
                let cloud = cloud.as_str();
                let lacks =
                    format!("this build holds nothing of {cloud}: take one with the feature `{cloud}`");
                Err(vec![Problem::new("auth.method", lacks)])
            }
            _ => Ok(()),
        }
    }
}

/// What is said of a `type` that this build does not hold. It is repeated only where it is one of
/// ours.
pub(crate) fn missing(kind: &str) -> String {
    missing_among(kind, &kinds())
}

fn missing_among(kind: &str, held: &[&str]) -> String {
    let held = held.join(", ");
    match KNOWN.iter().find(|(known, _)| *known == kind) {
        Some((known, feature)) => format!(
            "this build holds no provider of type {known} (take one with the feature `{feature}`); it holds: {held}"
        ),
        None => format!("no such type of provider; this build holds: {held}"),
    }
}

/// The types of providers that this build does not hold.
pub fn left_out() -> Vec<&'static str> {
    KNOWN.iter().map(|(kind, _)| *kind).filter(|kind| !kinds().contains(kind)).collect()
}

/// Whether this build can prove who we are in this cloud.
fn holds(cloud: &Cloud) -> bool {
    match cloud {
        Cloud::Aws { .. } => cfg!(feature = "aws"),
        Cloud::Gcp { .. } => cfg!(feature = "gcp"),
        Cloud::Azure { .. } => cfg!(feature = "azure"),
    }
}

/// Who proves who we are, for a log-in that hangs on that.
fn prover(
    name: &str,
    request: &IdentityRequest,
    observer: Arc<dyn Observer>,
) -> Result<Arc<dyn Identity>, Error> {
    match request.cloud {
        #[cfg(feature = "aws")]
        Cloud::Aws { .. } => leasehold_aws::identity(name, request, observer),
        #[cfg(feature = "azure")]
        Cloud::Azure { .. } => leasehold_azure::identity(name, request, observer),
        #[cfg(feature = "gcp")]
        Cloud::Gcp { .. } => leasehold_gcp::identity(name, request, observer),
        #[allow(unreachable_patterns, reason = "a build with every cloud leaves nothing over")]
        ref other => {
            let _ = observer;
            let lacks = format!("this build holds nothing of {}", other.as_str());
            Err(Error::new(Kind::Internal, Operation::Login, name, lacks))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_of_another_build_is_told_from_one_that_does_not_exist() {
        assert_eq!(
            missing_among("azure-key-vault", &["vault", "mock"]),
            "this build holds no provider of type azure-key-vault (take one with the feature `azure`); it holds: \
             vault, mock"
        );
        assert_eq!(missing_among("canary", &["vault"]), "no such type of provider; this build holds: vault");
    }

    #[test]
    fn what_a_build_holds_and_what_it_leaves_out_are_all_that_is_known() {
        let mut all: Vec<&str> = kinds();
        all.extend(left_out());
        all.sort_unstable();
        let mut known: Vec<&str> = KNOWN.iter().map(|(kind, _)| *kind).collect();
        known.sort_unstable();
        assert_eq!(all, known);
    }
}
