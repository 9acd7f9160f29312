//! Standard error, beside a program that may have the screen.
//!
//! Under `exec` a full-screen program, or a prompt that reads keys, has the terminal that our lines are
//! written to. While it does, what is only informative is left out, and warnings and errors wait until it
//! has ended, was stopped, or reads whole lines again. Whoever asks for `debug` wants every line at once.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Mutex, OnceLock};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::clock::locked;

/// How many lines wait. The oldest give way.
const MOST: usize = 50;

/// Says whether somebody else has the screen.
static TAKEN: OnceLock<Box<dyn Fn() -> bool + Send + Sync>> = OnceLock::new();
/// What waits.
static WAITING: Mutex<Waiting> = Mutex::new(Waiting { lines: VecDeque::new(), dropped: 0 });

/// From now on lines wait while `taken` says that a program has the screen. The first call counts.
pub fn yield_to(taken: impl Fn() -> bool + Send + Sync + 'static) {
    TAKEN.get_or_init(|| Box::new(taken));
}

/// Nobody has the screen any more: what waits is written.
pub fn catch_up() {
    let Waiting { lines, dropped } = std::mem::take(&mut *locked(&WAITING));
    // A log that cannot be written cannot say so.
    let _ = write(lines, &[]);
    if dropped > 0 {
        tracing::warn!(
            target: "leasehold",
            "{dropped} warnings of before are not shown: the command had the terminal, and {MOST} lines are kept"
        );
    }
}

/// Lines that wait for the screen.
#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    dropped: usize,
}

impl Waiting {
    fn keep(&mut self, line: &[u8]) {
        if self.lines.len() == MOST {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(line.to_owned());
    }
}

/// Where the log is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stderr;

/// One line's way there.
pub(super) struct Line(Level);

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(Level::ERROR)
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        Line(*metadata.level())
    }
}

impl Write for Line {
    /// Each line comes in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let taken = TAKEN.get().is_some_and(|taken| taken());
        if !taken || super::wants_everything() {
            let waiting = std::mem::take(&mut locked(&WAITING).lines);
            write(waiting, line)?;
        } else if self.0 <= Level::WARN {
            locked(&WAITING).keep(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(waiting: VecDeque<Vec<u8>>, line: &[u8]) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    waiting.iter().try_for_each(|waiting| stderr.write_all(waiting))?;
    stderr.write_all(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_wait_and_what_gave_way_is_counted() {
        let mut waiting = Waiting::default();
        (0..MOST + 3).for_each(|number| waiting.keep(format!("{number}\n").as_bytes()));
        assert_eq!((waiting.lines.len(), waiting.dropped), (MOST, 3));
        assert_eq!(waiting.lines.front().map(Vec::as_slice), Some(b"3\n".as_slice()));
    }
}
