//! What containers print, and when.

use std::path::PathBuf;
use std::time::Duration;

use harness::process::Group;
use harness::vault::since_1970;
use leasehold_harness as harness;

use crate::SOON;

/// Printed lines, each with the time since 1970 at which it was: by the clock of whoever printed it, where the line
/// says so (ours and the application's do), else by that of whoever collected it.
#[derive(Debug)]
pub(crate) struct Lines(Vec<(Duration, String)>);

impl Lines {
    pub(crate) fn read(text: &str) -> Self {
        let line = |line: &str| {
            let (time, line) = line.split_once(' ').unwrap_or((line, ""));
            let collected = since_1970(time)?;
            Some((printed(line).unwrap_or(collected), line.to_owned()))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// The lines that contain a text.
    pub(crate) fn with(&self, what: &str) -> Vec<&str> {
        self.0.iter().map(|(_, line)| &**line).filter(|line| line.contains(what)).collect()
    }

    /// The lines that contain a text, and when each was printed.
    pub(crate) fn timed<'a>(&'a self, what: &'a str) -> impl Iterator<Item = (Duration, &'a str)> {
        self.0.iter().filter(move |(_, line)| line.contains(what)).map(|(at, line)| (*at, &**line))
    }

    /// When the first line that contains a text was printed.
    #[track_caller]
    pub(crate) fn at(&self, what: &str) -> Duration {
        let found = self.0.iter().find(|(_, line)| line.contains(what));
        found.unwrap_or_else(|| panic!("no {what:?} in {self:#?}")).0
    }
}

/// The time that a line bears itself: a field of ours, the beginning of the application's.
fn printed(line: &str) -> Option<Duration> {
    if let Some((_, rest)) = line.split_once(r#""timestamp":""#) {
        return since_1970(rest.split('"').next()?);
    }
    let (seconds, micros) = line.split_once(' ')?.0.split_once('.')?;
    Some(Duration::new(seconds.parse().ok()?, micros.parse::<u32>().ok()? * 1_000))
}

/// A container's log that is being read.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) process: Group,
    pub(crate) file: PathBuf,
}

impl Followed {
    /// All of it, once the container has ended.
    #[track_caller]
    pub(crate) fn end(mut self) -> Lines {
        self.process.wait(SOON);
        Lines::read(&std::fs::read_to_string(&self.file).expect("it was made"))
    }
}
