//! As little of a client as it takes: one request per connection, TLS against one certificate authority.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use leasehold_harness::http::{self, Request, Response};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

/// An answer taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) bytes: Vec<u8>,
    /// Null where the body is no JSON.
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        http::header(&self.headers, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Asks one thing, trusting one certificate authority alone.
pub(crate) struct Client {
    tls: Arc<ClientConfig>,
    /// `HOST:PORT` of a proxy.
    proxy: Option<String>,
}

impl Client {
    pub(crate) fn new(ca: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Self { tls: Arc::new(tls.with_root_certificates(roots).with_no_client_auth()), proxy: None }
    }

    /// From now on through this proxy.
    pub(crate) fn through(mut self, proxy: &str) -> Self {
        self.proxy = proxy.strip_prefix("http://").map(Into::into);
        self
    }

    pub(crate) fn get(&self, url: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", url, headers, b"").unwrap()
    }

    pub(crate) fn bearer(&self, url: &str, token: &str) -> Answer {
        self.get(url, &[("Authorization", &format!("Bearer {token}"))])
    }

    pub(crate) fn post_json(&self, url: &str, token: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        self.send("POST", url, &headers, body.to_string().as_bytes()).unwrap()
    }

    pub(crate) fn post_form(&self, url: &str, fields: &[(&str, &str)]) -> Answer {
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let body: Vec<_> =
            fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        self.send("POST", url, &headers, body.join("&").as_bytes()).unwrap()
    }

    pub(crate) fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, path) =
            rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, path.into()));
        let mut request = Request {
            method: method.into(),
            path: format!("/{path}"),
            headers: vec![("Host".into(), host.into()), ("Connection".into(), "close".into())],
            body: body.to_vec(),
        };
        for (name, value) in headers {
            request.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            request.headers.push(((*name).into(), (*value).into()));
        }
        if scheme == "http" {
            if self.proxy.is_some() {
                request.path = url.into();
            }
            let server = self.proxy.as_deref().unwrap_or(host);
            return exchange(TcpStream::connect(server)?, &request);
        }
        let stream = self.connect(host)?;
        let name = host.split(':').next().unwrap().to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let connection = ClientConnection::new(self.tls.clone(), name).map_err(io::Error::other)?;
        exchange(StreamOwned::new(connection, stream), &request)
    }
}

impl Client {
    fn connect(&self, host: &str) -> io::Result<TcpStream> {
        let Some(proxy) = &self.proxy else { return TcpStream::connect(host) };
        let mut stream = TcpStream::connect(proxy)?;
        write!(stream, "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n")?;
        let answer = http::read_response(&mut BufReader::new(Head(&stream)), "HEAD")?;
        match answer.status {
            200 => Ok(stream),
            status => Err(io::Error::other(format!("the proxy answers {status}"))),
        }
    }
}

/// Reads one byte at a time.
struct Head<'a>(&'a TcpStream);

impl Read for Head<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.read(&mut to[..1])
    }
}

fn exchange(stream: impl Read + Write, request: &Request) -> io::Result<Answer> {
    let mut stream = BufReader::new(stream);
    http::write_request(stream.get_mut(), request)?;
    let Response { status, headers, body } = http::read_response(&mut stream, &request.method)?;
    let json = serde_json::from_slice(&body).unwrap_or_default();
    Ok(Answer { status, headers, bytes: body, json })
}
