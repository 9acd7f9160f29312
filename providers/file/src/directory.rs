//! Where a secret is in a directory: a file or a sub-directory of the set that is in place.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::fd::OwnedFd;

use leasehold_core::{Error, Fields, Kind, SecretRef, pick};
use rustix::io::Errno;

use crate::config::wrong;
use crate::content::{self, Content, Nonsense};
use crate::error::Site;
use crate::handle::{self, LARGEST, Opened, Seen, Unread};

/// More files are no secret.
const MOST: usize = 1_000;
/// How often something that changes while it is read is read again.
const TRIES: usize = 5;

/// What was read, and of what: a version without anything of the content.
pub(crate) struct Read {
    pub(crate) fields: Fields,
    pub(crate) version: String,
}

/// The directory, and the set in it, opened once for all secrets of a request.
pub(crate) struct Directory {
    root: OwnedFd,
    set: Option<(OwnedFd, Seen)>,
}

impl Directory {
    pub(crate) fn new(root: OwnedFd) -> Result<Self, Errno> {
        let set = handle::set_of(&root)?;
        Ok(Self { root, set })
    }

    /// Whether what was read until now is of one set.
    pub(crate) fn is_in_place(&self) -> Result<bool, Errno> {
        self.set.as_ref().map_or(Ok(true), |(_, seen)| handle::is_in_place(&self.root, seen))
    }

    /// Reads one secret.
    pub(crate) fn read(&self, reference: &SecretRef, site: &Site<'_>) -> Result<Read, Error> {
        let path = reference.path.as_str();
        if let Some(message) = wrong(path) {
            return Err(site.error(Kind::Invalid, format!("path {message}")));
        }
        let key = reference.key.as_deref();
        for _ in 0..TRIES {
            let read = match self.open(path).map_err(|errno| site.opened(errno, path, "it"))? {
                Opened::File(file, seen) => file_secret(file, seen, path, key, site),
                Opened::Directory(directory, seen) => directory_secret(directory, seen, path, key, site),
                Opened::Other => {
                    let detail = format!("{} is neither a file nor a directory", site.at(path));
                    return Err(site.error(Kind::Invalid, detail));
                }
            };
            match read {
                Err(Trouble::Changing) => {}
                Err(Trouble::Said(error)) => return Err(error),
                Ok(read) => return Ok(read),
            }
        }
        Err(site.malformed(path, "changes all the time while it is read"))
    }

    /// In the set, else beside it.
    fn open(&self, path: &str) -> Result<Opened, Errno> {
        match self.set.as_ref().map(|(set, _)| handle::below(set, path)) {
            None | Some(Err(Errno::NOENT)) => handle::below(&self.root, path),
            Some(opened) => opened,
        }
    }
}

/// Why a look brought nothing.
pub(crate) enum Trouble {
    /// What was read is not of one moment.
    Changing,
    Said(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Said(error)
    }
}

fn file_secret(
    file: OwnedFd,
    seen: Seen,
    path: &str,
    key: Option<&str>,
    site: &Site<'_>,
) -> Result<Read, Trouble> {
    let bytes = bytes(file, &seen, path, site)?;
    let fields = fields(path, bytes, key, site)?;
    Ok(Read { fields, version: version([("", seen)]) })
}

/// The fields of one file, or with `key` the one value that it leads to.
fn fields(path: &str, bytes: Vec<u8>, key: Option<&str>, site: &Site<'_>) -> Result<Fields, Error> {
    let content = content::of_file(path, bytes).map_err(|nonsense| said(nonsense, path, site))?;
    match (content, key) {
        (Content::Document(value), Some(key)) => {
            let missing = || site.error(Kind::Absent, format!("there is no key \"{key}\" in it"));
            Ok(Fields::of_json(pick(value, key).ok_or_else(missing)?))
        }
        (Content::Document(value), None) => Ok(Fields::of_json(value)),
        (Content::Plain(bytes), None | Some("value")) => {
            let mut fields = Fields::new();
            fields.insert("value", content::plain(bytes));
            Ok(fields)
        }
        (Content::Plain(_), Some(key)) => {
            let detail =
                format!("there is no key \"{key}\" in it: it is no JSON, YAML or .env, but one value");
            Err(site.error(Kind::Absent, detail))
        }
    }
}

pub(crate) fn said(nonsense: Nonsense, path: &str, site: &Site<'_>) -> Error {
    use crate::config::Format;
    match nonsense {
        Nonsense::Broken(Format::Json) => site.malformed(path, "is no whole JSON"),
        Nonsense::Broken(Format::Yaml) => site.malformed(path, "is no whole YAML"),
        Nonsense::Broken(Format::Env) => site.malformed(path, "does not consist of NAME=value lines"),
        Nonsense::Encrypted => {
            let detail = format!(
                "{} is still encrypted: decrypt it (sops --decrypt) into a directory in memory, and name that",
                site.at(path)
            );
            site.error(Kind::Invalid, detail)
        }
    }
}

/// Every file of a directory as a field; with `key` the one file, as if it were the secret.
fn directory_secret(
    directory: OwnedFd,
    seen: Seen,
    path: &str,
    key: Option<&str>,
    site: &Site<'_>,
) -> Result<Read, Trouble> {
    let system = |errno| site.opened(errno, path, "it");
    let (directory, seen, outer) = match handle::set_of(&directory).map_err(system)? {
        Some((set, seen)) => (set, seen, Some(directory)),
        None => (directory, seen, None),
    };
    let names = handle::names(&directory).map_err(system)?;
    if names.len() > MOST {
        let detail = format!("{} holds more than {MOST} files", site.at(path));
        return Err(site.error(Kind::Invalid, detail).into());
    }
    let chosen: Vec<&String> = names.iter().filter(|name| key.is_none_or(|key| key == *name)).collect();
    if let (Some(key), true) = (key, chosen.is_empty()) {
        let detail = format!("there is no file \"{key}\" in {}", site.at(path));
        return Err(site.error(Kind::Absent, detail).into());
    }
    let mut all = Fields::new();
    let mut parts = vec![("", seen)];
    let mut total = 0;
    for name in chosen {
        let at = format!("{path}/{name}");
        let opened = match handle::below(&directory, name) {
            // It went since the names were read.
            Err(Errno::NOENT) => return Err(Trouble::Changing),
            opened => opened.map_err(|errno| site.opened(errno, &at, "it"))?,
        };
        // What is in a directory below is a secret of its own.
        let Opened::File(file, seen) = opened else { continue };
        let bytes = bytes(file, &seen, &at, site)?;
        total += bytes.len() as u64;
        if total > LARGEST {
            return Err(too_large(path, site).into());
        }
        parts.push((name, seen));
        match key {
            Some(_) => all = fields(&at, bytes, None, site)?,
            None => all.insert(name.as_str(), content::plain(bytes)),
        }
    }
    if let Some(outer) = outer
        && !handle::is_in_place(&outer, &seen).map_err(system)?
    {
        return Err(Trouble::Changing);
    }
    // Unless a set is replaced as a whole, files are written one after the other.
    let unchanged = parts.iter().all(|(name, seen)| {
        let name = if name.is_empty() { "." } else { name };
        matches!(
            handle::below(&directory, name),
            Ok(Opened::File(_, now) | Opened::Directory(_, now)) if now == *seen
        )
    });
    match unchanged {
        true => Ok(Read { fields: all, version: version(parts) }),
        false => Err(Trouble::Changing),
    }
}

fn bytes(file: OwnedFd, seen: &Seen, path: &str, site: &Site<'_>) -> Result<Vec<u8>, Trouble> {
    handle::content(file, seen).map_err(|unread| match unread {
        Unread::Changing => Trouble::Changing,
        Unread::TooLarge => too_large(path, site).into(),
        Unread::System(errno) => site.opened(errno, path, "it").into(),
    })
}

pub(crate) fn too_large(path: &str, site: &Site<'_>) -> Error {
    let detail = format!("{} has more than {} MiB: is it a secret?", site.at(path), LARGEST >> 20);
    site.error(Kind::Invalid, detail)
}

/// When it was last written, and which files it is made of: it is shown, so nothing of the content is in
/// it.
pub(crate) fn version<'a>(parts: impl IntoIterator<Item = (&'a str, Seen)>) -> String {
    let mut newest = (0, 0);
    let mut hasher = DefaultHasher::new();
    for (name, seen) in parts {
        newest = newest.max(seen.modified);
        (name, seen).hash(&mut hasher);
    }
    format!("{}.{:09}-{:08x}", newest.0, newest.1, hasher.finish() as u32)
}
