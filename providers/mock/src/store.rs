//! The store itself: sessions, leases, secrets and what is played on them. Plain data under one
//! lock; nothing in here waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{
    Bound, Effect, Fetched, Fields, Kind, Lease, Operation, Origin, SecretBytes, SecretRef, Session, Target,
    Term, Traits, Wanted,
};
use tokio::sync::watch;

use crate::config::{Given, SecretKind, SessionKind, Settings};
use crate::failure::Failure;
use crate::fault::{Fault, Stage, Touched, matches};
use crate::made_up::{self, normal};
use crate::mock::Request;
use crate::script::{Happening, Line};
use crate::time::Time;
use crate::values::Values;

/// How many secrets of the readable kinds one fetch takes.
pub(crate) const BATCH: usize = 20;
/// How many versions of a static secret are kept.
const VERSIONS: usize = 10;
/// How many requests are remembered.
const HISTORY: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) settings: Settings,
    pub(crate) time: Time,
    /// Mixed into the ids of sessions and leases, so that those of one process are unknown to the
    /// next: a hand-over outlives a process.
    pub(crate) run: u64,
    pub(crate) sessions: BTreeMap<String, Living>,
    pub(crate) leases: BTreeMap<String, Leased>,
    pub(crate) secrets: BTreeMap<String, State>,
    pub(crate) certificates: BTreeMap<String, Issued>,
    pub(crate) revoked: BTreeSet<String>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) delays: Vec<(Touched, Duration)>,
    pub(crate) holds: Vec<Held>,
    pub(crate) history: VecDeque<Request>,
    pub(crate) counts: watch::Sender<BTreeMap<Operation, u64>>,
    pub(crate) given: Option<String>,
    logins: u64,
    turns: Vec<u64>,
}

/// A session that has not ended.
#[derive(Debug)]
pub(crate) struct Living {
    pub(crate) credential: Arc<SecretBytes>,
    pub(crate) kind: SessionKind,
    pub(crate) origin: Origin,
    pub(crate) end: Option<Duration>,
    pub(crate) last_end: Option<Duration>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) uses_left: Option<u64>,
}

/// A lease that has not ended.
#[derive(Debug)]
pub(crate) struct Leased {
    pub(crate) path: String,
    /// `None` where there are no sessions.
    pub(crate) session: Option<String>,
    pub(crate) issued: Duration,
    pub(crate) end: Duration,
    pub(crate) last_end: Duration,
    pub(crate) renewable: bool,
    pub(crate) renewals: u64,
    pub(crate) fields: Arc<Fields>,
}

/// A certificate that can be revoked.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) end: Duration,
}

/// What the store knows of one path.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) mints: u64,
    /// How often its value was replaced.
    pub(crate) rotations: u64,
    /// Set by a test: `Some(None)` is a secret that does not exist any more.
    pub(crate) set: Option<Option<Given>>,
    rotations_seen: u64,
    changes_at: Option<Duration>,
    versions: BTreeMap<u64, Arc<Fields>>,
}

/// Answers that are withheld.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) touched: Touched,
    pub(crate) waiting: watch::Sender<u64>,
    pub(crate) released: watch::Receiver<()>,
}

/// What stands between the store's deed and its answer.
#[derive(Debug, Default)]
pub(crate) struct Way {
    pub(crate) delay: Duration,
    pub(crate) held: Vec<watch::Receiver<()>>,
}

impl Store {
    pub(crate) fn new(settings: Settings, run: u64) -> Self {
        let turns = vec![0; settings.script.len()];
        Self {
            settings,
            time: Time::start(),
            run,
            sessions: BTreeMap::new(),
            leases: BTreeMap::new(),
            secrets: BTreeMap::new(),
            certificates: BTreeMap::new(),
            revoked: BTreeSet::new(),
            faults: Vec::new(),
            delays: Vec::new(),
            holds: Vec::new(),
            history: VecDeque::new(),
            counts: watch::Sender::new(BTreeMap::new()),
            given: None,
            logins: 0,
            turns,
        }
    }

    pub(crate) fn describe(&self, reference: &SecretRef) -> Traits {
        let path = normal(&reference.path);
        let minted = matches!(self.settings.kind(path), SecretKind::Dynamic | SecretKind::Certificate);
        let (effect, batch) =
            if minted || reference.data.is_some() { (Effect::Mints, 1) } else { (Effect::Reads, BATCH) };
        Traits { effect, batch, group: path.split('/').next().unwrap_or(path).to_owned() }
    }

    /// One request, from its arrival to the answer that is on its way. `path`: of the secret that
    /// a lease belongs to; a fetch gives all its paths, and looks at what touches each by itself.
    pub(crate) fn request<T>(
        &mut self,
        operation: Operation,
        paths: &[&str],
        session: Option<&Session>,
        deed: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> (Result<T, Failure>, Way) {
        let now = self.catch_up();
        let session = session.map(|session| session.id.as_str());
        let own = if operation == Operation::Fetch { &[] } else { paths };
        let mut result = match self.fault(Stage::Refused, operation, own, session) {
            Some(fault) => Err(fault),
            None => deed(self),
        };
        self.bury();
        if result.is_ok()
            && let Some(lost) = self.fault(Stage::AnswerLost, operation, paths, session)
        {
            result = Err(lost);
        }
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(Request {
            at: now,
            operation,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            session: session.map(str::to_owned),
            outcome: result.as_ref().err().map(|failure| failure.kind),
        });
        let way = self.way(operation, paths, session, now);
        self.counts.send_modify(|counts| *counts.entry(operation).or_default() += 1);
        (result, way)
    }

    pub(crate) fn login(&mut self) -> Result<Session, Failure> {
        if let Some(id) = &self.given {
            return match self.sessions.get(id) {
                Some(living) => Ok(living.session(id, self.time.now())),
                None => Err(Failure::new(Kind::Denied, "the given session has ended: give another one")),
            };
        }
        let settings = self.settings.session.clone();
        if settings.kind == SessionKind::Ambient {
            return Ok(Session::ambient());
        }
        let now = self.time.now();
        let mut dice = made_up::dice(self.settings.seed ^ self.run, "session", "", self.logins);
        self.logins += 1;
        let id = format!("mock-session-{}", made_up::text(&mut dice, 12));
        let living = Living {
            credential: Arc::new(SecretBytes::from_text(format!("mock.{}", made_up::text(&mut dice, 24)))),
            kind: settings.kind,
            origin: if settings.given { Origin::Given } else { Origin::LoggedIn },
            end: settings.ttl.map(|ttl| now + settings.max_ttl.map_or(ttl, |max| ttl.min(max))),
            last_end: settings.max_ttl.map(|max| now + max),
            ttl: settings.ttl,
            uses_left: settings.uses,
        };
        let session = living.session(&id, now);
        if settings.given {
            self.given = Some(id.clone());
        }
        self.sessions.insert(id, living);
        Ok(session)
    }

    pub(crate) fn fetch(
        &mut self,
        session: &Session,
        wanted: &[Wanted<'_>],
        values: Result<Values, Failure>,
    ) -> Result<Vec<Result<Fetched, Failure>>, Failure> {
        let minted = wanted.iter().any(|wanted| self.describe(wanted.reference).effect == Effect::Mints);
        if wanted.len() > if minted { 1 } else { BATCH } {
            return Err(Failure::new(Kind::Internal, "more secrets at once than the mock says it takes"));
        }
        let under = self.use_session(session)?;
        let values = values?;
        Ok(wanted
            .iter()
            .map(|wanted| {
                let path = normal(&wanted.reference.path);
                match self.fault_at(Stage::Refused, Operation::Fetch, path, Some(&session.id)) {
                    Some(failure) => Err(failure),
                    None => self.fetch_one(under.as_deref(), wanted, &values),
                }
            })
            .collect())
    }

    pub(crate) fn lookup(&mut self, session: &Session, what: Target<'_>) -> Result<Option<Term>, Failure> {
        let under = self.use_session(session)?;
        let now = self.time.now();
        match what {
            Target::Session => match under {
                Some(id) => Ok(self.sessions.get(&id).ok_or_else(Failure::session_ended)?.term(now)),
                None => Ok(None),
            },
            Target::Lease { lease, .. } => {
                let leased = self.leases.get(&lease.id).map(|leased| (leased.end, leased.renewable));
                let issued = || self.certificates.get(&lease.id).map(|issued| (issued.end, false));
                let (end, renewable) = leased.or_else(issued).ok_or_else(Failure::lease_gone)?;
                Ok(Some(Term { ttl: end - now, renewable }))
            }
        }
    }

    pub(crate) fn renew(
        &mut self,
        session: &Session,
        what: Target<'_>,
        increment: Duration,
    ) -> Result<Option<Term>, Failure> {
        let under = self.use_session(session)?;
        let now = self.time.now();
        match what {
            Target::Session => {
                let Some(id) = under else { return Ok(None) };
                let living = self.sessions.get_mut(&id).ok_or_else(Failure::session_ended)?;
                let Some(ttl) = living.ttl else { return Ok(None) };
                if !living.renewable() {
                    return Err(Failure::new(Kind::Invalid, "this session cannot be renewed"));
                }
                let asked = match living.kind {
                    SessionKind::Periodic => ttl,
                    _ if increment.is_zero() => ttl,
                    _ => increment,
                };
                let granted = living.last_end.map_or(asked, |last| asked.min(last.saturating_sub(now)));
                living.end = Some(now + granted);
                Ok(Some(Term { ttl: granted, renewable: true }))
            }
            Target::Lease { lease, .. } if self.certificates.contains_key(&lease.id) => {
                Err(Failure::new(Kind::Invalid, "a certificate cannot be renewed"))
            }
            Target::Lease { lease, .. } => {
                let ttl = self.settings.secret(lease_path(&lease.id)).ttl;
                let leased = self.leases.get_mut(&lease.id).ok_or_else(Failure::lease_gone)?;
                if !leased.renewable {
                    return Err(Failure::new(Kind::Invalid, "this lease cannot be renewed"));
                }
                let asked = if increment.is_zero() { ttl } else { increment };
                let granted = asked.min(leased.last_end.saturating_sub(now));
                leased.end = now + granted;
                leased.renewals += 1;
                Ok(Some(Term { ttl: granted, renewable: true }))
            }
        }
    }

    pub(crate) fn revoke(&mut self, session: &Session, what: Target<'_>) -> Result<(), Failure> {
        let Target::Lease { lease, .. } = what else { return self.revoke_session(session) };
        self.use_session(session)?;
        self.leases.remove(&lease.id);
        if self.certificates.remove(&lease.id).is_some() {
            self.revoked.insert(lease.id.clone());
        }
        Ok(())
    }

    /// The denials that would meet this secret, each as an operation. None is used up.
    pub(crate) fn denials(&mut self, session: &Session, path: &str) -> Result<Vec<Operation>, Failure> {
        self.use_session(session)?;
        let now = self.time.now();
        let denied = |operation: Operation| {
            let scripted = self.settings.script.iter().filter(|line| line.is_on(now)).filter_map(Line::fault);
            self.faults.iter().chain(scripted).any(|fault| {
                fault.kind == Kind::Denied
                    && (fault.touched.matches(operation, None, Some(&session.id))
                        || fault.touched.matches(operation, Some(path), Some(&session.id)))
            })
        };
        Ok([Operation::Fetch, Operation::Renew, Operation::Lookup, Operation::Revoke]
            .into_iter()
            .filter(|operation| denied(*operation))
            .collect())
    }

    /// Lets happen what the script has for the time until now, and ends what has ended.
    pub(crate) fn catch_up(&mut self) -> Duration {
        let now = self.time.now();
        self.bury();
        for index in 0..self.settings.script.len() {
            let line = &self.settings.script[index];
            let turns = line.turns(now);
            let new = turns - std::mem::replace(&mut self.turns[index], turns);
            if new == 0 {
                continue;
            }
            match line.happening.clone() {
                Happening::Rotate(path) => self.secrets.entry(path).or_default().rotations += new,
                Happening::Revoke(pattern) => self.revoke_at(&pattern),
                Happening::ExpireSession => self.sessions.clear(),
                Happening::Fault(_) | Happening::Delay(..) => {}
            }
        }
        self.bury();
        now
    }

    pub(crate) fn revoke_at(&mut self, pattern: &str) {
        self.leases.retain(|_, leased| !matches(pattern, &leased.path));
    }

    /// Ends what has come to its end: sessions, the leases under them, leases.
    pub(crate) fn bury(&mut self) {
        let now = self.time.now();
        self.sessions
            .retain(|_, living| living.end.is_none_or(|end| end > now) && living.uses_left != Some(0));
        let sessions = &self.sessions;
        self.leases.retain(|_, leased| {
            leased.end > now && leased.session.as_ref().is_none_or(|session| sessions.contains_key(session))
        });
        self.certificates.retain(|_, issued| issued.end > now);
    }

    fn revoke_session(&mut self, session: &Session) -> Result<(), Failure> {
        if session.origin == Origin::Ambient {
            return Ok(());
        }
        let Some(living) = self.sessions.get(&session.id) else { return Ok(()) };
        if living.origin == Origin::Given {
            return Err(Failure::new(Kind::Denied, "the session was given to us: it is not ours to revoke"));
        }
        if living.kind == SessionKind::Batch {
            return Err(Failure::new(Kind::Invalid, "a batch session cannot be revoked"));
        }
        self.sessions.remove(&session.id);
        Ok(())
    }

    /// Counts one use. `None`: there are no sessions.
    fn use_session(&mut self, session: &Session) -> Result<Option<String>, Failure> {
        if self.settings.session.kind == SessionKind::Ambient && session.origin == Origin::Ambient {
            return Ok(None);
        }
        let living =
            self.sessions.get_mut(&session.id).filter(|living| living.credential == session.credential);
        let living = living.ok_or_else(Failure::session_ended)?;
        living.uses_left = living.uses_left.map(|left| left.saturating_sub(1));
        Ok(Some(session.id.clone()))
    }

    fn fetch_one(
        &mut self,
        session: Option<&str>,
        wanted: &Wanted<'_>,
        values: &Values,
    ) -> Result<Fetched, Failure> {
        let reference = wanted.reference;
        let path = normal(&reference.path);
        let absent = || Failure::new(Kind::Absent, "there is no such secret in the mock");
        let set = self.secrets.get(path).and_then(|state| state.set.clone());
        let given = match set.as_ref().or_else(|| values.of(&reference.name, path)) {
            Some(Some(given)) => Some(given.clone()),
            Some(None) => return Err(absent()),
            None => self.settings.secret(path).fields.clone(),
        };
        match self.settings.kind(path) {
            SecretKind::Absent => Err(absent()),
            SecretKind::Dynamic => self.mint(session, path, given, reference),
            SecretKind::Certificate => self.issue(path, given, reference),
            kind => self.read(kind, path, given, wanted),
        }
    }

    fn read(
        &mut self,
        kind: SecretKind,
        path: &str,
        given: Option<Given>,
        wanted: &Wanted<'_>,
    ) -> Result<Fetched, Failure> {
        let now = self.time.now();
        let seed = self.settings.seed;
        let period = self.settings.secret(path).ttl;
        let state = self.secrets.entry(path.to_owned()).or_default();
        let mut changes_in = None;
        if kind == SecretKind::Rotating {
            let next = *state.changes_at.get_or_insert(now + period);
            if let Some(over) = now.checked_sub(next) {
                let missed = u64::try_from(over.as_nanos() / period.as_nanos()).unwrap_or(0) + 1;
                state.rotations += missed;
                let into = Duration::from_nanos_u128(over.as_nanos() % period.as_nanos());
                state.changes_at = Some(now + period - into);
            }
            changes_in = state.changes_at.map(|at| at - now);
        }
        let fields = match &given {
            Some(given) => given.fields(),
            None => made_up::fields(kind, seed, path, state.rotations, None),
        };
        let latest = state.latest(fields);
        let version = match &wanted.reference.version {
            None => latest,
            Some(pinned) => {
                pinned.parse().ok().filter(|pinned| state.versions.contains_key(pinned)).ok_or_else(|| {
                    Failure::new(Kind::Absent, "the mock does not have the version asked for")
                })?
            }
        };
        let shown = Some(version.to_string());
        if wanted.known_version == shown.as_deref() {
            return Ok(Fetched { changes_in, ..Fetched::unchanged(shown) });
        }
        let fields = state.versions.get(&version).cloned();
        let fields = fields.map(|fields| picked(fields, wanted.reference)).transpose()?;
        Ok(Fetched { fields, version: shown, lease: None, term: None, changes_in })
    }

    fn mint(
        &mut self,
        session: Option<&str>,
        path: &str,
        given: Option<Given>,
        reference: &SecretRef,
    ) -> Result<Fetched, Failure> {
        let now = self.time.now();
        let settings = self.settings.secret(path).clone();
        let turn = self.turn(path);
        let made = || made_up::fields(SecretKind::Dynamic, self.settings.seed, path, turn, None);
        let fields = Arc::new(given.map_or_else(made, |given| given.fields()));
        let mut ttl = settings.ttl.min(settings.max_ttl);
        let mut last_end = now + settings.max_ttl;
        // A store caps what is taken under a batch session; under any other the lease says its
        // own TTL and dies with the session all the same.
        if let Some(end) = session
            .and_then(|id| self.sessions.get(id))
            .filter(|living| living.kind == SessionKind::Batch)
            .and_then(|living| living.end)
        {
            ttl = ttl.min(end - now);
            last_end = last_end.min(end);
        }
        let mut dice = made_up::dice(self.settings.seed ^ self.run, "lease", path, turn);
        let id = format!("{path}/{}", made_up::text(&mut dice, 24));
        let picked = picked(Arc::clone(&fields), reference)?;
        self.leases.insert(
            id.clone(),
            Leased {
                path: path.to_owned(),
                session: session.map(str::to_owned),
                issued: now,
                end: now + ttl,
                last_end,
                renewable: settings.renewable,
                renewals: 0,
                fields,
            },
        );
        Ok(Fetched {
            fields: Some(picked),
            version: None,
            lease: Some(Lease {
                id,
                bound: if session.is_some() { Bound::Session } else { Bound::Itself },
                namespace: reference.namespace.clone(),
            }),
            term: Some(Term { ttl, renewable: settings.renewable }),
            changes_in: None,
        })
    }

    fn issue(&mut self, path: &str, given: Option<Given>, reference: &SecretRef) -> Result<Fetched, Failure> {
        let end = self.time.now() + self.settings.secret(path).ttl;
        let ttl = self.settings.secret(path).ttl;
        let turn = self.turn(path);
        let name =
            reference.data.as_ref().and_then(|data| data.get("common_name")).and_then(|name| name.as_str());
        let made = made_up::fields(SecretKind::Certificate, self.settings.seed, path, turn, name);
        let serial = made.get("serial_number").and_then(|field| field.bytes.expose_text()).map(str::to_owned);
        let fields = Arc::new(given.map_or(made, |given| given.fields()));
        let picked = picked(fields, reference)?;
        let lease = serial.filter(|_| reference.revoke).map(|id| {
            self.certificates.insert(id.clone(), Issued { end });
            Lease { id, bound: Bound::Itself, namespace: reference.namespace.clone() }
        });
        Ok(Fetched {
            fields: Some(picked),
            version: None,
            lease,
            term: Some(Term { ttl, renewable: false }),
            changes_in: None,
        })
    }

    /// Counts a mint; its number, from 0.
    fn turn(&mut self, path: &str) -> u64 {
        let state = self.secrets.entry(path.to_owned()).or_default();
        let turn = state.mints;
        state.mints += 1;
        turn
    }

    /// The failure that is played on the request as a whole, or because of one of these paths.
    fn fault(
        &mut self,
        stage: Stage,
        operation: Operation,
        paths: &[&str],
        session: Option<&str>,
    ) -> Option<Failure> {
        let now = self.time.now();
        self.fault_for(stage, operation, None, session, now).or_else(|| {
            paths.iter().find_map(|path| self.fault_for(stage, operation, Some(path), session, now))
        })
    }

    fn fault_at(
        &mut self,
        stage: Stage,
        operation: Operation,
        path: &str,
        session: Option<&str>,
    ) -> Option<Failure> {
        let now = self.time.now();
        self.fault_for(stage, operation, Some(path), session, now)
    }

    fn fault_for(
        &mut self,
        stage: Stage,
        operation: Operation,
        path: Option<&str>,
        session: Option<&str>,
        now: Duration,
    ) -> Option<Failure> {
        let touches = |fault: &Fault| fault.stage == stage && fault.touched.matches(operation, path, session);
        let scripted = self.settings.script.iter().filter(|line| line.is_on(now)).filter_map(Line::fault);
        if let Some(fault) = scripted.into_iter().find(|fault| touches(fault)) {
            return Some(fault.failure());
        }
        let index = self.faults.iter().position(touches)?;
        let failure = self.faults[index].failure();
        if let Some(times) = &mut self.faults[index].times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.faults.remove(index);
            }
        }
        Some(failure)
    }

    fn way(&self, operation: Operation, paths: &[&str], session: Option<&str>, now: Duration) -> Way {
        let touches = |touched: &Touched| {
            touched.matches(operation, None, session)
                || paths.iter().any(|path| touched.matches(operation, Some(path), session))
        };
        let scripted = self.settings.script.iter().filter(|line| line.is_on(now)).filter_map(|line| {
            match &line.happening {
                Happening::Delay(touched, length) => Some((touched, *length)),
                _ => None,
            }
        });
        let delays = self.delays.iter().map(|(touched, length)| (touched, *length)).chain(scripted);
        let delay = delays.filter(|(touched, _)| touches(touched)).map(|(_, length)| length).max();
        let held = self.holds.iter().filter(|held| touches(&held.touched)).map(|held| {
            held.waiting.send_modify(|waiting| *waiting += 1);
            held.released.clone()
        });
        Way { delay: delay.unwrap_or_default(), held: held.collect() }
    }
}

impl Line {
    fn fault(&self) -> Option<&Fault> {
        match &self.happening {
            Happening::Fault(fault) => Some(fault),
            _ => None,
        }
    }
}

impl Living {
    fn renewable(&self) -> bool {
        matches!(self.kind, SessionKind::Service | SessionKind::Periodic)
    }

    fn term(&self, now: Duration) -> Option<Term> {
        self.end.map(|end| Term { ttl: end.saturating_sub(now), renewable: self.renewable() })
    }

    fn session(&self, id: &str, now: Duration) -> Session {
        Session {
            id: id.to_owned(),
            credential: Arc::clone(&self.credential),
            term: self.term(now),
            origin: self.origin,
            revocable: self.kind != SessionKind::Batch,
            uses_left: self.uses_left,
        }
    }
}

impl State {
    /// Makes these fields the latest version, a new one if they differ or were rotated.
    fn latest(&mut self, fields: Fields) -> u64 {
        let rotated = self.rotations - std::mem::replace(&mut self.rotations_seen, self.rotations);
        match self.versions.last_key_value() {
            Some((version, last)) if rotated == 0 && **last == fields => *version,
            last => {
                let version = last.map_or(1 + rotated, |(version, _)| version + rotated.max(1));
                self.versions.insert(version, Arc::new(fields));
                if self.versions.len() > VERSIONS {
                    self.versions.pop_first();
                }
                version
            }
        }
    }
}

/// The one field that `key` names, or all.
fn picked(fields: Arc<Fields>, reference: &SecretRef) -> Result<Arc<Fields>, Failure> {
    let Some(key) = &reference.key else { return Ok(fields) };
    let field = fields.get(key).ok_or_else(|| {
        let names: Vec<&str> = fields.names().collect();
        Failure::new(Kind::Absent, format!("it has no key \"{key}\", only {}", names.join(", ")))
    })?;
    let mut one = Fields::new();
    one.insert(
        key.clone(),
        leasehold_core::Field { bytes: SecretBytes::new(field.bytes.expose().to_vec()), shape: field.shape },
    );
    Ok(Arc::new(one))
}

fn lease_path(id: &str) -> &str {
    id.rsplit_once('/').map_or(id, |(path, _)| path)
}
