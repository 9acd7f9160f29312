//! What the service manager is told over `NOTIFY_SOCKET` (systemd's `Type=notify` and
//! `notify-reload`): that the first set is in place, that the configuration is read again, that
//! the end has begun, and one line of status with each.
//!
//! The house calls it where each of these happens, and nobody else does. Nothing is decided by it:
//! where the variable is not set nothing is sent, and what cannot be sent costs one warning. A set
//! that was announced once is not announced again, and a reload before the first set or in the end
//! is none of the manager's business: it would take the answer for our readiness.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::Environment;

use crate::clock::{Clock, locked};
use crate::events::Event;
use crate::events::line::Line;
use crate::events::words::one_line;

/// The variable that names the socket. It is ours alone: `cli/run.rs` takes it out of the
/// environment, so that no program that we start can speak in our name.
pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// A manager that does not read its socket for this long is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest status, in bytes: a manager drops a message above 4096.
const STATUS: usize = 1024;

/// The service manager; clones share it.
#[derive(Clone, Debug)]
pub struct ServiceManager(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    address: SocketAddr,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    warned: bool,
}

/// How far it knows us to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Ready,
    Reloading,
    Ending,
}

impl ServiceManager {
    /// The one that the environment names, if it names one.
    pub fn of(environment: &Environment, clock: Clock) -> Self {
        let Some(name) = environment.value(VARIABLE) else { return Self(None) };
        match address(name) {
            Ok(address) => {
                let state = Mutex::new(State { phase: Phase::Starting, warned: false });
                Self(Some(Arc::new(Inner { address, clock, state })))
            }
            Err(error) => {
                warn(&format!(
                    "{VARIABLE} is neither a path nor an abstract name of a unix socket ({}): the service \
                     manager will not hear that the files are there",
                    error.kind()
                ));
                Self(None)
            }
        }
    }

    /// None: for a process whose exit says it all.
    pub fn none() -> Self {
        Self(None)
    }

    /// What the start waits for. It ends by itself within `bound`, so a manager with less patience
    /// need not end it.
    pub async fn starting(&self, status: &str, bound: Duration) {
        self.say(&[extend(bound)], status).await;
    }

    /// The first set is in place. Said once.
    pub async fn ready(&self, status: impl FnOnce() -> String) {
        if self.step(Phase::Starting, Phase::Ready) {
            self.say(&["READY=1".to_owned()], &status()).await;
        }
    }

    /// The configuration is about to be read again.
    pub async fn reloading(&self) {
        if self.step(Phase::Ready, Phase::Reloading)
            && let Some(inner) = &self.0
        {
            let now = format!("MONOTONIC_USEC={}", inner.clock.monotonic().as_micros());
            self.say(&["RELOADING=1".to_owned(), now], "reading the configuration again").await;
        }
    }

    /// It was, with what came of it.
    pub async fn reloaded(&self, status: &str) {
        if self.step(Phase::Reloading, Phase::Ready) {
            self.say(&["READY=1".to_owned()], status).await;
        }
    }

    /// The end has begun, or has come a step further. `bound` is how long the rest may take.
    pub async fn ending(&self, status: &str, bound: Option<Duration>) {
        let Some(inner) = &self.0 else { return };
        let before = std::mem::replace(&mut locked(&inner.state).phase, Phase::Ending);
        let mut words = Vec::new();
        if before != Phase::Ending {
            words.push("STOPPING=1".to_owned());
        }
        words.extend(bound.map(extend));
        self.say(&words, status).await;
    }

    /// The last line: why the process failed.
    pub async fn failed(&self, why: &str) {
        self.say(&[], why).await;
    }

    /// From one phase to the next; false where it is in another one, and then nothing is to be said.
    fn step(&self, from: Phase, to: Phase) -> bool {
        let Some(inner) = &self.0 else { return false };
        let mut state = locked(&inner.state);
        let is_due = state.phase == from;
        if is_due {
            state.phase = to;
        }
        is_due
    }

    /// One message: assignments, one a line.
    async fn say(&self, words: &[String], status: &str) {
        let Some(inner) = &self.0 else { return };
        let mut message = words.join("\n");
        if !message.is_empty() {
            message.push('\n');
        }
        message.push_str(&format!("STATUS={}\n", bounded(&one_line(status))));
        let sent = inner.clock.within(PATIENCE, send(&inner.address, message.as_bytes())).await;
        let error = match sent {
            Some(Ok(())) => return,
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                "there is no such socket".to_owned()
            }
            Some(Err(error)) => error.kind().to_string(),
            None => io::ErrorKind::TimedOut.to_string(),
        };
        if !std::mem::replace(&mut locked(&inner.state).warned, true) {
            warn(&format!("the service manager cannot be told ({VARIABLE}: {error}); going on without"));
        }
    }
}

/// `@NAME` is an abstract name, `/PATH` a path; there is nothing else on a machine.
fn address(name: &str) -> io::Result<SocketAddr> {
    match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None if name.starts_with('/') => SocketAddr::from_pathname(name),
        None => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Through a socket of its own each time: the manager may have been started anew since.
async fn send(address: &SocketAddr, message: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(address)?;
    socket.set_nonblocking(true)?;
    tokio::net::UnixDatagram::from_std(socket)?.send(message).await.map(drop)
}

fn extend(bound: Duration) -> String {
    format!("EXTEND_TIMEOUT_USEC={}", bound.as_micros())
}

fn bounded(status: &str) -> &str {
    &status[..status.floor_char_boundary(STATUS)]
}

fn warn(text: &str) {
    Line::of(&Event::Warning { text }).log();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(name: &str) -> ServiceManager {
        let environment = Environment::new([(VARIABLE.to_owned(), name.to_owned())]);
        ServiceManager::of(&environment, Clock::boot())
    }

    #[tokio::test]
    async fn a_long_status_is_cut_between_characters_and_stays_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = manager(path.to_str().unwrap());
        manager.failed(&format!("a\nREADY=1\n{}", "ü".repeat(3_000))).await;
        let mut buffer = [0; 8_192];
        let length = socket.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        assert!(text.starts_with("STATUS=a READY=1 ü") && text.ends_with("ü\n"), "{text}");
        assert_eq!(text.lines().count(), 1);
        assert!((STATUS - 1..=STATUS).contains(&(length - "STATUS=\n".len())), "{length}");
    }

    #[tokio::test]
    async fn a_manager_that_is_full_is_not_waited_for_and_one_that_is_gone_is_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let filler = UnixDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        while filler.send_to(b"x", &path).is_ok() {}
        let manager = manager(path.to_str().unwrap());
        manager.failed("nobody reads").await;
        assert!(locked(&manager.0.as_ref().unwrap().state).warned);
        drop(socket);
        manager.failed("nobody listens").await;
    }

    #[tokio::test]
    async fn what_is_no_name_of_a_socket_is_nobody() {
        for name in ["vsock:2:1", "relative", "/"] {
            let manager = manager(name);
            manager.ready(|| "ready".to_owned()).await;
            assert!(manager.0.is_none() || name == "/", "{name}");
        }
        assert!(manager("").0.is_none());
    }
}
