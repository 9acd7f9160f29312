//! What kind of engine a path lies in. Asked once per mount, remembered, and forgotten when an
//! answer contradicts it; a store that will not say costs only convenience.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use leasehold_core::Error;

use crate::api::{Api, Ask};
use crate::endpoints::{MountState, mount_of};
use crate::session::stanza;

/// What is known of the mount of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Its path, without slashes around it. Where the engine is unknown, a guess.
    pub(crate) path: String,
    pub(crate) engine: Engine,
}

/// The engines that need to be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Kv1,
    Kv2,
    Pki,
    Other,
    /// The store would not say.
    Unknown,
}

/// The mounts met so far.
#[derive(Default)]
pub(crate) struct Mounts(Mutex<Known>);

#[derive(Default)]
struct Known {
    mounts: Vec<(Option<String>, Mount)>,
    /// Paths for which the store would not say, though it served them.
    silent: BTreeSet<(Option<String>, String)>,
    /// Paths whose answer may contradict what is known of their mount: asked anew. What is known
    /// stays for the others: one secret that is missing makes no mount unknown.
    doubted: BTreeSet<(Option<String>, String)>,
}

impl Mounts {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mount of a path, if it was met before.
    pub(crate) fn known(&self, namespace: Option<&str>, path: &str) -> Option<Mount> {
        let known = self.lock();
        let this = (namespace.map(str::to_owned), path.to_owned());
        if known.doubted.contains(&this) {
            return None;
        }
        let met = known.mounts.iter().find(|(of, mount)| of.as_deref() == namespace && mount.holds(path));
        if let Some((_, mount)) = met {
            return Some(mount.clone());
        }
        known.silent.contains(&this).then(|| Mount::guess(path))
    }

    /// The mount of a path; asked, if need be.
    pub(crate) async fn find(&self, api: &Api, ask: &Ask<'_>, path: &str) -> Result<Mount, Error> {
        if let Some(mount) = self.known(ask.namespace, path) {
            return Ok(mount);
        }
        let answer = api.exchange(ask, mount_of(path)).await?;
        match answer.status.as_u16() {
            200..=299 => {
                let state: MountState = answer.data(&api.site(ask))?;
                let mount = Mount::from(state);
                if !mount.holds(path) {
                    return Ok(Mount::guess(path));
                }
                self.settled(ask.namespace, path, mount.clone());
                Ok(mount)
            }
            // Denied (or the token is dead: the request that follows will tell).
            400..=428 => Ok(Mount::guess(path)),
            _ => Err(answer.refused(&api.site(ask))),
        }
    }

    /// The mount of this path is this one, as the store or an answer says, whatever was known of it.
    /// Several may have asked at once.
    pub(crate) fn settled(&self, namespace: Option<&str>, path: &str, mount: Mount) {
        let mut known = self.lock();
        known.doubted.remove(&(namespace.map(str::to_owned), path.to_owned()));
        known.mounts.retain(|(of, met)| of.as_deref() != namespace || !met.holds(path) || *met == mount);
        let entry = (namespace.map(str::to_owned), mount);
        if !known.mounts.contains(&entry) {
            known.mounts.push(entry);
        }
    }

    /// A path whose mount the store would not name was served: do not ask for it again.
    pub(crate) fn served(&self, namespace: Option<&str>, path: &str, mount: &Mount) {
        if mount.engine == Engine::Unknown {
            let this = (namespace.map(str::to_owned), path.to_owned());
            let mut known = self.lock();
            known.doubted.remove(&this);
            known.silent.insert(this);
        }
    }

    /// What was known of this path may have changed (a mount of another kind in its place).
    pub(crate) fn forget(&self, namespace: Option<&str>, path: &str) {
        let this = (namespace.map(str::to_owned), path.to_owned());
        let mut known = self.lock();
        known.silent.remove(&this);
        known.doubted.insert(this);
    }

    /// A new log-in may have other policies.
    pub(crate) fn forget_denials(&self) {
        self.lock().silent.clear();
    }
}

impl Mount {
    /// The path below the mount.
    pub(crate) fn below<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(self.path.as_str()).unwrap_or(path).trim_start_matches('/')
    }

    fn holds(&self, path: &str) -> bool {
        path.strip_prefix(self.path.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Up to where the first word stands that names a thing to do rather than a mount, else the
    /// first segment.
    fn guess(path: &str) -> Self {
        let segments: Vec<&str> = path.split('/').collect();
        let length = deed(&segments).unwrap_or(1);
        Self { path: segments[..length].join("/"), engine: Engine::Unknown }
    }

    /// What the path alone tells, where the store is not asked.
    pub(crate) fn supposed(path: &str) -> Self {
        let mount = Self::guess(path);
        let segments: Vec<&str> = path.split('/').collect();
        let engine = match deed(&segments).map(|at| segments[at]) {
            Some("data") => Engine::Kv2,
            // What signs keys for SSH has the same words, and other answers.
            Some("issue" | "sign" | "issuer") if mount.path.contains("ssh") => Engine::Unknown,
            Some("issue" | "sign" | "issuer") => Engine::Pki,
            Some(_) => Engine::Other,
            None => Engine::Unknown,
        };
        Self { engine, ..mount }
    }

    /// What lets this path be read. Where the store would not name the engine, and the path tells
    /// nothing either, it may be KV v2, whose secrets have another path in policies.
    pub(crate) fn policy_to_read(&self, path: &str) -> String {
        let plain = stanza(path, &["read"]);
        match self.versioned(path) {
            None => plain,
            Some(versioned) => {
                format!("{plain}, or, if {} is kv of version 2, {}", self.path, stanza(&versioned, &["read"]))
            }
        }
    }

    /// The same as lines of a policy file.
    pub(crate) fn policy_file_to_read(&self, path: &str) -> String {
        let plain = stanza(path, &["read"]);
        match self.versioned(path) {
            None => plain,
            Some(versioned) => format!(
                "{plain}\n# or, if {} is kv of version 2:\n{}",
                self.path,
                stanza(&versioned, &["read"])
            ),
        }
    }

    fn versioned(&self, path: &str) -> Option<String> {
        let segments: Vec<&str> = path.split('/').collect();
        let may_be = self.engine == Engine::Unknown && segments.len() > 1 && deed(&segments).is_none();
        may_be.then(|| format!("{}/data/{}", self.path, self.below(path)))
    }
}

/// Where a word stands that names a thing to do: what is before it is the mount.
fn deed(segments: &[&str]) -> Option<usize> {
    const DEEDS: [&str; 9] =
        ["data", "creds", "static-creds", "static-cred", "issue", "sign", "issuer", "sts", "roles"];
    segments.iter().skip(1).position(|segment| DEEDS.contains(segment)).map(|position| position + 1)
}

impl From<MountState> for Mount {
    fn from(state: MountState) -> Self {
        let version = state.options.as_ref().and_then(|options| options.get("version"));
        let engine = match state.kind.as_str() {
            "kv" if version.and_then(|version| version.as_str()) == Some("2") => Engine::Kv2,
            "kv" | "generic" | "cubbyhole" => Engine::Kv1,
            "pki" => Engine::Pki,
            _ => Engine::Other,
        };
        Self { path: state.path.trim_matches('/').to_owned(), engine }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_about_one_path_is_no_doubt_about_its_mount_until_the_store_says_so() {
        let mounts = Mounts::default();
        let mount = |engine| Mount { path: "kv".to_owned(), engine };
        mounts.settled(None, "kv/a", mount(Engine::Kv2));
        mounts.forget(None, "kv/a");
        assert_eq!(mounts.known(None, "kv/a"), None);
        assert_eq!(mounts.known(None, "kv/b"), Some(mount(Engine::Kv2)));
        mounts.settled(None, "kv/a", mount(Engine::Other));
        for path in ["kv/a", "kv/b"] {
            assert_eq!(mounts.known(None, path), Some(mount(Engine::Other)), "{path}");
        }
    }

    #[test]
    fn an_unnamed_mount_is_guessed_from_the_path() {
        for (path, mount) in [
            ("database/creds/web", "database"),
            ("team/db/creds/web", "team/db"),
            ("pki/int/issue/web", "pki/int"),
            ("pki/issuer/one/issue/web", "pki"),
            ("kv/data/a/b", "kv"),
            ("strange/x/y", "strange"),
            ("creds/creds/x", "creds"),
        ] {
            assert_eq!(Mount::guess(path).path, mount, "{path}");
        }
    }
}
