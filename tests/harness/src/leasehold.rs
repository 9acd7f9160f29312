//! The binary under test.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::process::{Exit, Group};
use crate::tmpfs::Folder;

/// How leasehold is started. The environment is empty but for `PATH`, `HOME`, `LANG` and what [`env`] adds:
/// nothing of the machine's `VAULT_*`, `AWS_*`, `SSL_*` or proxies gets in.
///
/// [`env`]: Leasehold::env
#[derive(Debug)]
pub struct Leasehold {
    command: Command,
    binary: PathBuf,
    before: Vec<OsString>,
    arguments: Vec<OsString>,
}

impl Leasehold {
    /// The binary that `LEASEHOLD_BIN` names, else the one that cargo built beside this test.
    #[track_caller]
    pub fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new("env");
        command.env_clear().stdin(Stdio::null());
        for name in ["PATH", "HOME", "LANG"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        Self { command, binary: binary(), before: Vec::new(), arguments }
    }

    /// Sets one variable of its environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Its working directory.
    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it as this uid and gid, with no other group, from a copy that they may execute. Needs root.
    #[track_caller]
    pub fn user(mut self, uid: u32, gid: u32) -> Self {
        self.binary = public_binary();
        self.command.uid(uid).gid(gid);
        self
    }

    /// Runs it under another program, such as `strace` with its options.
    pub fn under<A: AsRef<OsStr>>(mut self, program: impl IntoIterator<Item = A>) -> Self {
        self.before.extend(program.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Gives it a pipe as standard input ([`Running::stdin`]) in place of `/dev/null`.
    pub fn piped(mut self) -> Self {
        self.command.stdin(Stdio::piped());
        self
    }

    /// Starts it.
    #[track_caller]
    pub fn start(self) -> Running {
        let output = Folder::on_disk();
        let file = |name| File::create(output.join(name)).expect("a fresh folder of ours");
        // `env` execs what follows: the process id is that of the first word.
        let mut command = self.command;
        command.args(self.before).arg(self.binary).args(self.arguments);
        command.stdout(file("stdout")).stderr(file("stderr"));
        Running { group: Group::spawn(&mut command), output }
    }

    /// Starts it and waits for its end.
    #[track_caller]
    pub fn finish(self, deadline: Duration) -> Finished {
        let mut running = self.start();
        let exit = running.wait(deadline);
        Finished { exit, stdout: running.stdout(), stderr: running.stderr() }
    }
}

/// A leasehold that was started. Dropped, it and its children are killed.
#[derive(Debug)]
pub struct Running {
    group: Group,
    output: Folder,
}

/// A leasehold that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Code or signal.
    pub exit: Exit,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Running {
    /// Its process id (that of the outermost program, where [`Leasehold::under`] was used).
    pub fn pid(&self) -> Pid {
        self.group.pid()
    }

    /// Its standard input, once, where [`Leasehold::piped`] asked for it.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.group.stdin()
    }

    /// Sends it a signal, unless it has ended.
    pub fn signal(&mut self, signal: Signal) {
        self.group.signal(signal);
    }

    /// `kill -9`, and waits for the end.
    pub fn kill9(&mut self) -> Exit {
        self.group.kill()
    }

    /// How it ended; `None` while it runs.
    pub fn exit(&mut self) -> Option<Exit> {
        self.group.exit()
    }

    /// Waits for its end. What it had said is shown where it does not come.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> Exit {
        crate::eventually("the end of leasehold", deadline, || {
            self.exit().ok_or_else(|| format!("still running; its log so far:\n{}", self.stderr()))
        })
    }

    /// Its standard output so far.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// Its standard error, where the log goes, so far.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.output.join(name)).expect("made at the start");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The binary under test: `LEASEHOLD_BIN`, else the one that cargo built beside this test.
#[track_caller]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LEASEHOLD_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("/proc is mounted");
    // target/debug/deps/TEST-HASH → target/debug/leasehold
    let built = test.ancestors().nth(2).expect("cargo's layout").join("leasehold");
    assert!(built.exists(), "no {}: build it, or set LEASEHOLD_BIN", built.display());
    built
}

/// A copy where every uid may execute it: cargo's own may lie below somebody's home.
fn public_binary() -> PathBuf {
    static COPY: OnceLock<(Folder, PathBuf)> = OnceLock::new();
    let (_, path) = COPY.get_or_init(|| {
        let folder = Folder::on_disk();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).expect("a folder of ours");
        let path = folder.join("leasehold");
        // By another process: a child of a test beside this one could hold our descriptor for a moment, and
        // a file that is open for writing cannot be executed.
        let copied = Command::new("install").args(["-m", "755"]).arg(binary()).arg(&path).status();
        assert!(copied.is_ok_and(|status| status.success()), "copying the binary to {}", path.display());
        (folder, path)
    });
    path.clone()
}
