//! The Kubernetes termination message: why the container ended, in one line, where `kubectl
//! describe pod` shows it.

use std::io::Write as _;

use leasehold_core::Environment;
use rustix::fs::{Mode, OFlags};

/// Where a kubelet looks, unless the container says otherwise.
const DEFAULT: &str = "/dev/termination-log";
/// Names another place.
const VARIABLE: &str = "TERMINATION_MESSAGE_PATH";
/// A kubelet cuts at 4096 bytes.
const LONGEST: usize = 4_000;

/// Where the reason goes.
#[derive(Clone, Debug)]
pub(super) struct Termination {
    path: String,
}

impl Termination {
    pub(super) fn new(environment: &Environment) -> Self {
        Self { path: environment.value(VARIABLE).unwrap_or(DEFAULT).to_owned() }
    }

    /// Writes the line, where there is such a file and it may be written. It is never made: it is
    /// there where a kubelet is.
    pub(super) fn write(&self, line: &str) {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let Ok(fd) = rustix::fs::open(self.path.as_str(), flags, Mode::empty()) else { return };
        let regular = rustix::fs::fstat(&fd)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file());
        // What the file held before was another end's reason.
        if !regular || rustix::fs::ftruncate(&fd, 0).is_err() {
            return;
        }
        let line = line.lines().next().unwrap_or_default();
        let mut end = line.len().min(LONGEST);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        // Nobody can be told that nobody can be told.
        let _ = writeln!(std::fs::File::from(fd), "{}", &line[..end]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &std::path::Path) -> Termination {
        Termination::new(&Environment::new([(VARIABLE.to_owned(), path.display().to_string())]))
    }

    #[test]
    fn the_reason_replaces_what_the_file_held() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "an older and longer reason").unwrap();
        at(&path).write("denied\nand more");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "denied\n");
        at(&path).write(&"ü".repeat(4_000));
        assert!(std::fs::read_to_string(&path).unwrap().len() < 4_096);
    }

    #[test]
    fn no_file_is_made_and_no_link_followed() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        at(&missing).write("denied");
        assert!(!missing.exists());
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        std::fs::write(&target, "mine").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        at(&link).write("denied");
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "mine");
    }
}
