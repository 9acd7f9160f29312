use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use super::directory::{Directory, Refused};
use super::id::SUFFIX;
use super::wire::{self, Header};
use super::{Entry, EntryId, Error};
use crate::clock::{Clock, Moment, locked};
use crate::config::model::{Choice, StateDirectory};
use crate::lock::{Holder, Lock, LockError};
use crate::slot::Life;

const LOCK: &str = "lock";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The hand-over of this process; clones share it. Every call is a few system calls on tmpfs,
/// done where it is called.
#[derive(Clone, Debug)]
pub struct Handover(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    directory: Directory,
    boot: String,
    clock: Clock,
    /// One writer at a time: they share the name of the unfinished file.
    writing: Mutex<()>,
    /// What could not be written, and was not since.
    unrecorded: Mutex<BTreeSet<EntryId>>,
    _lock: Lock,
}

/// What opening the hand-over brought.
#[derive(Debug)]
pub struct Opened {
    /// The hand-over, ours from now on.
    pub handover: Handover,
    /// What the process before left.
    pub entries: Vec<Entry>,
    /// What it left and is worth nothing any more: removed.
    pub dropped: Vec<Dropped>,
    /// Why there is no hand-over, where there is none.
    pub warning: Option<String>,
}

/// An entry that was removed at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Which.
    pub entry: String,
    /// Why.
    pub why: Why,
}

/// See [`Dropped`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its end has passed: nothing is left of it at the store.
    Expired,
    /// The machine was started anew since.
    OtherBoot,
    /// Another version of leasehold wrote it.
    UnknownVersion,
    /// It is damaged.
    Unreadable,
}

impl Handover {
    /// Opens the hand-over and takes it over: from now on no other process can. [`Error::Busy`]
    /// comes at once; the caller asks again for as long as it has.
    pub fn open(state: &StateDirectory, clock: &Clock) -> Result<Opened, Error> {
        if state.choice == Choice::Off {
            return Ok(Opened::unwanted());
        }
        let directory = match Directory::open(&state.path) {
            Ok(directory) => directory,
            Err(Refused::Unusable(why)) => return Ok(Opened::without(&why)),
            Err(Refused::NotTmpfs) => {
                return match state.choice {
                    Choice::Default => {
                        Ok(Opened::without(&format!("{} is not on tmpfs", state.path.display())))
                    }
                    Choice::Configured | Choice::Off => {
                        Err(Error::NotTmpfs { directory: state.path.clone() })
                    }
                };
            }
            Err(Refused::Error(error)) => return Err(error),
        };
        let Ok(boot) = std::fs::read_to_string(BOOT_ID) else {
            return Ok(Opened::without(&format!("{BOOT_ID} cannot be read")));
        };
        let lock = lock(&directory)?;
        let inner = Inner {
            directory,
            boot: boot.trim().to_owned(),
            clock: clock.clone(),
            writing: Mutex::default(),
            unrecorded: Mutex::default(),
            _lock: lock,
        };
        let (entries, dropped) = inner.take_over()?;
        Ok(Opened { handover: Self(Some(Arc::new(inner))), entries, dropped, warning: None })
    }

    /// No hand-over: what is put is forgotten.
    pub fn disabled() -> Self {
        Self(None)
    }

    /// Whether what is put outlives this process.
    pub fn is_enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Records an entry, in place of an earlier one with the same [`EntryId`]. Where it fails, or
    /// the process dies in it, the earlier one is still whole.
    pub fn put(&self, entry: &Entry) -> Result<(), Error> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let id = EntryId::from(entry);
        let outcome = inner.write(&id, entry);
        let mut unrecorded = locked(&inner.unrecorded);
        match outcome {
            Ok(()) => unrecorded.remove(&id),
            Err(_) => unrecorded.insert(id.clone()),
        };
        outcome
            .map_err(|error| Error::io(format!("record {id} in {}", inner.directory.path().display()), error))
    }

    /// What a successor would miss: entries that could not be written.
    pub fn unrecorded(&self) -> Vec<EntryId> {
        self.0.iter().flat_map(|inner| locked(&inner.unrecorded).clone()).collect()
    }

    /// Removes an entry; there may be none.
    pub fn remove(&self, id: &EntryId) -> Result<(), Error> {
        let Some(inner) = &self.0 else { return Ok(()) };
        locked(&inner.unrecorded).remove(id);
        inner.directory.remove(id.file_name()).map_err(|error| {
            Error::io(format!("remove {id} from {}", inner.directory.path().display()), error)
        })
    }
}

impl Opened {
    fn unwanted() -> Self {
        Self { handover: Handover::disabled(), entries: Vec::new(), dropped: Vec::new(), warning: None }
    }

    fn without(why: &str) -> Self {
        Self {
            handover: Handover::disabled(),
            entries: Vec::new(),
            dropped: Vec::new(),
            warning: Some(format!(
                "no hand-over: {why}; after a restart every credential is fetched anew, and what a killed \
                 process held ends by itself; mount a memory volume (emptyDir with medium: Memory) that only \
                 this container sees, and name it in lifecycle.state_directory"
            )),
        }
    }
}

impl Inner {
    fn write(&self, id: &EntryId, entry: &Entry) -> std::io::Result<()> {
        let bytes = wire::encode(entry, &self.boot, self.clock.now())
            .map_err(|_| std::io::Error::other("it cannot be written as JSON"))?;
        let _one = locked(&self.writing);
        self.directory.write(id.file_name(), &bytes)
    }

    /// Reads what is there, and removes what is worth nothing.
    fn take_over(&self) -> Result<(Vec<Entry>, Vec<Dropped>), Error> {
        let now = self.clock.now();
        let (mut entries, mut dropped) = (Vec::new(), Vec::new());
        for name in self.directory.names()? {
            if name == LOCK {
                continue;
            }
            let failed = |tried: &str, error| {
                Error::io(format!("{tried} {}", self.directory.path().join(&name).display()), error)
            };
            let bytes = self.directory.read(&name).map_err(|error| failed("read", error))?;
            match bytes.ok_or(Why::Unreadable).and_then(|bytes| self.decode(&name, &bytes, now)) {
                Ok(entry) => entries.push(entry),
                Err(why) => {
                    self.directory.remove(&name).map_err(|error| failed("remove", error))?;
                    // A file that a killed process was writing is no entry yet: not worth a word.
                    if let Some(entry) = name.strip_suffix(SUFFIX) {
                        dropped.push(Dropped { entry: entry.to_owned(), why });
                    }
                }
            }
        }
        Ok((entries, dropped))
    }

    fn decode(&self, name: &str, bytes: &[u8], now: Moment) -> Result<Entry, Why> {
        let header = Header::read(bytes).map_err(|_| Why::Unreadable)?;
        if !header.is_known() {
            return Err(Why::UnknownVersion);
        }
        if !header.is_of_boot(&self.boot, now) {
            return Err(Why::OtherBoot);
        }
        let entry = wire::decode(bytes).map_err(|_| Why::Unreadable)?;
        if EntryId::from(&entry).file_name() != name {
            return Err(Why::Unreadable);
        }
        if life(&entry).is_some_and(|life| life.end <= now) { Err(Why::Expired) } else { Ok(entry) }
    }
}

fn lock(directory: &Directory) -> Result<Lock, Error> {
    let path = || directory.path().to_owned();
    Lock::acquire(directory, LOCK, &Holder::this_process()).map_err(|error| match error {
        LockError::Busy(holder) => Error::Busy { directory: path(), holder },
        LockError::NotOurs { uid } => Error::Owner {
            directory: path().join(LOCK),
            theirs: uid,
            ours: rustix::process::geteuid().as_raw(),
        },
        LockError::Io(errno) => Error::io(format!("lock {}", path().display()), errno),
    })
}

fn life(entry: &Entry) -> Option<&Life> {
    match entry {
        Entry::Session { held, .. } => held.life.as_ref(),
        Entry::Held { held, .. } => held.life.as_ref(),
        Entry::Kept { .. } | Entry::Secret { .. } | Entry::Announced { .. } => None,
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Why::Expired => "it has expired",
            Why::OtherBoot => "it is of another boot of the machine",
            Why::UnknownVersion => "another version of leasehold wrote it",
            Why::Unreadable => "it is damaged",
        };
        write!(f, "hand-over entry {} is dropped: {why}", self.entry)
    }
}
