//! Where a process can be killed: the system calls on its directories, as a first run makes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

/// What may change something, or comes just before.
const CALLS: &str = "openat,mkdirat,fchmod,fchown,write,pwrite64,ftruncate,linkat,symlinkat,renameat,renameat2,\
                     unlinkat,utimensat,close";

/// Those after which something else is on the tmpfs.
const CHANGES: [&str; 8] =
    ["mkdirat", "write", "ftruncate", "linkat", "symlinkat", "renameat", "renameat2", "unlinkat"];

/// One place to be killed at: just before a system call.
#[derive(Clone, Debug)]
pub(super) struct Point {
    /// The call's name.
    call: String,
    /// The how-manieth of that name, among those on our directories.
    count: usize,
    /// The call as the first run made it.
    line: String,
    place: Place,
}

/// Which calls are counted.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Those on our directories.
    OurPaths,
    /// All.
    Anywhere,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "before {} number {}: {}", self.call, self.count, self.line)
    }
}

impl Point {
    /// Just before the first of these calls, whatever it is about.
    pub(super) fn first(call: &str) -> Self {
        Self { call: call.to_owned(), count: 1, line: String::new(), place: Place::Anywhere }
    }

    /// Whether the call changes what the next process finds.
    pub(super) fn changes(&self) -> bool {
        CHANGES.contains(&self.call.as_str()) || (self.call == "openat" && self.line.contains("O_CREAT"))
    }

    /// Whether it puts something in place under a name that starts so.
    pub(super) fn renames_to(&self, name: &str) -> bool {
        self.call.starts_with("renameat")
            && self.line.rsplit(", \"").next().is_some_and(|to| to.starts_with(name))
    }

    /// The call as the first run made it.
    pub(super) fn line(&self) -> &str {
        &self.line
    }
}

/// How strace is started to see all calls, with the paths that they are on.
pub(super) fn to_learn(trace: &Path) -> Vec<String> {
    let mut words = strace(trace);
    words.extend(["-y".to_owned(), "-e".to_owned(), format!("trace={CALLS}")]);
    words
}

/// Which of our paths a run touched, relative to its folder. `trace` is one of [`to_learn`].
pub(super) fn paths(trace: &str, folder: &Path) -> BTreeSet<String> {
    let root = format!("{}/", folder.display());
    let mut found = BTreeSet::new();
    for piece in trace.split(&root).skip(1) {
        let end = piece.find(['>', '"', '(']).unwrap_or(piece.len());
        let path = piece[..end].trim_end();
        let ours = ["state", "volume"].iter().any(|ours| path.split('/').next() == Some(ours));
        // An entry's name is drawn anew in each run; it is written under another one.
        if ours && !path.ends_with(".json") || path.ends_with("..manifest.json") {
            found.insert(path.to_owned());
        }
    }
    found
}

/// How strace is started to count the calls on these paths.
pub(super) fn to_count(trace: &Path, paths: &BTreeSet<String>, folder: &Path) -> Vec<String> {
    let mut words = strace(trace);
    words.extend(only(paths, folder));
    words.extend(["-y".to_owned(), "-e".to_owned(), format!("trace={CALLS}")]);
    words
}

/// How strace is started to kill at this point.
pub(super) fn to_kill(trace: &Path, paths: &BTreeSet<String>, folder: &Path, point: &Point) -> Vec<String> {
    let Point { call, count, .. } = point;
    let mut words = strace(trace);
    if let Place::OurPaths = point.place {
        words.extend(only(paths, folder));
    }
    words.extend(["-e".to_owned(), format!("trace={call}")]);
    words.extend(["-e".to_owned(), format!("inject={call}:signal=KILL:when={count}")]);
    words
}

/// All points of a run, in their order. `trace` is one of [`to_count`].
pub(super) fn points(trace: &str) -> Vec<Point> {
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut points = Vec::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let Some((name, rest)) = call.trim_start().split_once('(') else { continue };
        if !CALLS.split(',').any(|call| call == name) || rest.starts_with("<unfinished") {
            continue;
        }
        let count = seen.entry((thread, name)).or_default();
        *count += 1;
        let (call, line) = (name.to_owned(), call.trim_start().to_owned());
        points.push(Point { call, count: *count, line, place: Place::OurPaths });
    }
    points
}

fn strace(trace: &Path) -> Vec<String> {
    let mut words: Vec<String> = ["strace", "-f", "-qq", "-s", "64", "-o"].map(Into::into).into();
    words.push(trace.display().to_string());
    words
}

fn only(paths: &BTreeSet<String>, folder: &Path) -> Vec<String> {
    paths.iter().flat_map(|path| ["-P".to_owned(), folder.join(path).display().to_string()]).collect()
}
