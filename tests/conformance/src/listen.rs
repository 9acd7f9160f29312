//! Hears all that is said through `tracing` in this process, at every level and by every crate.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static SAID: Mutex<String> = Mutex::new(String::new());

/// All that was said since it began.
#[derive(Clone, Copy, Debug)]
pub struct Listening(usize);

/// Begins to listen. It is for the whole process: what a subscriber of one thread wants to hear,
/// tracing forgets for others. So a process has one listener, and a test that wants to hear uses this.
///
/// # Panics
/// Where another subscriber was set in this process.
pub fn listen() -> Listening {
    static SET: OnceLock<bool> = OnceLock::new();
    let ours = *SET.get_or_init(|| tracing::subscriber::set_global_default(Everything::default()).is_ok());
    assert!(
        ours,
        "another subscriber listens in this process: use leasehold_conformance::listen in its place"
    );
    Listening(said().len())
}

impl Listening {
    /// What was said, by whichever thread.
    pub fn said(&self) -> String {
        said().get(self.0..).unwrap_or_default().to_owned()
    }
}

fn said() -> MutexGuard<'static, String> {
    SAID.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Everything(AtomicU64);

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        write(span.metadata(), |line| span.record(line));
        Id::from_u64(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = Line("TRACE span values".to_owned());
        values.record(&mut line);
        line.end();
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        write(event.metadata(), |line| event.record(line));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn write(about: &Metadata<'_>, record: impl FnOnce(&mut Line)) {
    let mut line = Line::default();
    let _ = write!(line.0, "{} {} {}", about.level(), about.target(), about.name());
    record(&mut line);
    line.end();
}

/// Formatted before it is added: what is formatted may speak itself.
#[derive(Default)]
struct Line(String);

impl Line {
    fn end(self) {
        // One line each, so that it is known who said it.
        let line = self.0.replace(['\n', '\r'], " ");
        let mut said = said();
        said.push_str(&line);
        said.push('\n');
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {}={value}", field.name());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}
