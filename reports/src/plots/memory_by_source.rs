//! Kernel memory at the largest N by where it is held: slab, vmalloc and per-CPU pages, then the peak, what a
//! cgroup sees of it, and the tool's own memory.

use schema::summary::Row;
use schema::{CellKey, Metric, ScenarioKind, Unit};

use super::axis::Axis;
use super::chart::{Series, Source, extents, measured, named, stated};
use super::figure::{Figure, Mark, Panel};
use super::notes::{gaps, noisy, samples_in_stays};
use super::style::Style;
use crate::quantity::{value, whole};
use crate::statistics::median;
use crate::view::bar;

/// Facts in which a memory cell states the parts of its sum.
const PARTS: &[(&str, &str)] = &[
    ("kernel_memory_slab", "slab"),
    ("kernel_memory_vmalloc", "vmalloc"),
    ("kernel_memory_percpu", "per-CPU"),
];

/// Whole figures, each a panel.
const WHOLES: &[(Metric, &str)] = &[
    (Metric::KernelMemoryPeak, "Peak while it is installed"),
    (
        Metric::CgroupMemory,
        "The part that a cgroup sees (incomplete by design)",
    ),
    (
        Metric::ToolRss,
        "Largest resident set of the tool, on its own account",
    ),
];

pub(super) fn figure(source: &Source<'_>) -> Option<Figure> {
    let largest = source.largest();
    let asks = |key: &CellKey| key.scenario == ScenarioKind::Memory && key.services == largest;
    let held = source.series(Metric::KernelMemory, asks);
    let wholes = WHOLES.iter().filter_map(|(metric, heading)| {
        whole_panel(&source.series(*metric, asks), *metric, heading)
    });
    let title = format!(
        "Where is the kernel memory of {} services held?",
        whole(largest.into())
    );
    let panels = parts(source, &held).into_iter().chain(wholes);
    let figure = Figure::of(title, panels.collect())?;
    let mut notes = vec![
        format!(
            "Bars by source: filled slab, pale vmalloc, between per-CPU, each the median of its stays' medians; parts below zero (noise) are left out of the bar. \
             Dots are medians, with their 95 % intervals; {} behind each.",
            samples_in_stays(measured(&held))
        ),
        "Axes differ between panels.".to_owned(),
    ];
    notes.extend(noisy(measured(&held)));
    notes.extend(gaps(&held));
    Some(Figure {
        notes,
        alt: "Kernel memory by source and mode.".to_owned(),
        ..figure
    })
}

fn parts(source: &Source<'_>, held: &[Series<'_>]) -> Option<Panel> {
    let sums = measured(held).filter_map(|row| facts(source, row));
    let sums = sums.map(|parts| parts.iter().map(|part| part.max(0.0)).sum());
    let x = Axis::linear("kernel memory", sums, Unit::Bytes)?;
    let mut rows = named(held, |row| {
        let parts = facts(source, row)?;
        let texts = PARTS.iter().zip(&parts);
        let texts = texts.map(|((_, noun), part)| format!("{noun} {}", value(*part, Unit::Bytes)));
        let text = texts.collect::<Vec<_>>().join(", ");
        Some((Mark::Stack(parts), text))
    });
    for row in &mut rows {
        row.style = Style {
            hollow: false,
            ..Style::of(row.mode, 0)
        };
    }
    Some(Panel::rows("Held, by source", x, rows, true))
}

/// The medians, over stays, of the parts that a cell's facts state.
fn facts(source: &Source<'_>, row: &Row) -> Option<Vec<f64>> {
    let of = |(fact, _): &(&str, &str)| {
        let cells = source.run.cells.iter().filter(|cell| cell.key == row.key);
        median(cells.filter_map(|cell| cell.facts.get(*fact)?.parse().ok()))
    };
    PARTS.iter().map(of).collect()
}

fn whole_panel(all: &[Series<'_>], metric: Metric, heading: &str) -> Option<Panel> {
    let x = Axis::linear(metric.name(), extents(measured(all)), Unit::Bytes)?;
    let rows = named(all, |row| {
        let (at, ci95) = (row.median?, bar(row));
        Some((Mark::Dot { at, ci95 }, stated(row)))
    });
    Some(Panel::rows(heading, x, rows, true))
}
