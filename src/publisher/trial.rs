//! A set on trial: it lies beside the one in place until its check finds it good, or nothing is to be
//! won by asking again.
//!
//! The same set is looked at again, a second later, then up to ten, until half of the overlap before the
//! first end of what it replaces; where nothing ends, for five minutes. Then `on_failure` decides. The
//! very first set is tried until the start ends, or with `publish` for half of that time. A plan that
//! a reload brings has one try.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use super::place::{Draft, Moved, Place, answer};
use super::plan::Planned;
use super::verify::{Candidate, Verdict};
use super::{Answer, NoSet, Offer, Pending, Publisher, Refusal, Refused};
use crate::clock::Moment;
use crate::config::model::OnFailure;
use crate::events::Event;
use crate::status::CheckState;
use crate::volume::{Proposed, Set};

/// How long a set is tried that replaces nothing that ends.
const ENDLESS: Duration = Duration::from_secs(300);
/// The first wait between two tries, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// A set on trial.
pub(super) struct Trial {
    draft: Draft,
    lies: Lies,
    candidate: Candidate,
    /// The keys of the offers that it is made of, by secret.
    offers: BTreeMap<String, String>,
    run: Option<Run>,
    /// When it is looked at again.
    again: Option<Moment>,
    wait: Duration,
    tries: u32,
    since: Moment,
    said: Option<String>,
    /// Until when it is tried; `None`: until the start ends.
    until: Option<Moment>,
    /// When the first of what it replaces ends.
    end: Option<Moment>,
    plan: Option<Planned>,
}

/// Where a set on trial lies.
enum Lies {
    /// Beside the one in place.
    Beside,
    /// In place: its files are those, and only what the command is given differs.
    There(u64),
    /// Nowhere: there are no files.
    Nowhere,
}

struct Run {
    verdict: Pin<Box<dyn Future<Output = Verdict> + Send>>,
    /// It is given up then.
    until: Option<Moment>,
}

impl Trial {
    /// When something is to be done for it.
    pub(super) fn wake(&self) -> Option<Moment> {
        self.run.as_ref().map_or(self.again, |run| run.until)
    }
}

/// What the check says, once it does.
pub(super) async fn verdict(trial: &mut Option<Trial>) -> Verdict {
    match trial.as_mut().and_then(|trial| trial.run.as_mut()) {
        Some(run) => (&mut run.verdict).await,
        None => std::future::pending().await,
    }
}

/// When an offer has to be decided over at the latest, as long as what it replaces lives.
fn decided_by(pending: &Pending, now: Moment) -> Moment {
    match pending.offer.replaces {
        Some(replaced) if replaced.end > now => replaced.end.before(replaced.overlap / 2),
        _ => pending.since + ENDLESS,
    }
}

impl Publisher {
    /// Writes a set and has it checked. One that differs from what is in place in no byte is put in place.
    pub(super) fn try_out(&mut self, draft: Draft, set: Option<Set>, plan: Option<Planned>) {
        let now = self.links.clock.now();
        let proposed = match (&mut self.volume, set) {
            (Some(volume), Some(set)) => volume.propose(&set, now).map(Some),
            _ => Ok(None),
        };
        let (lies, number, changed) = match proposed {
            Err(error) => return self.cannot_be_tried(NoSet::Volume(error.to_string()), &draft, plan),
            Ok(Some(Proposed::Candidate { number, changed })) => (Lies::Beside, number, changed),
            Ok(Some(Proposed::Unchanged { number })) => (Lies::There(number), number, Vec::new()),
            Ok(None) => (Lies::Nowhere, self.number + 1, Vec::new()),
        };
        let directory = self.volume.as_ref().map(|volume| volume.directory_of(number));
        let trial = self.trial_of(draft, lies, Candidate { directory, generation: number, changed }, plan);
        if self.differs(&trial) {
            self.trial = Some(trial);
            self.start_check(now);
        } else {
            self.accept(trial);
        }
    }

    fn cannot_be_tried(&mut self, why: NoSet, draft: &Draft, plan: Option<Planned>) {
        match plan {
            Some(plan) => plan.refuse(why.text().to_owned()),
            None => self.refused(why, &draft.values),
        }
    }

    fn trial_of(&self, draft: Draft, lies: Lies, candidate: Candidate, plan: Option<Planned>) -> Trial {
        let now = self.links.clock.now();
        let offered: Vec<(&String, &Pending)> = self
            .pending
            .iter()
            .filter(|(name, pending)| draft.values.get(*name).is_some_and(|v| v.key == pending.offer.key))
            .collect();
        let first = self.values.is_empty();
        let lives = |pending: &Pending| pending.offer.replaces.is_some_and(|replaced| replaced.end > now);
        let mut until =
            offered.iter().filter(|(_, p)| !first || lives(p)).map(|(_, p)| decided_by(p, now)).min();
        if let Some(checked) =
            self.check.as_ref().filter(|checked| first && checked.on_failure == OnFailure::Publish)
        {
            until = Some(until.map_or(checked.first_until, |until| until.min(checked.first_until)));
        }
        Trial {
            offers: offered.iter().map(|(name, p)| ((*name).clone(), p.offer.key.clone())).collect(),
            end: offered.iter().filter_map(|(_, p)| p.offer.replaces.map(|replaced| replaced.end)).min(),
            draft,
            lies,
            candidate,
            run: None,
            again: None,
            wait: WAITS.0,
            tries: 0,
            since: now,
            said: None,
            until,
            plan,
        }
    }

    /// Whether a set differs in anything that the application gets.
    fn differs(&self, trial: &Trial) -> bool {
        let environment = trial.draft.environment.as_ref();
        let given = || self.child.as_ref().is_some_and(|child| child.differs(environment));
        match trial.lies {
            Lies::Beside => true,
            Lies::There(_) => given(),
            Lies::Nowhere => {
                let same = |name: &String| {
                    let fields =
                        |placed: &super::Placed| placed.value.as_ref().ok().map(|v| v.fields.clone());
                    let (new, old) = (trial.draft.values.get(name), self.values.get(name));
                    old.is_some() && new.and_then(fields) == old.and_then(fields)
                };
                given() || !trial.draft.values.keys().all(same)
            }
        }
    }

    fn start_check(&mut self, now: Moment) {
        let (Some(trial), Some(checked)) = (&mut self.trial, &self.check) else { return };
        let (check, candidate) = (checked.check.clone(), trial.candidate.clone());
        // A try that comes late has half of what is left.
        let late = || {
            now + trial.end.map(|end| end.since(now)).filter(|left| !left.is_zero()).unwrap_or(ENDLESS) / 2
        };
        let until = match trial.until {
            _ if trial.plan.is_some() => Some(now + ENDLESS / 5),
            Some(until) if until > now => Some(until),
            Some(_) => Some(late()),
            None => None,
        };
        trial.again = None;
        trial.run = Some(Run { verdict: Box::pin(async move { check.check(&candidate).await }), until });
    }

    /// Time has passed: a check is given up, or asked again.
    pub(super) fn go_on_trying(&mut self, now: Moment) {
        let Some(trial) = self.trial.as_mut().filter(|trial| trial.wake().is_some_and(|at| at <= now)) else {
            return;
        };
        if trial.run.is_some() {
            self.judged(Verdict::Unknown("it has not answered in time".to_owned()));
        } else {
            self.start_check(now);
        }
    }

    /// The check has said something, or nothing for too long.
    pub(super) fn judged(&mut self, verdict: Verdict) {
        let now = self.links.clock.now();
        let Some(trial) = &mut self.trial else { return };
        trial.run = None;
        trial.tries += 1;
        let generation = trial.candidate.generation;
        let (outcome, said) = match verdict {
            Verdict::Good => {
                self.links.events.emit(&Event::Checked {
                    generation,
                    outcome: "good",
                    said: "",
                    again_in: None,
                    repeated: false,
                });
                if let Some(trial) = self.trial.take() {
                    self.accept(trial);
                    self.collect_rest();
                }
                return;
            }
            Verdict::Refused(said) => ("refused", said),
            Verdict::Unknown(said) => ("unknown", said),
        };
        let decided = trial.plan.is_some() || trial.until.is_some_and(|until| now >= until);
        let mut wait = self.dice.between(trial.wait / 2, trial.wait);
        trial.wait = (trial.wait * 2).min(WAITS.1);
        if let Some(until) = trial.until {
            wait = wait.min(until.since(now));
        }
        trial.again = (!decided).then(|| now + wait);
        let repeated = trial.said.as_ref() == Some(&said);
        trial.said = Some(said.clone());
        let again_in = (!decided).then_some(wait);
        self.links.events.emit(&Event::Checked { generation, outcome, said: &said, again_in, repeated });
        let state = CheckState {
            outcome,
            said: said.clone(),
            tries: trial.tries,
            since: trial.since,
            next: trial.again,
            until: trial.until,
        };
        self.links.board.write(|board| board.verify = Some(state));
        if decided {
            self.decide(&words(outcome, &said));
        } else if trial.tries == 1 {
            let why = format!("{}; it is asked again", words(outcome, &said));
            for (name, key) in &trial.offers {
                if let Some(pending) = self.pending.get(name).filter(|pending| pending.offer.key == *key) {
                    tell(&pending.offer, &why);
                }
            }
        }
    }

    /// Nothing is to be won by asking again.
    fn decide(&mut self, why: &str) {
        let (Some(mut trial), Some(checked)) = (self.trial.take(), &self.check) else { return };
        if let Some(plan) = trial.plan.take() {
            self.drop_proposal();
            plan.refuse(why.to_owned());
        } else if checked.on_failure == OnFailure::Publish {
            let generation = trial.candidate.generation;
            self.links.events.emit(&Event::CheckOverruled { generation, why });
            self.accept(trial);
        } else {
            self.drop_proposal();
            self.links.events.emit(&Event::CheckDecided { generation: trial.candidate.generation, why });
            let values = trial.draft.values.into_iter().filter(|(_, placed)| placed.value.is_ok()).collect();
            for offer in self.take_offers(&values) {
                answer(offer, Err(Refused { why: why.to_owned(), how: Refusal::Finally }));
            }
        }
        self.collect_rest();
    }

    /// Puts a set on trial in place.
    fn accept(&mut self, mut trial: Trial) {
        let now = self.links.clock.now();
        let (changed, moved) = match (&trial.lies, &mut self.volume) {
            (Lies::Beside, Some(volume)) => match volume.accept(now) {
                Ok(_) => {
                    let changed = std::mem::take(&mut trial.candidate.changed);
                    (changed, Moved::Generation(trial.candidate.generation))
                }
                Err(error) => {
                    let why = NoSet::Volume(error.to_string());
                    return self.cannot_be_tried(why, &trial.draft, trial.plan.take());
                }
            },
            (Lies::There(number), _) => (Vec::new(), Moved::Stayed(*number)),
            _ => (Vec::new(), Moved::Unseen),
        };
        if now.since(trial.since) > WAITS.0 {
            self.say_late(&trial, now);
        }
        let plan = trial.plan.take();
        let plan = plan.map(|mut plan| {
            self.exchange(plan.variables.take());
            plan
        });
        self.placed(Place { draft: trial.draft, changed, moved });
        if let Some(plan) = plan {
            self.take_over(plan);
        }
    }

    /// Says where checking took from an overlap.
    fn say_late(&self, trial: &Trial, now: Moment) {
        for name in trial.offers.keys() {
            let replaced = self.pending.get(name).and_then(|pending| pending.offer.replaces);
            let Some(replaced) = replaced.filter(|replaced| replaced.end.since(now) < replaced.overlap)
            else {
                continue;
            };
            let text = format!(
                "secret \"{name}\": verify took so long that the old one has {} s left, less than its overlap \
                 of {} s",
                replaced.end.since(now).as_secs(),
                replaced.overlap.as_secs()
            );
            self.links.events.emit(&Event::Warning { text: &text });
        }
    }

    /// Takes a set off trial: what it is made of has changed.
    pub(super) fn abandon(&mut self) {
        let Some(mut trial) = self.trial.take() else { return };
        self.drop_proposal();
        if let Some(plan) = trial.plan.take() {
            plan.refuse("what it is to hold changed while it was checked; try it again".to_owned());
        }
    }

    fn drop_proposal(&mut self) {
        if let Some(volume) = &mut self.volume {
            volume.withdraw();
        }
    }

    /// A credential that was offered is no good any more.
    pub(super) fn withdraw(&mut self, secret: &str, key: &str) {
        if self.pending.get(secret).is_none_or(|pending| pending.offer.key != key) {
            return;
        }
        self.pending.remove(secret);
        if self.trial.as_ref().is_some_and(|trial| trial.offers.contains_key(secret)) {
            self.abandon();
            self.collect_rest();
        }
    }

    /// While a check looks at a set, what is offered meanwhile waits for its word, unless it makes that
    /// set stale, cannot wait, or must not.
    pub(super) fn is_held_up(&self) -> bool {
        let Some((trial, run)) = self.trial.as_ref().and_then(|t| t.run.as_ref().map(|run| (t, run))) else {
            return false;
        };
        let now = self.links.clock.now();
        !self.pending.iter().any(|(name, pending)| {
            let stale = trial.offers.get(name).is_some_and(|key| *key != pending.offer.key);
            let new = !trial.offers.contains_key(name);
            let cannot_wait = run.until.is_some_and(|until| decided_by(pending, now) < until);
            stale || (new && (pending.offer.value.is_err() || cannot_wait))
        })
    }
}

fn tell(offer: &Offer, why: &str) {
    let refused = Refused { why: why.to_owned(), how: Refusal::Tried };
    let (secret, key) = (offer.secret.clone(), offer.key.clone());
    let _ = offer.answer.send(Answer { secret, key, outcome: Err(refused) });
}

fn words(outcome: &str, said: &str) -> String {
    match outcome {
        "refused" => format!("verify refuses the new set: {said}"),
        _ => format!("verify cannot tell whether the new set is good: {said}"),
    }
}
