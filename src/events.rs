//! One typed event per fact: a log line and a metric from one place.
//!
//! Whoever learns a fact emits it here and nowhere else; [`mod@line`] says it in words, [`metrics`]
//! counts it. Gauges are read from the [`Board`] when they are scraped. No value is in an event,
//! so none can be in a line or a metric.

mod event;
pub mod line;
pub mod metrics;
pub mod words;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::{Kind, Observer, Operation};

use crate::clock::{Clock, locked};
use crate::status::Board;
pub use event::{Event, Was};
use line::Line;
use metrics::{Exposition, Metrics};

/// Where facts are told; clones share it.
#[derive(Clone, Debug)]
pub struct Events(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metrics: Metrics,
    recorded: Option<Mutex<Vec<String>>>,
    listener: Option<Arc<dyn Listener>>,
}

/// Who hears every fact, beside log and metrics. It must not hold anybody up.
pub trait Listener: fmt::Debug + Send + Sync {
    /// A fact.
    fn hear(&self, event: &Event<'_>);
}

impl Events {
    /// Lines go to `tracing` (target `leasehold`), metrics to [`Events::metrics`].
    pub fn new(board: Board, clock: Clock) -> Self {
        Self::heard_by(None, board, clock)
    }

    /// As [`Events::new`], heard by somebody else as well.
    pub fn heard_by(listener: Option<Arc<dyn Listener>>, board: Board, clock: Clock) -> Self {
        Self(Arc::new(Inner { metrics: Metrics::new(board, clock), recorded: None, listener }))
    }

    /// As [`Events::new`], and keeps every line for [`Events::recorded`], for as long as it lives.
    pub fn recording(board: Board, clock: Clock) -> Self {
        let recorded = Some(Mutex::default());
        Self(Arc::new(Inner { metrics: Metrics::new(board, clock), recorded, listener: None }))
    }

    /// Records, with a board and a clock (tokio's) of its own.
    pub fn for_tests() -> Self {
        Self::recording(Board::default(), Clock::tokio())
    }

    /// Tells a fact: one log line, and the metrics it moves.
    pub fn emit(&self, event: &Event<'_>) {
        self.0.metrics.count(event);
        let line = Line::of(event);
        line.log();
        if let Some(listener) = &self.0.listener {
            listener.hear(event);
        }
        if let Some(recorded) = &self.0.recorded {
            locked(recorded).push(line.to_string());
        }
    }

    /// The lines so far, each as `LEVEL EVENT: SENTENCE` (`info published: …`). Empty unless made
    /// by [`Events::recording`] or [`Events::for_tests`].
    pub fn recorded(&self) -> Vec<String> {
        self.0.recorded.as_ref().map(|recorded| locked(recorded).clone()).unwrap_or_default()
    }

    /// Everything that can be scraped, as of now.
    pub fn metrics(&self, exposition: Exposition) -> String {
        self.0.metrics.encode(exposition)
    }

    /// Counts the requests of the provider of this name.
    pub fn observer(&self, provider: &str) -> Arc<dyn Observer> {
        Arc::new(RequestObserver { events: self.clone(), provider: provider.to_owned() })
    }
}

/// One provider's requests → [`Event::Request`].
struct RequestObserver {
    events: Events,
    provider: String,
}

impl Observer for RequestObserver {
    fn request(&self, operation: Operation, outcome: Option<Kind>, took: Duration) {
        let outcome = outcome.map_or("ok", Kind::as_str);
        self.events.emit(&Event::Request { provider: &self.provider, operation, outcome, took });
    }
}
