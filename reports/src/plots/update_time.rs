//! Rule-update time against N, on logarithmic axes, with the fitted power of N.

use schema::summary::{Fit, Summary};
use schema::{Metric, ScenarioKind};

use super::axis::Axis;
use super::chart::{Series, behind_points, described, fit_of, gaps, series, sizes, unit_of_times};
use super::figure::{Body, Figure, Key, Line, Panel};
use crate::quantity::{digits, span};
use crate::scope::{Scope, lower_bound as bound};

/// Installing everything from nothing.
pub(super) fn cold_install(summary: &Summary, scope: &Scope) -> Option<Figure> {
    figure(
        summary,
        scope,
        ScenarioKind::ColdInstall,
        "How long does it take to install N services from nothing?",
    )
}

/// Adding one service.
pub(super) fn service_add(summary: &Summary, scope: &Scope) -> Option<Figure> {
    figure(
        summary,
        scope,
        ScenarioKind::ServiceAdd,
        "How long does it take to add one service to N?",
    )
}

fn figure(
    summary: &Summary,
    scope: &Scope,
    scenario: ScenarioKind,
    question: &str,
) -> Option<Figure> {
    let series = series(summary, scope, Metric::UpdateTime, |key| {
        key.scenario == scenario
    });
    let rows = || series.iter().flat_map(Series::measured);
    let bounds = || {
        series
            .iter()
            .flat_map(|series| &series.rows)
            .filter_map(|row| bound(row))
    };
    let shown = rows()
        .flat_map(|row| row.median.into_iter().chain(row.ci95.into_iter().flatten()))
        .chain(bounds().map(|bound| bound * 1.6));
    let y = Axis::log("update time", shown, unit_of_times(rows()))?;
    let mut legend = Vec::new();
    let mut lines = Vec::new();
    for series in &series {
        let fit = fit_of(summary, scope, scenario, Metric::UpdateTime, series);
        let points = series.points();
        let bounds: Vec<(f64, f64)> = series
            .rows
            .iter()
            .filter_map(|row| Some((f64::from(row.key.services), bound(row)?)))
            .collect();
        let text = match fit {
            Some(fit) => format!(
                "{}: N^{} ({})",
                series.name,
                digits(fit.estimate),
                span(fit.ci95)
            ),
            None if points.is_empty() && bounds.is_empty() => {
                format!("{}: no numbers", series.name)
            }
            None => series.name.clone(),
        };
        legend.push(Key {
            style: series.style,
            text,
        });
        let curve = fit.map_or_else(Vec::new, curve);
        lines.push(Line {
            style: series.style,
            joined: curve.is_empty(),
            points,
            curve,
            bounds,
            label: None,
        });
    }
    let mut notes = vec![behind_points(rows())];
    notes.push("Straight lines are fits c·N^k with the 95 % interval of k.".to_owned());
    if bounds().next().is_some() {
        notes.push("Arrows are lower bounds: the cell timed out there.".to_owned());
    }
    notes.extend(gaps(&series));
    Some(Figure {
        name: String::new(),
        title: question.to_owned(),
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

fn curve(fit: &Fit) -> Vec<(f64, f64)> {
    [fit.from, fit.to]
        .map(|n| {
            (
                f64::from(n),
                fit.intercept * f64::from(n).powf(fit.estimate),
            )
        })
        .to_vec()
}
