//! Mode, owner and group of what we make. The umask has no say: they are set on the open file,
//! before it holds a byte, and looked at afterwards.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Gid, Mode, Stat, Uid};
use rustix::io::Errno;

use super::Error;

/// Directories: setgid, so that what is made in them has their group. The numeric `0750` would
/// take the setgid bit away.
pub(super) const DIRECTORY_MODE: u32 = 0o2750;

/// What a file or directory is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    /// Ours where `None`.
    pub(super) owner: Option<u32>,
    /// What the kernel gives it where `None`: that of a setgid directory, else ours.
    pub(super) group: Option<u32>,
}

impl Attributes {
    /// The same for a directory.
    pub(super) fn of_directory(self) -> Self {
        Self { mode: DIRECTORY_MODE, ..self }
    }

    /// Whether something has them. `inherited` is the group that the kernel gives to new files
    /// beside it.
    pub(super) fn match_stat(self, stat: &Stat, inherited: u32) -> bool {
        stat.st_mode & 0o7777 == self.mode
            && stat.st_uid == self.owner.unwrap_or_else(own_uid)
            && stat.st_gid == self.group.unwrap_or(inherited)
    }
}

pub(super) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Sets them on something open. The mode first: after a change of owner it is no longer ours to
/// set.
pub(super) fn set(fd: impl AsFd, wanted: Attributes, path: &Path) -> Result<(), Error> {
    const SET: &str = "set mode, owner and group of";
    let system = |errno| Error::system(SET, path, errno);
    let found = rustix::fs::fstat(&fd).map_err(system)?;
    // The group before the setgid bit: the kernel drops the bit where the group is not ours.
    let gid = wanted.group.filter(|gid| *gid != found.st_gid);
    if let Some(gid) = gid {
        rustix::fs::fchown(&fd, None, Some(Gid::from_raw(gid)))
            .map_err(|errno| denied(errno, path, "group", gid, SET))?;
    }
    if gid.is_some() || found.st_mode & 0o7777 != wanted.mode {
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(wanted.mode)).map_err(system)?;
        let now = rustix::fs::fstat(&fd).map_err(system)?;
        if now.st_mode & 0o7777 != wanted.mode {
            return Err(denied(Errno::PERM, path, "group", now.st_gid, SET));
        }
    }
    if let Some(uid) = wanted.owner.filter(|uid| *uid != found.st_uid) {
        rustix::fs::fchown(&fd, Some(Uid::from_raw(uid)), None)
            .map_err(|errno| denied(errno, path, "owner", uid, SET))?;
    }
    Ok(())
}

fn denied(errno: Errno, path: &Path, what: &str, id: u32, tried: &'static str) -> Error {
    if errno != Errno::PERM {
        return Error::system(tried, path, errno);
    }
    let groups = rustix::process::getgroups().unwrap_or_else(|_| Vec::new());
    let mut groups: Vec<u32> = groups.into_iter().map(|gid| gid.as_raw()).collect();
    groups.push(rustix::process::getegid().as_raw());
    groups.sort_unstable();
    groups.dedup();
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    Error::refused(
        tried,
        path,
        format!("uid {} with the groups {} may not give it the {what} {id}", own_uid(), groups.join(", ")),
        "a group has to be one of ours (the pod's fsGroup or a supplementalGroup), an owner has to be \
         the uid that we run as (runAsUser)",
    )
}
