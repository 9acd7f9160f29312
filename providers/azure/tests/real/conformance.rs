//! The suite of all providers, run with the stand-in for a key vault.

use std::sync::Arc;

use leasehold_azure::{Raw, Settings};
use leasehold_conformance::{Capability, Content, Facts, Fault, Playing, Subject};
use leasehold_core::{
    Environment, NoObserver, Observer, Provider, ProviderSettings, SecretRef, Surroundings,
};
use leasehold_standins::{Azure, Held, Part};

use crate::given::{CLIENT, raw, with_secret};

mod key_vault {
    leasehold_conformance::suite!(super::Kept::new);
}

/// A vault that one application may read.
struct Kept {
    azure: Azure,
    secret: String,
}

impl Kept {
    fn new() -> Self {
        let azure = Azure::start();
        let secret = azure.register_client(CLIENT);
        Self { azure, secret }
    }

    fn settings(&self, secret: &str) -> Settings {
        let raw: Raw = serde_json::from_value(raw(&self.azure, with_secret(secret))).unwrap();
        Settings::parse("store", raw, &Environment::default()).unwrap()
    }

    /// Requests that are no challenge, and with a name only those about that secret.
    fn arrived(&self, secret: Option<&str>) -> u64 {
        let about = |path: &str| match secret {
            Some(secret) => path.starts_with(&format!("/secrets/{secret}/")),
            None => path.starts_with("/secrets/"),
        };
        self.azure.requests_of(Part::Vault).iter().filter(|asked| about(&asked.path)).count() as u64
    }
}

impl Subject for Kept {
    fn name(&self) -> String {
        "azure key vault, stand-in".to_owned()
    }

    fn lacks(&self) -> Vec<(Capability, &'static str)> {
        let leases = "a key vault mints nothing";
        vec![
            (Capability::Batch, "the API reads one secret a request"),
            (Capability::Binary, "a secret is text"),
            (Capability::Stages, "versions have no stages"),
            (Capability::Leases, leases),
            (Capability::Renewal, leases),
            (Capability::Lookup, leases),
            (Capability::Revocation, leases),
        ]
    }

    fn facts(&self) -> Facts {
        Facts { batch: 1, requests_per_batch: 1, largest: 25 * 1024, patience: 0 }
    }

    fn provider(&self, name: &str, observer: Arc<dyn Observer>) -> Box<dyn Provider> {
        self.settings(&self.secret).build(name, Surroundings::observed(observer)).unwrap()
    }

    fn settings_shown(&self) -> String {
        let settings = self.settings(&self.secret);
        format!("{settings:?} {}", settings.identity())
    }

    fn credentials(&self) -> Vec<String> {
        vec![self.secret.clone()]
    }

    fn stranger(&self, name: &str) -> (Box<dyn Provider>, String) {
        let wrong = "kv8Q~wrong-client-secret".to_owned();
        let surroundings = Surroundings::observed(Arc::new(NoObserver));
        (self.settings(&wrong).build(name, surroundings).unwrap(), wrong)
    }

    fn reference(&self, secret: &str) -> SecretRef {
        SecretRef { name: secret.to_owned(), path: secret.to_owned(), ..SecretRef::default() }
    }

    fn put(&self, secret: &str, content: &Content) -> Option<String> {
        Some(self.azure.put_secret(secret, content.plain()))
    }

    fn remove(&self, secret: &str) {
        self.azure.delete(secret);
    }

    fn deny(&self, reference: &SecretRef) {
        self.azure.deny(&reference.path);
    }

    fn play(&self, fault: Fault, at: &SecretRef) -> Box<dyn Playing + '_> {
        use leasehold_standins::Fault as Played;
        match fault {
            Fault::Throttle(wait) => self.azure.throttle(1, wait),
            Fault::HalfSent => self.azure.fail_next(Played::HalfSent),
            Fault::Reset => self.azure.fail_next(Played::Reset),
            Fault::WrongContentType => self.azure.fail_next(Played::WrongContentType),
            Fault::Nonsense => self.azure.fail_next(Played::Malformed),
            Fault::ServerError => self.azure.fail_next(Played::Status(500)),
            Fault::Withhold => return Box::new(KeptBack(self.azure.hold(&at.path))),
        }
        Box::new(Once { kept: self, secret: at.path.clone(), before: self.arrived(Some(&at.path)) })
    }

    fn requests(&self) -> u64 {
        self.arrived(None)
    }
}

/// The next request meets the fault; those after it would show a retry.
struct Once<'a> {
    kept: &'a Kept,
    secret: String,
    before: u64,
}

struct KeptBack(Held);

impl Playing for KeptBack {
    fn met(&self) -> u64 {
        self.0.kept_back()
    }
}

impl Playing for Once<'_> {
    fn met(&self) -> u64 {
        self.kept.arrived(Some(&self.secret)) - self.before
    }
}
