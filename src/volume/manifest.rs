//! What a generation says of itself: `..manifest.json`, without any value.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// Which secrets a set holds, in which version, since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// By the secret's name.
    pub secrets: BTreeMap<String, ManifestSecret>,
}

/// One secret of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestSecret {
    /// The store's version, where it has one.
    pub version: Option<String>,
    /// When the request was sent that brought it. Kept to the second.
    pub issued: SystemTime,
    /// When it ends, only for what cannot be renewed: a renewal would make it untrue.
    pub expires: Option<SystemTime>,
}

#[derive(Serialize, Deserialize)]
struct File {
    generation: u64,
    files: BTreeSet<String>,
    secrets: BTreeMap<String, FileSecret>,
}

#[derive(Serialize, Deserialize)]
struct FileSecret {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    version: Option<String>,
    issued: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    expires: Option<String>,
}

impl Manifest {
    /// The file's text.
    pub(super) fn text(&self, generation: u64, files: BTreeSet<String>) -> Vec<u8> {
        let secrets = self.secrets.iter().map(|(name, secret)| {
            let secret = FileSecret {
                version: secret.version.clone(),
                issued: time(secret.issued),
                expires: secret.expires.map(time),
            };
            (name.clone(), secret)
        });
        let file = File { generation, files, secrets: secrets.collect() };
        let mut text = serde_json::to_vec_pretty(&file).expect("maps with text keys are JSON");
        text.push(b'\n');
        text
    }

    /// What [`Manifest::text`] wrote: the generation's number, its files, its secrets. `None`:
    /// it is none of ours.
    pub(super) fn parse(text: &[u8]) -> Option<(u64, BTreeSet<String>, Self)> {
        let file: File = serde_json::from_slice(text).ok()?;
        let mut secrets = BTreeMap::new();
        for (name, secret) in file.secrets {
            let expires = match secret.expires {
                None => None,
                Some(text) => Some(humantime::parse_rfc3339(&text).ok()?),
            };
            let issued = humantime::parse_rfc3339(&secret.issued).ok()?;
            secrets.insert(name, ManifestSecret { version: secret.version, issued, expires });
        }
        Some((file.generation, file.files, Self { secrets }))
    }
}

/// RFC 3339, within the years it can say.
fn time(at: SystemTime) -> String {
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(at.clamp(SystemTime::UNIX_EPOCH, last)).to_string()
}
