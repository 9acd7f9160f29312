//! Who has to acknowledge which generation, and who has. Plain data.
//!
//! Acknowledging a generation covers all before it, so a generation counts as acknowledged once
//! everybody has answered who had to answer for it or for one before it.

use std::collections::{BTreeMap, BTreeSet};

use super::action;
use crate::config::model::{Acknowledge, Action};
use crate::slot::Awaits;

/// More generations than this are not remembered as waiting: the leases of the oldest are long over.
const MOST: usize = 64;

/// Whose answer is needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Voice {
    /// The success of the action at this place.
    Action(usize),
    /// Whoever answers by this name.
    Name(String),
    /// Somebody who posts.
    Anyone,
}

/// What is expected of the names that no action answers for, for people. The names may be known to the
/// socket alone, so that this is no mistake.
pub(super) fn left_to_post(acknowledge: &Acknowledge, actions: &[Action]) -> Vec<String> {
    let Acknowledge::From(names) = acknowledge else { return Vec::new() };
    let answers = |name: &String| {
        let of_it = |action: &&Action| action.name.as_ref() == Some(name);
        actions.iter().filter(of_it).any(|action| action::acknowledges(&action.kind))
    };
    let words = |name: &String| {
        format!(
            "from names \"{name}\", and no http or command action is called so: it has to answer itself after \
             each change, by POST /v1/ack to ..ack.sock (leasehold ack --name {name}); until then replaced leases \
             are left to their TTL"
        )
    };
    names.iter().filter(|name| !answers(name)).map(words).collect()
}

/// The generations that wait for an answer.
pub(super) struct Ledger {
    mode: Acknowledge,
    /// What each action has to do with acknowledging, by its place.
    actions: Vec<Speaker>,
    waiting: BTreeMap<u64, Waiting>,
    /// The newest generation that each name has answered for.
    answers: BTreeMap<String, u64>,
    acknowledged: Option<u64>,
}

struct Speaker {
    name: Option<String>,
    label: String,
    acknowledges: bool,
    files: Option<Vec<String>>,
}

struct Waiting {
    changed: Vec<String>,
    answered: BTreeSet<Voice>,
}

/// Why somebody's answer does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAsked {
    /// Names are expected, and there is none.
    Unnamed,
    /// This name is none of those.
    Unknown,
}

impl Ledger {
    pub(super) fn new(mode: Acknowledge, actions: &[Action], labels: &[String]) -> Self {
        let speaker = |(action, label): (&Action, &String)| Speaker {
            name: action.name.clone(),
            label: label.clone(),
            acknowledges: action::acknowledges(&action.kind),
            files: action.files.clone(),
        };
        let actions = actions.iter().zip(labels).map(speaker).collect();
        let (waiting, answers) = (BTreeMap::new(), BTreeMap::new());
        Self { mode, actions, waiting, answers, acknowledged: None }
    }

    /// From now on others have to answer, also for what waits already.
    pub(super) fn set_mode(&mut self, mode: Acknowledge) {
        self.mode = mode;
        self.settle();
    }

    /// The names that have to answer, where names do.
    pub(super) fn names(&self) -> Option<&BTreeSet<String>> {
        match &self.mode {
            Acknowledge::From(names) => Some(names),
            Acknowledge::Auto | Acknowledge::Required | Acknowledge::None => None,
        }
    }

    /// What the leases would wait for that a generation with these changes replaces.
    pub(super) fn awaits(&self, changed: &[String]) -> Awaits {
        match self.voices(changed).is_empty() {
            true => Awaits::Nothing,
            false => Awaits::Acknowledgement,
        }
    }

    /// A generation is announced.
    pub(super) fn expect(&mut self, generation: u64, changed: &[String]) -> Awaits {
        let awaits = self.awaits(changed);
        if awaits == Awaits::Acknowledgement && self.acknowledged < Some(generation) {
            let early = self.answers.iter().filter(|(_, answered)| **answered >= generation);
            let answered = early.map(|(name, _)| Voice::Name(name.clone())).collect();
            self.waiting.insert(generation, Waiting { changed: changed.to_vec(), answered });
            while self.waiting.len() > MOST {
                self.waiting.pop_first();
            }
            self.settle();
        }
        awaits
    }

    /// What an earlier process knew.
    pub(super) fn resume(&mut self, acknowledged: Option<u64>, answers: &BTreeMap<String, u64>) {
        self.acknowledged = self.acknowledged.max(acknowledged);
        self.answers.clone_from(answers);
    }

    /// The action at this place went well, for all that there was to tell up to a generation.
    pub(super) fn action_done(&mut self, place: usize, generation: u64) {
        let Some(speaker) = self.actions.get(place).filter(|speaker| speaker.acknowledges) else { return };
        let name = speaker.name.clone();
        self.answer(Voice::Action(place), generation);
        if let Some(name) = name {
            self.answered(name, generation);
        }
        self.settle();
    }

    /// Somebody says that a generation is in use.
    pub(super) fn say(&mut self, generation: u64, name: Option<&str>) -> Result<(), NotAsked> {
        match (&self.mode, name) {
            (Acknowledge::From(_), None) => return Err(NotAsked::Unnamed),
            (Acknowledge::From(names), Some(name)) if !names.contains(name) => return Err(NotAsked::Unknown),
            (Acknowledge::From(_), Some(name)) => self.answered(name.to_owned(), generation),
            (Acknowledge::Auto | Acknowledge::Required | Acknowledge::None, _) => {
                self.waiting.retain(|waiting, _| *waiting > generation);
                self.acknowledged = self.acknowledged.max(Some(generation));
            }
        }
        self.settle();
        Ok(())
    }

    /// The newest generation that everybody has acknowledged who had to.
    pub(super) fn acknowledged(&self) -> Option<u64> {
        self.acknowledged
    }

    /// The newest generation that each name has answered for.
    pub(super) fn answers(&self) -> &BTreeMap<String, u64> {
        &self.answers
    }

    /// Who has yet to answer, for this generation or one before it, in words.
    pub(super) fn missing(&self, generation: u64) -> Vec<String> {
        let waiting = self.waiting.range(..=generation);
        let voices: BTreeSet<Voice> = waiting.flat_map(|(_, waiting)| self.silent(waiting)).collect();
        let words = voices.into_iter().map(|voice| match voice {
            Voice::Action(place) => {
                self.actions.get(place).map_or_else(String::new, |speaker| speaker.label.clone())
            }
            Voice::Name(name) => name,
            Voice::Anyone => "the application".to_owned(),
        });
        words.collect()
    }

    fn answered(&mut self, name: String, generation: u64) {
        self.answer(Voice::Name(name.clone()), generation);
        if self.names().is_some_and(|names| names.contains(&name)) {
            let newest = self.answers.entry(name).or_default();
            *newest = generation.max(*newest);
        }
    }

    fn answer(&mut self, voice: Voice, generation: u64) {
        for (_, waiting) in self.waiting.range_mut(..=generation) {
            waiting.answered.insert(voice.clone());
        }
    }

    /// Notes how far everybody has answered.
    fn settle(&mut self) {
        while let Some((generation, waiting)) = self.waiting.first_key_value() {
            let asked = !self.voices(&waiting.changed).is_empty();
            if asked && !self.silent(waiting).is_empty() {
                break;
            }
            // Where nobody is asked any more, nobody has acknowledged it.
            if asked {
                self.acknowledged = self.acknowledged.max(Some(*generation));
            }
            self.waiting.pop_first();
        }
        let Some(names) = self.names() else { return };
        let answers: Option<Vec<u64>> = names.iter().map(|name| self.answers.get(name).copied()).collect();
        let Some(all) = answers.and_then(|answers| answers.into_iter().min()) else { return };
        if self.waiting.first_key_value().is_none_or(|(waiting, _)| *waiting > all) {
            self.acknowledged = self.acknowledged.max(Some(all));
        }
    }

    fn silent(&self, waiting: &Waiting) -> BTreeSet<Voice> {
        self.voices(&waiting.changed).difference(&waiting.answered).cloned().collect()
    }

    /// Who has to answer for a generation with these changes.
    fn voices(&self, changed: &[String]) -> BTreeSet<Voice> {
        if changed.is_empty() {
            return BTreeSet::new();
        }
        let actions = || self.actions.iter().enumerate().filter(|(_, speaker)| speaker.acknowledges);
        let covering = || {
            actions().filter(|(_, speaker)| changed.iter().any(|file| action::covers(&speaker.files, file)))
        };
        match &self.mode {
            Acknowledge::None => BTreeSet::new(),
            Acknowledge::Auto => covering().map(|(place, _)| Voice::Action(place)).collect(),
            Acknowledge::Required => {
                let actions: BTreeSet<Voice> = covering().map(|(place, _)| Voice::Action(place)).collect();
                if actions.is_empty() { BTreeSet::from([Voice::Anyone]) } else { actions }
            }
            // An action of that name which is about other files has nothing to say of these.
            Acknowledge::From(names) => names
                .iter()
                .filter(|name| {
                    let named = |(_, speaker): &(usize, &Speaker)| speaker.name.as_ref() == Some(*name);
                    !actions().any(|action| named(&action)) || covering().any(|action| named(&action))
                })
                .map(|name| Voice::Name(name.clone()))
                .collect(),
        }
    }
}
