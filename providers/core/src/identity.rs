use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;

use crate::environment::Environment;
use crate::error::Error;
use crate::secret::SecretBytes;

/// Proves to a third party who we are, as a cloud knows us. Keeps nothing: each proof is made anew
/// from the credentials as they are then.
#[async_trait]
pub trait Identity: Send + Sync {
    /// A proof for one log-in.
    async fn prove(&self) -> Result<Proof, Error>;
}

/// What a third party is shown.
#[derive(Debug)]
pub enum Proof {
    /// A request to the cloud that we signed and did not send: the third party sends it on, and
    /// believes the answer.
    Request {
        /// `POST`.
        method: String,
        /// Where it would go.
        url: String,
        /// Its headers, the signature among them.
        headers: Vec<(String, SecretBytes)>,
        /// Its body.
        body: Vec<u8>,
    },
    /// A token that the cloud signed.
    Token {
        /// The token, without white space around it.
        token: SecretBytes,
        /// What it does not say itself, and the third party wants to hear (azure: the subscription,
        /// the resource group and the machine).
        about: BTreeMap<String, String>,
    },
}

/// A proof that is wanted: from which cloud, for whom, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRequest {
    /// Which cloud, and what it needs to know.
    pub cloud: Cloud,
    /// A PEM file of the CAs to trust at the cloud's endpoints, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// As `proxy` of a provider: `env`, `none` or a URL.
    pub proxy: Option<String>,
    /// The environment, in which the cloud's own variables are.
    pub environment: Environment,
}

/// A cloud that knows us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// A signed `sts:GetCallerIdentity`.
    Aws {
        /// The region whose STS is named in the request.
        region: Option<String>,
        /// The STS to name in it, where that is not the region's.
        endpoint: Option<String>,
        /// The value of the header `X-Vault-AWS-IAM-Server-ID`, where the third party wants one.
        server_id: Option<String>,
        /// A role to assume before.
        role_arn: Option<String>,
    },
    /// A signed token of a service account.
    Gcp {
        /// For whom the token is.
        audience: String,
        /// Signed by IAM in the name of this service account; `None`: the identity token of the
        /// machine that we run on.
        service_account: Option<String>,
        /// The IAM credentials API, where it is not Google's own.
        endpoint: Option<String>,
    },
    /// An access token of a managed or workload identity.
    Azure {
        /// For whom the token is.
        resource: String,
        /// Which of several managed identities.
        client_id: Option<String>,
    },
}

impl Cloud {
    /// The word of the configuration, which is also the feature that holds it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Aws { .. } => "aws",
            Self::Gcp { .. } => "gcp",
            Self::Azure { .. } => "azure",
        }
    }
}
