//! The two unix sockets: one for operators, one for the application.
//!
//! The *admin socket* (`admin.listen`) answers to the uids in `admin.uids`, as the kernel names
//! them. The *acknowledgement socket* (`..ack.sock` in the output directory) answers to everyone
//! who can see the files. Both speak HTTP with JSON, one request a connection:
//!
//! | socket | request | body | answer |
//! | --- | --- | --- | --- |
//! | admin | `GET /v1/status` | | [`Report`] |
//! | admin | `GET /v1/live` | | `{"live": true}` |
//! | admin | `GET /v1/ready` | | 200 or 503, `{"ready": …, "message": …}` |
//! | admin | `POST /v1/drill` | `{"drill": "outage", "secret": "db", "seconds": 120}`; `{"drill": "stop"}` | `{"message": WORDS}` |
//! | admin | `POST /v1/refresh` | `{"secrets": ["db"]}`; none, or no names: all | `{"secrets": {"db": WORDS}}` |
//! | admin | `POST /v1/handover` | `{"cancel": false}` | `{"message": …}` |
//! | both | `POST /v1/ack` | `{"generation": 7, "name": "web"}`; none: the newest | `{"generation": 7}`, with `missing` where others have yet to |
//! | both | `POST /v1/stale` | `{"secret": "db"}` | `{"message": …}` |
//!
//! What goes wrong is answered with a status of 4xx or 5xx and `{"error": WORDS}`. No value is in
//! any of it. Nothing is decided here: what is asked becomes a [`Command`] to the engine.

mod ack;
mod control;
mod report;
mod socket;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::Successor;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::model;
use crate::drill::Drills;
use crate::events::{Event, Events};
use crate::http_server::{self, Answer, Bounds};
use crate::notify_app::Acknowledged;
use crate::status::Board;
pub use report::{
    DrillReport, ErrorReport, GenerationReport, Health, NextReport, ProviderReport, Report, RunningReport,
    SecretReport, State, VerifyReport,
};
use socket::Socket;

/// The name of the acknowledgement socket in the output directory. Whoever cleans that directory
/// leaves names that start so alone.
pub const ACK_SOCKET: &str = "..ack.sock";

/// What is said where the wait for an answer is over and the work is not.
pub(crate) const GOES_ON: &str = "it goes on, and `leasehold status` shows how far it is";

/// What somebody asks of the engine. The reply is words for people; an error says why not.
#[derive(Debug)]
pub enum Command {
    /// Rotate now.
    Refresh {
        /// These; all where empty. They exist, as of the last look at the board.
        secrets: Vec<String>,
        /// What came of it, by secret.
        reply: oneshot::Sender<Result<BTreeMap<String, String>, String>>,
    },
    /// The application uses a generation.
    Ack {
        /// Which; the newest where `None`.
        generation: Option<u64>,
        /// Who says so.
        name: Option<String>,
        /// The generation that is acknowledged now, and who has yet to.
        reply: oneshot::Sender<Result<Acknowledged, String>>,
    },
    /// Note who comes after this process.
    Handover {
        /// Who.
        successor: Successor,
        /// What that means.
        reply: oneshot::Sender<Result<String, String>>,
    },
    /// The application was refused with a secret.
    Stale {
        /// Which. It exists, as of the last look at the board.
        secret: String,
        /// What is done about it.
        reply: oneshot::Sender<Result<String, String>>,
    },
}

/// What the sockets and the telemetry port need of the process that they are a door to.
#[derive(Clone, Debug)]
pub struct House {
    /// What is held.
    pub board: Board,
    /// The clock.
    pub clock: Clock,
    /// Where warnings go.
    pub events: Events,
    /// Where commands go.
    pub commands: mpsc::Sender<Command>,
    /// What plays failures, where the configuration lets it.
    pub drills: Option<Drills>,
}

/// Starts both sockets as tasks in `serving`, until cancelled. To be called once the output
/// directory is there.
pub fn start(config: &Config, house: &House, cancel: &CancellationToken, serving: &mut JoinSet<()>) {
    // Without files there is no directory: what the application has to say is said to the other one.
    let output = (!config.files.is_empty()).then_some(config.output.directory.as_path());
    let sockets = [
        Server::admin(&config.admin, house.clone()),
        output.and_then(|directory| Server::acknowledgements(directory, house.clone())),
    ];
    for server in sockets.into_iter().flatten() {
        serving.spawn(server.serve(cancel.clone()));
    }
}

/// One of the sockets, listening but not yet answering. Its file goes when it is dropped.
#[derive(Debug)]
pub struct Server {
    socket: Socket,
    surface: Surface,
    clock: Clock,
}

#[derive(Debug)]
enum Surface {
    Admin(control::Control),
    Ack(ack::Acknowledgements),
}

const ADMIN_BOUNDS: Bounds = Bounds {
    connections: 16,
    body: 64 * 1024,
    receive: Duration::from_secs(5),
    // Longer than `control::PATIENCE`.
    answer: Duration::from_secs(60),
};

const ACK_BOUNDS: Bounds = Bounds {
    connections: 16,
    body: 4 * 1024,
    receive: Duration::from_secs(2),
    // Longer than `ack::PATIENCE`.
    answer: Duration::from_secs(8),
};

impl Server {
    /// The socket for operators. One that cannot be had is a warning, not an end: `None`, as where
    /// the configuration turns it off. To be called inside the runtime.
    pub fn admin(config: &model::Admin, house: House) -> Option<Self> {
        let path = config.listen.as_deref()?;
        let audience = socket::Audience::of(&config.uids);
        let socket = match Socket::bind_in_own_directory(path, audience) {
            Ok(socket) => socket,
            Err(why) => {
                let text = format!(
                    "no admin socket at {}: {why}; going on without `status`, `refresh` and what else \
                     asks it",
                    path.display()
                );
                house.events.emit(&Event::Warning { text: &text });
                return None;
            }
        };
        let clock = house.clock.clone();
        let surface = Surface::Admin(control::Control::new(house, config.uids.clone()));
        Some(Self { socket, surface, clock })
    }

    /// The socket for the application, in the output directory, which exists. One that cannot be
    /// had is a warning: `None`. To be called inside the runtime.
    pub fn acknowledgements(output_directory: &Path, house: House) -> Option<Self> {
        let path = output_directory.join(ACK_SOCKET);
        let socket = match Socket::bind(&path, socket::Audience::Everyone) {
            Ok(socket) => socket,
            Err(why) => {
                let text = format!(
                    "no acknowledgement socket at {}: {why}; going on without `ack` and `stale`",
                    path.display()
                );
                house.events.emit(&Event::Warning { text: &text });
                return None;
            }
        };
        let clock = house.clock.clone();
        let surface = Surface::Ack(ack::Acknowledgements::new(house));
        Some(Self { socket, surface, clock })
    }

    /// Answers until cancelled, then removes the socket.
    pub async fn serve(self, cancel: CancellationToken) {
        let Self { socket, surface, clock } = self;
        let listener = socket.listener();
        match surface {
            Surface::Admin(control) => {
                http_server::serve(listener, control, ADMIN_BOUNDS, clock, cancel).await;
            }
            Surface::Ack(acknowledgements) => {
                http_server::serve(listener, acknowledgements, ACK_BOUNDS, clock, cancel).await;
            }
        }
    }
}

impl House {
    /// Hands a command over and waits for its reply, at most `patience`.
    async fn run<T>(
        &self,
        patience: Duration,
        command: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Command,
    ) -> Result<T, Answer> {
        let (reply, replied) = oneshot::channel();
        let asked = async {
            self.commands.send(command(reply)).await.ok()?;
            replied.await.ok()
        };
        match self.clock.within(patience, asked).await {
            Some(Some(Ok(answer))) => Ok(answer),
            Some(Some(Err(why))) => Err(error(StatusCode::CONFLICT, &why)),
            Some(None) => Err(error(StatusCode::SERVICE_UNAVAILABLE, "leasehold is ending")),
            None => Err(error(StatusCode::GATEWAY_TIMEOUT, GOES_ON)),
        }
    }

    /// An answer where one of these is no secret. Before there is anything on the board, the engine
    /// says so itself.
    fn known<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> Result<(), Answer> {
        let board = self.board.snapshot();
        if board.secrets.is_empty() {
            return Ok(());
        }
        let Some(unknown) = names.into_iter().find(|name| !board.secrets.contains_key(*name)) else {
            return Ok(());
        };
        let all: Vec<&str> = board.secrets.keys().map(String::as_str).collect();
        let words = format!("there is no secret {unknown:?}; there are: {}", all.join(", "));
        Err(error(StatusCode::NOT_FOUND, &words))
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let body = serde_json::to_string(body).expect("plain data with string keys");
    Answer { status, content_type: "application/json", allow: None, body: body + "\n" }
}

fn error(status: StatusCode, words: &str) -> Answer {
    json(status, &serde_json::json!({ "error": words }))
}

fn not_allowed(method: &'static str) -> Answer {
    let words = format!("only {method}");
    Answer { allow: Some(method), ..error(StatusCode::METHOD_NOT_ALLOWED, &words) }
}

/// A JSON body, the default where it is empty.
fn body<T: DeserializeOwned + Default>(bytes: &[u8], example: &str) -> Result<T, Answer> {
    let parsed = match bytes.trim_ascii().first() {
        None => return Ok(T::default()),
        // An array would do for serde, too.
        Some(b'{') => serde_json::from_slice(bytes).ok(),
        Some(_) => None,
    };
    parsed.ok_or_else(|| {
        error(StatusCode::BAD_REQUEST, &format!("the body is no JSON object of this form: {example}"))
    })
}

#[cfg(test)]
mod tests;
