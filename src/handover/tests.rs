use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_core::{Bound, Field, Fields, Lease, Origin, SecretBytes, Session, Shape, Term};
use proptest::prelude::*;

use super::wire;
use super::*;
use crate::clock::{Clock, Moment};
use crate::config::model::{Choice, StateDirectory};
use crate::slot::{Awaits, Life};

/// A state directory in memory, as a kubelet makes one: anybody may write, and it is not ours.
fn state() -> (tempfile::TempDir, StateDirectory) {
    let temp = tempfile::tempdir_in("/dev/shm").unwrap();
    std::fs::set_permissions(temp.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
    let path = temp.path().to_owned();
    (temp, StateDirectory { path, choice: Choice::Configured })
}

fn open(state: &StateDirectory) -> Opened {
    Handover::open(state, &Clock::boot()).unwrap()
}

fn ours(state: &StateDirectory) -> PathBuf {
    state.path.join("handover")
}

fn held(key: &str, password: &str, ends_in: Option<Duration>) -> Entry {
    let now = Clock::boot().now();
    let mut fields = Fields::new();
    fields.insert_text("password", password.to_owned());
    Entry::Held {
        secret: "db".to_owned(),
        fingerprint: "vault database/creds/web".to_owned(),
        held: Held {
            key: key.to_owned(),
            fields: Arc::new(fields),
            version: None,
            lease: Some(Lease {
                id: "database/creds/web/abc".to_owned(),
                bound: Bound::Session,
                namespace: None,
            }),
            session: "accessor".to_owned(),
            issued: now,
            life: ends_in.map(|length| Life {
                granted: length,
                end: now + length,
                renewable: true,
                capped: false,
                renew_at: now + length / 2,
            }),
            changes_at: None,
        },
        role: Role::Current,
    }
}

fn password(entry: &Entry) -> &[u8] {
    match entry {
        Entry::Held { held, .. } => held.fields.get("password").unwrap().bytes.expose(),
        other => panic!("a credential, not {other:?}"),
    }
}

/// The only file of an entry in our directory.
fn file_of(state: &StateDirectory, entry: &Entry) -> PathBuf {
    ours(state).join(EntryId::from(entry).file_name())
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(file, text.replacen(from, to, 1)).unwrap();
}

/// Runs `body` as another user, in a thread of its own: the kernel keeps users per thread.
fn as_uid<T: Send>(uid: u32, body: impl FnOnce() -> T + Send) -> Option<T> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return None;
    }
    let uid = rustix::process::Uid::from_raw(uid);
    let body = || {
        rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        body()
    };
    Some(std::thread::scope(|scope| scope.spawn(body).join().unwrap()))
}

#[test]
fn the_next_process_finds_what_was_put_and_nothing_that_was_removed() {
    let (_temp, state) = state();
    let first = open(&state);
    assert!(first.handover.is_enabled() && first.entries.is_empty() && first.warning.is_none());
    first.handover.put(&held("0000000000000001", "old", None)).unwrap();
    first.handover.put(&held("0000000000000001", "new", None)).unwrap();
    first.handover.put(&held("0000000000000002", "gone", None)).unwrap();
    first.handover.remove(&EntryId::held("0000000000000002")).unwrap();
    first.handover.remove(&EntryId::held("0000000000000002")).unwrap();
    drop(first);
    let second = open(&state);
    assert_eq!(second.entries.len(), 1, "{:?}", second.entries);
    assert_eq!(password(&second.entries[0]), b"new");
    assert!(second.dropped.is_empty(), "{:?}", second.dropped);
}

#[test]
fn files_are_for_us_alone_whatever_the_umask_and_the_volume() {
    let (_temp, state) = state();
    let opened = open(&state);
    let entry = held("0000000000000001", "canary", None);
    opened.handover.put(&entry).unwrap();
    assert_eq!(std::fs::metadata(ours(&state)).unwrap().mode() & 0o7777, 0o700);
    for file in std::fs::read_dir(ours(&state)).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o600, "{:?}", file.path());
    }
    drop(opened);
    std::fs::set_permissions(ours(&state), std::fs::Permissions::from_mode(0o755)).unwrap();
    open(&state);
    assert_eq!(std::fs::metadata(ours(&state)).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn a_second_process_is_told_who_has_it_until_the_first_ends() {
    let (_temp, state) = state();
    let first = open(&state);
    let clone = first.handover.clone();
    drop(first);
    let refused = Handover::open(&state, &Clock::boot()).unwrap_err();
    assert!(matches!(refused, Error::Busy { .. }), "{refused}");
    assert!(refused.to_string().contains("is in use by"), "{refused}");
    drop(clone);
    open(&state);
}

#[test]
fn what_cannot_be_used_is_dropped_and_never_an_error() {
    let (_temp, state) = state();
    let opened = open(&state);
    let entries = [
        held("000000000000000a", "another boot", None),
        held("000000000000000b", "another version", None),
        held("000000000000000c", "truncated", None),
        held("000000000000000d", "from the future", None),
        held("000000000000000e", "over", Some(Duration::ZERO)),
        held("000000000000000f", "another name", None),
    ];
    for entry in &entries {
        opened.handover.put(entry).unwrap();
    }
    opened.handover.put(&held("0000000000000010", "good", Some(Duration::from_secs(600)))).unwrap();
    drop(opened);
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    edit(&file_of(&state, &entries[0]), boot.trim(), "00000000-0000-0000-0000-000000000000");
    edit(&file_of(&state, &entries[1]), "\"version\":1", "\"version\":2");
    let whole = std::fs::read(file_of(&state, &entries[2])).unwrap();
    std::fs::write(file_of(&state, &entries[2]), &whole[..whole.len() / 2]).unwrap();
    edit(&file_of(&state, &entries[3]), "\"written\":", "\"written\":9");
    std::fs::rename(file_of(&state, &entries[5]), ours(&state).join("held.other.json")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", ours(&state).join("held.link.json")).unwrap();
    std::fs::write(ours(&state).join(".new"), "half of an ent").unwrap();

    let second = open(&state);
    assert_eq!(second.entries.len(), 1, "{:?}", second.entries);
    assert_eq!(password(&second.entries[0]), b"good");
    let dropped: Vec<String> = second.dropped.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(dropped.join("\n"), @r"
    hand-over entry held.000000000000000a is dropped: it is of another boot of the machine
    hand-over entry held.000000000000000b is dropped: another version of leasehold wrote it
    hand-over entry held.000000000000000c is dropped: it is damaged
    hand-over entry held.000000000000000d is dropped: it is of another boot of the machine
    hand-over entry held.000000000000000e is dropped: it has expired
    hand-over entry held.link is dropped: it is damaged
    hand-over entry held.other is dropped: it is damaged
    ");
    let mut left: Vec<_> =
        std::fs::read_dir(ours(&state)).unwrap().map(|file| file.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["held.0000000000000010.json", "lock"]);
}

#[test]
fn a_lease_is_offered_until_its_end_also_when_the_machine_slept() {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(
        async {
            let (_temp, state) = state();
            let clock = Clock::tokio();
            let opened = Handover::open(&state, &clock).unwrap();
            let entry = |ends: Moment| {
                let mut entry = held("0000000000000001", "x", Some(Duration::from_secs(60)));
                if let Entry::Held { held: Held { life: Some(life), .. }, .. } = &mut entry {
                    life.end = ends;
                }
                entry
            };
            opened.handover.put(&entry(clock.now() + Duration::from_secs(3600))).unwrap();
            drop(opened);
            clock.jump(Duration::from_secs(3599));
            let opened = Handover::open(&state, &clock).unwrap();
            assert_eq!(opened.entries.len(), 1);
            drop(opened);
            clock.jump(Duration::from_secs(1));
            let opened = Handover::open(&state, &clock).unwrap();
            assert!(opened.entries.is_empty());
            assert_eq!(opened.dropped[0].why, Why::Expired);
        },
    );
}

#[test]
fn absent_is_a_warning_and_no_hand_over() {
    let (_temp, mut state) = state();
    state.path.push("nothing-here");
    for choice in [Choice::Default, Choice::Configured] {
        let opened = Handover::open(&StateDirectory { choice, ..state.clone() }, &Clock::boot()).unwrap();
        assert!(!opened.handover.is_enabled());
        let warning = opened.warning.unwrap();
        assert!(warning.contains("does not exist") && warning.contains("state_directory"), "{warning}");
        opened.handover.put(&held("0000000000000001", "x", None)).unwrap();
        opened.handover.remove(&EntryId::held("0000000000000001")).unwrap();
        assert!(!state.path.exists(), "nothing is made outside of what is mounted");
    }
}

#[test]
fn a_disk_is_refused_where_it_was_chosen_and_a_warning_where_it_is_the_default() {
    // Never tmpfs, on any machine.
    let path = PathBuf::from("/proc");
    let state = StateDirectory { path: path.clone(), choice: Choice::Configured };
    let refused = Handover::open(&state, &Clock::boot()).unwrap_err();
    insta::assert_snapshot!(refused.to_string(), @"open the hand-over in /proc: it is not on tmpfs, and secrets are never written to a disk: mount a memory volume there (emptyDir with medium: Memory), or leave lifecycle.state_directory out");
    let opened = open(&StateDirectory { path, choice: Choice::Default });
    assert!(!opened.handover.is_enabled());
    assert!(opened.warning.unwrap().contains("/proc is not on tmpfs"));
}

#[test]
fn another_user_s_hand_over_is_refused_and_names_both() {
    let (_temp, state) = state();
    drop(open(&state));
    let Some(refused) = as_uid(65_532, || Handover::open(&state, &Clock::boot()).unwrap_err().to_string())
    else {
        return;
    };
    let refused = refused.replace(&state.path.display().to_string(), "STATE");
    insta::assert_snapshot!(refused, @"open the hand-over in STATE/handover: it was made by uid 0 and we are uid 65532: run both as one user (runAsUser), or give each its own lifecycle.state_directory");
}

#[test]
fn a_directory_that_we_may_not_write_is_a_warning() {
    let (_temp, state) = state();
    std::fs::set_permissions(&state.path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let Some(warning) = as_uid(65_532, || open(&state).warning.unwrap()) else { return };
    assert!(warning.contains("we may not make"), "{warning}");
}

#[test]
fn a_link_in_place_of_our_directory_is_not_followed() {
    let (_temp, state) = state();
    std::fs::DirBuilder::new().mode(0o700).create(state.path.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", ours(&state)).unwrap();
    let refused = Handover::open(&state, &Clock::boot()).unwrap_err();
    assert!(matches!(refused, Error::Io { .. }), "{refused}");
    assert_eq!(std::fs::read_dir(state.path.join("elsewhere")).unwrap().count(), 0);
}

#[test]
fn a_write_that_fails_keeps_the_old_entry() {
    let (_temp, state) = state();
    let opened = open(&state);
    opened.handover.put(&held("0000000000000001", "old", None)).unwrap();
    // The unfinished file cannot be made.
    std::fs::create_dir(ours(&state).join(".new")).unwrap();
    let refused = opened.handover.put(&held("0000000000000001", "canary", None)).unwrap_err();
    assert!(refused.to_string().contains("record held.0000000000000001"), "{refused}");
    assert!(!refused.to_string().contains("canary"));
    std::fs::remove_dir(ours(&state).join(".new")).unwrap();
    drop(opened);
    assert_eq!(password(&open(&state).entries[0]), b"old");
}

#[test]
fn a_process_killed_at_any_moment_leaves_the_old_or_the_new_entry_whole() {
    let (_temp, state) = state();
    let mut newest = 0;
    for round in 0..40 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "handover::tests::child_that_writes_until_it_is_killed"])
            .env("LEASEHOLD_TEST_STATE", &state.path)
            .env("LEASEHOLD_TEST_FROM", newest.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let file = ours(&state).join("held.0000000000000001.json");
        let before = std::fs::metadata(&file).map(|m| m.ino()).ok();
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::fs::metadata(&file).map(|m| m.ino()).ok() == before {
            assert!(Instant::now() < deadline, "the child writes");
            assert!(child.try_wait().unwrap().is_none(), "the child lives");
            std::hint::spin_loop();
        }
        std::thread::sleep(Duration::from_micros(round * 53 % 1_700));
        child.kill().unwrap();
        child.wait().unwrap();
        let opened = open(&state);
        assert!(opened.dropped.is_empty(), "round {round}: {:?}", opened.dropped);
        assert_eq!(opened.entries.len(), 1, "round {round}");
        let text = std::str::from_utf8(password(&opened.entries[0])).unwrap();
        let (number, tail) = text.split_once(' ').unwrap();
        assert_eq!(tail.len(), 20_000, "round {round}");
        let number: u64 = number.parse().unwrap();
        assert!(number > newest, "round {round}: {number} after {newest}");
        newest = number;
    }
}

#[test]
#[ignore = "the child of the test above it"]
fn child_that_writes_until_it_is_killed() {
    let path = PathBuf::from(std::env::var("LEASEHOLD_TEST_STATE").expect("started by its parent"));
    let from: u64 = std::env::var("LEASEHOLD_TEST_FROM").unwrap().parse().unwrap();
    let opened = open(&StateDirectory { path, choice: Choice::Configured });
    for number in from + 1.. {
        let value = format!("{number} {}", "x".repeat(20_000));
        opened.handover.put(&held("0000000000000001", &value, None)).unwrap();
    }
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
        (any::<u64>(), moment(), any::<Option<u64>>())
            .prop_map(|(generation, at, acknowledged)| { Entry::Announced { generation, at, acknowledged } }),
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
        let bytes = wire::encode(&entry, "boot", Moment::from_zero(Duration::ZERO)).unwrap();
        let read = wire::decode(&bytes).unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{entry:?}"));
        prop_assert_eq!(values(&read), values(&entry));
        prop_assert_eq!(EntryId::from(&read), EntryId::from(&entry));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in any::<Vec<u8>>()) {
        let _ = wire::Header::read(&bytes);
        let _ = wire::decode(&bytes);
    }

    #[test]
    fn half_an_entry_is_none(entry in entry(), cut in 0.0..1.0_f64) {
        let bytes = wire::encode(&entry, "boot", Moment::from_zero(Duration::ZERO)).unwrap();
        let cut = ((bytes.len() as f64) * cut) as usize;
        prop_assert!(wire::decode(&bytes[..cut]).is_err());
    }
}

#[test]
fn a_value_is_not_readable_as_it_stands_and_the_buffer_never_moved() {
    let entry = held("0000000000000001", &"canary".repeat(5_000), None);
    let bytes = wire::encode(&entry, "boot", Moment::from_zero(Duration::ZERO)).unwrap();
    let text = std::str::from_utf8(&bytes).unwrap();
    assert!(!text.contains("canary"));
    // A buffer that had to grow would have doubled.
    assert_eq!(bytes.capacity(), 4096 + 2 * (30_000 + "password".len() + 32));
}
