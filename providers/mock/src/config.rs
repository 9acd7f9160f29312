//! The configuration of a mock provider: as it is written, and as valid types. Nothing is opened
//! here; the values file is read at each fetch.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_core::{
    Character, Environment, Error, Fields, Grants, Portrait, Problem, Provider, ProviderSettings, SecretRef,
    Surroundings,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::mock::Mock;
use crate::script::{self, Line};
use crate::shape::Shape;
use crate::{explain, made_up};

/// `type: mock` as it is written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// What values are made up on: the same seed and the same requests give the same values.
    /// Default 1.
    pub seed: Option<u64>,
    /// A YAML or JSON file: secret name or path → its fields. It takes effect when it is saved. A
    /// plain value stands for the one field `value`; `null` is a secret that does not exist. Leased
    /// secrets take it on with their next mint.
    /// Secrets that it does not name are made up.
    pub values: Option<PathBuf>,
    /// How long a lease or certificate lives, and how often a static role rotates. Default `1m`. A
    /// certificate whose `data` has a `ttl` lives for that, at most for `max_ttl`.
    pub ttl: Option<String>,
    /// How long renewals can stretch a lease. Default `5m`, or `ttl` where that is longer.
    pub max_ttl: Option<String>,
    /// Whether leases can be renewed. Default true.
    pub renewable: Option<bool>,
    /// The session that a log-in brings.
    pub session: Option<RawSession>,
    /// What differs for single secrets, by their path.
    #[serde(default)]
    pub secrets: BTreeMap<String, RawSecret>,
    /// What happens when, counted from the start.
    #[serde(default)]
    pub script: Vec<RawLine>,
}

/// `session` as it is written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSession {
    /// What kind of session. Default `service`.
    pub kind: Option<SessionKind>,
    /// How long it lives; the period of a periodic one. Default `10m`.
    pub ttl: Option<String>,
    /// How long renewals can stretch it. Default `1h`; a periodic one has none unless it is set.
    pub max_ttl: Option<String>,
    /// After so many requests it ends. Default: unlimited.
    pub uses: Option<u64>,
    /// True: it was given to us, as with Vault's `method: token`, so it is not ours to revoke.
    /// Default false.
    pub given: Option<bool>,
}

/// One entry of `secrets` as it is written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSecret {
    /// How it behaves. Default: by its path. `*/creds/*` and `*/sts/*` are dynamic,
    /// `*/static-creds/*` rotating, `*/issue/*` and `*/sign/*` certificates, anything else static.
    pub kind: Option<SecretKind>,
    /// As `ttl` of the provider.
    pub ttl: Option<String>,
    /// As `max_ttl` of the provider.
    pub max_ttl: Option<String>,
    /// As `renewable` of the provider.
    pub renewable: Option<bool>,
    /// Its fields, in place of made-up ones.
    pub fields: Option<Given>,
}

/// One entry of `script` as it is written: when, and exactly one happening.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawLine {
    /// When it happens, counted from the start. Default `0s`; with `every`, one `every`.
    pub at: Option<String>,
    /// It happens again and again, this far apart.
    pub every: Option<String>,
    /// How long an outage, throttling, denial or delay lasts. Default: for ever.
    #[serde(rename = "for")]
    pub lasts: Option<String>,
    /// Narrows a denial, throttling or delay to this path; one that ends in `*` to all that
    /// begin so.
    pub path: Option<String>,
    /// Narrows an outage, throttling or delay to one operation: `login`, `fetch`, `lookup`,
    /// `renew`, `revoke` or `check`.
    pub operation: Option<String>,
    /// `true`: nothing can be reached.
    pub outage: Option<bool>,
    /// Too many requests; come back after this time.
    pub throttle: Option<String>,
    /// This operation is denied; `any`: every one.
    pub deny: Option<String>,
    /// Every answer takes this long.
    pub delay: Option<String>,
    /// The static or rotating secret at this path gets a new value.
    pub rotate: Option<String>,
    /// An operator revokes every lease at this path; one that ends in `*`: at all that begin so.
    pub revoke: Option<String>,
    /// `true`: every session ends, and its leases with it.
    pub expire_session: Option<bool>,
}

/// How a secret behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecretKind {
    /// Minted at each fetch, under a lease.
    Dynamic,
    /// One value with versions, until it is changed.
    Static,
    /// Minted at each fetch, with an end and no lease.
    Certificate,
    /// One value that the store replaces every `ttl` (a static role).
    Rotating,
    /// Does not exist.
    Absent,
}

/// How a session behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SessionKind {
    /// Renewable up to its max TTL.
    Service,
    /// Renewable for ever, each time for its period; with `max_ttl` that is its explicit end.
    Periodic,
    /// Neither renewable nor revocable.
    Batch,
    /// Does not end.
    Root,
    /// There is no log-in, as with a store whose SDK does it.
    Ambient,
}

/// Fields that somebody wrote down. Its `Debug` shows their names.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Given(BTreeMap<String, Value>);

impl Given {
    /// What a file holds for one secret; a plain value is the field `value`.
    pub(crate) fn from_value(value: Value) -> Self {
        match value {
            Value::Object(fields) => Self(fields.into_iter().collect()),
            plain => Self(BTreeMap::from([("value".to_owned(), plain)])),
        }
    }

    /// The names of its fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Text fields.
    pub(crate) fn from_texts<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect())
    }

    pub(crate) fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in &self.0 {
            fields.insert_json(name, value.clone());
        }
        fields
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A mock provider's valid settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(crate) seed: u64,
    pub(crate) values: Option<PathBuf>,
    pub(crate) standard: Secret,
    pub(crate) session: Session,
    pub(crate) secrets: BTreeMap<String, Secret>,
    pub(crate) script: Vec<Line>,
    /// How much faster than the machine's clock its time runs.
    pub(crate) rate: u32,
}

/// How one secret lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Secret {
    /// `None`: by its path.
    pub(crate) kind: Option<SecretKind>,
    pub(crate) ttl: Duration,
    pub(crate) max_ttl: Duration,
    pub(crate) renewable: bool,
    pub(crate) fields: Option<Given>,
    /// Fields that are made up beside those that its kind has.
    pub(crate) shape: Shape,
    /// How often somebody changes a static one that is made up, if ever.
    pub(crate) changes: Option<Duration>,
}

/// How a session lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) kind: SessionKind,
    /// `None`: it does not end.
    pub(crate) ttl: Option<Duration>,
    pub(crate) max_ttl: Option<Duration>,
    pub(crate) uses: Option<u64>,
    pub(crate) given: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            values: None,
            standard: Secret {
                kind: None,
                ttl: Duration::from_secs(60),
                max_ttl: Duration::from_secs(300),
                renewable: true,
                fields: None,
                shape: Shape::default(),
                changes: None,
            },
            session: Session {
                kind: SessionKind::Service,
                ttl: Some(Duration::from_secs(600)),
                max_ttl: Some(Duration::from_secs(3_600)),
                uses: None,
                given: false,
            },
            secrets: BTreeMap::new(),
            script: Vec::new(),
            rate: 1,
        }
    }
}

impl ProviderSettings for Settings {
    type Raw = Raw;

    /// The environment is not asked: a mock needs nothing from it.
    fn parse(_name: &str, raw: Raw, _environment: &Environment) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let defaults = Self::default();
        let standard = life(
            "",
            RawSecret {
                ttl: raw.ttl,
                max_ttl: raw.max_ttl,
                renewable: raw.renewable,
                ..RawSecret::default()
            },
            &defaults.standard,
            &mut problems,
        );
        let session = session(raw.session.unwrap_or_default(), defaults.session, &mut problems);
        let secrets: BTreeMap<String, Secret> = raw
            .secrets
            .into_iter()
            .map(|(path, secret)| {
                let settings = life(&format!("secrets.{path}."), secret, &standard, &mut problems);
                (made_up::normal(&path).to_owned(), settings)
            })
            .collect();
        let mut settings = Self {
            seed: raw.seed.unwrap_or(1),
            values: raw.values,
            standard,
            session,
            secrets,
            script: vec![],
            rate: 1,
        };
        settings.script = script::parse(raw.script, &settings, &mut problems);
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    fn identity(&self) -> String {
        format!("mock:{}", self.seed)
    }

    fn has_session(&self) -> bool {
        self.session.kind != SessionKind::Ambient
    }

    fn portrait(&self) -> Portrait {
        explain::portrait()
    }

    fn character(&self, reference: &SecretRef) -> Character {
        explain::character(self, reference)
    }

    fn grants(&self, _references: &[&SecretRef]) -> Grants {
        explain::grants()
    }

    /// Its store starts empty; the script's time starts now.
    fn build(self, name: &str, surroundings: Surroundings) -> Result<Box<dyn Provider>, Error> {
        Ok(Mock::of_process(self).provider(name, surroundings.observer))
    }
}

impl Settings {
    /// The same from YAML text, for tests.
    pub fn from_yaml(text: &str) -> Result<Self, Vec<Problem>> {
        let raw: Raw = serde_saphyr::from_str(text)
            .map_err(|_| vec![Problem::new("", "is no configuration of a mock provider")])?;
        Self::parse("mock", raw, &Environment::default())
    }

    /// How the secret at this path lives.
    pub(crate) fn secret(&self, path: &str) -> &Secret {
        self.secrets.get(path).unwrap_or(&self.standard)
    }

    /// How the secret at this path behaves.
    pub(crate) fn kind(&self, path: &str) -> SecretKind {
        self.secret(path).kind.unwrap_or_else(|| made_up::kind(path))
    }
}

/// Durations are written with a unit. A wrong one is a problem, and the fallback goes on.
pub(crate) fn length(
    key: String,
    written: Option<String>,
    fallback: Option<Duration>,
    problems: &mut Vec<Problem>,
) -> Option<Duration> {
    let Some(written) = written else { return fallback };
    match humantime::parse_duration(&written) {
        Ok(length) => Some(length),
        Err(_) => {
            problems.push(Problem::new(
                key,
                "is no duration: write a number with a unit, such as 30s, 5m or 24h",
            ));
            fallback
        }
    }
}

fn not_zero(key: String, length: Option<Duration>, problems: &mut Vec<Problem>) {
    if length.is_some_and(|length| length.is_zero()) {
        problems.push(Problem::new(key, "must be longer than 0s"));
    }
}

fn life(prefix: &str, raw: RawSecret, standard: &Secret, problems: &mut Vec<Problem>) -> Secret {
    let max_written = raw.max_ttl.is_some();
    let before = problems.len();
    let ttl = length(format!("{prefix}ttl"), raw.ttl, None, problems);
    let max_ttl = length(format!("{prefix}max_ttl"), raw.max_ttl, None, problems);
    let understood = problems.len() == before;
    let ttl_or = ttl.unwrap_or_else(|| max_ttl.map_or(standard.ttl, |max| standard.ttl.min(max)));
    // A TTL above the standard max TTL takes the max TTL along: one key is enough.
    let max_or = max_ttl.unwrap_or_else(|| standard.max_ttl.max(ttl_or));
    not_zero(format!("{prefix}ttl"), ttl, problems);
    not_zero(format!("{prefix}max_ttl"), max_ttl, problems);
    if understood && max_written && max_or < ttl_or {
        problems.push(Problem::new(format!("{prefix}max_ttl"), "must not be shorter than ttl"));
    }
    Secret {
        kind: raw.kind,
        ttl: ttl_or,
        max_ttl: max_or,
        renewable: raw.renewable.unwrap_or(standard.renewable),
        fields: raw.fields,
        shape: Shape::default(),
        changes: None,
    }
}

fn session(raw: RawSession, standard: Session, problems: &mut Vec<Problem>) -> Session {
    let kind = raw.kind.unwrap_or(standard.kind);
    let lasting = matches!(kind, SessionKind::Root | SessionKind::Ambient);
    if lasting {
        for (key, written) in [("session.ttl", &raw.ttl), ("session.max_ttl", &raw.max_ttl)] {
            if written.is_some() {
                problems.push(Problem::new(key, "is not for kind root or ambient: those do not end"));
            }
        }
        if kind == SessionKind::Ambient && (raw.uses.is_some() || raw.given == Some(true)) {
            problems.push(Problem::new("session.kind", "ambient goes with neither uses nor given"));
        }
        return Session { kind, ttl: None, max_ttl: None, uses: raw.uses, given: raw.given.unwrap_or(false) };
    }
    if kind == SessionKind::Batch && raw.uses.is_some() {
        problems.push(Problem::new("session.uses", "is not for kind batch: its uses are not counted"));
    }
    if raw.uses == Some(0) {
        problems.push(Problem::new("session.uses", "must be at least 1"));
    }
    let before = problems.len();
    let max_written = raw.max_ttl.is_some();
    let ttl = length("session.ttl".to_owned(), raw.ttl, None, problems);
    let max_ttl = length("session.max_ttl".to_owned(), raw.max_ttl, None, problems);
    not_zero("session.ttl".to_owned(), ttl, problems);
    not_zero("session.max_ttl".to_owned(), max_ttl, problems);
    let understood = problems.len() == before;
    let ttl = ttl.or_else(|| standard.ttl.map(|ttl| max_ttl.map_or(ttl, |max| ttl.min(max))));
    let max_ttl = match kind {
        SessionKind::Batch => ttl,
        SessionKind::Periodic => max_ttl,
        _ => max_ttl.or_else(|| standard.max_ttl.max(ttl)),
    };
    if understood && max_written && max_ttl < ttl {
        problems.push(Problem::new("session.max_ttl", "must not be shorter than session.ttl"));
    }
    Session { kind, ttl, max_ttl, uses: raw.uses, given: raw.given.unwrap_or(false) }
}
