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
        // Not with a descriptor of ours: a child that another test starts at this moment would
        // hold it open for writing, and what is open for writing cannot be started.
        assert!(Command::new("cp").args(["-L", "/bin/sh"]).arg(&path).status().unwrap().success());
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
        candidates(&name).unwrap().into_iter().any(|found| found.pid.as_raw_nonzero().get() != master.pid())
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
        Err(error) => assert!(matches!(error, FindError::NoSuch { .. }), "{error}"),
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
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
    assert!(
        Process::by_pid_file(&path).unwrap_err().to_string().contains("it holds no pid"),
        "and it returns"
    );
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

#[test]
fn a_pid_file_that_is_older_than_the_process_means_another_one() {
    let application = Application::start(&unique_name("older"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.pid");
    std::fs::write(&path, format!("{}\n", application.pid())).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let now = file.metadata().unwrap().modified().unwrap();
    let written = |ago| file.set_modified(now - Duration::from_secs(ago)).unwrap();
    written(2 * 24 * 3600);
    let said = Process::by_pid_file(&path).unwrap_err().to_string();
    assert!(said.contains(&format!("it names {}, which started 17", application.pid())), "{said}");
    assert!(
        said.contains("s after the file was written, so that another process is meant: have the"),
        "{said}"
    );
    written(0);
    assert_eq!(Process::by_pid_file(&path).unwrap().pid(), application.pid());
}

#[test]
fn whoever_sees_others_is_not_told_to_share_a_namespace_first() {
    // The application is nobody's program, and no other namespace's.
    let _application = Application::start(&unique_name("other"));
    assert!(!alone());
    let said = |alone| FindError::NoSuch { name: "web".to_owned(), alone }.to_string();
    assert!(
        said(false).contains("it has not started, or its executable has another name"),
        "{}",
        said(false)
    );
    assert!(said(true).ends_with("nor any other than ours: set shareProcessNamespace: true on the pod"));
}
