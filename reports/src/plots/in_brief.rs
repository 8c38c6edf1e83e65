//! The answers of a run in one picture: what is asked first, every mode that serves services, the lowest median first.

use schema::summary::Row;
use schema::{Metric, Mode, ScenarioKind};

use super::axis::Axis;
use super::chart::{Source, extents_of_rows, mark_of, unit_of_times};
use super::figure::{Body, Figure, Mark, NamedRow, Panel};
use super::style::Style;
use crate::quantity::{shortened, whole};
use crate::summarise::{Asked, matrix};
use crate::view::as_ranked;

/// A panel a question, with axes of their own; `None` where no two modes have a number.
pub(super) fn figure(source: &Source<'_>) -> Option<Figure> {
    let lines = matrix(source.run, source.summary, source.scope);
    // In the order of the sentences beside it (`view/brief.rs`).
    let asked = [
        (ScenarioKind::FirstPacket, Metric::Latency),
        (ScenarioKind::ServiceAdd, Metric::UpdateTime),
        (ScenarioKind::ColdInstall, Metric::UpdateTime),
        (source.scope.weighing(source.summary), Metric::KernelMemory),
    ];
    let first = |asked: (ScenarioKind, Metric)| {
        let mut lines = lines.iter();
        lines.find(|line| (line.question.scenario, line.question.metric) == asked)
    };
    let shown: Vec<(&Asked<'_>, Panel)> = asked
        .into_iter()
        .filter_map(first)
        .filter_map(|line| Some((line, panel(line)?)))
        .collect();
    let of_updates = |(line, _): &(&Asked<'_>, Panel)| line.question.metric == Metric::UpdateTime;
    let of_updates = shown.iter().any(of_updates);
    let mut panels: Vec<Panel> = shown.into_iter().map(|(_, panel)| panel).collect();
    // One axis is labelled, for its scale: values stand beside the dots.
    if let Some(Body::Rows { labelled, .. }) = panels.last_mut().map(|panel| &mut panel.body) {
        *labelled = true;
    }
    let said: Vec<String> = panels.iter().map(described).collect();
    // A single panel has no heading of its own.
    let title = match panels.as_slice() {
        [only] => only.heading.clone(),
        _ => format!(
            "What does each mode cost, at {} services{}?",
            whole(source.largest().into()),
            source.scope.shown(source.summary).caches()
        ),
    };
    let mut note = "By their medians; which are told apart, the sentences say. Bars: 95 % intervals, of fewer than six stays the range. Axes differ between panels.".to_owned();
    if of_updates {
        note.push_str(" Updates: what the kernel and the tool must do.");
    }
    Some(Figure {
        notes: vec![note],
        alt: said.join(" "),
        ..Figure::of(title, panels)?
    })
}

/// The modes of a question, from the lowest median on; `None` where there are not two numbers to hold beside each other.
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
        let mark = on_a_logarithmic_axis(mark);
        // How many stays it is of is in the matrix.
        let mut text = text.split(", n ").next().unwrap_or_default().to_owned();
        if row.noisy {
            text.push_str(", noisy");
        }
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

/// What is not above zero has no place on such an axis.
fn on_a_logarithmic_axis(mark: Mark) -> Mark {
    match mark {
        Mark::Dot { at, .. } if at <= 0.0 => Mark::Nothing,
        Mark::Dot { at, ci95 } => Mark::Dot {
            at,
            ci95: ci95.filter(|[low, _]| *low > 0.0),
        },
        other => other,
    }
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
