//! Secrets: read with their versions, or minted under a lease or with an end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{
    Bound, Effect, Fetched, Field, Fields, Kind, Lease, Operation, SecretBytes, SecretRef, Session, Term,
    Traits, Wanted,
};

use serde_json::{Map, Value};

use super::{Issued, Leased, Store};
use crate::authority::{self, Asked, Authority};
use crate::config::{Given, Secret, SecretKind, SessionKind};
use crate::failure::Failure;
use crate::fault::Stage;
use crate::made_up::{self, normal};
use crate::time::date;
use crate::values::Values;

/// How many secrets of the readable kinds one fetch takes.
const BATCH: usize = 20;
/// How many versions of a static secret are kept.
const VERSIONS: usize = 10;

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

impl Store {
    pub(crate) fn describe(&self, reference: &SecretRef) -> Traits {
        let path = normal(&reference.path);
        let minted = matches!(self.settings.kind(path), SecretKind::Dynamic | SecretKind::Certificate);
        let (effect, batch) =
            if minted || reference.data.is_some() { (Effect::Mints, 1) } else { (Effect::Reads, BATCH) };
        Traits { effect, batch, group: path.split('/').next().unwrap_or(path).to_owned() }
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
        let settings = self.settings.secret(path);
        let shape = settings.shape.clone();
        let period = match kind {
            SecretKind::Rotating => Some(settings.ttl),
            // What somebody wrote down is changed by whoever did.
            _ => settings.changes.filter(|_| given.is_none()),
        };
        let state = self.secrets.entry(path.to_owned()).or_default();
        let mut changes_in = None;
        if let Some(period) = period {
            let next = *state.changes_at.get_or_insert(now + period);
            if let Some(over) = now.checked_sub(next) {
                let missed = u64::try_from(over.as_nanos() / period.as_nanos()).unwrap_or(0) + 1;
                state.rotations += missed;
                let into = Duration::from_nanos_u128(over.as_nanos() % period.as_nanos());
                state.changes_at = Some(now + period - into);
            }
            changes_in = state.changes_at.map(|at| at - now);
        }
        let mut fields = match &given {
            Some(given) => given.fields(),
            None => made_up::fields(kind, seed, path, state.rotations, &shape),
        };
        // What was written down and lacks a field keeps it the same.
        let turn = if given.is_some() { 0 } else { state.rotations };
        shape.complete(&mut fields, seed, path, turn);
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
        let seed = self.settings.seed;
        let made = || made_up::fields(SecretKind::Dynamic, seed, path, turn, &settings.shape);
        let mut fields = given.map_or_else(made, |given| given.fields());
        settings.shape.complete(&mut fields, seed, path, turn);
        let fields = Arc::new(fields);
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
        let settings = self.settings.secret(path).clone();
        let mut data = reference.data.clone().unwrap_or_default();
        // Who issues makes the key, whatever is sent along.
        if path.rsplit('/').nth(1) == Some("issue") {
            data.remove("csr");
        }
        let ttl = lifetime(&data, &settings);
        let turn = self.turn(path);
        let seed = self.settings.seed;
        let serial = made_up::serial(seed, path, turn);
        let mut fields = match given {
            Some(given) => given.fields(),
            None => {
                let asked = Asked {
                    data: &data,
                    role: path.rsplit('/').next().unwrap_or(path),
                    serial,
                    now: date(),
                    ttl: self.time.really(ttl),
                };
                self.authority()?.sign(&asked)?
            }
        };
        settings.shape.complete(&mut fields, seed, path, turn);
        let picked = picked(Arc::new(fields), reference)?;
        let end = self.time.now() + ttl;
        let lease = reference.revoke.then(|| {
            let id = authority::shown(&serial);
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

    fn authority(&mut self) -> Result<&Authority, Failure> {
        let authority = match self.authority.take() {
            Some(authority) => authority,
            None => Authority::new(date())?,
        };
        Ok(self.authority.insert(authority))
    }

    /// Counts a mint; its number, from 0.
    fn turn(&mut self, path: &str) -> u64 {
        let state = self.secrets.entry(path.to_owned()).or_default();
        let turn = state.mints;
        state.mints += 1;
        turn
    }
}

impl State {
    /// Makes these fields the latest version, a new one if they differ or were rotated.
    pub(crate) fn latest(&mut self, fields: Fields) -> u64 {
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

/// What a certificate is asked for (`data.ttl`, a duration or seconds), at most the max TTL.
fn lifetime(data: &Map<String, Value>, settings: &Secret) -> Duration {
    let asked = match data.get("ttl") {
        Some(Value::String(text)) => {
            humantime::parse_duration(text).ok().or_else(|| text.parse().ok().map(Duration::from_secs))
        }
        Some(Value::Number(seconds)) => seconds.as_u64().map(Duration::from_secs),
        _ => None,
    };
    asked.filter(|asked| !asked.is_zero()).unwrap_or(settings.ttl).min(settings.max_ttl)
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
        Field { bytes: SecretBytes::new(field.bytes.expose().to_vec()), shape: field.shape },
    );
    Ok(Arc::new(one))
}
