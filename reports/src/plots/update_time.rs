//! The cost of a rule update against N, on logarithmic axes: the update itself with its fitted power of N,
//! kube-proxy's whole sync, and the processor's time in user and in kernel mode apart.

use schema::{Metric, ScenarioKind};

use super::axis::Axis;
use super::chart::{
    Series, Source, behind_points, crosses, curve, described, extents, fit_of, gaps, left_out,
    series, sizes, unit_of_times,
};
use super::figure::{Body, Figure, Key, Panel};
use crate::quantity::{digits, span};
use crate::view::{Scope, lower_bound, spread_of_fit};

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
pub(super) fn figure(source: &Source<'_>, scope: &Scope, scenario: ScenarioKind) -> Option<Figure> {
    let asks = |key: &schema::CellKey| key.scenario == scenario;
    let all = series(source.summary, scope, Metric::UpdateTime, asks);
    let panels: Vec<Panel> = PANELS
        .iter()
        .filter_map(|(metric, heading)| panel(source, scope, (scenario, *metric), heading))
        .collect();
    if panels.is_empty() {
        return None;
    }
    let rows = || all.iter().flat_map(Series::measured);
    let mut notes = vec![behind_points(rows())];
    notes.push(
        "Lines are fits a + c·N^k where there are five sizes; the legend gives k of update_time with its 95 % interval, of fewer than six blocks their range, beside the fixed part a; where k is uncertain the last stretch says more, in the table of fits. Axes differ between panels."
            .to_owned(),
    );
    if all.iter().any(|series| !series.bounds().is_empty()) {
        notes.push("Arrows are lower bounds: the cell timed out there.".to_owned());
    }
    let nothing = PANELS.iter().any(|(metric, _)| {
        let all = series(source.summary, scope, *metric, asks);
        all.iter()
            .flat_map(Series::measured)
            .any(|row| row.median == Some(0.0))
    });
    if nothing {
        notes.push(
            "Medians of 0 (processor time below a tick of its clock) have no place on a logarithmic axis: they are among the numbers."
                .to_owned(),
        );
    }
    notes.extend(crosses(&all));
    notes.extend(left_out(source.summary, scope, Metric::UpdateTime, asks));
    notes.extend(gaps(&all));
    Some(Figure {
        name: String::new(),
        title: scenario.row().over_n.to_owned(),
        notes,
        alt: described(&all),
        panels,
        legend: all
            .iter()
            .map(|one| legend(source, scope, scenario, one))
            .collect(),
    })
}

fn panel(
    source: &Source<'_>,
    scope: &Scope,
    (scenario, metric): (ScenarioKind, Metric),
    heading: &str,
) -> Option<Panel> {
    let timed = metric == Metric::UpdateTime;
    let mut all = series(source.summary, scope, metric, |key| {
        key.scenario == scenario
    });
    if !timed {
        // What has no update is a gap there, once.
        all.retain(|series| series.measured().next().is_some());
        for series in &mut all {
            series.rows.retain(|row| row.median.is_some());
        }
    }
    let bounds = all
        .iter()
        .flat_map(|series| &series.rows)
        .filter_map(|row| lower_bound(row))
        .map(|bound| bound * 1.6);
    let shown = extents(all.iter().flat_map(Series::measured)).chain(bounds);
    let unit = unit_of_times(all.iter().flat_map(Series::measured));
    let y = Axis::log(metric.name(), shown, unit)?;
    let lines = all.iter().map(|series| {
        let fit = fit_of(source.summary, scope, scenario, metric, series);
        series.line(fit.map_or_else(Vec::new, curve))
    });
    Some(Panel {
        heading: heading.to_owned(),
        body: Body::Lines {
            x: Axis::sizes(&sizes(&all)),
            y,
            lines: lines.collect(),
        },
    })
}

fn legend(source: &Source<'_>, scope: &Scope, scenario: ScenarioKind, series: &Series<'_>) -> Key {
    let fit = fit_of(source.summary, scope, scenario, Metric::UpdateTime, series);
    let nothing = series.points().is_empty() && series.bounds().is_empty();
    series.key(match fit {
        Some(fit) => format!(
            "{}: N^{} ({})",
            series.name,
            digits(fit.estimate),
            spread_of_fit(fit, span)
        ),
        None if nothing => format!("{}: no numbers", series.name),
        None => series.name.clone(),
    })
}
