//! The task that owns the volume: it collects what keepers offer, renders it as one set and puts
//! that set in place.
//!
//! The first generation waits until every secret was offered, or its lack. After that it collects
//! until 100 ms of quiet (at most 1 s, less where a value ends sooner), so that rotations that
//! fall together make one generation. A set that cannot be rendered or written leaves the old one
//! in place: the offers are refused, and come again when their keeper likes.
//!
//! With a check (`verify`) a set that differs from the one in place is written beside it, whole, and
//! looked at before the one rename; meanwhile everything else goes on.

mod announce;
mod child;
mod offer;
mod place;
mod plan;
mod trial;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::clock::{Clock, Moment};
use crate::config::model::{OnFailure, Output};
use crate::events::Events;
use crate::handover::Handover;
use crate::hook::Known;
use crate::notify_app::{Announcements, Standing};
use crate::render::Renderer;
use crate::schedule::Dice;
use crate::status::Board;
use crate::volume::Volume;

pub use child::{Child, ChildEnvironment, Delivery, Has, Line};
pub use offer::{Answer, Lack, NoSet, Offer, Published, Refusal, Refused, Replaced, ToPublisher, Value};
pub(crate) use place::all_words;
use plan::Design;
use trial::Trial;
use verify::Checked;
pub use verify::{Candidate, Check, Verdict};

/// No offer for this long: what came is published.
const QUIET: Duration = Duration::from_millis(100);
/// What came is published after this long, quiet or not.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the publisher is given of the rest of the house.
pub struct Links {
    /// The time.
    pub clock: Clock,
    /// Where facts are told.
    pub events: Events,
    /// Where the state is shown.
    pub board: Board,
    /// What the next process gets.
    pub handover: Handover,
    /// Who tells the application.
    pub announcements: Announcements,
    /// What must not be shown.
    pub known: Known,
    /// Latched by the first whole generation.
    pub ready: watch::Sender<bool>,
    /// Where it says that there can be no first generation.
    pub fatal: mpsc::UnboundedSender<NoSet>,
}

/// The publisher.
pub struct Publisher {
    links: Links,
    output: Output,
    volume: Option<Volume>,
    design: Design,
    /// The command that `exec` runs.
    child: Option<Child>,
    /// What a set has to pass.
    check: Option<Checked>,
    /// A set that is being checked.
    trial: Option<Trial>,
    dice: Dice,
    /// What is in place, or would be where there are no files.
    values: BTreeMap<String, Placed>,
    /// What is offered and not in place yet.
    pending: BTreeMap<String, Pending>,
    /// Since when something is pending, and since when it is quiet.
    collecting: Option<Collecting>,
    /// The keys of each generation that may still be read.
    generations: BTreeMap<u64, BTreeSet<String>>,
    /// Keys that were replaced and whose lease still lives.
    living: BTreeSet<String>,
    /// Keys that were released before they were replaced.
    released: BTreeSet<String>,
    number: u64,
    before: Before,
    tidy_at: Option<Moment>,
}

/// What an earlier process left.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// The generation in place.
    pub generation: Option<u64>,
    /// How far it was announced and acknowledged.
    pub standing: Standing,
}

/// An offer, and since when it waits.
struct Pending {
    offer: Offer,
    since: Moment,
}

#[derive(Clone)]
struct Placed {
    key: String,
    value: Result<Value, Lack>,
}

struct Collecting {
    quiet_at: Moment,
    at_the_latest: Moment,
}

impl Publisher {
    /// A publisher for these secrets. `volume` is `None` where no files are wanted.
    pub fn new(
        links: Links,
        output: Output,
        volume: Option<Volume>,
        renderer: Renderer,
        secrets: BTreeSet<String>,
        before: Before,
    ) -> Self {
        let generation = volume.as_ref().and_then(Volume::current).map(|current| current.number);
        let before = Before { generation, ..before };
        let number = generation.unwrap_or_default();
        let now = links.clock.now();
        Self {
            links,
            output,
            volume,
            design: Design { renderer, secrets },
            child: None,
            check: None,
            trial: None,
            dice: Dice::new(),
            values: BTreeMap::new(),
            pending: BTreeMap::new(),
            collecting: None,
            generations: BTreeMap::new(),
            living: BTreeSet::new(),
            released: BTreeSet::new(),
            number,
            before,
            tidy_at: Some(now),
        }
    }

    /// The same with a command that is given `env`.
    #[must_use]
    pub fn with_child(mut self, child: Child) -> Self {
        self.child = Some(child);
        self
    }

    /// The same with a check that a set has to pass. Where it is not passed, `on_failure` decides; over
    /// the first set not before `first_until`.
    #[must_use]
    pub fn with_check(mut self, check: Arc<dyn Check>, on_failure: OnFailure, first_until: Moment) -> Self {
        self.check = Some(Checked { check, on_failure, first_until });
        self
    }

    /// Publishes until nobody offers any more.
    pub async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<ToPublisher>) {
        let clock = self.links.clock.clone();
        let mut standing = self.links.announcements.standing();
        if self.design.secrets.is_empty() {
            self.publish();
        }
        loop {
            let wake = [self.collecting_ends(), self.tidy_at, self.trial.as_ref().and_then(Trial::wake)]
                .into_iter()
                .flatten()
                .min();
            tokio::select! {
                biased;
                message = inbox.recv() => match message {
                    Some(message) => self.told(message),
                    None => return self.abandon(),
                },
                Ok(()) = standing.changed() => self.record_announced(),
                () = progress(&mut self.child) => self.release_held(),
                verdict = trial::verdict(&mut self.trial) => self.judged(verdict),
                () = clock.reaches(wake) => {
                    let now = clock.now();
                    self.go_on_trying(now);
                    if self.collecting_ends().is_some_and(|at| at <= now) {
                        self.publish();
                    }
                    if self.tidy_at.is_some_and(|at| at <= now) {
                        self.tidy(now);
                    }
                }
            }
        }
    }

    fn told(&mut self, message: ToPublisher) {
        match message {
            ToPublisher::Offer(offer) => self.take(offer),
            ToPublisher::Release { key } => self.release(key),
            ToPublisher::Withdraw { secret, key } => self.withdraw(&secret, &key),
            ToPublisher::Plan { files, env, secrets, reply } => self.replan(&files, &env, secrets, reply),
        }
    }

    /// When what is collected is published. While a check looks at a set, what does not concern it waits.
    fn collecting_ends(&self) -> Option<Moment> {
        let collecting = self.collecting.as_ref().filter(|_| !self.is_held_up())?;
        Some(collecting.quiet_at.min(collecting.at_the_latest))
    }

    fn take(&mut self, offer: Offer) {
        if !self.design.secrets.contains(&offer.secret) {
            return;
        }
        if let Ok(value) = &offer.value {
            self.links.known.fields(&value.fields);
        }
        let now = self.links.clock.now();
        let urgent = offer.replaces.map(|replaced| replaced.end);
        self.pending.insert(offer.secret.clone(), Pending { offer, since: now });
        let first = self.values.is_empty();
        if !self.is_whole(&self.design.secrets) {
            return;
        }
        let quiet_at = if first { now } else { now + QUIET };
        let latest = now + PATIENCE;
        let latest = urgent.map_or(latest, |end| latest.min(end.before(QUIET)).max(now));
        let collecting = self.collecting.get_or_insert(Collecting { quiet_at, at_the_latest: latest });
        collecting.quiet_at = quiet_at;
        collecting.at_the_latest = collecting.at_the_latest.min(latest);
    }

    /// What holds this key is old now: its generations stay until it is released.
    fn replaced(&mut self, key: String) {
        if !key.is_empty() && !self.released.remove(&key) {
            self.living.insert(key);
        }
    }

    /// The lease behind this key is gone. What is in place or on its way may be told so early.
    fn release(&mut self, key: String) {
        if self.living.remove(&key) {
            self.tidy_at = Some(self.links.clock.now());
        } else if self.values.values().any(|placed| placed.key == key)
            || self.pending.values().any(|pending| pending.offer.key == key)
        {
            self.released.insert(key);
        }
    }

    /// Whether each of the secrets was offered, or its lack.
    fn is_whole(&self, secrets: &BTreeSet<String>) -> bool {
        secrets.iter().all(|name| self.values.contains_key(name) || self.pending.contains_key(name))
    }

    /// Publishes what was collected. With a check it is tried out first, but for files that have to go
    /// or that a secret that is not there leaves out: those must not wait for it.
    fn publish(&mut self) {
        self.collecting = None;
        self.abandon();
        if self.check.is_some() && !self.values.is_empty() {
            if self.pending.values().any(|pending| pending.offer.value.is_err()) {
                self.bring(|offer| offer.value.is_err(), false);
            }
            if self.pending.is_empty() {
                return;
            }
        }
        self.bring(|_| true, self.check.is_some());
    }

    fn bring(&mut self, wanted: fn(&Offer) -> bool, checked: bool) {
        let values = self.with_pending(|_, offer| wanted(offer));
        let outcome = match self.render(&self.design, None, values) {
            Ok((draft, set)) if checked => return self.try_out(draft, set, None),
            Ok((draft, set)) => self.place(draft, set.as_ref()),
            Err(refused) => Err(refused),
        };
        if let Err((why, values)) = outcome {
            self.refused(why, &values);
        }
    }

    /// What is pending and was left aside is collected anew.
    fn collect_rest(&mut self) {
        if !self.pending.is_empty() && self.is_whole(&self.design.secrets) {
            let now = self.links.clock.now();
            self.collecting
                .get_or_insert(Collecting { quiet_at: now + QUIET, at_the_latest: now + PATIENCE });
        }
    }

    /// Removes generations that nobody may read any more.
    fn tidy(&mut self, now: Moment) {
        let Some(volume) = &mut self.volume else {
            self.tidy_at = None;
            return;
        };
        let (generations, living) = (&self.generations, &self.living);
        self.tidy_at =
            volume.tidy(now, |number| generations.get(&number).is_some_and(|keys| !keys.is_disjoint(living)));
        let current = self.number;
        let living = &self.living;
        self.generations.retain(|number, keys| *number == current || !keys.is_disjoint(living));
    }
}

async fn progress(child: &mut Option<Child>) {
    match child {
        Some(child) => child.progress().await,
        None => std::future::pending().await,
    }
}
