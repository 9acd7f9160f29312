//! A real OpenLDAP server, for log-ins by `ldap`.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::process::Group;
use crate::tmpfs::{Folder, tmpfs};
use crate::{eventually, ports, program, timed};

const START: Duration = Duration::from_secs(60);
const ROOT: &str = "cn=admin,dc=example,dc=org";
const PASSWORD: &str = "the-harness-knows-it";

/// A running server, with people under [`Slapd::USERS`].
#[derive(Debug)]
pub struct Slapd {
    address: SocketAddr,
    _process: Group,
    _folder: Folder,
}

/// The server that all tests of this process share.
#[track_caller]
pub fn slapd() -> &'static Slapd {
    static SHARED: OnceLock<Slapd> = OnceLock::new();
    SHARED.get_or_init(Slapd::start)
}

impl Slapd {
    /// Where people are. A user's name is the `uid`.
    pub const USERS: &'static str = "ou=people,dc=example,dc=org";

    fn start() -> Self {
        let _timed = timed("start: the shared slapd");
        let (folder, address) = (tmpfs(), ports::free());
        let data = folder.join("data");
        std::fs::create_dir(&data).expect("a fresh folder of ours");
        let config = folder.join("slapd.conf");
        let text = format!(
            "include /etc/ldap/schema/core.schema\n\
             include /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\n\
             modulepath /usr/lib/ldap\n\
             moduleload back_mdb\n\
             pidfile {folder}/pid\n\
             argsfile {folder}/args\n\
             database mdb\n\
             suffix dc=example,dc=org\n\
             rootdn {ROOT}\n\
             rootpw {PASSWORD}\n\
             directory {folder}/data\n",
            folder = folder.display()
        );
        std::fs::write(&config, text).expect("a folder of ours");

        let log = File::create(folder.join("log")).expect("a folder of ours");
        let mut command = Command::new(program("slapd"));
        command.arg("-f").arg(&config).args(["-h", &format!("ldap://{address}/"), "-d", "0"]);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("an open file")).stderr(log);
        let mut process = Group::spawn(&mut command);
        let base = "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\no: example\n\n\
                    dn: ou=people,dc=example,dc=org\nobjectClass: organizationalUnit\n";
        let entries = |entries: &str| add(address, entries);
        eventually("slapd takes its first entries", START, || match process.exit() {
            Some(exit) => {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                panic!("slapd ended with {exit:?}:\n{log}")
            }
            None => entries(base),
        });
        Self { address, _process: process, _folder: folder }
    }

    /// For the `url` of a log-in's configuration.
    pub fn url(&self) -> String {
        format!("ldap://{}", self.address)
    }

    /// Adds a user, who logs in with that password.
    #[track_caller]
    pub fn add_user(&self, name: &str, password: &str) {
        let users = Self::USERS;
        let entry = format!(
            "dn: uid={name},{users}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
             userPassword: {password}\n"
        );
        add(self.address, &entry).unwrap_or_else(|error| panic!("adding {name}: {error}"));
    }
}

fn add(address: SocketAddr, entries: &str) -> Result<(), String> {
    let mut command = Command::new(program("ldapadd"));
    command.args(["-x", "-H", &format!("ldap://{address}"), "-D", ROOT, "-w", PASSWORD]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut input = child.stdin.take().expect("it was asked for as a pipe");
    // Where it ends early, its status says more than our broken pipe.
    let _ = input.write_all(entries.as_bytes());
    drop(input);
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::vault;

    #[test]
    fn a_user_logs_in_to_vault_with_the_right_password_only() {
        slapd().add_user("web", "right");
        let mount = vault().ldap_mount("people");
        let login = |password| {
            vault().client("").write(&format!("auth/{mount}/login/web"), &json!({ "password": password }))
        };
        assert!(login("right").unwrap()["auth"]["client_token"].is_string());
        // Vault 1.13.0 answers 204 with no body here, where others answer 400.
        assert!(login("wrong").map_or(true, |answer| answer["auth"].is_null()));
    }
}
