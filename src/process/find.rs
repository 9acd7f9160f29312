//! A process of a shared PID namespace: found by its name or pid file, held by a pidfd, so that
//! no other process that gets its pid later is ever meant.

#[cfg(test)]
pub(super) mod tests;

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use super::reaper;
use crate::config::model::{Signal, Target};

/// Ticks in a second, of what `/proc` says; the same on every machine that we are built for.
const TICKS: u64 = 100;
/// A file says when it was written, and the kernel when it started, no more precisely than so, in seconds.
const SLACK: u64 = 2;

/// The kernel keeps no more than this of a process's name.
const COMM: usize = 15;

/// A process that is not ours, held: its pid means it until this is dropped.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    fd: OwnedFd,
    rivals: usize,
}

/// Why a process could not be found or signalled. The text says what to do.
#[derive(Debug)]
pub enum FindError {
    /// No process has this name.
    NoSuch {
        /// Which name.
        name: String,
        /// Whether no process of anybody else is seen at all.
        alone: bool,
    },
    /// The pid file is not there, or holds no pid of another process.
    PidFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It has ended.
    Ended(Pid),
    /// It belongs to another user.
    Denied(Pid),
    /// The system refused something else.
    Io {
        /// What was tried.
        tried: String,
        /// What it answered.
        source: io::Error,
    },
}

impl Process {
    /// Finds whom the configuration means.
    pub fn find(target: &Target) -> Result<Self, FindError> {
        match target {
            Target::Process(name) => Self::by_name(name),
            Target::PidFile(path) => Self::by_pid_file(path),
        }
    }

    /// By the name of its executable or of the process. Where several have it, the one whose
    /// parent has not (a master, not its workers); of several such, the one that runs longest.
    /// Never ourselves.
    pub fn by_name(name: &str) -> Result<Self, FindError> {
        // What ended between the look and the opening is looked for anew, not for ever.
        for _ in 0..3 {
            let mut matching = candidates(name)?;
            let pids: Vec<Pid> = matching.iter().map(|found| found.pid).collect();
            matching.retain(|found| found.parent.is_none_or(|parent| !pids.contains(&parent)));
            matching.sort_by_key(|found| (found.started, found.pid.as_raw_nonzero()));
            let Some(first) = matching.first() else { break };
            if let Some(process) = hold(first.pid, Some(first.started), matching.len() - 1)? {
                return Ok(process);
            }
        }
        Err(FindError::NoSuch { name: name.to_owned(), alone: alone() })
    }

    /// By the number in a file, as daemons leave it. Never one that has started after the file was written,
    /// and no program of ours: the number means another process then.
    pub fn by_pid_file(path: &Path) -> Result<Self, FindError> {
        let wrong = |why: String| FindError::PidFile { path: path.to_owned(), why };
        let (text, written) =
            read_start(path).map_err(|error| wrong(format!("it cannot be read ({error})")))?;
        let pid = std::str::from_utf8(&text)
            .ok()
            .and_then(|text| text.split_whitespace().next()?.parse().ok())
            .filter(|pid| *pid > 0)
            .and_then(Pid::from_raw)
            .ok_or_else(|| wrong("it holds no pid".to_owned()))?;
        if pid == rustix::process::getpid() {
            return Err(wrong("it names ourselves".to_owned()));
        }
        let number = pid.as_raw_nonzero();
        let gone = || {
            let hint = if alone() { ": set shareProcessNamespace: true on the pod" } else { "" };
            wrong(format!("it names {number}, and there is no such process{hint}"))
        };
        if reaper::is_a_program(pid) {
            return Err(wrong(format!(
                "it names {number}, which is a program of ours here: the file was written in another PID \
                 namespace; set shareProcessNamespace: true on the pod"
            )));
        }
        let (_, seen) = stat(pid).ok_or_else(gone)?;
        if let (Some(started), Some(written)) = (since_epoch(seen.started), written)
            && started > written + SLACK
        {
            return Err(wrong(format!(
                "it names {number}, which started {} s after the file was written, so that another process is \
                 meant: have the application write the file at each start, and set shareProcessNamespace: true \
                 on the pod",
                started - written
            )));
        }
        hold(pid, Some(seen.started), 0)?.ok_or_else(gone)
    }

    /// Its pid, for people.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// How many other processes were meant as well as this one, and are not its workers.
    pub fn rivals(&self) -> usize {
        self.rivals
    }

    /// Sends it a signal. That is no proof that it did anything.
    pub fn signal(&self, signal: Signal) -> Result<(), FindError> {
        rustix::process::pidfd_send_signal(&self.fd, number(signal)).map_err(|errno| match errno {
            Errno::SRCH => FindError::Ended(self.pid),
            Errno::PERM => FindError::Denied(self.pid),
            other => FindError::Io { tried: format!("signal process {}", self.pid()), source: other.into() },
        })
    }

    /// Whether we may send it a signal, without sending one.
    pub fn may_be_signalled(&self) -> Result<(), FindError> {
        rustix::process::test_kill_process(self.pid).map_err(|errno| match errno {
            Errno::SRCH => FindError::Ended(self.pid),
            Errno::PERM => FindError::Denied(self.pid),
            other => FindError::Io { tried: format!("look at process {}", self.pid()), source: other.into() },
        })
    }

    /// A descriptor that is readable once it has ended.
    pub(super) fn into_descriptor(self) -> OwnedFd {
        self.fd
    }
}

/// The first bytes of a file, without waiting for anybody to write it (a pipe); and when it was written, in
/// seconds since 1970.
fn read_start(path: &Path) -> io::Result<(Vec<u8>, Option<u64>)> {
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let written = file.metadata()?.mtime();
    let mut text = Vec::new();
    file.take(64).read_to_end(&mut text)?;
    Ok((text, written.try_into().ok()))
}

/// What is counted in ticks since boot, in seconds since 1970. Nothing where the kernel does not say when that
/// was.
fn since_epoch(ticks: u64) -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot: u64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + ticks / TICKS)
}

/// Whether no process is seen but us, our parent and our programs: nobody shares our PID namespace. The command
/// of `exec` counts as another.
fn alone() -> bool {
    let (ourselves, parent) = (rustix::process::getpid(), rustix::process::getppid());
    let Ok(list) = fs::read_dir("/proc") else { return false };
    list.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().and_then(Pid::from_raw))
        .filter(|pid| *pid != ourselves && Some(*pid) != parent)
        .filter_map(stat)
        .all(|(_, process)| reaper::is_a_program(process.pid))
}

/// What `/proc` says of a process.
#[derive(Debug)]
struct Found {
    pid: Pid,
    parent: Option<Pid>,
    /// In ticks since boot; with the pid it means one process and no other.
    started: u64,
}

fn candidates(name: &str) -> Result<Vec<Found>, FindError> {
    let failed = |source| FindError::Io { tried: "list the processes in /proc".to_owned(), source };
    let ourselves = rustix::process::getpid();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(failed)? {
        let file = entry.map_err(failed)?.file_name();
        let Some(pid) = file.to_str().and_then(|text| text.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        // One that ends while it is looked at is as good as gone.
        if pid != ourselves
            && let Some((found_name, process)) = stat(pid)
            && (found_name == name.as_bytes() || executable(pid).is_some_and(|file| file == name.as_bytes())
                // Where the executable may not be looked at, its shortened name has to do.
                || (name.len() > COMM
                    && found_name == name.as_bytes()[..COMM]
                    && executable(pid).is_none()))
        {
            found.push(process);
        }
    }
    Ok(found)
}

/// Holds a process, if it is still the one that was seen.
fn hold(pid: Pid, started: Option<u64>, rivals: usize) -> Result<Option<Process>, FindError> {
    let fd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => fd,
        // INVAL: it is a thread, not a process.
        Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
        Err(error) => {
            let tried = format!("hold process {}", pid.as_raw_nonzero());
            return Err(FindError::Io { tried, source: error.into() });
        }
    };
    // From here on the pid cannot be given to another process without our noticing.
    match stat(pid) {
        Some((_, now)) if started.is_none_or(|started| started == now.started) => {
            Ok(Some(Process { pid, fd, rivals }))
        }
        _ => Ok(None),
    }
}

/// The name and place of a process; nothing where it is not there, or only waits to be reaped.
fn stat(pid: Pid) -> Option<(Vec<u8>, Found)> {
    let line = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name stands in parentheses and may hold some itself.
    let (open, close) =
        (line.iter().position(|byte| *byte == b'(')?, line.iter().rposition(|byte| *byte == b')')?);
    let name = line.get(open + 1..close)?.to_vec();
    let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    let parent = Pid::from_raw(fields.next()?.parse().ok()?);
    // The 22nd of all; the state is the third, the parent the fourth.
    let started = fields.nth(17)?.parse().ok()?;
    if ["Z", "X", "x"].contains(&state) { None } else { Some((name, Found { pid, parent, started })) }
}

/// The file name of its executable, where we may look.
fn executable(pid: Pid) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero())).ok()?;
    let name = path.file_name()?.as_bytes();
    // An upgrade in place leaves the running one without a name in its directory.
    Some(name.strip_suffix(b" (deleted)").unwrap_or(name).to_vec())
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuch { name, alone: true } => write!(
                f,
                "no process \"{name}\" is seen, nor any other than ours: set shareProcessNamespace: true on the pod"
            ),
            Self::NoSuch { name, alone: false } => write!(
                f,
                "no process \"{name}\" is seen, but others are: it has not started, or its executable has another \
                 name, or (in a pod) shareProcessNamespace is not set"
            ),
            Self::PidFile { path, why } => write!(f, "pid file {}: {why}", path.display()),
            Self::Ended(pid) => write!(f, "process {} has ended", pid.as_raw_nonzero()),
            Self::Denied(pid) => write!(
                f,
                "we may not signal process {}: it runs as another user; give both containers one runAsUser",
                pid.as_raw_nonzero()
            ),
            Self::Io { tried, source } => write!(f, "{tried}: {source}"),
        }
    }
}

impl std::error::Error for FindError {}

/// The kernel's number of a signal.
pub fn number(signal: Signal) -> rustix::process::Signal {
    use rustix::process::Signal as Number;
    match signal {
        Signal::Hup => Number::HUP,
        Signal::Int => Number::INT,
        Signal::Quit => Number::QUIT,
        Signal::Term => Number::TERM,
        Signal::Usr1 => Number::USR1,
        Signal::Usr2 => Number::USR2,
        Signal::Winch => Number::WINCH,
    }
}
