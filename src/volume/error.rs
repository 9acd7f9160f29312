use std::fmt;
use std::path::Path;

use rustix::io::Errno;

use crate::lock::Holder;

/// Why the volume cannot be used, or a set not be published. What was in place before stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    text: String,
}

/// What the caller may want to tell apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Another process holds the directory: it may end, so try again.
    Busy(Box<Holder>),
    /// No room, or a quota: it may pass.
    Full,
    /// The directory, a name in it or an attribute cannot be had: somebody has to change
    /// something.
    Refused,
}

impl Error {
    /// The process's exit code where this ends it.
    pub const EXIT: u8 = 73;

    /// What kind of failure.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    pub(super) fn refused(
        tried: &'static str,
        path: impl AsRef<Path>,
        why: impl fmt::Display,
        remedy: impl fmt::Display,
    ) -> Self {
        Self::new(ErrorKind::Refused, tried, path.as_ref(), &why, &remedy)
    }

    pub(super) fn busy(path: &Path, holder: Holder) -> Self {
        let why = format!("it is in use by {holder}");
        let remedy = "wait for its end, or give this process an output.directory of its own";
        Self::new(ErrorKind::Busy(Box::new(holder)), "use as output directory", path, &why, &remedy)
    }

    fn new(
        kind: ErrorKind,
        tried: &'static str,
        path: &Path,
        why: &dyn fmt::Display,
        remedy: &dyn fmt::Display,
    ) -> Self {
        Self { kind, text: format!("cannot {tried} {path:?}: {why}: {remedy}") }
    }

    /// What a system call's refusal means to a person.
    pub(super) fn system(tried: &'static str, path: impl AsRef<Path>, errno: Errno) -> Self {
        let kind = match errno {
            Errno::NOSPC | Errno::DQUOT => ErrorKind::Full,
            _ => ErrorKind::Refused,
        };
        let (why, remedy) = match errno {
            Errno::NOSPC => (
                "no space is left on its volume".to_owned(),
                "enlarge the volume (sizeLimit of the emptyDir, size= of the tmpfs), which has to hold \
                 the old and the new set at once",
            ),
            Errno::DQUOT => (
                "the quota on its volume is used up".to_owned(),
                "raise the quota, which has to hold the old and the new set at once",
            ),
            Errno::ROFS => {
                ("its volume is mounted read-only".to_owned(), "mount it read-write into this container")
            }
            Errno::ACCESS | Errno::PERM => {
                ("permission is denied".to_owned(), "check who owns it, and whom this process runs as")
            }
            Errno::MFILE | Errno::NFILE => {
                ("too many files are open".to_owned(), "raise the limit of open files")
            }
            other => (format!("the kernel says: {other}"), "see what is wrong with the volume"),
        };
        Self::new(kind, tried, path.as_ref(), &why, &remedy)
    }

    pub(super) fn is_full(&self) -> bool {
        self.kind == ErrorKind::Full
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}
