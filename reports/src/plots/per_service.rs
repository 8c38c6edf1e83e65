//! What one service is made of at the largest N: rules, chains, elements, and the messages and bytes of its
//! installation.

use std::collections::BTreeSet;

use schema::summary::Row;
use schema::{CellKey, Metric, ScenarioKind};

use super::axis::Axis;
use super::chart::{Series, Source, measured, named};
use super::figure::{Figure, Mark, Panel};
use super::notes::gaps;
use crate::quantity::{value, whole};

/// Panels: what is counted, in which scenario.
const PANELS: &[(ScenarioKind, Metric, &str)] = &[
    (ScenarioKind::RuleCount, Metric::Rules, "Rules a service"),
    (ScenarioKind::RuleCount, Metric::Chains, "Chains a service"),
    (
        ScenarioKind::RuleCount,
        Metric::Elements,
        "Elements of sets and maps a service",
    ),
    (
        ScenarioKind::ColdInstall,
        Metric::Messages,
        "Netlink messages of our own to install a service",
    ),
    (
        ScenarioKind::ColdInstall,
        Metric::BytesSent,
        "Bytes handed over to install a service",
    ),
];

pub(super) fn figure(source: &Source<'_>) -> Option<Figure> {
    let largest = source.largest();
    let at = |scenario| move |key: &CellKey| key.scenario == scenario && key.services == largest;
    let (mut panels, mut notes) = (Vec::new(), vec![
        "What was counted, divided by N. Counts have no spread where all stays agree; else the median is shown.".to_owned(),
        "Messages are 0 where a tool sends its own, which are not counted.".to_owned(),
    ]);
    // Both scenarios lack what the mode lacks.
    let mut missing = BTreeSet::new();
    for (scenario, metric, heading) in PANELS {
        let series = source.series(*metric, at(*scenario));
        if *metric == Metric::Rules || *metric == Metric::Messages {
            let gaps = gaps(&series).into_iter();
            notes.extend(gaps.filter(|text| missing.insert(text.clone())));
        }
        panels.extend(panel(&series, *metric, heading));
    }
    let title = format!(
        "What is one service made of, when there are {}?",
        whole(largest.into())
    );
    Some(Figure {
        notes,
        alt: "Rules, chains, elements, messages and bytes a service by mode.".to_owned(),
        ..Figure::of(title, panels)?
    })
}

fn panel(series: &[Series<'_>], metric: Metric, heading: &str) -> Option<Panel> {
    let each = |row: &Row| Some(row.median? / f64::from(row.key.services.max(1)));
    let rows = named(series, |row| {
        let each = each(row)?;
        let text = match metric {
            Metric::Messages if each == 0.0 => "none of our own".to_owned(),
            _ => value(each, metric.unit()),
        };
        Some((Mark::Stack(vec![each]), text))
    });
    let shown = measured(series).filter_map(each);
    let x = Axis::linear(metric.name(), shown, metric.unit())?;
    Some(Panel::rows(heading, x, rows, false))
}
