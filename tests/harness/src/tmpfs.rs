//! Folders on tmpfs, as a kubelet would give them.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use tempfile::TempDir;

use crate::process;

/// A fresh folder, removed when dropped or when the test process ends.
#[derive(Debug)]
pub struct Folder(TempDir);

/// A fresh folder of ours alone (0700) on the tmpfs at `/dev/shm`.
#[track_caller]
pub fn tmpfs() -> Folder {
    Folder::inside("/dev/shm")
}

impl Folder {
    /// A fresh folder on disk: for what must be refused because it is no tmpfs, and for what is large.
    #[track_caller]
    pub fn on_disk() -> Self {
        Self::inside(std::env::temp_dir())
    }

    fn inside(parent: impl AsRef<Path>) -> Self {
        let parent = parent.as_ref();
        match tempfile::Builder::new().prefix("leasehold-").tempdir_in(parent) {
            Ok(folder) => {
                process::remove_at_end(folder.path());
                Self(folder)
            }
            Err(error) => panic!("making a folder in {}: {error}", parent.display()),
        }
    }
}

impl Deref for Folder {
    type Target = Path;
    fn deref(&self) -> &Path {
        self.0.path()
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        self
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        process::removed(self.0.path());
    }
}

/// Whether we may act as other uids and mount. Says so where not; in CI that is a failure.
pub fn root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        assert!(std::env::var_os("CI").is_none(), "{what} needs root, and in CI nothing is skipped");
        say(&format!("skipped, needs root: {what}"));
    }
    root
}

#[allow(clippy::print_stderr, reason = "a skipped test must say so")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// A tmpfs of its own, mounted as a kubelet mounts a memory emptyDir for `fsGroup`: root:GROUP, setgid,
/// sticky, writable by all (3777). Unmounted when dropped. Needs root.
#[derive(Debug)]
pub struct Volume {
    mounted: PathBuf,
    // Only its removal matters, after the unmount.
    _parent: Folder,
}

impl Volume {
    /// Mounts one whose group is `gid`.
    #[track_caller]
    pub fn mount(gid: u32) -> Self {
        Self::with_options(&format!("mode=3777,uid=0,gid={gid}"))
    }

    /// Mounts one with these mount options, such as `mode=0700,size=1m`.
    #[track_caller]
    pub fn with_options(options: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let parent = tmpfs();
        let mounted = parent.join("volume");
        std::fs::set_permissions(&parent, PermissionsExt::from_mode(0o755)).expect("a folder of ours");
        std::fs::create_dir(&mounted).expect("a fresh folder of ours");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&mounted));
        process::unmount_at_end(&mounted);
        Self { mounted, _parent: parent }
    }
}

impl Deref for Volume {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.mounted
    }
}

impl AsRef<Path> for Volume {
    fn as_ref(&self) -> &Path {
        self
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: a process of the test may still stand in it.
        run(Command::new("umount").arg("-l").arg(&self.mounted));
        process::unmounted(&self.mounted);
    }
}

/// While held, `fs.protected_symlinks` is 1, as in every systemd distribution. Put back after the last one.
#[must_use = "the setting is put back when it is dropped"]
#[derive(Debug)]
pub struct ProtectedSymlinks(());

static PROTECTED: Mutex<(usize, String)> = Mutex::new((0, String::new()));
const SETTING: &str = "/proc/sys/fs/protected_symlinks";

impl ProtectedSymlinks {
    /// Sets it. Needs root.
    #[track_caller]
    pub fn on() -> Self {
        let mut state = PROTECTED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if state.0 == 0 {
            state.1 = std::fs::read_to_string(SETTING).expect("Linux has it").trim().to_owned();
            process::restore_at_end(Path::new(SETTING), &state.1);
            std::fs::write(SETTING, "1").expect("root may set it");
        }
        state.0 += 1;
        Self(())
    }
}

impl Drop for ProtectedSymlinks {
    fn drop(&mut self) {
        let mut state = PROTECTED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        state.0 -= 1;
        if state.0 == 0 {
            std::fs::write(SETTING, &state.1).expect("root may set it");
        }
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().expect("util-linux is there");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_volume_is_as_a_kubelet_makes_it_and_goes_away() {
        if !root("mounting a tmpfs") {
            return;
        }
        let volume = Volume::mount(12_345);
        let path = volume.to_owned();
        let made = std::fs::metadata(&path).unwrap();
        assert_eq!((made.mode() & 0o7777, made.uid(), made.gid()), (0o3777, 0, 12_345));
        assert!(std::fs::read_to_string("/proc/mounts").unwrap().contains(path.to_str().unwrap()));
        drop(volume);
        assert!(!path.exists());
        assert!(!std::fs::read_to_string("/proc/mounts").unwrap().contains(path.to_str().unwrap()));
    }

    #[test]
    fn protected_symlinks_is_put_back_after_the_last_guard() {
        if !root("setting fs.protected_symlinks") {
            return;
        }
        let read = || std::fs::read_to_string(SETTING).unwrap().trim().to_owned();
        let before = read();
        let (one, other) = (ProtectedSymlinks::on(), ProtectedSymlinks::on());
        drop(one);
        assert_eq!(read(), "1");
        drop(other);
        assert_eq!(read(), before);
    }
}
