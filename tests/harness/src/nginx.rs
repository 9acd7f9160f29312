//! A real nginx, as a user who is not root, with the servers that a test gives it.

use std::net::SocketAddr;
use std::path::Path;

use crate::daemon::{Daemon, Place};

/// Where one will be: its port and its name are known before it is configured.
#[derive(Debug)]
pub struct Nginx(Place);

/// A started nginx: a master and two workers.
#[derive(Debug)]
pub struct RunningNginx(Daemon);

impl Nginx {
    /// Makes a place for one.
    #[track_caller]
    #[allow(clippy::new_without_default, reason = "two of them are never the same")]
    pub fn new() -> Self {
        Self(Place::new("nginx"))
    }

    /// Where it will listen: for `listen`.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// What its processes are called; no other process of the machine is.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Starts it with these `server { … }` blocks.
    #[track_caller]
    pub fn start(self, servers: &str) -> RunningNginx {
        let folder = self.0.folder.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
            .concat();
        let text = format!(
            "daemon off;\npid {folder}/pid;\nerror_log stderr notice;\nworker_processes 2;\n\
             events {{ worker_connections 512; }}\nhttp {{\naccess_log off;\n{temporary}{servers}\n}}\n"
        );
        let config = self.0.file("nginx.conf", &text);
        RunningNginx(self.0.start([Path::new("-e"), Path::new("stderr"), Path::new("-c"), &config]))
    }
}

impl RunningNginx {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.place.address
    }

    /// What it has said so far, on level `notice`.
    pub fn log(&self) -> String {
        self.0.log()
    }
}
