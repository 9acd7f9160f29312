//! The other side of the sockets: what `status`, `refresh`, `probe`, `ack`, `stale` and
//! `drill` ask a running instance.
//!
//! No exit code is chosen here, and nothing is printed but by [`watch()`], which has the terminal to itself:
//! texts go to a writer that the caller gives, failures come back as a [`ClientError`], whose text is one
//! line that says what to do.

mod columns;
mod connection;
mod screen;
mod table;
mod view;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;

use crate::admin::{ACK_SOCKET, Report};
use crate::app::Successor;
use crate::clock::Clock;
use crate::config::model;
use crate::notify_app::Acknowledged;
use connection::{Reply, Target};
pub use screen::Screen;
pub use table::write_table;
pub use view::{Colours, Glyphs, View};
#[cfg(feature = "explain")]
pub(crate) use view::{Line, Style, wrapped, write as write_lines};
pub use watch::{Form, watch};

/// Where a running instance is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// `admin.listen`.
    pub admin: Option<PathBuf>,
    /// `telemetry.listen`.
    pub telemetry: Option<SocketAddr>,
    /// `..ack.sock` in `output.directory`.
    pub ack: Option<PathBuf>,
}

impl Endpoints {
    /// What a configuration says; `output_directory` only for `ack` and `stale`.
    pub fn of(admin: &model::Admin, telemetry: &model::Telemetry, output_directory: Option<&Path>) -> Self {
        Self {
            admin: admin.listen.clone(),
            telemetry: telemetry.listen,
            ack: output_directory.map(|directory| directory.join(ACK_SOCKET)),
        }
    }
}

impl Endpoints {
    /// The socket at this path, whichever of the two it is.
    pub fn at(socket: PathBuf) -> Self {
        Self { admin: Some(socket.clone()), telemetry: None, ack: Some(socket) }
    }
}

/// What `probe` asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Does it turn over?
    Live,
    /// May the application count on its files?
    Ready,
}

/// Asks a running instance.
#[derive(Clone, Debug)]
pub struct Client {
    endpoints: Endpoints,
    clock: Clock,
}

/// What came of asking, where it was not what was wanted. No value is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The configuration turns it off, or does not name it.
    Off {
        /// The key: `admin.listen`.
        key: &'static str,
    },
    /// Nothing listens there.
    NotRunning {
        /// Where it was asked: `unix:/run/leasehold/admin.sock`.
        target: String,
    },
    /// We may not ask there.
    Forbidden {
        /// Where it was asked.
        target: String,
        /// Why, in words.
        why: String,
    },
    /// It runs, and is not ready.
    NotReady {
        /// Why, in words.
        why: String,
    },
    /// It runs, and says no.
    Refused {
        /// Why, in words.
        why: String,
    },
    /// It runs, and has not done it: it is ending, or still at it.
    NotDone {
        /// Why, in words.
        why: String,
    },
    /// It took the question and gave no whole answer.
    NoAnswer {
        /// Where it was asked.
        target: String,
        /// What happened, in words.
        why: String,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off { key } => {
                write!(f, "nobody can be asked: the configuration turns off what listens (set `{key}`)")
            }
            Self::NotRunning { target } => write!(
                f,
                "nothing listens on {target}: is leasehold running in this container, with the same \
                 configuration file?"
            ),
            Self::Forbidden { target, why } => write!(f, "may not use {target}: {why}"),
            Self::NotReady { why } => f.write_str(why),
            Self::Refused { why } => write!(f, "refused: {why}"),
            Self::NotDone { why } => write!(f, "not done: {why}"),
            Self::NoAnswer { target, why } => {
                write!(f, "no answer from {target}: {why}; look at the log of leasehold there")
            }
        }
    }
}

impl std::error::Error for ClientError {}

/// For what the engine does not have to do.
const SHORT: Duration = Duration::from_secs(5);
/// For a refresh: as long as the server waits, and a little.
const LONG: Duration = Duration::from_secs(65);
/// Between two tries of a probe that waits: at first, since a hook asks a process that is just starting and
/// holds up the next container, and at most.
const FIRST_PROBE_PAUSE: Duration = Duration::from_millis(10);
const PROBE_PAUSE: Duration = Duration::from_millis(200);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Words {
    message: String,
    generation: u64,
    missing: Vec<String>,
    secrets: BTreeMap<String, String>,
}

impl Client {
    /// A client of the instance that listens there.
    pub fn new(endpoints: Endpoints, clock: Clock) -> Self {
        Self { endpoints, clock }
    }

    /// What is held.
    pub async fn status(&self) -> Result<Report, ClientError> {
        let target = self.admin()?;
        let reply = self.ask(&target, Method::GET, "/v1/status", None, SHORT).await?;
        reply.json(&target)
    }

    /// Rotates these now, all where there are none. Returns what came of it in words, by secret:
    /// [`is_done()`] tells them apart.
    pub async fn refresh(&self, secrets: &[String]) -> Result<BTreeMap<String, String>, ClientError> {
        let target = self.admin()?;
        let body = serde_json::json!({ "secrets": secrets });
        let reply = self.ask(&target, Method::POST, "/v1/refresh", Some(body), LONG).await?;
        Ok(reply.json::<Words>(&target)?.secrets)
    }

    /// Has the next SIGTERM leave everything to a successor, or takes that back. Returns what it
    /// means, in words.
    pub async fn hand_over(&self, successor: Successor) -> Result<String, ClientError> {
        let target = self.admin()?;
        let body = serde_json::json!({ "cancel": successor == Successor::Nobody });
        let reply = self.ask(&target, Method::POST, "/v1/handover", Some(body), SHORT).await?;
        Ok(reply.json::<Words>(&target)?.message)
    }

    /// Plays a failure for so many whole seconds, as usual where `None`, or ends the one that is played (`stop`).
    /// Returns what is done, in words.
    pub async fn drill(
        &self,
        drill: &str,
        secret: Option<&str>,
        lasts: Option<Duration>,
    ) -> Result<String, ClientError> {
        let target = self.admin()?;
        let seconds = lasts.map(|lasts| lasts.as_secs());
        let body = match secret {
            Some(secret) => serde_json::json!({ "drill": drill, "secret": secret, "seconds": seconds }),
            None => serde_json::json!({ "drill": drill }),
        };
        let reply = self.ask(&target, Method::POST, "/v1/drill", Some(body), LONG).await?;
        Ok(reply.json::<Words>(&target)?.message)
    }

    /// Says that the application uses a generation, the newest where `None`. Returns the one that
    /// is acknowledged now, and who has yet to answer.
    pub async fn ack(
        &self,
        generation: Option<u64>,
        name: Option<&str>,
    ) -> Result<Acknowledged, ClientError> {
        let body = serde_json::json!({ "generation": generation, "name": name });
        let (target, reply) = self.tell("/v1/ack", body).await?;
        let Words { generation, missing, .. } = reply.json(&target)?;
        Ok(Acknowledged { generation, missing })
    }

    /// Says that the application was refused with a secret. Returns what is done, in words.
    pub async fn stale(&self, secret: &str) -> Result<String, ClientError> {
        let (target, reply) = self.tell("/v1/stale", serde_json::json!({ "secret": secret })).await?;
        Ok(reply.json::<Words>(&target)?.message)
    }

    /// Asks the admin socket, and the telemetry port where that cannot be asked. With `wait`,
    /// again until the answer is yes or that time is over.
    pub async fn probe(&self, probe: Probe, wait: Option<Duration>) -> Result<(), ClientError> {
        let deadline = self.clock.now() + wait.unwrap_or_default();
        let mut pause = FIRST_PROBE_PAUSE;
        loop {
            let error = match self.probe_once(probe).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let left = deadline.since(self.clock.now());
            let passing = matches!(
                error,
                ClientError::NotRunning { .. } | ClientError::NotReady { .. } | ClientError::NoAnswer { .. }
            );
            if !passing || left.is_zero() {
                return Err(error);
            }
            self.clock.sleep(pause.min(left)).await;
            pause = (pause * 2).min(PROBE_PAUSE);
        }
    }

    async fn probe_once(&self, probe: Probe) -> Result<(), ClientError> {
        let path = match probe {
            Probe::Live => "/v1/live",
            Probe::Ready => "/v1/ready",
        };
        let asked = match self.admin() {
            Ok(target) => self.ask(&target, Method::GET, path, None, SHORT).await.map(drop),
            Err(off) => Err(off),
        };
        let unreachable = match asked {
            Err(
                error @ (ClientError::Off { .. }
                | ClientError::NotRunning { .. }
                | ClientError::Forbidden { .. }),
            ) => error,
            other => return other,
        };
        let Some(address) = self.endpoints.telemetry else {
            return Err(match unreachable {
                ClientError::Off { .. } => ClientError::Off { key: "admin.listen` or `telemetry.listen" },
                other => other,
            });
        };
        let path = match probe {
            Probe::Live => "/livez",
            Probe::Ready => "/readyz",
        };
        let target = Target::Tcp(here(address));
        match self.ask(&target, Method::GET, path, None, SHORT).await {
            Err(ClientError::NotRunning { target }) => Err(match unreachable {
                ClientError::NotRunning { target: socket } => {
                    ClientError::NotRunning { target: format!("{socket}, nor on {target}") }
                }
                ClientError::Off { .. } => ClientError::NotRunning { target },
                other => other,
            }),
            other => other.map(drop),
        }
    }

    /// Says what an application has to say: at its own socket, and at the admin socket where there is none.
    async fn tell(&self, path: &str, body: serde_json::Value) -> Result<(Target, Reply), ClientError> {
        let own = self.ack_socket()?;
        let none = match self.ask(&own, Method::POST, path, Some(body.clone()), 2 * SHORT).await {
            Err(ClientError::NotRunning { target }) => target,
            other => return Ok((own, other?)),
        };
        let target = match self.admin() {
            Ok(admin) if admin.to_string() != none => admin,
            _ => return Err(ClientError::NotRunning { target: none }),
        };
        match self.ask(&target, Method::POST, path, Some(body), 2 * SHORT).await {
            Err(ClientError::NotRunning { target }) => Err(ClientError::NotRunning {
                target: format!(
                    "{none}, nor on {target} (with `files: {{}}` there is only the latter; the one-line form of exec \
                     opens none)"
                ),
            }),
            other => Ok((target, other?)),
        }
    }

    async fn ask(
        &self,
        target: &Target,
        method: Method,
        path: &str,
        body: Option<serde_json::Value>,
        patience: Duration,
    ) -> Result<Reply, ClientError> {
        let asked = connection::ask(target, method, path, body);
        let Some(reply) = self.clock.within(patience, asked).await else {
            let why = format!("it is silent for {} s", patience.as_secs());
            return Err(ClientError::NoAnswer { target: target.to_string(), why });
        };
        let reply = reply?;
        match reply.status {
            status if status.is_success() => Ok(reply),
            StatusCode::FORBIDDEN => {
                let why = format!("{}; run this as root or as the uid of leasehold", reply.why());
                Err(ClientError::Forbidden { target: target.to_string(), why })
            }
            StatusCode::SERVICE_UNAVAILABLE if path.contains("ready") => {
                Err(ClientError::NotReady { why: reply.why() })
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Err(ClientError::NotDone { why: reply.why() })
            }
            _ => Err(ClientError::Refused { why: reply.why() }),
        }
    }

    fn admin(&self) -> Result<Target, ClientError> {
        let path = self.endpoints.admin.clone();
        path.map(Target::Unix).ok_or(ClientError::Off { key: "admin.listen" })
    }

    fn ack_socket(&self) -> Result<Target, ClientError> {
        let path = self.endpoints.ack.clone();
        path.map(Target::Unix).ok_or(ClientError::Off { key: "output.directory" })
    }
}

/// Whether these words about a rotation say that it is done.
pub fn is_done(words: &str) -> bool {
    !words.starts_with("failed") && !words.starts_with("not done")
}

/// Writes a report as one JSON object, for `status --json`.
pub fn write_json(report: &Report, out: &mut impl io::Write) -> io::Result<()> {
    let text = serde_json::to_string_pretty(report).expect("plain data with string keys");
    writeln!(out, "{text}")
}

/// The same in one line, for `status --watch --json`.
fn write_json_line(report: &Report, out: &mut impl io::Write) -> io::Result<()> {
    let text = serde_json::to_string(report).expect("plain data with string keys");
    writeln!(out, "{text}")
}

/// What listens on all addresses is asked on the loopback one.
fn here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests;
