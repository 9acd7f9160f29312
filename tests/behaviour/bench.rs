//! What a scenario about one running leasehold needs: its folder and configuration, an AppRole under the
//! smallest policy, and looks at what it shows, at its files and at the server.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use harness::leasehold::Running;
use harness::tmpfs::Folder;
use harness::vault::{AppRoleMount, Policy, Vault};
use harness::{Leasehold, http, ports};
use serde_json::Value;

use super::*;

/// A folder on tmpfs with a configuration, its log-in, and the places that it names.
pub(crate) struct Bench<'a> {
    pub(crate) folder: Folder,
    pub(crate) vault: &'a Vault,
    pub(crate) approle: AppRoleMount<'a>,
    /// Lines of the provider `vault`, indented: its log-in.
    auth: String,
    telemetry: std::net::SocketAddr,
}

impl<'a> Bench<'a> {
    /// One whose tokens have this policy and these options of an AppRole role.
    pub(crate) fn new(vault: &'a Vault, policy: Policy<'a>, options: Value) -> Self {
        let folder = harness::tmpfs();
        let approle = vault.approle_mount("bench");
        let mut options = options;
        options["token_policies"] = json!([policy.create()]);
        let role = approle.role("web", options);
        fs::write(folder.join("secret-id"), &role.secret_id).unwrap();
        fs::create_dir(folder.join("state")).unwrap();
        let auth = format!(
            "{{ method: approle, mount: {}, role_id: {}, secret_id_file: {} }}",
            role.mount,
            role.role_id,
            folder.join("secret-id").display()
        );
        Self { folder, vault, approle, auth, telemetry: ports::free() }
    }

    /// The same with another log-in, as YAML.
    pub(crate) fn with_auth(mut self, auth: String) -> Self {
        self.auth = auth;
        self
    }

    /// A configuration: the usual places, the provider at `address`, and the sections of the scenario.
    /// `lifecycle` is the inside of that section's braces.
    pub(crate) fn config(&self, address: &str, lifecycle: &str, sections: &str) -> String {
        let folder = self.folder.display();
        format!(
            "providers:\n  vault: {{ type: vault, address: \"{address}\", auth: {auth} }}\n\
             output: {{ directory: {folder}/live }}\n\
             lifecycle: {{ state_directory: {folder}/state, {lifecycle} }}\n\
             admin: {{ listen: \"unix:{folder}/admin.sock\" }}\n\
             telemetry: {{ listen: \"{telemetry}\" }}\n\
             log: {{ level: debug }}\n{sections}",
            auth = self.auth,
            telemetry = self.telemetry,
        )
    }

    /// Where the configuration lies.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("leasehold.yaml")
    }

    /// Puts a configuration in place, whole at once.
    pub(crate) fn configure(&self, config: &str) {
        fs::write(self.folder.join("next.yaml"), config).unwrap();
        fs::rename(self.folder.join("next.yaml"), self.file()).unwrap();
    }

    /// `leasehold COMMAND -c FILE`.
    pub(crate) fn command(&self, command: &str) -> Leasehold {
        Leasehold::command([command.as_ref(), "-c".as_ref(), self.file().as_os_str()])
            .env("TERMINATION_MESSAGE_PATH", self.folder.join("termination-log"))
    }

    /// Starts `run`.
    pub(crate) fn run(&self) -> Running {
        self.command("run").start()
    }

    /// Starts `run` and waits until it is ready.
    #[track_caller]
    pub(crate) fn run_until_ready(&self) -> Running {
        let mut running = self.run();
        self.ready(&mut running);
        running
    }

    /// Waits for the first whole generation.
    #[track_caller]
    pub(crate) fn ready(&self, running: &mut Running) {
        eventually("it is ready", START, || match running.exit() {
            Some(exit) => panic!("it ended with {exit:?}:\n{}", running.stderr()),
            None => self.is_ready().then_some(()).ok_or_else(|| running.stderr()),
        });
    }

    /// What `/readyz` answers.
    pub(crate) fn is_ready(&self) -> bool {
        self.telemetry("/readyz").is_some_and(|answer| answer.status == 200)
    }

    /// The value of a sample whose line starts with this.
    pub(crate) fn metric(&self, sample: &str) -> Option<f64> {
        let answer = self.telemetry("/metrics")?;
        let text = String::from_utf8(answer.body).unwrap();
        let line = text.lines().find(|line| line.starts_with(sample))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    fn telemetry(&self, path: &str) -> Option<http::Response> {
        let request = http::Request { method: "GET".into(), path: path.into(), ..http::Request::default() };
        http::send(self.telemetry, &request).ok()
    }

    /// What `leasehold status --json` prints.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        let file = self.file();
        let arguments = ["status".as_ref(), "--json".as_ref(), "-c".as_ref(), file.as_os_str()];
        let shown = Leasehold::command(arguments).finish(SOON);
        serde_json::from_str(&shown.stdout).unwrap_or_else(|error| panic!("{error}: {shown:?}"))
    }

    /// The lease in use, as `status` shows it.
    #[track_caller]
    pub(crate) fn lease(&self, secret: &str) -> String {
        let status = self.status();
        let lease = status["secrets"][secret]["lease"].as_str();
        lease.unwrap_or_else(|| panic!("{secret} has a lease: {status}")).to_owned()
    }

    /// The content of a published file; `None` where there is none.
    pub(crate) fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.folder.join("live").join(file)).ok()
    }

    /// The words of a published file: where the template is `USERNAME PASSWORD`, both.
    #[track_caller]
    pub(crate) fn pair(&self, file: &str) -> (String, String) {
        let text = self.read(file).unwrap_or_else(|| panic!("{file} is there"));
        let (username, password) = text.trim().split_once(' ').expect("two words");
        (username.to_owned(), password.to_owned())
    }

    /// Logs in to PostgreSQL with what a file says now.
    pub(crate) fn login(&self, file: &str) -> Result<(), String> {
        let (username, password) = self.pair(file);
        postgres().login(&username, &password)
    }

    /// `POST` to `..ack.sock`: status and body.
    #[track_caller]
    pub(crate) fn ack_socket(&self, path: &str, body: &Value) -> (u16, String) {
        let socket = self.folder.join("live/..ack.sock");
        post(&socket, path, &body.to_string())
    }

    /// Looks that the server holds neither a lease of this database nor a token of this log-in, and that
    /// PostgreSQL has no role of it. Revocations are queued at the server.
    #[track_caller]
    pub(crate) fn nothing_is_left(&self, database: &harness::vault::DatabaseMount<'_>) {
        eventually("no lease and no role is left", SOON, || {
            let (leases, roles) = (database.leases(), database.roles());
            if leases.is_empty() && roles.is_empty() { Ok(()) } else { Err(format!("{leases:?} {roles:?}")) }
        });
        for accessor in self.tokens() {
            eventually("no token of ours is left", SOON, || !self.vault.token_lives(&accessor));
        }
    }

    /// The accessors of all tokens that were given out by this log-in.
    #[track_caller]
    pub(crate) fn tokens(&self) -> Vec<String> {
        let path = format!("auth/{}/login", self.approle.path());
        let logins = self.vault.audit().matching(harness::vault::Mark::default(), "update", &path);
        let accessor = |login: &harness::vault::Entry| {
            login.line["response"]["auth"]["accessor"].as_str().map(str::to_owned)
        };
        logins.iter().filter_map(accessor).collect()
    }
}

/// How long a start may take.
pub(crate) const START: Duration = Duration::from_secs(30);

fn post(socket: &Path, path: &str, body: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: leasehold\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    (status.unwrap_or_else(|| panic!("{answer:?}")), answer)
}
