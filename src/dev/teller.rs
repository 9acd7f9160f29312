//! What happens, in short lines for a person who works beside it: rotations, and what goes wrong.
//! Never a value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Write as _};
use std::sync::Mutex;
use std::time::Duration;

use tracing::Level;

use crate::clock::{Clock, Moment, locked};
use crate::config::model::Action;
use crate::config::{Config, Reading};
use crate::events::line::Line;
use crate::events::words::human;
use crate::events::{Event, Listener};
use crate::notify_app;
use crate::render::{Paths, Renderer, Variables};

/// Says what happens on standard error.
pub struct Teller {
    /// Of the machine: when it was started, and now.
    began: Moment,
    /// Of the stores.
    clock: Clock,
    start: Moment,
    renderer: Option<Renderer>,
    /// The secrets that the command's environment is made of.
    in_environment: BTreeSet<String>,
    /// What is not run here.
    left_out: Vec<Action>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    published: bool,
    /// What came since the last set.
    fetched: BTreeSet<String>,
    /// What fails, and how: said once while it lasts.
    failing: BTreeMap<String, &'static str>,
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teller")
    }
}

impl Teller {
    /// `began`: when the process did, on the machine's clock. `clock`: that of the stores.
    pub fn new(config: &Config, began: Moment, clock: Clock) -> Self {
        let left_out = match &config.reading {
            Reading::Development(development) => development.left_out.clone(),
            Reading::Production => Vec::new(),
        };
        let paths = Paths::new(&config.files, &config.output);
        Self {
            began,
            start: clock.now(),
            clock,
            // What is wrong with them is said by who has to render.
            renderer: Renderer::new(&config.files, &paths).ok(),
            in_environment: Variables::new(&config.env, &paths)
                .map(|variables| variables.uses().clone())
                .unwrap_or_default(),
            left_out,
            state: Mutex::default(),
        }
    }

    /// Says something that has no time.
    pub fn note(&self, text: &str) {
        write(&format!("leasehold: {text}"));
    }

    /// Says that something happened now.
    pub fn say(&self, text: &str) {
        let machine = self.clock.unhurried();
        let time = crate::process::time_of_day(machine.wall(machine.now()));
        let passed = self.clock.now().since(self.start);
        // Where the stores' time runs faster, it is what TTLs are counted in.
        let theirs = match passed > machine.now().since(self.began) + Duration::from_secs(30) {
            true => format!(" (+{})", human(Duration::from_secs(passed.as_secs() / 60 * 60))),
            false => String::new(),
        };
        write(&format!("leasehold {time}{theirs}  {text}"));
    }

    /// The first set.
    fn first(&self, files: &[String]) {
        const SHOWN: usize = 8;
        let machine = self.clock.unhurried();
        let took = machine.now().since(self.began).as_millis();
        let mut names: Vec<&str> = files.iter().take(SHOWN).map(String::as_str).collect();
        let more = format!("{} more", files.len().saturating_sub(SHOWN));
        if files.len() > SHOWN {
            names.push(&more);
        }
        match names.is_empty() {
            true => self.note(&format!("first secrets after {took} ms; there are no files")),
            false => self.note(&format!("first files after {took} ms: {}", names.join(", "))),
        }
    }

    /// `db rotated: generation 3 (files: db.env; env)`.
    fn rotated(
        &self,
        generation: u64,
        changed: &[String],
        environment: bool,
        fetched: &mut BTreeSet<String>,
    ) {
        let in_files = changed.iter().flat_map(|file| self.renderer.iter().flat_map(|r| r.uses_of(file)));
        let in_environment = self.in_environment.iter().filter(|_| environment).cloned();
        let used: BTreeSet<String> = in_files.chain(in_environment).collect();
        // What came since waits for its own set.
        let names: Vec<String> =
            fetched.extract_if(.., |name| used.is_empty() || used.contains(name)).collect();
        let what = match (names.as_slice(), changed) {
            ([], []) if environment => "what the command is given changed".to_owned(),
            ([], _) => "files changed".to_owned(),
            (names, _) => format!("{} rotated", names.join(", ")),
        };
        let mut places = Vec::new();
        if !changed.is_empty() {
            places.push(format!("files: {}", changed.join(", ")));
        }
        if environment {
            places.push("env".to_owned());
        }
        let places = match places.is_empty() {
            true => String::new(),
            false => format!(" ({})", places.join("; ")),
        };
        self.say(&format!("{what}: generation {generation}{places}"));
        let covers = |action: &&Action| match &action.files {
            None => true,
            Some(files) => changed.iter().any(|name| files.contains(name)),
        };
        let actions: Vec<String> = self.left_out.iter().filter(covers).map(notify_app::label).collect();
        if !actions.is_empty() && !changed.is_empty() {
            self.say(&format!("not run here (--actions runs it): {}", actions.join("; ")));
        }
    }
}

impl Listener for Teller {
    fn hear(&self, event: &Event<'_>) {
        let mut state = locked(&self.state);
        match *event {
            Event::Fetched { secret, .. } => {
                state.fetched.insert(secret.to_owned());
                state.failing.remove(secret);
            }
            Event::Renewed { secret, .. } | Event::Unchanged { secret, .. } => {
                state.failing.remove(secret);
            }
            Event::LoggedIn { provider, .. } | Event::SessionRenewed { provider, .. } => {
                state.failing.remove(provider);
            }
            Event::Published { generation, changed, environment, .. } => {
                match std::mem::replace(&mut state.published, true) {
                    false => {
                        state.fetched.clear();
                        self.first(changed);
                    }
                    true => self.rotated(generation, changed, environment, &mut state.fetched),
                }
            }
            Event::EnvironmentChanged { generation } => {
                self.rotated(generation, &[], true, &mut state.fetched);
            }
            Event::CommandRestartDue { wait, .. } => {
                let when = match wait.is_zero() {
                    true => "now".to_owned(),
                    false => format!("in {}", human(wait)),
                };
                self.say(&format!("what the command was given has changed; it is restarted {when}"));
            }
            Event::Failed { secret, error, retry_in: Some(wait) } => {
                let subject = secret.unwrap_or(&error.provider);
                let kind = error.kind.as_str();
                if state.failing.insert(subject.to_owned(), kind) != Some(kind) {
                    let operation = error.operation.as_str();
                    self.say(&format!(
                        "\"{subject}\": {operation} failed ({kind}); tried again in {}, the files stay",
                        human(wait)
                    ));
                }
            }
            // The answer to a request is one of those above; TTLs are short here on purpose.
            Event::Request { .. } | Event::OverlapShortened { .. } | Event::LeadShortened { .. } => {}
            _ => {
                let line = Line::of(event);
                let of_interest = matches!(
                    event,
                    Event::Reloaded { .. }
                        | Event::Acknowledged { .. }
                        | Event::ReportedStale { .. }
                        | Event::ActionDone { .. }
                        | Event::SessionReplacing { .. }
                        | Event::CommandStarted { restarts: 1.., .. }
                        | Event::CommandDraining { .. }
                        | Event::Note { .. }
                );
                if line.level <= Level::WARN || (of_interest && line.level <= Level::INFO) {
                    self.say(&line.message);
                }
            }
        }
    }
}

/// One line, in one piece: what runs beside us writes there, too.
fn write(line: &str) {
    // Nothing can be done where nobody listens.
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}
