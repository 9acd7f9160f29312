//! One instance's place on tmpfs: configuration, output, state and sockets, and questions to it.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::http::{self, Request, Response};
use harness::leasehold::{Finished, Running};
use harness::tmpfs::Folder;
use harness::vault::AppRole;
use harness::{Leasehold, eventually, ports, tmpfs, vault};
use leasehold_harness as harness;
use serde_json::{Value, json};

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Where an instance lives. Removed when dropped.
pub(crate) struct Place {
    pub(crate) folder: Folder,
    pub(crate) telemetry: SocketAddr,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tmpfs();
        fs::create_dir(folder.join("state")).unwrap();
        Self { folder, telemetry: ports::free() }
    }

    /// Writes the configuration: `more` on top of where things are, section by section.
    #[track_caller]
    pub(crate) fn configure(&self, more: Value) -> PathBuf {
        let mut config = json!({
            "output": { "directory": self.live() },
            "lifecycle": { "state_directory": self.folder.join("state"), "revoke_delay": "0s" },
            "admin": { "listen": format!("unix:{}", self.admin().display()) },
            "telemetry": { "listen": self.telemetry.to_string() },
        });
        for (section, keys) in more.as_object().unwrap() {
            match keys.as_object().filter(|_| config[section].is_object()) {
                Some(keys) => config[section].as_object_mut().unwrap().extend(keys.clone()),
                None => config[section] = keys.clone(),
            }
        }
        self.file("leasehold.yaml", &config.to_string())
    }

    /// Writes a file beside the configuration, in one step.
    #[track_caller]
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let (path, fresh) = (self.folder.join(name), self.folder.join("fresh"));
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, &path).unwrap();
        path
    }

    pub(crate) fn live(&self) -> PathBuf {
        self.folder.join("live")
    }

    pub(crate) fn admin(&self) -> PathBuf {
        self.folder.join("admin.sock")
    }

    /// A file for the application, as it is now.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.live().join(name)).ok()
    }

    /// The same, once it is there.
    #[track_caller]
    pub(crate) fn await_file(&self, name: &str, running: &mut Running) -> String {
        eventually(&format!("the file {name}"), SOON, || match running.exit() {
            Some(exit) => panic!("leasehold ended with {exit:?}:\n{}", running.stderr()),
            None => self.read(name).ok_or_else(|| running.stderr()),
        })
    }

    pub(crate) fn command(&self, command: &[&str]) -> Leasehold {
        let config = self.folder.join("leasehold.yaml");
        let words = command.iter().map(|word| (*word).to_owned());
        Leasehold::command(words.chain(["-c".to_owned(), config.display().to_string()]))
    }

    #[track_caller]
    pub(crate) fn run(&self) -> Running {
        self.command(&["run"]).start()
    }

    #[track_caller]
    pub(crate) fn finish(&self, command: &[&str]) -> Finished {
        self.command(command).finish(Duration::from_secs(45))
    }

    /// What the telemetry port answers; `None` where nothing listens.
    pub(crate) fn get(&self, path: &str) -> Option<Response> {
        let request = Request { method: "GET".into(), path: path.into(), ..Request::default() };
        http::send(self.telemetry, &request).ok()
    }

    pub(crate) fn ready(&self) -> u16 {
        self.get("/readyz").map_or(0, |answer| answer.status)
    }

    #[track_caller]
    pub(crate) fn metrics(&self) -> String {
        String::from_utf8(self.get("/metrics").unwrap().body).unwrap()
    }

    /// The sum of all samples of a metric whose line holds all of `labels`.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.metrics();
        let of_it = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
                && labels.iter().all(|label| line.contains(label))
        };
        text.lines().filter(of_it).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

/// `METHOD path` to a socket of ours, with that body; head and body of the answer.
#[track_caller]
pub(crate) fn ask(socket: &Path, method: &str, path: &str, body: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: leasehold\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A provider at `address` that logs in as this role.
pub(crate) fn provider(address: &str, role: &AppRole) -> Value {
    json!({
        "type": "vault",
        "address": address,
        "auth": { "method": "approle", "mount": role.mount, "role_id": role.role_id, "secret_id": role.secret_id },
    })
}

/// A role under the default policy and one that allows to read these paths; `options` on top.
#[track_caller]
pub(crate) fn reader(name: &str, paths: &[&str], options: Value) -> AppRole {
    let policy = paths.iter().fold(vault().policy(name), |policy, path| policy.read(path)).create();
    role_under(name, &policy, options)
}

/// A role under the default policy and that one.
#[track_caller]
pub(crate) fn role_under(name: &str, policy: &str, options: Value) -> AppRole {
    let mut settings = json!({ "token_policies": [policy], "token_ttl": "10m" });
    settings.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    vault().approle_mount(name).role("web", settings)
}
