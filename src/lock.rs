//! One process at a time owns a directory.
//!
//! The lock is a file of ours (0600) inside the directory, held with `flock` for as long as the
//! [`Lock`] lives; the kernel lets go of it when the process dies, however it dies. It holds who
//! has it, for the message of whoever comes second: a pid would mean nothing in another
//! container. Nobody ever removes it: a removed lock file could be locked twice.
//!
//! It does not wait: how long to try again is the caller's.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::SystemTime;

use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct Lock {
    file: OwnedFd,
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Which command of leasehold: `run`. Empty where the holder has not said yet.
    pub command: String,
    /// Since when, RFC 3339. Empty where the holder has not said yet.
    pub started: String,
    /// On which host: in a pod, its name. Empty where the holder has not said yet.
    pub host: String,
}

/// Why a lock is not held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockError {
    /// Another process has it: try again, or name it.
    Busy(Holder),
    /// The name is taken by something that is no lock file of ours.
    NotOurs {
        /// Who owns it.
        uid: u32,
    },
    /// The kernel said no.
    Io(Errno),
}

impl Lock {
    /// Takes the lock `name` in `dir`, or says at once who has it.
    pub fn acquire(dir: impl AsFd, name: &str, holder: &Holder) -> Result<Self, LockError> {
        let file = open(dir.as_fd(), name)?;
        let stat = rustix::fs::fstat(&file).map_err(LockError::Io)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
            || stat.st_uid != rustix::process::geteuid().as_raw()
        {
            return Err(LockError::NotOurs { uid: stat.st_uid });
        }
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(LockError::Busy(Holder::read(&file))),
            Err(errno) => return Err(LockError::Io(errno)),
        }
        // Best effort: on a full volume the lock is held all the same, only without a name.
        let _ = holder.write(&file);
        Ok(Self { file })
    }
}

impl Drop for Lock {
    /// Not by closing alone: a child between its fork and its exec holds a copy of the descriptor.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

/// Opens the lock file, making it where there is none. Without O_CREAT first: with it,
/// `fs.protected_regular` refuses files that are there, in sticky directories.
fn open(dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, LockError> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    loop {
        match rustix::fs::openat(dir, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => {}
            Err(Errno::LOOP | Errno::ACCESS | Errno::ISDIR | Errno::NXIO) => {
                return Err(not_ours(dir, name));
            }
            opened => return opened.map_err(LockError::Io),
        }
        let create = flags | OFlags::CREATE | OFlags::EXCL;
        match rustix::fs::openat(dir, name, create, Mode::RUSR | Mode::WUSR) {
            // Another process made it between the two calls: open that one.
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(LockError::Io(errno)),
            Ok(file) => {
                // A umask may have taken even the owner's bits.
                rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR).map_err(LockError::Io)?;
                return Ok(file);
            }
        }
    }
}

fn not_ours(dir: BorrowedFd<'_>, name: &str) -> LockError {
    match rustix::fs::statat(dir, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => LockError::NotOurs { uid: stat.st_uid },
        Err(errno) => LockError::Io(errno),
    }
}

impl Holder {
    /// What the running process says of itself: the first word of its arguments, and now.
    pub fn this_process() -> Self {
        let clock = Clock::boot();
        Self {
            command: std::env::args().nth(1).unwrap_or_default(),
            started: humantime::format_rfc3339_seconds(clock.wall(clock.now()).max(SystemTime::UNIX_EPOCH))
                .to_string(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        }
    }

    fn unknown() -> Self {
        Self { command: String::new(), started: String::new(), host: String::new() }
    }

    fn read(file: &OwnedFd) -> Self {
        let mut bytes = [0; 1024];
        let length = rustix::io::pread(file, &mut bytes[..], 0).unwrap_or(0);
        serde_json::from_slice(&bytes[..length]).unwrap_or_else(|_| Self::unknown())
    }

    fn write(&self, file: &OwnedFd) -> Result<(), Errno> {
        let mut bytes = serde_json::to_vec(self).map_err(|_| Errno::INVAL)?;
        bytes.push(b'\n');
        rustix::fs::ftruncate(file, 0)?;
        rustix::io::pwrite(file, &bytes, 0).map(|_| ())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.started.is_empty() {
            return f.write_str("another process of leasehold, which has not written its name yet");
        }
        write!(f, "`leasehold {}` on host \"{}\", since {}", self.command, self.host, self.started)
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(holder) => write!(f, "it is in use by {holder}"),
            Self::NotOurs { uid } => {
                write!(f, "its lock is no file of ours (it belongs to uid {uid})")
            }
            Self::Io(errno) => write!(f, "its lock cannot be taken ({errno})"),
        }
    }
}

impl std::error::Error for LockError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn directory() -> (tempfile::TempDir, OwnedFd) {
        let temp = tempfile::tempdir().unwrap();
        let fd = rustix::fs::open(temp.path(), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        (temp, fd)
    }

    fn holder() -> Holder {
        Holder {
            command: "run".to_owned(),
            started: "2026-01-02T03:04:05Z".to_owned(),
            host: "web-0".to_owned(),
        }
    }

    #[test]
    fn the_second_learns_who_the_first_is_and_gets_the_lock_after_it() {
        let (temp, dir) = directory();
        let first = Lock::acquire(&dir, "..lock", &holder()).unwrap();
        let refused = Lock::acquire(&dir, "..lock", &Holder::this_process()).unwrap_err();
        assert_eq!(refused, LockError::Busy(holder()));
        insta::assert_snapshot!(refused.to_string(), @r#"it is in use by `leasehold run` on host "web-0", since 2026-01-02T03:04:05Z"#);
        let mode = std::fs::metadata(temp.path().join("..lock")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600);
        drop(first);
        Lock::acquire(&dir, "..lock", &holder()).unwrap();
    }

    #[test]
    fn a_shorter_name_leaves_nothing_of_the_longer_one_before_it() {
        let (_temp, dir) = directory();
        drop(Lock::acquire(&dir, "..lock", &Holder { host: "h".repeat(200), ..holder() }).unwrap());
        let _held = Lock::acquire(&dir, "..lock", &holder()).unwrap();
        let refused = Lock::acquire(&dir, "..lock", &holder()).unwrap_err();
        assert_eq!(refused, LockError::Busy(holder()));
    }

    #[test]
    fn a_link_in_the_place_of_the_lock_is_not_followed() {
        let (temp, dir) = directory();
        std::fs::write(temp.path().join("elsewhere"), "untouched").unwrap();
        std::os::unix::fs::symlink("elsewhere", temp.path().join("..lock")).unwrap();
        let refused = Lock::acquire(&dir, "..lock", &holder()).unwrap_err();
        assert!(matches!(refused, LockError::NotOurs { .. }), "{refused:?}");
        assert_eq!(std::fs::read_to_string(temp.path().join("elsewhere")).unwrap(), "untouched");
    }

    #[test]
    fn a_holder_that_has_not_written_its_name_is_still_a_holder() {
        let (temp, dir) = directory();
        let _held = Lock::acquire(&dir, "..lock", &holder()).unwrap();
        std::fs::write(temp.path().join("..lock"), "").unwrap();
        let refused = Lock::acquire(&dir, "..lock", &holder()).unwrap_err();
        insta::assert_snapshot!(refused.to_string(), @"it is in use by another process of leasehold, which has not written its name yet");
    }
}
