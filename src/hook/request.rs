//! A request: sent, and the status of its answer judged.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use leasehold_http::{Client, Proxy, Transport, Trouble};
use tokio::net::UnixStream;

use super::{Done, Failure};
use crate::config::model::HttpHook;

/// Of an answer's body so much is read, and dropped: whoever sends it is not to see us hang up.
const ANSWER: usize = 64 * 1024;

pub(super) async fn send(hook: &HttpHook, timeout: Duration) -> Result<Done, Failure> {
    let status = match &hook.socket {
        Some(socket) => over_socket(socket, hook).await?,
        None => {
            let transport = Transport { tls: hook.tls.clone(), proxy: Proxy::default() };
            let client = Client::new("hook", transport);
            let answer = client.send_within(timeout, request(hook, hook.url.clone())).await;
            answer.map(|answer| answer.status()).map_err(unanswered)?
        }
    };
    let good = match hook.expect.is_empty() {
        true => status.is_success(),
        false => hook.expect.contains(&status.as_u16()),
    };
    match good {
        true => Ok(Done { status: Some(status.as_u16()), said: Vec::new() }),
        false => Err(Failure::Status { status: status.as_u16(), expected: hook.expect.clone() }),
    }
}

fn unanswered(trouble: Trouble) -> Failure {
    match trouble {
        Trouble::TimedOut(limit) => Failure::TimedOut(limit),
        other => Failure::Unreachable(other),
    }
}

fn request(hook: &HttpHook, uri: Uri) -> Request<Bytes> {
    let mut request = Request::new(Bytes::copy_from_slice(hook.body.expose()));
    *request.method_mut() = hook.method.clone();
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("leasehold/", env!("CARGO_PKG_VERSION"))),
    );
    for (name, value) in &hook.headers {
        // What is none was refused with the configuration.
        if let Ok(mut value) = HeaderValue::from_bytes(value.expose()) {
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
    }
    request
}

async fn over_socket(socket: &Path, hook: &HttpHook) -> Result<StatusCode, Failure> {
    let stream = UnixStream::connect(socket).await.map_err(|error| Failure::Socket(why(socket, &error)))?;
    let path = hook.url.path_and_query().map_or("/", |path| path.as_str());
    let uri = path.parse().unwrap_or_else(|_| Uri::from_static("/"));
    let mut request = request(hook, uri).map(Full::new);
    let host = hook.url.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    request.headers_mut().extend(host.map(|host| (header::HOST, host)));
    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    let broken = |_| Failure::Unreachable(Trouble::Broken);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut connection = pin!(connection);
    let mut answer = pin!(async {
        let answer: Response<_> = sender.send_request(request).await.map_err(broken)?;
        let (head, body) = answer.into_parts();
        // Its status has said it all.
        let _ = Limited::new(body, ANSWER).collect().await;
        Ok(head.status)
    });
    tokio::select! {
        answer = answer.as_mut() => answer,
        _ = connection.as_mut() => answer.await,
    }
}

fn why(socket: &Path, error: &io::Error) -> String {
    let socket = socket.display();
    match error.kind() {
        ErrorKind::NotFound => {
            format!("there is no socket {socket}: does the application make it, on a volume that both see?")
        }
        ErrorKind::ConnectionRefused => format!("connection refused: nobody listens at socket {socket}"),
        ErrorKind::PermissionDenied => {
            let uid = rustix::process::geteuid().as_raw();
            format!("uid {uid} may not write to socket {socket}: its mode or its directory's is in the way")
        }
        kind => format!("socket {socket} cannot be connected to ({kind})"),
    }
}
