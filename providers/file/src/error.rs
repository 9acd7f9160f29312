//! What the system answered, and what to do.

use std::path::Path;

use leasehold_core::{Error, Kind, Operation};
use rustix::io::Errno;

/// Where something was tried: what an error begins with.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) provider: &'a str,
    pub(crate) operation: Operation,
    /// `secret "db" (db/password)`
    pub(crate) on: &'a str,
    /// The provider's directory or document.
    pub(crate) root: &'a Path,
}

impl Site<'_> {
    pub(crate) fn error(&self, kind: Kind, detail: impl Into<String>) -> Error {
        Error::new(kind, self.operation, self.provider, detail).on(self.on)
    }

    /// A path below the provider's, or that itself.
    pub(crate) fn at(&self, path: &str) -> String {
        match path {
            "" | "." => self.root.display().to_string(),
            path => self.root.join(plain(path)).display().to_string(),
        }
    }

    /// The provider's own path could not be opened. It may come: a volume that is not mounted yet, a tool
    /// that has not run.
    pub(crate) fn no_root(&self, errno: Errno) -> Error {
        let root = self.root.display();
        match errno {
            Errno::NOENT | Errno::NOTDIR => self.error(
                Kind::Unavailable,
                format!(
                    "there is no {root} (yet): is the volume mounted, and has the tool run that writes it?"
                ),
            ),
            other => self.opened(other, "", "it"),
        }
    }

    /// Something below it could not be opened or read. `what` names it: `file "db"`.
    pub(crate) fn opened(&self, errno: Errno, path: &str, what: &str) -> Error {
        let at = self.at(path);
        match errno {
            Errno::NOENT | Errno::NOTDIR => {
                self.error(Kind::Absent, format!("there is no {at}: check path, and what is in the directory"))
            }
            Errno::ACCESS | Errno::PERM => self.error(
                Kind::Denied,
                format!(
                    "{at} may not be read by uid {}: give it, or a group of ours, the right to read {what} and to \
                     enter its directories",
                    rustix::process::geteuid().as_raw()
                ),
            ),
            Errno::XDEV | Errno::LOOP => self.error(
                Kind::Invalid,
                format!(
                    "{at} is a link that leads out of the provider's path: put the file itself there, or name the \
                     directory that it leads to"
                ),
            ),
            Errno::NAMETOOLONG => self.error(Kind::Invalid, format!("{at} is longer than a path can be")),
            Errno::NOSYS => self.error(
                Kind::Unavailable,
                "this kernel cannot open a path without leaving a directory (openat2, Linux 5.6)",
            ),
            Errno::MFILE | Errno::NFILE => self.error(Kind::Unavailable, "no file descriptor is left"),
            other => {
                let why = std::io::Error::from(other).kind();
                self.error(Kind::Unavailable, format!("{at} could not be read: {why}"))
            }
        }
    }

    pub(crate) fn malformed(&self, at: &str, what: &str) -> Error {
        self.error(
            Kind::Malformed,
            format!(
                "{} {what}: write it whole under another name and rename it",
                self.root.join(at).display()
            ),
        )
    }
}

/// A path as it can be shown: one line, not without end.
pub(crate) fn plain(path: &str) -> String {
    const LONGEST: usize = 200;
    let mut line: String = path.chars().map(|c| if c.is_control() { '?' } else { c }).take(LONGEST).collect();
    if path.chars().nth(LONGEST).is_some() {
        line.push('…');
    }
    line
}
