use leasehold_core::{Environment, Problem};

use crate::proxy::Proxy;
use crate::tls::{RawTls, TlsFiles};

/// `tls` and `proxy` of a provider, valid. Its `Debug` shows no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// TLS of the connections.
    pub tls: TlsFiles,
    /// What they go through.
    pub proxy: Proxy,
}

impl Transport {
    /// Checks both. Each problem has its key below the provider. Reads no file.
    ///
    /// # Errors
    /// All problems.
    pub fn parse(tls: RawTls, proxy: Option<&str>, environment: &Environment) -> Result<Self, Vec<Problem>> {
        match (TlsFiles::parse(tls), Proxy::parse(proxy, environment)) {
            (Ok(tls), Ok(proxy)) => Ok(Self { tls, proxy }),
            (tls, proxy) => {
                let mut problems = tls.err().unwrap_or_default();
                problems.extend(proxy.err());
                Err(problems)
            }
        }
    }
}
