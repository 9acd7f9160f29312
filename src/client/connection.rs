//! One request over a unix socket or a port, and its answer.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::ClientError;
use crate::admin::ACK_SOCKET;
use crate::events::words::one_line;

/// Bytes of an answer: some ten thousand secrets.
const ANSWER: usize = 16 * 1024 * 1024;

/// Where a request goes.
#[derive(Clone, Debug)]
pub(super) enum Target {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    body: Bytes,
}

impl Reply {
    /// The answer as data.
    pub(super) fn json<T: DeserializeOwned>(&self, target: &Target) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|_| ClientError::NoAnswer {
            target: target.to_string(),
            why: "what it answers makes no sense; is this binary of another version?".to_owned(),
        })
    }

    /// What it says of why it was not done: ours is JSON or a line of text.
    pub(super) fn why(&self) -> String {
        const LINE: usize = 2_000;
        let json: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let words = json.as_ref().and_then(|json| json.get("error").or(json.get("message"))?.as_str());
        let words = words.map_or_else(|| String::from_utf8_lossy(&self.body).into_owned(), str::to_owned);
        let line: String = one_line(words.trim()).chars().take(LINE).collect();
        if line.is_empty() { format!("status {}", self.status.as_u16()) } else { line }
    }
}

pub(super) async fn ask(
    target: &Target,
    method: Method,
    path: &str,
    body: Option<serde_json::Value>,
) -> Result<Reply, ClientError> {
    let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost")
        .header(header::CONNECTION, "close")
        .body(Full::new(body))
        .expect("a path of ours and fixed headers");
    let answered = match target {
        Target::Unix(path) => match UnixStream::connect(path).await {
            Ok(stream) => exchange(stream, request).await,
            Err(error) => return Err(unreachable(target, &error)),
        },
        Target::Tcp(address) => match TcpStream::connect(address).await {
            Ok(stream) => exchange(stream, request).await,
            Err(error) => return Err(unreachable(target, &error)),
        },
    };
    answered.map_err(|_| ClientError::NoAnswer {
        target: target.to_string(),
        why: "the connection broke".to_owned(),
    })
}

async fn exchange<S>(stream: S, request: http::Request<Full<Bytes>>) -> Result<Reply, ()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(drop)?;
    let mut connection = pin!(connection);
    let mut answer = pin!(async {
        let (head, body) = sender.send_request(request).await.map_err(drop)?.into_parts();
        let body = Limited::new(body, ANSWER).collect().await.map_err(drop)?.to_bytes();
        Ok(Reply { status: head.status, body })
    });
    tokio::select! {
        answer = answer.as_mut() => answer,
        _ = connection.as_mut() => answer.await,
    }
}

fn unreachable(target: &Target, error: &io::Error) -> ClientError {
    let target = target.to_string();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => ClientError::NotRunning { target },
        ErrorKind::PermissionDenied => {
            let uid = rustix::process::geteuid().as_raw();
            let remedy = match target.ends_with(ACK_SOCKET) {
                // Open to all; the directory is not.
                true => {
                    "whoever may read the files there may use it: run this as the application, or with its \
                         group"
                        .to_owned()
                }
                false => {
                    format!("run this as root or as the uid of leasehold, or list uid {uid} in admin.uids")
                }
            };
            ClientError::Forbidden { target, why: format!("permission denied for uid {uid}; {remedy}") }
        }
        kind => ClientError::NoAnswer { target, why: format!("cannot connect ({kind})") },
    }
}
