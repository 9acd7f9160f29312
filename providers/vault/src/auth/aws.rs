use std::path::PathBuf;

use leasehold_core::Cloud;
use schemars::JsonSchema;
use serde::Deserialize;

use super::cloud::{CloudLogin, Reached};
use crate::config::Problems;

/// What AWS knows us as: the store asks STS who signed our request.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawAws {
    /// The role of the auth method to log in to.
    pub role: String,
    /// The region whose STS is named in the request: that of the server's `sts_endpoint`. Default: the global
    /// endpoint, which is the server's default as well.
    pub region: Option<String>,
    /// The server's `iam_server_id_header_value`, where it has one.
    pub server_id: Option<String>,
    /// The STS to name in the request, where it is not the region's own.
    pub sts_endpoint: Option<String>,
    /// A role to assume before. Default: what our credentials are of.
    pub role_arn: Option<String>,
    /// A PEM file of the CAs to trust at AWS's endpoints instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Where the method is mounted. Default: `aws`.
    pub mount: Option<String>,
    /// The namespace of the method. Default: that of the provider.
    pub namespace: Option<String>,
}

pub(super) fn parse(raw: RawAws, reached: &Reached<'_>, problems: &mut Problems) -> Option<CloudLogin> {
    let role = problems.text("auth.role", raw.role);
    let before = problems.len();
    let region = raw.region.and_then(|region| {
        let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if region.is_empty() || !region.bytes().all(sound) {
            problems.add("auth.region", "is no region, like eu-west-1");
            return None;
        }
        Some(region)
    });
    let server_id = raw.server_id.and_then(|id| problems.text("auth.server_id", id));
    let endpoint = raw.sts_endpoint.and_then(|url| problems.url("auth.sts_endpoint", url));
    let role_arn = raw.role_arn.and_then(|arn| {
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let sound = matches!(parts[..], ["arn", _, "iam", "", _, role] if role.starts_with("role/"));
        if !sound || !arn.bytes().all(|byte| byte.is_ascii_graphic()) {
            problems.add("auth.role_arn", "is no ARN of a role, like arn:aws:iam::123456789012:role/web");
            return None;
        }
        Some(arn)
    });
    let cloud = (problems.len() == before).then_some(Cloud::Aws { region, endpoint, server_id, role_arn });
    CloudLogin::new(role, cloud, raw.ca_file, reached, problems)
}
