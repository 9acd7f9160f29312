//! A directory of ours inside the state directory, and files in it that are whole or not there.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::Error;

/// Its name. The root of a memory volume belongs to whoever mounted it, so what is ours is one
/// level down.
const NAME: &str = "handover";

/// What a file is called while it is written: no entry has such a name.
const UNFINISHED: &str = ".new";

/// The largest file that is read. Nothing of ours comes near it.
const LARGEST: u64 = 64 << 20;

/// Our directory, open.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    fd: OwnedFd,
}

/// Why a directory cannot be had.
#[derive(Debug)]
pub(super) enum Refused {
    /// There is none, or we may not write to it.
    Unusable(String),
    /// It is not on tmpfs.
    NotTmpfs,
    /// What no choice of the user excuses.
    Error(Error),
}

impl Directory {
    /// Opens ours inside `state`, and makes it where it is not there.
    pub(super) fn open(state: &Path) -> Result<Self, Refused> {
        let path = state.join(NAME);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let outer =
            rustix::fs::openat(CWD, state, flags, Mode::empty()).map_err(|e| refused(e, "open", state))?;
        in_memory(&outer, state)?;
        match rustix::fs::mkdirat(&outer, NAME, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            // It may be there all the same, on a file system that is read-only or not ours.
            Err(error) => {
                if rustix::fs::statat(&outer, NAME, AtFlags::SYMLINK_NOFOLLOW).is_err() {
                    return Err(refused(error, "make", &path));
                }
            }
        }
        let found = rustix::fs::statat(&outer, NAME, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| refused(e, "look at", &path))?;
        ours(found.st_uid, &path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(&outer, NAME, flags, Mode::empty()).map_err(|e| refused(e, "open", &path))?;
        let found = rustix::fs::fstat(&fd).map_err(|e| refused(e, "look at", &path))?;
        ours(found.st_uid, &path)?;
        in_memory(&fd, &path)?;
        let mounted = rustix::fs::fstatvfs(&fd).map_err(|e| refused(e, "look at", &path))?;
        if mounted.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err(Refused::Unusable(format!("{} is read-only", path.display())));
        }
        if found.st_mode & 0o7777 != 0o700 {
            rustix::fs::fchmod(&fd, Mode::RWXU).map_err(|e| refused(e, "set the mode of", &path))?;
        }
        Ok(Self { path, fd })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the files in it.
    pub(super) fn names(&self) -> Result<Vec<String>, Error> {
        let failed = |error: Errno| Error::io(format!("list {}", self.path.display()), error);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type() == FileType::Directory {
                continue;
            }
            // A name that is no UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// The bytes of a file; nothing where it is none that we could have written. What fails for
    /// another reason is an error: a whole entry must not be taken for a damaged one.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Err(Errno::LOOP | Errno::NXIO | Errno::ACCESS) => return Ok(None),
            other => other?,
        };
        let found = rustix::fs::fstat(&fd)?;
        let size = u64::try_from(found.st_size).unwrap_or(u64::MAX);
        if !FileType::from_raw_mode(found.st_mode).is_file() || size > LARGEST {
            return Ok(None);
        }
        // One byte more than there is, so that reading to the end does not move the buffer.
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1));
        std::fs::File::from(fd).take(LARGEST).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Puts a file in place, or leaves what is there. One caller at a time.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let done = self
            .write_unfinished(bytes)
            .and_then(|()| Ok(rustix::fs::renameat(&self.fd, UNFINISHED, &self.fd, name)?));
        if done.is_err() {
            // What is left of it goes with the next write or the next start, if not now.
            let _ = rustix::fs::unlinkat(&self.fd, UNFINISHED, AtFlags::empty());
        }
        done
    }

    /// Takes a file away. It may be gone already.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn write_unfinished(&self, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || rustix::fs::openat(&self.fd, UNFINISHED, flags, Mode::RUSR | Mode::WUSR);
        let fd = match create() {
            Err(Errno::EXIST) => {
                self.remove(UNFINISHED)?;
                create()?
            }
            other => other?,
        };
        std::fs::File::from(fd).write_all(bytes)
    }
}

impl std::os::fd::AsFd for Directory {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn ours(theirs: u32, path: &Path) -> Result<(), Refused> {
    let ours = rustix::process::geteuid().as_raw();
    if theirs == ours {
        return Ok(());
    }
    Err(Refused::Error(Error::Owner { directory: path.to_owned(), theirs, ours }))
}

fn in_memory(fd: &OwnedFd, path: &Path) -> Result<(), Refused> {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    let kind = rustix::fs::fstatfs(fd).map_err(|e| refused(e, "look at", path))?.f_type as u64;
    // On some machines the field is a signed 32 bits.
    if [TMPFS, RAMFS].contains(&(kind & 0xffff_ffff)) { Ok(()) } else { Err(Refused::NotTmpfs) }
}

fn refused(error: Errno, tried: &str, path: &Path) -> Refused {
    match error {
        Errno::NOENT => Refused::Unusable(format!("{} does not exist", path.display())),
        Errno::ACCESS | Errno::PERM | Errno::ROFS => {
            Refused::Unusable(format!("we may not {tried} {}", path.display()))
        }
        other => Refused::Error(Error::io(format!("{tried} {}", path.display()), other)),
    }
}
