//! Lengths, numbers and names for people, on one line.

use std::time::Duration;

/// A length for people: `0.4s`, `40s`, `5m 18s`, `32d 4h`. Two units are enough, and a tenth of a second
/// matters only below ten.
pub(crate) fn human(length: Duration) -> String {
    let seconds = length.as_secs();
    let tenths = length.subsec_millis() / 100;
    if seconds < 10 && tenths > 0 {
        return format!("{seconds}.{tenths}s");
    }
    let units =
        [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(units.len() - 1);
    let shown = units[first..].iter().take(2).enumerate();
    let shown = shown.filter(|(at, (count, _))| *at == 0 || *count > 0);
    shown.map(|(_, (count, unit))| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

pub(super) fn left(ttl: Option<Duration>) -> String {
    ttl.map_or_else(|| ", it does not end".to_owned(), |ttl| format!(", {} left", human(ttl)))
}

/// Seconds, to the millisecond.
pub(crate) fn seconds(length: Duration) -> f64 {
    (length.as_secs_f64() * 1000.0).round() / 1000.0
}

pub(super) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// At most eight names, so that a line stays a line.
pub(super) fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    match names.len() {
        0 => "none".to_owned(),
        total if total > SHOWN => format!("{} and {} more", names[..SHOWN].join(", "), total - SHOWN),
        _ => names.join(", "),
    }
}

/// Control characters become spaces: what came from outside cannot make a second line.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
