//! The script: what happens when, counted from the start.

use std::time::Duration;

use leasehold_core::{Kind, Operation, Problem};

use crate::config::{RawLine, SecretKind, Settings, length};
use crate::fault::{Fault, Touched};
use crate::made_up::normal;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    at: Duration,
    every: Option<Duration>,
    lasts: Option<Duration>,
    pub(crate) happening: Happening,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    Fault(Fault),
    Delay(Touched, Duration),
    Rotate(String),
    Revoke(String),
    ExpireSession,
}

impl Line {
    pub(crate) fn new(
        at: Duration,
        every: Option<Duration>,
        lasts: Option<Duration>,
        happening: Happening,
    ) -> Self {
        Self { at, every, lasts, happening }
    }

    pub(crate) fn at(&self) -> Duration {
        self.at
    }

    pub(crate) fn every(&self) -> Option<Duration> {
        self.every
    }

    pub(crate) fn lasts(&self) -> Option<Duration> {
        self.lasts
    }

    /// How often it has happened, or begun, until now.
    pub(crate) fn turns(&self, now: Duration) -> u64 {
        let Some(since) = now.checked_sub(self.at) else { return 0 };
        match self.every {
            None => 1,
            Some(every) => u64::try_from(since.as_nanos() / every.as_nanos()).unwrap_or(u64::MAX - 1) + 1,
        }
    }

    /// Whether a happening that lasts is going on.
    pub(crate) fn is_on(&self, now: Duration) -> bool {
        let Some(since) = now.checked_sub(self.at) else { return false };
        let since = match self.every {
            None => since,
            Some(every) => Duration::from_nanos_u128(since.as_nanos() % every.as_nanos()),
        };
        self.lasts.is_none_or(|lasts| since < lasts)
    }
}

/// Turns what is written into lines; `settings` says what kind each path is.
pub(crate) fn parse(raw: Vec<RawLine>, settings: &Settings, problems: &mut Vec<Problem>) -> Vec<Line> {
    let lines = raw.into_iter().enumerate();
    lines.filter_map(|(index, raw)| line(&format!("script[{index}]"), raw, settings, problems)).collect()
}

fn line(place: &str, raw: RawLine, settings: &Settings, problems: &mut Vec<Problem>) -> Option<Line> {
    let before = problems.len();
    let every = length(format!("{place}.every"), raw.every, None, problems);
    let at = length(format!("{place}.at"), raw.at, None, problems).or(every).unwrap_or_default();
    let lasts = length(format!("{place}.for"), raw.lasts, None, problems);
    let throttle = length(format!("{place}.throttle"), raw.throttle, None, problems);
    let delay = length(format!("{place}.delay"), raw.delay, None, problems);
    let narrowed = raw.operation.as_deref().and_then(|word| operation(place, "operation", word, problems));
    let path = raw.path.as_deref().map(|path| normal(path).to_owned());
    if every.is_some_and(|every| every.is_zero()) {
        problems.push(Problem::new(format!("{place}.every"), "must be longer than 0s"));
    }
    let touched = || Touched { operation: narrowed, path: path.clone(), session: None };
    let fault = |kind| {
        let mut fault = Fault::new(kind);
        fault.touched = touched();
        fault
    };

    let mut found = Vec::new();
    if raw.outage == Some(true) {
        found.push(Happening::Fault(fault(Kind::Unavailable)));
    }
    if let Some(wait) = throttle {
        found.push(Happening::Fault(fault(Kind::Throttled).retry_after(wait)));
    }
    if let Some(word) = raw.deny.as_deref() {
        let mut denial = fault(Kind::Denied);
        if raw.operation.is_some() {
            problems.push(Problem::new(
                format!("{place}.operation"),
                "is not for deny, which names its operation",
            ));
        }
        if word != "any" {
            denial.touched.operation = operation(place, "deny", word, problems);
        }
        found.push(Happening::Fault(denial));
    }
    if let Some(length) = delay {
        found.push(Happening::Delay(touched(), length));
    }
    if let Some(path) = raw.rotate.as_deref().map(normal) {
        if !matches!(settings.kind(path), SecretKind::Static | SecretKind::Rotating) {
            problems.push(Problem::new(
                format!("{place}.rotate"),
                "is for static and rotating secrets: one with a lease is replaced by its reader (see revoke)",
            ));
        }
        found.push(Happening::Rotate(path.to_owned()));
    }
    if let Some(path) = raw.revoke.as_deref() {
        found.push(Happening::Revoke(normal(path).to_owned()));
    }
    if raw.expire_session == Some(true) {
        found.push(Happening::ExpireSession);
    }
    if problems.len() > before {
        return None;
    }
    if found.len() != 1 {
        problems.push(Problem::new(
            place,
            "needs exactly one of outage: true, throttle, deny, delay, rotate, revoke, expire_session: true",
        ));
        return None;
    }
    let happening = found.pop()?;
    let goes_on = matches!(happening, Happening::Fault(_) | Happening::Delay(..));
    if !goes_on && lasts.is_some() {
        problems.push(Problem::new(format!("{place}.for"), "is for outage, throttle, deny and delay"));
    }
    if !goes_on && (path.is_some() || raw.operation.is_some()) {
        problems.push(Problem::new(place, "path and operation are for outage, throttle, deny and delay"));
    }
    if let Some(every) = every
        && goes_on
        && lasts.is_none_or(|lasts| lasts >= every)
    {
        problems.push(Problem::new(format!("{place}.for"), "must be set, and shorter than every"));
    }
    (problems.len() == before).then_some(Line { at, every, lasts, happening })
}

fn operation(place: &str, key: &str, word: &str, problems: &mut Vec<Problem>) -> Option<Operation> {
    const ALL: [Operation; 6] = [
        Operation::Login,
        Operation::Fetch,
        Operation::Lookup,
        Operation::Renew,
        Operation::Revoke,
        Operation::Check,
    ];
    let found = ALL.into_iter().find(|operation| operation.as_str() == word);
    if found.is_none() {
        let any = if key == "deny" { ", or any" } else { "" };
        problems.push(Problem::new(
            format!("{place}.{key}"),
            format!("must be one of login, fetch, lookup, renew, revoke, check{any}"),
        ));
    }
    found
}
