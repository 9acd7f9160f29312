//! Telling the application that a generation is in place, and hearing that it uses it.
//!
//! The publisher calls [`Announcements::publish`] and goes on at once. The [`Announcer`] runs every
//! action of `on_change` that covers a changed file, each for itself: under a deadline, tried
//! again a few times, and always for the latest generation. What an action missed (generations
//! that came while it was busy, or that it failed to announce) is part of its next run.
//!
//! Acknowledgements come in through [`Announcements::acknowledge`]; acknowledging a generation
//! covers all before it. What an acknowledgement is good for is not known here: the keeper, which
//! retires leases, listens to [`Announcements::acknowledged`].

mod action;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, locked};
use crate::config::model::{Acknowledge, Action};
use crate::events::{Event, Events};
use crate::slot::Awaits;
use crate::status::Board;
pub(crate) use action::label;

/// Bounds one try of an action.
const DEADLINE: Duration = Duration::from_secs(10);

/// The waits before an action is tried again, before jitter; after the last the action has failed.
const WAITS: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// A generation that was put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its number. It grows.
    pub generation: u64,
    /// The files whose bytes changed, or that are gone, by name relative to the output directory.
    pub changed: Vec<String>,
}

/// Why an acknowledgement does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No generation is announced yet.
    NothingAnnounced,
    /// That generation is not announced yet.
    NotAnnounced {
        /// The one that was meant.
        generation: u64,
        /// The newest that is.
        latest: u64,
    },
}

/// The way in; clones share it.
#[derive(Clone)]
pub struct Announcements(Arc<Shared>);

/// The task that runs the actions.
pub struct Announcer(Arc<Shared>);

struct Shared {
    actions: Vec<Action>,
    state: Mutex<State>,
    /// The newest generation, to wake the actions.
    latest: watch::Sender<Option<u64>>,
    /// The newest generation of which every action was run, with all before it.
    announced: watch::Sender<Option<u64>>,
    acknowledged: watch::Sender<Option<u64>>,
    clock: Clock,
    board: Board,
    events: Events,
}

struct State {
    acknowledge: Acknowledge,
    /// What each action, by its place, has still to announce.
    owed: Vec<Owed>,
}

/// What one action has to announce.
#[derive(Clone, Debug, Default)]
struct Owed {
    /// The generation of the run that is due, if one is.
    due: Option<u64>,
    /// The oldest generation of the run that is under way, if one is.
    running: Option<u64>,
    /// The files that changed since its last success.
    files: BTreeSet<String>,
}

/// A run of an action.
struct Run {
    generation: u64,
    files: BTreeSet<String>,
}

impl Announcements {
    /// The two ends. Nothing happens until [`Announcer::run`].
    pub fn new(
        actions: Vec<Action>,
        acknowledge: Acknowledge,
        clock: Clock,
        board: Board,
        events: Events,
    ) -> (Self, Announcer) {
        let owed = vec![Owed::default(); actions.len()];
        let shared = Arc::new(Shared {
            actions,
            state: Mutex::new(State { acknowledge, owed }),
            latest: watch::Sender::new(None),
            announced: watch::Sender::new(None),
            acknowledged: watch::Sender::new(None),
            clock,
            board,
            events,
        });
        (Self(Arc::clone(&shared)), Announcer(shared))
    }

    /// This generation is in place and runs no action: the first of all, or one that an earlier
    /// process announced, with what it knew to be acknowledged.
    pub fn in_place(&self, generation: u64, acknowledged: Option<u64>) {
        self.0.latest.send_modify(|latest| *latest = (*latest).max(Some(generation)));
        self.0.settle();
        if let Some(acknowledged) = acknowledged {
            // Known since before: no fact to tell.
            self.0.advance(acknowledged.min(generation));
        }
    }

    /// Announces a generation: from now on it can be acknowledged, and the actions that cover a
    /// changed file run. Returns at once, with what the leases wait for that it replaced.
    pub fn publish(&self, announcement: &Announcement) -> Awaits {
        let mut state = locked(&self.0.state);
        for (action, owed) in self.0.actions.iter().zip(&mut state.owed) {
            let files = covered(action, &announcement.changed);
            // What it failed to announce before is a reason to run, too.
            if !files.is_empty() || !owed.files.is_empty() {
                owed.files.extend(files.into_iter().cloned());
                owed.due = Some(announcement.generation);
            }
        }
        let awaits = self.0.awaits(state.acknowledge, &announcement.changed);
        drop(state);
        self.0.latest.send_modify(|latest| *latest = (*latest).max(Some(announcement.generation)));
        self.0.settle();
        awaits
    }

    /// What the leases would wait for that a generation with these changes replaces.
    pub fn awaits(&self, changed: &[String]) -> Awaits {
        self.0.awaits(locked(&self.0.state).acknowledge, changed)
    }

    /// From now on `lifecycle.acknowledge` is this (a reload).
    pub fn set_acknowledge(&self, acknowledge: Acknowledge) {
        locked(&self.0.state).acknowledge = acknowledge;
    }

    /// The newest generation that is announced.
    pub fn latest(&self) -> Option<u64> {
        *self.0.latest.borrow()
    }

    /// The newest generation whose actions were all run (well, or until they were given up), and its
    /// changes: what a later process need not announce again.
    pub fn announced(&self) -> watch::Receiver<Option<u64>> {
        self.0.announced.subscribe()
    }

    /// The newest generation that is acknowledged, and its changes.
    pub fn acknowledged(&self) -> watch::Receiver<Option<u64>> {
        self.0.acknowledged.subscribe()
    }

    /// The application says that it uses a generation: the newest where it names none. Answers
    /// with the newest that is acknowledged now. A name tells applications apart where several
    /// have to acknowledge; none has to be named yet, so it is not looked at.
    pub fn acknowledge(&self, generation: Option<u64>, _name: Option<&str>) -> Result<u64, Refused> {
        let latest = self.latest().ok_or(Refused::NothingAnnounced)?;
        let generation = generation.unwrap_or(latest);
        if generation > latest {
            return Err(Refused::NotAnnounced { generation, latest });
        }
        if self.0.advance(generation) == News::Yes {
            self.0.events.emit(&Event::Acknowledged { generation });
        }
        Ok(self.0.acknowledged.borrow().unwrap_or(generation))
    }
}

impl Announcer {
    /// Runs the actions until `ending`.
    pub async fn run(self, ending: CancellationToken) {
        // Dropped with this task, and with it every action.
        let mut actions = JoinSet::new();
        for place in 0..self.0.actions.len() {
            actions.spawn(Arc::clone(&self.0).announce(place));
        }
        ending.cancelled().await;
    }
}

impl Shared {
    /// Runs the action of this place whenever it is due.
    async fn announce(self: Arc<Self>, place: usize) {
        let mut latest = self.latest.subscribe();
        loop {
            if let Some(run) = self.take(place) {
                self.attempt(place, run).await;
            } else if latest.changed().await.is_err() {
                return;
            }
        }
    }

    /// Tries until it goes well or the waits are used up, and says what came of it.
    async fn attempt(&self, place: usize, mut run: Run) {
        let action = &self.actions[place];
        let mut waits = WAITS.into_iter();
        let outcome = loop {
            let tried = self.clock.within(DEADLINE, action::perform(&action.kind)).await;
            let error = match tried {
                Some(Ok(done)) => break Ok(done),
                Some(Err(error)) => error,
                None => format!("it was not done within {} s", DEADLINE.as_secs()),
            };
            let Some(wait) = waits.next() else { break Err(error) };
            // Half to one and a half times, so that replicas do not come together.
            self.clock.sleep(wait.mul_f64(0.5 + fastrand::f64())).await;
            // What came meanwhile is announced by the next try.
            if let Some(newer) = self.take(place) {
                run.generation = newer.generation;
                run.files.extend(newer.files);
            }
        };
        let mut state = locked(&self.state);
        state.owed[place].running = None;
        if outcome.is_err() {
            state.owed[place].files.append(&mut run.files);
        }
        drop(state);
        self.settle();
        self.report(action, run.generation, &outcome);
    }

    /// The run that is due; it is not any more.
    fn take(&self, place: usize) -> Option<Run> {
        let owed = &mut locked(&self.state).owed[place];
        let generation = owed.due.take()?;
        owed.running.get_or_insert(generation);
        Some(Run { generation, files: std::mem::take(&mut owed.files) })
    }

    /// Notes how far everything is announced.
    fn settle(&self) {
        let state = locked(&self.state);
        let pending = state.owed.iter().filter_map(|owed| owed.running.or(owed.due)).min();
        let through = match pending {
            Some(generation) => generation.checked_sub(1),
            None => *self.latest.borrow(),
        };
        self.announced.send_if_modified(|announced| {
            let news = *announced < through;
            *announced = (*announced).max(through);
            news
        });
    }

    fn report(&self, action: &Action, generation: u64, outcome: &Result<action::Done, String>) {
        let label = action::label(action);
        let (answer, error) = match outcome {
            Ok(done) => (done.to_string(), None),
            Err(error) => (error.clone(), Some(error.as_str())),
        };
        self.events.emit(&Event::ActionDone { action: &label, generation, error });
        self.board.write(|board| {
            // The answer belongs to the generation that it announced; a newer one gets its own.
            if let Some(state) = board.generation.as_mut().filter(|state| state.number == generation) {
                state.actions.insert(label, answer);
            }
        });
    }

    fn awaits(&self, acknowledge: Acknowledge, changed: &[String]) -> Awaits {
        let expected = match acknowledge {
            Acknowledge::None => false,
            Acknowledge::Required => !changed.is_empty(),
            Acknowledge::Auto => self
                .actions
                .iter()
                .any(|action| action::acknowledges(&action.kind) && !covered(action, changed).is_empty()),
        };
        if expected { Awaits::Acknowledgement } else { Awaits::Nothing }
    }

    /// This generation and all before it are acknowledged. Whether that is news.
    fn advance(&self, generation: u64) -> News {
        let news = self.acknowledged.send_if_modified(|newest| {
            let news = *newest < Some(generation);
            *newest = (*newest).max(Some(generation));
            news
        });
        if !news {
            return News::No;
        }
        self.board.write(|board| board.acknowledged = Some(generation));
        News::Yes
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Yes,
    No,
}

/// Those of the changed files that the action is about.
fn covered<'a>(action: &Action, changed: &'a [String]) -> Vec<&'a String> {
    changed.iter().filter(|file| action.files.as_ref().is_none_or(|files| files.contains(file))).collect()
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingAnnounced => f.write_str("no generation is announced yet"),
            Self::NotAnnounced { generation, latest } => {
                write!(f, "generation {generation} is not announced yet, the newest is {latest}")
            }
        }
    }
}

impl std::error::Error for Refused {}
