mod crash;

use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Bound, Fields, Lease};

use super::*;
use crate::clock::{Clock, Moment};
use crate::config::model::{Choice, StateDirectory};
use crate::slot::Life;

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
    assert!(refused.is_busy(), "{refused}");
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
