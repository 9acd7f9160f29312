//! A server that is found by its name, in a place of its own: what nginx and PgBouncer have in common.

use std::fs::{File, Permissions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::Group;
use crate::tmpfs::Folder;
use crate::{eventually, ports, program, timed};

const START: Duration = Duration::from_secs(30);

/// Who these servers run as where the tests are root: nobody on any machine.
pub const USER: u32 = 61_544;

/// Its folder, its port, and a copy of its program: no other process of the machine has that name.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) folder: Folder,
    pub(crate) address: SocketAddr,
    pub(crate) name: String,
}

/// A started one. Dropped, it is killed with all that it started.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) place: Place,
    process: Group,
}

impl Place {
    #[track_caller]
    pub(crate) fn new(program_name: &str) -> Self {
        let (folder, address) = (Folder::on_disk(), ports::free());
        std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("a folder of ours");
        give(&folder);
        // The kernel keeps 15 bytes of a name; a port is given out once.
        let name = format!("{:.8}-{}", program_name, address.port());
        let copy = folder.join(&name);
        // By another process: see `leasehold::public_binary`.
        let copied =
            Command::new("install").args(["-m", "755"]).arg(program(program_name)).arg(&copy).status();
        assert!(copied.is_ok_and(|status| status.success()), "copying to {}", copy.display());
        Self { folder, address, name }
    }

    /// Writes a file of its user.
    #[track_caller]
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, text).expect("a folder of ours");
        give(&path);
        path
    }

    /// Starts it as its user, and waits until its port answers.
    #[track_caller]
    pub(crate) fn start<'a>(self, arguments: impl IntoIterator<Item = &'a Path>) -> Daemon {
        let _timed = timed(format!("start: {}", self.name));
        let log = File::create(self.folder.join("output")).expect("a folder of ours");
        let mut command = Command::new(self.folder.join(&self.name));
        command.args(arguments).env_clear().current_dir("/");
        if rustix::process::geteuid().is_root() {
            command.uid(USER).gid(USER);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("an open file")).stderr(log);
        let process = Group::spawn(&mut command);
        let mut daemon = Daemon { place: self, process };
        eventually(&format!("{} answers", daemon.place.name), START, || match daemon.process.exit() {
            Some(exit) => panic!("{} ended with {exit:?}:\n{}", daemon.place.name, daemon.log()),
            None => TcpStream::connect(daemon.place.address),
        });
        daemon
    }
}

impl Daemon {
    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.place.folder.join("output")).unwrap_or_default()
    }
}

/// Makes the user of these servers the owner of a file or folder.
#[track_caller]
pub fn give(path: &Path) {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(USER), Some(USER)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}
