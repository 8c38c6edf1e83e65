//! The answers of a run in one picture: what is asked first, every mode that serves services, the lowest median first.

use schema::summary::Row;
use schema::{Metric, Mode, OptionKey, OutcomeKind, ScenarioKind};

use super::axis::Axis;
use super::chart::{Source, extents_of_rows, mark_alone, unit_of_times};
use super::figure::{Body, Figure, Mark, NamedRow, Panel};
use super::style::Style;
use crate::quantity::{shortened, whole};
use crate::summarise::{Asked, matrix};
use crate::view::as_ranked;

/// Behind the name of a mode that stands with its install in chunks.
const IN_CHUNKS: &str = " *";

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
    let shown: Vec<(&Asked<'_>, Panel)> = asked
        .into_iter()
        .filter_map(|asked| {
            let of = |line: &&Asked<'_>| (line.question.scenario, line.question.metric) == asked;
            let of: Vec<&Asked<'_>> = lines.iter().filter(of).collect();
            let (line, others) = of.split_first()?;
            Some((*line, panel(line, others)?))
        })
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
            "Cost of each mode at {} services{}",
            whole(source.largest().into()),
            source.scope.shown(source.summary).caches()
        ),
    };
    let mut note = "Medians; bars: 95 % intervals, of fewer than six stays the range. Each panel has an axis of its own.".to_owned();
    if of_updates {
        note.push_str(" Updates: the kernel's and the tool's part.");
    }
    if said.iter().any(|said| said.contains(IN_CHUNKS)) {
        note.push_str(" *: in several transactions.");
    }
    Some(Figure {
        notes: vec![note],
        alt: said.join(" "),
        ..Figure::of(title, panels)?
    })
}

/// The modes of a question, from the lowest median on; `None` where there are not two numbers to hold beside each other.
/// A mode without a number there stands with that of the same question in chunks, if it has one among `others`.
fn panel(line: &Asked<'_>, others: &[&Asked<'_>]) -> Option<Panel> {
    let without = |asked: &Asked<'_>| asked.question.options.without(&[OptionKey::Chunk]);
    let alike = |other: &&&Asked<'_>| without(other) == without(line);
    let in_chunks = |mode: &Mode| {
        let mut others = others.iter().filter(alike);
        let row = others.find_map(|other| Some(other.answers.get(mode)?.row));
        row.filter(|row| row.median.is_some())
    };
    let serves = line.answers.iter().filter(|(mode, _)| !mode.is_floor());
    let mut rows: Vec<(&Mode, _)> = serves
        .map(|(mode, answer)| {
            let unmade = answer.row.outcome == OutcomeKind::NotRun;
            let row = Some(mode).filter(|_| unmade).and_then(in_chunks);
            let row = row.unwrap_or(answer.row);
            (mode, as_ranked(row))
        })
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
        // How many stays it is of is in the matrix.
        let (mark, mut text) = mark_alone(row, line.question.metric);
        let mark = on_a_logarithmic_axis(mark);
        if row.noisy {
            text.push_str(", noisy");
        }
        let in_chunks = row.key.options.chunk() != line.question.options.chunk();
        let name = format!("{mode}{}", if in_chunks { IN_CHUNKS } else { "" });
        NamedRow {
            mark,
            text,
            ..NamedRow::of(**mode, name, Style::of(**mode, 0))
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
