//! A real PgBouncer with the configuration that a test gives it.

use std::net::SocketAddr;

use crate::daemon::{Daemon, Place};

/// Where one will be: its port and its name are known before it is configured.
#[derive(Debug)]
pub struct PgBouncer(Place);

/// A started PgBouncer.
#[derive(Debug)]
pub struct RunningPgBouncer(Daemon);

impl PgBouncer {
    /// Makes a place for one.
    #[track_caller]
    #[allow(clippy::new_without_default, reason = "two of them are never the same")]
    pub fn new() -> Self {
        Self(Place::new("pgbouncer"))
    }

    /// Where it will listen: for `listen_addr` and `listen_port`.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// What its process is called; no other process of the machine is.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Starts it with this `pgbouncer.ini`.
    #[track_caller]
    pub fn start(self, ini: &str) -> RunningPgBouncer {
        let config = self.0.file("pgbouncer.ini", ini);
        RunningPgBouncer(self.0.start([config.as_path()]))
    }
}

impl RunningPgBouncer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.place.address
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.0.log()
    }
}
