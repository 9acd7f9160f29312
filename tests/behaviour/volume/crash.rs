//! What a process of its own is needed for: to be killed, to be traced, to have another umask. The
//! processes are this test binary again, running one of the bodies below.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use harness::process::{Exit, Group};
use leasehold::clock::Clock;
use rustix::fs::{Mode, OFlags};

use super::*;

const DIRECTORY: &str = "LEASEHOLD_TEST_DIRECTORY";
const SOON: Duration = Duration::from_secs(30);

/// This test binary, to run one of the bodies on a directory.
fn process(body: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments(body)).env(DIRECTORY, directory).stdin(Stdio::null());
    command
}

fn arguments(body: &str) -> [String; 3] {
    [format!("volume::crash::body::{body}"), "--exact".to_owned(), "--nocapture".to_owned()]
}

/// Each is a test for libtest's eyes, and does nothing where no directory is given.
mod body {
    use super::*;

    fn directory() -> Option<OsString> {
        std::env::var_os(DIRECTORY)
    }

    #[test]
    fn writes_until_it_is_killed() {
        let Some(directory) = directory() else { return };
        let clock = Clock::boot();
        let mut volume = Volume::open(&output(directory)).unwrap();
        std::io::stdout().write_all(b"\nready\n").unwrap();
        loop {
            let number = volume.current().unwrap().number + 1;
            let wanted = numbered(number);
            assert_eq!(generation(volume.publish(&wanted, clock.now())).0, number);
            volume.tidy(clock.now(), |_| false);
        }
    }

    #[test]
    fn publishes_and_tidies() {
        let Some(directory) = directory() else { return };
        make_every_call_often();
        let mut volume = Volume::open(&output(directory)).unwrap();
        volume.publish(&set(AFTER), at(0)).unwrap();
        volume.tidy(at(100), |_| false);
    }

    /// strace counts calls by thread, and libtest's main thread makes some too: after this, a count
    /// of ours is one that the main thread never reaches.
    fn make_every_call_often() {
        use rustix::fs::{AtFlags, FlockOperation, RenameFlags};
        let dev = rustix::fs::open("/dev", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let file: OwnedFd = tempfile::tempfile().unwrap().into();
        let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
        let now = rustix::fs::Timestamps { last_access: now, last_modification: now };
        for _ in 0..100 {
            drop(rustix::fs::open("/dev/null", OFlags::RDONLY, Mode::empty()).unwrap());
            drop(rustix::fs::openat(&dev, "null", OFlags::RDONLY, Mode::empty()).unwrap());
            rustix::fs::fchmod(&file, Mode::RWXU).unwrap();
            rustix::fs::fchown(&file, None, None).unwrap();
            rustix::io::write(&file, b"x").unwrap();
            rustix::io::pwrite(&file, b"x", 0).unwrap();
            rustix::fs::ftruncate(&file, 0).unwrap();
            rustix::fs::flock(&file, FlockOperation::Unlock).unwrap();
            rustix::fs::futimens(&file, &now).unwrap();
            rustix::fs::Dir::read_from(&dev).unwrap().next().unwrap().unwrap();
            // These change nothing.
            rustix::fs::mkdirat(&dev, "null", Mode::empty()).unwrap_err();
            rustix::fs::linkat(&dev, "null", &dev, "zero", AtFlags::empty()).unwrap_err();
            rustix::fs::symlinkat("null", &dev, "zero").unwrap_err();
            rustix::fs::renameat(&dev, "absent", &dev, "gone").unwrap_err();
            rustix::fs::renameat_with(&dev, "absent", &dev, "gone", RenameFlags::NOREPLACE).unwrap_err();
            rustix::fs::unlinkat(&dev, "absent", AtFlags::empty()).unwrap_err();
            rustix::fs::readlinkat(&dev, "null", Vec::new()).unwrap_err();
        }
    }

    #[test]
    fn publishes_once() {
        let Some(directory) = directory() else { return };
        let given = match rustix::process::geteuid().is_root() {
            true => Output { owner: Some(READER), group: Some(SHARED), ..output(directory) },
            false => output(directory),
        };
        let mut volume = Volume::open(&given).unwrap();
        volume.publish(&set([("a", "canary-1"), ("d/b", "canary-2")]), at(0)).unwrap();
    }

    #[test]
    fn publishes_under_a_umask_that_takes_everything() {
        let Some(directory) = directory() else { return };
        rustix::process::umask(Mode::from_raw_mode(0o777));
        let publish = || {
            let mut volume = Volume::open(&output(&directory)).unwrap();
            volume.publish(&set([("a", "1"), ("d/b", "1")]), at(0)).unwrap();
        };
        if rustix::process::geteuid().is_root() {
            as_user(WRITER, WRITER, &[], publish);
        } else {
            publish();
        }
    }
}

/// A set whose every file says its number, with names that come and go.
fn numbered(number: u64) -> Set {
    let mut names = vec!["a", "d/b", "d/e/c"];
    names.extend(if number.is_multiple_of(2) { ["kind"] } else { ["kind/of"] });
    names.extend((number % 3 == 1).then_some("sometimes"));
    let texts = names.iter().map(|name| (*name, text(number, name)));
    let mut files: BTreeMap<String, Rendered> =
        texts.map(|(name, text)| (name.to_owned(), file(&text))).collect();
    files.insert("same".to_owned(), file("always the same"));
    Set { files, manifest: Manifest::default() }
}

fn text(number: u64, name: &str) -> String {
    let length = usize::try_from(number * 37 % 6_000).unwrap();
    format!("{number} {name} {}", number.to_string().repeat(length / 4 + 1))
}

/// Reads the set in place as a careful reader does, through one handle of `..data`.
fn read_in_place(live: &Path) -> u64 {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let data = rustix::fs::open(live.join("..data"), flags, Mode::empty()).expect("there always is a set");
    let manifest: serde_json::Value =
        serde_json::from_str(&read_at(&data, "..manifest.json")).expect("never torn");
    let number = manifest["generation"].as_u64().unwrap();
    let expected = numbered(number);
    let stated: Vec<&str> =
        manifest["files"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(stated, expected.files.keys().collect::<Vec<_>>());
    for (name, file) in &expected.files {
        let found = read_at(&data, name);
        assert!(found.as_bytes() == file.bytes.expose(), "{name} of {number} is not whole: {found:?}");
    }
    number
}

fn read_at(directory: &OwnedFd, name: &str) -> String {
    let file = rustix::fs::openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let file = file.unwrap_or_else(|errno| panic!("{name}: {errno}"));
    std::io::read_to_string(fs::File::from(file)).unwrap()
}

/// A name at the top is what any program opens: there, or in the set's absence not, never half.
fn read_at_the_top(live: &Path) {
    let found = read(live.join("a"));
    let number = found.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(found, text(number, "a"));
}

/// What a killed process left that no reader sees.
fn half_done(live: &Path) -> bool {
    let in_place = fs::read_link(live.join("..data")).ok();
    let number = |name: &str| name.strip_prefix("..generation-")?.parse::<u64>().ok();
    let in_place = in_place.and_then(|name| number(name.to_str()?)).unwrap_or(0);
    names(live).iter().any(|name| {
        name == "..data_tmp"
            || name.starts_with("..link-")
            || number(name).is_some_and(|made| made > in_place)
    })
}

#[test]
fn a_thousand_kills_at_random_moments_leave_one_whole_generation_and_the_next_start_clears_up() {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    Volume::open(&output(&live)).unwrap().publish(&numbered(1), Clock::boot().now()).unwrap();
    let ended = AtomicBool::new(false);
    let mut random = fastrand::Rng::new();
    let seed = random.get_seed();
    let (reads, half) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0_u64;
            let mut newest = 0;
            while !ended.load(Ordering::Relaxed) {
                let number = read_in_place(&live);
                assert!(number >= newest, "generation {number} came after {newest}");
                (newest, reads) = (number, reads + 1);
                read_at_the_top(&live);
            }
            reads
        });
        let end = End(&ended);
        let mut half = 0;
        for turn in 0..1_000 {
            if reader.is_finished() {
                break;
            }
            let (ready, told) = std::io::pipe().unwrap();
            let mut command = process("writes_until_it_is_killed", &live);
            let mut writer = Group::spawn(command.stdout(told));
            drop(command);
            let longest = if turn % 4 == 0 {
                20_000
            } else {
                wait_until_ready(ready);
                3_000
            };
            std::thread::sleep(Duration::from_micros(random.u64(0..longest)));
            assert_eq!(writer.kill(), Exit::Signal(9), "it ended by itself in turn {turn}");
            half += usize::from(half_done(&live));
        }
        drop(end);
        (reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), half)
    });
    assert!(reads > 1_000, "the reader read only {reads} times (seed {seed})");
    assert!(half > 50, "only {half} kills hit while a set was written (seed {seed})");

    let mut volume = Volume::open(&output(&live)).unwrap();
    assert!(!half_done(&live));
    let number = read_in_place(&live);
    assert_eq!(volume.current().unwrap().number, number);
    volume.tidy(at(0), |_| false);
    volume.tidy(at(20), |_| false);
    let mut expected = vec!["..data".to_owned(), format!("..generation-{number}"), "..lock".to_owned()];
    expected.extend(["a", "d", "kind", "same"].map(str::to_owned));
    expected.extend((number % 3 == 1).then(|| "sometimes".to_owned()));
    assert_eq!(names(&live), expected);
    assert_eq!(generation(volume.publish(&numbered(number + 1), at(20))).0, number + 1);
}

/// Ends the reader, also where an assertion ends us.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn wait_until_ready(mut told: PipeReader) {
    let mut said = Vec::new();
    let mut byte = [0];
    while !said.ends_with(b"\nready\n") {
        assert_eq!(told.read(&mut byte).unwrap(), 1, "it ended: {}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
}

#[test]
fn mode_owner_and_group_are_set_before_the_first_byte() {
    let folder = harness::tmpfs();
    let trace = folder.join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-e", "trace=openat,mkdirat,fchmod,fchown,write,pwrite64,close,renameat", "-o"]);
    command.arg(&trace).arg(std::env::current_exe().unwrap()).args(arguments("publishes_once"));
    command.env(DIRECTORY, folder.join("live")).stdin(Stdio::null()).stdout(Stdio::null());
    assert_eq!(
        Group::spawn(&mut command).wait(SOON),
        Exit::Code(0),
        "strace is there, and the body ends well"
    );

    let mut open: BTreeMap<String, (String, Vec<&str>)> = BTreeMap::new();
    let mut written = Vec::new();
    let trace = read(&trace);
    for line in trace.lines() {
        let Some((call, rest)) = line.split_once(' ').and_then(|(_, call)| call.trim_start().split_once('('))
        else {
            continue;
        };
        let first = rest.split([',', ')']).next().unwrap().to_owned();
        match call {
            "openat" if rest.contains("O_EXCL") => {
                assert!(rest.contains("O_NOFOLLOW"), "{line}");
                let name = rest.split('"').nth(1).unwrap().to_owned();
                let fd = rest.rsplit("= ").next().unwrap().to_owned();
                open.insert(fd, (name, Vec::new()));
            }
            "fchmod" | "fchown" | "write" | "pwrite64" => {
                if let Some((_, calls)) = open.get_mut(&first) {
                    calls.push(call);
                }
            }
            "close" => written.extend(open.remove(&first)),
            _ => {}
        }
    }
    let root = rustix::process::geteuid().is_root();
    for name in ["a", "b", "..manifest.json"] {
        let (_, calls) =
            written.iter().find(|(file, _)| file == name).unwrap_or_else(|| panic!("{name}: {trace}"));
        let expected: &[&str] =
            if root { &["fchown", "fchmod", "fchown", "write"] } else { &["fchmod", "write"] };
        // A setgid directory gives the group by itself.
        let without_group: &[&str] = if root { &["fchmod", "fchown", "write"] } else { expected };
        assert!(calls == expected || calls == without_group, "{name}: {calls:?}");
    }
}

#[test]
fn the_umask_has_no_say() {
    let folder = harness::tmpfs();
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o1777)).unwrap();
    let live = folder.join("live");
    let mut command = process("publishes_under_a_umask_that_takes_everything", &live);
    assert_eq!(Group::spawn(command.stdout(Stdio::null())).wait(SOON), Exit::Code(0));
    for (name, expected) in
        [(".", 0o2750), ("..data", 0o2750), ("d", 0o2750), ("a", 0o440), ("d/b", 0o440), ("..lock", 0o600)]
    {
        assert_eq!(mode(live.join(name)), expected, "{name}");
    }
}

const BEFORE: [(&str, &str); 5] =
    [("a", "1"), ("d/b", "1"), ("same", "same"), ("gone", "1"), ("kind/of", "1")];
const AFTER: [(&str, &str); 5] = [("a", "2"), ("d/b", "2"), ("same", "same"), ("new", "2"), ("kind", "2")];

/// What may change something, or come just before.
const CALLS: &str = "open,openat,mkdirat,fchmod,fchown,write,pwrite64,ftruncate,flock,linkat,symlinkat,renameat,\
                     renameat2,unlinkat,utimensat,getdents64,readlinkat,close";

/// A run under strace with these options; how it ended.
fn traced(options: &[&str], live: &Path) -> Exit {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq"]).args(options).arg(std::env::current_exe().unwrap());
    command.args(arguments("publishes_and_tidies")).arg("--test-threads=1").env(DIRECTORY, live);
    Group::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).wait(SOON)
}

/// The calls from the first one on the directory: name, and the how-manieth of that name in its thread.
fn kill_points(prepare: impl Fn(&Path)) -> Vec<(String, usize)> {
    let folder = harness::tmpfs();
    let live = folder.join("live");
    prepare(&live);
    let trace = folder.join("trace");
    let options = ["-e", &format!("trace={CALLS}"), "-o", trace.to_str().unwrap()];
    assert_eq!(traced(&options, &live), Exit::Code(0), "strace is there, and the body ends well");
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut ours = None;
    let mut points = Vec::new();
    let trace = read(trace);
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let Some((name, rest)) = call.trim_start().split_once('(') else { continue };
        let count = seen.entry((thread, name)).or_default();
        *count += 1;
        if ours.is_none() && rest.contains("\"live\"") {
            ours = Some(thread);
        }
        if ours == Some(thread) {
            points.push((name.to_owned(), *count));
        }
    }
    points
}

/// What a reader finds, whenever the writer died. The numbers are the generation's.
fn check_what_is_left(live: &Path, start: &[(&str, &str)]) {
    let Ok(target) = fs::read_link(live.join("..data")) else {
        assert!(start.is_empty(), "the set in place is gone");
        return;
    };
    let is_new = target == Path::new(if start.is_empty() { "..generation-1" } else { "..generation-2" });
    let there = if is_new { &AFTER[..] } else { start };
    for (name, content) in there {
        assert_eq!(read(live.join("..data").join(name)), *content, "{name} through ..data");
    }
    let other = if is_new { start } else { &AFTER[..] };
    for (name, content) in there {
        let in_both = other.iter().any(|(other, _)| other.split('/').next() == name.split('/').next());
        match fs::read_to_string(live.join(name)) {
            Ok(found) => assert_eq!(found, *content, "{name} at the top"),
            Err(error) => {
                assert!(is_new && !in_both, "{name} at the top: {error}");
                assert!(!live.join(name).is_symlink(), "{name} leads nowhere");
            }
        }
    }
}

fn check_after_the_next_start(live: &Path, start: &[(&str, &str)]) {
    let mut volume = Volume::open(&output(live)).unwrap();
    let there = match volume.current() {
        None => {
            assert!(start.is_empty());
            &[][..]
        }
        Some(current) if current.files.contains("new") => &AFTER[..],
        Some(_) => start,
    };
    assert!(!half_done(live));
    let mut expected: BTreeSet<String> =
        there.iter().map(|(name, _)| name.split('/').next().unwrap().to_owned()).collect();
    expected.insert("..lock".to_owned());
    expected.extend((!there.is_empty()).then(|| "..data".to_owned()));
    let mut found: BTreeSet<String> = names(live).into_iter().collect();
    found.retain(|name| !name.starts_with("..generation-"));
    assert_eq!(found, expected);
    for (name, content) in there {
        assert_eq!(read(live.join(name)), *content, "{name}");
    }
    volume.publish(&set(AFTER), at(0)).unwrap();
    volume.tidy(at(0), |_| false);
    volume.tidy(at(100), |_| false);
    for (name, content) in AFTER {
        assert_eq!(read(live.join(name)), content, "{name}");
    }
    assert_eq!(names(live).iter().filter(|name| name.starts_with("..generation-")).count(), 1);
}

fn kill_everywhere(start: &[(&str, &str)]) {
    let prepare = |live: &Path| {
        if !start.is_empty() {
            Volume::open(&output(live)).unwrap().publish(&set(start.iter().copied()), at(0)).unwrap();
        }
    };
    let points = kill_points(prepare);
    for wanted in ["mkdirat", "fchmod", "write", "symlinkat", "renameat", "renameat2"] {
        assert!(points.iter().any(|(name, _)| name == wanted), "{wanted} is not among {points:?}");
    }
    for (name, count) in points {
        let folder = harness::tmpfs();
        let live = folder.join("live");
        prepare(&live);
        let inject = format!("inject={name}:signal=KILL:when={count}");
        let exit = traced(&["-e", &format!("trace={name}"), "-e", &inject, "-o", "/dev/null"], &live);
        assert_eq!(exit, Exit::Signal(9), "before {name} number {count}");
        println!("killed before {name} number {count}");
        if live.exists() {
            check_what_is_left(&live, start);
        }
        check_after_the_next_start(&live, start);
    }
}

#[test]
fn killed_before_any_system_call_of_a_publication_one_whole_set_is_left_and_the_next_start_clears_up() {
    kill_everywhere(&BEFORE);
}

#[test]
fn killed_before_any_system_call_of_the_first_publication_nothing_or_all_of_it_is_left() {
    kill_everywhere(&[]);
}
