//! Starting, stopping and sealing servers.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Audit, Client};
use crate::process::Group;
use crate::tmpfs::{Folder, tmpfs};
use crate::{eventually, ports, program, timed};

const START: Duration = Duration::from_secs(60);

/// A running server.
#[derive(Debug)]
pub struct Vault {
    folder: Folder,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    root_token: String,
    unseal_key: Option<String>,
    process: Mutex<Option<Group>>,
}

/// What a server of one's own is like. Its storage is on files and survives a restart.
#[derive(Clone, Debug, Default)]
pub struct VaultConfig {
    tls: Option<Tls>,
    extra: Vec<(String, Value)>,
    environment: Vec<(String, String)>,
}

/// The files of a TLS listener. The server reads the first two again on SIGHUP.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The server's certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Where set, every client must show a certificate that this one signed. (Log-in by `cert` needs it not:
    /// the server asks for a certificate anyway, and takes none as an answer.)
    pub client_ca: Option<PathBuf>,
}

impl VaultConfig {
    /// Adds a TLS listener on a port of its own ([`Vault::tls_address`]) beside the plain one.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets any key of the server's configuration, such as `max_lease_ttl`.
    pub fn set(mut self, key: &str, value: Value) -> Self {
        self.extra.push((key.to_owned(), value));
        self
    }

    /// Sets a variable of the server's environment, which is empty otherwise.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Vault {
    pub(super) fn shared() -> Self {
        let _timed = timed("start: the shared vault");
        let (folder, address) = (tmpfs(), ports::free());
        let arguments = ["server", "-dev", "-dev-root-token-id=root", "-log-level=warn"].map(str::to_owned);
        let mut arguments = arguments.to_vec();
        arguments.push(format!("-dev-listen-address={address}"));
        let vault = Self {
            folder,
            arguments,
            environment: Vec::new(),
            address,
            tls_address: None,
            root_token: "root".into(),
            unseal_key: None,
            process: Mutex::new(None),
        };
        vault.start();
        vault.switch_audit_on();
        vault
    }

    /// Starts a server for one test alone: initialised, unsealed, its audit log on.
    #[track_caller]
    pub fn own(config: VaultConfig) -> Self {
        let _timed = timed("start: a vault of one's own");
        let (folder, address) = (tmpfs(), ports::free());
        let mut listeners = vec![json!({ "tcp": { "address": address.to_string(), "tls_disable": true } })];
        let tls_address = config.tls.map(|tls| {
            let address = ports::free();
            let mut listener = json!({
                "address": address.to_string(),
                "tls_cert_file": tls.certificate,
                "tls_key_file": tls.key,
            });
            if let Some(ca) = tls.client_ca {
                listener["tls_client_ca_file"] = json!(ca);
                listener["tls_require_and_verify_client_cert"] = json!(true);
            }
            listeners.push(json!({ "tcp": listener }));
            address
        });
        let mut settings = json!({
            "storage": { "file": { "path": folder.join("storage") } },
            "listener": listeners,
            "api_addr": format!("http://{address}"),
            "disable_mlock": true,
            "log_level": "warn",
        });
        for (key, value) in config.extra {
            settings[key] = value;
        }
        let file = folder.join("config.json");
        std::fs::write(&file, settings.to_string()).expect("a fresh folder of ours");
        let arguments = vec!["server".into(), format!("-config={}", file.display())];
        let process = Mutex::new(None);
        let mut vault = Self {
            folder,
            arguments,
            environment: config.environment,
            address,
            tls_address,
            root_token: String::new(),
            unseal_key: None,
            process,
        };
        vault.start();
        let made = vault
            .client("")
            .write("sys/init", &json!({ "secret_shares": 1, "secret_threshold": 1 }))
            .unwrap_or_else(|refusal| panic!("initialising a vault: {refusal}"));
        vault.root_token = made["root_token"].as_str().expect("init answers with it").into();
        vault.unseal_key = Some(made["keys_base64"][0].as_str().expect("init answers with it").into());
        vault.unseal();
        vault.switch_audit_on();
        vault
    }

    /// Where it listens, plain.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens with TLS.
    ///
    /// # Panics
    /// Where it has no such listener.
    pub fn tls_address(&self) -> SocketAddr {
        self.tls_address.expect("a server of one's own, with VaultConfig::tls")
    }

    /// Root's token: for the set-up, never for what is tested.
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// What was asked of it.
    pub fn audit(&self) -> Audit {
        Audit::new(&self.audit_file())
    }

    /// The server's own log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Starts it again on the same ports with the same storage: sealed, as after a reboot.
    #[track_caller]
    pub fn start(&self) {
        let mut process = self.process();
        assert!(process.is_none(), "it runs already");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .expect("a folder of ours");
        let mut command = Command::new(program("vault"));
        command
            .args(&self.arguments)
            .env_clear()
            .env("HOME", self.folder.as_os_str())
            .current_dir(&self.folder);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("an open file")).stderr(log);
        let group = process.insert(Group::spawn(&mut command));
        let client = Client::new(self.address, "");
        eventually("vault answers", START, || match group.exit() {
            Some(exit) => panic!("vault ended with {exit:?}:\n{}", self.log()),
            None => client.read("sys/seal-status"),
        });
    }

    /// Stops it as an operator does (SIGTERM), and waits for its end.
    #[track_caller]
    pub fn stop(&self) {
        let mut group = self.process().take().expect("it runs");
        group.signal(Signal::TERM);
        group.wait(START);
    }

    /// `kill -9`.
    #[track_caller]
    pub fn kill9(&self) {
        self.process().take().expect("it runs").kill();
    }

    /// Stops it where it stands (SIGSTOP): connections stay open and nothing answers.
    #[track_caller]
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`Vault::freeze`].
    #[track_caller]
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends any signal. SIGHUP: the TLS listener reads its files again.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.process().as_mut().expect("it runs").signal(signal);
    }

    /// Seals it: it answers 503 from now on.
    #[track_caller]
    pub fn seal(&self) {
        self.write("sys/seal", json!({}));
    }

    /// Unseals it, and waits until it is active.
    #[track_caller]
    pub fn unseal(&self) {
        let key = self.unseal_key.as_ref().expect("a server of one's own");
        self.write("sys/unseal", json!({ "key": key }));
        let client = self.client("");
        eventually("vault is active", START, || client.read("sys/health"));
    }

    fn switch_audit_on(&self) {
        let options = json!({ "file_path": self.audit_file(), "log_raw": "true" });
        self.write("sys/audit/file", json!({ "type": "file", "options": options }));
    }

    fn audit_file(&self) -> PathBuf {
        let folder: &Path = &self.folder;
        folder.join("audit.log")
    }

    fn process(&self) -> MutexGuard<'_, Option<Group>> {
        self.process.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_ones_own_keeps_its_storage_over_a_restart() {
        let vault = Vault::own(VaultConfig::default());
        let kv = vault.kv_mount("kept", 1);
        kv.put("one", json!({ "field": "value" }));

        vault.seal();
        assert_eq!(vault.root().read(&kv.data("one")).unwrap_err().status, 503);
        vault.unseal();

        vault.kill9();
        assert_eq!(vault.root().read(&kv.data("one")).unwrap_err().status, 0);
        vault.start();
        assert_eq!(vault.root().read(&kv.data("one")).unwrap_err().status, 503);
        vault.unseal();
        assert_eq!(vault.read(&kv.data("one")).unwrap()["data"]["field"], "value");
        vault.stop();
    }
}
