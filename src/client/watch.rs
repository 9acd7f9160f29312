//! `status --watch`: the table, drawn again each second until somebody leaves. An instance that goes away is
//! tried again: whoever watches a restart wants to see its end.

use std::io::{self, Write as _};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{self, SignalKind};

use super::screen::{Key, Screen, Taken};
use super::view::{Line, Style, View, wrapped, write};
use super::{Client, ClientError, table, write_json_line};
use crate::admin::Report;
use crate::clock::{Clock, Moment};
use crate::events::words::human;

/// How often it looks.
const PACE: Duration = Duration::from_secs(1);
/// What a seconds-old answer may be called now.
const FRESH: Duration = Duration::from_secs(1);

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Shows what is held, again and again. On a terminal until `q`, Ctrl-C, a signal or its own end, and then the terminal is
/// as it was; elsewhere one block after the other, as JSON one line, until nobody reads on.
///
/// # Errors
/// The first question cannot be answered, and not for a reason that passes.
pub async fn watch(client: &Client, clock: &Clock, form: Form, screen: Screen) -> Result<(), ClientError> {
    match form {
        Form::Table if screen.is_terminal() => live(client, clock, screen).await,
        _ => stream(client, clock, form).await,
    }
}

async fn stream(client: &Client, clock: &Clock, form: Form) -> Result<(), ClientError> {
    let mut frame = Frame::new();
    loop {
        frame.take(client.status().await, clock.now())?;
        let mut block = Vec::new();
        let written = match (form, &frame.error) {
            (Form::Json, None) => {
                frame.last.as_ref().map_or(Ok(()), |(report, _)| write_json_line(report, &mut block))
            }
            // Whoever reads JSON reads no sentences.
            (Form::Json, Some((error, _))) => {
                writeln!(block, "{}", serde_json::json!({ "error": error.to_string() }))
            }
            (Form::Table, None) => write(frame.lines(&View::PLAIN, clock.now()), &View::PLAIN, &mut block)
                .and_then(|()| writeln!(block)),
            (Form::Table, Some((error, _))) => writeln!(block, "not reachable, trying: {error}\n"),
        };
        let mut out = io::stdout().lock();
        if written.and_then(|()| out.write_all(&block)).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
        drop(out);
        clock.sleep(PACE).await;
    }
}

async fn live(client: &Client, clock: &Clock, screen: Screen) -> Result<(), ClientError> {
    let mut frame = Frame::new();
    // Before the screen is taken: what cannot be asked at all is said on the usual one.
    frame.take(client.status().await, clock.now())?;
    let Ok(mut signals) = Signals::new() else { return Ok(()) };
    let mut taken = Taken::new(screen);
    show(client, clock, &mut frame, &mut signals, &mut taken).await;
    taken.give_back(clock).await;
    Ok(())
}

/// Until somebody leaves, or the terminal has gone. Each turn waits for something.
async fn show(client: &Client, clock: &Clock, frame: &mut Frame, signals: &mut Signals, taken: &mut Taken) {
    let mut first_row = 0;
    loop {
        let look = clock.now() + PACE;
        let asked = async {
            clock.sleep_until(look).await;
            client.status().await
        };
        tokio::pin!(asked);
        loop {
            let lines = whole(taken, frame, clock.now(), &mut first_row);
            tokio::select! {
                drawn = taken.draw(lines) => if drawn.is_err() { return },
                () = signals.end() => return,
            }
            tokio::select! {
                asked = &mut asked => {
                    // One that was there comes back, whatever it says meanwhile.
                    let _ = frame.take(asked, clock.now());
                    break;
                }
                told = signals.next() => match told {
                    Told::Leave => return,
                    Told::Redraw => {}
                },
                key = taken.key() => match key {
                    Key::Leave => return,
                    Key::Up => first_row = first_row.saturating_sub(1),
                    Key::Down => first_row += 1,
                    Key::Suspend => {
                        taken.give_back(clock).await;
                        // Returns when we are continued.
                        let _ = kill_process(getpid(), Signal::TSTP);
                        taken.take_again();
                    }
                },
            }
        }
    }
}

/// The whole screen: as much as there are rows for, from `first_row` on.
fn whole(taken: &Taken, frame: &Frame, now: Moment, first_row: &mut usize) -> Vec<Line> {
    let view = taken.view();
    let mut lines = frame.lines(&view, now);
    let rows = taken.rows().saturating_sub(3).max(1);
    let (all, more) = (lines.len(), lines.len().saturating_sub(rows));
    *first_row = (*first_row).min(more);
    lines = lines.split_off(*first_row);
    lines.truncate(rows);
    let below = all - *first_row - lines.len();
    let keys = match (more, below) {
        (0, _) => "q leaves".to_owned(),
        (_, 0) => "q leaves, the arrow keys move".to_owned(),
        (_, below) => format!("{below} more lines below; q leaves, the arrow keys move"),
    };
    lines.insert(0, frame.title(&view));
    lines.extend([Line::new(), Line::new().and(Style::Faint, keys)]);
    lines
}

/// What is shown.
struct Frame {
    /// The last answer, and when it came.
    last: Option<(Report, Moment)>,
    /// Why there is no newer one, and since when.
    error: Option<(ClientError, Moment)>,
}

impl Frame {
    fn new() -> Self {
        Self { last: None, error: None }
    }

    fn take(&mut self, asked: Result<Report, ClientError>, now: Moment) -> Result<(), ClientError> {
        match asked {
            Ok(report) => {
                self.last = Some((report, now));
                self.error = None;
                Ok(())
            }
            Err(error) => {
                let passes = matches!(error, ClientError::NotRunning { .. } | ClientError::NoAnswer { .. });
                let since = self.error.as_ref().map_or(now, |(_, since)| *since);
                self.error = Some((error.clone(), since));
                if passes || self.last.is_some() { Ok(()) } else { Err(error) }
            }
        }
    }

    fn title(&self, view: &View) -> Line {
        let title = Line::new().and(Style::Strong, "leasehold status");
        let Some((report, _)) = &self.last else { return title };
        let time = format!("{}, version {}", clock_time(report), report.version);
        let columns = view.columns.unwrap_or_default();
        let gap = columns.saturating_sub(title.width() + time.chars().count()).max(2);
        title.and(Style::Plain, " ".repeat(gap)).and(Style::Faint, time)
    }

    fn lines(&self, view: &View, now: Moment) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Some((error, since)) = &self.error {
            let length = now.since(*since);
            let text = match length >= FRESH {
                true => format!("not reachable for {}, trying: {error}", human(length)),
                false => format!("not reachable, trying: {error}"),
            };
            lines.extend(wrapped(Line::new(), Style::Bad, &text, view));
        }
        if let Some((report, _)) = &self.last {
            let shown = table::lines(report, view);
            match self.error {
                None => lines.extend(shown),
                Some(_) => {
                    lines.push(Line::new());
                    let told = format!("what it said last, at {}:", clock_time(report));
                    lines.push(Line::new().and(Style::Faint, told));
                    lines.extend(shown.into_iter().map(Line::faint));
                }
            }
        }
        lines
    }
}

/// `13:04:05 UTC`.
fn clock_time(report: &Report) -> String {
    let time = report.now.split_once('T').map_or(report.now.as_str(), |(_, time)| time);
    format!("{} UTC", time.trim_end_matches('Z'))
}

/// What the terminal, or somebody else, tells us.
struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
    resized: unix::Signal,
    continued: unix::Signal,
}

enum Told {
    Leave,
    Redraw,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            hangup: unix::signal(SignalKind::hangup())?,
            resized: unix::signal(SignalKind::window_change())?,
            continued: unix::signal(SignalKind::from_raw(Signal::CONT.as_raw()))?,
        })
    }

    async fn next(&mut self) -> Told {
        let Self { interrupt, terminate, hangup, resized, continued } = self;
        tokio::select! {
            () = any(interrupt, terminate, hangup) => Told::Leave,
            _ = resized.recv() => Told::Redraw,
            _ = continued.recv() => Told::Redraw,
        }
    }

    /// Until one comes that ends us.
    async fn end(&mut self) {
        any(&mut self.interrupt, &mut self.terminate, &mut self.hangup).await;
    }
}

async fn any(first: &mut unix::Signal, second: &mut unix::Signal, third: &mut unix::Signal) {
    tokio::select! {
        _ = first.recv() => {}
        _ = second.recv() => {}
        _ = third.recv() => {}
    }
}
