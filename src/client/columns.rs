//! A table that fits: what matters least is shortened first, then left out.

use super::view::{Line, Style, View, elided};

/// Between two columns.
const GAP: usize = 2;

/// One column, with a cell for each row.
pub(super) struct Column {
    heading: &'static str,
    cells: Vec<Cell>,
    /// Its width, where that is not its longest cell's.
    width: Option<usize>,
}

/// What stands in it.
pub(super) enum Cell {
    Text(Style, String),
    /// Shortened in its middle where there is no room.
    Id(String),
    /// Drawn to the column's width.
    Drawn(Box<dyn Fn(usize) -> Line>),
}

/// One way to make a table narrower.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// The column of this heading, down to so many characters.
    Shorten(&'static str, usize),
    /// Without it.
    Drop(&'static str),
}

impl Column {
    pub(super) fn new(heading: &'static str, cells: Vec<Cell>) -> Self {
        Self { heading, cells, width: None }
    }

    /// With a width of its own to begin with.
    pub(super) fn of_width(heading: &'static str, width: usize, cells: Vec<Cell>) -> Self {
        Self { heading, cells, width: Some(width) }
    }

    fn width(&self) -> usize {
        let natural = || self.cells.iter().map(Cell::width).max().unwrap_or(0);
        self.width.unwrap_or_else(natural).max(self.heading.len())
    }

    /// Whether there is anything in it.
    fn says_something(&self) -> bool {
        self.cells.iter().any(|cell| !matches!(cell, Cell::Text(_, text) if text == "-"))
    }
}

impl Cell {
    pub(super) fn none() -> Self {
        Self::Text(Style::Faint, "-".to_owned())
    }

    fn width(&self) -> usize {
        match self {
            Self::Text(_, text) | Self::Id(text) => text.chars().count(),
            Self::Drawn(_) => 0,
        }
    }

    fn line(&self, width: usize, view: &View) -> Line {
        match self {
            Self::Text(style, text) => Line::new().and(*style, elided(text, width, view)),
            Self::Id(text) => Line::new().and(Style::Faint, elided(text, width, view)),
            Self::Drawn(draw) => draw(width),
        }
    }
}

/// The heading, and one line a row. `steps` are taken in their order until it fits; `growing` gets what is
/// left over, up to so many columns.
pub(super) fn table(
    mut columns: Vec<Column>,
    steps: &[Step],
    growing: (&str, usize),
    view: &View,
) -> (Line, Vec<Line>) {
    columns.retain(Column::says_something);
    if let Some(room) = view.columns {
        for step in steps {
            let over = total(&columns).saturating_sub(room);
            if over == 0 {
                break;
            }
            match *step {
                Step::Drop(heading) => columns.retain(|column| column.heading != heading),
                Step::Shorten(heading, least) => {
                    if let Some(column) = columns.iter_mut().find(|column| column.heading == heading) {
                        let width = column.width();
                        column.width = Some(width.saturating_sub(over).max(least.min(width)));
                    }
                }
            }
        }
        let spare = room.saturating_sub(total(&columns));
        if let Some(column) = columns.iter_mut().find(|column| column.heading == growing.0) {
            let width = column.width();
            column.width = Some((width + spare).min(growing.1.max(width)));
        }
    }
    let heading = columns.iter().map(|column| {
        let text = elided(column.heading, column.width(), view);
        Line::new().and(Style::Faint, text).padded(column.width())
    });
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let row = |at: usize| {
        columns
            .iter()
            .map(|column| column.cells[at].line(column.width(), view).padded(column.width()))
            .collect()
    };
    (side_by_side(heading.collect()), (0..rows).map(row).map(side_by_side).collect())
}

fn total(columns: &[Column]) -> usize {
    columns.iter().map(Column::width).sum::<usize>() + GAP * columns.len().saturating_sub(1)
}

fn side_by_side(cells: Vec<Line>) -> Line {
    let mut line = Line::new();
    for (at, cell) in cells.into_iter().enumerate() {
        let gap = if at == 0 { 0 } else { GAP };
        line = line.and(Style::Plain, " ".repeat(gap)).then(cell);
    }
    line
}
