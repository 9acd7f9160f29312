//! The environment: read once, then its secrets are gone from it.

use std::ffi::OsString;
use std::ffi::{CStr, c_char};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::ptr;
use std::sync::OnceLock;

use leasehold_core::Environment;

unsafe extern "C" {
    /// POSIX: the variables of this process, `NAME=value`, up to a null pointer.
    static mut environ: *mut *mut c_char;
}

/// A copy of the environment, to be taken before [`scrub_environment`]. What is no UTF-8 is left
/// out.
pub fn read_environment() -> Environment {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    Environment::new(std::env::vars_os().filter_map(text))
}

/// Overwrites the secrets in our environment where they stand, so that `/proc/self/environ` no
/// longer shows them, and takes these variables away, so that no child inherits them. They are
/// those that [`is_secret_name`] knows, those in `names` (what the configuration refers to), and
/// those whose value is an address with a password in it. Says which, for the log.
///
/// To be called before any thread is started: it refuses where there is a second one.
pub fn scrub_environment(names: &[&str]) -> io::Result<Vec<String>> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("the environment can be overwritten only while there is one thread"));
    }
    // SAFETY: there is one thread, this one, and it is in here: nobody else reads or changes the
    // environment meanwhile.
    Ok(unsafe { scrub(names) })
}

/// What [`switch_backtraces_off`] took away: it is no secret, and the command of `exec` may want it.
static BACKTRACES: OnceLock<Vec<(OsString, OsString)>> = OnceLock::new();

/// Our part of the environment of the command that `exec` runs: what is left after [`scrub_environment`],
/// less what is said to us alone (`LEASEHOLD_…`, and what a service manager tells its own child).
pub fn inherited_by_the_command() -> Vec<(OsString, OsString)> {
    // Where the environment could not be overwritten, secrets are in it still.
    let secret = |name: &OsString, value: &OsString| {
        is_secret_name(&name.to_string_lossy()) || holds_password(value.as_bytes())
    };
    std::env::vars_os()
        .filter(|(name, value)| !is_ours(&name.to_string_lossy()) && !secret(name, value))
        .chain(BACKTRACES.get().into_iter().flatten().cloned())
        .collect()
}

/// Whether a variable says something to us alone: `LEASEHOLD_…`, and what a service manager tells its own
/// child.
pub fn is_ours(name: &str) -> bool {
    ["LEASEHOLD_", "WATCHDOG_", "LISTEN_"].iter().any(|start| name.starts_with(start))
        || name == crate::systemd::VARIABLE
}

/// Takes away what switches backtraces on, whoever set it. A library that makes one with each error takes
/// the process from 6 to 39 MB; and the released binary, which has no unwinding tables, would abort.
///
/// To be called first of all: it does nothing where there is a second thread already.
pub fn switch_backtraces_off() {
    let alone = std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1);
    if alone {
        let names = ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE"];
        let set = names.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?)));
        BACKTRACES.get_or_init(|| set.collect());
        for name in names {
            #[allow(clippy::disallowed_methods, reason = "nothing else runs yet")]
            // SAFETY: there is one thread, this one, and it is in here.
            unsafe {
                std::env::remove_var(name)
            };
        }
    }
}

/// Whether a variable of this name is taken for a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    // The path that Google's libraries look for, and no credential by itself.
    if name == "GOOGLE_APPLICATION_CREDENTIALS" {
        return false;
    }
    // Half of a pair of keys is worth nothing: AWS's goes with its other half.
    matches!(name.as_str(), "TOKEN" | "IDENTITY_HEADER" | "AWS_ACCESS_KEY_ID")
        || ["_TOKEN", "_API_KEY", "_APIKEY", "_PRIVATE_KEY", "_PASS", "_PWD", "_CREDENTIALS"]
            .iter()
            .any(|end| name.ends_with(end))
        // `…_SECRET_FILE` and its like name a path, but hiding a path costs nothing.
        || ["SECRET", "PASSWORD", "PASSWD", "PASSPHRASE"].iter().any(|part| name.contains(part))
}

/// Whether it looks like `scheme://user:password@host`.
fn holds_password(value: &[u8]) -> bool {
    let Some(start) = value.windows(3).position(|window| window == b"://") else { return false };
    let authority = value[start + 3..].split(|byte| b"/?#".contains(byte)).next().unwrap_or_default();
    let user = authority.iter().rposition(|byte| *byte == b'@').map(|at| &authority[..at]);
    user.and_then(|user| user.iter().position(|byte| *byte == b':').map(|colon| colon + 1 < user.len()))
        .unwrap_or(false)
}

/// # Safety
/// No other thread may read or change the environment meanwhile.
unsafe fn scrub(names: &[&str]) -> Vec<String> {
    let mut scrubbed = Vec::new();
    // SAFETY: `environ` is null or points to pointers to C strings, up to a null pointer (POSIX),
    // and by this function's condition nobody changes it.
    let mut next = unsafe { environ };
    while !next.is_null() {
        // SAFETY: as above; the loop ends at the null pointer and does not go beyond it.
        let variable = unsafe { *next };
        if variable.is_null() {
            break;
        }
        // SAFETY: a C string, as above. The borrow ends before anything is written to it.
        let bytes = unsafe { CStr::from_ptr(variable) }.to_bytes();
        if let Some(equals) = bytes.iter().position(|byte| *byte == b'=') {
            let (name, value) =
                (String::from_utf8_lossy(&bytes[..equals]).into_owned(), &bytes[equals + 1..]);
            let length = value.len();
            let secret = is_secret_name(&name) || names.contains(&name.as_str()) || holds_password(value);
            if secret && length > 0 {
                for offset in equals + 1..=equals + length {
                    // SAFETY: within the string; it lies in our own writable memory (the block
                    // that the kernel put on the stack, or the heap). Volatile, so that nothing
                    // is left out as never read again.
                    unsafe { ptr::write_volatile(variable.add(offset), 0) };
                }
                scrubbed.push(name);
            }
        }
        // SAFETY: not at the null pointer, so there is a next one.
        next = unsafe { next.add(1) };
    }
    for name in &scrubbed {
        #[allow(clippy::disallowed_methods, reason = "nothing else runs yet, by this function's condition")]
        // SAFETY: by this function's condition. The list is no longer walked.
        unsafe {
            std::env::remove_var(name)
        };
    }
    scrubbed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::child;

    #[test]
    fn names_that_speak_of_secrets_are_known() {
        for name in [
            "VAULT_TOKEN",
            "GITHUB_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_ACCESS_KEY_ID",
            "MYSQL_PWD",
            "DB_PASS",
            "SERVICE_CREDENTIALS",
            "AZURE_CLIENT_SECRET",
            "PGPASSWORD",
            "db_password_2",
            "TOKEN",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "VAULT_ADDR",
            "PATH",
            "PWD",
            "OLDPWD",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_REGION",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "TOKENIZER",
            "HOME",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn an_address_with_a_password_is_known() {
        assert!(holds_password(b"http://user:pa@ss@proxy:3128/x"));
        for harmless in
            [&b"http://proxy:3128/a:b@c"[..], b"http://user@proxy", b"http://user:@proxy", b"a:b@c"]
        {
            assert!(!holds_password(harmless), "{}", String::from_utf8_lossy(harmless));
        }
    }

    #[test]
    fn secrets_are_gone_from_proc_and_from_the_environment() {
        child::passes(
            "process::environment::tests::child_that_scrubs",
            &[
                ("VAULT_TOKEN", "canary-one"),
                ("HTTPS_PROXY", "http://user:canary-two@proxy:1"),
                ("REFERRED", "canary-three"),
                ("EMPTY_TOKEN", ""),
                ("PLAIN", "stays"),
            ],
        );
    }

    #[test]
    #[ignore = "the child of the test above it"]
    fn child_that_scrubs() {
        let before = read_environment();
        assert!(std::fs::read("/proc/self/environ").unwrap().windows(6).any(|window| window == b"canary"));
        // SAFETY: of the two threads of the test's process, the other waits for this one.
        let mut scrubbed = unsafe { scrub(&["REFERRED"]) };
        scrubbed.sort();
        assert_eq!(scrubbed, ["HTTPS_PROXY", "REFERRED", "VAULT_TOKEN"]);
        let left = std::fs::read("/proc/self/environ").unwrap();
        assert!(!left.windows(6).any(|window| window == b"canary"));
        assert!(left.windows(11).any(|window| window == b"PLAIN=stays"));
        assert_eq!(std::env::var_os("VAULT_TOKEN"), None);
        assert_eq!(std::env::var("PLAIN").unwrap(), "stays");
        assert_eq!(before.value("VAULT_TOKEN"), Some("canary-one"));
    }

    #[test]
    fn it_refuses_to_while_there_are_other_threads() {
        // The threads of the test's process are enough.
        assert!(scrub_environment(&[]).is_err());
    }
}
