//! Telling the application that a generation is in place, and hearing that it uses it.
//!
//! The publisher calls [`Announcements::publish`] and goes on at once. The [`Announcer`] runs every
//! action of `on_change` that covers a changed file, each for itself: after its debounce, under a
//! deadline, tried again a few times, and always for the latest generation. What an action missed
//! (generations that came while it was busy, or that it failed to announce) is part of its next run.
//!
//! Acknowledgements are the successes of commands and requests, and what comes in through
//! [`Announcements::acknowledge`]; acknowledging a generation covers all before it, and the ledger
//! knows who has to. What an acknowledgement is good for is not known here: the keeper, which
//! retires leases, listens to [`Announcements::acknowledged`].

mod action;
mod announcer;
mod ledger;
mod outlook;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::clock::locked;
use crate::config::Config;
use crate::config::model::{Acknowledge, Action, ActionKind, Hook};
use crate::events::{Event, Events};
use crate::hook::Surroundings;
use crate::slot::Awaits;
use crate::status::Board;
#[cfg(feature = "mock")]
pub(crate) use action::label;
#[cfg(feature = "explain")]
pub(crate) use action::{acknowledges, covers, labels};
pub use announcer::Announcer;
use announcer::Owed;
use ledger::{Ledger, NotAsked};

/// What is to be told, and to whom.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `on_change`.
    pub actions: Vec<Action>,
    /// `lifecycle.acknowledge`.
    pub acknowledge: Acknowledge,
    /// Where the files are.
    pub directory: PathBuf,
}

/// A generation that was put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its number. It grows.
    pub generation: u64,
    /// The files whose bytes changed, or that are gone, by name relative to the output directory.
    pub changed: Vec<String>,
}

/// How far the application has been told, and has answered: what a later process has to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The newest generation whose actions were all run, with all before it.
    pub announced: Option<u64>,
    /// The newest generation that is acknowledged.
    pub acknowledged: Option<u64>,
    /// The newest generation that each of `acknowledge.from` has answered for.
    pub answers: BTreeMap<String, u64>,
}

/// What became of somebody's acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The newest generation that is acknowledged now; where others have yet to answer, the one that
    /// was meant.
    pub generation: u64,
    /// Who has yet to answer.
    pub missing: Vec<String>,
}

/// Why an acknowledgement does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// `acknowledge.from` names who has to, and this is none of them.
    NotAsked {
        /// Whether it said a name at all.
        named: Named,
        /// Who is asked.
        expected: BTreeSet<String>,
    },
}

/// Whether a name was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// One that is not asked for.
    Otherwise,
    /// None.
    No,
}

/// The way in; clones share it.
#[derive(Clone)]
pub struct Announcements(Arc<Shared>);

struct Shared {
    actions: Vec<Action>,
    /// What each action is called, by its place.
    labels: Vec<String>,
    directory: PathBuf,
    state: Mutex<State>,
    /// The newest generation, to wake the actions.
    latest: watch::Sender<Option<u64>>,
    /// How far everything is announced and answered.
    standing: watch::Sender<Standing>,
    acknowledged: watch::Sender<Option<u64>>,
    surroundings: Surroundings,
    board: Board,
    events: Events,
}

struct State {
    ledger: Ledger,
    /// What each action, by its place, has still to announce.
    owed: Vec<Owed>,
}

/// What the configuration asks for in vain, since it publishes nothing: the key, and why. Empty where it
/// publishes something.
pub fn in_vain(config: &Config) -> Vec<(&'static str, String)> {
    let mut vain = Vec::new();
    if !config.files.is_empty() {
        return vain;
    }
    if let Acknowledge::Required | Acknowledge::From(_) = config.lifecycle.acknowledge {
        let why = "`files` is empty: there is nothing to acknowledge, and nothing waits for it. A replaced lease is \
                   revoked after its overlap, which under exec begins once the command has the successor";
        vain.push(("lifecycle.acknowledge", why.to_owned()));
    }
    if !config.on_change.is_empty() {
        let why = "`files` is empty: no file ever changes, so these actions never run; what happens to the command \
                   under exec is said by exec.on_change";
        vain.push(("on_change", why.to_owned()));
    }
    vain
}

/// The same, or what is expected of the names in `acknowledge.from` that no action answers for.
pub fn left_to_post(config: &Config) -> Vec<(&'static str, String)> {
    if config.files.is_empty() {
        return in_vain(config);
    }
    let notes = ledger::left_to_post(&config.lifecycle.acknowledge, &config.on_change);
    notes.into_iter().map(|note| ("lifecycle.acknowledge", note)).collect()
}

/// The commands and requests among the actions, by their key.
pub fn hooks(actions: &[Action]) -> impl Iterator<Item = (String, &Hook)> {
    actions.iter().enumerate().filter_map(|(place, action)| match &action.kind {
        ActionKind::Hook(hook) => Some((format!("on_change[{place}]"), hook)),
        ActionKind::Signal { .. } => None,
    })
}

/// Whose acknowledgement is expected when these files change, in words. Empty: nobody's.
#[cfg(feature = "explain")]
pub(crate) fn expected_of(mode: &Acknowledge, actions: &[Action], changed: &[String]) -> Vec<String> {
    let mut ledger = Ledger::new(mode.clone(), actions, &action::labels(actions));
    ledger.expect(1, changed);
    ledger.missing(1)
}

impl Announcements {
    /// The two ends. Nothing happens until [`Announcer::run`].
    pub fn new(plan: Plan, surroundings: Surroundings, board: Board, events: Events) -> (Self, Announcer) {
        let labels = action::labels(&plan.actions);
        let ledger = Ledger::new(plan.acknowledge, &plan.actions, &labels);
        let owed = vec![Owed::default(); plan.actions.len()];
        let shared = Arc::new(Shared {
            actions: plan.actions,
            labels,
            directory: plan.directory,
            state: Mutex::new(State { ledger, owed }),
            latest: watch::Sender::new(None),
            standing: watch::Sender::default(),
            acknowledged: watch::Sender::new(None),
            surroundings,
            board,
            events,
        });
        (Self(Arc::clone(&shared)), Announcer::new(shared))
    }

    /// This generation, with these files, is in place and runs no action: the first of all, or one that
    /// an earlier process announced, with what it knew.
    pub fn in_place(&self, generation: u64, earlier: Option<(&Standing, &[String])>) {
        self.0.latest.send_modify(|latest| *latest = (*latest).max(Some(generation)));
        if let Some((standing, files)) = earlier {
            let mut state = locked(&self.0.state);
            state.ledger.resume(standing.acknowledged.min(Some(generation)), &standing.answers);
            // Its leases wait for what they waited for before.
            state.ledger.expect(generation, files);
        }
        self.0.settle();
        // Known since before: no fact to tell.
        self.0.advance();
    }

    /// Announces a generation: from now on it can be acknowledged, and the actions that cover a
    /// changed file run. Returns at once, with what the leases wait for that it replaced.
    pub fn publish(&self, announcement: &Announcement) -> Awaits {
        let mut state = locked(&self.0.state);
        for (action, owed) in self.0.actions.iter().zip(&mut state.owed) {
            owed.add(announcement.generation, covered(action, &announcement.changed));
        }
        let awaits = state.ledger.expect(announcement.generation, &announcement.changed);
        drop(state);
        self.0.latest.send_modify(|latest| *latest = (*latest).max(Some(announcement.generation)));
        self.0.settle();
        self.0.advance();
        awaits
    }

    /// What the leases would wait for that a generation with these changes replaces.
    pub fn awaits(&self, changed: &[String]) -> Awaits {
        locked(&self.0.state).ledger.awaits(changed)
    }

    /// From now on `lifecycle.acknowledge` is this (a reload).
    pub fn set_acknowledge(&self, acknowledge: Acknowledge) {
        locked(&self.0.state).ledger.set_mode(acknowledge);
        self.0.advance();
    }

    /// The newest generation that is announced.
    pub fn latest(&self) -> Option<u64> {
        *self.0.latest.borrow()
    }

    /// How far everything is announced (its actions run well, or until they were given up) and answered:
    /// what a later process need not do again.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.0.standing.subscribe()
    }

    /// The newest generation that is acknowledged, and its changes.
    pub fn acknowledged(&self) -> watch::Receiver<Option<u64>> {
        self.0.acknowledged.subscribe()
    }

    /// The application says that it uses a generation: the newest where it names none. A name tells
    /// applications apart where several have to acknowledge.
    ///
    /// # Errors
    /// Why that does not count.
    pub fn acknowledge(&self, generation: Option<u64>, name: Option<&str>) -> Result<Acknowledged, Refused> {
        let latest = self.latest().ok_or(Refused::NothingAnnounced)?;
        let generation = generation.unwrap_or(latest);
        if generation > latest {
            return Err(Refused::NotAnnounced { generation, latest });
        }
        let mut state = locked(&self.0.state);
        if let Err(why) = state.ledger.say(generation, name) {
            let expected = state.ledger.names().cloned().unwrap_or_default();
            let named = match why {
                NotAsked::Unknown => Named::Otherwise,
                NotAsked::Unnamed => Named::No,
            };
            return Err(Refused::NotAsked { named, expected });
        }
        let by_name = name.filter(|_| state.ledger.names().is_some()).map(str::to_owned);
        let missing = state.ledger.missing(generation);
        drop(state);
        if let Some(name) = by_name {
            self.0.events.emit(&Event::Answered { name: &name, generation, missing: &missing });
        }
        self.0.advance_and_tell();
        let acknowledged = *self.0.acknowledged.borrow();
        let generation = match missing.is_empty() {
            true => acknowledged.unwrap_or(generation),
            false => generation,
        };
        Ok(Acknowledged { generation, missing })
    }
}

impl Shared {
    /// Notes how far everything is announced.
    fn settle(&self) {
        let state = locked(&self.state);
        let pending = state.owed.iter().filter_map(Owed::oldest).min();
        let through = match pending {
            Some(generation) => generation.checked_sub(1),
            None => *self.latest.borrow(),
        };
        drop(state);
        self.standing.send_if_modified(|standing| {
            let news = standing.announced < through;
            standing.announced = standing.announced.max(through);
            news
        });
    }

    /// Notes how far everything is acknowledged, and who has yet to. Whether that is news.
    fn advance(&self) -> Option<u64> {
        let state = locked(&self.state);
        let newest = state.ledger.acknowledged();
        let answers = state.ledger.answers().clone();
        let missing = state.ledger.missing(u64::MAX);
        drop(state);
        self.standing.send_if_modified(|standing| {
            let news = standing.acknowledged < newest || standing.answers != answers;
            standing.acknowledged = standing.acknowledged.max(newest);
            standing.answers = answers;
            news
        });
        self.board.write(|board| {
            board.acknowledged = newest;
            board.missing_acknowledgements = missing;
        });
        let news = self.acknowledged.send_if_modified(|acknowledged| {
            let news = *acknowledged < newest;
            *acknowledged = (*acknowledged).max(newest);
            news
        });
        newest.filter(|_| news)
    }

    fn advance_and_tell(&self) {
        if let Some(generation) = self.advance() {
            self.events.emit(&Event::Acknowledged { generation });
        }
    }
}

/// Those of the changed files that the action is about.
fn covered<'a>(action: &Action, changed: &'a [String]) -> Vec<&'a String> {
    changed.iter().filter(|file| action::covers(&action.files, file)).collect()
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingAnnounced => f.write_str("no generation is announced yet"),
            Self::NotAnnounced { generation, latest } => {
                write!(f, "generation {generation} is not announced yet, the newest is {latest}")
            }
            Self::NotAsked { named, expected } => {
                f.write_str(match named {
                    Named::Otherwise => "nobody of that name is asked to acknowledge",
                    Named::No => "say who acknowledges, as `name`",
                })?;
                let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
                write!(f, "; lifecycle.acknowledge.from expects {}", expected.join(", "))
            }
        }
    }
}

impl std::error::Error for Refused {}
