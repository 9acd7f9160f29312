//! From a [`Program`] to a child.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use leasehold_core::{Failed, Program};

use crate::process::inherited::Inherited;
use crate::process::reaper::{Children, Running};

/// The first descriptor after standard error.
const FIRST: libc::c_uint = 3;

/// The highest signal of Linux.
const SIGNALS: libc::c_int = 64;

/// Starts it, with pipes at its three descriptors.
pub(super) fn start(children: &Arc<Children>, program: &Program) -> Result<(Child, Running), Failed> {
    let Some((name, arguments)) = program.command.split_first() else { return Err(Failed::NotFound) };
    #[allow(clippy::disallowed_methods, reason = "this is where programs are started")]
    let mut command = Command::new(name);
    command
        .args(arguments)
        .env_clear()
        .envs(program.environment.iter().map(|(name, value)| (name, OsStr::from_bytes(value.expose()))))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(directory) = &program.directory {
        command.current_dir(directory);
    }
    let found = Inherited::found();
    let parent = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: between fork and exec only async-signal-safe calls are made, nothing is allocated, no
    // lock is taken, and what is captured is plain data.
    unsafe { command.pre_exec(move || become_a_program(found, parent)) };
    children.start(&mut command).map_err(|error| {
        if program.directory.as_deref().is_some_and(|directory| !directory.is_dir()) {
            return Failed::NoDirectory;
        }
        why(&error, names_a_file(program))
    })
}

/// Runs in the new process, just before the program does.
fn become_a_program(found: Option<Inherited>, parent: libc::pid_t) -> io::Result<()> {
    put_back(found)?;
    close_on_exec()?;
    end_with(parent)
}

/// Umask, limits and signals, as we found them.
pub(super) fn put_back(found: Option<Inherited>) -> io::Result<()> {
    if let Some(found) = found {
        found.put_back()?;
    }
    // The kernel's `struct sigaction`, with room to spare: all zeros are the default action, no flags, an
    // empty mask.
    let default = [0_u64; 8];
    for signal in 1..=SIGNALS {
        // SAFETY: async-signal-safe; the kernel reads a `struct sigaction` of zeros, and the size of its
        // mask is that of 64 signals. By the bare call, since the C library keeps two signals to itself, which
        // somebody before us may have ignored. SIGKILL and SIGSTOP are refused, and are at their default.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        };
    }
    Ok(())
}

/// The kernel kills it when we die.
pub(super) fn end_with(parent: libc::pid_t) -> io::Result<()> {
    // SAFETY: async-signal-safe; it takes a number.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: async-signal-safe, and never fails.
    match unsafe { libc::getppid() } {
        now if now == parent => Ok(()),
        // We died before the kernel was asked to tell.
        _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}

/// Ours close by themselves; this is for those that we inherited.
fn close_on_exec() -> io::Result<()> {
    // SAFETY: it takes numbers, and changes nothing but flags of descriptors.
    let closed =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if closed == 0 {
        return Ok(());
    }
    // A kernel before 5.11, or a filter that does not know the call.
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: async-signal-safe; the limit lives for the whole call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let end = libc::c_int::try_from(limit.rlim_cur).unwrap_or(libc::c_int::MAX);
    for descriptor in FIRST as libc::c_int..end {
        // SAFETY: async-signal-safe; one that is not open is refused.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// Why it did not start, for a person. `is_there`: its file is, by its path.
pub(super) fn why(error: &io::Error, is_there: bool) -> Failed {
    match (error.raw_os_error(), error.kind()) {
        (Some(libc::ENOENT), _) if is_there => Failed::NoInterpreter,
        (Some(libc::ENOENT | libc::ENOTDIR), _) => Failed::NotFound,
        (Some(libc::EACCES | libc::EPERM | libc::ENOEXEC | libc::EISDIR), _) => Failed::NotExecutable,
        (Some(libc::EAGAIN), _) => Failed::NotStarted("the limit on processes is reached"),
        (Some(libc::ENOMEM), _) => Failed::NotStarted("there is no memory left"),
        (Some(libc::EMFILE | libc::ENFILE), _) => Failed::NotStarted("no file descriptor is left"),
        (Some(libc::E2BIG), _) => Failed::NotStarted("its command and environment are too long"),
        (Some(libc::ETXTBSY), _) => Failed::NotStarted("its file is being written"),
        (None, io::ErrorKind::InvalidInput) => {
            Failed::NotStarted("a NUL byte stands in its command or environment")
        }
        _ => Failed::NotStarted("the system refused"),
    }
}

/// Whether the program is there, so that what is missing is what it names in its first line.
fn names_a_file(program: &Program) -> bool {
    let Some(name) = program.command.first().filter(|name| name.contains('/')) else { return false };
    match &program.directory {
        Some(directory) => directory.join(name).is_file(),
        None => Path::new(name).is_file(),
    }
}
