//! One set: rendered, put in place or refused, and those who offered it answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::child::{ChildEnvironment, Released};
use super::plan::Design;
use super::{Answer, Lack, NoSet, Offer, Placed, Published, Publisher, Refusal, Refused};
use crate::clock::{Clock, Moment};
use crate::config::model::is_session_value;
use crate::events::Event;
use crate::render::{RenderError, Variables};
use crate::status::GenerationState;
use crate::volume::{self, Manifest, ManifestSecret, Set};

/// What a set is made of, by secret.
pub(super) type Values = BTreeMap<String, Placed>;

/// A set that is rendered, without its bytes.
pub(super) struct Draft {
    pub(super) values: Values,
    /// The names of its files.
    pub(super) files: Vec<String>,
    /// What the command is to be given.
    pub(super) environment: Option<ChildEnvironment>,
}

/// What became of a set.
pub(super) struct Place {
    pub(super) draft: Draft,
    pub(super) changed: Vec<String>,
    pub(super) moved: Moved,
}

pub(super) enum Moved {
    Generation(u64),
    /// Nothing differs from what is in place.
    Stayed(u64),
    /// There are no files at all.
    Unseen,
}

impl Publisher {
    /// What is in place, with those of the pending offers that are wanted.
    pub(super) fn with_pending(&self, wanted: impl Fn(&str, &Offer) -> bool) -> Values {
        let mut next = self.values.clone();
        for (name, pending) in self.pending.iter().filter(|(name, pending)| wanted(name, &pending.offer)) {
            let offer = &pending.offer;
            next.insert(name.clone(), Placed { key: offer.key.clone(), value: offer.value.clone() });
        }
        next
    }

    /// Renders a set. The bytes of its files are `None` where there are none.
    pub(super) fn render(
        &self,
        design: &Design,
        variables: Option<&Variables>,
        values: Values,
    ) -> Result<(Draft, Option<Set>), (NoSet, Values)> {
        let fields = values
            .iter()
            .map(|(name, placed)| {
                let fields = placed.value.as_ref().ok().map(|value| Arc::clone(&value.fields));
                (name.clone(), fields)
            })
            .collect();
        let environment = self.child.as_ref().map(|child| match variables {
            Some(variables) => variables.render(&fields),
            None => child.render(&fields),
        });
        let environment = match environment.transpose() {
            Ok(environment) => environment,
            Err(error) => return Err((NoSet::Render(words(&error)), values)),
        };
        if self.volume.is_none() {
            return Ok((Draft { values, files: Vec::new(), environment }, None));
        }
        let gone = values
            .iter()
            .filter(|(_, placed)| placed.value.as_ref().is_err_and(|lack| *lack == Lack::Expired))
            .map(|(name, _)| name.clone())
            .collect();
        match design.renderer.render_without(&gone, &fields, &self.output) {
            Ok(files) => {
                let names = files.keys().cloned().collect();
                let manifest = manifest(&values, &self.links.clock);
                Ok((Draft { values, files: names, environment }, Some(Set { files, manifest })))
            }
            Err(error) => Err((NoSet::Render(words(&error)), values)),
        }
    }

    /// Puts a set in place, as it is.
    pub(super) fn place(&mut self, draft: Draft, set: Option<&Set>) -> Result<(), (NoSet, Values)> {
        let now = self.links.clock.now();
        let published = match (&mut self.volume, set) {
            (Some(volume), Some(set)) => Some(volume.publish(set, now)),
            _ => None,
        };
        let (changed, moved) = match published {
            None => (Vec::new(), Moved::Unseen),
            Some(Ok(volume::Published::Generation { number, changed, .. })) => {
                (changed, Moved::Generation(number))
            }
            Some(Ok(volume::Published::Unchanged { number })) => (Vec::new(), Moved::Stayed(number)),
            Some(Err(error)) => return Err((NoSet::Volume(error.to_string()), draft.values)),
        };
        self.placed(Place { draft, changed, moved });
        Ok(())
    }

    /// A set is in place.
    pub(super) fn placed(&mut self, mut place: Place) {
        // From here on the overlap counts: it begins when the set is in place, not before.
        let now = self.links.clock.now();
        let first = self.values.is_empty();
        let next = std::mem::take(&mut place.draft.values);
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
        let mut offers = self.take_offers(&next);
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
            board.verify = None;
            board.ready = true;
            if moved || board.generation.is_none() {
                board.generation = Some(GenerationState {
                    number: generation,
                    published: now,
                    files: place.draft.files.clone(),
                    actions: BTreeMap::new(),
                });
            }
        });
        // What it starts with is no change.
        let environment = !first
            && self.child.as_ref().is_some_and(|child| child.differs(place.draft.environment.as_ref()));
        if moved {
            self.links.events.emit(&Event::Published {
                generation,
                changed: &place.changed,
                files: place.draft.files.len(),
                environment,
            });
        } else if environment {
            self.links.events.emit(&Event::EnvironmentChanged { generation });
        }
        self.links.ready.send_replace(true);
        let published = Published { generation, announced: now, awaits };
        if let (Some(child), Some(environment)) = (&mut self.child, place.draft.environment) {
            offers = child.deliver(environment, &place.changed, published, offers);
        }
        offers.into_iter().for_each(|offer| answer(offer, Ok(published)));
        // A command that ends is not waited for.
        self.release_held();
        self.tidy(now);
    }

    /// Takes out the offers that a set is made of; what was offered since stays.
    pub(super) fn take_offers(&mut self, values: &Values) -> Vec<Offer> {
        let used = |name: &String, offer: &Offer| {
            let same =
                |placed: &Placed| placed.key == offer.key && placed.value.is_ok() == offer.value.is_ok();
            values.get(name).is_some_and(same)
        };
        self.pending
            .extract_if(.., |name, pending| used(name, &pending.offer))
            .map(|(_, p)| p.offer)
            .collect()
    }

    /// The command has what some offers waited for, or ends without it.
    pub(super) fn release_held(&mut self) {
        let now = self.links.clock.now();
        let released = self.child.as_mut().map(|child| child.released(now)).unwrap_or_default();
        for Released { offer, published, without_it } in released {
            if without_it && let Some(replaced) = offer.replaces {
                self.links.events.emit(&Event::Warning {
                    text: &format!(
                        "secret \"{}\" has a successor, which the command cannot be given while it ends: what \
                         it has is not revoked, and ends in {}",
                        offer.secret,
                        crate::app::length(replaced.end.since(now))
                    ),
                });
            }
            answer(offer, Ok(published));
        }
    }

    /// A set cannot be rendered or written: what it is made of may be offered again.
    pub(super) fn refused(&mut self, why: NoSet, values: &Values) {
        let ready = *self.links.ready.borrow();
        let text = why.text().to_owned();
        self.links.board.write(|board| board.refused = Some(text.clone()));
        if ready {
            self.links.events.emit(&Event::PublishRefused { why: &text });
        } else {
            // It ends the process, which says why. The receiver is gone only when it ends already.
            let _ = self.links.fatal.send(why);
        }
        for offer in self.take_offers(values) {
            answer(offer, Err(Refused { why: text.clone(), how: Refusal::Later }));
        }
    }
}

fn manifest(values: &Values, clock: &Clock) -> Manifest {
    let read = clock.reading();
    let secrets = values.iter().filter(|(name, _)| !is_session_value(name)).filter_map(|(name, placed)| {
        let value = placed.value.as_ref().ok()?;
        Some((
            name.clone(),
            ManifestSecret {
                version: value.version.clone(),
                issued: read.wall(value.issued),
                expires: value.expires.map(|end: Moment| read.wall(end)),
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
pub(super) fn answer(offer: Offer, outcome: Result<Published, Refused>) {
    let _ = offer.answer.send(Answer { secret: offer.secret, key: offer.key, outcome });
}
