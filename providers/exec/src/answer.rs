//! From what the program brought to what the engine holds.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_core::{
    Bound, Error, Fetched, Field, Fields, Kind, Lease, MissingRight, SecretBytes, Shape, Term, Wanted, pick,
};
use serde_json::Value;

use crate::config::{Leases, Settings};
use crate::error::{Site, seconds};
use crate::protocol::{Asked, Brought, Left, Missing};
use crate::words::{Values, plain};

/// A version is shown in logs and in `status`.
const VERSION: usize = 200;
const LEASE: usize = 512;

/// What came of one secret.
pub(crate) fn fetched(
    brought: Brought,
    wanted: &Wanted<'_>,
    settings: &Settings,
    values: &Values,
    site: &Site<'_>,
) -> Result<Fetched, Error> {
    if let Some(refusal) = &brought.error {
        return Err(site.refused(refusal, values));
    }
    let version = match &brought.version {
        Some(version) if !is_line(version, VERSION) => {
            return Err(site.malformed("a version is one line of 1 to 200 characters"));
        }
        version => version.clone(),
    };
    if brought.unchanged {
        return match wanted.known_version {
            Some(known) => Ok(Fetched::unchanged(version.or_else(|| Some(known.to_owned())))),
            None => Err(site.malformed("it says unchanged where no known_version was named")),
        };
    }
    let ttl = length(brought.ttl, site)?;
    let changes_in = length(brought.changes_in, site)?;
    let mut fetched = Fetched {
        fields: None,
        version,
        lease: None,
        term: ttl.map(|ttl| Term { ttl, renewable: false }),
        changes_in,
    };
    if let Some(given) = brought.lease {
        if !is_line(&given.id, LEASE) {
            return Err(site.malformed("the id of a lease is one line of 1 to 512 characters"));
        }
        if settings.leases == Leases::None {
            return Err(site.error(
                Kind::Invalid,
                format!(
                    "program \"{}\" gave a lease ({}), and the configuration says that it gives none: set leases to \
                     true",
                    site.program, given.id
                ),
            ));
        }
        let understands = |operation| settings.operations.contains(&operation);
        let renewable = given.renewable && understands(Asked::Renew);
        if let Some(ttl) = length(given.ttl, site)? {
            fetched.term = Some(Term { ttl, renewable });
        }
        // Without either there is nothing to do with it.
        if renewable || understands(Asked::Revoke) {
            let namespace = wanted.reference.namespace.clone();
            fetched.lease = Some(Lease { id: given.id, bound: Bound::Session, namespace });
        }
    }
    if brought.fields.is_none() && brought.binary.is_empty() {
        return Err(site.malformed("a secret has neither fields, nor unchanged, nor an error"));
    }
    let text = Value::Object(brought.fields.unwrap_or_default());
    fetched.fields = Some(fields(text, brought.binary, wanted, site)?.into());
    Ok(fetched)
}

/// All fields, or with `key` the one value that it picks.
fn fields(
    text: Value,
    mut binary: BTreeMap<String, String>,
    wanted: &Wanted<'_>,
    site: &Site<'_>,
) -> Result<Fields, Error> {
    let decode = |text: &str| {
        let bytes = STANDARD.decode(text).map_err(|_| site.malformed("a binary field is no base64"))?;
        Ok(Field { bytes: SecretBytes::new(bytes), shape: Shape::Binary })
    };
    let mut fields = Fields::new();
    let chosen = match wanted.reference.key.as_deref() {
        None => {
            for (name, value) in &binary {
                fields.insert(name, decode(value)?);
            }
            text
        }
        Some(key) => {
            if let Some(value) = binary.remove(key) {
                fields.insert("value", decode(&value)?);
                return Ok(fields);
            }
            pick(text, key).ok_or_else(|| {
                let detail = format!("there is no key \"{key}\" in what the program brought");
                site.error(Kind::Absent, detail)
            })?
        }
    };
    match chosen {
        Value::Object(entries) => {
            entries.into_iter().for_each(|(name, value)| fields.insert_json(name, value))
        }
        single => fields.insert_json("value", single),
    }
    Ok(fields)
}

/// What is left of a lease.
pub(crate) fn left(left: Option<Left>, can_renew: Renewal, site: &Site<'_>) -> Result<Option<Term>, Error> {
    let left = left.ok_or_else(|| site.malformed("it says nothing of the lease"))?;
    let ttl = length(left.ttl, site)?;
    Ok(ttl.map(|ttl| Term { ttl, renewable: left.renewable && can_renew == Renewal::Understood }))
}

/// Whether the program can be asked to prolong a lease.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    Understood,
    Unknown,
}

pub(crate) fn missing(missing: Vec<Missing>) -> Vec<MissingRight> {
    const LINE: usize = 300;
    let right = |right: Missing| MissingRight {
        path: plain(&right.path, LINE),
        capabilities: right.capabilities.iter().map(|text| plain(text, LINE)).collect(),
        purpose: plain(&right.purpose, LINE),
        required: right.required,
        // A policy may have several lines.
        remedy: right.remedy.lines().map(|line| plain(line, LINE)).collect::<Vec<_>>().join("\n"),
    };
    missing.into_iter().map(right).collect()
}

fn length(raw: Option<f64>, site: &Site<'_>) -> Result<Option<Duration>, Error> {
    let Some(raw) = raw else { return Ok(None) };
    match seconds(raw).filter(|length| !length.is_zero()) {
        Some(length) => Ok(Some(length)),
        None => Err(site.malformed("a ttl or changes_in is no number of seconds above zero")),
    }
}

fn is_line(text: &str, longest: usize) -> bool {
    !text.is_empty() && text.chars().count() <= longest && !text.chars().any(char::is_control)
}
