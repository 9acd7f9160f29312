//! A set that lies beside the one in place, whole, until it is accepted or withdrawn.
//!
//! There is at most one. It is newer than what is in place, so a process that is killed leaves it to
//! the next start, which takes away whatever was never in place.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::names::Tree;
use super::{Error, Generation, Published, Set, Superseded, Volume, generation, layout};
use crate::clock::Moment;

/// What became of a set that was proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposed {
    /// It lies beside the one in place.
    Candidate {
        /// The number that it gets.
        number: u64,
        /// The files that differ from those in place, removed ones among them, in order.
        changed: Vec<String>,
    },
    /// It was in place already.
    Unchanged {
        /// The number of the generation in place.
        number: u64,
    },
}

/// A set that is written, and not in place.
#[derive(Debug)]
pub(super) struct Proposal {
    generation: Generation,
    changed: Vec<String>,
    /// Its top-level names.
    names: BTreeSet<String>,
}

impl Volume {
    /// Writes a set beside the one in place, whole and exactly as it would be there, and moves
    /// nothing. A former proposal is withdrawn. On an error nothing of it is left.
    pub fn propose(&mut self, set: &Set, now: Moment) -> Result<Proposed, Error> {
        self.withdraw();
        let tree = Tree::new(&set.files)
            .map_err(|(path, why)| Error::refused("write", path, why, "give the file another name"))?;
        let missing = layout::missing(&self.place.directory, &self.place.path, tree.names())?;
        let old = self.current.as_ref().map(|current| current.number);
        let fresh = self.writer().changed(&tree, old);
        let mut changed = fresh.clone();
        if let Some(current) = &self.current {
            changed.extend(current.files.iter().filter(|path| !set.files.contains_key(*path)).cloned());
            if changed.is_empty() {
                let number = current.number;
                self.relink(&missing)?;
                return Ok(Proposed::Unchanged { number });
            }
        }
        let number = self.last + 1;
        let manifest = set.manifest.text(number, set.files.keys().cloned().collect());
        self.with_room(number, now, |volume| volume.writer().write(number, &tree, &fresh, old, &manifest))?;
        let changed: Vec<String> = changed.into_iter().collect();
        self.proposal = Some(Proposal {
            generation: Generation {
                number,
                files: set.files.keys().cloned().collect(),
                manifest: set.manifest.clone(),
            },
            changed: changed.clone(),
            names: tree.names().map(str::to_owned).collect(),
        });
        Ok(Proposed::Candidate { number, changed })
    }

    /// Puts what was proposed in place. On an error it is withdrawn, as [`Volume::publish`] has it.
    pub fn accept(&mut self, now: Moment) -> Result<Published, Error> {
        let Some(Proposal { generation, changed, names }) = self.proposal.take() else {
            let why = "nothing is proposed";
            return Err(Error::refused("put a set in place in", &self.place.path, why, "please report it"));
        };
        let number = generation.number;
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let missing = layout::missing(&self.place.directory, &self.place.path, names.iter().copied());
        let missing = missing.inspect_err(|_| {
            let _ = generation::remove(&self.place.directory, number);
        })?;
        self.with_room(number, now, |volume| volume.switch(number, &missing))?;
        self.last = number;
        if let Some(superseded) = self.in_place.replace(number) {
            self.superseded.insert(superseded, Superseded::At(now));
        }
        let files = generation.files.len();
        self.current = Some(generation);
        self.settle(&names, &missing)?;
        Ok(Published::Generation { number, changed, files })
    }

    /// Takes away what was proposed, if anything. What stays of it is removed by the next start.
    pub fn withdraw(&mut self) {
        if let Some(proposal) = self.proposal.take() {
            let _ = generation::remove(&self.place.directory, proposal.generation.number);
        }
    }

    /// Where a generation lies.
    pub fn directory_of(&self, number: u64) -> PathBuf {
        self.place.path.join(layout::directory_name(number))
    }

    /// Tries something for a new generation, again where the volume is full and room can be made. What it
    /// leaves half done is taken away.
    fn with_room(
        &mut self,
        number: u64,
        now: Moment,
        attempt: impl Fn(&Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        loop {
            let Err(error) = attempt(self) else { return Ok(()) };
            if !(error.is_full() && self.drop_oldest(now)) {
                // What stays of it is removed by the next start.
                let _ = generation::remove(&self.place.directory, number);
                return Err(error);
            }
        }
    }

    /// The move, and before it the links that it needs.
    fn switch(&self, number: u64, missing: &[&str]) -> Result<(), Error> {
        let directory = &self.place.directory;
        let moved = layout::stage(directory, number, missing).and_then(|()| layout::switch(directory));
        if let Err(errno) = moved {
            layout::unstage(directory, missing);
            return Err(Error::system("put a set in place in", &self.place.path, errno));
        }
        // Best effort: it is in place, whatever the device says now.
        if self.place.footing.lasts() {
            let _ = layout::sync(directory);
        }
        Ok(())
    }
}
