use std::io;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Makes the process hard to look into, and its files private:
/// - no core dump, whatever the limits were, and no other process of our user may read our memory,
///   or our files through `/proc/PID/root` in a shared PID namespace (`PR_SET_DUMPABLE` 0);
/// - files and directories are ours alone unless said otherwise (umask 077).
///
/// To be called first of all.
pub fn harden() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::process::child;

    #[test]
    fn a_hardened_process_dumps_no_core_and_makes_private_files() {
        child::passes("process::harden::tests::child_that_hardens", &[]);
    }

    #[test]
    #[ignore = "the child of the test above it"]
    fn child_that_hardens() {
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::Dumpable);
        harden().unwrap();
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().rev().take(3).collect::<Vec<_>>(), ["bytes", "0", "0"]);
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("file"), "").unwrap();
        let mode = std::fs::metadata(temp.path().join("file")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }
}
