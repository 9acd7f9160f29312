//! The suite of all providers, run with a directory.
#![allow(clippy::disallowed_methods, reason = "a test drops files as another tool does")]
#![allow(clippy::unwrap_used, reason = "clippy takes only what stands in a test function for a test")]

use std::fs;
use std::sync::Arc;

use leasehold_conformance::{Capability, Content, Facts, Subject};
use leasehold_core::{Environment, Observer, Provider, ProviderSettings, SecretRef, Surroundings};
use leasehold_file::{Raw, Settings};

mod directory {
    leasehold_conformance::suite!(super::Dropped::new);
}

/// A directory into which somebody else drops secrets.
struct Dropped {
    root: tempfile::TempDir,
}

impl Dropped {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn settings(&self) -> Settings {
        let raw = Raw { path: self.root.path().to_owned(), ..Raw::default() };
        Settings::parse("store", raw, &Environment::default()).unwrap()
    }
}

impl Subject for Dropped {
    fn name(&self) -> String {
        "file, a directory".to_owned()
    }

    fn lacks(&self) -> Vec<(Capability, &'static str)> {
        let leases = "files have no leases";
        let wire = "there is no wire";
        vec![
            (Capability::Pinning, "a file has no versions to choose from"),
            (
                Capability::Unchanged,
                "a version that is made of times could miss a change: it is read each time",
            ),
            (Capability::Stages, "a file has no stages"),
            (Capability::UnicodeNames, "fields are files, whose names hold no slash"),
            (Capability::Denial, "who runs the tests may read all files"),
            (Capability::Strangers, "there is no log-in"),
            (Capability::Sessions, "there is no log-in"),
            (Capability::Leases, leases),
            (Capability::Renewal, leases),
            (Capability::Lookup, leases),
            (Capability::Revocation, leases),
            (Capability::Counting, wire),
            (Capability::Throttling, wire),
            (Capability::Slow, wire),
            (Capability::HalfSent, wire),
            (Capability::Reset, wire),
            (Capability::WrongContentType, wire),
            (Capability::Nonsense, "whatever stands in a file without a known ending is a value"),
            (Capability::ServerError, wire),
        ]
    }

    fn facts(&self) -> Facts {
        Facts { batch: 1_000, requests_per_batch: 0, largest: 4 << 20, patience: 0 }
    }

    fn provider(&self, name: &str, observer: Arc<dyn Observer>) -> Box<dyn Provider> {
        self.settings().build(name, Surroundings::observed(observer)).unwrap()
    }

    fn settings_shown(&self) -> String {
        let settings = self.settings();
        format!("{settings:?} {}", settings.identity())
    }

    fn credentials(&self) -> Vec<String> {
        Vec::new()
    }

    fn reference(&self, secret: &str) -> SecretRef {
        SecretRef { name: secret.to_owned(), path: secret.to_owned(), ..SecretRef::default() }
    }

    /// Fields become files of a directory; each is put in place whole, as a careful tool does.
    fn put(&self, secret: &str, content: &Content) -> Option<String> {
        let place = self.root.path().join(secret);
        let fresh = self.root.path().join(format!(".{secret}.new"));
        match content {
            Content::Fields(fields) => {
                fs::create_dir(&fresh).unwrap();
                for (name, value) in fields {
                    fs::write(fresh.join(name), value).unwrap();
                }
            }
            plain => fs::write(&fresh, plain.plain()).unwrap(),
        }
        fs::rename(&fresh, &place).unwrap();
        None
    }

    fn remove(&self, secret: &str) {
        fs::remove_file(self.root.path().join(secret)).unwrap();
    }
}
