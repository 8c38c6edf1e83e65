//! The cost of a rule update against N, on logarithmic axes: the update itself with its fitted power of N,
//! kube-proxy's whole sync, and the processor's time in user and in kernel mode apart.

use schema::{CellKey, Metric, ScenarioKind};

use super::axis::Axis;
use super::chart::{Series, Source, extents, measured, over_n, unit_of_times};
use super::figure::{Figure, Key, Panel};
use super::notes::{behind_points, crosses, described, gaps, left_out};
use crate::quantity::{digits, span};
use crate::view::{lower_bound, spread_of_fit};

/// Panels, with their headings.
const PANELS: &[(Metric, &str)] = &[
    (
        Metric::UpdateTime,
        "update_time: what the tool and the kernel must do",
    ),
    (
        Metric::SyncTime,
        "sync_time: as kube-proxy makes it, with read-back",
    ),
    (
        Metric::UserTime,
        "user mode: processor time of the tool's own part",
    ),
    (
        Metric::SystemTime,
        "kernel mode: processor time of the kernel's part",
    ),
];

/// What one kind of update costs over N.
pub(super) fn figure(source: &Source<'_>, scenario: ScenarioKind) -> Option<Figure> {
    let asks = |key: &CellKey| key.scenario == scenario;
    let panels = PANELS.iter().filter_map(|(metric, heading)| {
        let series = source.series(*metric, asks);
        panel(source, series, *metric, heading)
    });
    let figure = Figure::of(scenario.row().over_n.to_owned(), panels.collect())?;
    let all = source.series(Metric::UpdateTime, asks);
    let mut notes = vec![behind_points(measured(&all))];
    notes.push(
        "Lines are fits a + c·N^k where there are five sizes; the legend gives k of update_time with its 95 % interval, of fewer than six blocks their range, beside the fixed part a; where k is uncertain the last stretch says more, in the table of fits. Axes differ between panels."
            .to_owned(),
    );
    if all
        .iter()
        .any(|series| series.rows.iter().any(|row| lower_bound(row).is_some()))
    {
        notes.push("Arrows are lower bounds: the cell timed out there.".to_owned());
    }
    let nothing = |(metric, _): &(Metric, &str)| {
        let series = source.series(*metric, asks);
        measured(&series).any(|row| row.median == Some(0.0))
    };
    if PANELS.iter().any(nothing) {
        notes.push(
            "Medians of 0 (processor time below a tick of its clock) have no place on a logarithmic axis: they are among the numbers."
                .to_owned(),
        );
    }
    notes.extend(crosses(&all));
    notes.extend(left_out(&source.every_series(Metric::UpdateTime, asks)));
    notes.extend(gaps(&all));
    Some(Figure {
        notes,
        alt: described(&all),
        legend: all.iter().map(|series| key(source, series)).collect(),
        ..figure
    })
}

fn panel(
    source: &Source<'_>,
    mut series: Vec<Series<'_>>,
    metric: Metric,
    heading: &str,
) -> Option<Panel> {
    if metric != Metric::UpdateTime {
        // What has no update is a gap there, once.
        for series in &mut series {
            series.rows.retain(|row| row.median.is_some());
        }
        series.retain(|series| !series.rows.is_empty());
    }
    let rows = series.iter().flat_map(|series| &series.rows);
    let bounds = rows
        .filter_map(|row| lower_bound(row))
        .map(|bound| bound * 1.6);
    let shown = extents(measured(&series)).chain(bounds);
    let y = Axis::log(metric.name(), shown, unit_of_times(measured(&series)))?;
    Some(over_n(heading, &series, y, |series| {
        series.line(source.curve(series))
    }))
}

fn key(source: &Source<'_>, series: &Series<'_>) -> Key {
    let fit = source.fit(series).map_or_else(String::new, |fit| {
        let spread = spread_of_fit(fit, span);
        format!(": N^{} ({spread})", digits(fit.estimate))
    });
    let mut rows = series.rows.iter();
    let any = rows.any(|row| row.median.is_some() || lower_bound(row).is_some());
    series.key_of(any.then(|| format!("{}{fit}", series.name)))
}
