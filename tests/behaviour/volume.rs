//! The files for the application: whole, ours, in memory, whatever happens.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests are tests too")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use harness::tmpfs::{self, Folder, ProtectedSymlinks, root};
use leasehold::clock::Moment;
use leasehold::config::model::{Output, RequireTmpfs};
use leasehold::volume::{
    Error, ErrorKind, Manifest, ManifestSecret, Proposed, Published, Rendered, Set, Volume,
};
use leasehold_core::SecretBytes;
use leasehold_harness as harness;
use rustix::fs::{Gid, Uid};

mod crash;
mod refusals;

/// The uids and the group of these tests: nobody's on any machine.
const WRITER: u32 = 61_532;
const READER: u32 = 61_533;
const SHARED: u32 = 61_600;

fn output(directory: impl AsRef<Path>) -> Output {
    Output {
        directory: directory.as_ref().to_owned(),
        mode: 0o440,
        owner: None,
        group: None,
        require_tmpfs: RequireTmpfs::Yes,
    }
}

fn file(content: &str) -> Rendered {
    Rendered { bytes: SecretBytes::from_text(content.to_owned()), mode: 0o440, owner: None, group: None }
}

fn set<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Set {
    let files = files.into_iter().map(|(name, content)| (name.to_owned(), file(content))).collect();
    let issued = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let db = ManifestSecret { version: Some("3".to_owned()), issued, expires: None };
    Set { files, manifest: Manifest { secrets: BTreeMap::from([("db".to_owned(), db)]) } }
}

/// Long after the clock's zero.
fn at(seconds: u64) -> Moment {
    Moment::from_zero(Duration::from_secs(100_000 + seconds))
}

#[track_caller]
fn generation(published: Result<Published, Error>) -> (u64, Vec<String>) {
    match published.unwrap() {
        Published::Generation { number, changed, .. } => (number, changed),
        Published::Unchanged { number } => panic!("generation {number} is unchanged"),
    }
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// All names in a directory, in order.
fn names(directory: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Runs this as another user. Credentials belong to a thread: the rest of the tests keep theirs.
pub(crate) fn as_user<T: Send>(uid: u32, gid: u32, groups: &[u32], act: impl FnOnce() -> T + Send) -> T {
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            rustix::thread::set_thread_groups(&groups).unwrap();
            let (gid, uid) = (Gid::from_raw(gid), Uid::from_raw(uid));
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            act()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// What the start says, but for swap, which is the machine's.
fn warnings(volume: &Volume) -> Vec<&str> {
    let said = volume.warnings().iter().map(String::as_str).chain(volume.private());
    said.filter(|warning| !warning.contains("swapped")).collect()
}

/// A message without what differs from machine to machine.
fn shown(message: impl ToString, folder: &Path) -> String {
    message.to_string().replace(folder.to_str().unwrap(), "[volume]")
}

#[test]
fn lays_the_set_out_as_a_kubelet_lays_out_a_secret_volume() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    let mut volume = Volume::open(&output(&live)).unwrap();
    assert!(volume.current().is_none());
    let first = set([("db.env", "USER=a"), ("tls/tls.crt", "CERT"), ("tls/tls.key", "KEY")]);
    let published = volume.publish(&first, at(0)).unwrap();
    let changed = ["db.env", "tls/tls.crt", "tls/tls.key"].map(str::to_owned).to_vec();
    assert_eq!(published, Published::Generation { number: 1, changed, files: 3 });

    assert_eq!(names(&live), ["..data", "..generation-1", "..lock", "db.env", "tls"]);
    let target = |name: &str| fs::read_link(live.join(name)).unwrap();
    assert_eq!(target("..data"), Path::new("..generation-1"));
    assert_eq!(target("db.env"), Path::new("..data/db.env"));
    assert_eq!(target("tls"), Path::new("..data/tls"));
    assert_eq!(read(live.join("db.env")), "USER=a");
    assert_eq!(read(live.join("tls/tls.key")), "KEY");
    for (name, expected) in [
        (".", 0o2750),
        ("..generation-1", 0o2750),
        ("tls", 0o2750),
        ("db.env", 0o440),
        ("tls/tls.key", 0o440),
        ("..data/..manifest.json", 0o440),
        ("..lock", 0o600),
    ] {
        assert_eq!(mode(live.join(name)), expected, "{name}");
    }
    insta::assert_snapshot!(read(live.join("..data/..manifest.json")));
}

#[test]
fn a_manifest_says_when_what_cannot_be_renewed_expires() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    let mut volume = Volume::open(&output(&live)).unwrap();
    let mut with_end = set([("a", "1")]);
    let secret = with_end.manifest.secrets.get_mut("db").unwrap();
    secret.expires = Some(secret.issued + Duration::from_secs(3_600));
    secret.version = None;
    volume.publish(&with_end, at(0)).unwrap();
    insta::assert_snapshot!(read(live.join("..data/..manifest.json")));
    assert_eq!(volume.current().unwrap().manifest, with_end.manifest);
    drop(volume);
    let volume = Volume::open(&output(&live)).unwrap();
    assert_eq!(volume.current().unwrap().manifest, with_end.manifest, "read back");
    assert_eq!(volume.current().unwrap().files, BTreeSet::from(["a".to_owned()]));
}

#[test]
fn the_same_content_makes_no_new_generation_and_another_attribute_does() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    let mut volume = Volume::open(&output(&live)).unwrap();
    let mut same = set([("a", "1"), ("d/b", "2")]);
    volume.publish(&same, at(0)).unwrap();
    same.manifest.secrets.clear();
    assert_eq!(volume.publish(&same, at(1)).unwrap(), Published::Unchanged { number: 1 });
    drop(volume);
    let mut volume = Volume::open(&output(&live)).unwrap();
    assert_eq!(volume.publish(&same, at(2)).unwrap(), Published::Unchanged { number: 1 }, "after a restart");

    same.files.get_mut("d/b").unwrap().mode = 0o400;
    assert_eq!(generation(volume.publish(&same, at(3))), (2, vec!["d/b".to_owned()]));
    assert_eq!(mode(live.join("d/b")), 0o400);
    if root("giving files to others") {
        same.files.get_mut("a").unwrap().owner = Some(READER);
        assert_eq!(generation(volume.publish(&same, at(4))), (3, vec!["a".to_owned()]));
        same.files.get_mut("a").unwrap().group = Some(SHARED);
        assert_eq!(generation(volume.publish(&same, at(5))), (4, vec!["a".to_owned()]));
        let made = fs::metadata(live.join("a")).unwrap();
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (READER, SHARED, 0o440));
        assert_eq!(volume.publish(&same, at(6)).unwrap(), Published::Unchanged { number: 4 });
    }
}

#[test]
fn a_change_of_one_byte_is_a_change_also_beyond_the_first_page() {
    let folder = harness::tmpfs();
    let mut volume = Volume::open(&output(folder.join("live"))).unwrap();
    let long = "x".repeat(10_000);
    volume.publish(&set([("a", long.as_str())]), at(0)).unwrap();
    assert_eq!(
        volume.publish(&set([("a", long.as_str())]), at(0)).unwrap(),
        Published::Unchanged { number: 1 }
    );
    let other = format!("{}y", "x".repeat(9_999));
    assert_eq!(generation(volume.publish(&set([("a", other.as_str())]), at(0))).0, 2);
    assert_eq!(generation(volume.publish(&set([("a", &other[..9_000])]), at(0))).0, 3);
    assert_eq!(generation(volume.publish(&set([("a", "")]), at(0))).0, 4);
    assert_eq!(volume.publish(&set([("a", "")]), at(0)).unwrap(), Published::Unchanged { number: 4 });
}

#[test]
fn unchanged_files_are_hard_links_and_changed_ones_are_not() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    let mut volume = Volume::open(&output(&live)).unwrap();
    volume.publish(&set([("a", "1"), ("d/same", "s"), ("d/other", "o")]), at(0)).unwrap();
    let (number, changed) =
        generation(volume.publish(&set([("a", "2"), ("d/same", "s"), ("d/other", "p")]), at(0)));
    assert_eq!((number, changed), (2, vec!["a".to_owned(), "d/other".to_owned()]));
    let inode = |generation: u64, name: &str| {
        fs::metadata(live.join(format!("..generation-{generation}/{name}"))).unwrap().ino()
    };
    assert_eq!(inode(1, "d/same"), inode(2, "d/same"));
    assert_ne!(inode(1, "a"), inode(2, "a"));
    assert_ne!(inode(1, "d/other"), inode(2, "d/other"));
    assert_eq!(read(live.join("..generation-1/a")), "1", "the old set keeps its own bytes");
}

#[test]
fn a_proposed_set_lies_whole_beside_the_one_in_place_until_it_is_accepted_or_goes() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    let mut volume = Volume::open(&output(&live)).unwrap();
    volume.publish(&set([("a", "1"), ("same", "s")]), at(0)).unwrap();
    let before = names(&live);
    let wanted = set([("a", "2"), ("new", "n"), ("same", "s")]);
    let changed = vec!["a".to_owned(), "new".to_owned()];
    let proposed = Proposed::Candidate { number: 2, changed: changed.clone() };

    assert_eq!(volume.propose(&wanted, at(0)).unwrap(), proposed);
    let beside = volume.directory_of(2);
    assert_eq!(beside, live.join("..generation-2"));
    assert_eq!(names(&beside), ["..manifest.json", "a", "new", "same"]);
    assert_eq!(fs::metadata(beside.join("a")).unwrap().permissions().mode() & 0o7777, 0o440);
    assert_eq!((read(live.join("a")), live.join("new").exists()), ("1".to_owned(), false));
    volume.withdraw();
    assert_eq!(names(&live), before, "nothing of it is left");

    // A process that ends with one leaves it to the next, which takes it away.
    assert_eq!(volume.propose(&wanted, at(0)).unwrap(), proposed);
    drop(volume);
    assert!(beside.exists());
    let mut volume = Volume::open(&output(&live)).unwrap();
    assert_eq!(names(&live), before);

    volume.propose(&set([("other", "o")]), at(0)).unwrap();
    assert_eq!(volume.propose(&wanted, at(0)).unwrap(), proposed, "a newer one takes its place");
    assert_eq!(generation(volume.accept(at(0))), (2, changed));
    assert_eq!((read(live.join("a")), read(live.join("new"))), ("2".to_owned(), "n".to_owned()));
    assert_eq!(volume.propose(&wanted, at(0)).unwrap(), Proposed::Unchanged { number: 2 });
    volume.accept(at(0)).unwrap_err();
}

#[test]
fn names_come_and_go_with_the_set_and_the_changed_ones_are_named() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    let mut volume = Volume::open(&output(&live)).unwrap();
    volume.publish(&set([("a", "1"), ("b", "1"), ("x", "1")]), at(0)).unwrap();
    let (_, changed) = generation(volume.publish(&set([("a", "1"), ("c/d", "1"), ("x/y", "1")]), at(0)));
    assert_eq!(changed, ["b", "c/d", "x", "x/y"]);
    assert_eq!(names(&live), ["..data", "..generation-1", "..generation-2", "..lock", "a", "c", "x"]);
    assert_eq!(read(live.join("c/d")), "1");
    assert_eq!(read(live.join("x/y")), "1");
    let (_, changed) = generation(volume.publish(&set([]), at(0)));
    assert_eq!(changed, ["a", "c/d", "x/y"]);
    assert_eq!(names(live.join("..data")), ["..manifest.json"]);
}

#[test]
fn a_superseded_generation_stays_ten_seconds_and_as_long_as_it_is_pinned() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    let mut volume = Volume::open(&output(&live)).unwrap();
    let there = || -> Vec<String> {
        names(&live)
            .into_iter()
            .filter_map(|name| name.strip_prefix("..generation-").map(str::to_owned))
            .collect()
    };
    for (second, content) in [(0, "1"), (2, "2"), (4, "3")] {
        volume.publish(&set([("a", content)]), at(second)).unwrap();
    }
    let free = |_| false;
    assert_eq!(volume.tidy(at(4), free), Some(at(12)), "the first was superseded at 2");
    assert_eq!(volume.tidy(at(11), free), Some(at(12)));
    assert_eq!(there(), ["1", "2", "3"]);
    assert_eq!(volume.tidy(at(12), |number| number == 1), Some(at(14)), "only time is told, not pins");
    assert_eq!(there(), ["1", "2", "3"]);
    assert_eq!(volume.tidy(at(13), free), Some(at(14)));
    assert_eq!(there(), ["2", "3"]);
    assert_eq!(volume.tidy(at(14), |_| true), None);
    assert_eq!(there(), ["2", "3"]);
    assert_eq!(volume.tidy(at(14), free), None);
    assert_eq!(there(), ["3"]);
    assert_eq!(volume.tidy(at(1_000), free), None);
    assert_eq!(there(), ["3"], "the one in place is never removed");
}

#[test]
fn a_restart_goes_on_with_the_next_number_and_keeps_what_may_still_be_read() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    let mut volume = Volume::open(&output(&live)).unwrap();
    volume.publish(&set([("a", "1")]), at(0)).unwrap();
    volume.publish(&set([("a", "2")]), at(0)).unwrap();
    drop(volume);

    let mut volume = Volume::open(&output(&live)).unwrap();
    assert_eq!(volume.current().unwrap().number, 2);
    let next = volume.tidy(at(0), |_| false).unwrap();
    assert!(next > at(8) && next <= at(10), "superseded a moment ago: {next:?}");
    assert_eq!(read(live.join("..generation-1/a")), "1");
    assert_eq!(generation(volume.publish(&set([("a", "3")]), at(1))).0, 3);
    drop(volume);

    // An hour later, by the file system's clock.
    let hour_ago = SystemTime::now() - Duration::from_secs(3_600);
    for name in ["..generation-2", "..generation-3"] {
        fs::File::open(live.join(name)).unwrap().set_modified(hour_ago).unwrap();
    }
    let mut volume = Volume::open(&output(&live)).unwrap();
    assert_eq!(volume.tidy(at(0), |_| false), None, "their time has run while nobody was there");
    assert_eq!(names(&live), ["..data", "..generation-3", "..lock", "a"]);
}

#[test]
fn a_start_clears_up_what_a_killed_process_left_half_done() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    let mut volume = Volume::open(&output(&live)).unwrap();
    volume.publish(&set([("a", "1"), ("d/b", "1")]), at(0)).unwrap();
    drop(volume);
    // Killed while it wrote the next generation, and before it had moved its links.
    fs::create_dir_all(live.join("..generation-2/deep/er")).unwrap();
    fs::write(live.join("..generation-2/deep/er/file"), "half").unwrap();
    symlink("..generation-2", live.join("..data_tmp")).unwrap();
    symlink("..data/new", live.join("..link-0")).unwrap();
    // Killed after the move, before the names were brought into line.
    symlink("..data/gone", live.join("gone")).unwrap();
    fs::remove_file(live.join("d")).unwrap();

    let mut volume = Volume::open(&output(&live)).unwrap();
    assert_eq!(names(&live), ["..data", "..generation-1", "..lock", "a", "d"]);
    assert_eq!(read(live.join("d/b")), "1");
    assert_eq!(generation(volume.publish(&set([("a", "2")]), at(0))).0, 2);
}

#[test]
fn a_generation_that_is_not_whole_is_not_current_and_is_replaced() {
    for break_it in [
        (|live| fs::remove_file(live.join("..data/d/b")).unwrap()) as fn(&Path),
        |live| fs::remove_file(live.join("..data/..manifest.json")).unwrap(),
        |live| fs::write(live.join("..data/..manifest.json"), "{").unwrap(),
        |live| fs::remove_dir_all(live.join("..generation-1")).unwrap(),
        |live| fs::remove_file(live.join("..data")).unwrap(),
    ] {
        let folder = harness::tmpfs();
        let live = folder.join("live");
        let mut volume = Volume::open(&output(&live)).unwrap();
        let whole = set([("a", "1"), ("d/b", "1")]);
        volume.publish(&whole, at(0)).unwrap();
        drop(volume);
        break_it(&live);
        let mut volume = Volume::open(&output(&live)).unwrap();
        assert!(volume.current().is_none());
        let (number, changed) = generation(volume.publish(&whole, at(0)));
        assert_eq!(number, 2);
        assert!(changed.contains(&"d/b".to_owned()), "{changed:?}");
        assert_eq!(read(live.join("d/b")), "1");
    }
}

#[test]
fn another_uid_that_shares_only_the_group_reads_in_a_volume_as_a_kubelet_makes_it() {
    if !root("acting as other users in a mounted tmpfs") {
        return;
    }
    let _protected = ProtectedSymlinks::on();
    let mounted = tmpfs::Volume::mount(SHARED);
    let live = mounted.join("live");
    // As under runAsUser with fsGroup: the group is only a supplementary one.
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let (ready, published) = std::sync::mpsc::channel();
        let live = &live;
        scope.spawn(move || {
            as_user(WRITER, WRITER, &[SHARED], move || {
                let mut volume = Volume::open(&output(live)).unwrap();
                assert_eq!(warnings(&volume), [""; 0]);
                volume.publish(&set([("db.env", "one"), ("tls/key", "KEY")]), at(0)).unwrap();
                volume.publish(&set([("db.env", "two"), ("tls/key", "KEY")]), at(0)).unwrap();
                ready.send(()).unwrap();
                receiver.recv().unwrap();
            });
        });
        published.recv().unwrap();
        as_user(READER, READER, &[SHARED], || {
            assert_eq!(read(live.join("db.env")), "two");
            assert_eq!(read(live.join("tls/key")), "KEY");
            assert_eq!(read(live.join("..generation-1/db.env")), "one");
            assert!(read(live.join("..data/..manifest.json")).contains("\"generation\": 2"));
            assert!(fs::write(live.join("db.env"), "x").is_err(), "it only reads");
            assert!(fs::rename(live, mounted.join("away")).is_err(), "nobody moves our directory");
        });
        as_user(READER, READER, &[], || {
            assert!(fs::read_dir(live).is_err(), "without the group, nothing");
        });
        // Root is no exception to fs.protected_symlinks; in a directory of ours it does not apply.
        assert_eq!(read(live.join("db.env")), "two");
        let made = fs::metadata(live.join("db.env")).unwrap();
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (WRITER, SHARED, 0o440));
        assert_eq!(mode(live), 0o2750);
        sender.send(()).unwrap();
    });
    // The same place without a directory of ours: what the refusal is about.
    as_user(WRITER, WRITER, &[SHARED], || {
        let refused = Volume::open(&output(&*mounted)).unwrap_err();
        assert!(refused.to_string().contains("protected_symlinks"), "{refused}");
        fs::write(mounted.join("plain"), "x").unwrap();
        symlink("plain", mounted.join("link")).unwrap();
    });
    assert!(fs::read(mounted.join("link")).is_err(), "not even root follows a link in a sticky directory");
}

#[test]
fn output_owner_and_group_are_given_to_directories_and_files_from_the_start() {
    if !root("giving files to others") {
        return;
    }
    let folder = harness::tmpfs();
    let live = folder.join("live");
    let given = Output { owner: Some(READER), group: Some(SHARED), ..output(&live) };
    for content in ["1", "2"] {
        // The second time the directory belongs to the owner that we gave it to.
        let mut volume = Volume::open(&given).unwrap();
        assert_eq!(warnings(&volume), [""; 0]);
        volume.publish(&set([("d/a", content)]), at(0)).unwrap();
    }
    for name in [".", "..generation-2", "d", "d/a", "..data/..manifest.json"] {
        let made = fs::metadata(live.join(name)).unwrap();
        assert_eq!((made.uid(), made.gid()), (READER, SHARED), "{name}");
    }
    assert_eq!(mode(live.join("d")), 0o2750);
}

#[test]
fn no_value_is_in_what_can_be_printed() {
    let folder = harness::tmpfs();
    let mut volume = Volume::open(&output(folder.join("live"))).unwrap();
    let secret = set([("a", "canary-plaintext")]);
    volume.publish(&secret, at(0)).unwrap();
    let shown = format!("{secret:?} {volume:?}");
    assert!(!shown.contains("canary"), "{shown}");
}
