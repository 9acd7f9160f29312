//! The one HTTP server behind the telemetry port and the unix sockets: small, and bounded in
//! everything that a caller decides.
//!
//! One request a connection, so that nothing idles. A caller that is slow, large or numerous
//! costs a bounded amount of memory and time, and no one else's answer: past the limit on
//! connections the next wait in the kernel's queue until one ends.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// What one server grants its callers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Open at the same time.
    pub(crate) connections: usize,
    /// Bytes of a body.
    pub(crate) body: usize,
    /// From the first byte of a connection to the last of its request.
    pub(crate) receive: Duration,
    /// From there to the last byte of the answer.
    pub(crate) answer: Duration,
}

/// Bytes of a request's head: the least that hyper takes.
const HEAD: usize = 8 * 1024;
/// Headers of a request.
const HEADERS: usize = 64;

/// Callers that are not admitted, open at the same time, beside [`Bounds::connections`]: they are told why.
/// Further ones are hung up on.
pub(crate) const STRANGERS: usize = 4;

/// Between two tries of accepting, after one failed.
const PAUSE: Duration = Duration::from_millis(200);

/// What was asked, whole.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) accept: Option<String>,
    pub(crate) body: Bytes,
    /// The caller's uid, on a unix socket, as the kernel says.
    pub(crate) uid: Option<u32>,
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) allow: Option<&'static str>,
    pub(crate) body: String,
}

impl Answer {
    /// A line of text.
    pub(crate) fn text(status: StatusCode, line: &str) -> Self {
        let content_type = "text/plain; charset=utf-8";
        Self { status, content_type, allow: None, body: format!("{line}\n") }
    }
}

/// What a server does with a request.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers within [`Bounds::answer`], or the connection is closed.
    fn answer(&self, request: Request) -> impl Future<Output = Answer> + Send;

    /// Whether a caller of this uid may have one of the connections. Others are heard all the same, as far as
    /// there is room for strangers.
    fn admits(&self, uid: Option<u32>) -> bool {
        let _ = uid;
        true
    }

    /// What is answered to a request that exceeds a bound.
    fn refuse(&self, status: StatusCode, words: &str) -> Answer {
        Answer::text(status, words)
    }
}

/// Where it listens.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Caller {
    Tcp(TcpStream),
    Unix(UnixStream, u32),
}

impl Listener {
    async fn accept(&self) -> io::Result<Caller> {
        match self {
            Self::Tcp(listener) => Ok(Caller::Tcp(listener.accept().await?.0)),
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                Ok(Caller::Unix(stream, uid))
            }
        }
    }
}

/// Serves until cancelled. Connections that are open then are closed.
pub(crate) async fn serve(
    listener: &Listener,
    handler: impl Handler,
    bounds: Bounds,
    clock: Clock,
    cancel: CancellationToken,
) {
    let connections = Arc::new(Connections { handler, bounds, clock });
    let (mut open, mut strangers) = (JoinSet::new(), JoinSet::new());
    loop {
        let full = open.len() >= bounds.connections;
        tokio::select! {
            () = cancel.cancelled() => return,
            Some(_) = open.join_next(), if !open.is_empty() => {}
            Some(_) = strangers.join_next(), if !strangers.is_empty() => {}
            accepted = listener.accept(), if !full => match accepted {
                Ok(Caller::Tcp(stream)) => {
                    open.spawn(connections.clone().connection(stream, None));
                }
                Ok(Caller::Unix(stream, uid)) => {
                    let room = match connections.handler.admits(Some(uid)) {
                        true => &mut open,
                        false if strangers.len() < STRANGERS => &mut strangers,
                        false => continue,
                    };
                    room.spawn(connections.clone().connection(stream, Some(uid)));
                }
                // Descriptors are used up, or the caller was gone already: no reason to spin.
                Err(_) => tokio::select! {
                    () = cancel.cancelled() => return,
                    () = connections.clock.sleep(PAUSE) => {}
                },
            },
        }
    }
}

struct Connections<H> {
    handler: H,
    bounds: Bounds,
    clock: Clock,
}

impl<H: Handler> Connections<H> {
    async fn connection<S>(self: Arc<Self>, stream: S, uid: Option<u32>)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let received = Notify::new();
        let service = service_fn(async |request| {
            let request = self.whole(request, uid).await;
            received.notify_one();
            let answer = match request {
                Ok(request) => self.handler.answer(request).await,
                Err(refusal) => refusal,
            };
            Ok::<_, Infallible>(into_response(answer))
        });
        let mut connection = pin!(
            http1::Builder::new()
                .keep_alive(false)
                .half_close(true)
                .max_buf_size(HEAD)
                .max_headers(HEADERS)
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(stream), service)
        );
        let receiving = async {
            tokio::select! {
                _ = connection.as_mut() => None,
                () = received.notified() => Some(()),
            }
        };
        if let Some(Some(())) = self.clock.within(self.bounds.receive, receiving).await {
            let _ = self.clock.within(self.bounds.answer, connection).await;
        }
    }

    async fn whole(&self, request: hyper::Request<Incoming>, uid: Option<u32>) -> Result<Request, Answer> {
        let (head, body) = request.into_parts();
        let body = match Limited::new(body, self.bounds.body).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                let text = format!("the body is larger than {} bytes", self.bounds.body);
                return Err(self.handler.refuse(StatusCode::PAYLOAD_TOO_LARGE, &text));
            }
            Err(_) => {
                let words = "the body could not be read";
                return Err(self.handler.refuse(StatusCode::BAD_REQUEST, words));
            }
        };
        let accept = head.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        Ok(Request {
            method: head.method,
            path: head.uri.path().to_owned(),
            accept: accept.map(str::to_owned),
            body,
            uid,
        })
    }
}

fn into_response(answer: Answer) -> hyper::Response<Full<Bytes>> {
    let mut response = hyper::Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(allow) = answer.allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    response
}
