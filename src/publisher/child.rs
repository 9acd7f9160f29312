//! The way to the command that `exec` runs: what it is to be given, and what it has.
//!
//! With each set the publisher renders `env`, too. Where its bytes changed, the replaced credentials
//! are in use until the command runs with the new ones: those offers are answered only then, so that
//! an overlap begins when the application has the successor.
//!
//! A command that was told to end is not started again. It goes on reading files, so what is in place counts
//! as announced; what its environment holds cannot be replaced, so that is not revoked under it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::SecretBytes;
use tokio::sync::watch;

use super::Published;
use crate::clock::Moment;
use crate::render::{RenderError, Secrets, Variables};
use crate::slot::Awaits;

/// The rendered `env`.
pub type ChildEnvironment = BTreeMap<String, SecretBytes>;

/// What the command is to be given.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Counts deliveries. It grows.
    pub number: u64,
    /// The generation in place.
    pub generation: u64,
    /// Its part of the environment.
    pub environment: Arc<ChildEnvironment>,
    /// The files whose bytes changed; of deliveries that the command missed, the last one's.
    pub changed: Vec<String>,
    /// Over what time a restart for it may be spread.
    pub splay: Duration,
}

/// The two ends between the publisher and the one who runs the command.
pub struct Line {
    /// The newest delivery.
    pub deliveries: watch::Receiver<Option<Delivery>>,
    /// What the command has.
    pub has: watch::Sender<Has>,
}

/// What the command has of what was delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Has {
    /// The number of the delivery.
    pub number: u64,
    /// It was told to end: it is given nothing more.
    pub ends: bool,
}

/// The publisher's end.
pub struct Child {
    variables: Variables,
    deliveries: watch::Sender<Option<Delivery>>,
    has: watch::Receiver<Has>,
    number: u64,
    environment: Option<Arc<ChildEnvironment>>,
    held_for: HeldFor,
    /// Over what time a restart is spread that no offer brought but another plan.
    plan_splay: Duration,
    /// Answers that wait until the command has a delivery.
    held: Vec<Waiting>,
}

struct Waiting {
    /// For this delivery.
    number: u64,
    /// Its value is in the environment, which a command that runs keeps.
    in_environment: bool,
    offer: super::Offer,
    published: Published,
}

/// An answer that waited.
pub(super) struct Released {
    pub(super) offer: super::Offer,
    pub(super) published: Published,
    /// The command ends with what it had before.
    pub(super) without_it: bool,
}

/// Which offers are in use only once the command has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeldFor {
    /// Those that `env` uses, where its bytes changed.
    Environment,
    /// All: the command is restarted for a changed file, too.
    Anything,
}

impl Child {
    /// Both ends. The command goes by its environment, and reads its files by itself.
    pub fn new(variables: Variables) -> (Self, Line) {
        Self::holding(variables, HeldFor::Environment)
    }

    /// The same for a command that is restarted whatever changes.
    pub fn restarted(variables: Variables) -> (Self, Line) {
        Self::holding(variables, HeldFor::Anything)
    }

    fn holding(variables: Variables, held_for: HeldFor) -> (Self, Line) {
        let (deliveries, delivered) = watch::channel(None);
        let (had, has) = watch::channel(Has::default());
        let child = Self {
            variables,
            deliveries,
            has,
            number: 0,
            environment: None,
            held_for,
            plan_splay: Duration::ZERO,
            held: Vec::new(),
        };
        (child, Line { deliveries: delivered, has: had })
    }

    /// The same, and what another plan brings is spread over this time.
    #[must_use]
    pub fn with_plans_spread(mut self, over: Duration) -> Self {
        self.plan_splay = over;
        self
    }

    /// What the command would be given with these values.
    pub(super) fn render(&self, secrets: &Secrets) -> Result<ChildEnvironment, RenderError> {
        self.variables.render(secrets)
    }

    /// Whether the command was given something else, or nothing yet.
    pub(super) fn differs(&self, environment: Option<&ChildEnvironment>) -> bool {
        self.environment.as_deref() != environment
    }

    /// Other templates from now on; the ones before, to go back to.
    pub(super) fn replan(&mut self, variables: Variables) -> Variables {
        std::mem::replace(&mut self.variables, variables)
    }

    /// Gives it on. Returns those of the offers that need not wait for the command.
    pub(super) fn deliver(
        &mut self,
        environment: ChildEnvironment,
        changed: &[String],
        published: Published,
        offers: Vec<super::Offer>,
    ) -> Vec<super::Offer> {
        let same = self.environment.as_deref() == Some(&environment);
        if same && changed.is_empty() {
            return offers;
        }
        let uses: &BTreeSet<String> = self.variables.uses();
        let environment = match (&self.environment, same) {
            (Some(before), true) => Arc::clone(before),
            _ => Arc::new(environment),
        };
        self.environment = Some(Arc::clone(&environment));
        self.number += 1;
        let in_environment = |offer: &super::Offer| !same && uses.contains(&offer.secret);
        let (waiting, at_once): (Vec<_>, Vec<_>) =
            offers.into_iter().partition(|offer| self.held_for == HeldFor::Anything || in_environment(offer));
        let splay = waiting.iter().map(|offer| offer.splay).min().unwrap_or(self.plan_splay);
        self.deliveries.send_replace(Some(Delivery {
            number: self.number,
            generation: published.generation,
            environment,
            changed: changed.to_vec(),
            splay,
        }));
        let number = self.number;
        self.held.extend(waiting.into_iter().map(|offer| Waiting {
            number,
            in_environment: in_environment(&offer),
            offer,
            published,
        }));
        at_once
    }

    /// Returns when the command has something new. Never, where nobody runs one any more.
    pub(super) async fn progress(&mut self) {
        if self.has.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The answers that waited for what the command has now, or will not get any more.
    pub(super) fn released(&mut self, now: Moment) -> Vec<Released> {
        let has = *self.has.borrow_and_update();
        self.held
            .extract_if(.., |waiting| waiting.number <= has.number || has.ends)
            .map(|Waiting { number, in_environment, offer, published }| {
                let without_it = in_environment && number > has.number;
                let awaits = if without_it { Awaits::Acknowledgement } else { published.awaits };
                Released { offer, published: Published { announced: now, awaits, ..published }, without_it }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{Files, Output, RequireTmpfs, Variable};
    use crate::render::Paths;

    fn output() -> Output {
        Output {
            directory: "/nowhere".into(),
            mode: 0o440,
            owner: None,
            group: None,
            require_tmpfs: RequireTmpfs::No,
        }
    }

    /// A child with one secret in a variable, and both ends.
    fn with_a_secret(held_for: HeldFor) -> (Child, Line, Published, crate::clock::Clock) {
        let clock = crate::clock::Clock::boot();
        let paths = Paths::new(&Files::Named(BTreeMap::new()), &output());
        let variable = Variable { template: "{{ db.username }}".to_owned(), place: String::new() };
        let template = BTreeMap::from([("DB_USER".to_owned(), variable)]);
        let (child, line) = Child::holding(Variables::new(&template, &paths).unwrap(), held_for);
        let published = Published { generation: 1, announced: clock.now(), awaits: Awaits::Nothing };
        (child, line, published, clock)
    }

    fn offer(secret: &str) -> crate::publisher::Offer {
        crate::publisher::Offer {
            secret: secret.to_owned(),
            key: String::new(),
            value: Err(crate::publisher::Lack::LeftOut),
            replaces: None,
            splay: Duration::ZERO,
            answer: tokio::sync::mpsc::unbounded_channel().0,
        }
    }

    fn environment(user: &str) -> ChildEnvironment {
        [("DB_USER".to_owned(), SecretBytes::from_text(user.to_owned()))].into()
    }

    /// What was released: of which secret, and what the replaced one waits for.
    fn answered(child: &mut Child, now: Moment) -> Vec<(String, Awaits, bool)> {
        let released = child.released(now).into_iter();
        released.map(|one| (one.offer.secret, one.published.awaits, one.without_it)).collect()
    }

    #[test]
    fn a_command_that_ends_has_what_is_in_files_and_keeps_what_its_environment_holds() {
        let files = ("api".to_owned(), Awaits::Nothing, false);
        let kept = ("db".to_owned(), Awaits::Acknowledgement, true);
        // Delivered before it was told to end, and after.
        for told_first in [false, true] {
            let (mut child, line, published, clock) = with_a_secret(HeldFor::Anything);
            let tell = || line.has.send_modify(|has| has.ends = true);
            line.has.send_modify(|has| has.number = 1);
            child.deliver(environment("one"), &[], published, vec![offer("db")]);
            assert_eq!(answered(&mut child, clock.now()), [("db".to_owned(), Awaits::Nothing, false)]);
            if told_first {
                tell();
            }
            let changed = ["api/key".to_owned()];
            let at_once =
                child.deliver(environment("two"), &changed, published, vec![offer("api"), offer("db")]);
            assert!(at_once.is_empty());
            if !told_first {
                assert_eq!(answered(&mut child, clock.now()), []);
                tell();
            }
            assert_eq!(answered(&mut child, clock.now()), [files.clone(), kept.clone()]);
            // The same variables: only a file changed.
            child.deliver(environment("two"), &changed, published, vec![offer("db")]);
            assert_eq!(answered(&mut child, clock.now()), [("db".to_owned(), Awaits::Nothing, false)]);
        }
    }

    #[test]
    fn a_restart_that_another_plan_brings_is_spread_as_it_was_told() {
        let clock = crate::clock::Clock::boot();
        let paths = Paths::new(&Files::Named(BTreeMap::new()), &output());
        let variables = |text: &str| {
            let variable = Variable { template: text.to_owned(), place: String::new() };
            Variables::new(&BTreeMap::from([("GREETING".to_owned(), variable)]), &paths).unwrap()
        };
        let published = Published { generation: 1, announced: clock.now(), awaits: Awaits::Nothing };
        let (child, line) = Child::new(variables("hello"));
        let mut child = child.with_plans_spread(Duration::from_secs(7));
        let deliver = |child: &mut Child| {
            let environment = child.render(&Secrets::default()).unwrap();
            assert!(child.deliver(environment, &[], published, Vec::new()).is_empty());
            line.deliveries.borrow().clone().unwrap()
        };
        deliver(&mut child);
        child.replan(variables("good day"));
        let delivery = deliver(&mut child);
        assert_eq!((delivery.number, delivery.splay), (2, Duration::from_secs(7)));
        assert_eq!(delivery.environment["GREETING"].expose(), b"good day");
    }
}
