use std::path::PathBuf;

use leasehold_core::Cloud;
use schemars::JsonSchema;
use serde::Deserialize;

use super::cloud::{CloudLogin, Reached};
use crate::config::Problems;

/// What Google Cloud knows us as: a service account, or the machine that we run on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawGcp {
    /// The role of the auth method to log in to.
    pub role: String,
    /// The service account in whose name IAM signs, for a role of type `iam`. Default: none, the machine's
    /// identity token is shown, for a role of type `gce`.
    pub service_account: Option<String>,
    /// For whom the token is. It ends in `vault/ROLE`, which is the default.
    pub audience: Option<String>,
    /// The IAM credentials API, where it is not Google's own.
    pub endpoint: Option<String>,
    /// A PEM file of the CAs to trust at Google's endpoints instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Where the method is mounted. Default: `gcp`.
    pub mount: Option<String>,
    /// The namespace of the method. Default: that of the provider.
    pub namespace: Option<String>,
}

pub(super) fn parse(raw: RawGcp, reached: &Reached<'_>, problems: &mut Problems) -> Option<CloudLogin> {
    let role = problems.text("auth.role", raw.role);
    let before = problems.len();
    let service_account = raw.service_account.and_then(|account| {
        let account = problems.text("auth.service_account", account)?;
        if !account.contains('@') || account.contains(['/', ' ']) {
            problems.add(
                "auth.service_account",
                "is no service account, like web@project.iam.gserviceaccount.com",
            );
            return None;
        }
        Some(account)
    });
    let wanted = role.as_ref().map(|role| format!("vault/{role}"));
    let audience = match (raw.audience, wanted) {
        (None, wanted) => wanted,
        (Some(audience), Some(wanted)) if !audience.ends_with(&wanted) => {
            problems.add(
                "auth.audience",
                "does not end in vault/ROLE, without which the store refuses the token",
            );
            None
        }
        (Some(audience), _) => problems.text("auth.audience", audience),
    };
    let endpoint = raw.endpoint.and_then(|url| problems.url("auth.endpoint", url));
    let sound = problems.len() == before;
    let cloud = audience.filter(|_| sound).map(|audience| Cloud::Gcp { audience, service_account, endpoint });
    CloudLogin::new(role, cloud, raw.ca_file, reached, problems)
}
