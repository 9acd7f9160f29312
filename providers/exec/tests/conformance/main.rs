//! The suite of all providers, run with a program.
#![allow(clippy::disallowed_methods, reason = "a test starts programs and writes its own files")]
#![allow(clippy::unwrap_used, reason = "clippy takes only what stands in a test function for a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use leasehold_conformance::{Capability, Content, Facts, Fault, Playing, Subject};
use leasehold_core::{
    Environment, Failed, Observer, Program, Provider, ProviderSettings, Ran, SecretBytes, SecretRef, Spawn,
    Status, Surroundings, async_trait,
};
use leasehold_exec::{Raw, Settings};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

mod program {
    leasehold_conformance::suite!(super::Stored::new);
}

const STORE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/store.py");
const TOKEN: &str = "canary-of-the-programs-environment";

/// Starts programs, and kills them where nobody waits any more.
struct Started;

#[async_trait]
impl Spawn for Started {
    async fn run(&self, program: Program) -> Result<Ran, Failed> {
        let Program { command, environment, input, time_limit, output_limit, .. } = program;
        let variables: BTreeMap<&str, &str> =
            environment.iter().map(|(name, value)| (name.as_str(), value.expose_text().unwrap())).collect();
        let mut child = tokio::process::Command::new(&command[0])
            .args(&command[1..])
            .env_clear()
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|_| Failed::NotFound)?;
        let mut to = child.stdin.take().unwrap();
        to.write_all(input.expose()).await.unwrap();
        drop(to);
        let ended = tokio::time::timeout(time_limit, child.wait_with_output()).await;
        let ended = ended.map_err(|_| Failed::TimedOut(time_limit))?.unwrap();
        if ended.stdout.len() > output_limit {
            return Err(Failed::TooMuchOutput(output_limit));
        }
        // One of the two is there: it ended by itself, or by a signal.
        let signal = std::os::unix::process::ExitStatusExt::signal(&ended.status);
        let status = ended.status.code().map_or(Status::Signalled(signal.unwrap_or(0)), Status::Exited);
        Ok(Ran { status, output: SecretBytes::new(ended.stdout), errors: SecretBytes::new(ended.stderr) })
    }
}

/// A program, and the files in which its store is.
struct Stored {
    root: tempfile::TempDir,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    secrets: BTreeMap<String, Vec<Value>>,
    denied: BTreeSet<String>,
}

impl Stored {
    fn new() -> Self {
        let stored = Self { root: tempfile::tempdir().unwrap(), held: Mutex::default() };
        stored.change(|_| {});
        stored
    }

    fn settings(&self) -> Settings {
        let raw: Raw = serde_json::from_value(json!({
            "command": ["python3", STORE],
            "environment": { "STORE": self.root.path(), "TOKEN": TOKEN },
            "pass": ["PATH"],
            "batch": 5,
            "output_limit": "8MiB",
        }))
        .unwrap();
        let path = std::env::var("PATH").unwrap();
        Settings::parse("store", raw, &Environment::new([("PATH".to_owned(), path)])).unwrap()
    }

    /// The program reads it whole or not at all.
    fn change(&self, change: impl FnOnce(&mut Held)) {
        let mut held = self.held.lock().unwrap();
        change(&mut held);
        let text = json!({ "secrets": held.secrets, "denied": held.denied }).to_string();
        fs::write(self.root.path().join("held.new"), text).unwrap();
        fs::rename(self.root.path().join("held.new"), self.root.path().join("held")).unwrap();
    }

    fn counted(&self, name: &str) -> u64 {
        fs::metadata(self.root.path().join(name)).map_or(0, |file| file.len())
    }
}

impl Subject for Stored {
    fn name(&self) -> String {
        "exec, a program".to_owned()
    }

    fn lacks(&self) -> Vec<(Capability, &'static str)> {
        let leases = "this program only keeps";
        vec![
            (Capability::Stages, "this program's versions have no stages"),
            (Capability::Strangers, "the program logs in, in whatever way it does"),
            (Capability::Sessions, "the program logs in, in whatever way it does"),
            (Capability::Leases, leases),
            (Capability::Renewal, leases),
            (Capability::Lookup, leases),
            (Capability::Revocation, leases),
        ]
    }

    fn facts(&self) -> Facts {
        Facts { batch: 5, requests_per_batch: 1, largest: 1 << 20, patience: 0 }
    }

    fn provider(&self, name: &str, observer: Arc<dyn Observer>) -> Box<dyn Provider> {
        let surroundings = Surroundings { observer, spawn: Arc::new(Started), identity: None };
        self.settings().build(name, surroundings).unwrap()
    }

    fn settings_shown(&self) -> String {
        let settings = self.settings();
        format!("{settings:?} {}", settings.identity())
    }

    fn credentials(&self) -> Vec<String> {
        vec![TOKEN.to_owned()]
    }

    fn reference(&self, secret: &str) -> SecretRef {
        SecretRef { name: secret.to_owned(), path: format!("kept/{secret}"), ..SecretRef::default() }
    }

    fn put(&self, secret: &str, content: &Content) -> Option<String> {
        let kept = match content {
            Content::Bytes(bytes) => json!({ "binary": { "value": base64(bytes) } }),
            other => json!({ "fields": other.object().unwrap() }),
        };
        let mut version = 0;
        self.change(|held| {
            let versions = held.secrets.entry(self.reference(secret).path).or_default();
            versions.push(kept);
            version = versions.len();
        });
        Some(version.to_string())
    }

    fn remove(&self, secret: &str) {
        self.change(|held| {
            held.secrets.remove(&self.reference(secret).path);
        });
    }

    fn deny(&self, reference: &SecretRef) {
        self.change(|held| {
            held.denied.insert(reference.path.clone());
        });
    }

    fn play(&self, fault: Fault, at: &SecretRef) -> Box<dyn Playing + '_> {
        let (kind, wait) = match fault {
            Fault::Throttle(wait) => ("throttled", wait.as_secs()),
            Fault::Withhold => ("withhold", 0),
            Fault::HalfSent => ("half", 0),
            Fault::Reset => ("killed", 0),
            Fault::WrongContentType => ("page", 0),
            Fault::Nonsense => ("nonsense", 0),
            Fault::ServerError => ("unavailable", 0),
        };
        let played = json!({ "kind": kind, "wait": wait, "path": at.path }).to_string();
        fs::write(self.root.path().join("fault.new"), played).unwrap();
        fs::rename(self.root.path().join("fault.new"), self.root.path().join("fault")).unwrap();
        Box::new(Played { stored: self, before: self.counted("met") })
    }

    fn requests(&self) -> u64 {
        self.counted("requests")
    }
}

/// It ends when dropped, and lets go what was kept back.
struct Played<'a> {
    stored: &'a Stored,
    before: u64,
}

impl Playing for Played<'_> {
    fn met(&self) -> u64 {
        self.stored.counted("met") - self.before
    }
}

impl Drop for Played<'_> {
    fn drop(&mut self) {
        fs::remove_file(self.stored.root.path().join("fault")).unwrap();
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
