//! What a path leads to, and through which directories.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// What distinguishes what a path leads to from what it led to before. Two that are equal hold
/// the same bytes, as far as the file system tells. A directory stands for all that is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    content: u64,
}

impl Identity {
    /// `None` where it leads nowhere.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self {
            inode: inode(&file),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
            content: if file.is_dir() { Tree::below(path).digest() } else { 0 },
        })
    }

    /// Of a directory: only which one it is, not what is in it.
    pub(super) fn of_inode(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self { inode: inode(&file), size: 0, modified: (0, 0), changed: (0, 0), content: 0 })
    }
}

fn inode(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// What is in a directory, its sub-directories included. What is deeper or more than the bounds is not
/// looked at.
struct Tree {
    directories: Vec<PathBuf>,
    hasher: DefaultHasher,
    left: usize,
}

impl Tree {
    const DEPTH: usize = 8;
    const ENTRIES: usize = 4_096;

    fn below(directory: &Path) -> Self {
        let mut tree = Self { directories: Vec::new(), hasher: DefaultHasher::new(), left: Self::ENTRIES };
        tree.walk(directory, Self::DEPTH);
        tree
    }

    fn walk(&mut self, directory: &Path, depth: usize) {
        self.directories.push(directory.to_owned());
        let Ok(entries) = fs::read_dir(directory) else { return };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).take(self.left).collect();
        self.left -= paths.len();
        paths.sort_unstable();
        for path in paths {
            // A link stands for itself and for what it leads to; only real directories are walked, and
            // so each once.
            let (Ok(entry), target) = (fs::symlink_metadata(&path), fs::metadata(&path)) else { continue };
            path.hash(&mut self.hasher);
            for file in [Some(&entry), target.as_ref().ok()].into_iter().flatten() {
                let times = (file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec());
                (inode(file), file.size(), times).hash(&mut self.hasher);
            }
            if entry.is_dir() && depth > 1 {
                self.walk(&path, depth - 1);
            }
        }
    }

    fn digest(&self) -> u64 {
        self.hasher.finish()
    }
}

/// As many symlinks as the kernel follows.
const LINKS: usize = 40;

/// The directories in which a rename, a write or an unlink changes what `path` leads to: the one
/// of each symlink on the way, and the one it ends in. Where the way breaks off, the last directory
/// that is there. Where it ends in a directory, that one and all that are in it, too.
pub(super) fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut links = 0;
    let mut at = match path.is_absolute() {
        true => PathBuf::from("/"),
        false => PathBuf::from("."),
    };
    let mut rest: Vec<OsString> = names(path).rev().collect();
    while let Some(name) = rest.pop() {
        if name == ".." {
            at.push("..");
            continue;
        }
        let next = at.join(&name);
        let Ok(file) = fs::symlink_metadata(&next) else {
            found.insert(at);
            return found;
        };
        if file.is_symlink() && links < LINKS {
            links += 1;
            found.insert(at.clone());
            let Ok(target) = fs::read_link(&next) else { return found };
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            rest.extend(names(&target).rev());
        } else if rest.is_empty() {
            found.insert(at.clone());
            if file.is_dir() {
                found.extend(Tree::below(&next).directories);
            }
        } else {
            at = next;
        }
    }
    found
}

fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}
