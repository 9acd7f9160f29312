use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::lock::Holder;

/// Why there is no hand-over. Each of them is exit 73; [`Error::Busy`] only once the caller has
/// waited long enough.
#[derive(Debug)]
pub enum Error {
    /// What is there was made by another user.
    Owner {
        /// Our directory inside the state directory.
        directory: PathBuf,
        /// Who made it.
        theirs: u32,
        /// Who we are.
        ours: u32,
    },
    /// The configuration names a directory that does not live in memory.
    NotTmpfs {
        /// The state directory.
        directory: PathBuf,
    },
    /// Another process owns it.
    Busy {
        /// Our directory inside the state directory.
        directory: PathBuf,
        /// Which.
        holder: Holder,
    },
    /// The system refused something.
    Io {
        /// What was tried, on which path.
        tried: String,
        /// What the system answered.
        source: io::Error,
    },
}

impl Error {
    /// Whether it may pass: the other process may end.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }

    pub(super) fn io(tried: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { tried: tried.into(), source: source.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner { directory, theirs, ours } => write!(
                f,
                "open the hand-over in {}: it was made by uid {theirs} and we are uid {ours}: run both as one \
                 user (runAsUser), or give each its own lifecycle.state_directory",
                directory.display()
            ),
            Self::NotTmpfs { directory } => write!(
                f,
                "open the hand-over in {}: it is not on tmpfs, and secrets are never written to a disk: mount \
                 a memory volume there (emptyDir with medium: Memory), or leave lifecycle.state_directory out",
                directory.display()
            ),
            Self::Busy { directory, holder } => write!(
                f,
                "open the hand-over in {}: it is in use by {holder}: end that process first, or give this one \
                 its own lifecycle.state_directory",
                directory.display()
            ),
            Self::Io { tried, source } => write!(f, "{tried}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
