//! What the process found at its start and changed for itself: put back for every program that it
//! starts.

use std::sync::OnceLock;

use rustix::fs::Mode;
use rustix::process::Rlimit;

/// The umask and the limits from before [`super::harden()`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Inherited {
    umask: libc::mode_t,
    core: libc::rlimit,
}

/// Set once, before the first thread; a process that was never hardened changed nothing.
static FOUND: OnceLock<Inherited> = OnceLock::new();

impl Inherited {
    /// Keeps what was found. The first word counts: a second hardening finds what the first one made.
    pub(super) fn keep(umask: Mode, core: Rlimit) {
        let limit = |limit: Option<u64>| limit.unwrap_or(libc::RLIM_INFINITY);
        let core = libc::rlimit { rlim_cur: limit(core.current), rlim_max: limit(core.maximum) };
        FOUND.get_or_init(|| Self { umask: umask.bits(), core });
    }

    /// What a program has to be given back; `None` where nothing was changed.
    pub(super) fn found() -> Option<Self> {
        FOUND.get().copied()
    }

    /// Puts it back, in a new process that is about to become a program. It allocates nothing and takes
    /// no lock.
    pub(super) fn put_back(self) -> std::io::Result<()> {
        // SAFETY: async-signal-safe; it touches no memory of ours.
        unsafe { libc::umask(self.umask) };
        // SAFETY: async-signal-safe; the limit lives for the whole call.
        match unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const self.core) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    }
}
