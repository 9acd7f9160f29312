//! The log: lines on standard error, for people or as JSON, of our own targets only.
//!
//! What a library logs may hold a value at any level (a client its headers, a parser its text), so
//! nothing but `leasehold*` gets through. Level and format can change while the process runs.

mod screen;

use std::fmt::Debug;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer as _, Registry, fmt};

use crate::clock::Clock;
use crate::config::model::{Log, LogFormat, LogLevel};
use screen::Stderr;
pub use screen::{catch_up, yield_to};

/// What begins the name of each target of ours.
const OURS: &str = "leasehold";

/// What is shown now: the level's number, plus [`JSON`].
static SHOWN: AtomicU8 = AtomicU8::new(3);
const JSON: u8 = 0x80;

/// Starts the log of this process. Called once; a second call changes level and format only.
pub fn start(log: Log) {
    apply(log);
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // There is one already: it reads what is to be shown from the same place.
    let _ = tracing::subscriber::set_global_default(subscriber(Stderr, colours));
}

/// Changes level and format from the next line on.
pub fn apply(log: Log) {
    let level = match log.level {
        LogLevel::Error => 1,
        LogLevel::Warn => 2,
        LogLevel::Info => 3,
        LogLevel::Debug => 4,
        LogLevel::Trace => 5,
    };
    let format = match log.format {
        LogFormat::Text => 0,
        LogFormat::Json => JSON,
    };
    SHOWN.store(level | format, Ordering::Relaxed);
}

/// Whether the level is one at which everything is of interest.
fn wants_everything() -> bool {
    SHOWN.load(Ordering::Relaxed) & !JSON >= 4
}

fn subscriber<W>(writer: W, colours: bool) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Clone + Send + Sync + 'static,
{
    let text = fmt::layer()
        .with_writer(writer.clone())
        .with_ansi(colours)
        .event_format(Sentence { clock: Clock::boot() })
        .with_filter(dynamic_filter_fn(|metadata, _| shown(metadata, 0)));
    let json = fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(writer)
        .with_target(false)
        .with_current_span(false)
        .with_span_list(false)
        .with_filter(dynamic_filter_fn(|metadata, _| shown(metadata, JSON)));
    Registry::default().with(text).with(json)
}

/// A line for people: time to the second, level, sentence. The sentence says it all; the fields
/// beside it are for machines.
struct Sentence {
    clock: Clock,
}

impl<S, N> FormatEvent<S, N> for Sentence
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> fmt::FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        let time: SystemTime = self.clock.wall(self.clock.now());
        let time = humantime::format_rfc3339_seconds(time);
        let level = *event.metadata().level();
        if writer.has_ansi_escapes() {
            let colour = match level {
                Level::ERROR => "31",
                Level::WARN => "33",
                Level::INFO => "32",
                _ => "2",
            };
            write!(writer, "\x1b[2m{time}\x1b[0m \x1b[{colour}m{level:>5}\x1b[0m ")?;
        } else {
            write!(writer, "{time} {level:>5} ")?;
        }
        event.record(&mut Message(&mut writer));
        writeln!(writer)
    }
}

/// Writes the message and no other field.
struct Message<'a, 'b>(&'a mut Writer<'b>);

impl Visit for Message<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // A log that cannot be written cannot say so.
            let _ = write!(self.0, "{value:?}");
        }
    }
}

fn shown(metadata: &Metadata<'_>, format: u8) -> bool {
    let now = SHOWN.load(Ordering::Relaxed);
    let level = match now & !JSON {
        1 => LevelFilter::ERROR,
        2 => LevelFilter::WARN,
        3 => LevelFilter::INFO,
        4 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let target = metadata.target();
    let ours = target
        .strip_prefix(OURS)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::") || rest.starts_with('_'));
    ours && now & JSON == format && *metadata.level() <= level
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    impl Lines {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    #[test]
    fn only_our_lines_are_shown_at_the_level_and_in_the_format_of_now() {
        let lines = Lines::default();
        tracing::subscriber::with_default(subscriber(lines.clone(), false), || {
            let say = || {
                tracing::info!(target: "leasehold", secret = "db", "published");
                tracing::debug!(target: "leasehold", "why");
                tracing::error!(target: "hyper", "canary of a client");
                tracing::error!(target: "leaseholder", "canary of a neighbour");
            };
            apply(Log { level: LogLevel::Info, format: LogFormat::Text });
            say();
            let text = lines.take();
            let (time, said) = text.split_once(' ').unwrap();
            assert_eq!(said, " INFO published\n");
            assert!(humantime::parse_rfc3339(time).is_ok_and(|_| time.len() == 20), "{time}");

            apply(Log { level: LogLevel::Trace, format: LogFormat::Json });
            say();
            let json = lines.take();
            assert!(!json.contains("canary"), "{json}");
            let parsed: Vec<serde_json::Value> =
                json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(parsed.len(), 2, "{json}");
            assert_eq!((&parsed[0]["message"], &parsed[0]["secret"]), (&"published".into(), &"db".into()));
            assert_eq!(parsed[1]["level"], "DEBUG");

            apply(Log { level: LogLevel::Error, format: LogFormat::Text });
            say();
            assert_eq!(lines.take(), "");
        });
    }
}
