//! The course of a credential as a time line and as a table of what happens when.

use std::time::Duration;

use leasehold_core::Terms;

use super::assumptions::Assumptions;
use super::course::{Course, Handle, Setting, What, play};
use super::page::{Page, counted};
use super::secret::About;
use crate::client::{Glyphs, Line, Style};
use crate::events::words::human;

/// The widest that a time line gets.
const WIDEST: usize = 120;
/// What stands before a bar: `  first  `.
const BEFORE: usize = 9;
/// Renewals nearer than this many columns are not drawn one by one.
const APART: usize = 3;

/// Bars and table, under their own heading.
pub(super) fn write(
    page: &mut Page,
    about: &About<'_>,
    assumptions: &Assumptions,
    said: Option<&Terms>,
    handle: Handle,
) {
    let assumed = assumptions.of_secret(about.name, said);
    let session = assumptions.of_session(&about.charge.name);
    let setting = Setting {
        assumed: &assumed,
        session: session.as_ref(),
        policy: &about.plan.policy,
        rooms: &about.charge.session_rooms,
        handle,
    };
    let [low, middle, high] = [0.0, 0.5, 1.0].map(|chance| play(setting, chance));
    let lengths = match assumed.renewable {
        true => format!("a TTL of {} and a max TTL of {}", human(assumed.ttl), human(assumed.max_ttl)),
        false => format!("a life of {}", human(assumed.ttl)),
    };
    let under = match &session {
        None => {
            format!("A session that ends sooner shortens it; `--ttl {}=LENGTH` shows how.", about.charge.name)
        }
        Some(session) => format!(
            "It hangs on a session with a TTL of {} and a max TTL of {}.",
            human(session.ttl),
            human(session.max_ttl)
        ),
    };
    let under = if handle == Handle::Lease { format!(" {under}") } else { String::new() };
    page.row("Time line", &format!("for {lengths}: {}.{under}", assumed.source));
    page.gap();
    bars(page, &middle, assumed.ttl);
    page.gap();
    table(page, (&low, &high), assumed.ttl, handle);
}

/// What a column of a bar shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cell {
    Empty,
    InUse,
    Renewed,
    Fetched,
    Overlap,
    Revoked,
    Ended,
    Late,
}

impl Cell {
    fn glyph(self, glyphs: Glyphs) -> (Style, char) {
        let (style, ascii, unicode) = match self {
            Self::Empty => (Style::Plain, ' ', ' '),
            Self::InUse => (Style::Good, '=', '━'),
            Self::Renewed => (Style::Strong, 'R', '◆'),
            Self::Fetched => (Style::Plain, '+', '+'),
            Self::Overlap => (Style::Warning, '-', '┄'),
            Self::Revoked => (Style::Bad, 'x', '✕'),
            Self::Ended => (Style::Faint, '.', '·'),
            Self::Late => (Style::Warning, '!', '!'),
        };
        (style, if glyphs == Glyphs::Ascii { ascii } else { unicode })
    }

    fn words(self) -> &'static str {
        match self {
            Self::Empty => "",
            Self::InUse => "in use",
            Self::Renewed => "renewed",
            Self::Fetched => "fetched, not announced yet",
            Self::Overlap => "replaced, still valid",
            Self::Revoked => "revoked",
            Self::Ended => "would have lived",
            Self::Late => "a renewal that still fails: replaced",
        }
    }
}

/// A length of time over the columns of a bar.
struct Scale {
    width: usize,
    end: Duration,
}

impl Scale {
    fn column(&self, at: Duration) -> usize {
        let place = at.as_secs_f64() / self.end.as_secs_f64().max(f64::MIN_POSITIVE);
        ((place * self.width as f64) as usize).min(self.width.saturating_sub(1))
    }

    fn fill(&self, cells: &mut [Cell], from: Duration, until: Duration, cell: Cell) {
        if until > from {
            let last = self.column(until).max(self.column(from) + 1).min(self.width);
            cells[self.column(from)..last].fill(cell);
        }
    }

    fn blank(&self) -> Vec<Cell> {
        vec![Cell::Empty; self.width]
    }

    /// `0s        12h        24h`, at the begin, in the middle and at the end.
    fn axis(&self) -> String {
        let (middle, end) = (human(self.end / 2), human(self.end));
        let gap = (self.width / 2).saturating_sub(2);
        let rest = self.width.saturating_sub(2 + gap + middle.len() + end.len());
        format!("0s{}{middle}{}{end}", " ".repeat(gap), " ".repeat(rest))
    }
}

fn bars(page: &mut Page, course: &Course, ttl: Duration) {
    let columns = page.view().columns.unwrap_or(80).min(WIDEST);
    let width = columns.saturating_sub(BEFORE).max(20);
    let announced = course.first(What::Announced);
    let gone = course.first(What::Revoked).or(course.first(What::LetGo));
    let end = [Some(course.end), gone, announced].into_iter().flatten().max().unwrap_or(ttl);
    let scale = Scale { width, end };
    let renewals = course.all(What::Renewed);
    let dense = renewals.windows(2).any(|two| scale.column(two[1]) - scale.column(two[0]) < APART);
    let mut used: Vec<Cell> = Vec::new();
    if dense && let Some(patience) = course.patience {
        let grant = Scale { width, end: ttl };
        let mut cells = grant.blank();
        grant.fill(&mut cells, Duration::ZERO, patience, Cell::InUse);
        grant.fill(&mut cells, patience, ttl, Cell::Late);
        if let Some(first) = renewals.first() {
            cells[grant.column(*first)] = Cell::Renewed;
        }
        bar(page, "", &grant.axis(), &[]);
        bar(page, "grant", "", &cells);
        page.gap();
        used.extend(cells);
    }
    bar(page, "", &scale.axis(), &[]);
    let mut first = scale.blank();
    let replaced = announced.unwrap_or(course.end);
    scale.fill(&mut first, Duration::ZERO, replaced, Cell::InUse);
    if !dense {
        renewals.iter().for_each(|at| first[scale.column(*at)] = Cell::Renewed);
    }
    if let Some(gone) = gone {
        scale.fill(&mut first, gone, course.end, Cell::Ended);
        scale.fill(&mut first, replaced, gone, Cell::Overlap);
        if course.first(What::Revoked).is_some() {
            first[scale.column(gone)] = Cell::Revoked;
        }
    }
    bar(page, "first", "", &first);
    used.extend(first);
    if let (Some(fetched), Some(announced)) = (course.first(What::Fetched), announced) {
        let mut next = scale.blank();
        scale.fill(&mut next, announced, end, Cell::InUse);
        if scale.column(fetched) < scale.column(announced) {
            scale.fill(&mut next, fetched, announced, Cell::Fetched);
        }
        bar(page, "next", "", &next);
        used.extend(next);
    }
    legend(page, &used);
}

fn bar(page: &mut Page, label: &str, text: &str, cells: &[Cell]) {
    let mut line = Line::plain("  ").and(Style::Faint, format!("{label:<width$}", width = BEFORE - 2));
    line = line.and(Style::Faint, text);
    for run in cells.chunk_by(|one, other| one == other) {
        let (style, glyph) = run[0].glyph(page.view().glyphs);
        line = line.and(style, String::from(glyph).repeat(run.len()));
    }
    page.raw(vec![line]);
}

fn legend(page: &mut Page, used: &[Cell]) {
    let all =
        [Cell::InUse, Cell::Renewed, Cell::Late, Cell::Fetched, Cell::Overlap, Cell::Revoked, Cell::Ended];
    let shown: Vec<String> = all
        .into_iter()
        .filter(|cell| used.contains(cell))
        .map(|cell| format!("{} {}", cell.glyph(page.view().glyphs).1, cell.words()))
        .collect();
    page.indented(&shown.join("   "));
}

/// What happens when, from the first fetch on. What chance decides is a range.
fn table(page: &mut Page, (low, high): (&Course, &Course), ttl: Duration, handle: Handle) {
    let between = |what: What| {
        let (low, high) = (low.first(what), high.first(what));
        Some(range(low.or(high)?, high.or(low)?))
    };
    let mut rows: Vec<(String, String)> = vec![("0s".to_owned(), "fetched, written, in place".to_owned())];
    let renewals = (low.all(What::Renewed), high.all(What::Renewed));
    if let Some(at) = between(What::Renewed) {
        let never = renewals.0.is_empty() || renewals.1.is_empty();
        let perhaps = if never { " (or not at all, as chance falls)" } else { "" };
        rows.push((at, format!("renewed: the same value, for another {}{perhaps}", human(ttl))));
        let (fewest, most) = (renewals.1.len().min(renewals.0.len()), renewals.0.len().max(renewals.1.len()));
        if most > 1 {
            let times = match fewest == most {
                true => counted(most, "renewal"),
                false => format!("{fewest} to {most} renewals"),
            };
            rows.push(("again".to_owned(), format!("after the same time each, {times} in all")));
        }
    }
    if let Some(at) = between(What::LoggedIn) {
        rows.push((at, "a new log-in, since the session comes to its last end".to_owned()));
    }
    if let Some(at) = between(What::Fetched) {
        rows.push((at, "a successor is fetched and written".to_owned()));
    }
    if let Some(at) = between(What::Announced) {
        rows.push((at, "it is announced: the set is in place, actions run".to_owned()));
    }
    if let Some(at) = between(What::Revoked) {
        rows.push((at, format!("the old one is revoked, {} after that", exact(high.overlap))));
    }
    if let Some(at) = between(What::LetGo) {
        let text = match handle {
            Handle::None => "the old one is forgotten; nothing revokes it",
            Handle::Lease | Handle::Revocable => "the old one has ended by itself",
        };
        rows.push((at, text.to_owned()));
    }
    let text = "the last end that the first one can reach";
    rows.push((range(low.end, high.end), text.to_owned()));
    let width = rows.iter().map(|(at, _)| at.len()).max().unwrap_or(0);
    for (at, text) in rows {
        let first = Line::plain("  ").and(Style::Strong, format!("{at:<width$}  "));
        let lines = crate::client::wrapped(first, Style::Plain, &text, page.view());
        page.raw(lines);
    }
    if let Some(patience) = low.patience.filter(|_| !renewals.0.is_empty()) {
        page.gap();
        page.indented(&format!(
            "A renewal that fails costs nothing: it is tried again until {} after the last grant. Only then a \
             successor is fetched, with room for its overlap of {}.",
            exact(patience),
            exact(high.overlap)
        ));
    }
}

/// `36m to 42m`, or one of them where they are the same to the second.
fn range(low: Duration, high: Duration) -> String {
    let (low, high) = (exact(low.min(high)), exact(low.max(high)));
    if low == high { low } else { format!("{low} to {high}") }
}

/// To the second; below ten seconds to a tenth of it.
fn exact(length: Duration) -> String {
    let seconds = length.as_secs();
    if seconds < 10 {
        return human(length);
    }
    let units =
        [(seconds / 86_400, 'd'), (seconds / 3_600 % 24, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let shown = units.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}"));
    shown.collect::<Vec<_>>().join(" ")
}
