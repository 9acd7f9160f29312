//! The task that runs the actions: one loop each, so that none waits for another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Shared, action, outlook};
use crate::clock::locked;
use crate::events::Event;
use crate::status::RunningState;

/// The wait before the first repetition of an action, before jitter; each further one is twice as long.
pub(super) const FIRST_WAIT: Duration = Duration::from_millis(500);
/// No wait is longer, before jitter.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// So many debounces after the first change it runs, quiet or not.
const DEBOUNCES: u32 = 10;

/// The task that runs the actions.
pub struct Announcer(Arc<Shared>);

/// What one action has to announce.
#[derive(Clone, Debug, Default)]
pub(super) struct Owed {
    /// The generation of the run that is due, if one is.
    due: Option<u64>,
    /// The oldest generation of the run that is under way, if one is.
    running: Option<u64>,
    /// The oldest generation that waits for a run.
    since: Option<u64>,
    /// The files that changed since its last success.
    files: BTreeSet<String>,
}

/// A run of an action.
struct Run {
    generation: u64,
    files: BTreeSet<String>,
}

impl Owed {
    /// A generation with these changes that the action is about.
    pub(super) fn add(&mut self, generation: u64, files: Vec<&String>) {
        // What it failed to announce before is a reason to run, too.
        if files.is_empty() && self.files.is_empty() {
            return;
        }
        self.files.extend(files.into_iter().cloned());
        self.due = Some(generation);
        self.since.get_or_insert(generation);
    }

    /// The oldest generation that it has not run for, well or badly.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.running.into_iter().chain(self.since).min()
    }

    /// The run that is due; it is not any more.
    fn take(&mut self) -> Option<Run> {
        let generation = self.due.take()?;
        let since = self.since.take().unwrap_or(generation);
        self.running.get_or_insert(since);
        Some(Run { generation, files: std::mem::take(&mut self.files) })
    }
}

impl Announcer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Runs the actions until `ending`.
    pub async fn run(self, ending: CancellationToken) {
        // Dropped with this task, and with it every action.
        let mut actions = JoinSet::new();
        for place in 0..self.0.actions.len() {
            actions.spawn(Arc::clone(&self.0).announce(place));
            actions.spawn(Arc::clone(&self.0).look_ahead(place));
        }
        ending.cancelled().await;
    }
}

impl Shared {
    /// Runs the action of this place whenever it is due.
    async fn announce(self: Arc<Self>, place: usize) {
        let mut latest = self.latest.subscribe();
        loop {
            if self.due(place).is_some() {
                self.quiet(place, &mut latest).await;
                if let Some(run) = self.take(place) {
                    self.attempt(place, run).await;
                }
            } else if latest.changed().await.is_err() {
                return;
            }
        }
    }

    /// Says once what stands in the action's way, as far as that can be seen before it is needed.
    async fn look_ahead(self: Arc<Self>, place: usize) {
        let action = &self.actions[place];
        if let Some(obstacle) = outlook::at_start(action, &self.surroundings) {
            return self.warn(place, &obstacle);
        }
        let mut latest = self.latest.subscribe();
        // The application may start only after the first generation.
        if latest.wait_for(Option::is_some).await.is_err() {
            return;
        }
        self.surroundings.clock.sleep(outlook::PATIENCE).await;
        if let Some(obstacle) = outlook::once_all_run(action) {
            self.warn(place, &obstacle);
        }
    }

    fn warn(&self, place: usize, obstacle: &str) {
        let text =
            format!("on_change[{place}], {}: as things are it will fail: {obstacle}", self.labels[place]);
        self.events.emit(&Event::Warning { text: &text });
    }

    /// Waits until nothing that it has to announce came for its debounce, ten times as long at most.
    async fn quiet(&self, place: usize, latest: &mut watch::Receiver<Option<u64>>) {
        let debounce = self.actions[place].debounce;
        if debounce.is_zero() {
            return;
        }
        let clock = &self.surroundings.clock;
        let mut due = self.due(place);
        let mut until = clock.now() + debounce;
        let at_the_latest = clock.now() + debounce * DEBOUNCES;
        let mut shown = self.begun(place, 0);
        loop {
            (shown.generation, shown.next) = (due.unwrap_or_default(), Some(until));
            self.show(place, &shown);
            tokio::select! {
                () = clock.sleep_until(until) => return,
                Ok(()) = latest.changed() => {}
            }
            let now_due = self.due(place);
            if now_due != due {
                due = now_due;
                until = (clock.now() + debounce).min(at_the_latest);
            }
        }
    }

    /// Tries until it goes well or the repetitions are used up, and says what came of it.
    async fn attempt(&self, place: usize, mut run: Run) {
        let action = &self.actions[place];
        let clock = &self.surroundings.clock;
        let mut repetitions = 0;
        let mut shown = self.begun(place, run.generation);
        let outcome = loop {
            self.show(place, &shown);
            let variables = self.variables(&run);
            let perform = action::perform(&action.kind, &self.surroundings, &variables);
            // A command and a request keep the limit themselves, and know better what went wrong.
            let failed = match clock.within(action.timeout + GRACE, perform).await {
                Some(Ok(done)) => break Ok(done),
                Some(Err(failed)) => failed,
                None => action::Failed::late(action.timeout),
            };
            if repetitions == action.retries {
                break Err(failed);
            }
            // Half to one and a half times, so that replicas do not come together.
            let next = clock.now() + wait(repetitions).mul_f64(0.5 + fastrand::f64());
            repetitions += 1;
            shown.attempt += 1;
            (shown.next, shown.error) = (Some(next), Some(failed.why));
            self.show(place, &shown);
            clock.sleep_until(next).await;
            shown.next = None;
            // What came meanwhile is announced by the next try.
            if let Some(newer) = self.take(place) {
                run.generation = newer.generation;
                run.files.extend(newer.files);
                shown.generation = newer.generation;
            }
        };
        let mut state = locked(&self.state);
        state.owed[place].running = None;
        match &outcome {
            Ok(_) => state.ledger.action_done(place, run.generation),
            Err(_) => state.owed[place].files.append(&mut run.files),
        }
        drop(state);
        self.report(place, run.generation, &outcome);
        self.advance_and_tell();
        self.settle();
    }

    /// What a command finds in its environment.
    fn variables(&self, run: &Run) -> BTreeMap<String, String> {
        let files: Vec<&str> = run.files.iter().map(String::as_str).collect();
        BTreeMap::from([
            ("LEASEHOLD_DIR".to_owned(), self.directory.display().to_string()),
            ("LEASEHOLD_GENERATION".to_owned(), run.generation.to_string()),
            ("LEASEHOLD_CHANGED".to_owned(), files.join("\n")),
        ])
    }

    fn due(&self, place: usize) -> Option<u64> {
        locked(&self.state).owed[place].due
    }

    fn take(&self, place: usize) -> Option<Run> {
        locked(&self.state).owed[place].take()
    }

    fn begun(&self, place: usize, generation: u64) -> RunningState {
        let (since, attempts) = (self.surroundings.clock.now(), self.actions[place].retries + 1);
        RunningState { generation, since, attempt: 1, attempts, next: None, error: None }
    }

    /// A run that takes its time is seen while it does.
    fn show(&self, place: usize, running: &RunningState) {
        self.board.write(|board| board.running.insert(self.labels[place].clone(), running.clone()));
    }

    fn report(&self, place: usize, generation: u64, outcome: &Result<action::Done, action::Failed>) {
        let (action, label) = (&self.actions[place], self.labels[place].as_str());
        let (answer, error, said) = match outcome {
            Ok(done) => (done.to_string(), None, done.said()),
            Err(failed) => (failed.why.clone(), Some(failed.why.as_str()), failed.said.as_slice()),
        };
        for line in said {
            self.events.emit(&Event::ActionSaid { action: label, line, failed: error.is_some() });
        }
        let (operation, name) = (action::operation(&action.kind), action.name.as_deref());
        self.events.emit(&Event::ActionDone { action: label, operation, name, generation, error });
        self.board.write(|board| {
            board.running.remove(label);
            // The answer belongs to the generation that it announced; a newer one gets its own.
            if let Some(state) = board.generation.as_mut().filter(|state| state.number == generation) {
                state.actions.insert(label.to_owned(), answer);
            }
        });
    }
}

/// So much longer than its own limit an action is waited for.
const GRACE: Duration = Duration::from_secs(10);

/// The wait before a repetition, before jitter.
fn wait(repetitions: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << repetitions.min(16)).min(LONGEST_WAIT)
}
