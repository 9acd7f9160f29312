//! The form of an entry, version 1. What stands here is what another binary may read: a change of
//! meaning is a new version. Types of its own, so that no type of the engine can be serialised.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Bound, Lease, Origin, Session, Term};
use serde::{Deserialize, Serialize};

use super::plain::{WireBytes, WireFields};
use crate::clock::Moment;
use crate::handover::{Entry, Role};
use crate::slot::{Awaits, Held, HeldSession, Life};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireEntry {
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
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        answers: BTreeMap<String, u64>,
    },
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireSession {
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
pub(super) struct WireLife {
    granted: Nanos,
    end: Nanos,
    renewable: bool,
    capped: bool,
    renew_at: Nanos,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireHeld {
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
pub(super) enum WireRole {
    Current,
    Retiring { announced: Nanos, generation: u64, overlap: Nanos, awaits_acknowledgement: bool },
    Unwanted,
}

/// A length, or the time since boot.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Nanos(u64);

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
            Entry::Announced { generation, at, acknowledged, answers } => Self::Announced {
                generation: *generation,
                at: (*at).into(),
                acknowledged: *acknowledged,
                answers: answers.clone(),
            },
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
            WireEntry::Announced { generation, at, acknowledged, answers } => {
                Self::Announced { generation, at: at.into(), acknowledged, answers }
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
