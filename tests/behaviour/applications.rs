//! Real applications under rotation, configured as the pages of `docs/applications` say: each configuration
//! and each program is read from its page. Only names of places are replaced, and each has to be there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::daemon::{USER, give};
use harness::leasehold::Running;
use harness::process::{Exit, Group};
use harness::tmpfs::Folder;
use harness::vault::{DatabaseMount, Policy};
use harness::{Leasehold, Signal, eventually, vault};
use leasehold_harness as harness;
use rustix::process::geteuid;
use serde_json::json;

use crate::SOON;
use crate::stage::ready;

mod jvm;
mod nginx;
mod postgresql;
mod programs;
mod visitor;

/// A page of the documentation.
pub(crate) struct Page {
    name: String,
    pub(crate) text: String,
}

impl Page {
    /// One under `docs/applications`.
    fn read(name: &str) -> Self {
        Self::at(&format!("docs/applications/{name}"))
    }

    /// Any.
    pub(crate) fn at(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { name: name.to_owned(), text }
    }

    /// The only block in that language whose text has `mark` in it.
    #[track_caller]
    pub(crate) fn block(&self, language: &str, mark: &str) -> String {
        let fence = format!("```{language}\n");
        let blocks = self.text.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
        let blocks: Vec<&str> = blocks.filter(|block| block.contains(mark)).collect();
        assert_eq!(blocks.len(), 1, "{}: blocks in {language} with {mark:?}", self.name);
        blocks[0].to_owned()
    }
}

/// `text` with other names for the places in it.
#[track_caller]
pub(crate) fn replaced(mut text: String, places: &[(&str, &str)]) -> String {
    for (from, to) in places {
        assert!(text.contains(from), "the page no longer says {from:?}:\n{text}");
        text = text.replace(from, to);
    }
    text
}

/// leasehold as a page configures it, at the shared servers, with a folder in memory for all that it has.
struct Scene {
    folder: Folder,
    auth: String,
}

impl Scene {
    /// With a log-in that has this policy.
    #[track_caller]
    fn new(name: &str, policy: Policy<'_>) -> Self {
        let options = json!({ "token_policies": [policy.create()], "token_ttl": "10m" });
        let role = vault().approle_mount(name).role("web", options);
        let folder = harness::tmpfs();
        give(&folder);
        let scene = Self { folder, auth: String::new() };
        scene.file("secret-id", &role.secret_id);
        let (mount, id, file) = (role.mount, role.role_id, scene.path("secret-id"));
        let auth =
            format!("auth: {{ method: approle, mount: {mount}, role_id: {id}, secret_id_file: {file} }}");
        Self { auth, ..scene }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn live(&self) -> String {
        self.path("live")
    }

    /// Writes a file for whoever leasehold runs as.
    #[track_caller]
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, text).unwrap();
        give(&path);
        path
    }

    /// Runs lines of a page's shell, and returns what they print.
    #[track_caller]
    fn shell(&self, script: &str) -> String {
        let script = self.file("script", &format!("set -e\n{script}"));
        let output = Command::new("bash").arg(script).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Starts it with a page's configuration: the store and the log-in are the test's, and so are these.
    #[track_caller]
    fn start(&self, page: String, places: &[(&str, &str)]) -> Sidecar {
        let (url, live) = (vault().url(), self.live());
        let ours = [
            ("https://vault:8200", url.as_str()),
            ("auth: { method: kubernetes, role: web }", &self.auth),
            ("/run/secrets/leasehold/live", &live),
        ];
        let team = self.file("leasehold.yaml", &replaced(page, &[&ours, places].concat()));
        let platform = format!(
            "lifecycle: {{ state_directory: {} }}\nadmin: {{ listen: \"unix:{}\" }}\n\
             telemetry: {{ listen: \"off\" }}\nlimits: {{ mints_per_minute: 120 }}\n",
            self.path("state"),
            self.path("admin.sock"),
        );
        let platform = self.file("platform.yaml", &platform);
        let state = self.folder.join("state");
        fs::create_dir(&state).unwrap();
        give(&state);
        let words = ["run", "-c"].map(AsRef::as_ref);
        let files = [team.as_os_str(), "-c".as_ref(), platform.as_os_str()];
        let mut command = Leasehold::command(words.into_iter().chain(files));
        if geteuid().is_root() {
            command = command.user(USER, USER);
        }
        let running = command.start();
        ready(&running, &platform);
        Sidecar { running, platform }
    }
}

/// A leasehold that has published.
struct Sidecar {
    running: Running,
    platform: PathBuf,
}

impl Sidecar {
    /// Rotates a secret, as an operator does.
    #[track_caller]
    fn refresh(&self, secret: &str) {
        let words = ["refresh".as_ref(), secret.as_ref(), "-c".as_ref(), self.platform.as_os_str()];
        let end = Leasehold::command(words).finish(SOON * 3);
        assert_eq!(end.exit, Exit::Code(0), "{}{}\n{}", end.stdout, end.stderr, self.log());
    }

    fn log(&self) -> String {
        self.running.stderr()
    }

    /// Ends it without waiting for the application.
    #[track_caller]
    fn end(mut self) {
        self.running.signal(Signal::INT);
        assert_eq!(self.running.wait(SOON), Exit::Code(0), "{}", self.log());
    }
}

/// A database engine, and the path of a role on it that lives long enough to see all of a test.
#[track_caller]
fn database(name: &str) -> (Database, String) {
    let mount = vault().database_mount(name);
    let creds = mount.role("web", "2m", "10m");
    (Database(mount), creds)
}

struct Database(DatabaseMount<'static>);

impl Database {
    /// All its roles at the server.
    fn roles(&self) -> Vec<String> {
        self.0.roles()
    }

    /// The role that the store made last.
    #[track_caller]
    fn newest(&self) -> String {
        // Objects are numbered in the order in which they are made.
        let prefix = self.0.prefix();
        let rows = harness::postgres().execute(&format!(
            "SELECT rolname FROM pg_roles WHERE starts_with(rolname, '{prefix}') ORDER BY oid DESC LIMIT 1"
        ));
        rows.into_iter().flatten().flatten().next().expect("there is a role")
    }
}

/// A page's program, running; it says a line again and again.
struct Program {
    process: Group,
    output: Folder,
}

impl Program {
    #[track_caller]
    fn start(command: &mut Command) -> Self {
        let output = Folder::on_disk();
        let file = |name| File::create(output.join(name)).unwrap();
        command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
        let process = Group::spawn(command);
        Self { process, output }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.output.join(name)).unwrap()
    }

    /// How many whole lines it has said, and the last of them.
    #[track_caller]
    fn said(&mut self) -> (usize, String) {
        let (said, errors) = (self.read("stdout"), self.read("stderr"));
        assert_eq!(self.process.exit(), None, "it ended: {said}{errors}");
        assert_eq!(errors, "", "it complains: {said}");
        let whole = said.rfind('\n').map_or("", |end| &said[..end]);
        (whole.lines().count(), whole.lines().last().unwrap_or_default().to_owned())
    }

    /// Waits until it says this.
    #[track_caller]
    fn says(&mut self, line: &str) {
        eventually("the program says it", SOON * 2, || {
            let (_, last) = self.said();
            if last == line { Ok(()) } else { Err(format!("{last:?} and not {line:?}")) }
        });
    }

    /// Waits until this is so, and then until it has said two more lines.
    #[track_caller]
    fn says_again_once(&mut self, condition: impl Fn() -> bool) {
        eventually("it is so", SOON, &condition);
        let (before, _) = self.said();
        eventually("the program goes on", SOON, || self.said().0 >= before + 2);
    }
}
