//! Environments or variants side by side: what one question costs each mode on each kernel.

use schema::Position;
use schema::summary::Summary;

use super::axis::Axis;
use super::chart::{extents_of_rows, mark_of};
use super::figure::{Figure, NamedRow, Panel};
use super::style::Style;
use crate::quantity::{counted, shortened, value, whole};
use crate::view::side_by_side;
use crate::view::table::{Columns, Line, Table};

/// Columns of which a chart shows the rows.
const COLUMNS: usize = 8;
/// Panels of a chart: the questions that are asked first.
const PANELS: usize = 6;

/// Mode × kernel at the largest size; `None` with a single environment.
pub(super) fn figure(summary: &Summary) -> Option<Figure> {
    let table = side_by_side(summary).into_iter().next()?;
    let of = table.places?;
    let questions = questions(&table);
    let panels = questions
        .iter()
        .filter_map(|question| panel(&table, question));
    let columns: Vec<&str> = table
        .columns
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let title = format!(
        "What does each {} make of it? {} services {} {}",
        of.one(),
        whole(table.services.into()),
        match of {
            Columns::Kernels => "on",
            Columns::Runs | Columns::Variants => "in",
        },
        shortened(&columns.join(" and "), 160)
    );
    Some(Figure {
        notes: notes(&table, of, questions.len()),
        alt: described(&table, &questions),
        ..Figure::of(title, panels.collect())?
    })
}

/// Of each scenario the question that is most telling: all at once, and the first protocol's packets to any service.
fn questions(table: &Table<'_>) -> Vec<String> {
    let scenario = |line: &Line<'_>| Some(line.first()?.key.scenario);
    let scenarios = table.lines.chunk_by(|a, b| scenario(a) == scenario(b));
    let chosen = scenarios.filter_map(|lines| {
        let position = |line: &Line<'_>| line.first()?.key.options.position();
        let any = |line: &&Line<'_>| position(line) == Some(Position::Uniform);
        lines.iter().find(any).or(lines.first())
    });
    let questions = chosen.map(|line| line.asked.clone());
    questions.take(PANELS).collect()
}

fn panel(table: &Table<'_>, question: &str) -> Option<Panel> {
    let lines = || table.lines.iter().filter(|line| line.asked == question);
    let answers = || lines().flat_map(|line| line.cells.iter().flatten().flatten());
    let unit = answers().find_map(|answer| answer.row.unit)?;
    let shown = extents_of_rows(answers().map(|answer| answer.row)).into_iter();
    let x = Axis::log(answers().next()?.metric.name(), shown, unit)?;
    let rows = lines().flat_map(|line| rows(table, line)).collect();
    Some(Panel::rows(question, x, rows, true))
}

/// A row for each environment in which the line was planned; the first filled, the others hollow.
fn rows(table: &Table<'_>, line: &Line<'_>) -> Vec<NamedRow> {
    let cells = table.columns.iter().zip(&line.cells).take(COLUMNS);
    let rows = cells.enumerate().filter_map(|(index, ((name, _), cell))| {
        let answer = cell.iter().flatten().next()?;
        let (mark, text) = mark_of(answer.row, answer.metric);
        let mode = answer.row.key.mode;
        let name = format!("{}, {name}", line.of);
        let style = Style {
            hollow: index % 2 == 1,
            ..Style::of(mode, 0)
        };
        Some(NamedRow {
            mark,
            text,
            ..NamedRow::of(mode, name, style)
        })
    });
    rows.collect()
}

fn notes(table: &Table<'_>, of: Columns, shown: usize) -> Vec<String> {
    let columns = table.columns.len();
    let all = table.lines.chunk_by(|a, b| a.asked == b.asked);
    let all = all.count();
    let mut notes = vec![format!(
        "Dots are medians, bars their 95 % intervals over stays, of fewer than six stays their range; n is samples/stays. Filled and hollow tell the {}s apart. Axes differ between panels.",
        of.one()
    )];
    if columns > COLUMNS {
        notes.push(format!(
            "The first {COLUMNS} of {columns} columns are drawn."
        ));
    }
    if all > shown {
        notes.push(format!(
            "One question a scenario; all {all} are in the table."
        ));
    }
    notes
}

fn described(table: &Table<'_>, questions: &[String]) -> String {
    let mut parts = Vec::new();
    let lines = table.lines.iter();
    for line in lines.filter(|line| questions.contains(&line.asked)) {
        for ((name, _), cell) in table.columns.iter().zip(&line.cells) {
            let row = cell.iter().flatten().next().map(|answer| answer.row);
            if let Some((median, unit)) = row.and_then(|row| row.median.zip(row.unit)) {
                let what = format!("{}, {} on {name}", line.asked, line.of);
                parts.push(format!("{what}: {}", value(median, unit)));
            }
        }
    }
    let medians = counted(parts.len() as u64, "median");
    format!("{medians}. {}.", parts.join("; "))
}
