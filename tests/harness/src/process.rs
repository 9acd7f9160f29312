//! Child processes, folders and settings that end with the test process, however it ends.
//!
//! A test process ends in many ways: libtest exits without dropping statics, a runner kills it, a person
//! presses Ctrl-C. So a janitor stands beside it: a small shell in a process group of its own that reads
//! what there is to clean up from a pipe. When the pipe closes, the test process is gone, and the janitor
//! kills the groups, unmounts, removes the folders and puts the settings back. A parent-death signal would
//! reach only direct children, and only of the thread that started them; libtest's threads come and go.

use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::eventually;

/// A child and everything that it started, as one process group. Dropped, all of it is killed.
#[derive(Debug)]
pub struct Group {
    child: Child,
    ended: Option<Exit>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => unreachable!("a status that was waited for is a code or a signal"),
        }
    }
}

impl Group {
    /// Starts `command` as the leader of a group of its own.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        let child = match command.process_group(0).spawn() {
            Ok(child) => child,
            Err(error) => panic!("starting {:?}: {error}", command.get_program()),
        };
        janitor(&format!("group {}", child.id()));
        Self { child, ended: None }
    }

    /// The leader's process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The leader's standard input, where it was asked for as a pipe.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Sends `signal` to the leader alone, as a kubelet does.
    #[track_caller]
    pub fn signal(&mut self, signal: Signal) {
        if self.exit().is_none() {
            rustix::process::kill_process(self.pid(), signal).expect("an unreaped child can be signalled");
        }
    }

    /// Sends `signal` to the leader and all that it started.
    pub fn signal_all(&self, signal: Signal) {
        // The group may be empty by now, which is as good.
        let _ = rustix::process::kill_process_group(self.pid(), signal);
    }

    /// How the leader ended; `None` while it runs.
    pub fn exit(&mut self) -> Option<Exit> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child of ours can be waited for").map(Exit::from);
        }
        self.ended
    }

    /// Waits until the leader has ended by itself.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> Exit {
        eventually("the end of a process", deadline, || self.exit())
    }

    /// Kills the whole group, and waits for the leader.
    pub fn kill(&mut self) -> Exit {
        self.signal_all(Signal::KILL);
        let exit = match self.ended {
            Some(exit) => exit,
            None => self.child.wait().expect("a child of ours can be waited for").into(),
        };
        self.ended = Some(exit);
        exit
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        janitor(&format!("ended {}", self.child.id()));
    }
}

/// Tells the janitor of a folder to remove at the end.
pub(crate) fn remove_at_end(path: &Path) {
    janitor(&format!("folder {}", path.display()));
}

/// Tells the janitor that a folder was removed already.
pub(crate) fn removed(path: &Path) {
    janitor(&format!("removed {}", path.display()));
}

/// Tells the janitor of a mount to undo at the end.
pub(crate) fn unmount_at_end(path: &Path) {
    janitor(&format!("mount {}", path.display()));
}

/// Tells the janitor that a mount was undone already.
pub(crate) fn unmounted(path: &Path) {
    janitor(&format!("unmounted {}", path.display()));
}

/// Tells the janitor of a one-line kernel setting to put back at the end.
pub(crate) fn restore_at_end(path: &Path, value: &str) {
    janitor(&format!("setting {} {value}", path.display()));
}

const JANITOR: &str = r#"
trap '' INT TERM HUP QUIT
declare -A groups mounts folders settings
while read -r verb what value; do
  case $verb in
    group) groups[$what]=1 ;;
    ended) unset "groups[$what]" ;;
    mount) mounts[$what]=1 ;;
    unmounted) unset "mounts[$what]" ;;
    folder) folders[$what]=1 ;;
    removed) unset "folders[$what]" ;;
    setting) settings[$what]=$value ;;
  esac
done
# Politely first: a PostgreSQL that is killed leaves its shared memory behind.
for it in "${!groups[@]}"; do kill -TERM -- "-$it"; done
for _ in {1..40}; do
  for it in "${!groups[@]}"; do kill -0 -- "-$it" || unset "groups[$it]"; done
  [ ${#groups[@]} -gt 0 ] || break
  sleep 0.05
done
for it in "${!groups[@]}"; do kill -KILL -- "-$it"; done
for it in "${!mounts[@]}"; do umount -l "$it"; done
for it in "${!settings[@]}"; do printf '%s\n' "${settings[$it]}" >"$it"; done
for it in "${!folders[@]}"; do rm -rf --one-file-system "$it"; done
"#;

#[allow(clippy::zombie_processes, reason = "it outlives us on purpose")]
fn janitor(line: &str) {
    static PIPE: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    let pipe = PIPE.get_or_init(|| {
        let mut janitor = Command::new("bash")
            .args(["-c", JANITOR])
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            // Not ours: whoever reads our output to its end must not have to wait for the janitor.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("bash starts");
        Mutex::new(janitor.stdin.take().expect("it was asked for as a pipe"))
    });
    let mut pipe = pipe.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    // One write: a line is never torn, and shorter than a pipe's guarantee.
    pipe.write_all(format!("{line}\n").as_bytes()).expect("the janitor reads until we end");
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn sleeps(seconds: u32) -> bool {
        let asked = format!("sleep\0{seconds}\0");
        let processes = std::fs::read_dir("/proc").unwrap();
        processes
            .flatten()
            .any(|it| std::fs::read(it.path().join("cmdline")).is_ok_and(|line| line == asked.as_bytes()))
    }

    #[test]
    fn dropping_a_group_ends_what_its_leader_started() {
        let group = Group::spawn(Command::new("bash").args(["-c", "sleep 86401 & sleep 86402"]));
        eventually("both sleep", SOON, || sleeps(86401) && sleeps(86402));
        drop(group);
        eventually("neither sleeps", SOON, || !sleeps(86401) && !sleeps(86402));
    }

    /// Not a test by itself: the victim of the next one.
    #[test]
    fn sleeps_where_it_is_asked_to() {
        if let Some(note) = std::env::var_os("LEASEHOLD_HARNESS_VICTIM") {
            let kept = crate::tmpfs();
            let mut group = Group::spawn(Command::new("bash").args(["-c", "sleep 86403 & sleep 86404"]));
            // Only now: whoever reads it kills us, and before this our janitor knows nothing of the group.
            std::fs::write(note, kept.as_os_str().as_encoded_bytes()).unwrap();
            group.wait(Duration::MAX);
        }
    }

    #[test]
    fn killing_the_test_process_ends_its_groups_and_removes_its_folders() {
        let folder = crate::tmpfs();
        let note = folder.join("note");
        let victim = std::env::current_exe().unwrap();
        let mut victim = Command::new(victim)
            .args(["--exact", "process::tests::sleeps_where_it_is_asked_to"])
            .env("LEASEHOLD_HARNESS_VICTIM", &note)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually("both sleep", SOON, || sleeps(86403) && sleeps(86404));
        let written = || std::fs::read_to_string(&note).ok().filter(|path| !path.is_empty());
        let kept = eventually("the folder is told", SOON, written);
        assert!(Path::new(&kept).exists());
        victim.kill().unwrap();
        victim.wait().unwrap();
        eventually("neither sleeps, and the folder is gone", SOON, || {
            !sleeps(86403) && !sleeps(86404) && !Path::new(&kept).exists()
        });
    }
}
