//! A process of a shared PID namespace: found by its name or pid file, held by a pidfd, so that
//! no other process that gets its pid later is ever meant.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use crate::config::model::{Signal, Target};

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
    NoSuch(String),
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
            let Some(first) = matching.first() else { return Err(FindError::NoSuch(name.to_owned())) };
            if let Some(process) = hold(first.pid, Some(first.started), matching.len() - 1)? {
                return Ok(process);
            }
        }
        Err(FindError::NoSuch(name.to_owned()))
    }

    /// By the number in a file, as daemons leave it.
    pub fn by_pid_file(path: &Path) -> Result<Self, FindError> {
        let wrong = |why: String| FindError::PidFile { path: path.to_owned(), why };
        let text = fs::read(path).map_err(|error| wrong(format!("it cannot be read ({error})")))?;
        let pid = std::str::from_utf8(&text)
            .ok()
            .and_then(|text| text.split_whitespace().next()?.parse().ok())
            .filter(|pid| *pid > 0)
            .and_then(Pid::from_raw)
            .ok_or_else(|| wrong("it holds no pid".to_owned()))?;
        if pid == rustix::process::getpid() {
            return Err(wrong("it names ourselves".to_owned()));
        }
        hold(pid, None, 0)?
            .ok_or_else(|| wrong(format!("it names {}, and there is no such process", pid.as_raw_nonzero())))
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
        use rustix::process::Signal as Number;
        let number = match signal {
            Signal::Hup => Number::HUP,
            Signal::Int => Number::INT,
            Signal::Quit => Number::QUIT,
            Signal::Term => Number::TERM,
            Signal::Usr1 => Number::USR1,
            Signal::Usr2 => Number::USR2,
            Signal::Winch => Number::WINCH,
        };
        rustix::process::pidfd_send_signal(&self.fd, number).map_err(|errno| match errno {
            Errno::SRCH => FindError::Ended(self.pid),
            Errno::PERM => FindError::Denied(self.pid),
            other => FindError::Io { tried: format!("signal process {}", self.pid()), source: other.into() },
        })
    }

    /// A descriptor that is readable once it has ended.
    pub(super) fn into_descriptor(self) -> OwnedFd {
        self.fd
    }
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
            Self::NoSuch(name) => write!(
                f,
                "no process \"{name}\" is seen: it has not started, or shareProcessNamespace is not set on the pod"
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

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, Instant};

    use super::*;

    /// A name that no other process has.
    pub(crate) fn unique_name(what: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("{}{number}-{what}", std::process::id())
    }

    /// A real process of a given name, which ends with this value.
    pub(crate) struct Application {
        child: Child,
        _directory: tempfile::TempDir,
    }

    impl Application {
        pub(crate) fn start(name: &str) -> Self {
            Self::script(name, "echo started; read never")
        }

        /// A shell under that name; `$0` is its path. Returns once it has said its first line.
        pub(crate) fn script(name: &str, script: &str) -> Self {
            use std::io::{BufRead as _, BufReader};
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join(name);
            std::fs::copy("/bin/sh", &path).unwrap();
            let mut child = Command::new(&path)
                .args(["-c", script])
                .arg(&path)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "started\n");
            Self { child, _directory: directory }
        }

        fn pid(&self) -> i32 {
            self.child.id().cast_signed()
        }

        fn ended_by(&mut self) -> Option<i32> {
            let deadline = Instant::now() + Duration::from_secs(10);
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status.signal();
                }
                assert!(Instant::now() < deadline, "it still runs");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    impl Drop for Application {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[test]
    fn a_process_is_found_by_name_and_gets_the_signal() {
        let name = unique_name("app");
        let mut application = Application::start(&name);
        let found = Process::by_name(&name).unwrap();
        assert_eq!((found.pid(), found.rivals()), (application.pid(), 0));
        found.signal(Signal::Usr1).unwrap();
        assert_eq!(application.ended_by(), Some(10));
        assert!(matches!(found.signal(Signal::Usr1), Err(FindError::Ended(_))));
        let gone = Process::by_name(&name).unwrap_err().to_string();
        assert!(gone.contains("shareProcessNamespace"), "{gone}");
    }

    #[test]
    fn a_name_longer_than_the_kernel_keeps_is_found_and_not_mixed_up() {
        let name = unique_name("a-very-long-name-of-a-server");
        let application = Application::start(&name);
        assert_eq!(Process::by_name(&name).unwrap().pid(), application.pid());
        assert!(Process::by_name(&format!("{name}s")).is_err());
    }

    #[test]
    fn of_a_master_and_its_workers_the_master_is_meant() {
        let name = unique_name("m");
        // A background job's input is empty unless it is given another descriptor's.
        let mut master =
            Application::script(&name, r#"exec 3<&0; "$0" -c 'read never' <&3 & echo started; wait"#);
        let worker = || {
            candidates(&name)
                .unwrap()
                .into_iter()
                .any(|found| found.pid.as_raw_nonzero().get() != master.pid())
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !worker() {
            assert!(Instant::now() < deadline, "no worker");
            std::thread::sleep(Duration::from_millis(5));
        }
        let found = Process::by_name(&name).unwrap();
        assert_eq!((found.pid(), found.rivals()), (master.pid(), 0));
        // The worker ends with its input.
        drop(master.child.stdin.take());
        master.ended_by();
    }

    #[test]
    fn of_two_strangers_of_one_name_the_older_is_meant_and_the_other_counted() {
        let name = unique_name("two");
        let first = Application::start(&name);
        // The kernel counts starts in hundredths of a second.
        std::thread::sleep(Duration::from_millis(30));
        let _second = Application::start(&name);
        let found = Process::by_name(&name).unwrap();
        assert_eq!((found.pid(), found.rivals()), (first.pid(), 1));
    }

    #[test]
    fn one_that_waits_to_be_reaped_is_not_found() {
        let name = unique_name("z");
        let mut application = Application::start(&name);
        application.child.kill().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while Process::by_name(&name).is_ok() {
            assert!(Instant::now() < deadline, "the dead are found");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn we_are_never_found() {
        let ourselves = std::env::current_exe().unwrap();
        let name = ourselves.file_name().unwrap().to_str().unwrap();
        match Process::by_name(name) {
            // Another run of the same tests at the same time.
            Ok(other) => assert_ne!(other.pid().unsigned_abs(), std::process::id()),
            Err(error) => assert!(matches!(error, FindError::NoSuch(_)), "{error}"),
        }
    }

    #[test]
    fn a_pid_file_is_followed_and_a_wrong_one_says_what_is_wrong() {
        let name = unique_name("pid");
        let application = Application::start(&name);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.pid");
        std::fs::write(&path, format!("{}\n", application.pid())).unwrap();
        assert_eq!(Process::by_pid_file(&path).unwrap().pid(), application.pid());
        let wrong = |content: &str| {
            std::fs::write(&path, content).unwrap();
            let said = Process::by_pid_file(&path).unwrap_err().to_string();
            said.replace(&path.display().to_string(), "FILE")
        };
        assert_eq!(wrong("nonsense"), "pid file FILE: it holds no pid");
        assert_eq!(wrong("-1"), "pid file FILE: it holds no pid");
        assert_eq!(wrong("0"), "pid file FILE: it holds no pid");
        assert_eq!(wrong(&std::process::id().to_string()), "pid file FILE: it names ourselves");
        // Above what the kernel ever gives.
        assert_eq!(wrong("4194305"), "pid file FILE: it names 4194305, and there is no such process");
        std::fs::remove_file(&path).unwrap();
        assert!(Process::by_pid_file(&path).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn a_pid_that_means_another_process_by_now_is_not_held() {
        let application = Application::start(&unique_name("reused"));
        let pid = Pid::from_raw(application.pid()).unwrap();
        let (_, seen) = stat(pid).unwrap();
        assert!(hold(pid, Some(seen.started), 0).unwrap().is_some());
        assert!(hold(pid, Some(seen.started + 1), 0).unwrap().is_none());
    }
}
