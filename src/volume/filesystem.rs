//! What a directory stands on: memory or disk, and whether the memory may be swapped out.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::io::Errno;

use super::Error;
use crate::config::model::RequireTmpfs;

const TMPFS: u32 = 0x0102_1994;
const RAMFS: u32 = 0x8584_58f6;

/// What a directory stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Footing {
    /// Memory that never reaches a disk.
    Memory,
    /// Memory that the kernel may write to a swap device.
    Swappable,
    /// Something that lasts.
    Disk {
        /// The kernel's number for the kind of file system.
        kind: u32,
    },
}

impl Footing {
    /// Looks.
    pub(super) fn of(directory: impl AsFd) -> Result<Self, Errno> {
        let kind = rustix::fs::fstatfs(&directory)?.f_type as u32;
        Ok(match kind {
            RAMFS => Self::Memory,
            TMPFS => {
                let device = rustix::fs::fstat(&directory)?.st_dev;
                if noswap(&read("/proc/self/mountinfo"), device) || !any_swap(&read("/proc/swaps")) {
                    Self::Memory
                } else {
                    Self::Swappable
                }
            }
            kind => Self::Disk { kind },
        })
    }

    /// Refuses what the configuration does not want.
    pub(super) fn check(self, require: RequireTmpfs, path: &Path) -> Result<(), Error> {
        const TRIED: &str = "use as output directory";
        match (self, require) {
            (_, RequireTmpfs::No) | (Self::Memory, _) | (Self::Swappable, RequireTmpfs::Yes) => Ok(()),
            (Self::Swappable, RequireTmpfs::Strict) => Err(Error::refused(
                TRIED,
                path,
                "it is a tmpfs that may be swapped to disk, and output.require_tmpfs is strict",
                "mount it with the option noswap, or turn swap off on this machine",
            )),
            (Self::Disk { kind }, RequireTmpfs::Yes | RequireTmpfs::Strict) => Err(Error::refused(
                TRIED,
                path,
                format!("it is on {}, which keeps secrets when the machine is off", name(kind)),
                "mount a tmpfs (an emptyDir with medium: Memory) and name a directory inside it, or say \
                 output.require_tmpfs: false",
            )),
        }
    }

    /// What somebody should know of it, once.
    pub(super) fn warning(self, path: &Path) -> Option<String> {
        match self {
            Self::Memory => None,
            Self::Swappable => Some(format!(
                "the tmpfs of {path:?} may be swapped to disk: mount it with the option noswap, or say \
                 output.require_tmpfs: strict to refuse it"
            )),
            Self::Disk { kind } => Some(format!(
                "{path:?} is on {}: secrets stay there when the machine is off (output.require_tmpfs is false)",
                name(kind)
            )),
        }
    }

    /// Whether what is written has to be carried to a device to last.
    pub(super) fn lasts(self) -> bool {
        matches!(self, Self::Disk { .. })
    }
}

fn name(kind: u32) -> String {
    match kind {
        0xef53 => "ext4".to_owned(),
        0x5846_5342 => "xfs".to_owned(),
        0x9123_683e => "btrfs".to_owned(),
        0x794c_7630 => "overlayfs".to_owned(),
        0x6969 => "nfs".to_owned(),
        other => format!("a file system of type {other:#x}"),
    }
}

/// Empty where it cannot be read: then nothing is known to be safe.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|_| String::new())
}

/// Whether the mounted file system of this device has the option `noswap`.
fn noswap(mountinfo: &str, device: u64) -> bool {
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    mountinfo
        .lines()
        .filter(|line| line.split(' ').nth(2) == Some(&device))
        .filter_map(|line| line.rsplit(' ').next())
        .any(|options| options.split(',').any(|option| option == "noswap"))
}

/// Whether there is a swap device: any line after the heading. Without the heading, we do not
/// know.
fn any_swap(swaps: &str) -> bool {
    swaps.lines().count() != 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noswap_is_read_from_the_mount_of_the_same_device() {
        let mountinfo = "24 1 0:22 / /run rw - tmpfs tmpfs rw,size=10k\n\
                         25 1 0:23 / /a rw,nosuid shared:3 - tmpfs tmpfs rw,size=10k,noswap\n";
        assert!(noswap(mountinfo, rustix::fs::makedev(0, 23)));
        assert!(!noswap(mountinfo, rustix::fs::makedev(0, 22)));
        assert!(!noswap(mountinfo, rustix::fs::makedev(0, 2)));
        assert!(!noswap("", 0));
    }

    #[test]
    fn a_swap_device_is_a_line_after_the_heading() {
        let heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert!(!any_swap(heading));
        assert!(any_swap(&format!("{heading}/dev/sda2   partition\t8388604\t0\t-2\n")));
        assert!(any_swap(""), "unreadable: swap cannot be ruled out");
    }

    #[test]
    fn strict_refuses_swap_and_everything_but_false_refuses_a_disk() {
        let path = Path::new("/out");
        let text = |footing: Footing, require| footing.check(require, path).unwrap_err().to_string();
        for require in [RequireTmpfs::Yes, RequireTmpfs::Strict, RequireTmpfs::No] {
            Footing::Memory.check(require, path).unwrap();
        }
        Footing::Swappable.check(RequireTmpfs::Yes, path).unwrap();
        insta::assert_snapshot!(text(Footing::Swappable, RequireTmpfs::Strict), @r#"cannot use as output directory "/out": it is a tmpfs that may be swapped to disk, and output.require_tmpfs is strict: mount it with the option noswap, or turn swap off on this machine"#);
        insta::assert_snapshot!(text(Footing::Disk { kind: 0xef53 }, RequireTmpfs::Yes), @r#"cannot use as output directory "/out": it is on ext4, which keeps secrets when the machine is off: mount a tmpfs (an emptyDir with medium: Memory) and name a directory inside it, or say output.require_tmpfs: false"#);
        Footing::Disk { kind: 0xef53 }.check(RequireTmpfs::No, path).unwrap();
    }
}
