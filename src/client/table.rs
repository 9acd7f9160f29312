//! A report as a table for people.

use std::io;
use std::time::{Duration, SystemTime};

use super::columns::{Cell, Column, Step, table};
use super::view::{Line, Style, View, bar, wrapped, write};
use crate::admin::{
    ErrorReport, Health, NextReport, Report, RunningReport, SecretReport, State, VerifyReport,
};
use crate::events::words::{human, one_line};

/// A bar's columns at first, at least and at most.
const BAR: (usize, usize, usize) = (10, 6, 40);

/// Writes what is held: the generation and what its actions answered, the providers' sessions, one
/// line per secret with a bar of what is left of its life, and below it what went wrong last. Lease
/// ids and accessors stand in it, no value.
pub fn write_table(report: &Report, view: &View, out: &mut impl io::Write) -> io::Result<()> {
    write(lines(report, view), view, out)
}

/// The same as lines.
pub(super) fn lines(report: &Report, view: &View) -> Vec<Line> {
    let mut lines = head(report, view);
    for part in [providers(report, view), secrets(report, view)] {
        if !part.is_empty() && !lines.is_empty() {
            lines.push(Line::new());
        }
        lines.extend(part);
    }
    lines
}

fn head(report: &Report, view: &View) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(generation) = &report.generation {
        let files = generation.files.len();
        let plural = if files == 1 { "" } else { "s" };
        let age = length(generation.age_seconds);
        let mut text = format!(", {files} file{plural}, published {age} ago");
        if let Some(acknowledged) = report.acknowledged {
            text += &format!(", acknowledged: {acknowledged}");
        }
        let first = Line::new().and(Style::Strong, format!("generation {}", generation.number));
        lines.extend(wrapped(first, Style::Plain, &text, view));
        if !report.missing_acknowledgements.is_empty() {
            let missing = one_line(&report.missing_acknowledgements.join(", "));
            let text = format!("  waiting for the acknowledgement of {missing}");
            lines.extend(wrapped(Line::new(), Style::Warning, &text, view));
        }
        for (action, answer) in &generation.actions {
            let style = if answer.starts_with("ok") { Style::Good } else { Style::Warning };
            let first = Line::plain(format!("  {}: ", one_line(action)));
            lines.extend(wrapped(first, style, &one_line(answer), view));
        }
        for (action, run) in &report.running_actions {
            let style = if run.error.is_some() { Style::Warning } else { Style::Plain };
            let first = Line::plain(format!("  {}: ", one_line(action)));
            lines.extend(wrapped(first, style, &running(run, generation.number), view));
        }
    } else if report.not_ready.is_none() {
        lines.push(Line::plain("no generation is published yet"));
    }
    let waiting: Vec<String> = report
        .secrets
        .iter()
        .filter_map(|(name, secret)| Some((name, secret.awaiting_ack_seconds?)))
        .map(|(name, since)| format!("{} (for {})", one_line(name), length(since)))
        .collect();
    let mut say = |style, text: &str| lines.extend(wrapped(Line::new(), style, text, view));
    if !waiting.is_empty() {
        say(Style::Warning, &format!("waits for an acknowledgement: {}", waiting.join(", ")));
    }
    if let Some(command) = &report.command {
        let pid = command.pid.map_or_else(String::new, |pid| format!(" as process {pid}"));
        let age = command.age_seconds.map_or_else(String::new, |age| format!(" for {}", length(age)));
        let plural = if command.restarts == 1 { "" } else { "s" };
        let next = command
            .next_restart_seconds
            .map_or_else(String::new, |wait| format!(", the next in {}", length(wait)));
        let state = one_line(&command.state);
        say(Style::Plain, &format!("command {state}{pid}{age}, {} restart{plural}{next}", command.restarts));
    }
    if let Some(why) = &report.not_ready {
        say(Style::Bad, &one_line(why));
    }
    if let Some(why) = &report.refused {
        say(Style::Bad, &format!("a newer set could not be published: {}", one_line(why)));
    }
    if let Some(check) = &report.verify {
        say(Style::Bad, &verify(check));
    }
    for what in &report.needs_restart {
        say(Style::Warning, &format!("needs a restart: {}", one_line(what)));
    }
    if let Some(drill) = &report.drill {
        let left = length(drill.remaining_seconds);
        say(Style::Warning, &format!("drill: {}, {left} left", one_line(&drill.what)));
    }
    if report.handover {
        say(
            Style::Warning,
            "the next SIGTERM leaves everything to a successor (`leasehold handover --cancel` takes that back)",
        );
    }
    if report.ending {
        say(Style::Warning, "leasehold is ending");
    }
    lines
}

/// "running for 20s, try 2 of 4; the one before: it ended with exit code 1", "try 2 of 4 in 3s; …", "runs in 2s".
fn running(run: &RunningReport, in_place: u64) -> String {
    let attempt = format!("try {} of {}", run.attempt, run.attempts);
    let mut text = match run.next_seconds.map(length) {
        Some(wait) if run.attempt == 1 => format!("runs in {wait}"),
        Some(wait) => format!("{attempt} in {wait}"),
        None if run.attempts == 1 => format!("running for {}", length(run.age_seconds)),
        None => format!("running for {}, {attempt}", length(run.age_seconds)),
    };
    if run.generation != in_place {
        text += &format!(", for generation {}", run.generation);
    }
    if let Some(error) = &run.error {
        text += &format!("; the one before: {}", one_line(error));
    }
    text
}

/// "verify refuses a newer set: no login; 3 tries in 12s, the next in 4s".
fn verify(check: &VerifyReport) -> String {
    let what = match check.outcome.as_str() {
        "refused" => "refuses a newer set",
        _ => "cannot tell whether a newer set is good",
    };
    let tries = if check.tries == 1 { "1 try".to_owned() } else { format!("{} tries", check.tries) };
    let next = match check.next_seconds {
        Some(wait) => format!("the next in {}", length(wait)),
        None => "that was the last word".to_owned(),
    };
    let age = length(check.age_seconds);
    format!("verify {what}: {}; {tries} in {age}, {next}", one_line(&check.said))
}

fn providers(report: &Report, view: &View) -> Vec<Line> {
    if report.providers.is_empty() {
        return Vec::new();
    }
    let all = || report.providers.values();
    let columns = vec![
        Column::new("PROVIDER", names(report.providers.keys())),
        Column::new(
            "STATE",
            all()
                .map(|provider| match provider.state {
                    Health::Ok => Cell::Text(Style::Good, "ok".to_owned()),
                    Health::Failing => Cell::Text(Style::Warning, "failing".to_owned()),
                    Health::NoSession => Cell::Text(Style::Faint, "no session".to_owned()),
                })
                .collect(),
        ),
        Column::new(
            "SESSION ENDS",
            all()
                .map(|provider| match (&provider.session, provider.session_remaining_seconds) {
                    (None, _) => Cell::none(),
                    (Some(_), None) => Cell::Text(Style::Plain, "never".to_owned()),
                    (Some(_), Some(left)) => Cell::Text(Style::Plain, format!("in {}", length(left))),
                })
                .collect(),
        ),
        Column::new(
            "SESSION",
            all().map(|provider| provider.session.as_deref().map_or_else(Cell::none, id)).collect(),
        ),
    ];
    let steps = [Step::Shorten("SESSION", 12), Step::Shorten("PROVIDER", 12), Step::Drop("SESSION")];
    let (heading, rows) = table(columns, &steps, ("", 0), view);
    let mut lines = vec![heading];
    for (row, provider) in rows.into_iter().zip(all()) {
        lines.push(row);
        if let Some(error) = &provider.error {
            lines.extend(last_error(error, report, view));
        }
        for session in &provider.old_sessions {
            lines.extend(replaced(&format!("session {}", one_line(session)), view));
        }
    }
    lines
}

fn secrets(report: &Report, view: &View) -> Vec<Line> {
    if report.secrets.is_empty() {
        return vec![Line::plain("no secrets")];
    }
    let all = || report.secrets.values();
    let with_bars = all().filter(|secret| fraction(secret).is_some());
    let texts = with_bars.map(|secret| remaining(secret).chars().count()).max();
    let of_bar = |columns: usize| texts.map_or(0, |texts| columns + 1 + texts);
    let bars = all().map(|secret| life(secret, texts, view)).collect();
    let columns = vec![
        Column::new("SECRET", names(report.secrets.keys())),
        Column::new("PROVIDER", all().map(|secret| plain(&secret.provider)).collect()),
        Column::new("STATE", all().map(|secret| state(secret.state)).collect()),
        Column::of_width("REMAINING", of_bar(BAR.0), bars),
        Column::new("AGE", all().map(|secret| maybe(secret.age_seconds.map(brief))).collect()),
        Column::new("NEXT", all().map(|secret| maybe(secret.next.as_ref().map(next))).collect()),
        Column::new("VERSION", all().map(|secret| maybe(secret.version.as_deref().map(one_line))).collect()),
        Column::new(
            "LEASE",
            all().map(|secret| secret.lease.as_deref().map_or_else(Cell::none, id)).collect(),
        ),
    ];
    let steps = [
        Step::Shorten("LEASE", 24),
        Step::Shorten("VERSION", 10),
        Step::Drop(if report.providers.len() > 1 { "VERSION" } else { "PROVIDER" }),
        Step::Shorten("LEASE", 12),
        Step::Shorten("REMAINING", of_bar(BAR.1)),
        Step::Shorten("SECRET", 16),
        Step::Drop("VERSION"),
        Step::Drop("AGE"),
        Step::Drop("PROVIDER"),
        Step::Drop("LEASE"),
        Step::Shorten("SECRET", 8),
        Step::Drop("NEXT"),
    ];
    let (heading, rows) = table(columns, &steps, ("REMAINING", of_bar(BAR.2)), view);
    let mut lines = vec![heading];
    for (row, secret) in rows.into_iter().zip(all()) {
        lines.push(row);
        // What a provider suffers as a whole is said once.
        let said = report.providers.get(&secret.provider).and_then(|provider| provider.error.as_ref());
        if let Some(error) = &secret.error
            && said.is_none_or(|said| said.kind != error.kind)
        {
            lines.extend(last_error(error, report, view));
        }
        for lease in &secret.retiring {
            lines.extend(replaced(&one_line(lease), view));
        }
    }
    lines
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> Vec<Cell> {
    names.map(|name| Cell::Text(Style::Strong, one_line(name))).collect()
}

fn plain(text: &str) -> Cell {
    Cell::Text(Style::Plain, one_line(text))
}

fn id(text: &str) -> Cell {
    Cell::Id(one_line(text))
}

fn maybe(text: Option<String>) -> Cell {
    text.map_or_else(Cell::none, |text| plain(&text))
}

fn next(next: &NextReport) -> String {
    match next.in_seconds > 0.0 {
        true => format!("{} in {}", one_line(&next.action), brief(next.in_seconds)),
        false => format!("{} now", one_line(&next.action)),
    }
}

fn state(state: State) -> Cell {
    let (style, word) = match state {
        State::Held => (Style::Good, "held"),
        State::Failing => (Style::Warning, "failing"),
        State::AwaitingAck => (Style::Warning, "awaiting ack"),
        State::Expired => (Style::Bad, "EXPIRED"),
        State::Missing => (Style::Bad, "missing"),
        State::LeftOut => (Style::Faint, "left out"),
    };
    Cell::Text(style, word.to_owned())
}

fn remaining(secret: &SecretReport) -> String {
    match (secret.remaining_seconds, secret.state) {
        (Some(left), _) => brief(left),
        (None, State::Missing | State::LeftOut) => "-".to_owned(),
        (None, _) => "no end".to_owned(),
    }
}

/// What is left of what was granted.
fn fraction(secret: &SecretReport) -> Option<f64> {
    let granted = secret.granted_seconds.filter(|granted| *granted > 0.0)?;
    Some(secret.remaining_seconds? / granted)
}

/// `[######----] 36s`. What does not end has no bar.
fn life(secret: &SecretReport, texts: Option<usize>, view: &View) -> Cell {
    let text = remaining(secret);
    let (Some(fraction), Some(texts)) = (fraction(secret), texts) else { return plain(&text) };
    let style = match secret.state {
        State::Expired => Style::Bad,
        // By then it was to be renewed or replaced.
        _ if fraction < 0.1 => Style::Bad,
        _ if fraction < 0.25 || secret.state == State::Failing => Style::Warning,
        _ => Style::Good,
    };
    let glyphs = view.glyphs;
    Cell::Drawn(Box::new(move |width| {
        let (full, rest) = bar(fraction, width.saturating_sub(texts + 1), glyphs);
        Line::new().and(style, full).and(Style::Faint, rest).and(Style::Plain, format!(" {text:>texts$}"))
    }))
}

fn last_error(error: &ErrorReport, report: &Report, view: &View) -> Vec<Line> {
    let times = if error.count > 1 { format!(", {} times in a row", error.count) } else { String::new() };
    let first = Line::plain("  ").and(Style::Bad, "! ");
    let text = format!("{}{times}: {}", ago(&error.at, &report.now), one_line(&error.text));
    wrapped(first, Style::Warning, &text, view)
}

fn replaced(what: &str, view: &View) -> Vec<Line> {
    wrapped(Line::plain("    "), Style::Faint, &format!("replaced, not revoked yet: {what}"), view)
}

/// `12s ago`; both points in time are of the same clock.
fn ago(at: &str, now: &str) -> String {
    let parsed = |text: &str| humantime::parse_rfc3339(text).ok();
    let between = |at: SystemTime, now: SystemTime| now.duration_since(at).unwrap_or_default();
    match (parsed(at), parsed(now)) {
        (Some(at), Some(now)) => format!("{} ago", human(between(at, now))),
        _ => one_line(at),
    }
}

/// For a column: the second unit only where the first says little.
fn brief(seconds: f64) -> String {
    let length = length(seconds);
    match length.split_once(' ') {
        Some((first, _)) if first.len() > 2 => first.to_owned(),
        _ => length,
    }
}

fn length(seconds: f64) -> String {
    human(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
