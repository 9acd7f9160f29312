//! The store itself: plain data under one lock, and the way of a request through it. Nothing in
//! here waits. What it does for a request is in the modules below: sessions and leases, secrets,
//! and what is played on them.

mod faults;
mod secrets;
mod terms;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use leasehold_core::{Operation, Session};
use tokio::sync::watch;

use crate::authority::Authority;
use crate::config::Settings;
use crate::failure::Failure;
use crate::fault::{Fault, Stage, Touched, matches};
use crate::mock::Request;
use crate::script::Happening;
use crate::time::Time;

pub(crate) use faults::{Held, Way};
pub(crate) use secrets::State;
pub(crate) use terms::{Issued, Leased, Living};

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
    /// Made when the first certificate is asked for.
    authority: Option<Authority>,
}

impl Store {
    pub(crate) fn new(settings: Settings, run: u64) -> Self {
        let turns = vec![0; settings.script.len()];
        let rate = settings.rate;
        Self {
            settings,
            time: Time::start(rate),
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
            authority: None,
        }
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
}
