//! The names in the output directory: `..data`, one directory per generation, a link per name of
//! the set. As the kubelet lays out a Secret volume.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, RenameFlags};
use rustix::io::Errno;

use super::Error;

/// The link to the generation in place: the one name whose move moves the set.
pub(super) const DATA: &str = "..data";
/// Its successor, before the move.
const NEXT: &str = "..data_tmp";
/// Before a generation's number.
const GENERATION: &str = "..generation-";
/// Links of new names wait under this and a number, so that what may fail comes before the move.
const STAGED: &str = "..link-";

const USE: &str = "use as output directory";

/// The directory's name of a generation.
pub(super) fn directory_name(number: u64) -> String {
    format!("{GENERATION}{number}")
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(GENERATION)?;
    digits.parse().ok().filter(|number: &u64| number.to_string() == digits)
}

/// What is in the directory that is ours.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Where `..data` points.
    pub(super) in_place: Option<u64>,
    /// Every generation that has a directory, whole or not.
    pub(super) generations: BTreeSet<u64>,
    /// Links that a killed process had not moved to their place.
    pub(super) leftovers: Vec<String>,
    /// The names that link into `..data`.
    pub(super) links: BTreeSet<String>,
}

/// Looks what is there.
pub(super) fn scan(directory: &OwnedFd, path: &Path) -> Result<Found, Error> {
    let system = |errno| Error::system(USE, path, errno);
    let mut found = Found::default();
    for name in names(directory).map_err(system)? {
        if name == DATA {
            let target = read_link(directory, DATA).map_err(system)?;
            let Some(number) = target.as_deref().and_then(number_of) else {
                return Err(Error::refused(
                    USE,
                    path,
                    "its `..data` is not leasehold's: another writer, such as a kubelet, keeps its files there",
                    "name a directory of leasehold's own",
                ));
            };
            found.in_place = Some(number);
        } else if let Some(number) = number_of(&name) {
            found.generations.insert(number);
        } else if name == NEXT || name.starts_with(STAGED) {
            found.leftovers.push(name);
        } else if !name.starts_with("..") && is_ours(directory, &name).map_err(system)? {
            found.links.insert(name);
        }
    }
    Ok(found)
}

/// The names in the directory that are not ours, in order.
pub(super) fn strangers(directory: &OwnedFd) -> Result<Vec<String>, Errno> {
    let mut strangers = Vec::new();
    for name in names(directory)? {
        if !name.starts_with("..") && !is_ours(directory, &name)? {
            strangers.push(name);
        }
    }
    strangers.sort_unstable();
    Ok(strangers)
}

/// The names in a directory but `.` and `..`; those that are no UTF-8 only for show.
fn names(directory: &OwnedFd) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Where a link points; `None`: it is no link, or points at no text.
fn read_link(directory: &OwnedFd, name: &str) -> Result<Option<String>, Errno> {
    match rustix::fs::readlinkat(directory, name, Vec::new()) {
        Ok(target) => Ok(target.into_string().ok()),
        Err(Errno::INVAL | Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn target_of(name: &str) -> String {
    format!("{DATA}/{name}")
}

fn is_ours(directory: &OwnedFd, name: &str) -> Result<bool, Errno> {
    Ok(read_link(directory, name)?.is_some_and(|target| target == target_of(name)))
}

/// Those of the names that have no link yet. A name that is taken by something of somebody else
/// is refused.
pub(super) fn missing<'a>(
    directory: &OwnedFd,
    path: &Path,
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<&'a str>, Error> {
    const TRIED: &str = "place";
    let mut missing = Vec::new();
    for name in names {
        let system = |errno| Error::system(TRIED, path.join(name), errno);
        if is_ours(directory, name).map_err(system)? {
            continue;
        }
        match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => missing.push(name),
            Err(errno) => return Err(system(errno)),
            Ok(_) => {
                return Err(Error::refused(
                    TRIED,
                    path.join(name),
                    "something that is not leasehold's has that name",
                    "remove it, or give the file another name",
                ));
            }
        }
    }
    Ok(missing)
}

/// Links a name straight to its place.
pub(super) fn link(directory: &OwnedFd, name: &str) -> Result<(), Errno> {
    rustix::fs::symlinkat(target_of(name), directory, name)
}

/// Makes the links that the move will need, under names that nobody looks at.
pub(super) fn stage(directory: &OwnedFd, number: u64, missing: &[&str]) -> Result<(), Errno> {
    for (index, name) in missing.iter().enumerate() {
        fresh_link(directory, &target_of(name), &format!("{STAGED}{index}"))?;
    }
    fresh_link(directory, &directory_name(number), NEXT)
}

fn fresh_link(directory: &OwnedFd, target: &str, name: &str) -> Result<(), Errno> {
    match rustix::fs::symlinkat(target, directory, name) {
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(directory, name, AtFlags::empty())?;
            rustix::fs::symlinkat(target, directory, name)
        }
        other => other,
    }
}

/// Takes staged links away again; what is not there need not go.
pub(super) fn unstage(directory: &OwnedFd, missing: &[&str]) {
    let staged = (0..missing.len()).map(|index| format!("{STAGED}{index}"));
    for name in staged.chain([NEXT.to_owned()]) {
        let _ = rustix::fs::unlinkat(directory, name, AtFlags::empty());
    }
}

/// The move: before it the old set is in place, after it the new one.
pub(super) fn switch(directory: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::renameat(directory, NEXT, directory, DATA)
}

/// Moves the staged links to their names, after the switch: until then they would lead nowhere.
/// Goes on after an error, so that one name costs no other.
pub(super) fn unfold<'a>(directory: &OwnedFd, missing: &[&'a str]) -> Result<(), (&'a str, Errno)> {
    let mut outcome = Ok(());
    for (index, name) in missing.iter().enumerate() {
        let staged = format!("{STAGED}{index}");
        let moved = rustix::fs::renameat_with(directory, &staged, directory, *name, RenameFlags::NOREPLACE);
        let moved = match moved {
            // A file system that cannot promise it.
            Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::renameat(directory, &staged, directory, *name),
            moved => moved,
        };
        if let Err(errno) = moved {
            let _ = rustix::fs::unlinkat(directory, &staged, AtFlags::empty());
            outcome = Err((*name, errno));
        }
    }
    outcome
}

/// Removes the links that lead nowhere now. One that stays is tried again with the next set.
pub(super) fn prune(directory: &OwnedFd, links: &mut BTreeSet<String>, wanted: &BTreeSet<&str>) {
    links.retain(|name| {
        wanted.contains(name.as_str())
            || match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => false,
                Err(_) => true,
            }
    });
}

/// Carries the names to the device, where the volume is on one.
pub(super) fn sync(directory: impl AsFd) -> Result<(), Errno> {
    rustix::fs::fsync(directory)
}
