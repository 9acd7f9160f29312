//! The store in the hands of a test: look into it, and play on it while it is used.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::{Fields, Kind, NoObserver, Observer, Operation, Origin, Provider, SecretBytes};
use tokio::sync::watch;

use crate::backend::{Backend, locked};
use crate::config::{Given, Settings};
use crate::fault::{Fault, Touched};
use crate::made_up::normal;
use crate::store::{Held, Store};

/// A handle of one mock store; clones share it. Times are counted from the store's beginning.
#[derive(Clone)]
pub struct Mock(Arc<Mutex<Store>>);

/// One request that arrived, in the order of arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it arrived.
    pub at: Duration,
    /// What was asked.
    pub operation: Operation,
    /// Of which secrets: those fetched, or the one whose lease it is about. None: a session.
    pub paths: Vec<String>,
    /// Under which session.
    pub session: Option<String>,
    /// How it failed as a whole, if it did.
    pub outcome: Option<Kind>,
}

/// A lease that has not ended.
#[derive(Clone, Debug)]
pub struct LivingLease {
    /// Its id.
    pub id: String,
    /// The path it was minted at.
    pub path: String,
    /// The session it hangs on; none where there are no sessions.
    pub session: Option<String>,
    /// When it was minted.
    pub issued: Duration,
    /// What is left of it, its session's end included.
    pub ends_in: Duration,
    /// How often it was renewed.
    pub renewals: u64,
    /// What was handed out.
    pub fields: Arc<Fields>,
}

/// A session that has not ended.
#[derive(Clone, Debug)]
pub struct LivingSession {
    /// Its id.
    pub id: String,
    /// The credential.
    pub credential: Arc<SecretBytes>,
    /// Where it came from.
    pub origin: Origin,
    /// What is left of it; `None`: it does not end.
    pub ends_in: Option<Duration>,
    /// How many requests it still serves, where that is limited.
    pub uses_left: Option<u64>,
}

/// Answers are withheld until this is released or dropped. What was asked is done at once.
#[derive(Debug)]
pub struct Hold {
    mock: Mock,
    waiting: watch::Receiver<u64>,
    release: Option<watch::Sender<()>>,
}

impl Mock {
    /// A store with these settings, and a provider over it by the name of `mock`. Its time starts
    /// now, and everything in it depends on the seed and the requests alone.
    pub fn new(settings: Settings) -> (Self, Box<dyn Provider>) {
        let mock = Self(Arc::new(Mutex::new(Store::new(settings, 0))));
        let provider = mock.provider("mock", Arc::new(NoObserver));
        (mock, provider)
    }

    /// The store of a process: ids of sessions and leases are its own, since a hand-over may
    /// bring back those of a process before it.
    pub(crate) fn of_process(settings: Settings) -> Self {
        Self(Arc::new(Mutex::new(Store::new(settings, fastrand::u64(1..)))))
    }

    /// Another provider over the same store: a process that comes after the first, say.
    pub fn provider(&self, name: &str, observer: Arc<dyn Observer>) -> Box<dyn Provider> {
        Box::new(Backend { name: name.to_owned(), store: Arc::clone(&self.0), observer })
    }

    /// The store's time.
    pub fn now(&self) -> Duration {
        locked(&self.0).time.now()
    }

    /// Moves the store's time on, as a suspension of the machine does.
    pub fn jump(&self, by: Duration) {
        locked(&self.0).time.jump(by);
    }

    // What there is.

    /// The leases that have not ended, by id.
    pub fn leases(&self) -> Vec<LivingLease> {
        let mut store = locked(&self.0);
        let now = store.catch_up();
        let of = |(id, leased): (&String, &crate::store::Leased)| {
            let session = leased.session.as_ref().and_then(|id| store.sessions.get(id));
            let end = session.and_then(|living| living.end).map_or(leased.end, |end| end.min(leased.end));
            LivingLease {
                id: id.clone(),
                path: leased.path.clone(),
                session: leased.session.clone(),
                issued: leased.issued,
                ends_in: end.saturating_sub(now),
                renewals: leased.renewals,
                fields: Arc::clone(&leased.fields),
            }
        };
        store.leases.iter().map(of).collect()
    }

    /// The living leases at this path, oldest first.
    pub fn leases_at(&self, path: &str) -> Vec<LivingLease> {
        let mut leases = self.leases();
        leases.retain(|lease| lease.path == normal(path));
        leases.sort_by_key(|lease| lease.issued);
        leases
    }

    /// The sessions that have not ended, by id.
    pub fn sessions(&self) -> Vec<LivingSession> {
        let mut store = locked(&self.0);
        let now = store.catch_up();
        let of = |(id, living): (&String, &crate::store::Living)| LivingSession {
            id: id.clone(),
            credential: Arc::clone(&living.credential),
            origin: living.origin,
            ends_in: living.end.map(|end| end.saturating_sub(now)),
            uses_left: living.uses_left,
        };
        store.sessions.iter().map(of).collect()
    }

    /// How often a secret was minted at this path.
    pub fn mints(&self, path: &str) -> u64 {
        locked(&self.0).secrets.get(normal(path)).map_or(0, |state| state.mints)
    }

    /// Serial numbers of certificates that were revoked.
    pub fn revoked_certificates(&self) -> Vec<String> {
        locked(&self.0).revoked.iter().cloned().collect()
    }

    /// How many requests of this operation arrived.
    pub fn requests(&self, operation: Operation) -> u64 {
        locked(&self.0).counts.borrow().get(&operation).copied().unwrap_or(0)
    }

    /// The last 10,000 requests.
    pub fn history(&self) -> Vec<Request> {
        locked(&self.0).history.iter().cloned().collect()
    }

    /// Returns once so many requests of this operation have arrived, counted from the beginning.
    /// No deadline: the caller sets one.
    pub async fn arrived(&self, operation: Operation, count: u64) {
        let mut counts = locked(&self.0).counts.subscribe();
        let enough = |counts: &BTreeMap<Operation, u64>| counts.get(&operation).is_some_and(|n| *n >= count);
        // The sender lives in the store, and the store in this handle.
        let _ = counts.wait_for(enough).await;
    }

    // What is played.

    /// Requests fail from now on, until [`Mock::heal`].
    pub fn fail(&self, fault: Fault) {
        locked(&self.0).faults.push(fault);
    }

    /// Nothing can be reached, until [`Mock::heal`].
    pub fn outage(&self) {
        self.fail(Fault::new(Kind::Unavailable));
    }

    /// This operation is denied at this path, until [`Mock::heal`].
    pub fn deny(&self, operation: Operation, path: &str) {
        self.fail(Fault::new(Kind::Denied).on(operation).at(path));
    }

    /// This operation meets "too many requests", until [`Mock::heal`].
    pub fn throttle(&self, operation: Operation, retry_after: Duration) {
        self.fail(Fault::new(Kind::Throttled).on(operation).retry_after(retry_after));
    }

    /// Ends all faults and delays that were played by hand; the script goes on.
    pub fn heal(&self) {
        let mut store = locked(&self.0);
        store.faults.clear();
        store.delays.clear();
    }

    /// Answers to this operation take so long, until [`Mock::heal`]. What was asked is done at
    /// once.
    pub fn delay(&self, operation: Operation, length: Duration) {
        let touched = Touched { operation: Some(operation), ..Touched::default() };
        locked(&self.0).delays.push((touched, length));
    }

    /// Withholds the answers to this operation that arrive from now on.
    pub fn hold(&self, operation: Operation) -> Hold {
        self.hold_touched(Touched { operation: Some(operation), ..Touched::default() })
    }

    /// Withholds the answers to this operation at this path that arrive from now on.
    pub fn hold_at(&self, operation: Operation, path: &str) -> Hold {
        self.hold_touched(Touched { operation: Some(operation), path: Some(path.to_owned()), session: None })
    }

    fn hold_touched(&self, touched: Touched) -> Hold {
        let (release, released) = watch::channel(());
        let (count, waiting) = watch::channel(0);
        locked(&self.0).holds.push(Held { touched, waiting: count, released });
        Hold { mock: self.clone(), waiting, release: Some(release) }
    }

    /// Ends a lease behind the reader's back. False: it had ended.
    pub fn revoke_lease(&self, id: &str) -> bool {
        let mut store = locked(&self.0);
        store.catch_up();
        store.leases.remove(id).is_some()
    }

    /// Ends every lease at this path; one that ends in `*`: at all that begin so.
    pub fn revoke_path(&self, path: &str) {
        let mut store = locked(&self.0);
        store.catch_up();
        store.revoke_at(normal(path));
    }

    /// Ends a session, and its leases with it. False: it had ended.
    pub fn expire_session(&self, id: &str) -> bool {
        let mut store = locked(&self.0);
        store.catch_up();
        let lived = store.sessions.remove(id).is_some();
        store.bury();
        lived
    }

    /// The next log-in finds another given session, as if its file had been written anew. Only
    /// where sessions are given; the one before lives on.
    pub fn give_another_session(&self) {
        locked(&self.0).given = None;
    }

    /// What the store grants at this path from now on; the max TTL also bounds what lives there.
    pub fn set_ttl(&self, path: &str, ttl: Duration, max_ttl: Duration) {
        let mut store = locked(&self.0);
        store.catch_up();
        let path = normal(path);
        let mut secret = store.settings.secret(path).clone();
        (secret.ttl, secret.max_ttl) = (ttl, max_ttl);
        store.settings.secrets.insert(path.to_owned(), secret);
        for leased in store.leases.values_mut().filter(|leased| leased.path == path) {
            leased.last_end = leased.issued + max_ttl;
            leased.end = leased.end.min(leased.last_end);
        }
    }

    /// What a log-in brings from now on; the max TTL also bounds the sessions that live.
    pub fn set_session_ttl(&self, ttl: Duration, max_ttl: Duration) {
        let mut store = locked(&self.0);
        store.catch_up();
        (store.settings.session.ttl, store.settings.session.max_ttl) = (Some(ttl), Some(max_ttl));
        let last_end = store.time.now() + max_ttl;
        for living in store.sessions.values_mut().filter(|living| living.end.is_some()) {
            living.last_end = living.last_end.map(|end| end.min(last_end)).or(Some(last_end));
            living.end = living.end.map(|end| end.min(last_end));
        }
    }

    /// The static or rotating secret at this path gets a new value and version.
    pub fn rotate(&self, path: &str) {
        let mut store = locked(&self.0);
        store.catch_up();
        store.secrets.entry(normal(path).to_owned()).or_default().rotations += 1;
    }

    /// The secret at this path has these fields from now on; before the values file.
    pub fn set_fields<'a>(&self, path: &str, fields: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let given = Given::from_texts(fields);
        let mut store = locked(&self.0);
        let state = store.secrets.entry(normal(path).to_owned()).or_default();
        // A version of its own, whether or not anybody reads it before the next one.
        state.latest(given.fields());
        state.set = Some(Some(given));
    }

    /// There is no secret at this path any more.
    pub fn remove(&self, path: &str) {
        locked(&self.0).secrets.entry(normal(path).to_owned()).or_default().set = Some(None);
    }
}

impl fmt::Debug for Mock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mock")
    }
}

impl Hold {
    /// Returns once so many answers were withheld by this hold. No deadline: the caller sets one.
    pub async fn reached(&mut self, count: u64) {
        // The sender lives in the store until this is dropped.
        let _ = self.waiting.wait_for(|waiting| *waiting >= count).await;
    }

    /// Lets the answers go.
    pub fn release(self) {}
}

impl Drop for Hold {
    fn drop(&mut self) {
        drop(self.release.take());
        let mut store = locked(&self.mock.0);
        store.holds.retain(|held| held.released.has_changed().is_ok());
    }
}
