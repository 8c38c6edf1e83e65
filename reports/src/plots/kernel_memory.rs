//! Kernel memory against N by mode, on logarithmic axes, with the price of a service.

use std::collections::BTreeMap;

use schema::summary::{Fit, Row};
use schema::{Metric, Mode, ScenarioKind, Unit};

use super::axis::Axis;
use super::chart::{
    Series, Source, behind_points, curve, described, extents, fit_of, gaps, series, sizes,
};
use super::figure::{Body, Figure, Line, Panel};
use crate::quantity::{counted, interval, value};
use crate::view::{Scope, spread_of_fit};

pub(super) fn figure(source: &Source<'_>, scope: &Scope) -> Option<Figure> {
    let summary = source.summary;
    let scenario = scope.weighing(summary);
    let series = series(summary, scope, Metric::KernelMemory, |key| {
        key.scenario == scenario && scope.shows_memory(summary, key.mode, &key.options)
    });
    let rows = || series.iter().flat_map(Series::measured);
    let y = Axis::log("kernel memory", extents(rows()), Unit::Bytes)?;
    let (mut legend, mut lines) = (Vec::new(), Vec::new());
    for series in &series {
        let fit = fit_of(summary, scope, scenario, Metric::KernelMemory, series);
        let curve = fit.map_or_else(Vec::new, curve);
        legend.push(series.key(key(series, fit)));
        // A difference at or below zero is host noise; it has no place on this axis, and a note instead.
        let mut points = series.points();
        points.retain(|point| point.y > 0.0);
        lines.push(Line {
            points,
            bounds: Vec::new(),
            labelled: true,
            ..series.line(curve)
        });
    }
    let mut notes = vec![behind_points(rows())];
    notes.push(
        "Lines are fits a + b·N; the legend gives b, the price of a service, with its 95 % interval, of fewer than six blocks their range."
            .to_owned(),
    );
    notes.extend(per_cpu(rows()));
    if scenario == ScenarioKind::ColdInstall {
        notes.push(
            "Readings before and after one first install a stay; --scenarios memory asks with pairs of installs and removals."
                .to_owned(),
        );
    }
    if rows().any(|row| row.noisy) {
        notes.push(
            "Noisy: measured on the host's kernel, where whatever else runs moves the same counters."
                .to_owned(),
        );
    }
    if rows().any(|row| row.median.is_some_and(|median| median <= 0.0)) {
        notes.push("Medians at or below zero are not drawn; they are in the tables.".to_owned());
    }
    notes.extend(gaps(&series));
    Some(Figure {
        name: String::new(),
        title: "How much kernel memory do N services hold?".to_owned(),
        notes,
        alt: described(&series),
        panels: vec![Panel {
            heading: String::new(),
            body: Body::Lines {
                x: Axis::sizes(&sizes(&series)),
                y,
                lines,
            },
        }],
        legend,
    })
}

/// What is held for each CPU, so that a reader can put in his own.
fn per_cpu<'a>(rows: impl Iterator<Item = &'a Row>) -> Option<String> {
    let mut largest: BTreeMap<Mode, &Row> = BTreeMap::new();
    for row in rows.filter(|row| row.per_cpu.is_some()) {
        let known = largest.entry(row.key.mode).or_insert(row);
        if known.key.services < row.key.services {
            *known = row;
        }
    }
    let cpus = largest.values().next()?.per_cpu?.cpus;
    let parts: Vec<String> = largest
        .iter()
        .filter_map(|(mode, row)| {
            Some(format!("{mode} {}", value(row.per_cpu?.bytes, Unit::Bytes)))
        })
        .collect();
    Some(format!(
        "Measured with {}. Of the memory of each service so much is there once for each of them: {}.",
        counted(cpus.into(), "possible CPU"),
        parts.join(", ")
    ))
}

fn key(series: &Series<'_>, fit: Option<&Fit>) -> String {
    match fit {
        Some(fit) => format!(
            "{}: {} a service ({}){}",
            series.name,
            value(fit.estimate, Unit::Bytes),
            spread_of_fit(fit, |ends| interval(ends, Unit::Bytes)),
            if fit.noisy { ", noisy" } else { "" }
        ),
        None if series.measured().next().is_none() => format!("{}: no numbers", series.name),
        None => format!("{}: too few sizes for a slope", series.name),
    }
}
