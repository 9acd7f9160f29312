//! The mock as a subject: what the suite asks for is played through its handle.

use std::sync::Arc;

use leasehold_conformance::{Capability, Content, Facts, Fault, Playing, Subject};
use leasehold_core::{Kind, Observer, Operation, Provider, ProviderSettings, SecretRef};
use leasehold_mock::{Hold, Mock, Settings};

const LEASED: &str = "database/creds/web";

/// A mock, as a test plays on it.
pub(crate) struct Scripted {
    name: &'static str,
    pub(crate) mock: Mock,
    settings: Settings,
}

impl Scripted {
    pub(crate) fn new() -> Self {
        Self::from_yaml("mock", "seed: 7")
    }

    pub(crate) fn without_log_in() -> Self {
        Self::from_yaml("mock, without log-in", "{ seed: 7, session: { kind: ambient } }")
    }

    fn from_yaml(name: &'static str, text: &str) -> Self {
        let settings = Settings::from_yaml(text).expect("it is valid");
        Self { name, mock: Mock::new(settings.clone()).0, settings }
    }

    fn has_sessions(&self) -> bool {
        self.name == "mock"
    }

    fn arrived(&self, path: &str) -> u64 {
        let of_it = |request: &leasehold_mock::Request| {
            request.operation == Operation::Fetch && request.paths.iter().any(|asked| asked == path)
        };
        self.mock.history().iter().filter(|request| of_it(request)).count() as u64
    }
}

impl Subject for Scripted {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn lacks(&self) -> Vec<(Capability, &'static str)> {
        let mut lacks = vec![
            (Capability::Binary, "its values are written as JSON"),
            (Capability::Stages, "its versions have no stages"),
            (Capability::Strangers, "it takes everybody"),
            (Capability::OddPaths, "it makes up what nobody said, at any path"),
            (Capability::HalfSent, "there is no wire to break"),
            (Capability::WrongContentType, "there is no wire to answer on"),
        ];
        if !self.has_sessions() {
            lacks.push((Capability::Sessions, "it is one without log-in"));
        }
        lacks
    }

    fn facts(&self) -> Facts {
        Facts { batch: 20, requests_per_batch: 1, largest: 1 << 20, patience: 0 }
    }

    fn provider(&self, name: &str, observer: Arc<dyn Observer>) -> Box<dyn Provider> {
        self.mock.provider(name, observer)
    }

    fn settings_shown(&self) -> String {
        format!("{:?} {}", self.settings, self.settings.identity())
    }

    fn credentials(&self) -> Vec<String> {
        Vec::new()
    }

    fn reference(&self, secret: &str) -> SecretRef {
        SecretRef { name: secret.to_owned(), path: format!("kv/{secret}"), ..SecretRef::default() }
    }

    /// It makes up what nobody said.
    fn missing(&self, secret: &str) -> SecretRef {
        self.remove(secret);
        self.reference(secret)
    }

    fn put(&self, secret: &str, content: &Content) -> Option<String> {
        let named = content.named();
        let texts =
            named.iter().map(|(name, value)| (*name, std::str::from_utf8(value).expect("it is text")));
        self.mock.set_fields(&self.reference(secret).path, texts);
        None
    }

    fn remove(&self, secret: &str) {
        self.mock.remove(&self.reference(secret).path);
    }

    fn deny(&self, reference: &SecretRef) {
        self.mock.deny(Operation::Fetch, &reference.path);
    }

    fn play(&self, fault: Fault, at: &SecretRef) -> Box<dyn Playing + '_> {
        let before = self.arrived(&at.path);
        let fail = |kind: Kind| leasehold_mock::Fault::new(kind).on(Operation::Fetch).at(&at.path);
        let mut hold = None;
        match fault {
            Fault::Throttle(wait) => self.mock.fail(fail(Kind::Throttled).retry_after(wait)),
            Fault::Withhold => hold = Some(self.mock.hold_at(Operation::Fetch, &at.path)),
            Fault::Reset => self.mock.fail(fail(Kind::Unavailable).answer_lost()),
            Fault::Nonsense => self.mock.fail(fail(Kind::Malformed)),
            Fault::ServerError => self.mock.fail(fail(Kind::Unavailable)),
            Fault::HalfSent | Fault::WrongContentType => unreachable!("it lacks them"),
        }
        Box::new(Played { scripted: self, path: at.path.clone(), before, hold })
    }

    fn requests(&self) -> u64 {
        self.mock.requests(Operation::Fetch)
    }

    fn leased(&self) -> SecretRef {
        SecretRef { name: "db".to_owned(), path: LEASED.to_owned(), ..SecretRef::default() }
    }

    fn living(&self) -> Vec<String> {
        self.mock.leases_at(LEASED).into_iter().map(|lease| lease.id).collect()
    }

    fn end(&self, lease: &str) {
        assert!(self.mock.revoke_lease(lease), "it lived");
    }
}

struct Played<'a> {
    scripted: &'a Scripted,
    path: String,
    before: u64,
    hold: Option<Hold>,
}

impl Playing for Played<'_> {
    fn met(&self) -> u64 {
        self.scripted.arrived(&self.path) - self.before
    }
}

impl Drop for Played<'_> {
    fn drop(&mut self) {
        drop(self.hold.take());
        self.scripted.mock.heal();
    }
}
