//! TLS of the connection to the store: system roots or a CA file, an optional client certificate,
//! and the moment at which those files changed.
//!
//! Files are looked at (stat) before each request and read only when they changed. A new set that
//! cannot be used (half written, a certificate without its key) leaves the one in use in place.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use leasehold_core::Problem;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::crypto;

/// TLS of the connections to the store. The files are read again when they change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Tls")]
pub struct RawTls {
    /// A PEM file of the CAs to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The name in the server's certificate, where it is not the address's.
    pub server_name: Option<String>,
    /// A PEM file of our certificate and its chain, where the server wants one.
    pub client_certificate: Option<PathBuf>,
    /// A PEM file of its private key.
    pub client_key: Option<PathBuf>,
}

/// What the configuration says of TLS, valid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The only CAs that are trusted. Without it, the system's.
    pub ca: Option<PathBuf>,
    /// The name that the server's certificate must carry, where it is not the address's.
    pub server_name: Option<ServerName<'static>>,
    /// Our certificate chain and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What the files looked like when they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(Vec<Option<[i128; 5]>>);

impl TlsFiles {
    /// Checks what was written, each problem with its key below the provider. Reads no file.
    ///
    /// # Errors
    /// All problems.
    pub fn parse(raw: RawTls) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut file = |key: &str, path: Option<PathBuf>| {
            if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
                problems.push(Problem::new(key, "is an empty path"));
            }
            path
        };
        let ca = file("tls.ca_file", raw.ca_file);
        let certificate = file("tls.client_certificate", raw.client_certificate);
        let key = file("tls.client_key", raw.client_key);
        let server_name = raw.server_name.map(ServerName::try_from);
        if matches!(server_name, Some(Err(_))) {
            problems.push(Problem::new("tls.server_name", "is neither a host name nor an IP address"));
        }
        match (&certificate, &key) {
            (Some(_), None) => problems
                .push(Problem::new("tls.client_key", "is missing: a client certificate goes with its key")),
            (None, Some(_)) => problems.push(Problem::new(
                "tls.client_certificate",
                "is missing: a client key goes with its certificate",
            )),
            _ => {}
        }
        if problems.is_empty() {
            Ok(Self { ca, server_name: server_name.and_then(Result::ok), identity: certificate.zip(key) })
        } else {
            Err(problems)
        }
    }

    /// Whether we show a certificate of our own.
    pub fn has_client_certificate(&self) -> bool {
        self.identity.is_some()
    }

    /// What the files look like now, links followed.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let (certificate, key) = self.identity.as_ref().map(|(c, k)| (c, k)).unzip();
        let files = [self.ca.as_ref(), certificate, key];
        Fingerprint(files.into_iter().flatten().map(|path| stat(path)).collect())
    }

    /// Reads the files. The error is in our own words, for a person.
    pub(crate) fn load(&self) -> Result<ClientConfig, String> {
        let builder = ClientConfig::builder_with_provider(crypto::provider())
            .with_safe_default_protocol_versions()
            .map_err(|_| "the TLS library offers no usable protocol version".to_owned())?
            .with_root_certificates(self.roots()?);
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some((certificate, key)) => {
                let chain = certificates("tls.client_certificate", certificate)?;
                let key_der = PrivateKeyDer::from_pem_slice(&read("tls.client_key", key)?)
                    .map_err(|_| format!("tls.client_key: no private key in {}", key.display()))?;
                builder.with_client_auth_cert(chain, key_der).map_err(|_| {
                    format!(
                        "tls.client_certificate and tls.client_key: {} and {} do not belong together",
                        certificate.display(),
                        key.display()
                    )
                })
            }
        }
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for certificate in certificates("tls.ca_file", path)? {
                    roots.add(certificate).map_err(|_| {
                        format!("tls.ca_file: a certificate in {} cannot be used as a CA", path.display())
                    })?;
                }
            }
            None => {
                let system = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(system.certs);
                if roots.is_empty() {
                    return Err("there are no CA certificates on this system: set tls.ca_file".to_owned());
                }
            }
        }
        Ok(roots)
    }
}

/// A configuration that trusts nobody: for addresses without TLS, which never use it.
pub(crate) fn none() -> Result<ClientConfig, String> {
    Ok(ClientConfig::builder_with_provider(crypto::provider())
        .with_safe_default_protocol_versions()
        .map_err(|_| "the TLS library offers no usable protocol version".to_owned())?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

fn stat(path: &Path) -> Option<[i128; 5]> {
    let meta = std::fs::metadata(path).ok()?;
    Some([
        meta.dev().into(),
        meta.ino().into(),
        meta.size().into(),
        meta.mtime().into(),
        meta.mtime_nsec().into(),
    ])
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(key, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("{key}: no certificate in PEM form in {}", path.display())),
    }
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{key}: {} {}", path.display(), why(&error)))
}

/// Why a file could not be read, in our own words: `does not exist`.
pub fn why(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
    match error.kind() {
        NotFound => "does not exist",
        PermissionDenied => "may not be read by us",
        IsADirectory => "is a directory",
        NotADirectory => "lies below something that is no directory",
        _ => "cannot be read",
    }
}
