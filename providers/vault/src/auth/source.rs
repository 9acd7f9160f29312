use std::path::PathBuf;
use std::sync::Arc;

use leasehold_core::SecretBytes;

use crate::config::Problems;
use leasehold_http::why;

/// Larger than any token, password or secret id.
const LARGEST: u64 = 1024 * 1024;

/// Where a credential comes from. A file is read anew each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Inline(Arc<SecretBytes>),
    File(PathBuf),
}

impl Source {
    /// One of `KEY` and `KEY_file`. Both is a problem; none is for the caller to judge.
    pub(crate) fn parse(
        key: &str,
        inline: Option<String>,
        file: Option<PathBuf>,
        problems: &mut Problems,
    ) -> Option<Self> {
        match (inline, file) {
            (Some(_), Some(_)) => {
                problems.add(key, format!("stands beside {key}_file: keep one of the two"));
                None
            }
            (Some(text), None) => {
                let text = trimmed(text);
                if text.is_empty() {
                    problems.add(key, "is empty");
                    return None;
                }
                Some(Self::Inline(Arc::new(SecretBytes::from_text(text))))
            }
            (None, Some(path)) => problems.file(&format!("{key}_file"), path).map(Self::File),
            (None, None) => None,
        }
    }

    /// The credential as it is now, without the newline that editors and `echo` leave at its end.
    /// The error is for a person: which file, and what is wrong with it.
    pub(crate) fn read(&self) -> Result<Arc<SecretBytes>, String> {
        match self {
            Self::Inline(secret) => Ok(Arc::clone(secret)),
            Self::File(path) => read(path).map(Arc::new),
        }
    }

    /// Tells two sources apart without giving the credential away.
    pub(crate) fn identity(&self) -> String {
        match self {
            Self::Inline(secret) => format!("{:016x}", fingerprint(secret.expose())),
            Self::File(path) => path.display().to_string(),
        }
    }
}

fn read(path: &std::path::Path) -> Result<SecretBytes, String> {
    let shown = path.display();
    let size = std::fs::metadata(path).map_err(|error| format!("{shown} {}", why(&error)))?.len();
    if size > LARGEST {
        return Err(format!("{shown} is larger than 1 MiB: that is no credential"));
    }
    let bytes = std::fs::read(path).map_err(|error| format!("{shown} {}", why(&error)))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{shown} is not text"))?;
    let text = trimmed(text);
    if text.is_empty() {
        return Err(format!("{shown} is empty"));
    }
    Ok(SecretBytes::from_text(text))
}

fn trimmed(mut text: String) -> String {
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    text
}

/// FNV-1a. For identifiers of high entropy (a role id): equal or not, and no way back.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// What may stand in a header: visible ASCII, no space. Everything that Vault calls a token is.
pub(crate) fn is_header_safe(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
