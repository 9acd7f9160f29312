//! The provider's part of the configuration: as written ([`Raw`]), and as used ([`Settings`]).
//!
//! Parsing opens nothing and starts nothing. It reports all problems at once, and repeats no value:
//! any of them may have come from a variable that holds a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use leasehold_core::{
    Character, Environment, Error, Grants, Nature, Portrait, Problem, Provider, ProviderSettings, SecretRef,
    Surroundings,
};
use leasehold_http::{RawTls, Transport};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::backend::Exec;
use crate::environment;
use crate::protocol::{Asked, Connection};

const TIME_LIMIT: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(10 * 60);
const OUTPUT_LIMIT: usize = 1 << 20;
/// What a program may write at the most, whatever is configured: it is held in memory.
const LARGEST: usize = 64 << 20;
/// Secrets of one request at the most.
const BATCH: usize = 1_000;

/// Any program that reads a request and writes an answer.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Exec")]
pub struct Raw {
    /// The program and its arguments, without a shell: `[/usr/local/bin/store, --team, web]`. Without a
    /// slash it is looked for on PATH. `${NAME}` is not expanded here.
    pub command: Vec<String>,
    /// Variables of its environment, beside PATH, HOME, LANG and what `tls` and `proxy` say.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Variables of our own environment that it gets too, where they are set.
    #[serde(default)]
    pub pass: Vec<String>,
    /// Where it runs. Default: where we do.
    pub directory: Option<PathBuf>,
    /// How long it may take before it is killed. Default `30s`, at most `10m`.
    pub time_limit: Option<String>,
    /// The most that it may write on standard output before it is killed, in KiB or MiB. Default
    /// `1MiB`, at most `64MiB`.
    pub output_limit: Option<String>,
    /// How many secrets it takes in one request. Default 1. One that gives leases is asked for one at a time.
    pub batch: Option<usize>,
    /// Whether it makes something with each request, under leases: then each `fetch` is counted, and
    /// never given up on the way. Default false.
    #[serde(default)]
    pub leases: bool,
    /// What it understands beside `fetch`. Default: nothing; with `leases` it is `renew`, `lookup` and
    /// `revoke`.
    pub operations: Option<Vec<Operations>>,
    /// Whether the messages of its errors, and the first line on its standard error where it fails without an
    /// answer, may be shown in our log. Default `hidden`: what leasehold does not know, it cannot keep a value out
    /// of.
    #[serde(default)]
    pub messages: Messages,
    /// How it is to reach its store over TLS: told to it in the request, `ca_file` also as SSL_CERT_FILE.
    #[serde(default)]
    pub tls: RawTls,
    /// `env` (the default: it gets HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY as we have them), `none` (it gets
    /// none of them), or the URL of an HTTP proxy (it gets that as HTTPS_PROXY and HTTP_PROXY).
    pub proxy: Option<String>,
}

/// What a program may understand beside `fetch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Operations {
    /// Prolonging a lease.
    Renew,
    /// Saying what is left of a lease.
    Lookup,
    /// Ending a lease.
    Revoke,
    /// Saying which rights are missing.
    Check,
}

/// What is done with the program's own words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Messages {
    /// They are not shown.
    #[default]
    Hidden,
    /// They are shown, one line of each, unless a value that we know is in it.
    Shown,
}

/// A provider's settings, valid. Its `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(crate) command: Vec<String>,
    pub(crate) environment: Environment,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) time_limit: Duration,
    pub(crate) output_limit: usize,
    pub(crate) batch: usize,
    pub(crate) leases: Leases,
    pub(crate) operations: BTreeSet<Asked>,
    pub(crate) messages: Messages,
    pub(crate) connection: Shy<Connection>,
}

/// Whether a fetch makes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leases {
    None,
    Given,
}

/// Something whose `Debug` shows nothing: a proxy's URL may hold a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Shy<T>(pub(crate) T);

impl<T> std::fmt::Debug for Shy<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(not shown)")
    }
}

impl ProviderSettings for Settings {
    type Raw = Raw;

    fn parse(name: &str, raw: Raw, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let _ = name;
        let mut problems = Vec::new();
        if raw.command.first().is_none_or(|program| program.trim().is_empty()) {
            problems.push(Problem::new("command", "is empty: name a program, and its arguments"));
        }
        if raw.command.iter().any(|word| word.contains('\0')) {
            problems.push(Problem::new("command", "holds a NUL byte"));
        }
        if raw.directory.as_ref().is_some_and(|directory| directory.as_os_str().is_empty()) {
            problems.push(Problem::new("directory", "is an empty path"));
        }
        let time_limit = time(raw.time_limit.as_deref()).unwrap_or_else(|problem| {
            problems.push(problem);
            TIME_LIMIT
        });
        let output_limit = size(raw.output_limit.as_deref()).unwrap_or_else(|problem| {
            problems.push(problem);
            OUTPUT_LIMIT
        });
        let batch = raw.batch.unwrap_or(1);
        if batch == 0 || batch > BATCH {
            problems.push(Problem::new("batch", format!("is between 1 and {BATCH}")));
        }
        if batch > 1 && raw.leases {
            let text = "goes with secrets that are read: what gives leases is asked for one at a time";
            problems.push(Problem::new("batch", text));
        }
        let leases = if raw.leases { Leases::Given } else { Leases::None };
        let operations = operations(raw.operations.as_deref(), leases, &mut problems);
        let proxy = raw.proxy.clone().filter(|proxy| proxy != "env");
        let connection = Connection {
            ca_file: raw.tls.ca_file.clone(),
            server_name: raw.tls.server_name.clone(),
            client_certificate: raw.tls.client_certificate.clone(),
            client_key: raw.tls.client_key.clone(),
            proxy,
        };
        // It means the same as with every other provider, and is checked by the same eyes.
        if let Err(wrong) = Transport::parse(raw.tls, raw.proxy.as_deref(), environment) {
            problems.extend(wrong);
        }
        let child =
            environment::of_the_program(raw.environment, &raw.pass, &connection, environment, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            command: raw.command,
            environment: child,
            directory: raw.directory,
            time_limit,
            output_limit,
            batch,
            leases,
            operations,
            messages: raw.messages,
            connection: Shy(connection),
        })
    }

    /// The program, its arguments and its directory. Its environment is no part of it: it holds
    /// credentials.
    fn identity(&self) -> String {
        let directory = self.directory.as_ref().map(|directory| directory.display().to_string());
        format!("exec {:?} in {:?}", self.command, directory.unwrap_or_default())
    }

    fn program(&self) -> Option<(&[String], &Environment)> {
        let name = self.command.first()?;
        let is_found = name.starts_with('/') || !name.contains('/');
        is_found.then_some((&self.command, &self.environment))
    }

    fn portrait(&self) -> Portrait {
        let program = self.command.first().map_or("", String::as_str);
        Portrait {
            store: format!("the program {program}, started for each request"),
            login: "as whom the program is: its credentials are its own, in the environment that it is given"
                .to_owned(),
            session: "There is no session that we hold".to_owned(),
        }
    }

    fn character(&self, reference: &SecretRef) -> Character {
        let _ = reference;
        match self.leases {
            Leases::Given => {
                Character::new(Nature::Leased, "what the program makes at each request, under a lease")
            }
            Leases::None => Character::new(Nature::Kept, "what the program brings"),
        }
    }

    fn grants(&self, references: &[&SecretRef]) -> Grants {
        let _ = references;
        let program = self.command.first().map_or("", String::as_str);
        let asked: Vec<&str> =
            [(Asked::Renew, "renew"), (Asked::Lookup, "look up"), (Asked::Revoke, "revoke")]
                .into_iter()
                .filter(|(asked, _)| self.operations.contains(asked))
                .map(|(_, word)| word)
                .collect();
        let mut note = format!(
            "We have to be allowed to run {program}. What it needs, its store knows: to read these secrets"
        );
        if !asked.is_empty() {
            note.push_str(&format!(", and to {} their leases", asked.join(", ")));
        }
        note.push('.');
        Grants { language: "what the program needs".to_owned(), text: String::new(), notes: vec![note] }
    }

    fn build(self, name: &str, surroundings: Surroundings) -> Result<Box<dyn Provider>, Error> {
        Ok(Box::new(Exec::new(name, self, surroundings)))
    }
}

fn operations(raw: Option<&[Operations]>, leases: Leases, problems: &mut Vec<Problem>) -> BTreeSet<Asked> {
    let of_leases = [Asked::Renew, Asked::Lookup, Asked::Revoke];
    let asked: BTreeSet<Asked> = match (raw, leases) {
        (None, Leases::None) => BTreeSet::new(),
        (None, Leases::Given) => of_leases.into(),
        (Some(listed), _) => listed.iter().map(|operation| Asked::from(*operation)).collect(),
    };
    if leases == Leases::None && of_leases.iter().any(|operation| asked.contains(operation)) {
        let text = "renew, lookup and revoke are about leases: set leases to true, or leave them out";
        problems.push(Problem::new("operations", text));
    }
    asked
}

impl From<Operations> for Asked {
    fn from(operation: Operations) -> Self {
        match operation {
            Operations::Renew => Self::Renew,
            Operations::Lookup => Self::Lookup,
            Operations::Revoke => Self::Revoke,
            Operations::Check => Self::Check,
        }
    }
}

fn time(raw: Option<&str>) -> Result<Duration, Problem> {
    let Some(raw) = raw else { return Ok(TIME_LIMIT) };
    match humantime::parse_duration(raw) {
        Ok(limit) if limit >= Duration::from_millis(1) && limit <= LONGEST => Ok(limit),
        _ => Err(Problem::new("time_limit", "is no duration between 1ms and 10m, such as 30s")),
    }
}

fn size(raw: Option<&str>) -> Result<usize, Problem> {
    let Some(raw) = raw else { return Ok(OUTPUT_LIMIT) };
    let wrong = || Problem::new("output_limit", "is no size between 1KiB and 64MiB, such as 512KiB or 4MiB");
    let (number, unit) = raw
        .strip_suffix("MiB")
        .map(|number| (number, 1 << 20))
        .or_else(|| raw.strip_suffix("KiB").map(|number| (number, 1 << 10)))
        .ok_or_else(wrong)?;
    let bytes = number.trim().parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    bytes.filter(|bytes| (1 << 10..=LARGEST).contains(bytes)).ok_or_else(wrong)
}
