//! Where one leasehold after another works on the same directories, and what the server saw of it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness;
use harness::leasehold::Running;
use harness::process::{Exit, Group};
use harness::vault::{DatabaseMount, Mark};
use harness::{Leasehold, Signal, eventually, postgres, vault};
use serde_json::{Value, json};

pub(super) const SOON: Duration = Duration::from_secs(20);

/// How it is somebody to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogIn {
    /// AppRole: the token is its own.
    Own,
    /// `method: token`: the token is ours.
    Given,
}

/// What differs between scenarios.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) log_in: LogIn,
    pub(super) token_ttl: &'static str,
    pub(super) token_max_ttl: &'static str,
    pub(super) overlap: &'static str,
    pub(super) acknowledge: &'static str,
}

/// A mount, a role and a log-in that no other thread uses.
pub(super) struct Server {
    scenario: Scenario,
    database: DatabaseMount<'static>,
    creds: String,
    approle: String,
    auth: String,
    given: Option<Given>,
}

/// A token that was made for it.
struct Given {
    token: String,
    accessor: String,
}

/// Fresh directories of one scenario.
pub(super) struct Site<'a> {
    pub(super) server: &'a Server,
    pub(super) folder: harness::tmpfs::Folder,
    mark: Mark,
    listener: Group,
}

/// What is in place, as a reader sees it that holds one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InPlace {
    pub(super) generation: u64,
    pub(super) username: String,
    pub(super) password: String,
}

impl Server {
    pub(super) fn new(scenario: Scenario) -> Self {
        let database = vault().database_mount("crash");
        let creds = database.role("web", "1m", "5m");
        let policy = vault().policy("crash").read(&creds).revoke_leases().create();
        let mount = vault().approle_mount("crash");
        let (auth, given) = match scenario.log_in {
            LogIn::Own => {
                let options = json!({
                    "token_policies": [policy],
                    "token_ttl": scenario.token_ttl,
                    "token_max_ttl": scenario.token_max_ttl,
                });
                let role = mount.role("web", options);
                let auth = format!(
                    "{{ method: approle, mount: {}, role_id: {}, secret_id: {} }}",
                    role.mount, role.role_id, role.secret_id
                );
                (auth, None)
            }
            LogIn::Given => {
                let token = vault().token(json!({ "policies": [policy], "ttl": scenario.token_ttl }));
                let text = |name: &str| token[name].as_str().unwrap().to_owned();
                let given = Given { token: text("client_token"), accessor: text("accessor") };
                ("{ method: token, token_file: token }".to_owned(), Some(given))
            }
        };
        let approle = format!("auth/{}/login", mount.path());
        Self { scenario, database, creds, approle, auth, given }
    }

    pub(super) fn leases(&self) -> Vec<String> {
        self.database.leases()
    }

    /// Ends what a test has accounted for, so that the next finds nothing.
    pub(super) fn clear(&self) {
        vault().revoke_prefix(&self.creds);
        eventually("nothing is left of the role", SOON, || self.leases().is_empty());
    }

    pub(super) fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// Where a token was given, it is not ours to end.
    pub(super) fn given_token_lives(&self) -> bool {
        self.given.as_ref().is_none_or(|given| vault().token_lives(&given.accessor))
    }
}

/// A mint as the server answered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mint {
    pub(super) lease: String,
    pub(super) username: String,
}

impl InPlace {
    pub(super) fn logs_in(&self) -> Result<(), String> {
        postgres().login(&self.username, &self.password)
    }
}

impl<'a> Site<'a> {
    pub(super) fn new(server: &'a Server) -> Self {
        let folder = harness::tmpfs();
        for name in ["state", "volume"] {
            std::fs::create_dir(folder.join(name)).unwrap();
        }
        if let Some(given) = &server.given {
            std::fs::write(folder.join("token"), &given.token).unwrap();
        }
        let auth = &server.auth;
        let root = folder.display();
        let (address, creds) = (vault().address(), &server.creds);
        let Scenario { overlap, acknowledge, .. } = server.scenario;
        let configuration = format!(
            "providers:\n  vault: {{ type: vault, address: 'http://{address}', auth: {auth} }}\n\
             secrets:\n  db: {{ provider: vault, path: {creds} }}\n\
             files:\n  db.env: {{ template: \"{{{{ db.username }}}} {{{{ db.password }}}}\" }}\n\
             output: {{ directory: {root}/volume/live }}\n\
             on_change:\n  - {{ signal: HUP, pid_file: {root}/listener.pid }}\n\
             lifecycle:\n  overlap: {overlap}\n  acknowledge: {acknowledge}\n  revoke_delay: 0s\n  \
             state_directory: {root}/state\n\
             admin: {{ listen: 'unix:{root}/admin.sock' }}\n\
             telemetry: {{ listen: 'off' }}\n"
        );
        std::fs::write(folder.join("leasehold.yaml"), configuration).unwrap();
        let listener = listen(&folder);
        Self { server, folder, mark: vault().audit().mark(), listener }
    }

    pub(super) fn live(&self) -> PathBuf {
        self.folder.join("volume/live")
    }

    /// `command` is `run` or `init`; `under` another program.
    pub(super) fn start(&self, command: &str, under: Vec<String>) -> Running {
        let configuration = self.folder.join("leasehold.yaml");
        let words = [command.as_ref(), "-c".as_ref(), configuration.as_os_str()];
        Leasehold::command(words).current_dir(&self.folder).under(under).start()
    }

    /// The generation in place, if there is one: whole, and its pair logs in.
    pub(super) fn in_place(&self) -> Option<InPlace> {
        let data = match std::fs::read_link(self.live().join("..data")) {
            Ok(target) => self.live().join(target),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
                return None;
            }
        };
        let manifest = std::fs::read(data.join("..manifest.json")).expect("a set is whole");
        let manifest: Value = serde_json::from_slice(&manifest).expect("a set is whole");
        let text = std::fs::read_to_string(data.join("db.env")).expect("a set is whole");
        let (username, password) = text.split_once(' ').expect("a file is whole");
        Some(InPlace {
            generation: manifest["generation"].as_u64().expect("a set is whole"),
            username: username.to_owned(),
            password: password.to_owned(),
        })
    }

    /// The same, and a log-in with it succeeds.
    pub(super) fn in_place_logs_in(&self, when: &str) -> Option<InPlace> {
        let found = self.in_place()?;
        assert_eq!(found.logs_in(), Ok(()), "{when}: {} of generation {}", found.username, found.generation);
        Some(found)
    }

    /// The names of what is recorded of one kind (`held`, `session`, `announced`, …).
    pub(super) fn recorded(&self, kind: &str) -> Vec<String> {
        let Ok(listed) = std::fs::read_dir(self.folder.join("state/handover")) else { return Vec::new() };
        let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(&format!("{kind}.")) && name.ends_with(".json")).collect()
    }

    /// All that is recorded, as text.
    pub(super) fn record(&self) -> String {
        let read = |name: &String| {
            // It may go meanwhile.
            std::fs::read_to_string(self.folder.join("state/handover").join(name)).unwrap_or_default()
        };
        ["held", "session"].iter().flat_map(|kind| self.recorded(kind)).map(|name| read(&name)).collect()
    }

    /// How many mints are recorded as sent.
    pub(super) fn recorded_mints(&self) -> usize {
        let path = self.folder.join("state/handover/secret.db.json");
        let Ok(text) = std::fs::read_to_string(path) else { return 0 };
        let entry: Value = serde_json::from_str(&text).expect("an entry is whole");
        entry["entry"]["secret"]["mints"].as_array().expect("it holds the mints").len()
    }

    /// Asks for a rotation, and does not wait for its answer. The connection must be held that long.
    pub(super) fn refresh(&self) -> Option<UnixStream> {
        let mut stream = UnixStream::connect(self.folder.join("admin.sock")).ok()?;
        let request = "POST /v1/refresh HTTP/1.1\r\nHost: leasehold\r\nContent-Length: 2\r\n\r\n{}";
        stream.write_all(request.as_bytes()).ok()?;
        Some(stream)
    }

    /// Says as the application that it uses the newest generation.
    pub(super) fn acknowledge(&self) {
        let answer = self.post("volume/live/..ack.sock", "/v1/ack");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn post(&self, socket: &str, path: &str) -> String {
        let mut stream = UnixStream::connect(self.folder.join(socket)).unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: leasehold\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(super) fn is_ready(&self) -> bool {
        self.get("/v1/ready").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// For how many seconds an acknowledgement of what replaced the credential has been awaited.
    pub(super) fn awaits_for(&self) -> Option<f64> {
        let answer = self.get("/v1/status")?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let status: serde_json::Value = serde_json::from_str(body).ok()?;
        status["secrets"]["db"]["awaiting_ack_seconds"].as_f64()
    }

    /// What the admin socket answers.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.folder.join("admin.sock")).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: leasehold\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer)).ok()?;
        Some(answer)
    }

    /// The mints that the server answered so far.
    pub(super) fn mints(&self) -> Vec<Mint> {
        let mut entries = vault().audit().matching(self.mark, "read", &self.server.creds);
        entries.retain(|entry| !entry.refused());
        let text = |value: &Value| value.as_str().expect("a mint is answered whole").to_owned();
        let mint = |entry: &harness::vault::Entry| {
            let response = &entry.line["response"];
            Mint {
                lease: text(&response["secret"]["lease_id"]),
                username: text(&response["data"]["username"]),
            }
        };
        entries.iter().map(mint).collect()
    }

    /// The accessors of the tokens that it logged in for so far.
    pub(super) fn log_ins(&self) -> Vec<String> {
        let entries = vault().audit().matching(self.mark, "update", &self.server.approle);
        let accessor = |entry: &harness::vault::Entry| {
            entry.line["response"]["auth"]["accessor"].as_str().unwrap_or_default().to_owned()
        };
        entries.iter().map(accessor).collect()
    }

    /// Whether a request was made with a token, its log-in apart.
    pub(super) fn was_used(&self, accessor: &str) -> bool {
        let mut entries = vault().audit().since(self.mark);
        entries.retain(|entry| entry.path != self.server.approle);
        entries.iter().any(|entry| entry.accessor() == Some(accessor))
    }

    /// Whether nothing that was replaced is held any more.
    pub(super) fn has_settled(&self) -> bool {
        let sessions = self.recorded("session").len();
        self.recorded("held").len() == 1 && sessions == 1
    }

    /// The same, after a rotation.
    pub(super) fn has_rotated(&self) -> bool {
        self.in_place().is_some_and(|found| found.generation > 1) && self.has_settled()
    }

    /// How often the application was told.
    pub(super) fn told(&self) -> usize {
        std::fs::read_to_string(self.folder.join("told")).unwrap_or_default().lines().count()
    }

    /// Waits for the end of a process under strace while `drive` does its part.
    pub(super) fn drive(&self, running: &mut Running, mut drive: impl FnMut()) -> Exit {
        let start = Instant::now();
        loop {
            if let Some(exit) = running.exit() {
                return exit;
            }
            drive();
            assert!(start.elapsed() < SOON * 2, "it is not killed; its log:\n{}", running.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks it to end, by the signal that a kubelet sends, and waits.
    pub(super) fn end(&self, running: &mut Running) {
        running.signal(Signal::TERM);
        assert_eq!(running.wait(SOON), Exit::Code(0), "its log:\n{}", running.stderr());
    }
}

impl Drop for Site<'_> {
    fn drop(&mut self) {
        self.listener.kill();
    }
}

/// An application that notes how often it is told.
fn listen(folder: &std::path::Path) -> Group {
    let script = "trap 'echo told >>told' HUP; sleep infinity & echo $$ >pid.tmp; mv pid.tmp listener.pid; \
                  while :; do wait; done";
    let listener = Group::spawn(Command::new("bash").args(["-c", script]).current_dir(folder));
    eventually("the application listens", SOON, || folder.join("listener.pid").exists());
    listener
}
