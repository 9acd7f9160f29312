//! The suite of all providers, run with the mock: as it is, without log-in, and behind bad weather.
#![allow(clippy::disallowed_methods, reason = "a test asks the provider itself, as the engine does")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use leasehold_conformance::{Call, Capability, Chaos, Content, Facts, Fault, Playing, Subject};
use leasehold_core::{
    Kind, Login, NoObserver, Observer, Operation, Provider, ProviderSettings, SecretRef, Session, Target,
    Wanted,
};
use leasehold_mock::{Hold, Mock, Settings};

const LEASED: &str = "database/creds/web";

mod mock {
    leasehold_conformance::suite!(super::Scripted::new);
}

mod ambient {
    leasehold_conformance::suite!(super::Scripted::without_log_in);
}

mod chaos {
    leasehold_conformance::suite!(|| super::Stormy::on(11));
}

/// A mock, as a test plays on it.
struct Scripted {
    name: &'static str,
    mock: Mock,
    settings: Settings,
}

impl Scripted {
    fn new() -> Self {
        Self::from_yaml("mock", "seed: 7")
    }

    fn without_log_in() -> Self {
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

/// A mock behind bad weather. The cases may repeat what passes; what happens is the seed's.
struct Stormy {
    scripted: Scripted,
    seed: AtomicU64,
}

impl Stormy {
    fn on(seed: u64) -> Self {
        Self { scripted: Scripted::new(), seed: AtomicU64::new(seed) }
    }

    fn chaos(&self, name: &str, observer: Arc<dyn Observer>) -> Chaos {
        let seed = self.seed.fetch_add(1_000, Ordering::Relaxed);
        Chaos::over(self.scripted.provider(name, observer), name, seed)
    }
}

impl Subject for Stormy {
    fn name(&self) -> String {
        "mock, behind chaos".to_owned()
    }

    fn lacks(&self) -> Vec<(Capability, &'static str)> {
        let own = "what fails is drawn, and not the case's to say";
        let mut lacks = self.scripted.lacks();
        lacks.retain(|(capability, _)| {
            !matches!(capability, Capability::HalfSent | Capability::WrongContentType)
        });
        lacks.extend([
            (Capability::Counting, "what failed is asked again"),
            (Capability::Throttling, own),
            (Capability::Slow, own),
            (Capability::HalfSent, own),
            (Capability::Reset, own),
            (Capability::WrongContentType, own),
            (Capability::Nonsense, own),
            (Capability::ServerError, own),
        ]);
        lacks
    }

    fn facts(&self) -> Facts {
        // Every fourth call fails, and an outage takes up to five.
        Facts { patience: 50, ..self.scripted.facts() }
    }

    fn provider(&self, name: &str, observer: Arc<dyn Observer>) -> Box<dyn Provider> {
        Box::new(self.chaos(name, observer))
    }

    fn settings_shown(&self) -> String {
        self.scripted.settings_shown()
    }

    fn credentials(&self) -> Vec<String> {
        self.scripted.credentials()
    }

    fn reference(&self, secret: &str) -> SecretRef {
        self.scripted.reference(secret)
    }

    fn missing(&self, secret: &str) -> SecretRef {
        self.scripted.missing(secret)
    }

    fn put(&self, secret: &str, content: &Content) -> Option<String> {
        self.scripted.put(secret, content)
    }

    fn remove(&self, secret: &str) {
        self.scripted.remove(secret);
    }

    fn deny(&self, reference: &SecretRef) {
        self.scripted.deny(reference);
    }

    fn leased(&self) -> SecretRef {
        self.scripted.leased()
    }

    fn living(&self) -> Vec<String> {
        self.scripted.living()
    }

    fn end(&self, lease: &str) {
        self.scripted.end(lease);
    }
}

#[test]
fn under_any_weather_every_case_holds() {
    for seed in 100..110 {
        for case in leasehold_conformance::names() {
            leasehold_conformance::run(case, &Stormy::on(seed));
        }
    }
}

async fn log_in(provider: &dyn Provider) -> Session {
    loop {
        if let Ok(Login::Session(session)) = provider.login(None).await {
            return session;
        }
    }
}

#[tokio::test]
async fn each_mint_that_reached_the_store_is_brought_or_said_to_be_unavailable_and_sent_once() {
    const MINTS: usize = 200;
    let stormy = Stormy::on(5);
    let chaos = stormy.chaos("mock", Arc::new(NoObserver));
    let record = chaos.record();
    let provider: Box<dyn Provider> = Box::new(chaos);
    let session = log_in(&*provider).await;
    let reference = stormy.leased();
    let mut brought = Vec::new();
    for _ in 0..MINTS {
        let wanted = [Wanted { reference: &reference, known_version: None }];
        match provider.fetch(&session, &wanted).await.and_then(|mut results| results.remove(0)) {
            Ok(fetched) => brought.push(fetched.lease.expect("it is leased").id),
            Err(error) => assert!(matches!(error.kind, Kind::Unavailable | Kind::Throttled), "{error}"),
        }
    }
    let fetches: Vec<Call> =
        record.calls().into_iter().filter(|call| call.operation == Operation::Fetch).collect();
    assert_eq!(fetches.len(), MINTS);
    let (passed, lost): (Vec<Call>, Vec<Call>) =
        fetches.iter().filter(|call| call.passed).partition(|call| call.instead.is_none());
    assert!(!lost.is_empty() && passed.len() + lost.len() < MINTS, "the weather was bad: {fetches:?}");
    assert_eq!(brought.len(), passed.len());
    assert_eq!(stormy.living().len(), passed.len() + lost.len(), "one lease for each that reached the store");
    assert!(brought.iter().all(|lease| stormy.living().contains(lease)));
    while provider.revoke(&session, Target::Session).await.is_err() {}
    assert_eq!(stormy.living(), Vec::<String>::new(), "those whose answers were lost end with the session");
}

#[tokio::test]
async fn the_weather_hangs_on_the_seed_alone() {
    let mut seen = Vec::new();
    for seed in [3, 3, 4] {
        let chaos = Stormy::on(seed).chaos("mock", Arc::new(NoObserver));
        for _ in 0..100 {
            let _ = chaos.login(None).await;
        }
        seen.push(chaos.record().calls());
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0], seen[2]);
}
