//! Rotation under a running application: make before break, and what belongs together stays together.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

mod certificates;
mod timing;

/// Some files of one generation, as a careful application reads them: through one handle of `..data`.
fn read_set<const N: usize>(live: &Path, names: [&str; N]) -> Result<[String; N], String> {
    let directory = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let handle = rustix::fs::open(live.join("..data"), directory, Mode::empty())
        .map_err(|errno| format!("..data: {errno}"))?;
    let mut read = [const { String::new() }; N];
    for (name, content) in names.into_iter().zip(&mut read) {
        *content = read_at(&handle, name).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(read)
}

fn read_at(directory: &OwnedFd, name: &str) -> std::io::Result<String> {
    let file = rustix::fs::openat(directory.as_fd(), name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut content = String::new();
    std::fs::File::from(file).read_to_string(&mut content)?;
    Ok(content)
}
