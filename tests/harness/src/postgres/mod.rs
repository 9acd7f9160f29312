//! A real PostgreSQL, and log-ins to it as an application makes them.

mod wire;

pub use wire::{Connection, Rows};

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use crate::process::Group;
use crate::tmpfs::{Folder, tmpfs};
use crate::{eventually, ports, program, timed};

const START: Duration = Duration::from_secs(60);

/// Who Vault connects as.
pub const SUPERUSER: &str = "postgres";
const PASSWORD: &str = "the-harness-knows-it";

/// A running server. Every log-in is by password, under scram-sha-256.
#[derive(Debug)]
pub struct Postgres {
    address: SocketAddr,
    // One connection for questions from beside, so that they cost the server next to nothing.
    beside: Mutex<Option<wire::Connection>>,
    _process: Group,
    _folder: Folder,
}

/// The server that all tests of this process share.
#[track_caller]
pub fn postgres() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(Postgres::start)
}

impl Postgres {
    fn start() -> Self {
        let _timed = timed("start: the shared postgres");
        let (folder, address) = (tmpfs(), ports::free());
        let (data, password) = (folder.join("data"), folder.join("password"));
        std::fs::write(&password, PASSWORD).expect("a fresh folder of ours");
        // It refuses to run as root; the folder is then the other user's too.
        let open = |path: &Path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o777));
        open(&folder).expect("a folder of ours");
        std::fs::set_permissions(&password, PermissionsExt::from_mode(0o644)).expect("a file of ours");

        let made = unprivileged("initdb")
            .args(["-U", SUPERUSER, "--auth=scram-sha-256", "--locale=C", "--encoding=UTF8", "--no-sync"])
            .arg("--pwfile")
            .arg(&password)
            .arg("-D")
            .arg(&data)
            .output()
            .expect("it starts");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));

        // Where it listens decides who reaches it.
        let access = "host all all 0.0.0.0/0 scram-sha-256\n";
        std::fs::write(data.join("pg_hba.conf"), access).expect("root writes anywhere");

        let log = File::create(folder.join("log")).expect("a folder of ours");
        let mut command = unprivileged("postgres");
        command.arg("-D").arg(&data).args(["-p", &address.port().to_string()]);
        for setting in [
            &format!("listen_addresses={}", address.ip()),
            "unix_socket_directories=",
            "password_encryption=scram-sha-256",
            "max_connections=300",
            "shared_buffers=16MB",
            "dynamic_shared_memory_type=mmap",
            // Nothing of it outlives the test.
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
        ] {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("an open file")).stderr(log);
        let mut process = Group::spawn(&mut command);
        eventually("postgres answers", START, || match process.exit() {
            Some(exit) => {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                panic!("postgres ended with {exit:?}:\n{log}")
            }
            None => wire::Connection::open(address, SUPERUSER, PASSWORD),
        });
        Self { address, beside: Mutex::new(None), _process: process, _folder: folder }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The superuser's password.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// For Vault's database engine, with its placeholders for user name and password.
    pub fn connection_url(&self) -> String {
        format!("postgresql://{{{{username}}}}:{{{{password}}}}@{}/postgres?sslmode=disable", self.address)
    }

    /// Logs in with a new connection, as an application does, and asks for `current_user`.
    ///
    /// # Errors
    /// What the server said, with its SQLSTATE; or what went wrong on the way.
    pub fn login(&self, username: &str, password: &str) -> Result<(), String> {
        login_at(self.address, username, password)
    }

    /// The names of all roles that start with `prefix`, sorted.
    #[track_caller]
    pub fn roles(&self, prefix: &str) -> Vec<String> {
        let prefix = prefix.replace('\'', "''");
        let rows = self.execute(&format!(
            "SELECT rolname FROM pg_roles WHERE starts_with(rolname, '{prefix}') ORDER BY rolname"
        ));
        rows.into_iter().filter_map(|mut row| row.pop().flatten()).collect()
    }

    /// Runs SQL as the superuser, and returns its rows, every value as text.
    #[track_caller]
    pub fn execute(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let mut beside = self.beside.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut connection = match beside.take() {
            Some(open) => open,
            None => wire::Connection::open(self.address, SUPERUSER, PASSWORD)
                .unwrap_or_else(|error| panic!("connecting as {SUPERUSER}: {error}")),
        };
        // Put back only after a success: a connection in an unknown state is dropped.
        let rows = connection.query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        *beside = Some(connection);
        rows
    }
}

/// [`Postgres::login`] to a server that another process started.
///
/// # Errors
/// The same.
pub fn login_at(address: SocketAddr, username: &str, password: &str) -> Result<(), String> {
    let mut connection = wire::Connection::open(address, username, password)?;
    let rows = connection.query("SELECT current_user")?;
    let answered = rows.first().and_then(|row| row.first());
    match answered {
        Some(Some(user)) if user == username => Ok(()),
        other => Err(format!("logged in as {username}, and the server says {other:?}")),
    }
}

/// The program as a user who is not root, which must have a name (initdb looks it up).
fn unprivileged(name: &str) -> Command {
    let path = program(name);
    if !rustix::process::geteuid().is_root() {
        return Command::new(path);
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("every system has it");
    let has = |user: &str| users.lines().any(|line| line.split(':').next() == Some(user));
    let user = if has("postgres") { "postgres" } else { "nobody" };
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--clear-groups"]).arg(path).current_dir("/");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_password_is_refused_and_the_right_one_is_not() {
        postgres().execute("CREATE ROLE checked LOGIN PASSWORD 'right'");
        assert_eq!(postgres().login("checked", "right"), Ok(()));
        let refused = postgres().login("checked", "wrong").unwrap_err();
        assert!(refused.starts_with("28P01"), "{refused}");
        assert_eq!(postgres().roles("check"), ["checked"]);
        assert!(postgres().roles("nobody-has-this").is_empty());
    }

    mod timing {
        use super::*;

        #[test]
        fn a_login_is_fast_enough_for_one_every_20_ms() {
            postgres().execute("CREATE ROLE fast LOGIN PASSWORD 'right'");
            let mut each: Vec<Duration> = (0..100)
                .map(|_| {
                    let start = std::time::Instant::now();
                    postgres().login("fast", "right").unwrap();
                    start.elapsed()
                })
                .collect();
            // The median: one stall of the machine is longer than all of them.
            each.sort();
            println!("{:?} to {:?}, most in {:?}", each[0], each[99], each[50]);
            assert!(each[50] < Duration::from_millis(20), "{each:?}");
        }
    }
}
