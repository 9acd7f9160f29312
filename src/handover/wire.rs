//! An entry as bytes: versioned JSON, the only place where a secret is serialised.
//!
//! Values are base64 on their way and pass through wiping buffers both ways. Moments are
//! nanoseconds since boot; the boot's id says which. What a parser says of bad bytes is dropped:
//! it might quote them.

mod form;
mod plain;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Entry;
use crate::clock::Moment;
use form::{Nanos, WireEntry};

/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;

/// The bytes of an entry, written at `now` in the boot `boot`.
pub(super) fn encode(entry: &Entry, boot: &str, now: Moment) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    // Room for the whole of it, so that the buffer does not move and leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096 + 2 * values(entry)));
    let file = File { version: VERSION, boot: boot.to_owned(), written: now.into(), entry: entry.into() };
    serde_json::to_writer(&mut *bytes, &file).map_err(|_| Malformed)?;
    Ok(bytes)
}

/// What stands before the entry of a file.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    version: u32,
    #[serde(default)]
    boot: String,
    written: Option<Nanos>,
}

impl Header {
    /// Of the bytes of a file of any version.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        serde_json::from_slice(bytes).map_err(|_| Malformed)
    }

    /// Whether this binary can read what follows.
    pub(super) fn is_known(&self) -> bool {
        self.version == VERSION
    }

    /// Whether its moments are moments of this boot, as seen `now`.
    pub(super) fn is_of_boot(&self, boot: &str, now: Moment) -> bool {
        // A clock that was set back (another time namespace) is as good as another boot.
        self.boot == boot && self.written.is_some_and(|written| Moment::from(written) <= now)
    }
}

/// The entry of a file whose header is known.
pub(super) fn decode(bytes: &[u8]) -> Result<Entry, Malformed> {
    let file: File = serde_json::from_slice(bytes).map_err(|_| Malformed)?;
    Ok(file.entry.into())
}

/// It is no entry of ours. Says nothing more, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

fn values(entry: &Entry) -> usize {
    match entry {
        Entry::Session { held, .. } => held.session.credential.len(),
        Entry::Kept { bytes, .. } => bytes.len(),
        Entry::Held { held, .. } => {
            held.fields.iter().map(|(name, field)| name.len() + field.bytes.len() + 32).sum()
        }
        Entry::Secret { mints, .. } => mints.len() * 24,
        Entry::Announced { .. } => 0,
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    boot: String,
    written: Nanos,
    entry: WireEntry,
}
