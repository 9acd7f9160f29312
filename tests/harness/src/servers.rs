//! Where the servers' programs are, as `tests/servers/install` wrote it down.

use std::path::PathBuf;

/// The path of a server's program, by the name that `tests/servers/install` prints.
///
/// # Panics
/// Where it is missing: a real server that is not there fails the test, it is never skipped.
#[track_caller]
pub fn program(name: &str) -> PathBuf {
    let list = cache().join("paths");
    let lines = std::fs::read_to_string(&list).unwrap_or_default();
    let found = lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    match found.map(PathBuf::from).filter(|path| path.exists()) {
        Some(path) => path,
        None => panic!("no {name}: run tests/servers/install first (looked in {})", list.display()),
    }
}

fn cache() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("LEASEHOLD_SERVERS").unwrap_or_else(|| {
        set("XDG_CACHE_HOME")
            .unwrap_or_else(|| set("HOME").expect("HOME is set").join(".cache"))
            .join("leasehold/servers")
    })
}
