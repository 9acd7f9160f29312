//! A report as a table for people.

use std::io;
use std::time::Duration;

use crate::admin::{ErrorReport, ProviderReport, Report, SecretReport, State};
use crate::events::line::{human, one_line};

/// Writes what is held: the generation, the providers' sessions, one line per secret, and below
/// it what went wrong last. Lease ids and accessors stand in it, no value.
pub fn write_table(report: &Report, out: &mut impl io::Write) -> io::Result<()> {
    head(report, out)?;
    for (name, provider) in &report.providers {
        write_provider(name, provider, out)?;
    }
    if report.secrets.is_empty() {
        return writeln!(out, "no secrets");
    }
    writeln!(out)?;
    let heading = ["SECRET", "PROVIDER", "STATE", "VERSION", "AGE", "REMAINING", "NEXT", "LEASE"];
    let mut rows = vec![heading.map(str::to_owned)];
    rows.extend(report.secrets.iter().map(|(name, secret)| row(name, secret)));
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut rows = rows.iter();
    if let Some(heading) = rows.next() {
        write_row(heading, &widths, out)?;
    }
    for (cells, secret) in rows.zip(report.secrets.values()) {
        write_row(cells, &widths, out)?;
        if let Some(error) = &secret.error {
            write_error(error, out)?;
        }
        for lease in &secret.retiring {
            writeln!(out, "  replaced, not revoked yet: {}", one_line(lease))?;
        }
    }
    Ok(())
}

fn head(report: &Report, out: &mut impl io::Write) -> io::Result<()> {
    match &report.generation {
        // That is why it is not ready, and said there.
        None if report.not_ready.is_some() => {}
        None => writeln!(out, "no generation is published yet")?,
        Some(generation) => {
            let acknowledged = match report.acknowledged {
                Some(acknowledged) => format!(", acknowledged: {acknowledged}"),
                None => String::new(),
            };
            let age = length(generation.age_seconds);
            let files = generation.files.len();
            let plural = if files == 1 { "" } else { "s" };
            writeln!(
                out,
                "generation {}, {files} file{plural}, published {age} ago{acknowledged}",
                generation.number
            )?;
            if !report.missing_acknowledgements.is_empty() {
                let missing = one_line(&report.missing_acknowledgements.join(", "));
                writeln!(out, "  waiting for the acknowledgement of {missing}")?;
            }
            for (action, answer) in &generation.actions {
                writeln!(out, "  {}: {}", one_line(action), one_line(answer))?;
            }
        }
    }
    if let Some(why) = &report.not_ready {
        writeln!(out, "{}", one_line(why))?;
    }
    if let Some(why) = &report.refused {
        writeln!(out, "a newer set could not be published: {}", one_line(why))?;
    }
    for what in &report.needs_restart {
        writeln!(out, "needs a restart: {}", one_line(what))?;
    }
    if report.ending {
        writeln!(out, "leasehold is ending")?;
    }
    Ok(())
}

fn write_provider(name: &str, provider: &ProviderReport, out: &mut impl io::Write) -> io::Result<()> {
    let session = match (&provider.session, provider.session_remaining_seconds) {
        (None, _) => "no session".to_owned(),
        (Some(session), None) => format!("session {}", one_line(session)),
        (Some(session), Some(left)) => format!("session {}, {} left", one_line(session), length(left)),
    };
    writeln!(out, "provider {}: {session}", one_line(name))?;
    if let Some(error) = &provider.error {
        write_error(error, out)?;
    }
    for session in &provider.old_sessions {
        writeln!(out, "  replaced, not revoked yet: session {}", one_line(session))?;
    }
    Ok(())
}

fn row(name: &str, secret: &SecretReport) -> [String; 8] {
    let text = |value: &Option<String>| value.as_deref().map_or_else(|| "-".to_owned(), one_line);
    [
        one_line(name),
        one_line(&secret.provider),
        state(secret.state).to_owned(),
        text(&secret.version),
        secret.age_seconds.map_or_else(|| "-".to_owned(), length),
        remaining(secret),
        match &secret.next {
            Some(next) => format!("{} in {}", one_line(&next.action), length(next.in_seconds)),
            None => "-".to_owned(),
        },
        text(&secret.lease),
    ]
}

fn state(state: State) -> &'static str {
    match state {
        State::Held => "held",
        State::Failing => "failing",
        State::AwaitingAck => "awaiting ack",
        State::Expired => "EXPIRED",
        State::Missing => "missing",
        State::LeftOut => "left out",
    }
}

/// `[######----] 36s`: what is left of what was granted.
fn remaining(secret: &SecretReport) -> String {
    const BAR: f64 = 10.0;
    let Some(left) = secret.remaining_seconds else {
        return match secret.state {
            State::Missing | State::LeftOut => "-".to_owned(),
            _ => "does not end".to_owned(),
        };
    };
    let text = length(left);
    match secret.granted_seconds {
        Some(granted) if granted > 0.0 => {
            let full = ((left / granted).clamp(0.0, 1.0) * BAR).ceil() as usize;
            format!("[{}{}] {text}", "#".repeat(full), "-".repeat(BAR as usize - full))
        }
        _ => text,
    }
}

fn write_row(cells: &[String; 8], widths: &[usize], out: &mut impl io::Write) -> io::Result<()> {
    let line: Vec<String> =
        cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
    writeln!(out, "{}", line.join("  ").trim_end())
}

fn write_error(error: &ErrorReport, out: &mut impl io::Write) -> io::Result<()> {
    let times = if error.count > 1 { format!(", {} times in a row", error.count) } else { String::new() };
    writeln!(out, "  last error ({}{times}): {}", one_line(&error.at), one_line(&error.text))
}

fn length(seconds: f64) -> String {
    human(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
