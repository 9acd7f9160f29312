//! KV v2: a change is found by its version before any value travels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use leasehold_core::{Error, Fetched, Kind, SecretRef, Wanted};

use crate::api::{Answer, Api, Ask, read};
use crate::endpoints::{Call, SecretState, VersionState};
use crate::error::Site;
use crate::fetch::fields;
use crate::mounts::Mount;
use crate::session::stanza;

/// What may be forgotten without loss: when a version was made (a secret that was deleted and made
/// anew counts from 1 again), and whose metadata we may not read.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    made: BTreeMap<Key, (String, String)>,
    denied: BTreeSet<(Option<String>, String)>,
    said: bool,
}

/// Namespace, path of the data, pinned version.
type Key = (Option<String>, String, Option<String>);

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new log-in may have other policies.
    pub(crate) fn forget_denials(&self) {
        self.lock().denied.clear();
    }
}

/// One secret of a KV v2 mount, by both of its paths.
pub(crate) struct Place {
    pub(crate) data: String,
    pub(crate) metadata: String,
}

impl Place {
    /// `MOUNT/NAME` and `MOUNT/data/NAME` are the same secret.
    pub(crate) fn of(mount: &Mount, path: &str) -> Self {
        let below = mount.below(path);
        let name = below.strip_prefix("data/").unwrap_or(below);
        Self {
            data: format!("{}/data/{name}", mount.path),
            metadata: format!("{}/metadata/{name}", mount.path),
        }
    }
}

impl Memory {
    /// Reads a secret, or finds it unchanged.
    pub(crate) async fn fetch(
        &self,
        api: &Api,
        ask: &Ask<'_>,
        mount: &Mount,
        wanted: &Wanted<'_>,
    ) -> Result<Fetched, Error> {
        let reference = wanted.reference;
        let place = Place::of(mount, &reference.path);
        let namespace = ask.namespace.map(str::to_owned);
        let key: Key = (namespace.clone(), place.data.clone(), reference.version.clone());
        let mut denied = false;
        if let Some(known) = wanted.known_version {
            let (made, closed) = {
                let memory = self.lock();
                let closed = memory.denied.contains(&(namespace.clone(), place.metadata.clone()));
                (memory.made.get(&key).cloned(), closed)
            };
            if let Some((version, created)) = made
                && version == known
                && !closed
            {
                let answer = api.exchange(ask, Call::read(&place.metadata)).await?;
                match answer.status.as_u16() {
                    200..=299 => {
                        let state: SecretState = answer.data(&api.site(ask))?;
                        if is_still(&state, reference, known, &created) {
                            return Ok(Fetched::unchanged(Some(version)));
                        }
                    }
                    403 => denied = true,
                    // Gone, or strange: the data says what that means.
                    400..=428 => {}
                    _ => return Err(answer.refused(&api.site(ask))),
                }
            }
        }
        let mut call = Call::read(&place.data);
        if let Some(version) = &reference.version {
            call = call.with_query(format!("version={}", pinned(version, &api.site(ask))?));
        }
        let answer = api.exchange(ask, call).await?;
        if !answer.status.is_success() {
            return Err(refused(api, ask, &answer, &place, reference).await);
        }
        if denied {
            self.remember_denial(api.provider(), namespace, place.metadata);
        }
        let (fetched, created) = versioned(&answer, reference, &api.site(ask))?;
        if let Some(version) = &fetched.version {
            self.lock().made.insert(key, (version.clone(), created));
        }
        Ok(fetched)
    }

    fn remember_denial(&self, provider: &str, namespace: Option<String>, metadata: String) {
        let mut memory = self.lock();
        if !memory.said {
            memory.said = true;
            tracing::info!(
                target: "leasehold::vault",
                provider,
                "metadata may not be read, so each poll reads the data itself; to poll by version grant {}",
                stanza(&metadata, &["read"])
            );
        }
        memory.denied.insert((namespace, metadata));
    }
}

/// The data of a KV v2 answer, and when its version was made.
pub(crate) fn versioned(
    answer: &Answer,
    reference: &SecretRef,
    site: &Site<'_>,
) -> Result<(Fetched, String), Error> {
    let mut envelope = answer.reply(site)?.data.ok_or_else(|| site.malformed("no data in it"))?;
    let metadata: VersionState = match envelope.remove("metadata") {
        Some(serde_json::Value::Object(metadata)) => read(metadata, site)?,
        _ => return Err(site.malformed("no metadata in it")),
    };
    let data = match envelope.remove("data") {
        Some(serde_json::Value::Object(data)) => data,
        _ => return Err(gone(&metadata, site)),
    };
    let fields = fields(data, reference.key.as_deref(), site)?;
    let version = Some(metadata.version.to_string());
    let fetched = Fetched { fields: Some(fields.into()), version, lease: None, term: None, changes_in: None };
    Ok((fetched, metadata.created_time))
}

/// A pinned version is a number from 1 up: 0 would be the latest.
pub(crate) fn pinned(version: &str, site: &Site<'_>) -> Result<u64, Error> {
    version
        .parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| site.error(Kind::Invalid, "version is no number from 1 up, as KV v2 counts them"))
}

/// By the metadata alone: the version that we hold is the one that is wanted, it is the same that
/// was read, and nothing is about to take it away.
fn is_still(state: &SecretState, reference: &SecretRef, known: &str, created: &str) -> bool {
    let wanted = reference.version.clone().unwrap_or_else(|| state.current_version.to_string());
    wanted == known
        && state.versions.get(&wanted).is_some_and(|version| {
            !version.destroyed && version.deletion_time.is_empty() && version.created_time == created
        })
}

async fn refused(api: &Api, ask: &Ask<'_>, answer: &Answer, place: &Place, reference: &SecretRef) -> Error {
    let site = api.site(ask);
    match answer.status.as_u16() {
        // A deleted version is a 404 that carries its metadata.
        404 => match answer.any_data().and_then(|mut data| data.remove("metadata")) {
            Some(serde_json::Value::Object(metadata)) => match read::<VersionState>(metadata, &site) {
                Ok(metadata) => gone(&metadata, &site),
                Err(error) => error,
            },
            _ => site.error(
                Kind::Absent,
                match &reference.version {
                    None => "there is no secret at that path (404): check the path".to_owned(),
                    Some(version) => format!("there is no such secret (404), or no version {version} of it"),
                },
            ),
        },
        400 => site.error(
            Kind::Unavailable,
            "the kv mount is not ready (400): it may be on its way from version 1 to version 2",
        ),
        _ => api.settle(ask, answer, &stanza(&place.data, &["read"])).await,
    }
}

fn gone(metadata: &VersionState, site: &Site<'_>) -> Error {
    let version = metadata.version;
    if metadata.destroyed {
        site.error(
            Kind::Absent,
            format!("version {version} was destroyed and cannot come back: write a new version"),
        )
    } else {
        site.error(
            Kind::Absent,
            format!("version {version} was deleted: undelete it, or write a new version"),
        )
    }
}
