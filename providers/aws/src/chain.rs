//! The SDK's configuration for one region: its default chain of credentials, on our client and on the
//! environment that we were given, and the role to assume with them.
//!
//! It is made when it is first used, since the chain reads files and may ask this machine. What it holds is
//! forgotten when AWS says that the credentials are over or wrong, so that the next use reads everything anew.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_types::os_shim_internal::Env;
use leasehold_core::Environment;
use tokio::sync::Mutex;

use crate::wire::{Wire, quietly};

/// The longest that a source of credentials may take: the engine's own deadlines are about as long.
const CREDENTIALS_LIMIT: Duration = Duration::from_secs(30);

/// Credentials are replaced so long before their end that a request under way still has good ones.
const CREDENTIALS_MARGIN: Duration = Duration::from_secs(60);

/// What of the environment a profile of the configuration stands above.
const OUTRANKED_BY_PROFILE: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) arn: String,
    pub(crate) external_id: Option<String>,
    pub(crate) session_name: String,
}

/// How credentials are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) environment: Environment,
    pub(crate) profile: Option<String>,
    pub(crate) role: Option<Role>,
    pub(crate) fips: Option<bool>,
    pub(crate) dual_stack: Option<bool>,
}

impl Chain {
    /// Reads what the chain reads. `region`: else as the SDK finds it.
    pub(crate) async fn load(&self, region: Option<&str>, wire: &Wire) -> SdkConfig {
        let mut loader = ConfigLoader::default()
            .behavior_version(BehaviorVersion::latest())
            .env(self.env())
            .http_client(wire.clone())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .identity_cache(
                IdentityCache::lazy().load_timeout(CREDENTIALS_LIMIT).buffer_time(CREDENTIALS_MARGIN).build(),
            );
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(fips) = self.fips {
            loader = loader.use_fips(fips);
        }
        if let Some(dual_stack) = self.dual_stack {
            loader = loader.use_dual_stack(dual_stack);
        }
        let config = quietly(loader.load()).await;
        let found = match &self.role {
            None => config.credentials_provider(),
            Some(role) => {
                let mut assume = AssumeRoleProvider::builder(&role.arn)
                    .configure(&config)
                    .session_name(&role.session_name);
                if let Some(id) = &role.external_id {
                    assume = assume.external_id(id);
                }
                Some(SharedCredentialsProvider::new(assume.build().await))
            }
        };
        match found {
            None => config,
            Some(found) => config
                .into_builder()
                .credentials_provider(SharedCredentialsProvider::new(Quiet(found)))
                .build(),
        }
    }

    fn env(&self) -> Env {
        let outranked = |name: &str| self.profile.is_some() && OUTRANKED_BY_PROFILE.contains(&name);
        let names = self.environment.names().filter(|name| !outranked(name));
        let all: HashMap<String, String> = names
            .filter_map(|name| Some((name.to_owned(), self.environment.value(name)?.to_owned())))
            .collect();
        Env::from(all)
    }
}

/// Credentials that are found where nobody hears it, and not shown where the SDK shows its parts.
struct Quiet(SharedCredentialsProvider);

impl ProvideCredentials for Quiet {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(quietly(self.0.provide_credentials()))
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.0.fallback_on_interrupt()
    }
}

impl fmt::Debug for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Quiet")
    }
}

/// The configuration that is in use.
#[derive(Default)]
pub(crate) struct Loaded(Mutex<Option<SdkConfig>>);

impl Loaded {
    pub(crate) async fn config(&self, chain: &Chain, region: Option<&str>, wire: &Wire) -> SdkConfig {
        let mut held = self.0.lock().await;
        match &*held {
            Some(config) => config.clone(),
            None => held.insert(chain.load(region, wire).await).clone(),
        }
    }

    /// The next use reads everything anew.
    pub(crate) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}
