//! `leasehold install DIR`: our own binary, copied to where another container finds it.
//!
//! In a pod the exec wrapper runs in the application's container, whose image stays as it is: an
//! init container of our image puts the binary into a volume that both mount. It is the one file
//! that is written outside the output directory and the state directory, and no secret is in it:
//! no configuration is read, no environment, nothing but `/proc/self/exe`.
//!
//! It promises that `DIR/leasehold` is at any moment absent, the old one or the new one, whole and
//! executable; that two who install at once do not disturb each other; and that an equal one is
//! left alone, so that a restarted init container writes nothing. It copies in pieces: the volume
//! and the container's memory have room for one binary, not for two.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// What the copy is called.
const NAME: &str = "leasehold";
/// What it is called while it is written. What a killed process left under this name is replaced.
const UNFINISHED: &str = ".leasehold.unfinished";
/// Who reads it may be anybody: the application's uid is not ours.
const MODE: Mode = Mode::from_raw_mode(0o755);
const OURSELVES: &str = "/proc/self/exe";
const PIECE: usize = 64 * 1024;

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Installed {
    /// Where the binary is.
    pub path: PathBuf,
    /// Whether it had to be written.
    pub outcome: Outcome,
}

/// See [`Installed::outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was written.
    Written,
    /// It was there, with the same bytes.
    AlreadyThere,
}

/// Copies our own binary into `directory`.
///
/// # Errors
/// What was tried, on what, and what to do, in words.
pub fn install(directory: &Path) -> Result<Installed, String> {
    copy(Path::new(OURSELVES), directory)
}

fn copy(source: &Path, directory: &Path) -> Result<Installed, String> {
    let mut ours = File::open(source).map_err(|error| unreadable(&error))?;
    let folder = open(directory)?;
    let path = directory.join(NAME);
    let failed = |what: &str, errno: Errno| format!("cannot {what} {}: {}", path.display(), why(errno));
    // Whoever else installs here does so after us.
    rustix::fs::flock(&folder, FlockOperation::LockExclusive)
        .map_err(|errno| failed("lock the directory of", errno))?;
    if is_there(&mut ours, &folder) {
        return Ok(Installed { path, outcome: Outcome::AlreadyThere });
    }
    let written =
        write(source, &folder).and_then(|()| rustix::fs::renameat(&folder, UNFINISHED, &folder, NAME));
    if let Err(errno) = written {
        // The room is worth more than what of it was written.
        let _ = rustix::fs::unlinkat(&folder, UNFINISHED, AtFlags::empty());
        return Err(failed("write", errno));
    }
    Ok(Installed { path, outcome: Outcome::Written })
}

fn open(directory: &Path) -> Result<OwnedFd, String> {
    rustix::fs::open(directory, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(
        |errno| {
            let help = match errno {
                Errno::NOENT => "it does not exist; mount a volume there, or make it",
                Errno::NOTDIR => "it is no directory",
                errno => why(errno),
            };
            format!("cannot install into {}: {help}", directory.display())
        },
    )
}

/// Whether what is there already is a regular file with these bytes and this mode.
fn is_there(ours: &mut File, folder: &OwnedFd) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(there) = rustix::fs::openat(folder, NAME, flags, Mode::empty()) else { return false };
    let Ok(stat) = rustix::fs::fstat(&there) else { return false };
    let regular = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    regular
        && Mode::from_raw_mode(stat.st_mode) == MODE
        && same(ours, &mut File::from(there)).unwrap_or(false)
}

fn same(one: &mut File, other: &mut File) -> io::Result<bool> {
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let count = one.read(&mut left)?;
        if count == 0 {
            return Ok(true);
        }
        // The lengths are equal: it has as many.
        other.read_exact(&mut right[..count])?;
        if left[..count] != right[..count] {
            return Ok(false);
        }
    }
}

fn write(source: &Path, folder: &OwnedFd) -> Result<(), Errno> {
    match rustix::fs::unlinkat(folder, UNFINISHED, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut to = File::from(rustix::fs::openat(folder, UNFINISHED, flags, Mode::RWXU)?);
    let mut from = File::open(source).map_err(|error| errno(&error))?;
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece).map_err(|error| errno(&error))?;
        if count == 0 {
            break;
        }
        to.write_all(&piece[..count]).map_err(|error| errno(&error))?;
    }
    // The umask has no say in it.
    rustix::fs::fchmod(&to, MODE)?;
    rustix::fs::fsync(&to)
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn unreadable(error: &io::Error) -> String {
    let help = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "may not be read by us; the image of the sidecar forbids it on purpose: take the image that is built \
             for this (docker build --target install), in which anybody may read it"
        }
        _ => "cannot be read",
    };
    format!("our own binary ({OURSELVES}) {help}")
}

/// Our own words for what the kernel says.
fn why(errno: Errno) -> &'static str {
    match errno {
        Errno::ACCESS | Errno::PERM => {
            "we may not write there; run this as the directory's owner, or with its group"
        }
        Errno::ROFS => "it is mounted read-only; mount it writable in this container",
        Errno::NOSPC | Errno::DQUOT => "there is no room; the volume needs as much as the binary is large",
        Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST => "a directory of this name is there; take it away",
        _ => "the system refused it; look at the directory and what it is mounted from",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    fn source(directory: &Path, bytes: &[u8]) -> PathBuf {
        let path = directory.join("source");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn it_is_whole_executable_and_written_once() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // More than one piece, and no whole number of them.
        let bytes: Vec<u8> = (0..3 * PIECE + 17).map(|at| (at % 251) as u8).collect();
        let source = source(from.path(), &bytes);
        // What a killed process left.
        std::fs::write(to.path().join(UNFINISHED), "half").unwrap();

        let path = to.path().join(NAME);
        assert_eq!(copy(&source, to.path()), Ok(Installed { path: path.clone(), outcome: Outcome::Written }));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        let first = std::fs::metadata(&path).unwrap();
        assert_eq!(first.permissions().mode() & 0o7777, 0o755);
        assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 1);

        assert_eq!(copy(&source, to.path()).unwrap().outcome, Outcome::AlreadyThere);
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), first.ino());

        // One byte of another version, of the same length.
        let mut other = bytes.clone();
        other[2 * PIECE] ^= 1;
        std::fs::write(&source, &other).unwrap();
        assert_eq!(copy(&source, to.path()).unwrap().outcome, Outcome::Written);
        assert_eq!(std::fs::read(&path).unwrap(), other);

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(copy(&source, to.path()).unwrap().outcome, Outcome::Written);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o755);
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = source(from.path(), b"binary");
        let victim = from.path().join("victim");
        std::fs::write(&victim, "mine").unwrap();
        symlink(&victim, to.path().join(NAME)).unwrap();
        assert_eq!(copy(&source, to.path()).unwrap().outcome, Outcome::Written);
        assert_eq!(std::fs::read(&victim).unwrap(), b"mine");
        assert!(std::fs::symlink_metadata(to.path().join(NAME)).unwrap().is_file());
    }

    #[test]
    fn what_stands_in_the_way_is_named() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = source(from.path(), b"binary");
        let missing = copy(&source, &to.path().join("missing")).unwrap_err();
        assert!(missing.ends_with("it does not exist; mount a volume there, or make it"), "{missing}");
        let file = copy(&source, &source).unwrap_err();
        assert!(file.ends_with("it is no directory"), "{file}");
        std::fs::create_dir(to.path().join(NAME)).unwrap();
        let directory = copy(&source, to.path()).unwrap_err();
        assert!(directory.contains("a directory of this name is there"), "{directory}");
        assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 1, "nothing half-written is left");
    }
}
