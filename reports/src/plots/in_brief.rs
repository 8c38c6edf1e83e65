//! The answers of a run in one picture: what is asked first, every mode that serves services, the cheapest first.

use schema::summary::Row;
use schema::{Metric, Mode, ScenarioKind};

use super::axis::Axis;
use super::chart::{Source, extents_of_rows, mark_of, unit_of_times};
use super::figure::{Body, Figure, NamedRow, Panel};
use super::style::Style;
use crate::quantity::{shortened, whole};
use crate::summarise::{Asked, matrix};
use crate::view::as_ranked;

/// What is asked first, in the order of the sentences beside it.
const ASKED: [(ScenarioKind, Metric); 4] = [
    (ScenarioKind::FirstPacket, Metric::Latency),
    (ScenarioKind::ServiceAdd, Metric::UpdateTime),
    (ScenarioKind::ColdInstall, Metric::UpdateTime),
    (ScenarioKind::Memory, Metric::KernelMemory),
];

/// A panel a question, with axes of their own; `None` where no two modes have a number.
pub(super) fn figure(source: &Source<'_>) -> Option<Figure> {
    let lines = matrix(source.run, source.summary, source.scope);
    let first = |(scenario, metric)| {
        let mut lines = lines.iter();
        lines.find(|line| (line.question.scenario, line.question.metric) == (scenario, metric))
    };
    let asked: Vec<&Asked<'_>> = ASKED.into_iter().filter_map(first).collect();
    let mut panels: Vec<Panel> = asked.into_iter().filter_map(panel).collect();
    // One axis is labelled, for its scale: values stand beside the dots.
    if let Some(Body::Rows { labelled, .. }) = panels.last_mut().map(|panel| &mut panel.body) {
        *labelled = true;
    }
    let said: Vec<String> = panels.iter().map(described).collect();
    let title = format!(
        "What does each mode cost, at {} services{}?",
        whole(source.largest().into()),
        source.scope.shown(source.summary).caches()
    );
    Some(Figure {
        notes: vec![
            "Left is cheaper. Bars: 95 % intervals, of fewer than six stays the range. Updates: what the kernel and the tool must do.".to_owned(),
        ],
        alt: said.join(" "),
        ..Figure::of(title, panels)?
    })
}

/// The modes of a question, from the cheapest on; `None` where there are not two numbers to hold beside each other.
fn panel(line: &Asked<'_>) -> Option<Panel> {
    let serves = line.answers.iter().filter(|(mode, _)| !mode.is_floor());
    let mut rows: Vec<(&Mode, _)> = serves
        .map(|(mode, answer)| (mode, as_ranked(answer.row)))
        .collect();
    let value = |row: &Row| row.median.unwrap_or(f64::INFINITY);
    rows.sort_by(|(_, a), (_, b)| value(a).total_cmp(&value(b)));
    let numbers = rows.iter().filter(|(_, row)| row.median.is_some());
    if numbers.count() < 2 {
        return None;
    }
    let shown = || rows.iter().map(|(_, row)| &**row);
    let x = Axis::log(
        "",
        extents_of_rows(shown()).into_iter(),
        unit_of_times(shown()),
    )?;
    let named = rows.iter().map(|(mode, row)| {
        let (mark, text) = mark_of(row, line.question.metric);
        // How many stays it is of is in the matrix.
        let text = text.split(", n ").next().unwrap_or_default().to_owned();
        NamedRow {
            mark,
            text,
            ..NamedRow::of(**mode, mode.to_string(), Style::of(**mode, 0))
        }
    });
    Some(Panel::rows(
        &shortened(&line.text(), 80),
        x,
        named.collect(),
        false,
    ))
}

fn described(panel: &Panel) -> String {
    let numbers = panel.numbers();
    let rows = numbers
        .rows
        .iter()
        .map(|(name, texts)| format!("{name} {}", texts.join(" ")));
    format!(
        "{}: {}.",
        numbers.heading,
        rows.collect::<Vec<_>>().join(", ")
    )
}
