//! Opening and reading, never out of the directory that a handle stands for.

use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// What a kubelet names the link to the set in place.
const DATA: &str = "..data";

/// More is no secret. (A Kubernetes Secret may have 1 MiB.)
pub(crate) const LARGEST: u64 = 4 << 20;

/// A file or a directory, opened.
pub(crate) enum Opened {
    File(OwnedFd, Seen),
    Directory(OwnedFd, Seen),
    /// A socket, a pipe, a device.
    Other,
}

/// What tells a file from what was there before: which one it is, how large, and when it was last
/// written or changed. No part of what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seen {
    device: u64,
    inode: u64,
    size: i64,
    pub(crate) modified: (i64, i64),
    changed: (i64, i64),
}

impl Seen {
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or_default()),
            changed: (stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or_default()),
        }
    }

    /// Whether it is the same one, however it changed.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// Whether this set is still the one in place. Once it is not, whoever replaced it takes its files
/// away, and what was read of it may not be all.
pub(crate) fn is_in_place(directory: &impl AsFd, set: &Seen) -> Result<bool, Errno> {
    Ok(set_of(directory)?.is_some_and(|(_, now)| now.is_same_file(set)))
}

/// Opens the provider's own path, links in it included.
pub(crate) fn root(path: &Path) -> Result<Opened, Errno> {
    told(rustix::fs::openat(CWD, path, flags(), Mode::empty())?)
}

/// Opens what is below a directory. A link on the way that leads out of it is refused (`XDEV`).
pub(crate) fn below(directory: &impl AsFd, path: &str) -> Result<Opened, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    told(rustix::fs::openat2(directory, path, flags(), Mode::empty(), resolve)?)
}

/// The set that is in place now, where the directory is laid out as a kubelet does it.
pub(crate) fn set_of(directory: &impl AsFd) -> Result<Option<(OwnedFd, Seen)>, Errno> {
    match below(directory, DATA) {
        Ok(Opened::Directory(set, seen)) => Ok(Some((set, seen))),
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The names in a directory, without those that it is put together by.
pub(crate) fn names(directory: &impl AsFd) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        // What is no text names no field.
        let Ok(name) = entry.file_name().to_str() else { continue };
        if !name.starts_with("..") && name != "." {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Why a file's content cannot be had.
pub(crate) enum Unread {
    System(Errno),
    TooLarge,
    /// It was written while it was read.
    Changing,
}

/// All of a file, if it is what it was from the first byte to the last.
pub(crate) fn content(file: OwnedFd, seen: &Seen) -> Result<Vec<u8>, Unread> {
    let system = |error: &std::io::Error| Unread::System(Errno::from_io_error(error).unwrap_or(Errno::IO));
    let size = u64::try_from(seen.size).unwrap_or_default();
    if size > LARGEST {
        return Err(Unread::TooLarge);
    }
    let file = std::fs::File::from(file);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
    (&file).take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| system(&error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Unread::TooLarge);
    }
    let after = Seen::of(&rustix::fs::fstat(&file).map_err(Unread::System)?);
    match after == *seen && bytes.len() as u64 == size {
        true => Ok(bytes),
        false => Err(Unread::Changing),
    }
}

fn told(fd: OwnedFd) -> Result<Opened, Errno> {
    let stat = rustix::fs::fstat(&fd)?;
    let seen = Seen::of(&stat);
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Opened::File(fd, seen),
        FileType::Directory => Opened::Directory(fd, seen),
        _ => Opened::Other,
    })
}

fn flags() -> OFlags {
    // A pipe that nobody writes to must not hold us up.
    OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
}
