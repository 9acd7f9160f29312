//! An entry as bytes: versioned JSON, the only place where a secret is serialised.
//!
//! Values are base64 on their way and pass through wiping buffers both ways. Moments are
//! nanoseconds since boot; the boot's id says which. What a parser says of bad bytes is dropped:
//! it might quote them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use leasehold_core::{Bound, Field, Fields, Lease, Origin, SecretBytes, Session, Shape, Term};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use super::{Entry, Role};
use crate::clock::Moment;
use crate::slot::{Awaits, Held, HeldSession, Life};

/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;

/// The bytes of an entry, written at `now` in the boot `boot`.
pub(super) fn encode(entry: &Entry, boot: &str, now: Moment) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    // Room for the whole of it, so that the buffer does not move and leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096 + 2 * values(entry)));
    let file = File { version: VERSION, boot: boot.to_owned(), written: now.into(), entry: entry.into() };
    serde_json::to_writer(&mut *bytes, &file).map_err(|_| Malformed)?;
    Ok(bytes)
}

/// What stands before the entry of a file.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    version: u32,
    #[serde(default)]
    boot: String,
    written: Option<Nanos>,
}

impl Header {
    /// Of the bytes of a file of any version.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        serde_json::from_slice(bytes).map_err(|_| Malformed)
    }

    /// Whether this binary can read what follows.
    pub(super) fn is_known(&self) -> bool {
        self.version == VERSION
    }

    /// Whether its moments are moments of this boot, as seen `now`.
    pub(super) fn is_of_boot(&self, boot: &str, now: Moment) -> bool {
        // A clock that was set back (another time namespace) is as good as another boot.
        self.boot == boot && self.written.is_some_and(|written| Moment::from(written) <= now)
    }
}

/// The entry of a file whose header is known.
pub(super) fn decode(bytes: &[u8]) -> Result<Entry, Malformed> {
    let file: File = serde_json::from_slice(bytes).map_err(|_| Malformed)?;
    Ok(file.entry.into())
}

/// It is no entry of ours. Says nothing more, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

fn values(entry: &Entry) -> usize {
    match entry {
        Entry::Session { held, .. } => held.session.credential.len(),
        Entry::Kept { bytes, .. } => bytes.len(),
        Entry::Held { held, .. } => {
            held.fields.iter().map(|(name, field)| name.len() + field.bytes.len() + 32).sum()
        }
        Entry::Secret { mints, .. } => mints.len() * 24,
        Entry::Announced { .. } => 0,
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    boot: String,
    written: Nanos,
    entry: WireEntry,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireEntry {
    Session {
        provider: String,
        identity: String,
        session: WireSession,
        issued: Nanos,
        life: Option<WireLife>,
    },
    Kept {
        provider: String,
        identity: String,
        bytes: WireBytes,
    },
    Held {
        secret: String,
        fingerprint: String,
        held: WireHeld,
        role: WireRole,
    },
    Secret {
        secret: String,
        mints: Vec<Nanos>,
    },
    Announced {
        generation: u64,
        at: Nanos,
        acknowledged: Option<u64>,
    },
}

#[derive(Serialize, Deserialize)]
struct WireSession {
    id: String,
    credential: WireBytes,
    term: Option<WireTerm>,
    origin: WireOrigin,
    revocable: bool,
    uses_left: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct WireTerm {
    ttl: Nanos,
    renewable: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireOrigin {
    LoggedIn,
    Given,
    Ambient,
}

#[derive(Serialize, Deserialize)]
struct WireLife {
    granted: Nanos,
    end: Nanos,
    renewable: bool,
    capped: bool,
    renew_at: Nanos,
}

#[derive(Serialize, Deserialize)]
struct WireHeld {
    key: String,
    fields: WireFields,
    version: Option<String>,
    lease: Option<WireLease>,
    session: String,
    issued: Nanos,
    life: Option<WireLife>,
    changes_at: Option<Nanos>,
}

#[derive(Serialize, Deserialize)]
struct WireLease {
    id: String,
    bound: WireBound,
    namespace: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireBound {
    Session,
    Itself,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireRole {
    Current,
    Retiring { announced: Nanos, generation: u64, overlap: Nanos, awaits_acknowledgement: bool },
    Unwanted,
}

/// A length, or the time since boot.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Nanos(u64);

impl From<Duration> for Nanos {
    fn from(length: Duration) -> Self {
        // 584 years; what lives longer than that does not end.
        Self(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Nanos> for Duration {
    fn from(nanos: Nanos) -> Self {
        Self::from_nanos(nanos.0)
    }
}

impl From<Moment> for Nanos {
    fn from(moment: Moment) -> Self {
        moment.since_zero().into()
    }
}

impl From<Nanos> for Moment {
    fn from(nanos: Nanos) -> Self {
        Self::from_zero(nanos.into())
    }
}

/// Plaintext, base64 on its way.
struct WireBytes(Arc<SecretBytes>);

impl Serialize for WireBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Plain(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WireBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Decode).map(|bytes| Self(Arc::new(bytes)))
    }
}

/// Writes base64 straight into the serializer's buffer, without a text of its own in between.
struct Plain<'a>(&'a SecretBytes);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0.expose(), &STANDARD))
    }
}

struct Decode;

impl Visitor<'_> for Decode {
    type Value = SecretBytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretBytes, E> {
        let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
        let length = STANDARD.decode_slice(text, &mut bytes).map_err(|_| E::custom("not base64"))?;
        bytes.truncate(length);
        Ok(SecretBytes::new(std::mem::take(&mut *bytes)))
    }
}

/// The fields of a secret: name → shape and value.
struct WireFields(Arc<Fields>);

impl Serialize for WireFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, field) in self.0.iter() {
            let shape = match field.shape {
                Shape::Text => "text",
                Shape::Json => "json",
                Shape::Binary => "binary",
            };
            map.serialize_entry(name, &BTreeMap::from([(shape, Plain(&field.bytes))]))?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for WireFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadFields)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireField {
    Text(WireBytes),
    Json(WireBytes),
    Binary(WireBytes),
}

struct ReadFields;

impl<'de> Visitor<'de> for ReadFields {
    type Value = WireFields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fields by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WireFields, A::Error> {
        let mut fields = Fields::new();
        while let Some((name, field)) = map.next_entry::<String, WireField>()? {
            let (shape, WireBytes(bytes)) = match field {
                WireField::Text(bytes) => (Shape::Text, bytes),
                WireField::Json(bytes) => (Shape::Json, bytes),
                WireField::Binary(bytes) => (Shape::Binary, bytes),
            };
            let bytes = Arc::into_inner(bytes).ok_or_else(|| de::Error::custom("shared"))?;
            fields.insert(name, Field { bytes, shape });
        }
        Ok(WireFields(Arc::new(fields)))
    }
}

impl From<&Entry> for WireEntry {
    fn from(entry: &Entry) -> Self {
        match entry {
            Entry::Session { provider, identity, held } => Self::Session {
                provider: provider.clone(),
                identity: identity.clone(),
                session: (&held.session).into(),
                issued: held.issued.into(),
                life: held.life.as_ref().map(Into::into),
            },
            Entry::Kept { provider, identity, bytes } => Self::Kept {
                provider: provider.clone(),
                identity: identity.clone(),
                bytes: WireBytes(Arc::clone(bytes)),
            },
            Entry::Held { secret, fingerprint, held, role } => Self::Held {
                secret: secret.clone(),
                fingerprint: fingerprint.clone(),
                held: held.into(),
                role: role.into(),
            },
            Entry::Secret { secret, mints } => Self::Secret {
                secret: secret.clone(),
                mints: mints.iter().map(|mint| Nanos::from(*mint)).collect(),
            },
            Entry::Announced { generation, at, acknowledged } => {
                Self::Announced { generation: *generation, at: (*at).into(), acknowledged: *acknowledged }
            }
        }
    }
}

impl From<WireEntry> for Entry {
    fn from(entry: WireEntry) -> Self {
        match entry {
            WireEntry::Session { provider, identity, session, issued, life } => Self::Session {
                provider,
                identity,
                held: HeldSession {
                    session: session.into(),
                    issued: issued.into(),
                    life: life.map(Into::into),
                },
            },
            WireEntry::Kept { provider, identity, bytes } => {
                Self::Kept { provider, identity, bytes: bytes.0 }
            }
            WireEntry::Held { secret, fingerprint, held, role } => {
                Self::Held { secret, fingerprint, held: held.into(), role: role.into() }
            }
            WireEntry::Secret { secret, mints } => {
                Self::Secret { secret, mints: mints.into_iter().map(Moment::from).collect() }
            }
            WireEntry::Announced { generation, at, acknowledged } => {
                Self::Announced { generation, at: at.into(), acknowledged }
            }
        }
    }
}

impl From<&Session> for WireSession {
    fn from(session: &Session) -> Self {
        Self {
            id: session.id.clone(),
            credential: WireBytes(Arc::clone(&session.credential)),
            term: session.term.map(|term| WireTerm { ttl: term.ttl.into(), renewable: term.renewable }),
            origin: match session.origin {
                Origin::LoggedIn => WireOrigin::LoggedIn,
                Origin::Given => WireOrigin::Given,
                Origin::Ambient => WireOrigin::Ambient,
            },
            revocable: session.revocable,
            uses_left: session.uses_left,
        }
    }
}

impl From<WireSession> for Session {
    fn from(session: WireSession) -> Self {
        Self {
            id: session.id,
            credential: session.credential.0,
            term: session.term.map(|term| Term { ttl: term.ttl.into(), renewable: term.renewable }),
            origin: match session.origin {
                WireOrigin::LoggedIn => Origin::LoggedIn,
                WireOrigin::Given => Origin::Given,
                WireOrigin::Ambient => Origin::Ambient,
            },
            revocable: session.revocable,
            uses_left: session.uses_left,
        }
    }
}

impl From<&Life> for WireLife {
    fn from(life: &Life) -> Self {
        Self {
            granted: life.granted.into(),
            end: life.end.into(),
            renewable: life.renewable,
            capped: life.capped,
            renew_at: life.renew_at.into(),
        }
    }
}

impl From<WireLife> for Life {
    fn from(life: WireLife) -> Self {
        Self {
            granted: life.granted.into(),
            end: life.end.into(),
            renewable: life.renewable,
            capped: life.capped,
            renew_at: life.renew_at.into(),
        }
    }
}

impl From<&Held> for WireHeld {
    fn from(held: &Held) -> Self {
        Self {
            key: held.key.clone(),
            fields: WireFields(Arc::clone(&held.fields)),
            version: held.version.clone(),
            lease: held.lease.as_ref().map(|lease| WireLease {
                id: lease.id.clone(),
                bound: match lease.bound {
                    Bound::Session => WireBound::Session,
                    Bound::Itself => WireBound::Itself,
                },
                namespace: lease.namespace.clone(),
            }),
            session: held.session.clone(),
            issued: held.issued.into(),
            life: held.life.as_ref().map(Into::into),
            changes_at: held.changes_at.map(Into::into),
        }
    }
}

impl From<WireHeld> for Held {
    fn from(held: WireHeld) -> Self {
        Self {
            key: held.key,
            fields: held.fields.0,
            version: held.version,
            lease: held.lease.map(|lease| Lease {
                id: lease.id,
                bound: match lease.bound {
                    WireBound::Session => Bound::Session,
                    WireBound::Itself => Bound::Itself,
                },
                namespace: lease.namespace,
            }),
            session: held.session,
            issued: held.issued.into(),
            life: held.life.map(Into::into),
            changes_at: held.changes_at.map(Into::into),
        }
    }
}

impl From<&Role> for WireRole {
    fn from(role: &Role) -> Self {
        match role {
            Role::Current => Self::Current,
            Role::Retiring { announced, generation, overlap, awaits } => Self::Retiring {
                announced: (*announced).into(),
                generation: *generation,
                overlap: (*overlap).into(),
                awaits_acknowledgement: *awaits == Awaits::Acknowledgement,
            },
            Role::Unwanted => Self::Unwanted,
        }
    }
}

impl From<WireRole> for Role {
    fn from(role: WireRole) -> Self {
        match role {
            WireRole::Current => Self::Current,
            WireRole::Retiring { announced, generation, overlap, awaits_acknowledgement } => Self::Retiring {
                announced: announced.into(),
                generation,
                overlap: overlap.into(),
                awaits: if awaits_acknowledgement { Awaits::Acknowledgement } else { Awaits::Nothing },
            },
            WireRole::Unwanted => Self::Unwanted,
        }
    }
}
