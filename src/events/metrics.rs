//! The metrics: a contract with those who write alerts. Names, labels and units are fixed.
//!
//! Counters and the histogram are moved by events; gauges are read from the [`Board`] at the
//! moment of the scrape, so that they cannot be stale. Labels are `secret`, `provider`,
//! `operation` and `outcome` (and `version` of the build); never a path, a lease or a value.

use std::fmt;
use std::time::SystemTime;

use leasehold_core::Error;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Event;
use super::words::seconds;
use crate::clock::{Clock, Moment, Reading};
use crate::status::{Board, ProviderState, SecretState};

/// The text format that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The older Prometheus text format, 0.0.4.
    Prometheus,
}

impl Exposition {
    /// What a scraper's `Accept` asks for; the older format where it does not say.
    pub fn wanted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Durations = Family<Labels, Histogram, fn() -> Histogram>;

/// Everything that can be scraped.
pub(super) struct Metrics {
    registry: Registry,
    board: Board,
    failures: Counters,
    mints: Counters,
    revocations: Counters,
    actions: Counters,
    requests: Counters,
    durations: Durations,
    reload_failures: Counter,
    checks: Counters,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(super) fn new(board: Board, clock: Clock) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            board: board.clone(),
            failures: Counters::default(),
            mints: Counters::default(),
            revocations: Counters::default(),
            actions: Counters::default(),
            requests: Counters::default(),
            durations: Durations::new_with_constructor(request_durations),
            reload_failures: Counter::default(),
            checks: Counters::default(),
        };
        let registry = &mut metrics.registry;
        // The registry adds `_total` to counters and a full stop to help texts.
        let mut counters = |name, help, family: &Counters| registry.register(name, help, family.clone());
        counters(
            "leasehold_secret_failures",
            "Failed operations on a secret, by kind of failure",
            &metrics.failures,
        );
        counters("leasehold_mints", "Credentials asked for, whatever came of it", &metrics.mints);
        counters(
            "leasehold_revocations",
            "Revocations of leases, and of sessions where there is no secret",
            &metrics.revocations,
        );
        counters("leasehold_actions", "Actions that announced a generation", &metrics.actions);
        counters(
            "leasehold_verify",
            "What was said of sets before they were in place; published: in place all the same",
            &metrics.checks,
        );
        counters("leasehold_requests", "Requests on the wire", &metrics.requests);
        registry.register(
            "leasehold_request_duration_seconds",
            "How long requests took",
            metrics.durations.clone(),
        );
        registry.register(
            "leasehold_reload_failures",
            "Changed configurations that were refused",
            metrics.reload_failures.clone(),
        );
        registry.register_collector(Box::new(Gauges { board, clock }));
        metrics
    }

    pub(super) fn count(&self, event: &Event<'_>) {
        match *event {
            Event::Minting { secret, provider } => one(&self.mints, secret_labels(secret, provider)),
            Event::Failed { secret: Some(secret), error, .. } => one(&self.failures, failure(secret, error)),
            Event::Revoked { secret, provider, .. } => {
                one(&self.revocations, outcome(secret_labels(secret, provider), "ok"));
            }
            Event::RevokeFailed { secret, error, .. } => {
                let labels = secret_labels(secret, &error.provider);
                one(&self.revocations, outcome(labels, error.kind.as_str()));
            }
            Event::SessionRevoked { provider, .. } => {
                one(&self.revocations, outcome(vec![("provider", provider.to_owned())], "ok"));
            }
            Event::ActionDone { operation, name, error, .. } => {
                let mut labels = vec![("operation", operation.to_owned())];
                labels.extend(name.map(|name| ("action", name.to_owned())));
                one(&self.actions, outcome(labels, error.map_or("ok", |_| "failed")));
            }
            Event::Checked { outcome: said, .. } => one(&self.checks, outcome(Labels::new(), said)),
            Event::CheckOverruled { .. } => one(&self.checks, outcome(Labels::new(), "published")),
            Event::ReloadRefused { .. } => {
                self.reload_failures.inc();
            }
            Event::Request { provider, operation, outcome: result, took } => {
                let labels: Labels =
                    vec![("provider", provider.to_owned()), ("operation", operation.as_str().to_owned())];
                self.durations.get_or_create(&labels).observe(took.as_secs_f64());
                one(&self.requests, outcome(labels, result));
            }
            _ => {}
        }
    }

    pub(super) fn encode(&self, exposition: Exposition) -> String {
        // A counter that is seen first at 1 hides that first step from `rate()`.
        for (secret, state) in &self.board.snapshot().secrets {
            let _ = self.mints.get_or_create(&secret_labels(secret, &state.provider));
        }
        let mut encoded = String::new();
        text::encode(&mut encoded, &self.registry).expect("writing to a string cannot fail");
        match exposition {
            Exposition::OpenMetrics => encoded,
            Exposition::Prometheus => older(&encoded),
        }
    }
}

/// What is read from the board at each scrape.
#[derive(Debug)]
struct Gauges {
    board: Board,
    clock: Clock,
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let board = self.board.snapshot();
        let read = self.clock.reading();
        let now = read.now();
        let mut family = |name: &str, help: &str, samples: Vec<(Labels, f64)>| {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (labels, value) in samples {
                if labels.is_empty() {
                    // `encode_family` would write empty braces.
                    metric.encode_gauge(&value)?;
                } else {
                    ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
                }
            }
            Ok::<_, fmt::Error>(())
        };
        let of_each = |value: &dyn Fn(&SecretState) -> Option<f64>| -> Vec<(Labels, f64)> {
            let sample = |(name, state): (&String, &SecretState)| {
                Some((secret_labels(name, &state.provider), value(state)?))
            };
            board.secrets.iter().filter_map(sample).collect()
        };
        family(
            "leasehold_secret_expiry_timestamp_seconds",
            "When the secret ends unless it is renewed; absent where it does not end",
            of_each(&|secret| secret.expires.map(|at| timestamp(&read, at))),
        )?;
        family(
            "leasehold_secret_last_success_timestamp_seconds",
            "When the store last gave a good answer for the secret",
            of_each(&|secret| secret.last_success.map(|at| timestamp(&read, at))),
        )?;
        let generation = board.generation.as_ref();
        let single = |value: Option<f64>| value.map(|value| (Labels::new(), value)).into_iter().collect();
        family(
            "leasehold_generation",
            "The number of the generation in place",
            single(generation.map(|generation| generation.number as f64)),
        )?;
        family(
            "leasehold_generation_timestamp_seconds",
            "When the generation in place was published",
            single(generation.map(|generation| timestamp(&read, generation.published))),
        )?;
        family(
            "leasehold_mints_ceiling",
            "How many mints are allowed in 60 s",
            of_each(&|secret| Some(f64::from(secret.mints_ceiling))),
        )?;
        let polls = |(name, state): (&String, &ProviderState)| {
            (vec![("provider", name.clone())], state.polls_per_hour)
        };
        family(
            "leasehold_polls_per_hour",
            "How many requests an hour the polled secrets cost at most, as configured",
            board.providers.iter().map(polls).collect(),
        )?;
        family(
            "leasehold_retiring_leases",
            "Replaced leases that are not revoked yet",
            of_each(&|secret| Some(secret.retiring.len() as f64)),
        )?;
        family(
            "leasehold_ack_pending_seconds",
            "For how long an acknowledgement has been awaited; 0 where none is",
            of_each(&|secret| Some(secret.awaiting_ack.map_or(0.0, |since| seconds(now.since(since))))),
        )?;
        family(
            "leasehold_build_info",
            "Always 1, labelled by the version",
            vec![(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0)],
        )
    }
}

/// Seconds since 1970. Each scrape reads the clocks anew; that [`seconds`] rounds keeps their jitter out of it.
fn timestamp(read: &Reading, at: Moment) -> f64 {
    seconds(read.wall(at).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn one(family: &Counters, labels: Labels) {
    family.get_or_create(&labels).inc();
}

fn secret_labels(secret: &str, provider: &str) -> Labels {
    vec![("secret", secret.to_owned()), ("provider", provider.to_owned())]
}

fn outcome(mut labels: Labels, outcome: &str) -> Labels {
    labels.push(("outcome", outcome.to_owned()));
    labels
}

fn failure(secret: &str, error: &Error) -> Labels {
    let mut labels = secret_labels(secret, &error.provider);
    labels.push(("operation", error.operation.as_str().to_owned()));
    outcome(labels, error.kind.as_str())
}

/// From a local socket's milliseconds to the longest that a request may take.
fn request_durations() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

/// OpenMetrics → Prometheus 0.0.4. For what we have they differ only in the name that stands in
/// a counter's comments, and in the last line.
fn older(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = "";
    for line in open.lines() {
        if let Some(comment) = line.strip_prefix("# HELP ") {
            help = comment;
        } else if let Some(comment) = line.strip_prefix("# TYPE ") {
            let suffix = if comment.ends_with(" counter") { "_total" } else { "" };
            for (keyword, comment) in [("HELP", help), ("TYPE", comment)] {
                let (name, rest) = comment.split_once(' ').unwrap_or((comment, ""));
                text.push_str(&format!("# {keyword} {name}{suffix} {rest}\n"));
            }
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests;
