//! The files for the application: one consistent set after another, on memory.
//!
//! The directory is laid out as the kubelet lays out a Secret volume: `..data` is a symbolic link
//! to the directory of one generation, each name of the set is a link into `..data`, and one
//! rename moves the whole set. What is promised:
//!
//! - Killed between any two system calls, the old set or the new one is in place, whole; the next
//!   [`Volume::open`] takes away what was left half done and completes what was decided.
//! - Mode, owner and group of a file are set before its first byte, whatever the umask is.
//! - A set that equals the one in place, in every byte and attribute, makes no generation.
//! - A superseded generation stays for at least [`RETENTION`], and longer while the caller says so.
//! - A set that cannot be written (no space, a quota, a name that is taken) leaves the old one in
//!   place and nothing of itself behind.
//!
//! The directory is ours alone: made by us, or empty, or left by another leasehold of our uid; one
//! process at a time holds it. What others put there is left alone, and refused where it has a
//! name that we need. Nothing below it is reached through a symbolic link.
//!
//! It does not render, wait, log or read a clock.

mod attributes;
mod error;
mod filesystem;
mod generation;
mod layout;
mod manifest;
mod names;
mod place;
mod proposal;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use leasehold_core::SecretBytes;
use rustix::io::Errno;

use crate::clock::Moment;
use crate::config::model::Output;

pub use error::{Error, ErrorKind};
pub use generation::Generation;
use generation::Writer;
pub use manifest::{Manifest, ManifestSecret};
pub use names::{problem_of_component, problem_of_path};
use place::Place;
use proposal::Proposal;
pub use proposal::Proposed;

/// How long a superseded generation stays readable at the least.
pub const RETENTION: Duration = Duration::from_secs(10);

/// What is to be in place, all at once.
#[derive(Debug, Default)]
pub struct Set {
    /// The files, by path relative to the output directory.
    pub files: BTreeMap<String, Rendered>,
    /// What the set says of itself. It alone makes no new generation.
    pub manifest: Manifest,
}

/// One file of a set.
#[derive(Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Its content.
    pub bytes: SecretBytes,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner, where it differs from the output's.
    pub owner: Option<u32>,
    /// Its group, where it differs from the output's.
    pub group: Option<u32>,
}

/// What became of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// It is in place, as a new generation.
    Generation {
        /// Its number.
        number: u64,
        /// The files that differ from those before, removed ones among them, in order.
        changed: Vec<String>,
        /// How many files it has.
        files: usize,
    },
    /// It was in place already.
    Unchanged {
        /// The number of the generation in place.
        number: u64,
    },
}

/// Since when a generation is old.
#[derive(Clone, Copy, Debug)]
enum Superseded {
    /// Since then.
    At(Moment),
    /// At our start it was old for so long: an earlier process replaced it.
    Inherited(Duration),
}

impl Superseded {
    /// Since when. A start is never later than the first time that we are told.
    fn since(&mut self, now: Moment) -> Moment {
        let since = match *self {
            Self::At(since) => since,
            Self::Inherited(age) => now.before(age),
        };
        *self = Self::At(since);
        since
    }
}

/// The output directory, held.
#[derive(Debug)]
pub struct Volume {
    place: Place,
    /// Where `..data` points, whole or not.
    in_place: Option<u64>,
    current: Option<Generation>,
    last: u64,
    /// Older generations.
    superseded: BTreeMap<u64, Superseded>,
    links: BTreeSet<String>,
    proposal: Option<Proposal>,
}

impl Volume {
    /// Finds or makes the directory, checks what it is, takes its lock, and clears up after a
    /// process that was killed. Where another process has the lock, it says so at once
    /// ([`ErrorKind::Busy`]): trying again is the caller's.
    pub fn open(output: &Output) -> Result<Self, Error> {
        let place = Place::open(output)?;
        let found = layout::scan(&place.directory, &place.path)?;
        let current = found.in_place.and_then(|number| Generation::read(&place.directory, number));
        // Without `..data` (somebody removed it) numbers go on all the same.
        let last = found.in_place.or(found.generations.last().copied()).unwrap_or(0);
        let mut volume = Self {
            place,
            in_place: found.in_place,
            current,
            last,
            superseded: BTreeMap::new(),
            links: found.links,
            proposal: None,
        };
        volume.clear_up(&found.generations, &found.leftovers)?;
        Ok(volume)
    }

    /// Generations are moved to their place in the order of their numbers: what is newer than the
    /// one in place was never whole. Older ones may still be read.
    fn clear_up(&mut self, generations: &BTreeSet<u64>, leftovers: &[String]) -> Result<(), Error> {
        const CLEAR: &str = "clear up after a killed process in";
        let system = |errno| Error::system(CLEAR, &self.place.path, errno);
        for name in leftovers {
            rustix::fs::unlinkat(&self.place.directory, name, rustix::fs::AtFlags::empty())
                .map_err(system)?;
        }
        // Newest first: each is old since the one after it was made. A crash loop must not keep
        // what it leaves for ever, so that time outlives a process.
        let now = generation::touch(&self.place.directory);
        let mut since = now;
        for number in generations.iter().rev() {
            match self.in_place {
                Some(in_place) if *number == in_place => {
                    since = generation::made(&self.place.directory, *number).unwrap_or(now);
                }
                Some(in_place) if *number < in_place => {
                    self.superseded.insert(*number, Superseded::Inherited(now.saturating_sub(since)));
                    since = generation::made(&self.place.directory, *number).unwrap_or(since);
                }
                _ => generation::remove(&self.place.directory, *number).map_err(system)?,
            }
        }
        if let Some(current) = &self.current {
            let wanted: BTreeSet<&str> = current.files.iter().map(|path| top_level(path)).collect();
            // Best effort: the next set looks again, and says what is wrong.
            for name in wanted.iter().filter(|name| !self.links.contains(**name)) {
                let _ = layout::link(&self.place.directory, name);
            }
            layout::prune(&self.place.directory, &mut self.links, &wanted);
            self.links.extend(wanted.into_iter().map(str::to_owned));
        }
        Ok(())
    }

    /// The generation in place, where there is a whole one. After [`Volume::open`] it is what
    /// another process left.
    pub fn current(&self) -> Option<&Generation> {
        self.current.as_ref()
    }

    /// What the start should say once.
    pub fn warnings(&self) -> &[String] {
        &self.place.warnings
    }

    /// Why nobody of another uid can read the files, where that is so: for the start to say where the
    /// application may be one.
    pub fn private(&self) -> Option<&str> {
        self.place.private.as_deref()
    }

    /// Puts a set in place. On an error the set that was in place stays, and nothing of the new
    /// one is left, but for one case that says so: a name that somebody took in this very moment.
    pub fn publish(&mut self, set: &Set, now: Moment) -> Result<Published, Error> {
        match self.propose(set, now)? {
            Proposed::Unchanged { number } => Ok(Published::Unchanged { number }),
            Proposed::Candidate { .. } => self.accept(now),
        }
    }

    /// After the move: names that are new get their links, names that are gone lose theirs.
    fn settle(&mut self, wanted: &BTreeSet<&str>, missing: &[&str]) -> Result<(), Error> {
        let unfolded = layout::unfold(&self.place.directory, missing);
        layout::prune(&self.place.directory, &mut self.links, wanted);
        self.links.extend(wanted.iter().map(|name| (*name).to_owned()));
        unfolded.map_err(|(name, errno)| self.taken(name, errno))
    }

    fn relink(&mut self, missing: &[&str]) -> Result<(), Error> {
        for name in missing {
            layout::link(&self.place.directory, name).map_err(|errno| self.taken(name, errno))?;
            self.links.insert((*name).to_owned());
        }
        Ok(())
    }

    fn taken(&self, name: &str, errno: Errno) -> Error {
        let path = self.place.path.join(name);
        match errno {
            Errno::EXIST => Error::refused(
                "place",
                path,
                "somebody took that name while the set was put in place",
                "remove it: the rest of the set is in place, under `..data`",
            ),
            errno => Error::system("place", path, errno),
        }
    }

    fn writer(&self) -> Writer<'_> {
        Writer {
            root: &self.place.directory,
            path: &self.place.path,
            defaults: self.place.defaults,
            inherited: self.place.inherited,
            lasts: self.place.footing.lasts(),
        }
    }

    /// Makes room: the oldest generation past its time goes, pinned or not.
    fn drop_oldest(&mut self, now: Moment) -> bool {
        let oldest = self
            .superseded
            .iter_mut()
            .find_map(|(number, since)| (now >= since.since(now) + RETENTION).then_some(*number));
        match oldest {
            Some(number) if generation::remove(&self.place.directory, number).is_ok() => {
                self.superseded.remove(&number);
                true
            }
            _ => false,
        }
    }

    /// Removes superseded generations that are past [`RETENTION`] and not `pinned` (leases of
    /// theirs still live). Returns when time alone makes another one due; where a pin is what
    /// keeps one, call again when it goes.
    pub fn tidy(&mut self, now: Moment, pinned: impl Fn(u64) -> bool) -> Option<Moment> {
        let mut next: Option<Moment> = None;
        let directory = &self.place.directory;
        self.superseded.retain(|number, since| {
            let due = since.since(now) + RETENTION;
            let again = if now < due {
                due
            } else if pinned(*number) {
                return true;
            } else if generation::remove(directory, *number).is_ok() {
                return false;
            } else {
                now + RETENTION
            };
            next = Some(next.map_or(again, |next| next.min(again)));
            true
        });
        next
    }
}

fn top_level(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
}
