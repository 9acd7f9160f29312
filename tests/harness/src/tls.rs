//! A client that makes a handshake and looks at the certificate that it was served.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Trusts one authority, expects one name, resumes nothing.
#[derive(Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsClient {
    /// `ca` is PEM.
    #[track_caller]
    pub fn new(ca: &str, name: &str) -> Self {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(ca.as_bytes()).expect("the authority's certificate");
        roots.add(ca).expect("an authority's certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the library's own versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        Self { config: Arc::new(config), name }
    }

    /// Makes a whole handshake on a connection of its own: chain, name and the proof that the server has the
    /// key are checked. Returns the serial number of the certificate, as [`serial`].
    ///
    /// # Errors
    /// What went wrong.
    pub fn handshake(&self, address: SocketAddr) -> Result<String, String> {
        let failed = |error: io::Error| error.to_string();
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(failed)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
        let mut connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map_err(|error| error.to_string())?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).map_err(failed)?;
        }
        let served = connection.peer_certificates().and_then(|chain| chain.first());
        let serial =
            der_serial(served.ok_or("no certificate was served")?).ok_or("a certificate that is none")?;
        connection.send_close_notify();
        // The server may be quicker to close; the handshake was whole.
        let _ = connection.complete_io(&mut stream);
        Ok(serial)
    }
}

/// The serial number of the first certificate in a PEM text, as Vault writes it: `4f:0a:…`.
pub fn serial(pem: &str) -> Option<String> {
    der_serial(&CertificateDer::from_pem_slice(pem.as_bytes()).ok()?)
}

/// Certificate ::= SEQUENCE { SEQUENCE { `[0]` version, INTEGER serial, … (RFC 5280, 4.1).
fn der_serial(certificate: &[u8]) -> Option<String> {
    let (_, body) = element(certificate)?;
    let (_, body) = element(body)?;
    let version_end = body.len() - after(body)?.len();
    let rest = if body[0] == 0xa0 { &body[version_end..] } else { body };
    let (kind, number) = element(rest)?;
    // A leading zero says only that the number is not negative.
    let number = if number.first() == Some(&0) { &number[1..] } else { number };
    let bytes: Vec<String> = number.iter().map(|byte| format!("{byte:02x}")).collect();
    (kind == 2).then(|| bytes.join(":"))
}

/// The first element's kind and content.
fn element(der: &[u8]) -> Option<(u8, &[u8])> {
    let (&kind, rest) = der.split_first()?;
    let (&short, rest) = rest.split_first()?;
    let (length, rest) = match short {
        0..0x80 => (usize::from(short), rest),
        _ => {
            let (long, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            (long.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    Some((kind, rest.get(..length)?))
}

/// What comes after the first element.
fn after(der: &[u8]) -> Option<&[u8]> {
    let (_, content) = element(der)?;
    let end = content.as_ptr_range().end as usize - der.as_ptr() as usize;
    der.get(end..)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::vault;

    #[test]
    fn a_serial_number_is_read_as_vault_writes_it() {
        let mount = vault().pki_mount("serial");
        let issue = mount.role("any", json!({}));
        for _ in 0..4 {
            let made = vault().write(&issue, json!({ "common_name": "web.test" }));
            let pem = made["data"]["certificate"].as_str().unwrap();
            assert_eq!(serial(pem).as_deref(), made["data"]["serial_number"].as_str());
        }
    }
}
