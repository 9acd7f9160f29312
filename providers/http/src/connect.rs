//! From an address to a connection: name, TCP, proxy, TLS, under one time limit, and every failure
//! told apart by its type, never by its text.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::limit::within;
use crate::proxy::Proxy;
use crate::tls::TlsFiles;

/// Name, TCP, proxy and TLS together may take this long.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(5);

type BoxError = Box<dyn StdError + Send + Sync>;
type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Why there was no answer. Its text is ours and holds nothing of the peer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The name is not known, or the resolver does not answer.
    Name,
    /// Nobody listens there.
    Refused,
    /// No route, or the connection broke while it was made.
    Connect,
    /// Not connected within [`CONNECT_LIMIT`].
    ConnectTimedOut,
    /// TLS failed, and how.
    Tls(&'static str),
    /// The proxy, not the store.
    Proxy(&'static str),
    /// Connected, but no whole answer in time.
    TimedOut(Duration),
    /// The connection broke, or what came is no HTTP.
    Broken,
    /// The answer is larger than we take.
    TooLarge,
    /// Sent elsewhere, where the configuration does not let us follow.
    Redirected {
        /// Scheme, host and port that we were sent to; empty if the answer did not say.
        to: String,
    },
    /// Our own TLS files cannot be used.
    Files(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("its host name cannot be resolved"),
            Self::Refused => f.write_str("connection refused: nothing listens at that address"),
            Self::Connect => f.write_str("it cannot be reached over the network"),
            Self::ConnectTimedOut => {
                write!(f, "no connection within {} s", CONNECT_LIMIT.as_secs())
            }
            Self::Tls(why) => write!(f, "tls failed: {why}"),
            Self::Proxy(why) => write!(f, "the proxy {why}"),
            Self::TimedOut(limit) => write!(f, "no answer within {} s", limit.as_secs()),
            Self::Broken => f.write_str("the connection broke before a whole answer had come"),
            Self::TooLarge => f.write_str("the answer is larger than 16 MiB"),
            Self::Redirected { to } if to.is_empty() => {
                f.write_str("it sent us to another address without saying which")
            }
            Self::Redirected { to } => write!(
                f,
                "it sent us on to {to}: set address to that one, or list its host under redirect_to"
            ),
            Self::Files(why) => f.write_str(why),
        }
    }
}

impl StdError for Trouble {}

/// Connects as the configuration says; hyper asks it for each new connection.
#[derive(Clone)]
pub(crate) struct Connector(HttpsConnector<Dial>);

impl Connector {
    pub(crate) fn new(tls: rustls::ClientConfig, files: &TlsFiles, proxy: Arc<Proxy>) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_LIMIT));
        let dial = Dial { tcp, proxy };
        Self(match files.server_name.clone() {
            None => HttpsConnector::from((dial, tls)),
            Some(name) => HttpsConnector::new(dial, tls, false, Arc::new(FixedServerNameResolver::new(name))),
        })
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Dialled>;
    type Error = Trouble;
    type Future = BoxFuture<Self::Response, Trouble>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let connecting = self.0.call(destination);
        Box::pin(async move {
            match within(CONNECT_LIMIT, connecting).await {
                Some(Ok(stream)) => Ok(stream),
                Some(Err(error)) => Err(classify(error.as_ref()).unwrap_or(Trouble::Connect)),
                None => Err(Trouble::ConnectTimedOut),
            }
        })
    }
}

/// TCP, straight or through the proxy.
#[derive(Clone)]
pub(crate) struct Dial {
    tcp: HttpConnector<Resolver>,
    proxy: Arc<Proxy>,
}

impl Service<Uri> for Dial {
    type Response = Dialled;
    type Error = BoxError;
    type Future = BoxFuture<Dialled, BoxError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let Some(via) = self.proxy.intercept(&destination) else {
            let connecting = self.tcp.call(destination);
            return Box::pin(async move { Ok(Dialled { stream: connecting.await?, proxied: false }) });
        };
        if destination.scheme_str() == Some("https") {
            let mut tunnel = Tunnel::new(via.uri().clone(), self.tcp.clone());
            if let Some(credentials) = via.basic_auth() {
                tunnel = tunnel.with_auth(credentials.clone());
            }
            let connecting = tunnel.call(destination);
            Box::pin(async move {
                match connecting.await {
                    Ok(stream) => Ok(Dialled { stream, proxied: false }),
                    Err(error) => Err(through_proxy(&error).into()),
                }
            })
        } else {
            let connecting = self.tcp.call(via.uri().clone());
            Box::pin(async move {
                match connecting.await {
                    Ok(stream) => Ok(Dialled { stream, proxied: true }),
                    Err(error) => Err(through_proxy(&error).into()),
                }
            })
        }
    }
}

/// A TCP connection that knows whether an HTTP proxy reads what is sent (then requests name the
/// whole URL).
pub(crate) struct Dialled {
    stream: TokioIo<TcpStream>,
    proxied: bool,
}

impl Connection for Dialled {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.proxied)
    }
}

impl Read for Dialled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl Write for Dialled {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }
}

/// The system's resolver, with an error that can be told from others.
#[derive(Clone)]
pub(crate) struct Resolver(GaiResolver);

impl Service<Name> for Resolver {
    type Response = <GaiResolver as Service<Name>>::Response;
    type Error = Trouble;
    type Future = BoxFuture<Self::Response, Trouble>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.0.call(name);
        Box::pin(async move { resolving.await.map_err(|_| Trouble::Name) })
    }
}

fn through_proxy(error: &(dyn StdError + 'static)) -> Trouble {
    Trouble::Proxy(match classify(error) {
        Some(Trouble::Name) => "has a host name that cannot be resolved",
        Some(Trouble::Refused) => "refused the connection",
        Some(Trouble::ConnectTimedOut) => "did not answer in time",
        Some(_) => "cannot be reached",
        None => {
            "would not open a tunnel to the store: it may not allow that address, or want a user and a \
             password in its URL"
        }
    })
}

/// Finds what we know somewhere below a foreign error.
pub fn classify(error: &(dyn StdError + 'static)) -> Option<Trouble> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(trouble) = error.downcast_ref::<Trouble>() {
            return Some(trouble.clone());
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(Trouble::Tls(tls_failure(tls)));
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            // An `io::Error` hides the error it was made of from `source`.
            if let Some(inner) = io.get_ref() {
                let inner: &(dyn StdError + 'static) = inner;
                if let Some(found) = classify(inner) {
                    return Some(found);
                }
            }
            match io.kind() {
                io::ErrorKind::ConnectionRefused => return Some(Trouble::Refused),
                io::ErrorKind::TimedOut => return Some(Trouble::ConnectTimedOut),
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    return Some(Trouble::Connect);
                }
                _ => {}
            }
        }
        next = error.source();
    }
    None
}

fn tls_failure(error: &rustls::Error) -> &'static str {
    use rustls::{CertificateError as C, Error as E};
    match error {
        E::InvalidCertificate(why) => match why {
            C::UnknownIssuer => {
                "the server's certificate was signed by a CA that is not trusted: set tls.ca_file"
            }
            C::Expired | C::ExpiredContext { .. } => "the server's certificate has expired",
            C::NotValidYet | C::NotValidYetContext { .. } => "the server's certificate is not valid yet",
            C::NotValidForName | C::NotValidForNameContext { .. } => {
                "the server's certificate carries another name: set tls.server_name, or address"
            }
            C::Revoked => "the server's certificate is revoked",
            _ => "the server's certificate cannot be accepted",
        },
        E::AlertReceived(_) => {
            "the server ended the handshake: it may want a client certificate \
             (tls.client_certificate), or does not accept ours"
        }
        E::InvalidMessage(_) => "the other side does not speak tls: is the address http instead of https?",
        E::NoCertificatesPresented => "the server presented no certificate",
        E::PeerIncompatible(_) => "no common protocol version or cipher",
        _ => "the handshake failed",
    }
}
