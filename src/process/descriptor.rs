//! Waiting for a descriptor of our own.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Lets the runtime wait for a descriptor that we own.
pub fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, always answers with the same descriptor, and is closed only
    // when it is dropped, which is when the `AsyncFd` that takes it over is dropped.
    unsafe { AsyncFd::register(fd) }.map_err(Into::into)
}
