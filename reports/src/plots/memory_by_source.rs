//! Kernel memory at the largest N by where it is held: slab, vmalloc and per-CPU pages, then the peak, what a
//! cgroup sees of it, and the tool's own memory.

use std::collections::BTreeMap;

use schema::summary::Row;
use schema::{CellKey, Metric, Mode, ScenarioKind, Unit};

use super::axis::Axis;
use super::chart::{Series, Source, gaps, samples_in_stays, series, stated};
use super::figure::{Body, Figure, Mark, NamedRow, Panel};
use super::style::Style;
use crate::quantity::{value, whole};
use crate::view::Scope;

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

pub(super) fn figure(source: &Source<'_>, scope: &Scope) -> Option<Figure> {
    let largest = scope.largest(source.summary);
    let asks = move |key: &CellKey| key.scenario == ScenarioKind::Memory && key.services == largest;
    let held = series(source.summary, scope, Metric::KernelMemory, asks);
    let mut panels: Vec<Panel> = Vec::new();
    panels.extend(parts(source, &held));
    for (metric, heading) in WHOLES {
        let all = series(source.summary, scope, *metric, asks);
        panels.extend(whole_panel(&all, *metric, heading));
    }
    if panels.is_empty() {
        return None;
    }
    let mut notes = vec![
        format!(
            "Bars by source: filled slab, pale vmalloc, between per-CPU, each the median of its stays' medians; parts below zero (noise) are left out of the bar. \
             Dots are medians, with their 95 % intervals; {} behind each.",
            samples_in_stays(held.iter().flat_map(Series::measured))
        ),
        "Axes differ between panels.".to_owned(),
    ];
    if held.iter().flat_map(Series::measured).any(|row| row.noisy) {
        notes.push("Noisy: measured on the host's kernel, where whatever else runs moves the same counters.".to_owned());
    }
    notes.extend(gaps(&held));
    Some(Figure {
        name: String::new(),
        title: format!(
            "Where is the kernel memory of {} services held?",
            whole(largest.into())
        ),
        notes,
        alt: "Kernel memory by source and mode.".to_owned(),
        panels,
        legend: Vec::new(),
    })
}

fn parts(source: &Source<'_>, held: &[Series<'_>]) -> Option<Panel> {
    let rows: Vec<(Mode, String, Vec<f64>)> = held
        .iter()
        .filter_map(|series| {
            let row = series.measured().next()?;
            Some((series.mode, series.name.clone(), facts(source, row)?))
        })
        .collect();
    let sums = rows
        .iter()
        .map(|(.., parts)| parts.iter().map(|part| part.max(0.0)).sum());
    let x = Axis::linear("kernel memory", sums, Unit::Bytes)?;
    Some(Panel {
        heading: "Held, by source".to_owned(),
        body: Body::Rows {
            x,
            rows: rows.into_iter().map(stack).collect(),
            labelled: true,
        },
    })
}

/// The medians, over stays, of the parts that a cell's facts state.
fn facts(source: &Source<'_>, row: &Row) -> Option<Vec<f64>> {
    let mut seen: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for cell in source.run.cells.iter().filter(|cell| cell.key == row.key) {
        for (fact, _) in PARTS {
            let value = cell
                .facts
                .get(*fact)
                .and_then(|text| text.parse::<f64>().ok());
            seen.entry(fact).or_default().extend(value);
        }
    }
    PARTS
        .iter()
        .map(|(fact, _)| {
            let mut values = seen.remove(fact)?;
            values.sort_by(f64::total_cmp);
            crate::statistics::quantile(&values, 0.5)
        })
        .collect()
}

fn stack((mode, name, parts): (Mode, String, Vec<f64>)) -> NamedRow {
    let text: Vec<String> = PARTS
        .iter()
        .zip(&parts)
        .map(|((_, noun), part)| format!("{noun} {}", value(*part, Unit::Bytes)))
        .collect();
    NamedRow {
        mode,
        name,
        style: Style {
            hollow: false,
            ..Style::of(mode, 0)
        },
        mark: Mark::Stack(parts),
        text: text.join(", "),
    }
}

fn whole_panel(all: &[Series<'_>], metric: Metric, heading: &str) -> Option<Panel> {
    let rows = || {
        all.iter()
            .flat_map(|s| s.measured().map(move |row| (s, row)))
    };
    let shown = super::chart::extents(rows().map(|(_, row)| row));
    let x = Axis::linear(metric.name(), shown, Unit::Bytes)?;
    Some(Panel {
        heading: heading.to_owned(),
        body: Body::Rows {
            x,
            rows: rows()
                .filter_map(|(series, row)| {
                    Some(NamedRow {
                        mode: series.mode,
                        name: series.name.clone(),
                        style: series.style,
                        mark: Mark::Dot {
                            at: row.median?,
                            ci95: crate::view::bar(row),
                        },
                        text: stated(row),
                    })
                })
                .collect(),
            labelled: true,
        },
    })
}
