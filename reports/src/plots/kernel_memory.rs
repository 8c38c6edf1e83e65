//! Kernel memory against N by mode, on logarithmic axes, with the price of a service.

use std::collections::BTreeMap;

use schema::summary::Row;
use schema::{Metric, Mode, ScenarioKind, Unit};

use super::axis::Axis;
use super::chart::{Series, Source, extents, measured, over_n};
use super::figure::{Figure, Key};
use super::notes::{behind_points, described, gaps, noisy};
use crate::quantity::{counted, interval, value};
use crate::view::spread_of_fit;

pub(super) fn figure(source: &Source<'_>) -> Option<Figure> {
    let (scope, summary) = (source.scope, source.summary);
    let scenario = scope.weighing(summary);
    let series = source.series(Metric::KernelMemory, |key| {
        key.scenario == scenario && scope.shows_memory(summary, key.mode, &key.options)
    });
    let rows = || measured(&series);
    let y = Axis::log("kernel memory", extents(rows()), Unit::Bytes)?;
    let panel = over_n("", &series, y, |series| {
        series.line_of_amounts(source.curve(series))
    });
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
    notes.extend(noisy(rows()));
    // A difference at or below zero is noise of the host.
    if rows().any(|row| row.median <= Some(0.0)) {
        notes.push("Medians at or below zero are not drawn; they are in the tables.".to_owned());
    }
    notes.extend(gaps(&series));
    Some(Figure {
        notes,
        alt: described(&series),
        legend: series.iter().map(|one| key(source, one)).collect(),
        ..Figure::of(
            "How much kernel memory do N services hold?".to_owned(),
            vec![panel],
        )?
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

fn key(source: &Source<'_>, series: &Series<'_>) -> Key {
    let price = source.fit(series).map_or_else(
        || "too few sizes for a slope".to_owned(),
        |fit| {
            format!(
                "{} a service ({}){}",
                value(fit.estimate, Unit::Bytes),
                spread_of_fit(fit, |ends| interval(ends, Unit::Bytes)),
                if fit.noisy { ", noisy" } else { "" }
            )
        },
    );
    let any = series.measured().next();
    series.key_of(any.map(|_| format!("{}: {price}", series.name)))
}
