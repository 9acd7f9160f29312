use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Bound, Field, Fields, Lease, Origin, SecretBytes, Session, Shape, Term};
use proptest::prelude::*;

use super::*;
use crate::handover::{EntryId, Role};
use crate::slot::{Awaits, Held, HeldSession, Life};

#[test]
fn a_value_is_not_readable_as_it_stands_and_the_buffer_never_moved() {
    let entry = Entry::Kept {
        provider: "vault".to_owned(),
        identity: String::new(),
        bytes: Arc::new(SecretBytes::from_text("canary".repeat(5_000))),
    };
    let bytes = encode(&entry, "boot", Moment::from_zero(Duration::ZERO)).unwrap();
    let text = std::str::from_utf8(&bytes).unwrap();
    assert!(!text.contains("canary"));
    // A buffer that had to grow would have doubled.
    assert_eq!(bytes.capacity(), 4096 + 2 * 30_000);
}

prop_compose! {
    fn moment()(nanos in 0..u64::MAX / 2) -> Moment { Moment::from_zero(Duration::from_nanos(nanos)) }
}

prop_compose! {
    fn length()(nanos in 0..u64::MAX / 2) -> Duration { Duration::from_nanos(nanos) }
}

fn life() -> impl Strategy<Value = Option<Life>> {
    proptest::option::of((length(), moment(), any::<bool>(), any::<bool>(), moment()).prop_map(
        |(granted, end, renewable, capped, renew_at)| Life { granted, end, renewable, capped, renew_at },
    ))
}

fn fields() -> impl Strategy<Value = Fields> {
    let field = (any::<Vec<u8>>(), 0..3_usize).prop_map(|(bytes, shape)| Field {
        bytes: SecretBytes::new(bytes),
        shape: [Shape::Text, Shape::Json, Shape::Binary][shape],
    });
    proptest::collection::vec((any::<String>(), field), 0..5).prop_map(|list| {
        let mut fields = Fields::new();
        for (name, field) in list {
            fields.insert(name, field);
        }
        fields
    })
}

fn credential() -> impl Strategy<Value = Held> {
    let lease =
        (any::<String>(), any::<bool>(), any::<Option<String>>()).prop_map(|(id, session, namespace)| {
            Lease { id, bound: if session { Bound::Session } else { Bound::Itself }, namespace }
        });
    (
        "[0-9a-f]{16}",
        fields(),
        any::<Option<String>>(),
        proptest::option::of(lease),
        any::<String>(),
        moment(),
        life(),
        proptest::option::of(moment()),
    )
        .prop_map(|(key, fields, version, lease, session, issued, life, changes_at)| Held {
            key,
            fields: Arc::new(fields),
            version,
            lease,
            session,
            issued,
            life,
            changes_at,
        })
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![
        Just(Role::Current),
        Just(Role::Unwanted),
        (moment(), any::<u64>(), length(), any::<bool>()).prop_map(
            |(announced, generation, overlap, awaits)| {
                let awaits = if awaits { Awaits::Acknowledgement } else { Awaits::Nothing };
                Role::Retiring { announced, generation, overlap, awaits }
            }
        ),
    ]
}

fn session() -> impl Strategy<Value = HeldSession> {
    (
        any::<String>(),
        any::<Vec<u8>>(),
        proptest::option::of((length(), any::<bool>())),
        0..3_usize,
        any::<bool>(),
        any::<Option<u64>>(),
        moment(),
        life(),
    )
        .prop_map(|(id, credential, term, origin, revocable, uses_left, issued, life)| HeldSession {
            session: Session {
                id,
                credential: Arc::new(SecretBytes::new(credential)),
                term: term.map(|(ttl, renewable)| Term { ttl, renewable }),
                origin: [Origin::LoggedIn, Origin::Given, Origin::Ambient][origin],
                revocable,
                uses_left,
            },
            issued,
            life,
        })
}

fn entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        (any::<String>(), any::<String>(), session()).prop_map(|(provider, identity, held)| Entry::Session {
            provider,
            identity,
            held
        }),
        (any::<String>(), any::<String>(), any::<Vec<u8>>()).prop_map(|(provider, identity, bytes)| {
            Entry::Kept { provider, identity, bytes: Arc::new(SecretBytes::new(bytes)) }
        }),
        (any::<String>(), any::<String>(), credential(), role())
            .prop_map(|(secret, fingerprint, held, role)| Entry::Held { secret, fingerprint, held, role }),
        (any::<String>(), proptest::collection::vec(moment(), 0..5))
            .prop_map(|(secret, mints)| Entry::Secret { secret, mints }),
        (any::<u64>(), moment(), any::<Option<u64>>(), answers()).prop_map(
            |(generation, at, acknowledged, answers)| Entry::Announced {
                generation,
                at,
                acknowledged,
                answers
            }
        ),
    ]
}

/// What `Debug` does not show.
fn values(entry: &Entry) -> Vec<&[u8]> {
    match entry {
        Entry::Session { held, .. } => vec![held.session.credential.expose()],
        Entry::Kept { bytes, .. } => vec![bytes.expose()],
        Entry::Held { held, .. } => held.fields.iter().map(|(_, field)| field.bytes.expose()).collect(),
        Entry::Secret { .. } | Entry::Announced { .. } => Vec::new(),
    }
}

proptest! {
    #[test]
    fn every_entry_comes_back_as_it_was_written(entry in entry()) {
        let bytes = encode(&entry, "boot", Moment::from_zero(Duration::ZERO)).unwrap();
        let read = decode(&bytes).unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{entry:?}"));
        prop_assert_eq!(values(&read), values(&entry));
        prop_assert_eq!(EntryId::from(&read), EntryId::from(&entry));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in any::<Vec<u8>>()) {
        let _ = Header::read(&bytes);
        let _ = decode(&bytes);
    }

    #[test]
    fn half_an_entry_is_none(entry in entry(), cut in 0.0..1.0_f64) {
        let bytes = encode(&entry, "boot", Moment::from_zero(Duration::ZERO)).unwrap();
        let cut = ((bytes.len() as f64) * cut) as usize;
        prop_assert!(decode(&bytes[..cut]).is_err());
    }
}

fn answers() -> impl Strategy<Value = std::collections::BTreeMap<String, u64>> {
    proptest::collection::btree_map(any::<String>(), any::<u64>(), 0..3)
}
