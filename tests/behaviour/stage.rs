//! A leased credential at the shared servers, and the places of one leasehold, all in memory.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use harness::http::{self, Request};
use harness::leasehold::Running;
use harness::tmpfs::Folder;
use harness::vault::{AppRole, DatabaseMount, Mark};
use harness::{Leasehold, vault};
use leasehold_harness as harness;
use serde_json::{Value, json};

use crate::SOON;

/// One database role, who may read it, and a folder for everything that a leasehold needs.
pub(crate) struct Stage {
    pub(crate) database: DatabaseMount<'static>,
    /// The path to read: `MOUNT/creds/web`.
    pub(crate) creds: String,
    pub(crate) folder: Folder,
    telemetry: SocketAddr,
    address: String,
    auth: String,
    rights: Rights,
    approle: Option<AppRole>,
    mark: Mark,
}

/// What the policy allows beside reading the credential.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Nothing: the documented smallest policy.
    Smallest,
    /// `sys/leases/revoke`.
    RevokeLeases,
}

impl Stage {
    /// With a log-in by AppRole whose tokens live for ten minutes.
    #[track_caller]
    pub(crate) fn new(name: &str, ttl: &str, max_ttl: &str, rights: Rights) -> Self {
        let mut stage = Self::without_login(name, ttl, max_ttl, rights);
        let policy = stage.policy(name);
        let options = json!({ "token_policies": [policy], "token_ttl": "10m" });
        let role = vault().approle_mount(name).role("web", options);
        std::fs::write(stage.folder.join("secret-id"), &role.secret_id).unwrap();
        stage.auth = format!(
            "{{ method: approle, mount: {}, role_id: {}, secret_id_file: {} }}",
            role.mount,
            role.role_id,
            stage.folder.join("secret-id").display()
        );
        stage.approle = Some(role);
        stage
    }

    /// With a token that somebody else made. Returns its accessor, too.
    #[track_caller]
    pub(crate) fn given_token(name: &str, ttl: &str, max_ttl: &str, rights: Rights) -> (Self, String) {
        let mut stage = Self::without_login(name, ttl, max_ttl, rights);
        let policy = stage.policy(name);
        let token = vault().token(json!({ "policies": [policy], "ttl": "10m" }));
        let file = stage.folder.join("token");
        std::fs::write(&file, token["client_token"].as_str().unwrap()).unwrap();
        stage.auth = format!("{{ method: token, token_file: {} }}", file.display());
        (stage, token["accessor"].as_str().unwrap().to_owned())
    }

    /// The same through something that stands between leasehold and the server.
    pub(crate) fn through(mut self, address: String) -> Self {
        self.address = address;
        self
    }

    #[track_caller]
    fn without_login(name: &str, ttl: &str, max_ttl: &str, rights: Rights) -> Self {
        let database = vault().database_mount(name);
        let creds = database.role("web", ttl, max_ttl);
        Self {
            database,
            creds,
            folder: harness::tmpfs(),
            telemetry: harness::ports::free(),
            address: vault().url(),
            auth: String::new(),
            rights,
            approle: None,
            mark: vault().audit().mark(),
        }
    }

    fn policy(&self, name: &str) -> String {
        let policy = vault().policy(name).read(&self.creds);
        match self.rights {
            Rights::Smallest => policy.create(),
            Rights::RevokeLeases => policy.revoke_leases().create(),
        }
    }

    /// Whether single leases may be revoked.
    pub(crate) fn may_revoke(&self) -> bool {
        self.rights == Rights::RevokeLeases
    }

    /// Where the files are, unless a configuration says otherwise.
    pub(crate) fn live(&self) -> PathBuf {
        self.folder.join("live")
    }

    /// Writes a configuration with the output in `live`, the state in `state`, and these keys of `lifecycle`.
    pub(crate) fn config(&self, lifecycle: &str) -> PathBuf {
        self.config_in("leasehold", &self.live(), &self.folder.join("state"), lifecycle)
    }

    /// Writes a configuration with these directories and these keys of `lifecycle`.
    pub(crate) fn config_in(&self, name: &str, output: &Path, state: &Path, lifecycle: &str) -> PathBuf {
        let Self { address, auth, creds, telemetry, .. } = self;
        let text = format!(
            r#"
providers:
  vault: {{ type: vault, address: "{address}", auth: {auth} }}
secrets:
  db: {{ provider: vault, path: {creds} }}
files:
  db.env: {{ template: "{{{{ db.username }}}} {{{{ db.password }}}}" }}
  username: {{ secret: db, field: username }}
  password: {{ secret: db, field: password }}
output: {{ directory: {output} }}
lifecycle: {{ state_directory: {state}, {lifecycle} }}
admin: {{ listen: "unix:{socket}" }}
telemetry: {{ listen: "{telemetry}" }}
"#,
            output = output.display(),
            state = state.display(),
            socket = self.folder.join(format!("{name}.sock")).display(),
        );
        // As a pod mounts it: without it there is no hand-over.
        std::fs::create_dir_all(state).unwrap();
        let file = self.folder.join(format!("{name}.yaml"));
        std::fs::write(&file, text).unwrap();
        file
    }

    /// The value of one metric, its labels as they are written; `None` where there is none.
    #[track_caller]
    pub(crate) fn metric(&self, labelled: &str) -> Option<f64> {
        let request = Request { method: "GET".into(), path: "/metrics".into(), ..Request::default() };
        let answer = http::send(self.telemetry, &request).unwrap();
        let text = String::from_utf8(answer.body).unwrap();
        text.lines().find_map(|line| line.strip_prefix(labelled)?.trim().parse().ok())
    }

    /// How often a credential was asked for at the server.
    pub(crate) fn mints(&self) -> usize {
        vault().audit().matching(self.mark, "read", &self.creds).len()
    }

    /// The accessors of all tokens that the server gave for our log-ins.
    pub(crate) fn tokens(&self) -> Vec<String> {
        let role = self.approle.as_ref().expect("a stage with a log-in");
        let logins = vault().audit().matching(self.mark, "update", &format!("auth/{}/login", role.mount));
        let accessor = |line: &Value| Some(line["response"]["auth"]["accessor"].as_str()?.to_owned());
        logins.iter().filter_map(|login| accessor(&login.line)).collect()
    }

    /// The one credential that is alive at both servers.
    #[track_caller]
    pub(crate) fn only_role(&self) -> String {
        let leases = self.database.leases();
        assert_eq!(leases.len(), 1, "{leases:?}");
        assert!(vault().lease_lookup(&leases[0]).is_some_and(|lease| lease.lives()), "{leases:?}");
        let mut roles = self.database.roles();
        assert_eq!(roles.len(), 1, "{roles:?}");
        roles.remove(0)
    }

    /// Waits until nothing of it is left at the servers: their queues get ten seconds.
    #[track_caller]
    pub(crate) fn nothing_is_left(&self) {
        harness::eventually("no lease and no role is left", std::time::Duration::from_secs(10), || {
            let left = (self.database.leases(), self.database.roles());
            if left.0.is_empty() && left.1.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }
}

/// Starts `leasehold run`.
#[track_caller]
pub(crate) fn run(config: &Path) -> Running {
    leasehold("run", config).start()
}

/// `leasehold COMMAND -c CONFIG`, not started yet.
#[track_caller]
pub(crate) fn leasehold(command: &str, config: &Path) -> Leasehold {
    Leasehold::command([command.as_ref(), "-c".as_ref(), config.as_os_str()])
}

/// Waits as an operator does, until it says that it is ready.
#[track_caller]
pub(crate) fn ready(running: &Running, config: &Path) {
    let words = ["probe", "ready", "--wait", "30s", "-c"].map(AsRef::as_ref);
    let probe = Leasehold::command(words.into_iter().chain([config.as_os_str()])).finish(SOON * 3);
    let said = running.stderr();
    assert_eq!(probe.exit, harness::process::Exit::Code(0), "{}{}\n{said}", probe.stdout, probe.stderr);
}
