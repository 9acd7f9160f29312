//! A directory in memory that is there for one process: made at its start, taken away at its end.
//!
//! Its owner holds a lock on it, so that one whose process is gone is known, by whatever end it
//! came: the next start takes it away.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use leasehold_core::Environment;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// How the names of these directories begin.
const PREFIX: &str = "leasehold-dev-";
const TMPFS: u32 = 0x0102_1994;
const SHARED_MEMORY: &str = "/dev/shm";

/// The directory. Dropped, it is gone.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    notes: Vec<String>,
    _lock: OwnedFd,
}

impl Scratch {
    /// Makes one below `$XDG_RUNTIME_DIR`, else in `/dev/shm`, else where temporary files go. What
    /// earlier processes left there is taken away.
    ///
    /// # Errors
    /// Where no directory can be made, and why.
    pub fn new(environment: &Environment) -> Result<Self, String> {
        let runtime = environment.value("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| is_tmpfs(path));
        let shared = Some(PathBuf::from(SHARED_MEMORY)).filter(|path| is_tmpfs(path));
        let disk = environment.value("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let mut notes = Vec::new();
        let mut refused = Vec::new();
        for base in runtime.into_iter().chain(shared).chain([disk]) {
            let gone = remove_stale(&base);
            if gone > 0 {
                let directories = if gone == 1 { "a directory" } else { "directories" };
                notes.push(format!("removed {directories} that a killed one left in {}", base.display()));
            }
            match make(&base) {
                Ok((path, lock)) => {
                    if !is_tmpfs(&base) {
                        notes.push(format!("there is no tmpfs to be had: {} is on a disk", base.display()));
                    }
                    return Ok(Self { path, notes, _lock: lock });
                }
                Err(errno) => refused.push(format!("{} ({errno})", base.display())),
            }
        }
        Err(format!(
            "cannot make a directory for the files in {}; set XDG_RUNTIME_DIR to a tmpfs that is yours",
            refused.join(", ")
        ))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is worth a word about it.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is found by the next start.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn is_tmpfs(path: &Path) -> bool {
    path.is_absolute() && rustix::fs::statfs(path).is_ok_and(|found| found.f_type as u32 == TMPFS)
}

/// A directory for us alone, and the lock on it.
fn make(base: &Path) -> Result<(PathBuf, OwnedFd), Errno> {
    const TRIES: u32 = 16;
    for _ in 0..TRIES {
        let random: String = (0..8).map(|_| fastrand::lowercase()).collect();
        let path = base.join(format!("{PREFIX}{random}"));
        let mut builder = fs::DirBuilder::new();
        match builder.mode(0o700).create(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
            Ok(()) => {}
        }
        // Between these lines another start may have taken it for a stale one.
        let Some(lock) = lock(&path) else { continue };
        builder
            .create(path.join("state"))
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        return Ok((path, lock));
    }
    Err(Errno::EXIST)
}

/// The lock on what is at this path. `None`: somebody holds it, or it is no directory of ours.
fn lock(path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive).ok()?;
    let (held, there) = (rustix::fs::fstat(&directory).ok()?, fs::symlink_metadata(path).ok()?);
    let same = held.st_ino == there.ino() && there.uid() == rustix::process::geteuid().as_raw();
    same.then_some(directory)
}

/// Removes the directories of processes that are gone; how many.
fn remove_stale(base: &Path) -> usize {
    let Ok(entries) = fs::read_dir(base) else { return 0 };
    let ours = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.starts_with(PREFIX));
    entries
        .flatten()
        .filter(|entry| ours(&entry.file_name()))
        .filter_map(|entry| Some((entry.path(), lock(&entry.path())?)))
        .filter(|(path, _lock)| fs::remove_dir_all(path).is_ok())
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(runtime: &Path) -> Environment {
        Environment::new([("XDG_RUNTIME_DIR".to_owned(), runtime.display().to_string())])
    }

    fn left(base: &Path) -> Vec<PathBuf> {
        fs::read_dir(base).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn it_is_ours_alone_and_gone_at_the_end() {
        let base = tempfile::tempdir_in(SHARED_MEMORY).unwrap();
        let scratch = Scratch::new(&environment(base.path())).unwrap();
        assert!(scratch.path().starts_with(base.path()), "{:?}", scratch.path());
        assert_eq!(fs::metadata(scratch.path()).unwrap().mode() & 0o777, 0o700);
        assert!(scratch.notes().is_empty());
        drop(scratch);
        assert!(left(base.path()).is_empty());
    }

    #[test]
    fn what_a_process_left_that_is_gone_is_removed_and_nothing_else() {
        let base = tempfile::tempdir_in(SHARED_MEMORY).unwrap();
        let living = Scratch::new(&environment(base.path())).unwrap();
        let stale = base.path().join("leasehold-dev-stale");
        fs::create_dir_all(stale.join("live/..2")).unwrap();
        let stranger = base.path().join("somebody-else");
        fs::create_dir(&stranger).unwrap();
        let link = base.path().join("leasehold-dev-link");
        std::os::unix::fs::symlink(&stranger, &link).unwrap();

        let next = Scratch::new(&environment(base.path())).unwrap();
        assert_eq!(next.notes().len(), 1, "{:?}", next.notes());
        assert!(!stale.exists());
        assert!(living.path().exists() && stranger.exists() && link.is_symlink());
    }
}
