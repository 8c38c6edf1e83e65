//! Rule updates side by side at the largest size that all modes have: time by scenario × mode, then the processor's
//! time, and what of that is the tool's.

use schema::summary::Row;
use schema::{Metric, Mode, Unit};

use super::axis::Axis;
use super::chart::{Source, samples_in_stays, unit_of_times};
use super::figure::{Body, Figure, Mark, NamedRow, Panel};
use super::style::Style;
use crate::quantity::{counted, digits, value, whole};
use crate::view::updates::{Answer, Line, UpdateTable, update_tables};
use crate::view::{Scope, bar, lower_bound, missing};

/// Update time by scenario and mode, then processor time, user and system.
pub(super) fn figure(source: &Source<'_>, scope: &Scope) -> Option<Figure> {
    let table = update_tables(source.summary, scope).into_iter().next()?;
    let rows = || answers(&table).map(|(_, answer)| answer.time);
    let shown = rows().flat_map(|row| {
        let bound = lower_bound(row).map(|bound| bound * 3.0);
        let seen = row.median.into_iter().chain(bar(row).into_iter().flatten());
        seen.chain(bound)
    });
    let x = Axis::log("update time", shown, unit_of_times(rows()))?;
    let last = table.lines.len();
    let times = table.lines.iter().enumerate().map(|(index, line)| Panel {
        heading: line.text(),
        body: Body::Rows {
            x: x.clone(),
            rows: named(&table, line).map(time).collect(),
            labelled: index + 1 == last,
        },
    });
    let mut notes = vec![
        "Dots are medians of stays, bars their 95 % intervals, of fewer than six stays their range; n is samples/stays. Rows that were not planned are left out.".to_owned(),
    ];
    notes.extend(lacking(&table));
    let (processor, shown) = processor(source, &table);
    if !processor.is_empty() {
        notes.push(format!(
            "Processor time: filled user mode, the tool's own part; pale kernel mode. Each is a median, {} behind each bar; the share is that of user mode in their sum. Axes differ between these panels.",
            samples_in_stays(shown.into_iter())
        ));
    }
    Some(Figure {
        name: String::new(),
        title: format!(
            "How long does each kind of rule update take at {} services? And is it the tool or the kernel?",
            whole(table.services.into())
        ),
        notes,
        alt: described(&table),
        panels: times.chain(processor).collect(),
        legend: Vec::new(),
    })
}

fn time((mode, name, style, answer): (Mode, String, Style, &Answer<'_>)) -> NamedRow {
    let row = answer.time;
    let (mark, text) = match (row.median, row.unit, lower_bound(row)) {
        (Some(at), Some(unit), _) => (
            Mark::Dot { at, ci95: bar(row) },
            format!("{}, n {}/{}", value(at, unit), whole(row.n), row.stays),
        ),
        (_, _, Some(bound)) => (
            Mark::Beyond(bound),
            format!("> {}", value(bound, Unit::Nanoseconds)),
        ),
        _ => (Mark::Nothing, row.outcome.to_string()),
    };
    NamedRow {
        mode,
        name,
        style,
        mark,
        text,
    }
}

/// Panels of processor time, user and system, with the rows behind them.
fn processor<'a>(source: &Source<'_>, table: &'a UpdateTable<'a>) -> (Vec<Panel>, Vec<&'a Row>) {
    let of = |answer: &Answer<'_>, metric: Metric| -> Option<f64> {
        let row = source
            .summary
            .cells
            .iter()
            .find(|row| row.key == answer.time.key && row.metric == Some(metric))?;
        row.median
    };
    let (mut panels, mut shown): (Vec<Panel>, Vec<&'a Row>) = (Vec::new(), Vec::new());
    for line in &table.lines {
        let parts: Vec<(Mode, String, Style, [f64; 2])> = named(table, line)
            .filter_map(|(mode, name, style, answer)| {
                let parts = [
                    of(answer, Metric::UserTime)?,
                    of(answer, Metric::SystemTime)?,
                ];
                shown.push(answer.time);
                Some((mode, name, style, parts))
            })
            .collect();
        let sums = parts.iter().map(|(.., [user, system])| user + system);
        let Some(x) = Axis::linear("processor time", sums, Unit::Nanoseconds) else {
            continue;
        };
        panels.push(Panel {
            heading: format!("{}: processor time", line.text()),
            body: Body::Rows {
                x,
                rows: parts.into_iter().map(stack).collect(),
                labelled: true,
            },
        });
    }
    (panels, shown)
}

fn stack((mode, name, style, [user, system]): (Mode, String, Style, [f64; 2])) -> NamedRow {
    let both = user + system;
    let share = if both > 0.0 {
        format!(", {} % user", digits((100.0 * user / both).round()))
    } else {
        String::new()
    };
    NamedRow {
        mode,
        name,
        style: Style {
            hollow: false,
            ..style
        },
        mark: Mark::Stack(vec![user, system]),
        text: format!("{}{share}", value(both, Unit::Nanoseconds)),
    }
}

/// Every answer of the table with its line.
fn answers<'a>(table: &'a UpdateTable<'a>) -> impl Iterator<Item = (&'a Line<'a>, &'a Answer<'a>)> {
    table.lines.iter().flat_map(|line| {
        line.cells
            .iter()
            .flatten()
            .map(move |answer| (line, answer))
    })
}

/// The answers of a line with name and look; the way is named where a mode has several.
fn named<'a>(
    table: &'a UpdateTable<'a>,
    line: &'a Line<'a>,
) -> impl Iterator<Item = (Mode, String, Style, &'a Answer<'a>)> {
    table
        .modes
        .iter()
        .zip(&line.cells)
        .flat_map(|(mode, answers)| {
            answers.iter().enumerate().map(move |(index, answer)| {
                let name = if answers.len() > 1 {
                    format!("{mode} ({})", answer.way())
                } else {
                    mode.to_string()
                };
                (*mode, name, Style::of(*mode, index), answer)
            })
        })
}

/// Answers without a time, each with its reason.
fn lacking(table: &UpdateTable<'_>) -> Vec<String> {
    answers(table)
        .filter(|(_, answer)| answer.time.median.is_none())
        .map(|(line, answer)| {
            let way = answer.way();
            let way = if way.is_empty() {
                way
            } else {
                format!(" ({way})")
            };
            format!(
                "No dot for {}{way} in {}: {}.",
                answer.time.key.mode,
                line.scenario,
                missing(answer.time, Metric::UpdateTime)
            )
        })
        .collect()
}

fn described(table: &UpdateTable<'_>) -> String {
    let parts: Vec<String> = answers(table)
        .filter_map(|(line, answer)| {
            let row = answer.time;
            Some(format!(
                "{} {}: {}",
                row.key.mode,
                line.scenario,
                value(row.median?, row.unit?)
            ))
        })
        .collect();
    format!(
        "{} of rule updates. {}.",
        counted(parts.len() as u64, "median"),
        parts.join("; ")
    )
}
