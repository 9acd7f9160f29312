//! Where a vault is, and which cloud it belongs to.

use leasehold_core::Problem;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

/// An Azure cloud: each has its own authority and its own domain of vaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "AzureCloud")]
pub enum Cloud {
    /// The public one: vault.azure.net.
    #[default]
    Public,
    /// For the government of the United States: vault.usgovcloudapi.net.
    UsGovernment,
    /// In China, run by 21Vianet: vault.azure.cn.
    China,
}

impl Cloud {
    const ALL: [Self; 3] = [Self::Public, Self::UsGovernment, Self::China];

    /// Where tokens are asked for.
    pub(crate) fn authority(self) -> &'static str {
        match self {
            Self::Public => "https://login.microsoftonline.com",
            Self::UsGovernment => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }

    /// The domain of its vaults, which is also the host of what a token for one is for.
    fn vaults(self) -> &'static str {
        match self {
            Self::Public => "vault.azure.net",
            Self::UsGovernment => "vault.usgovcloudapi.net",
            Self::China => "vault.azure.cn",
        }
    }

    /// The word of the configuration.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::UsGovernment => "us-government",
            Self::China => "china",
        }
    }
}

/// A vault's address, valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    url: Url,
    host: String,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        const SHAPE: &str = "is no address of a vault: write it like https://team.vault.azure.net";
        let problem = |message: &str| Problem::new("address", message);
        let url = Url::parse(text).map_err(|_| problem(SHAPE))?;
        if url.scheme() != "https" {
            return Err(problem("must begin with https://: a token is not sent in the clear"));
        }
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        match url.host_str() {
            Some(host) if bare && anonymous => Ok(Self { host: host.to_owned(), url: url.clone() }),
            _ => Err(problem(SHAPE)),
        }
    }

    /// As the client wants it.
    pub(crate) fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// For messages: without the slash at its end.
    pub(crate) fn shown(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// The host, without a port.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The vault's name, for the commands in remedies.
    pub(crate) fn vault(&self) -> &str {
        self.host.split('.').next().unwrap_or(&self.host)
    }

    /// The cloud that the domain says, where it is one of the known ones.
    pub(crate) fn cloud(&self) -> Option<Cloud> {
        Cloud::ALL.into_iter().find(|cloud| is_below(&self.host, cloud.vaults()))
    }
}

/// Whether a host belongs to a domain, and is not the domain itself.
pub(crate) fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_vault_and_its_cloud() {
        for (text, vault, cloud) in [
            ("https://team.vault.azure.net", "team", Some(Cloud::Public)),
            ("https://team.vault.azure.net/", "team", Some(Cloud::Public)),
            ("https://team.vault.usgovcloudapi.net", "team", Some(Cloud::UsGovernment)),
            ("https://team.vault.azure.cn", "team", Some(Cloud::China)),
            ("https://team.vault.local:8443", "team", None),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.vault(), address.cloud()), (vault, cloud), "{text}");
            assert!(!address.shown().ends_with('/'));
        }
    }

    #[test]
    fn what_is_no_address_of_a_vault_is_said_without_repeating_it() {
        for text in [
            "team",
            "http://canary.vault.azure.net",
            "https://canary.vault.azure.net/secrets/db",
            "https://u:canary@team.vault.azure.net",
            "https://team.vault.azure.net?canary",
        ] {
            let problem = Address::parse(text).unwrap_err();
            assert_eq!(problem.key, "address");
            assert!(!problem.message.contains("canary"), "{}", problem.message);
        }
    }

    #[test]
    fn a_domain_is_not_below_itself_nor_a_name_that_only_ends_like_it() {
        assert!(is_below("a.vault.azure.net", "vault.azure.net"));
        for host in ["vault.azure.net", ".vault.azure.net", "evilvault.azure.net", "a.vault.azure.net.evil"] {
            assert!(!is_below(host, "vault.azure.net"), "{host}");
        }
    }
}
