//! Files whose change means something: the configuration, and what providers name (token files,
//! a mock's values).
//!
//! One inotify instance for the whole process, on directories: ConfigMaps and projected tokens
//! change by a rename of `..data`, editors by a rename of the file. What is reported is that a
//! path, followed through its symlinks, now leads to something else than before ([`Identity`]);
//! what it holds is not read here. A burst of changes is reported once, when it is over.
//!
//! The kernel grants few instances (128 per uid and node, and every image without root runs as the
//! same uid): where there is none to be had, or a directory cannot be watched, the paths are
//! looked at every 30 s instead, which is said once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{ErrorKind, INotifyWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::events::{Event, Events};

mod path;

use path::Identity;

/// A burst is over after this long without a further change.
const QUIET: Duration = Duration::from_millis(100);
/// A burst that does not end is reported after this long.
const BURST: Duration = Duration::from_secs(1);
/// Between two looks where inotify cannot be had.
const POLL: Duration = Duration::from_secs(30);

/// What is watched.
#[derive(Clone, Debug)]
pub struct Watched {
    /// By provider.
    pub providers: Vec<(String, Vec<PathBuf>)>,
    /// The configuration's own files; a reload may bring others.
    pub configuration: watch::Receiver<Vec<PathBuf>>,
}

/// Who hears of a change.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Gets a provider's name when one of its paths changed.
    pub providers: mpsc::UnboundedSender<String>,
    /// Gets a word when one of the configuration's files changed.
    pub configuration: mpsc::UnboundedSender<()>,
}

/// Starts watching as a task in `serving`, until cancelled. Changes count from here on: what these
/// paths lead to is looked at before this returns.
pub fn start(
    watched: Watched,
    heard: Heard,
    (clock, events): (Clock, Events),
    cancel: &CancellationToken,
    serving: &mut JoinSet<()>,
) {
    let changed = Arc::new(Notify::new());
    let inotify = inotify(changed.clone());
    if let Some(files) = Files::new(watched, heard, inotify, clock, events) {
        serving.spawn(files.run(changed, cancel.clone()));
    }
}

/// Wakes the task for everything but the opening and reading of a file.
fn inotify(changed: Arc<Notify>) -> notify::Result<INotifyWatcher> {
    let wake = move |event: notify::Result<notify::Event>| {
        let only_read = matches!(
            event.as_ref().map(|event| event.kind),
            Ok(EventKind::Access(access)) if access != AccessKind::Close(AccessMode::Write)
        );
        if !only_read {
            changed.notify_one();
        }
    };
    INotifyWatcher::new(wake, notify::Config::default())
}

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    Configuration,
    Provider(String),
}

struct Files {
    known: BTreeMap<PathBuf, (Option<Identity>, BTreeSet<Party>)>,
    /// With the inode that each led to when it was last watched.
    directories: BTreeMap<PathBuf, Option<Identity>>,
    inotify: Option<INotifyWatcher>,
    cover: Cover,
    configuration: watch::Receiver<Vec<PathBuf>>,
    heard: Heard,
    clock: Clock,
    events: Events,
}

/// Whether every change is seen at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cover {
    Whole,
    Broken,
}

impl Files {
    /// `None` where there is nothing to watch.
    fn new(
        mut watched: Watched,
        heard: Heard,
        inotify: notify::Result<INotifyWatcher>,
        clock: Clock,
        events: Events,
    ) -> Option<Self> {
        let mut known: BTreeMap<PathBuf, (Option<Identity>, BTreeSet<Party>)> = BTreeMap::new();
        let configuration = watched.configuration.borrow_and_update().clone();
        let providers = watched.providers.into_iter();
        let parties = providers.map(|(name, paths)| (Party::Provider(name), paths));
        for (party, paths) in parties.chain([(Party::Configuration, configuration)]) {
            for path in paths {
                known.entry(path).or_default().1.insert(party.clone());
            }
        }
        if known.is_empty() {
            return None;
        }
        let mut files = Self {
            known,
            directories: BTreeMap::new(),
            inotify: None,
            cover: Cover::Whole,
            configuration: watched.configuration,
            heard,
            clock,
            events,
        };
        match inotify {
            Ok(inotify) => files.inotify = Some(inotify),
            Err(error) => files.fall_back(&error),
        }
        files.cover();
        files.changes();
        Some(files)
    }

    async fn run(mut self, changed: Arc<Notify>, cancel: CancellationToken) {
        loop {
            let clock = self.clock.clone();
            let poll = async {
                match self.cover {
                    Cover::Whole => std::future::pending().await,
                    Cover::Broken => clock.sleep(POLL).await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = poll => {}
                Ok(()) = self.configuration.changed() => self.follow_configuration(),
                () = changed.notified() => tokio::select! {
                    () = cancel.cancelled() => return,
                    () = quiet(&clock, &changed) => {}
                },
            }
            // First watch, then look: what changes in between is seen by one of them.
            self.cover();
            let told = self.changes();
            self.tell(told);
        }
    }

    /// Other files than before make the configuration. A new one counts as changed: it may have, since it
    /// was read.
    fn follow_configuration(&mut self) {
        let paths: BTreeSet<PathBuf> = self.configuration.borrow_and_update().iter().cloned().collect();
        for (path, (_, parties)) in &mut self.known {
            if !paths.contains(path) {
                parties.remove(&Party::Configuration);
            }
        }
        self.known.retain(|_, (_, parties)| !parties.is_empty());
        for path in paths {
            self.known.entry(path).or_default().1.insert(Party::Configuration);
        }
    }

    /// Watches all directories through which the paths lead now.
    fn cover(&mut self) {
        // What appears while it is not watched yet shows itself in the next round; more rounds
        // than a path has parts would be somebody's game.
        const ROUNDS: usize = 16;
        let Some(inotify) = &mut self.inotify else { return };
        let mut failed = None;
        for round in 0..ROUNDS {
            let wanted: BTreeSet<PathBuf> =
                self.known.keys().flat_map(|path| path::directories(path)).collect();
            let wanted: BTreeMap<PathBuf, Option<Identity>> = wanted
                .into_iter()
                .map(|directory| {
                    let inode = Identity::of_inode(&directory);
                    (directory, inode)
                })
                .collect();
            // Once in any case: one that went and came back may have its old inode.
            if round > 0 && wanted == self.directories {
                break;
            }
            for (directory, inode) in &self.directories {
                if wanted.get(directory) != Some(inode) {
                    // It may be gone from the disk, and from the watcher with it.
                    let _ = inotify.unwatch(directory);
                }
            }
            for directory in wanted.keys() {
                match inotify.watch(directory, RecursiveMode::NonRecursive) {
                    // It went just now: the next round sees that.
                    Err(error) if !matches!(error.kind, ErrorKind::PathNotFound) => failed = Some(error),
                    _ => {}
                }
            }
            self.directories = wanted;
        }
        if let Some(error) = failed {
            self.fall_back(&error);
        }
    }

    /// Whom the paths that lead elsewhere than at the last look concern.
    fn changes(&mut self) -> BTreeSet<Party> {
        let mut told = BTreeSet::new();
        for (path, (identity, parties)) in &mut self.known {
            let now = Identity::of(path);
            if *identity != now {
                *identity = now;
                told.extend(parties.iter().cloned());
            }
        }
        told
    }

    fn tell(&self, parties: BTreeSet<Party>) {
        for party in parties {
            // Who does not listen any more is about to end, and we with it.
            let _ = match party {
                Party::Configuration => self.heard.configuration.send(()).map_err(drop),
                Party::Provider(name) => self.heard.providers.send(name).map_err(drop),
            };
        }
    }

    fn fall_back(&mut self, error: &notify::Error) {
        if self.cover == Cover::Broken {
            return;
        }
        self.cover = Cover::Broken;
        let why = match &error.kind {
            ErrorKind::MaxFilesWatch => "the limit fs.inotify.max_user_watches is reached".to_owned(),
            ErrorKind::Io(io) if io.raw_os_error() == Some(libc::EMFILE) => {
                "the limit fs.inotify.max_user_instances, or that on open files, is reached".to_owned()
            }
            ErrorKind::Io(io) => io.kind().to_string(),
            _ => "inotify does not work here".to_owned(),
        };
        let place = error.paths.first().map_or_else(String::new, |path| format!(" {}", path.display()));
        let text = format!(
            "cannot watch{place} for changes ({why}): looking at watched files every {} s instead",
            POLL.as_secs()
        );
        self.events.emit(&Event::Warning { text: &text });
    }
}

/// Returns when the burst that has begun is over.
async fn quiet(clock: &Clock, changed: &Notify) {
    let burst = async { while clock.within(QUIET, changed.notified()).await.is_some() {} };
    let _ = clock.within(BURST, burst).await;
}

#[cfg(test)]
mod tests;
