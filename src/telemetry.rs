//! The port for probes and Prometheus: `/livez`, `/readyz`, `/metrics`, and nothing else.
//!
//! It only reads. `/livez` answers as long as the process turns over, whatever the stores do: a
//! restart heals no store. `/readyz` is true from the first whole generation on, and false again
//! only while a required secret has truly expired. What stands here is open to whoever reaches
//! the port: names of secrets and providers, no path, no lease, no value.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::House;
use crate::clock::Clock;
use crate::config::model;
use crate::events::metrics::Exposition;
use crate::events::{Event, Events};
use crate::http_server::{self, Answer, Bounds, Handler, Listener, Request};
use crate::status::{Board, Readiness};

const BOUNDS: Bounds =
    Bounds { connections: 32, body: 0, receive: Duration::from_secs(5), answer: Duration::from_secs(5) };

/// Starts the port as a task in `serving`, until cancelled.
pub fn start(
    config: &model::Telemetry,
    house: &House,
    cancel: &CancellationToken,
    serving: &mut JoinSet<()>,
) {
    let House { board, clock, events, .. } = house.clone();
    let server = config.listen.and_then(|address| Telemetry::bind(address, board, clock, events));
    if let Some(server) = server {
        serving.spawn(server.serve(cancel.clone()));
    }
}

/// The server, listening but not yet answering.
#[derive(Debug)]
pub struct Telemetry {
    listener: Listener,
    address: SocketAddr,
    handler: Endpoints,
}

impl Telemetry {
    /// Listens on `address`. A port that cannot be had is a warning, not an end: `None`. To be
    /// called inside the runtime.
    pub fn bind(address: SocketAddr, board: Board, clock: Clock, events: Events) -> Option<Self> {
        match listen(address) {
            Ok((listener, address)) => {
                let handler = Endpoints { board, clock, events };
                Some(Self { listener: Listener::Tcp(listener), address, handler })
            }
            Err(error) => {
                let text = format!(
                    "cannot listen on {address} ({}): going on without /livez, /readyz and /metrics; \
                     free the port, or set telemetry.listen to another",
                    error.kind()
                );
                events.emit(&Event::Warning { text: &text });
                None
            }
        }
    }

    /// Where it listens: the port that was given where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until cancelled.
    pub async fn serve(self, cancel: CancellationToken) {
        let clock = self.handler.clock.clone();
        http_server::serve(&self.listener, self.handler, BOUNDS, clock, cancel).await;
    }
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

#[derive(Debug)]
struct Endpoints {
    board: Board,
    clock: Clock,
    events: Events,
}

impl Handler for Endpoints {
    async fn answer(&self, request: Request) -> Answer {
        if !matches!(request.path.as_str(), "/livez" | "/readyz" | "/metrics") {
            return Answer::text(StatusCode::NOT_FOUND, "there are /livez, /readyz and /metrics");
        }
        if request.method != Method::GET && request.method != Method::HEAD {
            let refusal = Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
            return Answer { allow: Some("GET, HEAD"), ..refusal };
        }
        match request.path.as_str() {
            "/livez" => Answer::text(StatusCode::OK, "live"),
            "/readyz" => {
                let readiness = self.board.snapshot().readiness(self.clock.now());
                let status = match readiness {
                    Readiness::Ready => StatusCode::OK,
                    _ => StatusCode::SERVICE_UNAVAILABLE,
                };
                Answer::text(status, &readiness.words())
            }
            _ => {
                let exposition = Exposition::wanted(request.accept.as_deref());
                Answer {
                    status: StatusCode::OK,
                    content_type: exposition.content_type(),
                    allow: None,
                    body: self.events.metrics(exposition),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
