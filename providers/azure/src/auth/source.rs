use std::path::{Path, PathBuf};
use std::sync::Arc;

use leasehold_core::SecretBytes;
use leasehold_http::why;

use crate::config::Problems;

/// Larger than any secret, token or certificate with its key.
const LARGEST: u64 = 1024 * 1024;

/// Where a credential comes from. A file is read anew each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Inline(Arc<SecretBytes>),
    File(PathBuf),
}

impl Source {
    pub(super) fn inline(key: &str, text: &str, problems: &mut Problems) -> Option<Self> {
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            problems.add(key, "is empty");
            return None;
        }
        Some(Self::Inline(Arc::new(SecretBytes::from_text(text.to_owned()))))
    }

    /// The credential as it is now, without the newline at its end. The error is for a person.
    pub(crate) fn read(&self) -> Result<Arc<SecretBytes>, String> {
        match self {
            Self::Inline(secret) => Ok(Arc::clone(secret)),
            Self::File(path) => read(path).map(Arc::new),
        }
    }
}

/// What a file holds.
pub(super) fn read(path: &Path) -> Result<SecretBytes, String> {
    let shown = path.display();
    let size = std::fs::metadata(path).map_err(|error| format!("{shown} {}", why(&error)))?.len();
    if size > LARGEST {
        return Err(format!("{shown} is larger than 1 MiB: that is no credential"));
    }
    let bytes = std::fs::read(path).map_err(|error| format!("{shown} {}", why(&error)))?;
    let mut text = String::from_utf8(bytes).map_err(|_| format!("{shown} is not text"))?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    if text.is_empty() {
        return Err(format!("{shown} is empty"));
    }
    Ok(SecretBytes::from_text(text))
}
