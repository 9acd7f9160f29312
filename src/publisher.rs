//! The task that owns the volume: it collects what keepers offer, renders it as one set and puts
//! that set in place.
//!
//! The first generation waits until every secret was offered, or its lack. After that it collects
//! until 100 ms of quiet (at most 1 s, less where a value ends sooner), so that rotations that
//! fall together make one generation. A set that cannot be rendered or written leaves the old one
//! in place: the offers are refused, and come again when their keeper likes.

mod child;
mod offer;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::clock::{Clock, Moment};
use crate::config::model::{Files, OnFailure, Output, is_session_value};
use crate::events::{Event, Events};
use crate::handover::{Entry, Handover};
use crate::hook::Known;
use crate::notify_app::{Announcement, Announcements, Standing};
use crate::render::{Paths, RenderError, Renderer, Variables};
use crate::slot::Awaits;
use crate::status::{Board, GenerationState};
use crate::volume::{self, Manifest, ManifestSecret, Set, Volume};

pub use child::{Child, ChildEnvironment, Delivery, Line};
pub use offer::{Answer, Lack, NoSet, Offer, Published, Refused, ToPublisher, Value};
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
    renderer: Renderer,
    /// The command that `exec` runs.
    child: Option<Child>,
    /// What a set has to pass.
    check: Option<Checked>,
    /// Every secret that the set is made of.
    secrets: BTreeSet<String>,
    /// What is in place, or would be where there are no files.
    values: BTreeMap<String, Placed>,
    /// What is offered and not in place yet.
    pending: BTreeMap<String, Offer>,
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

/// See [`Publisher::with_check`].
struct Checked {
    check: Arc<dyn Check>,
    on_failure: OnFailure,
    first_until: Moment,
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
            renderer,
            child: None,
            check: None,
            secrets,
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
        if self.secrets.is_empty() {
            self.publish();
        }
        loop {
            let wake = [self.collecting.as_ref().map(|c| c.quiet_at.min(c.at_the_latest)), self.tidy_at]
                .into_iter()
                .flatten()
                .min();
            tokio::select! {
                biased;
                message = inbox.recv() => match message {
                    Some(ToPublisher::Offer(offer)) => self.take(offer),
                    Some(ToPublisher::Release { key }) => self.release(key),
                    Some(ToPublisher::Plan { files, env, secrets, reply }) => {
                        // Whoever reloads may have gone; the plan holds all the same.
                        let _ = reply.send(self.replan(&files, &env, secrets));
                    }
                    None => return,
                },
                Ok(()) = standing.changed() => self.record_announced(),
                () = progress(&mut self.child) => self.release_held(),
                () = sleep_until(&clock, wake) => {
                    let now = clock.now();
                    if self.collecting.as_ref().is_some_and(|c| c.quiet_at.min(c.at_the_latest) <= now) {
                        self.publish();
                    }
                    if self.tidy_at.is_some_and(|at| at <= now) {
                        self.tidy(now);
                    }
                }
            }
        }
    }

    fn take(&mut self, offer: Offer) {
        if !self.secrets.contains(&offer.secret) {
            return;
        }
        if let Ok(value) = &offer.value {
            self.links.known.fields(&value.fields);
        }
        let now = self.links.clock.now();
        let urgent = offer.urgent;
        self.pending.insert(offer.secret.clone(), offer);
        let first = self.values.is_empty();
        if !self.is_whole() {
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
            || self.pending.values().any(|offer| offer.key == key)
        {
            self.released.insert(key);
        }
    }

    /// Whether every secret was offered, or its lack.
    fn is_whole(&self) -> bool {
        self.secrets.iter().all(|name| self.values.contains_key(name) || self.pending.contains_key(name))
    }

    fn publish(&mut self) {
        self.collecting = None;
        let now = self.links.clock.now();
        let mut next = self.values.clone();
        for (name, offer) in &self.pending {
            next.insert(name.clone(), Placed { key: offer.key.clone(), value: offer.value.clone() });
        }
        match self.place(&next, now) {
            // From here on the overlap counts: it begins when the set is in place, not before.
            Ok(placed) => self.placed(next, placed, self.links.clock.now()),
            Err(why) => self.refused(why),
        }
    }

    /// Renders a set and puts it in place.
    fn place(&mut self, values: &BTreeMap<String, Placed>, now: Moment) -> Result<Place, NoSet> {
        let fields = values
            .iter()
            .map(|(name, placed)| {
                (name.clone(), placed.value.as_ref().ok().map(|value| value.fields.clone()))
            })
            .collect();
        let environment = self
            .child
            .as_ref()
            .map(|child| child.render(&fields))
            .transpose()
            .map_err(|error| NoSet::Render(words(&error)))?;
        let Some(volume) = &mut self.volume else {
            return Ok(Place { changed: Vec::new(), files: Vec::new(), moved: Moved::Unseen, environment });
        };
        let gone = values
            .iter()
            .filter(|(_, placed)| placed.value.as_ref().is_err_and(|lack| *lack == Lack::Expired))
            .map(|(name, _)| name.clone())
            .collect();
        let files = self
            .renderer
            .render_without(&gone, &fields, &self.output)
            .map_err(|error| NoSet::Render(words(&error)))?;
        let names: Vec<String> = files.keys().cloned().collect();
        let set = Set { files, manifest: manifest(values, &self.links.clock) };
        match volume.publish(&set, now).map_err(|error| NoSet::Volume(error.to_string()))? {
            volume::Published::Generation { number, changed, .. } => {
                Ok(Place { changed, files: names, moved: Moved::Generation(number), environment })
            }
            volume::Published::Unchanged { number } => {
                Ok(Place { changed: Vec::new(), files: names, moved: Moved::Stayed(number), environment })
            }
        }
    }

    fn placed(&mut self, next: BTreeMap<String, Placed>, place: Place, now: Moment) {
        let first = self.values.is_empty();
        let replaced: Vec<String> = self
            .values
            .iter()
            .filter(|(name, placed)| next.get(*name).is_none_or(|new| new.key != placed.key))
            .map(|(_, placed)| placed.key.clone())
            .collect();
        for key in replaced {
            self.replaced(key);
        }
        let keys: BTreeSet<String> = next.values().map(|placed| placed.key.clone()).collect();
        self.values = next;
        let generation = match place.moved {
            Moved::Generation(number) | Moved::Stayed(number) => number,
            Moved::Unseen => self.number + 1,
        };
        let moved = !matches!(place.moved, Moved::Stayed(_));
        self.number = generation;
        self.generations.entry(generation).or_default().extend(keys);
        let awaits = self.announce(generation, &place, moved, first);
        self.links.board.write(|board| {
            board.refused = None;
            board.ready = true;
            if moved || board.generation.is_none() {
                board.generation = Some(GenerationState {
                    number: generation,
                    published: now,
                    files: place.files.clone(),
                    actions: BTreeMap::new(),
                });
            }
        });
        if moved {
            self.links.events.emit(&Event::Published {
                generation,
                changed: &place.changed,
                files: place.files.len(),
            });
        }
        self.links.ready.send_replace(true);
        let published = Published { generation, announced: now, awaits };
        let mut offers: Vec<Offer> = std::mem::take(&mut self.pending).into_values().collect();
        if let (Some(child), Some(environment)) = (&mut self.child, place.environment) {
            offers = child.deliver(environment, &place.changed, published, offers);
        }
        offers.into_iter().for_each(|offer| answer(offer, Ok(published)));
        self.tidy(now);
    }

    /// The command has what some offers waited for.
    fn release_held(&mut self) {
        let now = self.links.clock.now();
        for (offer, published) in self.child.iter_mut().flat_map(|child| child.released(now)) {
            answer(offer, Ok(published));
        }
    }

    /// Tells the announcer. The first generation of all runs no action; one that an earlier
    /// process put in place and did not announce to the end runs them now.
    fn announce(&mut self, generation: u64, place: &Place, moved: bool, first: bool) -> Awaits {
        let announcements = &self.links.announcements;
        let Before { generation: in_place, standing } = &self.before;
        if first && let (Some(_), Some(announced)) = (in_place, standing.announced) {
            announcements.in_place(announced, Some((standing, &[])));
        }
        let changed = match (first, in_place) {
            (true, None) => None,
            (true, Some(_)) if standing.announced < *in_place => Some(place.files.clone()),
            _ if moved => Some(place.changed.clone()),
            _ => None,
        };
        match changed {
            Some(changed) => announcements.publish(&Announcement { generation, changed }),
            None if first => {
                let earlier = in_place.map(|_| (standing, place.files.as_slice()));
                announcements.in_place(generation, earlier);
                // What it replaced may not have been noted as such yet, and waits for the same.
                match in_place {
                    Some(_) => announcements.awaits(&place.files),
                    None => Awaits::Nothing,
                }
            }
            None => Awaits::Nothing,
        }
    }

    /// The next process is to know what it need not announce any more, and who has answered.
    fn record_announced(&self) {
        let now = self.links.clock.now();
        let Some(entry) = Entry::announced(&self.links.announcements.standing().borrow(), now) else {
            return;
        };
        if let Err(error) = self.links.handover.put(&entry) {
            self.links.events.emit(&Event::Warning { text: &error.to_string() });
        }
    }

    fn refused(&mut self, why: NoSet) {
        let ready = *self.links.ready.borrow();
        let text = match &why {
            NoSet::Render(text) | NoSet::Volume(text) => text.clone(),
        };
        self.links.board.write(|board| board.refused = Some(text.clone()));
        if ready {
            self.links.events.emit(&Event::PublishRefused { why: &text });
        } else {
            // It ends the process, which says why. The receiver is gone only when it ends already.
            let _ = self.links.fatal.send(why);
        }
        for offer in std::mem::take(&mut self.pending).into_values() {
            answer(offer, Err(Refused { why: text.clone() }));
        }
    }

    /// Other files or secrets. What is in place stays until the new set is whole; a set that
    /// cannot be rendered or written leaves the old plan.
    fn replan(
        &mut self,
        files: &Files,
        env: &BTreeMap<String, String>,
        secrets: BTreeSet<String>,
    ) -> Result<(), String> {
        let paths = Paths::new(files, &self.output);
        let renderer = Renderer::new(files, &paths).map_err(|errors| all_words(&errors))?;
        let variables = Variables::new(env, &paths).map_err(|errors| all_words(&errors))?;
        let variables = self.child.as_mut().map(|child| child.replan(variables));
        let before = (
            std::mem::replace(&mut self.renderer, renderer),
            std::mem::replace(&mut self.secrets, secrets),
            self.values.clone(),
        );
        let gone: Vec<String> = before.1.difference(&self.secrets).cloned().collect();
        self.values.retain(|name, _| self.secrets.contains(name));
        if self.is_whole() && self.links.board.snapshot().ready {
            self.publish();
            if let Some(why) = self.links.board.snapshot().refused {
                (self.renderer, self.secrets, self.values) = before;
                if let (Some(child), Some(variables)) = (&mut self.child, variables) {
                    child.replan(variables);
                }
                return Err(why);
            }
        }
        for name in gone {
            self.pending.remove(&name);
            if let Some(placed) = before.2.get(&name) {
                self.replaced(placed.key.clone());
            }
        }
        Ok(())
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

/// What became of a set.
struct Place {
    changed: Vec<String>,
    files: Vec<String>,
    moved: Moved,
    environment: Option<ChildEnvironment>,
}

enum Moved {
    Generation(u64),
    /// Nothing differs from what is in place.
    Stayed(u64),
    /// There are no files at all.
    Unseen,
}

fn manifest(values: &BTreeMap<String, Placed>, clock: &Clock) -> Manifest {
    let secrets = values.iter().filter(|(name, _)| !is_session_value(name)).filter_map(|(name, placed)| {
        let value = placed.value.as_ref().ok()?;
        Some((
            name.clone(),
            ManifestSecret {
                version: value.version.clone(),
                issued: clock.wall(value.issued),
                expires: value.expires.map(|end| clock.wall(end)),
            },
        ))
    });
    Manifest { secrets: secrets.collect() }
}

/// What is wrong with the files, all of it.
pub(crate) fn all_words(errors: &[RenderError]) -> String {
    errors.iter().map(words).collect::<Vec<_>>().join("; ")
}

fn words(error: &RenderError) -> String {
    error.to_string()
}

/// Answers an offer. A keeper that is gone needs none.
fn answer(offer: Offer, outcome: Result<Published, Refused>) {
    let _ = offer.answer.send(Answer { secret: offer.secret, key: offer.key, outcome });
}

async fn progress(child: &mut Option<Child>) {
    match child {
        Some(child) => child.progress().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(clock: &Clock, wake: Option<Moment>) {
    match wake {
        Some(wake) => clock.sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
