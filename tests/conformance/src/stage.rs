//! What a case stands on: a provider over its subject, and everything that was heard and shown.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use leasehold_core::{
    Error, Fetched, Kind, Lease, Login, MissingRight, Observer, Operation, Provider, SecretRef, Session,
    Target, Term, Traits, Wanted,
};

use crate::listen::{Listening, listen};
use crate::subject::{Cannot, Capability, Content, Facts, Fault, Playing, Subject};

/// What the provider under test is called in the configuration.
pub(crate) const NAME: &str = "store";
/// Longer than a shared machine stalls, and than 64 interpreters need to start on two processors that have
/// other things to do. Whatever takes longer has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Stage<'a> {
    pub(crate) subject: &'a dyn Subject,
    lacks: Vec<(Capability, &'static str)>,
    facts: Facts,
    seen: Arc<Seen>,
    heard: Listening,
    /// What must not be said or shown.
    secret: Mutex<Vec<String>>,
    /// What `Debug` and `Display` made of all that was brought.
    shown: Mutex<String>,
}

/// Every request that the provider told its observer.
#[derive(Default)]
struct Seen(Mutex<Vec<(Operation, Option<Kind>)>>);

impl Observer for Seen {
    fn request(&self, operation: Operation, outcome: Option<Kind>, _: Duration) {
        locked(&self.0).push((operation, outcome));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A provider in use, with its session.
pub(crate) struct Used<'a> {
    stage: &'a Stage<'a>,
    pub(crate) provider: Box<dyn Provider>,
    pub(crate) session: Session,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(subject: &'a dyn Subject) -> Self {
        let stage = Self {
            subject,
            lacks: subject.lacks(),
            facts: subject.facts(),
            seen: Arc::default(),
            heard: listen(),
            secret: Mutex::new(subject.credentials()),
            shown: Mutex::default(),
        };
        stage.show(&subject.settings_shown());
        stage
    }

    /// Goes on only where the subject has it.
    pub(crate) fn needs(&self, capability: Capability) -> Result<(), Cannot> {
        match self.lacks.iter().find(|(lacked, _)| *lacked == capability) {
            Some((_, why)) => Err(Cannot(why)),
            None => Ok(()),
        }
    }

    pub(crate) fn has(&self, capability: Capability) -> bool {
        self.needs(capability).is_ok()
    }

    pub(crate) fn facts(&self) -> Facts {
        self.facts
    }

    /// A short name that no other case uses.
    pub(crate) fn name(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        format!("case-{}-{:04}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// A value that exists nowhere else, and must not be said or shown.
    pub(crate) fn value(&self) -> String {
        let value: String = std::iter::repeat_with(fastrand::alphanumeric).take(24).collect();
        let value = format!("canary-{value}");
        self.keep_quiet(&value);
        value
    }

    /// From now on this must not have been said or shown, since the case began.
    pub(crate) fn keep_quiet(&self, value: &str) {
        // What is too short to be told from chance is left alone.
        if value.len() >= 8 {
            locked(&self.secret).push(value.to_owned());
        }
    }

    /// Remembers what `Debug` makes of it.
    pub(crate) fn show(&self, thing: &dyn Debug) {
        let mut shown = locked(&self.shown);
        shown.push_str(&format!("{thing:?}\n"));
    }

    /// Keeps a fresh text under a fresh name.
    pub(crate) fn kept(&self) -> Kept {
        let (name, value) = (self.name(), self.value());
        let version = self.subject.put(&name, &Content::Text(value.clone()));
        Kept { reference: self.subject.reference(&name), name, value, version }
    }

    /// A provider, logged in.
    pub(crate) async fn enter(&'a self) -> Used<'a> {
        let provider = self.subject.provider(NAME, self.seen.clone());
        let session = self.log_in(&*provider).await;
        Used { stage: self, provider, session }
    }

    pub(crate) async fn log_in(&self, provider: &dyn Provider) -> Session {
        let mut kept = None;
        for _ in 0..=self.facts.patience + 1 {
            match bounded("log-in", provider.login(kept.as_ref())).await {
                Ok(Login::Session(session)) => {
                    self.show(&session);
                    if let Some(credential) = session.credential.expose_text() {
                        self.keep_quiet(credential);
                    }
                    return session;
                }
                Ok(Login::Keep(exchanged)) => {
                    self.show(&exchanged);
                    self.keep_quiet(exchanged.expose_text().unwrap_or_default());
                    kept = Some(exchanged);
                }
                Err(error) => {
                    self.judge(&error, Operation::Login, None);
                    assert!(self.may_pass(&error), "the log-in failed: {error}");
                }
            }
        }
        panic!("no session after {} tries", self.facts.patience + 2)
    }

    /// What the observer was told since the last call.
    pub(crate) fn observed(&self) -> Vec<(Operation, Option<Kind>)> {
        std::mem::take(&mut locked(&self.seen.0))
    }

    /// Plays a fault, where it can be played.
    pub(crate) fn play(&self, fault: Fault, at: &SecretRef) -> Result<Box<dyn Playing + '_>, Cannot> {
        self.needs(fault.capability())?;
        Ok(self.subject.play(fault, at))
    }

    /// Whether to try again: only a subject that fails at random is given patience.
    pub(crate) fn may_pass(&self, error: &Error) -> bool {
        self.facts.patience > 0 && matches!(error.kind, Kind::Unavailable | Kind::Throttled)
    }

    /// What every error must be.
    pub(crate) fn judge(&self, error: &Error, operation: Operation, on: Option<&SecretRef>) {
        self.show(error);
        self.show(&format_args!("{error}"));
        assert_eq!(error.operation, operation, "the operation that failed: {error}");
        assert_eq!(error.provider, NAME, "the provider as it is called in the configuration: {error}");
        if let Some(on) = on {
            let named = error.reference.contains(&on.name);
            assert!(named, "the error names the secret \"{}\": {error}", on.name);
        }
        let detail = error.detail.as_str();
        assert!(!detail.is_empty(), "the error says what happened and what to do: {error}");
        assert!(!detail.ends_with('.') && !detail.contains('\n'), "one line without a full stop: {error}");
        let mut letters = detail.chars();
        let (first, second) = (letters.next(), letters.next());
        let upper = |letter: Option<char>| letter.is_some_and(char::is_uppercase);
        assert!(!upper(first) || upper(second), "lower case (but for an abbreviation): {error}");
        assert!(
            error.retry_after.is_none() || matches!(error.kind, Kind::Throttled | Kind::Unavailable),
            "only what passes says when to come back: {error:?}"
        );
    }

    /// Nothing of what must not be said was said or shown.
    pub(crate) fn close(&self) {
        let (said, shown) = (self.heard.said(), locked(&self.shown));
        let all = self.has(Capability::QuietLibraries);
        for secret in locked(&self.secret).iter() {
            let shown = shown.lines().find(|line| line.contains(secret));
            assert!(shown.is_none(), "a value or credential is shown by Debug or Display");
            let heard = |line: &&str| {
                all || line.split(' ').nth(1).is_some_and(|target| target.starts_with("leasehold"))
            };
            let said = said.lines().filter(heard).find(|line| line.contains(secret));
            let by = said.map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" "));
            assert!(by.is_none(), "a value or credential is said in a log, by {}", by.unwrap_or_default());
        }
    }
}

/// A secret that the subject keeps.
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) reference: SecretRef,
    pub(crate) value: String,
    pub(crate) version: Option<String>,
}

impl Used<'_> {
    pub(crate) fn describe(&self, reference: &SecretRef) -> Traits {
        self.provider.describe(reference)
    }

    /// One secret, once.
    pub(crate) async fn try_fetch(&self, reference: &SecretRef) -> Result<Fetched, Error> {
        self.try_fetch_since(reference, None).await
    }

    /// One secret of which a version is known, once.
    pub(crate) async fn try_fetch_since(
        &self,
        reference: &SecretRef,
        known_version: Option<&str>,
    ) -> Result<Fetched, Error> {
        let wanted = [Wanted { reference, known_version }];
        let fetched = bounded("fetch", self.provider.fetch(&self.session, &wanted)).await;
        let fetched = fetched.and_then(|mut results| {
            assert_eq!(results.len(), 1, "one result for one secret");
            results.remove(0)
        });
        self.look_at(&fetched, reference);
        fetched
    }

    /// One kept secret, with the patience that the subject is given.
    pub(crate) async fn fetch(&self, reference: &SecretRef) -> Fetched {
        self.fetch_since(reference, None).await
    }

    pub(crate) async fn fetch_since(&self, reference: &SecretRef, known_version: Option<&str>) -> Fetched {
        self.settled(reference, known_version)
            .await
            .unwrap_or_else(|error| panic!("what is kept is read: {error} ({:?})", error.kind))
    }

    /// What comes of it once what passes has passed.
    pub(crate) async fn settled(
        &self,
        reference: &SecretRef,
        known_version: Option<&str>,
    ) -> Result<Fetched, Error> {
        let mut tried = 0;
        loop {
            match self.try_fetch_since(reference, known_version).await {
                Err(error) if self.stage.may_pass(&error) && tried < self.stage.facts.patience => tried += 1,
                settled => return settled,
            }
        }
    }

    /// The error that a fetch brings, once what passes has passed.
    pub(crate) async fn refused(&self, reference: &SecretRef) -> Error {
        match self.settled(reference, None).await {
            Err(error) => error,
            Ok(_) => panic!("the fetch was to fail, and brought something"),
        }
    }

    /// Several secrets in one fetch.
    pub(crate) async fn fetch_all(&self, wanted: &[Wanted<'_>]) -> Vec<Result<Fetched, Error>> {
        let mut tried = 0;
        loop {
            match bounded("fetch", self.provider.fetch(&self.session, wanted)).await {
                Ok(results) => {
                    assert_eq!(results.len(), wanted.len(), "one result for each secret");
                    for (result, wanted) in results.iter().zip(wanted) {
                        self.look_at(result, wanted.reference);
                    }
                    return results;
                }
                Err(error) => {
                    self.stage.judge(&error, Operation::Fetch, None);
                    assert!(
                        self.stage.may_pass(&error) && tried < self.stage.facts.patience,
                        "the fetch as a whole failed: {error}"
                    );
                    tried += 1;
                }
            }
        }
    }

    fn look_at(&self, result: &Result<Fetched, Error>, reference: &SecretRef) {
        match result {
            Ok(fetched) => self.stage.show(fetched),
            Err(error) => self.stage.judge(error, Operation::Fetch, Some(reference)),
        }
    }

    pub(crate) async fn renew(&self, taken: &Taken, by: Duration) -> Result<Option<Term>, Error> {
        let renew = || self.provider.renew(&self.session, taken.target(), by);
        self.about(&taken.reference, Operation::Renew, renew).await
    }

    pub(crate) async fn lookup(&self, taken: &Taken) -> Result<Option<Term>, Error> {
        let look_up = || self.provider.lookup(&self.session, taken.target());
        self.about(&taken.reference, Operation::Lookup, look_up).await
    }

    pub(crate) async fn revoke(&self, taken: &Taken) -> Result<(), Error> {
        let revoke = || self.provider.revoke(&self.session, taken.target());
        self.about(&taken.reference, Operation::Revoke, revoke).await
    }

    pub(crate) async fn check(&self, reference: &SecretRef) -> Result<Vec<MissingRight>, Error> {
        let check = || self.provider.check(&self.session, reference);
        self.about(reference, Operation::Check, check).await
    }

    /// Ends the session, as our end does. It may have ended.
    pub(crate) async fn end_session(&self) {
        let revoke = || self.provider.revoke(&self.session, Target::Session);
        let revoked = self.patiently(Operation::Revoke, revoke).await;
        revoked.unwrap_or_else(|error| panic!("the session is revoked: {error}"));
    }

    /// Asks once; under patience until what passes has passed. Errors are judged.
    pub(crate) async fn patiently<T, F: Future<Output = Result<T, Error>>>(
        &self,
        operation: Operation,
        ask: impl Fn() -> F,
    ) -> Result<T, Error> {
        self.asked(None, operation, ask).await
    }

    async fn about<T, F: Future<Output = Result<T, Error>>>(
        &self,
        on: &SecretRef,
        operation: Operation,
        ask: impl Fn() -> F,
    ) -> Result<T, Error> {
        self.asked(Some(on), operation, ask).await
    }

    async fn asked<T, F: Future<Output = Result<T, Error>>>(
        &self,
        on: Option<&SecretRef>,
        operation: Operation,
        ask: impl Fn() -> F,
    ) -> Result<T, Error> {
        let mut tried = 0;
        loop {
            let answer = bounded(operation.as_str(), ask()).await;
            let Err(error) = &answer else { return answer };
            self.stage.judge(error, operation, on);
            if !self.stage.may_pass(error) || tried == self.stage.facts.patience {
                return answer;
            }
            tried += 1;
        }
    }

    /// Mints what the subject leases. Under patience a mint that failed is asked for again, as the
    /// engine would: what it left at the store is the session's.
    pub(crate) async fn mint(&self) -> Taken {
        let reference = self.stage.subject.leased();
        let fetched = self
            .settled(&reference, None)
            .await
            .unwrap_or_else(|error| panic!("a lease is taken: {error} ({:?})", error.kind));
        self.taken(fetched, reference)
    }

    /// What was minted, its values kept quiet.
    pub(crate) fn taken(&self, fetched: Fetched, reference: SecretRef) -> Taken {
        for value in values(&fetched) {
            self.stage.keep_quiet(&value);
        }
        let lease = fetched.lease.clone().expect("what is minted comes with a lease");
        Taken { lease, reference, fetched }
    }
}

/// A lease that was taken.
pub(crate) struct Taken {
    pub(crate) lease: Lease,
    pub(crate) reference: SecretRef,
    pub(crate) fetched: Fetched,
}

impl Taken {
    pub(crate) fn target(&self) -> Target<'_> {
        Target::Lease { lease: &self.lease, reference: &self.reference }
    }
}

/// The values that are worth keeping quiet: names of users and serial numbers stand in logs.
fn values(fetched: &Fetched) -> Vec<String> {
    const SECRET: [&str; 5] = ["password", "private_key", "secret_key", "token", "value"];
    let fields = fetched.fields.iter().flat_map(|fields| fields.iter());
    fields
        .filter(|(name, _)| SECRET.contains(name))
        .filter_map(|(_, field)| field.bytes.expose_text().map(str::to_owned))
        .collect()
}

/// Waits for it, and fails the case where it does not end.
pub(crate) async fn bounded<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(done) => done,
        Err(_) => panic!("the {what} did not end within {DEADLINE:?}"),
    }
}

/// Asks again and again until it holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    bounded(what, waiting).await
}
