//! Deaths and full volumes, in processes of their own: ignored tests of this binary, which only the
//! tests here run.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use super::*;

#[test]
fn a_process_killed_at_any_moment_leaves_the_old_or_the_new_entry_whole() {
    let (_temp, state) = state();
    let mut newest = 0;
    for round in 0..40 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "handover::tests::crash::child_that_writes_until_it_is_killed"])
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

/// What a kill at each system call can leave, in order: the steps of the child below.
const STEPS: [&[(&str, &str)]; 5] = [
    &[],
    &[("000000000000000a", "one")],
    &[("000000000000000a", "two")],
    &[("000000000000000a", "two"), ("000000000000000b", "three")],
    &[("000000000000000b", "three")],
];

#[test]
#[ignore = "the child of the test below it"]
fn child_that_takes_the_steps() {
    let opened = open(&StateDirectory {
        path: PathBuf::from(std::env::var("LEASEHOLD_TEST_STATE").expect("started by its parent")),
        choice: Choice::Configured,
    });
    let handover = &opened.handover;
    handover.put(&held("000000000000000a", "one", None)).unwrap();
    handover.put(&held("000000000000000a", "two", None)).unwrap();
    handover.put(&held("000000000000000b", "three", None)).unwrap();
    handover.remove(&EntryId::held("000000000000000a")).unwrap();
}

#[test]
fn a_process_killed_at_each_of_its_system_calls_leaves_one_of_its_steps() {
    use std::os::unix::process::ExitStatusExt as _;
    // Only calls on what is ours: the counts of the test runner's own threads stay out of it.
    let run = |state: &StateDirectory, options: &[&str]| -> Output {
        let ours = state.path.join("handover");
        let mut strace = Command::new("strace");
        for path in [&state.path, &ours, &ours.join(".new"), &ours.join("lock")] {
            strace.arg("-P").arg(path);
        }
        strace
            .arg("-f")
            .args(options)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "handover::tests::crash::child_that_takes_the_steps"])
            .env("LEASEHOLD_TEST_STATE", &state.path)
            .output()
            .unwrap()
    };
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "strace is not installed");
        println!("skipped: strace is not installed");
        return;
    }
    // The calls of a first run, each as its name and how often that name came.
    let (temp, recorded) = state();
    let log = temp.path().join("log");
    let output = run(&recorded, &["-o", log.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let mut counts = BTreeMap::<String, usize>::new();
    let mut points = Vec::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        let call = line.split_once(' ').and_then(|(_, call)| call.trim_start().split_once('('));
        let Some((name, _)) = call else { continue };
        let count = counts.entry(name.to_owned()).or_default();
        *count += 1;
        points.push((name.to_owned(), *count));
    }
    let calls = |name: &str| points.iter().filter(|(point, _)| point == name).count();
    assert_eq!((calls("mkdirat"), calls("renameat"), calls("unlinkat")), (1, 3, 1), "{points:?}");
    assert!(points.last().unwrap().0 != "unlinkat", "there is a kill after the removal: {points:?}");
    let mut reached = 0;
    for (name, count) in points {
        let (_temp, state) = state();
        let output =
            run(&state, &["-e", &format!("inject={name}:signal=KILL:when={count}"), "-o", "/dev/null"]);
        assert_eq!(output.status.signal(), Some(9), "{name} {count}: {output:?}");
        let opened = open(&state);
        assert!(opened.dropped.is_empty(), "{name} {count}: {:?}", opened.dropped);
        let found: Vec<(String, String)> = opened
            .entries
            .iter()
            .map(|entry| match entry {
                Entry::Held { held, .. } => {
                    (held.key.clone(), String::from_utf8(password(entry).to_vec()).unwrap())
                }
                other => panic!("{other:?}"),
            })
            .collect();
        let step = STEPS.iter().position(|step| {
            step.iter().copied().eq(found.iter().map(|(key, value)| (key.as_str(), value.as_str())))
        });
        let step = step.unwrap_or_else(|| panic!("{name} {count}: {found:?} is none of the steps"));
        assert!(step >= reached, "{name} {count}: step {step} after step {reached}");
        reached = step;
        let left: Vec<_> = std::fs::read_dir(state.path.join("handover"))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "lock" && !name.ends_with(".json"))
            .collect();
        assert!(left.is_empty(), "{name} {count}: {left:?}");
    }
    assert_eq!(reached, STEPS.len() - 1, "the last kills are after the removal");
}

/// Runs an ignored test of this binary with a small tmpfs of its own as state directory.
fn in_small_tmpfs(test: &str) {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can mount a tmpfs");
        return;
    }
    let (_temp, state) = state();
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", r#"mount -t tmpfs -o size=64k tmpfs "$1" && shift && exec "$@""#, "sh"])
        .arg(&state.path)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", test])
        .env("LEASEHOLD_TEST_STATE", &state.path)
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn a_full_volume_refuses_the_new_entry_and_keeps_the_old_ones() {
    in_small_tmpfs("handover::tests::crash::child_on_a_full_volume");
}

#[test]
#[ignore = "the child of the test above it"]
fn child_on_a_full_volume() {
    let state = StateDirectory {
        path: PathBuf::from(std::env::var("LEASEHOLD_TEST_STATE").expect("started by its parent")),
        choice: Choice::Configured,
    };
    let opened = open(&state);
    let large = "x".repeat(24_000);
    opened.handover.put(&held("0000000000000001", "old", None)).unwrap();
    opened.handover.put(&held("0000000000000002", &large, None)).unwrap();
    let refused = opened.handover.put(&held("0000000000000001", &large, None)).unwrap_err();
    assert!(refused.to_string().contains("No space left"), "{refused}");
    opened.handover.remove(&EntryId::held("0000000000000002")).unwrap();
    opened.handover.put(&held("0000000000000003", &large, None)).unwrap();
    drop(opened);
    let opened = open(&state);
    assert_eq!(opened.entries.len(), 2, "{:?}", opened.dropped);
    assert_eq!(password(&opened.entries[0]), b"old");
}

#[test]
fn a_read_only_volume_is_a_warning() {
    in_small_tmpfs("handover::tests::crash::child_on_a_read_only_volume");
}

#[test]
#[ignore = "the child of the test above it"]
fn child_on_a_read_only_volume() {
    let state = StateDirectory {
        path: PathBuf::from(std::env::var("LEASEHOLD_TEST_STATE").expect("started by its parent")),
        choice: Choice::Configured,
    };
    let remount = |option: &str| {
        let status =
            Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(&state.path).status();
        assert!(status.unwrap().success());
    };
    remount("ro");
    assert!(open(&state).warning.unwrap().contains("we may not make"));
    remount("rw");
    open(&state);
    remount("ro");
    assert!(open(&state).warning.unwrap().contains("is read-only"));
}
