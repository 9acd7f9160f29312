//! The files for the application: whole, ours, in memory, whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use harness::tmpfs::{self, Folder, ProtectedSymlinks, root};
use leasehold::clock::Moment;
use leasehold::config::model::{Output, RequireTmpfs};
use leasehold::volume::{Error, ErrorKind, Manifest, ManifestSecret, Published, Rendered, Set, Volume};
use leasehold_core::SecretBytes;
use leasehold_harness as harness;
use rustix::fs::{Gid, Uid};

mod crash;

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
fn as_user<T: Send>(uid: u32, gid: u32, groups: &[u32], act: impl FnOnce() -> T + Send) -> T {
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
    volume.warnings().iter().map(String::as_str).filter(|warning| !warning.contains("swapped")).collect()
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
fn what_others_put_there_is_left_alone_unless_it_has_a_name_that_is_needed() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    fs::create_dir(&live).unwrap();
    fs::set_permissions(&live, PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(live.join("theirs"), "untouched").unwrap();
    symlink("theirs", live.join("link")).unwrap();
    let mut volume = Volume::open(&output(&live)).unwrap();
    insta::assert_snapshot!(shown(warnings(&volume)[0], &folder), @r#""[volume]/live" also holds what is not leasehold's ("link", "theirs"): that is left alone, and the directory keeps its mode and group; better name a directory of leasehold's own"#);
    assert_eq!(mode(&live), 0o755, "its mode is left as it is");
    for name in ["theirs", "theirs/below", "link"] {
        let refused = volume.publish(&set([("a", "1"), (name, "2")]), at(0)).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Refused);
        if name == "theirs" {
            insta::assert_snapshot!(shown(refused, &folder), @r#"cannot place "[volume]/live/theirs": something that is not leasehold's has that name: remove it, or give the file another name"#);
        }
    }
    assert_eq!(names(&live), ["..lock", "link", "theirs"], "nothing was begun");
    volume.publish(&set([("a", "1")]), at(0)).unwrap();
    volume.publish(&set([("b", "1")]), at(0)).unwrap();
    drop(volume);
    Volume::open(&output(&live)).unwrap();
    assert_eq!(read(live.join("theirs")), "untouched");
    assert_eq!(fs::read_link(live.join("link")).unwrap(), Path::new("theirs"));
}

#[test]
fn names_that_leave_the_directory_are_refused_before_anything_is_written() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    let mut volume = Volume::open(&output(&live)).unwrap();
    let mut messages = Vec::new();
    let long = "n".repeat(256);
    for name in [
        "../up",
        "/etc/passwd",
        "a/../../up",
        "a//b",
        "a/.",
        "",
        "..data",
        "..ack.sock",
        "nul\0",
        long.as_str(),
    ] {
        let refused = volume.publish(&set([("fine", "1"), (name, "2")]), at(0)).unwrap_err();
        messages.push(shown(refused, &folder).replace(&long, "nnn"));
    }
    let refused = volume.publish(&set([("a", "1"), ("a/b", "2")]), at(0)).unwrap_err();
    messages.push(shown(refused, &folder));
    insta::assert_snapshot!(messages.join("\n"));
    assert_eq!(names(&live), ["..lock"]);
    assert_eq!(names(&*folder), ["live"]);
}

#[test]
fn a_directory_that_is_not_ours_to_use_is_refused_with_what_to_do() {
    let folder = harness::tmpfs();
    let refuse = |directory: PathBuf| {
        let refused = Volume::open(&output(directory)).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Refused);
        shown(refused, &folder)
    };
    let mut messages = vec![refuse(folder.join("absent/live"))];
    fs::write(folder.join("file"), "").unwrap();
    messages.push(refuse(folder.join("file")));
    messages.push(refuse(folder.join("file/live")));
    fs::create_dir(folder.join("real")).unwrap();
    symlink("real", folder.join("link")).unwrap();
    messages.push(refuse(folder.join("link")));
    let sticky = folder.join("sticky");
    fs::create_dir(&sticky).unwrap();
    for mode in [0o1777, 0o3777] {
        fs::set_permissions(&sticky, PermissionsExt::from_mode(mode)).unwrap();
        messages.push(refuse(sticky.clone()));
    }
    Volume::open(&output(sticky.join("live"))).expect("the remedy helps");
    messages.push(refuse(PathBuf::from("/")));
    messages.push(refuse(folder.join("..")));
    fs::create_dir(folder.join("kubelet")).unwrap();
    symlink("..2026_01_02_03_04_05.1", folder.join("kubelet/..data")).unwrap();
    messages.push(refuse(folder.join("kubelet")));
    fs::create_dir(folder.join("locked")).unwrap();
    symlink("elsewhere", folder.join("locked/..lock")).unwrap();
    let uid = rustix::process::geteuid().as_raw();
    messages.push(refuse(folder.join("locked")).replace(&format!("uid {uid}"), "uid [own]"));
    assert_eq!(names(folder.join("real")), Vec::<String>::new(), "nothing was made behind a link");
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn a_disk_is_refused_before_anything_is_made_on_it_unless_it_is_wanted() {
    let folder = Folder::on_disk();
    let live = folder.join("live");
    for require_tmpfs in [RequireTmpfs::Yes, RequireTmpfs::Strict] {
        let refused = Volume::open(&Output { require_tmpfs, ..output(&live) }).unwrap_err();
        assert!(refused.to_string().contains("require_tmpfs: false"), "{refused}");
        assert_eq!(names(&*folder), Vec::<String>::new());
    }
    let on_disk = Output { require_tmpfs: RequireTmpfs::No, ..output(&live) };
    let mut volume = Volume::open(&on_disk).unwrap();
    assert!(volume.warnings()[0].contains("require_tmpfs is false"), "{:?}", volume.warnings());
    volume.publish(&set([("d/a", "1")]), at(0)).unwrap();
    assert_eq!(read(live.join("d/a")), "1");
}

#[test]
fn a_second_process_is_told_who_holds_the_directory() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    let first = Volume::open(&output(&live)).unwrap();
    let before = fs::metadata(&live).unwrap().mtime_nsec();
    let refused = Volume::open(&output(&live)).unwrap_err();
    let ErrorKind::Busy(holder) = &refused.kind else { panic!("{refused}") };
    assert_eq!(holder.host, rustix::system::uname().nodename().to_string_lossy());
    let shown = shown(&refused, &folder).replace(&holder.to_string(), "[holder]");
    insta::assert_snapshot!(shown, @r#"cannot use as output directory "[volume]/live": it is in use by [holder]: wait for its end, or give this process an output.directory of its own"#);
    assert_eq!(fs::metadata(&live).unwrap().mtime_nsec(), before, "it touched nothing");
    drop(first);
    Volume::open(&output(&live)).unwrap();
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
fn an_owner_or_group_that_we_may_not_set_is_refused_naming_fs_group_and_run_as_user() {
    if !root("acting as another user") {
        return;
    }
    let mounted = tmpfs::Volume::with_options("mode=1777");
    let mut messages = Vec::new();
    as_user(WRITER, WRITER, &[], || {
        let group = Output { group: Some(SHARED), ..output(mounted.join("group")) };
        messages.push(shown(Volume::open(&group).unwrap_err(), &mounted));
        let owner = Output { owner: Some(READER), ..output(mounted.join("owner")) };
        messages.push(shown(Volume::open(&owner).unwrap_err(), &mounted));
        let mut volume = Volume::open(&output(mounted.join("file"))).unwrap();
        messages.push(shown(warnings(&volume)[0], &mounted));
        let mut wanted = set([("a", "1")]);
        wanted.files.get_mut("a").unwrap().group = Some(SHARED);
        messages.push(shown(volume.publish(&wanted, at(0)).unwrap_err(), &mounted));
        assert_eq!(names(mounted.join("file")), ["..lock"], "and nothing of it is left");
    });
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn a_setgid_directory_whose_group_is_not_ours_is_refused_and_not_half_used() {
    if !root("acting as another user") {
        return;
    }
    // The kernel drops the setgid bit when a stranger to the group changes the mode.
    let mounted = tmpfs::Volume::mount(SHARED);
    let refused = as_user(WRITER, WRITER, &[], || Volume::open(&output(mounted.join("live"))).unwrap_err());
    insta::assert_snapshot!(shown(refused, &mounted), @r#"cannot set mode, owner and group of "[volume]/live": uid 61532 with the groups 61532 may not give it the group 61600: a group has to be one of ours (the pod's fsGroup or a supplementalGroup), an owner has to be the uid that we run as (runAsUser)"#);
}

#[test]
fn a_directory_of_another_user_is_refused_naming_both() {
    if !root("acting as another user") {
        return;
    }
    let mounted = tmpfs::Volume::with_options("mode=0777");
    drop(Volume::open(&output(mounted.join("live"))).unwrap());
    let refused = as_user(WRITER, WRITER, &[], || {
        fs::create_dir(mounted.join("closed")).unwrap();
        fs::set_permissions(mounted.join("closed"), PermissionsExt::from_mode(0o755)).unwrap();
        Volume::open(&output(mounted.join("live"))).unwrap_err()
    });
    insta::assert_snapshot!(shown(refused, &mounted), @r#"cannot use as output directory "[volume]/live": it belongs to uid 0, and this process runs as uid 61532: run both as one uid (runAsUser), or name a directory that does not exist yet"#);
    let refused =
        as_user(READER, READER, &[], || Volume::open(&output(mounted.join("closed/live"))).unwrap_err());
    insta::assert_snapshot!(shown(refused, &mounted), @r#"cannot make the output directory "[volume]/closed/live": uid 61533 may not write in "[volume]/closed" (uid 61532, gid 61532, mode 0755): give the pod an fsGroup, or run as the owner of the volume (runAsUser)"#);
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
fn a_full_volume_gives_up_its_oldest_generations_first_and_then_keeps_the_set_in_place() {
    if !root("mounting a small tmpfs") {
        return;
    }
    let mounted = tmpfs::Volume::with_options("mode=0700,size=1m");
    let live = mounted.join("live");
    let mut volume = Volume::open(&output(&live)).unwrap();
    let filled = |byte: &str| byte.repeat(300_000);
    let publish = |volume: &mut Volume, byte: &str, second: u64| {
        volume.publish(&set([("a", filled(byte).as_str()), ("d/b", byte)]), at(second))
    };
    for (second, byte) in [(0, "1"), (1, "2"), (2, "3")] {
        publish(&mut volume, byte, second).unwrap();
    }
    let before = names(&live);
    let refused = publish(&mut volume, "4", 10).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Full);
    insta::assert_snapshot!(shown(refused, &mounted), @r#"cannot write "[volume]/live/a": no space is left on its volume: enlarge the volume (sizeLimit of the emptyDir, size= of the tmpfs), which has to hold the old and the new set at once"#);
    assert_eq!(names(&live), before, "nothing of the new one is left");
    assert_eq!(read(live.join("a")), filled("3"), "the old one stays, whole");
    assert_eq!(read(live.join("d/b")), "3");

    assert_eq!(generation(publish(&mut volume, "4", 11)).0, 4, "past its 10 s the oldest makes room");
    assert!(!live.join("..generation-1").exists());
    assert_eq!(read(live.join("..generation-2/a")), filled("2"));
    assert_eq!(read(live.join("a")), filled("4"));
    let too_much = "5".repeat(900_000);
    volume.publish(&set([("a", too_much.as_str())]), at(1_000)).unwrap_err();
    assert_eq!(read(live.join("a")), filled("4"));
    drop(volume);
    // A start on a full volume still finds its way.
    fs::write(mounted.join("rest"), vec![b'x'; 1_000_000]).unwrap_err();
    let volume = Volume::open(&output(&live)).unwrap();
    assert_eq!(volume.current().unwrap().number, 4);
}

#[test]
fn a_volume_without_inodes_for_the_links_keeps_the_set_in_place() {
    if !root("mounting a small tmpfs") {
        return;
    }
    let mounted = tmpfs::Volume::with_options("mode=0700,nr_inodes=16");
    let live = mounted.join("live");
    let mut volume = Volume::open(&output(&live)).unwrap();
    volume.publish(&set([("a", "1")]), at(0)).unwrap();
    let before = names(&live);
    for count in 1..=12_usize {
        let new: Vec<String> = (0..count).map(|index| format!("new-{index}")).collect();
        let files = new.iter().map(|name| (name.as_str(), "2")).chain([("a", "2")]);
        match volume.publish(&set(files), at(0)) {
            Ok(_) => {
                assert_eq!(read(live.join("a")), "2");
                volume.publish(&set([("a", "1")]), at(100)).unwrap();
                volume.tidy(at(1_000), |_| false);
            }
            Err(refused) => {
                assert_eq!(refused.kind, ErrorKind::Full, "{refused}");
                assert_eq!(read(live.join("a")), "1", "with {count} new names");
                let left: Vec<String> =
                    names(&live).into_iter().filter(|name| !name.starts_with("..generation-")).collect();
                assert_eq!(left, ["..data", "..lock", "a"]);
            }
        }
    }
    assert_eq!(before.len(), names(&live).len());
}

#[test]
fn a_read_only_volume_refuses_and_says_so() {
    if !root("remounting a tmpfs") {
        return;
    }
    let mounted = tmpfs::Volume::with_options("mode=0700");
    let mut volume = Volume::open(&output(mounted.join("live"))).unwrap();
    volume.publish(&set([("a", "1")]), at(0)).unwrap();
    drop(volume);
    let status = std::process::Command::new("mount").args(["-o", "remount,ro"]).arg(&*mounted).status();
    assert!(status.unwrap().success());
    let refused = |name: &str| shown(Volume::open(&output(mounted.join(name))).unwrap_err(), &mounted);
    insta::assert_snapshot!(refused("live"), @r#"cannot use as output directory "[volume]/live": its volume is mounted read-only: mount it read-write into this container"#);
    insta::assert_snapshot!(refused("other"), @r#"cannot make the output directory "[volume]/other": its volume is mounted read-only: mount it read-write into this container"#);
    assert_eq!(read(mounted.join("live/a")), "1");
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
