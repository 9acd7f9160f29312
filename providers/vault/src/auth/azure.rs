use std::path::PathBuf;

use leasehold_core::Cloud;
use schemars::JsonSchema;
use serde::Deserialize;

use super::cloud::{CloudLogin, Reached};
use crate::config::Problems;

const MANAGEMENT: &str = "https://management.azure.com/";

/// What Azure knows us as: a managed or a workload identity.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawAzure {
    /// The role of the auth method to log in to.
    pub role: String,
    /// For whom the token is: the `resource` of the server's configuration.
    /// Default: `https://management.azure.com/`.
    pub resource: Option<String>,
    /// Which of several managed identities.
    pub client_id: Option<String>,
    /// A PEM file of the CAs to trust at Azure's endpoints instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Where the method is mounted. Default: `azure`.
    pub mount: Option<String>,
    /// The namespace of the method. Default: that of the provider.
    pub namespace: Option<String>,
}

pub(super) fn parse(raw: RawAzure, reached: &Reached<'_>, problems: &mut Problems) -> Option<CloudLogin> {
    let role = problems.text("auth.role", raw.role);
    let before = problems.len();
    let resource = problems.text("auth.resource", raw.resource.unwrap_or_else(|| MANAGEMENT.to_owned()));
    let client_id = raw.client_id.and_then(|id| problems.text("auth.client_id", id));
    let sound = problems.len() == before;
    let cloud = resource.filter(|_| sound).map(|resource| Cloud::Azure { resource, client_id });
    CloudLogin::new(role, cloud, raw.ca_file, reached, problems)
}
