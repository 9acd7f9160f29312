//! A unix socket in the file system: made with the right mode, in place of one whose owner is
//! dead, never in place of one that lives, and removed at the end.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use crate::config::model::Uid;
use crate::http_server::Listener;

/// Who has to be able to connect. The mode of the file only keeps out; whoever gets through to
/// the admin socket is still asked for the uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// We, root and our group.
    Own,
    /// Any uid.
    Everyone,
}

impl Audience {
    pub(super) fn of(uids: &[Uid]) -> Self {
        if uids.iter().all(|uid| *uid == Uid::Own) { Self::Own } else { Self::Everyone }
    }

    fn socket_mode(self) -> u32 {
        match self {
            Self::Own => 0o660,
            Self::Everyone => 0o666,
        }
    }

    fn directory_mode(self) -> u32 {
        match self {
            Self::Own => 0o700,
            Self::Everyone => 0o711,
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Socket {
    listener: Listener,
    path: PathBuf,
    /// Device and inode of the file that we made.
    file: (u64, u64),
}

impl Socket {
    /// As [`Socket::bind`], and makes the directory where it is missing (its parent is not made).
    pub(super) fn bind_in_own_directory(path: &Path, audience: Audience) -> Result<Self, String> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            match DirBuilder::new().mode(0o700).create(directory) {
                // The umask may have taken bits away.
                Ok(()) => fs::set_permissions(directory, Permissions::from_mode(audience.directory_mode()))
                    .map_err(|error| words(&error))?,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(format!("cannot make {}: {}", directory.display(), words(&error)));
                }
            }
        }
        Self::bind(path, audience)
    }

    /// Listens at `path`. Errors are in words, without the path.
    pub(super) fn bind(path: &Path, audience: Audience) -> Result<Self, String> {
        let listener = match StdListener::bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                clear(path)?;
                StdListener::bind(path)
            }
            other => other,
        };
        let listener = listener.map_err(|error| words(&error))?;
        Self::finish(listener, path, audience).map_err(|error| words(&error))
    }

    fn finish(listener: StdListener, path: &Path, audience: Audience) -> io::Result<Self> {
        // Until here the umask decides; it never lets more in than this.
        fs::set_permissions(path, Permissions::from_mode(audience.socket_mode()))?;
        listener.set_nonblocking(true)?;
        let listener = Listener::Unix(UnixListener::from_std(listener)?);
        let file = identity(path)?;
        Ok(Self { listener, path: path.to_owned(), file })
    }

    #[cfg(test)]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn listener(&self) -> &Listener {
        &self.listener
    }
}

impl Drop for Socket {
    /// Removes the file, unless somebody put another in its place.
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

/// Removes what a dead predecessor left.
fn clear(path: &Path) -> Result<(), String> {
    let file = fs::symlink_metadata(path).map_err(|error| words(&error))?;
    if !file.file_type().is_socket() {
        return Err("something that is no socket stands there; remove it".to_owned());
    }
    match StdStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| words(&error))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        _ => Err("another process listens on it".to_owned()),
    }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::InvalidInput => {
            "the path is longer than the 107 bytes that a unix socket may have".to_owned()
        }
        kind => kind.to_string(),
    }
}
