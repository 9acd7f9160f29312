use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::Problems;

/// The client certificate of `tls`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawCert {
    /// The role to log in to. Default: any whose CA signed our certificate.
    pub role: Option<String>,
    /// Where the method is mounted. Default: `cert`.
    pub mount: Option<String>,
    /// The namespace of the method. Default: that of the provider.
    pub namespace: Option<String>,
}

/// The role; the certificate itself is the connection's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cert {
    pub(crate) role: Option<String>,
}

pub(super) fn parse(raw: RawCert, problems: &mut Problems) -> Option<Cert> {
    let named = raw.role.is_some();
    let role = raw.role.and_then(|role| problems.text("auth.role", role));
    (role.is_some() == named).then_some(Cert { role })
}
