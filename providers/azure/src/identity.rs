//! What Vault's `azure` log-in is shown: a token of the pod's or the machine's identity, and what the
//! machine is.

use std::collections::BTreeMap;
use std::sync::Arc;

use leasehold_core::{
    Cloud, Error, Identity, IdentityRequest, Kind, Observer, Operation, Proof, async_trait,
};
use leasehold_http::{RawTls, Transport};

use crate::auth::{Auth, Ways};
use crate::challenge::Challenge;
use crate::config::Problems;
use crate::error::Site;

/// Proves who we are by a token for the resource that is asked for. `provider` is the one that logs
/// in with it, for errors.
///
/// # Errors
/// The environment or the request cannot be used.
pub fn identity(
    provider: &str,
    request: &IdentityRequest,
    observer: Arc<dyn Observer>,
) -> Result<Arc<dyn Identity>, Error> {
    let site = Site { provider, operation: Operation::Login, on: "" };
    let Cloud::Azure { resource, client_id } = &request.cloud else {
        return Err(site.error(Kind::Internal, "another cloud's identity was asked of azure"));
    };
    let environment = &request.environment;
    let mut problems = Problems::default();
    let authority = environment
        .value("AZURE_AUTHORITY_HOST")
        .unwrap_or_else(|| crate::address::Cloud::default().authority());
    let authority = problems.root("AZURE_AUTHORITY_HOST", authority);
    let tls = RawTls { ca_file: request.ca_file.clone(), ..RawTls::default() };
    let transport = problems.all(Transport::parse(tls, request.proxy.as_deref(), environment));
    let auth = Auth::ours(client_id.clone(), authority, environment, &mut problems);
    match (transport, auth, problems.all_said()) {
        (Some(transport), Some(auth), None) => Ok(Arc::new(Ours {
            provider: provider.to_owned(),
            ways: Ways::new(provider, &transport, &observer),
            resource: resource.clone(),
            auth,
        })),
        (_, _, said) => Err(site.error(
            Kind::Invalid,
            format!("our identity in azure: {}", said.unwrap_or_else(|| "it is not complete".to_owned())),
        )),
    }
}

/// Ours, as Azure knows us.
struct Ours {
    provider: String,
    ways: Ways,
    resource: String,
    auth: Auth,
}

#[async_trait]
impl Identity for Ours {
    async fn prove(&self) -> Result<Proof, Error> {
        let site = Site { provider: &self.provider, operation: Operation::Login, on: "" };
        let resource = self.resource.trim_end_matches('/').to_owned();
        let wanted = Challenge { resource, tenant: None, date: None };
        let token = self.auth.token(&self.ways, &wanted, &site).await?.token;
        // Only a machine's own identity is that of the machine: Vault compares the two.
        let about = match self.auth.managed() {
            Some(managed) => managed.about(self.ways.direct(), &site).await?,
            None => BTreeMap::new(),
        };
        Ok(Proof::Token { token, about })
    }
}
