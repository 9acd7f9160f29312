//! The directory of our own: found or made, checked, locked, and given its mode and group.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes::{self, Attributes, DIRECTORY_MODE, own_uid};
use super::filesystem::Footing;
use super::{Error, generation, layout};
use crate::config::model::{Output, RequireTmpfs};
use crate::lock::{Holder, Lock, LockError};

const USE: &str = "use as output directory";
const LOCK: &str = "..lock";
const STICKY: u32 = 0o1000;
const SETGID: u32 = 0o2000;
const ALL_WRITE: u32 = 0o002;

/// The open, locked directory.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: OwnedFd,
    pub(super) path: PathBuf,
    /// What files get that do not say otherwise; directories too, with their own mode.
    pub(super) defaults: Attributes,
    /// The group that files get by themselves.
    pub(super) inherited: u32,
    pub(super) footing: Footing,
    pub(super) warnings: Vec<String>,
    /// Why nobody of another uid can read the files, where that is so.
    pub(super) private: Option<String>,
    _lock: Lock,
}

impl Place {
    pub(super) fn open(output: &Output) -> Result<Self, Error> {
        let path = output.directory.as_path();
        let (parent_path, name) = split(path)?;
        let parent = open_parent(&parent_path, path)?;
        let directory = open_or_make(&parent, &parent_path, &name, path, output)?;
        let footing = Footing::of(&directory).map_err(|errno| Error::system(USE, path, errno))?;
        footing.check(output.require_tmpfs, path)?;
        let lock = Lock::acquire(&directory, LOCK, &Holder::this_process()).map_err(|error| match error {
            LockError::Busy(holder) => Error::busy(path, holder),
            LockError::NotOurs { .. } => Error::refused(
                USE,
                path,
                error.to_string(),
                "remove it, or name a directory that leasehold makes itself",
            ),
            LockError::Io(errno) => Error::system(USE, path, errno),
        })?;

        let mut warnings: Vec<String> = footing.warning(path).into_iter().collect();
        let inherited = setgid_group(&stat(&parent, path)?);
        let group = output.group.or(inherited);
        let strangers = layout::strangers(&directory).map_err(|errno| Error::system(USE, path, errno))?;
        if strangers.is_empty() {
            attributes::set(
                &directory,
                Attributes { mode: DIRECTORY_MODE, owner: output.owner, group },
                path,
            )?;
        } else {
            warnings.push(format!(
                "{path:?} also holds what is not leasehold's ({}): that is left alone, and the \
                 directory keeps its mode and group; better name a directory of leasehold's own",
                list(&strangers)
            ));
        }
        let inherited = setgid_group(&stat(&directory, path)?).unwrap_or_else(own_gid);
        let private =
            (group.is_none() && inherited == own_gid()).then(|| access_warning(output, path, &parent_path));
        let defaults = Attributes { mode: output.mode, owner: output.owner, group };
        let path = path.to_owned();
        Ok(Self { directory, path, defaults, inherited, footing, warnings, private, _lock: lock })
    }
}

fn own_gid() -> u32 {
    rustix::process::getegid().as_raw()
}

/// Where nothing gives the application access but its uid (or our own group), say so.
fn access_warning(output: &Output, path: &Path, parent: &Path) -> String {
    let uid = output.owner.unwrap_or_else(own_uid);
    format!(
        "only uid {uid} can read the files in {path:?} (beside members of our own group {gid}): {parent:?} is no \
         setgid directory and output.group is not set; set the pod's fsGroup, or output.group",
        gid = own_gid()
    )
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut text = names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

/// The directory's parent and its name in it.
fn split(path: &Path) -> Result<(PathBuf, OsString), Error> {
    let unusable = || {
        Error::refused(USE, path, "it has no name of its own", "name a directory inside the mounted volume")
    };
    let name = path.file_name().ok_or_else(unusable)?;
    let parent = path.parent().ok_or_else(unusable)?;
    let parent = if parent == Path::new("") { Path::new(".") } else { parent };
    Ok((parent.to_owned(), name.to_owned()))
}

fn open_parent(parent: &Path, path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(parent, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT => Error::refused(
            USE,
            path,
            format!("{parent:?}, where it would be made, does not exist"),
            "mount a volume there (an emptyDir with medium: Memory), make that directory, or name another \
             (output.directory, or --directory)",
        ),
        Errno::NOTDIR => Error::refused(
            USE,
            path,
            format!("{parent:?}, where it would be made, is no directory"),
            "mount the whole volume instead of one file of it (no subPath)",
        ),
        Errno::ACCESS => Error::refused(
            USE,
            path,
            format!("uid {} may not enter {parent:?}", own_uid()),
            "give the pod an fsGroup, or run as its owner (runAsUser)",
        ),
        errno => Error::system(USE, path, errno),
    })
}

fn open_or_make(
    parent: &OwnedFd,
    parent_path: &Path,
    name: &OsStr,
    path: &Path,
    output: &Output,
) -> Result<OwnedFd, Error> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => check_found(&found, path, output.owner)?,
        Err(Errno::NOENT) => make(parent, parent_path, name, path, output.require_tmpfs)?,
        Err(errno) => return Err(Error::system(USE, path, errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::ACCESS => Error::refused(
            USE,
            path,
            format!("uid {} may not read it", own_uid()),
            "remove it so that leasehold makes its own, or run as its owner (runAsUser)",
        ),
        errno => Error::system(USE, path, errno),
    })?;
    // What was opened is what counts: it may have been replaced since.
    check_found(&stat(&directory, path)?, path, output.owner)?;
    Ok(directory)
}

/// Refuses what is no directory of our own.
fn check_found(found: &Stat, path: &Path, owner: Option<u32>) -> Result<(), Error> {
    let own = own_uid();
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => {}
        FileType::Symlink => {
            return Err(Error::refused(
                USE,
                path,
                "it is a symbolic link, which somebody could point elsewhere",
                "name the directory itself",
            ));
        }
        _ => {
            return Err(Error::refused(
                USE,
                path,
                "it is a single file, as a subPath mount makes it",
                "mount the whole volume one level up (no subPath) and name a directory inside it",
            ));
        }
    }
    if found.st_mode & STICKY != 0 && found.st_mode & ALL_WRITE != 0 {
        return Err(Error::refused(
            USE,
            path,
            "it is sticky and everybody may write in it, so nobody but us could follow our links \
             (fs.protected_symlinks)",
            format!(
                "name a directory inside it, such as {:?}, which leasehold makes; where this one is a subPath of a \
                 volume, mount the whole volume one level up instead",
                path.join("live")
            ),
        ));
    }
    if found.st_uid != own && Some(found.st_uid) != owner {
        return Err(Error::refused(
            USE,
            path,
            format!("it belongs to uid {}, and this process runs as uid {own}", found.st_uid),
            "run both as one uid (runAsUser), or name a directory that does not exist yet",
        ));
    }
    Ok(())
}

fn make(
    parent: &OwnedFd,
    parent_path: &Path,
    name: &OsStr,
    path: &Path,
    require: RequireTmpfs,
) -> Result<(), Error> {
    const MAKE: &str = "make the output directory";
    // Before anything is made: a refused disk keeps no trace of us.
    Footing::of(parent).map_err(|errno| Error::system(MAKE, path, errno))?.check(require, path)?;
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Err(Errno::EXIST) => Ok(()),
        Ok(()) => {
            generation::open_made(parent, name).map(|_| ()).map_err(|errno| Error::system(MAKE, path, errno))
        }
        Err(Errno::ACCESS | Errno::PERM) => {
            let above = stat(parent, path)?;
            Err(Error::refused(
                MAKE,
                path,
                format!(
                    "uid {} may not write in {parent_path:?} (uid {}, gid {}, mode {:04o})",
                    own_uid(),
                    above.st_uid,
                    above.st_gid,
                    above.st_mode & 0o7777
                ),
                "give the pod an fsGroup, or run as the owner of the volume (runAsUser)",
            ))
        }
        Err(errno) => Err(Error::system(MAKE, path, errno)),
    }
}

fn stat(fd: impl AsFd, path: &Path) -> Result<Stat, Error> {
    rustix::fs::fstat(fd).map_err(|errno| Error::system(USE, path, errno))
}

fn setgid_group(stat: &Stat) -> Option<u32> {
    (stat.st_mode & SETGID != 0).then_some(stat.st_gid)
}
