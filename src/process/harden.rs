use std::io;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

use super::inherited::Inherited;

/// Makes the process hard to look into, and its files private:
/// - no core dump, and no other process of our user may read our memory,
///   or our files through `/proc/PID/root` in a shared PID namespace (`PR_SET_DUMPABLE` 0);
/// - files and directories are ours alone unless said otherwise (umask 077).
///
/// What it changes is kept, and put back for every program that is started. So the limit on core dumps
/// is lowered, and what it may be raised to is not: without privilege that could not be put back.
///
/// To be called first of all.
pub fn harden() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let core = rustix::process::getrlimit(Resource::Core);
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: core.maximum })?;
    let umask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    Inherited::keep(umask, core);
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
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("file"), "").unwrap();
        let mode = std::fs::metadata(temp.path().join("file")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }
}
