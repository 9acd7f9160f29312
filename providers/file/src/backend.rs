//! The provider: each fetch opens the path anew, and reads what is there now.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_core::{
    Effect, Error, Fetched, Fields, Kind, Login, MissingRight, Operation, Provider, SecretBytes, SecretRef,
    Session, Target, Term, Traits, Wanted, async_trait, pick,
};
use serde_json::Value;

use crate::config::Settings;
use crate::content;
use crate::directory::{self, Directory, Read};
use crate::error::{Site, plain};
use crate::handle::{self, Opened, Seen, Unread};

/// Of one moment, where a directory is replaced as a whole.
const BATCH: usize = 1_000;
/// How often a document that changes while it is read is read again.
const TRIES: usize = 5;

/// A directory of secrets, or a document.
pub(crate) struct Files {
    name: String,
    settings: Settings,
}

/// What is at the path now.
enum Place {
    Directory(Directory),
    Document(Value, String),
}

impl Files {
    pub(crate) fn new(name: &str, settings: Settings) -> Self {
        Self { name: name.to_owned(), settings }
    }

    fn site<'a>(&'a self, operation: Operation, on: &'a str) -> Site<'a> {
        Site { provider: &self.name, operation, on, root: &self.settings.path }
    }

    fn one(&self, place: &Place, wanted: &Wanted<'_>) -> Result<Fetched, Error> {
        let on = on(wanted.reference);
        let read = place.read(wanted.reference, &self.site(Operation::Fetch, &on))?;
        // Always with the fields: a version that is made of times could miss a change.
        Ok(Fetched {
            fields: Some(read.fields.into()),
            version: Some(read.version),
            lease: None,
            term: None,
            changes_in: None,
        })
    }

    /// Opens what is there.
    fn place(&self, site: &Site<'_>) -> Result<Place, Error> {
        for _ in 0..TRIES {
            match handle::root(&self.settings.path).map_err(|errno| site.no_root(errno))? {
                Opened::Directory(root, _) => {
                    let directory = Directory::new(root).map_err(|errno| site.opened(errno, "", "it"))?;
                    return Ok(Place::Directory(directory));
                }
                Opened::File(file, seen) => {
                    if let Some(document) = self.document(file, &seen, site)? {
                        return Ok(Place::Document(document, directory::version([("", seen)])));
                    }
                }
                Opened::Other => {
                    let detail =
                        format!("{} is neither a file nor a directory", self.settings.path.display());
                    return Err(site.error(Kind::Invalid, detail));
                }
            }
        }
        Err(site.malformed("", "changes all the time while it is read"))
    }

    /// `None`: it changed while it was read.
    fn document(&self, file: OwnedFd, seen: &Seen, site: &Site<'_>) -> Result<Option<Value>, Error> {
        let path = &self.settings.path;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let format = self.settings.format.or_else(|| content::format_of(name)).ok_or_else(|| {
            let detail = format!(
                "{} is a file, and its name does not say how it is written: set format to json, yaml or env",
                path.display()
            );
            site.error(Kind::Invalid, detail)
        })?;
        match handle::content(file, seen) {
            Ok(bytes) => content::document(format, &bytes)
                .map(Some)
                .map_err(|nonsense| directory::said(nonsense, "", site)),
            Err(Unread::Changing) => Ok(None),
            Err(Unread::TooLarge) => Err(directory::too_large("", site)),
            Err(Unread::System(errno)) => Err(site.opened(errno, "", "it")),
        }
    }
}

impl Place {
    fn is_in_place(&self, site: &Site<'_>) -> Result<bool, Error> {
        match self {
            Self::Directory(directory) => {
                directory.is_in_place().map_err(|errno| site.opened(errno, "", "it"))
            }
            Self::Document(..) => Ok(true),
        }
    }

    fn read(&self, reference: &SecretRef, site: &Site<'_>) -> Result<Read, Error> {
        match self {
            Self::Directory(directory) => directory.read(reference, site),
            Self::Document(document, version) => {
                let part = part(document, reference, site)?;
                Ok(Read { fields: Fields::of_json(part), version: version.clone() })
            }
        }
    }
}

/// A part of a document: where `path` leads, and from there `key`.
fn part(document: &Value, reference: &SecretRef, site: &Site<'_>) -> Result<Value, Error> {
    let missing = |what: &str, name: &str| {
        let detail = format!("there is no {what} \"{name}\" in {}", site.root.display());
        site.error(Kind::Absent, detail)
    };
    let path = reference.path.as_str();
    let whole = document.clone();
    let found = match path {
        "" | "." => whole,
        path => pick(whole, path).ok_or_else(|| missing("path", path))?,
    };
    match reference.key.as_deref() {
        None => Ok(found),
        Some(key) => pick(found, key).ok_or_else(|| missing("key", key)),
    }
}

/// `secret "db" (db/password)`
fn on(reference: &SecretRef) -> String {
    format!("secret \"{}\" ({})", reference.name, plain(&reference.path))
}

#[async_trait]
impl Provider for Files {
    fn describe(&self, _: &SecretRef) -> Traits {
        Traits { effect: Effect::Reads, batch: BATCH, group: String::new() }
    }

    fn watched(&self) -> Vec<PathBuf> {
        vec![self.settings.path.clone()]
    }

    async fn login(&self, _: Option<&SecretBytes>) -> Result<Login, Error> {
        Ok(Login::Session(Session::ambient()))
    }

    async fn fetch(&self, _: &Session, wanted: &[Wanted<'_>]) -> Result<Vec<Result<Fetched, Error>>, Error> {
        // What fails as a whole is told of each secret by the engine.
        let only = if let [one] = wanted { on(one.reference) } else { String::new() };
        let site = self.site(Operation::Fetch, &only);
        for _ in 0..TRIES {
            let place = self.place(&site)?;
            let results: Vec<_> = wanted.iter().map(|wanted| self.one(&place, wanted)).collect();
            if place.is_in_place(&site)? {
                return Ok(results);
            }
        }
        Err(site.malformed("", "is replaced all the time while it is read"))
    }

    async fn lookup(&self, _: &Session, _: Target<'_>) -> Result<Option<Term>, Error> {
        Ok(None)
    }

    async fn renew(&self, _: &Session, _: Target<'_>, _: Duration) -> Result<Option<Term>, Error> {
        Ok(None)
    }

    async fn revoke(&self, _: &Session, _: Target<'_>) -> Result<(), Error> {
        Ok(())
    }

    async fn check(&self, _: &Session, reference: &SecretRef) -> Result<Vec<MissingRight>, Error> {
        let on = on(reference);
        let site = self.site(Operation::Check, &on);
        let read = self.place(&site).and_then(|place| place.read(reference, &site).map(drop));
        match read {
            Err(error) if error.kind == Kind::Denied => Ok(vec![MissingRight {
                path: self.settings.path.join(&reference.path).display().to_string(),
                capabilities: vec!["read".to_owned()],
                purpose: "to read it".to_owned(),
                required: true,
                remedy: error.detail,
            }]),
            // What else is wrong, the fetch says.
            _ => Ok(Vec::new()),
        }
    }
}
