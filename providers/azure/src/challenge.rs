//! What a vault says to who asks without a token: where tokens for it come from, and for what.
//!
//! The resource has to be in the vault's own domain: else whoever answers at a wrong address could
//! have us ask for a token for something else, and hand it over.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use leasehold_core::{Error, Kind};
use url::Url;

use crate::address::{Address, is_below};
use crate::error::{Site, date};
use crate::wire::{Seen, Wire};

/// The oldest version of the API that all clouds have: nothing of it is used but its refusal.
const QUESTION: &str = "secrets?api-version=7.4";

/// A vault's challenge, as far as it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// What a token is to be for: `https://vault.azure.net`.
    pub(crate) resource: String,
    /// The tenant that the vault belongs to.
    pub(crate) tenant: Option<String>,
    /// The vault's clock.
    pub(crate) date: Option<SystemTime>,
}

impl Challenge {
    /// Asks the vault. `resource` is what its answer has to name, where that is configured.
    pub(crate) async fn ask(
        wire: &Arc<Wire>,
        address: &Address,
        resource: Option<&str>,
        site: &Site<'_>,
    ) -> Result<Self, Error> {
        let uri = format!("{}{QUESTION}", address.as_str());
        let request = http::Request::get(uri)
            .body(Bytes::new())
            .map_err(|_| site.error(Kind::Internal, "the vault's address makes no request"))?;
        match wire.send(site.operation, request, Some(StatusCode::UNAUTHORIZED)).await {
            Seen::Nothing(trouble) => Err(site.unanswered(&trouble, "the vault", address.shown())),
            Seen::Answer(answer) if answer.status == StatusCode::UNAUTHORIZED => {
                let challenges = answer.headers.get_all(WWW_AUTHENTICATE).iter();
                let named = challenges
                    .filter_map(|value| value.to_str().ok())
                    .find_map(Named::parse)
                    .ok_or_else(|| site.not_the_vault(answer.status, address.shown()))?;
                named.believed(address, resource, date(&answer.headers), site)
            }
            Seen::Answer(answer) if answer.status.is_success() => {
                Err(site.not_the_vault(answer.status, address.shown()))
            }
            Seen::Answer(answer) => Err(site.refused(&answer, address)),
        }
    }

    /// What a token is asked for, in the words of the v2 endpoint.
    pub(crate) fn scope(&self) -> String {
        format!("{}/.default", self.resource)
    }
}

/// What the header names.
struct Named {
    resource: String,
    tenant: Option<String>,
}

impl Named {
    /// `Bearer authorization="https://login…/TENANT", resource="https://vault.azure.net"`; some vaults
    /// say `authorization_uri`, or `scope` instead of `resource`.
    fn parse(header: &str) -> Option<Self> {
        let (scheme, parameters) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut resource, mut tenant) = (None, None);
        for parameter in parameters.split(',') {
            let Some((name, value)) = parameter.trim().split_once('=') else { continue };
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "resource" => resource = Some(value),
                "scope" => resource = resource.or(Some(value.strip_suffix("/.default").unwrap_or(value))),
                "authorization" | "authorization_uri" => {
                    tenant = Url::parse(value)
                        .ok()
                        .and_then(|url| Some(url.path_segments()?.next()?.to_owned()))
                        .filter(|tenant| is_tenant(tenant));
                }
                _ => {}
            }
        }
        Some(Self { resource: resource?.trim_end_matches('/').to_owned(), tenant })
    }

    fn believed(
        self,
        address: &Address,
        configured: Option<&str>,
        date: Option<SystemTime>,
        site: &Site<'_>,
    ) -> Result<Challenge, Error> {
        let Self { resource, tenant } = self;
        let fits = match configured {
            Some(configured) => configured == resource,
            None => Url::parse(&resource)
                .ok()
                .filter(|url| url.scheme() == "https" && url.path() == "/" && url.query().is_none())
                .is_some_and(|url| url.host_str().is_some_and(|domain| is_below(address.host(), domain))),
        };
        match (fits, configured) {
            (true, _) => Ok(Challenge { resource, tenant, date }),
            (false, None) => Err(site.error(
                Kind::Invalid,
                format!(
                    "what answers at {} wants a token for another domain than its own, and gets none: check \
                     address, or set resource if your cloud names its vaults otherwise",
                    address.shown()
                ),
            )),
            (false, Some(configured)) => Err(site.error(
                Kind::Invalid,
                format!(
                    "what answers at {} wants a token for something else than {configured}: check address and \
                     resource",
                    address.shown()
                ),
            )),
        }
    }
}

/// A tenant's id or domain.
pub(crate) fn is_tenant(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use leasehold_core::Operation;

    use super::*;

    fn believed(header: &str, address: &str, configured: Option<&str>) -> Result<Challenge, Error> {
        let site = Site { provider: "azure", operation: Operation::Login, on: "" };
        let address = Address::parse(address).unwrap();
        Named::parse(header).expect("it names a resource").believed(&address, configured, None, &site)
    }

    #[test]
    fn a_challenge_names_tenant_and_resource_in_each_of_its_forms() {
        for header in [
            r#"Bearer authorization="https://login.microsoftonline.com/t-1", resource="https://vault.azure.net""#,
            r#"bearer authorization_uri="https://login.windows.net/t-1", resource="https://vault.azure.net/""#,
            r#"Bearer authorization="https://login.microsoftonline.com/t-1",scope="https://vault.azure.net/.default""#,
        ] {
            let challenge = believed(header, "https://team.vault.azure.net", None).unwrap();
            assert_eq!(challenge.scope(), "https://vault.azure.net/.default", "{header}");
            assert_eq!(challenge.tenant.as_deref(), Some("t-1"), "{header}");
        }
        for header in ["", "Bearer", "Basic realm=\"x\"", "Bearer realm=\"x\""] {
            assert!(Named::parse(header).is_none(), "{header}");
        }
    }

    #[test]
    fn a_resource_of_another_domain_is_refused() {
        let named = |resource: &str| {
            format!(r#"Bearer authorization="https://login.microsoftonline.com/t", resource="{resource}""#)
        };
        for resource in [
            "https://vault.azure.cn",
            "https://management.azure.com",
            "https://azure.net.evil",
            "https://team.vault.azure.net",
            "http://vault.azure.net",
            "https://vault.azure.net/path",
            "nonsense",
        ] {
            let error = believed(&named(resource), "https://team.vault.azure.net", None).unwrap_err();
            assert_eq!(error.kind, Kind::Invalid, "{resource}");
            assert!(error.detail.contains("resource"), "{error}");
        }
        let own = believed(&named("https://vault.local"), "https://10.0.0.7", Some("https://vault.local"));
        assert_eq!(own.unwrap().resource, "https://vault.local");
        let other =
            believed(&named("https://vault.azure.net"), "https://10.0.0.7", Some("https://vault.local"));
        assert_eq!(other.unwrap_err().kind, Kind::Invalid);
    }
}
