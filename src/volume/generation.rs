//! One generation's directory: compared, written, read back, removed.

use std::collections::BTreeSet;
use std::ffi::{CStr, OsStr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;
use rustix::path::Arg;
use zeroize::Zeroize;

use super::attributes::{self, Attributes};
use super::layout::directory_name;
use super::manifest::Manifest;
use super::names::Tree;
use super::{Error, Rendered};

const MANIFEST: &str = "..manifest.json";
const WRITE: &str = "write";

/// A generation that is in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its number: the greater, the newer.
    pub number: u64,
    /// Its files, relative to the output directory.
    pub files: BTreeSet<String>,
    /// What it says of itself.
    pub manifest: Manifest,
}

impl Generation {
    /// Reads a generation back; `None`: it is not whole.
    pub(super) fn read(root: &OwnedFd, number: u64) -> Option<Self> {
        let directory = open_directory(root, directory_name(number)).ok()?;
        let (stated, files, manifest) = Manifest::parse(&read_small(&directory, MANIFEST)?)?;
        let whole = stated == number && files.iter().all(|file| is_file(&directory, file));
        whole.then_some(Self { number, files, manifest })
    }
}

fn read_small(directory: &OwnedFd, name: &str) -> Option<Vec<u8>> {
    let file = open_file(directory, name).ok()?;
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut std::fs::File::from(file), &mut text).ok()?;
    Some(text)
}

/// Whether a path leads to a regular file without following a link.
fn is_file(directory: &OwnedFd, path: &str) -> bool {
    let mut directories: Vec<&str> = path.split('/').collect();
    let Some(name) = directories.pop() else { return false };
    let mut opened: Option<OwnedFd> = None;
    for part in directories {
        match open_directory(opened.as_ref().unwrap_or(directory), part) {
            Ok(next) => opened = Some(next),
            Err(_) => return false,
        }
    }
    let at = opened.as_ref().unwrap_or(directory);
    rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

/// How sets are written here.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    /// The output directory.
    pub(super) root: &'a OwnedFd,
    /// Its path, for errors.
    pub(super) path: &'a Path,
    /// What a file gets that does not say otherwise.
    pub(super) defaults: Attributes,
    /// The group that new files get by themselves.
    pub(super) inherited: u32,
    /// Whether to carry the bytes to a device.
    pub(super) lasts: bool,
}

impl Writer<'_> {
    /// The paths of the files that are not in the generation with this number just so.
    pub(super) fn changed(&self, tree: &Tree<'_>, old: Option<u64>) -> BTreeSet<String> {
        let old = old.and_then(|number| open_directory(self.root, directory_name(number)).ok());
        let mut changed = BTreeSet::new();
        self.compare(tree, old.as_ref(), "", &mut changed);
        changed
    }

    fn compare(&self, tree: &Tree<'_>, old: Option<&OwnedFd>, prefix: &str, changed: &mut BTreeSet<String>) {
        for (name, file) in &tree.files {
            let same = old.is_some_and(|old| self.same(old, name, file).unwrap_or(false));
            if !same {
                changed.insert(format!("{prefix}{name}"));
            }
        }
        for (name, below) in &tree.directories {
            let old = old.and_then(|old| open_directory(old, *name).ok());
            self.compare(below, old.as_ref(), &format!("{prefix}{name}/"), changed);
        }
    }

    fn same(&self, directory: &OwnedFd, name: &str, wanted: &Rendered) -> Result<bool, Errno> {
        let file = open_file(directory, name)?;
        let stat = rustix::fs::fstat(&file)?;
        let bytes = wanted.bytes.expose();
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
            || u64::try_from(stat.st_size).ok() != u64::try_from(bytes.len()).ok()
            || !self.attributes_of(wanted).match_stat(&stat, self.inherited)
        {
            return Ok(false);
        }
        let mut chunk = [0; 4096];
        let mut at = 0;
        let same = loop {
            let length = rustix::io::read(&file, &mut chunk[..])?;
            if length == 0 {
                break at == bytes.len();
            }
            if bytes.get(at..at + length) != Some(&chunk[..length]) {
                break false;
            }
            at += length;
        };
        chunk.zeroize();
        Ok(same)
    }

    fn attributes_of(&self, file: &Rendered) -> Attributes {
        Attributes {
            mode: file.mode,
            owner: file.owner.or(self.defaults.owner),
            group: file.group.or(self.defaults.group),
        }
    }

    /// Writes a generation: what changed anew, the rest as hard links to the old one. What it
    /// leaves where it fails is the caller's to remove.
    pub(super) fn write(
        &self,
        number: u64,
        tree: &Tree<'_>,
        changed: &BTreeSet<String>,
        old: Option<u64>,
        manifest: &[u8],
    ) -> Result<(), Error> {
        let name = directory_name(number);
        // A failed attempt that could not even be removed.
        remove(self.root, number).map_err(|errno| Error::system(WRITE, self.path.join(&name), errno))?;
        let directory = self.make_directory(self.root, &name, &self.path.join(&name))?;
        let old = old.and_then(|number| open_directory(self.root, directory_name(number)).ok());
        self.fill(tree, &directory, old.as_ref(), "", changed)?;
        let path = self.path.join(&name).join(MANIFEST);
        self.write_file(&directory, MANIFEST, manifest, self.defaults, &path)?;
        self.sync(&directory, &self.path.join(&name))
    }

    fn fill(
        &self,
        tree: &Tree<'_>,
        directory: &OwnedFd,
        old: Option<&OwnedFd>,
        prefix: &str,
        changed: &BTreeSet<String>,
    ) -> Result<(), Error> {
        for (name, file) in &tree.files {
            let path = format!("{prefix}{name}");
            if !changed.contains(&path)
                && let Some(old) = old
                && self.hard_link(old, directory, name, &path)?
            {
                continue;
            }
            let place = self.path.join(&path);
            self.write_file(directory, name, file.bytes.expose(), self.attributes_of(file), &place)?;
        }
        for (name, below) in &tree.directories {
            let path = format!("{prefix}{name}/");
            let made = self.make_directory(directory, name, &self.path.join(&path))?;
            let old = old.and_then(|old| open_directory(old, *name).ok());
            self.fill(below, &made, old.as_ref(), &path, changed)?;
            self.sync(&made, &self.path.join(&path))?;
        }
        Ok(())
    }

    /// False: it cannot be linked (`fs.protected_hardlinks` for another's file, too many links), so
    /// it has to be written.
    fn hard_link(&self, old: &OwnedFd, new: &OwnedFd, name: &str, path: &str) -> Result<bool, Error> {
        match rustix::fs::linkat(old, name, new, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::ROFS)) => {
                Err(Error::system(WRITE, self.path.join(path), errno))
            }
            Err(_) => Ok(false),
        }
    }

    fn make_directory(&self, parent: &OwnedFd, name: &str, path: &Path) -> Result<OwnedFd, Error> {
        let system = |errno| Error::system("make the directory", path, errno);
        rustix::fs::mkdirat(parent, name, Mode::RWXU).map_err(system)?;
        let directory = open_made(parent, OsStr::new(name)).map_err(system)?;
        attributes::set(&directory, self.defaults.of_directory(), path)?;
        Ok(directory)
    }

    /// Mode, owner and group come before the first byte.
    fn write_file(
        &self,
        directory: &OwnedFd,
        name: &str,
        mut bytes: &[u8],
        wanted: Attributes,
        path: &Path,
    ) -> Result<(), Error> {
        let system = |errno| Error::system(WRITE, path, errno);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, name, flags, Mode::empty()).map_err(system)?;
        attributes::set(&file, wanted, path)?;
        while !bytes.is_empty() {
            match rustix::io::write(&file, bytes) {
                Ok(0) => return Err(system(Errno::NOSPC)),
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => {}
                Err(errno) => return Err(system(errno)),
            }
        }
        self.sync(&file, path)
    }

    fn sync(&self, fd: &OwnedFd, path: &Path) -> Result<(), Error> {
        if self.lasts {
            rustix::fs::fsync(fd).map_err(|errno| Error::system(WRITE, path, errno))?;
        }
        Ok(())
    }
}

/// Opens a directory that we just made, even under a umask that takes the owner's bits.
pub(super) fn open_made(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    match open_directory(parent, name) {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open_directory(parent, name)
        }
        opened => opened,
    }
}

fn open_directory(parent: &OwnedFd, name: impl Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn open_file(directory: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

/// When a generation was written, by the file system's clock, since its zero.
pub(super) fn made(root: &OwnedFd, number: u64) -> Option<Duration> {
    let stat = rustix::fs::statat(root, directory_name(number), AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(modified(&stat))
}

/// Now, by the file system's clock: only good to be compared with [`made`].
pub(super) fn touch(root: &OwnedFd) -> Duration {
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    // Where it cannot be touched, what it says is older, and old generations stay longer.
    let _ = rustix::fs::futimens(root, &Timestamps { last_access: now, last_modification: now });
    rustix::fs::fstat(root).map_or(Duration::ZERO, |stat| modified(&stat))
}

fn modified(stat: &Stat) -> Duration {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(stat.st_mtime_nsec)
}

/// Removes a generation, whole or not. What is gone already counts as removed.
pub(super) fn remove(root: &OwnedFd, number: u64) -> Result<(), Errno> {
    remove_tree(root, &directory_name(number))
}

fn remove_tree(parent: &OwnedFd, name: &str) -> Result<(), Errno> {
    match open_directory(parent, name) {
        Ok(directory) => {
            for entry in Dir::read_from(&directory)? {
                let entry = entry?;
                remove_entry(&directory, entry.file_name())?;
            }
            gone(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR))
        }
        Err(Errno::NOENT) => Ok(()),
        // Something else took the name.
        Err(Errno::NOTDIR | Errno::LOOP) => gone(rustix::fs::unlinkat(parent, name, AtFlags::empty())),
        Err(errno) => Err(errno),
    }
}

fn remove_entry(directory: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    if name == c"." || name == c".." {
        return Ok(());
    }
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => remove_tree(directory, &name.to_string_lossy()),
        other => gone(other),
    }
}

fn gone(outcome: Result<(), Errno>) -> Result<(), Errno> {
    match outcome {
        Err(Errno::NOENT) => Ok(()),
        outcome => outcome,
    }
}
