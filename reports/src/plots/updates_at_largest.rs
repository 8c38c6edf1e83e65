//! Rule updates side by side at the largest size that all modes have: time by scenario × mode, then the processor's
//! time, and what of that is the tool's.

use schema::summary::Row;
use schema::{Metric, Unit};

use super::axis::Axis;
use super::chart::{Source, extents_of_rows, mark_of, unit_of_times};
use super::figure::{Figure, Mark, NamedRow, Panel};
use super::notes::samples_in_stays;
use super::style::Style;
use crate::quantity::{counted, digits, value, whole};
use crate::view::table::{Answer, Line, Table, of_updates};
use crate::view::words::programmed;

/// Update time by scenario and mode, then processor time, user and system.
pub(super) fn figure(source: &Source<'_>) -> Option<Figure> {
    let table = of_updates(source.summary, source.scope)
        .into_iter()
        .next()?;
    let rows = || answers(&table).map(|(_, answer)| answer.row);
    let shown = extents_of_rows(rows());
    let x = Axis::log("update time", shown.into_iter(), unit_of_times(rows()))?;
    let last = table.lines.len();
    let times = table.lines.iter().enumerate().map(|(index, line)| {
        let rows = named(line).map(|(answer, row)| {
            let (mark, text) = mark_of(answer.row, Metric::UpdateTime);
            NamedRow { mark, text, ..row }
        });
        Panel::rows(&line.asked, x.clone(), rows.collect(), index + 1 == last)
    });
    let mut notes = vec![
        "Dots are medians of stays, bars their 95 % intervals, of fewer than six stays their range; n is samples/stays. Rows that were not planned are left out.".to_owned(),
    ];
    notes.extend(missing(&table));
    let (processor, shown) = processor(source, &table);
    if !processor.is_empty() {
        notes.push(format!(
            "Processor time: filled user mode, the tool's own part; pale kernel mode. Each is a median, {} behind each bar; the share is that of user mode in their sum. Axes differ between these panels.",
            samples_in_stays(shown.into_iter())
        ));
    }
    let title = format!(
        "How long does each kind of rule update take at {} services? And is it the tool or the kernel?",
        whole(table.services.into())
    );
    Some(Figure {
        notes,
        alt: described(&table),
        ..Figure::of(title, times.chain(processor).collect())?
    })
}

/// Panels of processor time, user and system, with the rows behind them.
fn processor<'a>(source: &Source<'_>, table: &'a Table<'a>) -> (Vec<Panel>, Vec<&'a Row>) {
    let of = |answer: &Answer<'_>, metric: Metric| {
        let mut rows = source.summary.cells.iter();
        let same = |row: &&Row| row.key == answer.row.key && row.metric == Some(metric);
        rows.find(same)?.median
    };
    let (mut panels, mut shown) = (Vec::new(), Vec::new());
    for line in &table.lines {
        let mut sums = Vec::new();
        let rows = named(line).filter_map(|(answer, row)| {
            let (user, system) = (
                of(answer, Metric::UserTime)?,
                of(answer, Metric::SystemTime)?,
            );
            shown.push(answer.row);
            sums.push(user + system);
            Some(stack(row, user, system))
        });
        let rows: Vec<NamedRow> = rows.collect();
        if let Some(x) = Axis::linear("processor time", sums.into_iter(), Unit::Nanoseconds) {
            let heading = format!("{}: processor time", line.asked);
            panels.push(Panel::rows(&heading, x, rows, true));
        }
    }
    (panels, shown)
}

fn stack(row: NamedRow, user: f64, system: f64) -> NamedRow {
    let both = user + system;
    let share = if both > 0.0 {
        format!(", {} % user", digits((100.0 * user / both).round()))
    } else {
        String::new()
    };
    NamedRow {
        style: Style {
            hollow: false,
            ..row.style
        },
        mark: Mark::Stack(vec![user, system]),
        text: format!("{}{share}", value(both, Unit::Nanoseconds)),
        ..row
    }
}

/// Every answer of the table with its line.
fn answers<'a>(table: &'a Table<'a>) -> impl Iterator<Item = (&'a Line<'a>, &'a Answer<'a>)> {
    let lines = table.lines.iter();
    lines.flat_map(|line| {
        line.cells
            .iter()
            .flatten()
            .flatten()
            .map(move |answer| (line, answer))
    })
}

/// The answers of a line, each with a row that has name and look; the way is named where a mode has several.
fn named<'a>(line: &'a Line<'a>) -> impl Iterator<Item = (&'a Answer<'a>, NamedRow)> {
    line.cells.iter().flatten().flat_map(|answers| {
        answers.iter().enumerate().map(move |(index, answer)| {
            let mode = answer.row.key.mode;
            let name = match answers.len() {
                1 => mode.to_string(),
                _ => programmed(mode, &answer.row.key.options),
            };
            (answer, NamedRow::of(mode, name, Style::of(mode, index)))
        })
    })
}

/// Answers without a time, each with its reason.
fn missing(table: &Table<'_>) -> Vec<String> {
    let without = answers(table).filter(|(_, answer)| answer.row.median.is_none());
    without
        .map(|(line, answer)| {
            let series = programmed(answer.row.key.mode, &answer.row.key.options);
            let why = crate::view::missing(answer.row, Metric::UpdateTime);
            format!("No dot for {series} in {}: {why}.", line.of)
        })
        .collect()
}

fn described(table: &Table<'_>) -> String {
    let parts: Vec<String> = answers(table)
        .filter_map(|(line, answer)| {
            let row = answer.row;
            let median = value(row.median?, row.unit?);
            Some(format!("{} {}: {median}", row.key.mode, line.of))
        })
        .collect();
    format!(
        "{} of rule updates. {}.",
        counted(parts.len() as u64, "median"),
        parts.join("; ")
    )
}
