//! Cost against N: latency, memory and rule counts as a + b·N, the cost of updates as a power of N for
//! the whole range and for each adjacent pair of sizes (a curve that bends shows there).

use std::collections::BTreeSet;

use schema::summary::{Fit, Row};
use schema::{CellKey, Metric, ScenarioKind, Unit};

use super::cells::Cells;
use crate::statistics::{Fitted, Size, linear, power, proportional, seed_of};

/// Costs of an update, fitted as powers of N.
const COSTS: &[Metric] = &[
    Metric::UpdateTime,
    Metric::SyncTime,
    Metric::CpuTime,
    Metric::Operations,
    Metric::Messages,
    Metric::BytesSent,
];
/// What the kernel holds, fitted as a + b·N: b is the price of a service.
const MEMORY: &[Metric] = &[
    Metric::KernelMemory,
    Metric::KernelMemoryPeak,
    Metric::CgroupMemory,
];
/// What the kernel lists, likewise.
const COUNTS: &[Metric] = &[
    Metric::Rules,
    Metric::Chains,
    Metric::Sets,
    Metric::Elements,
];

/// What is fitted in a scenario, and how.
const fn fitted(scenario: ScenarioKind) -> &'static [(&'static [Metric], Model)] {
    match scenario {
        ScenarioKind::FirstPacket => &[(&[Metric::Latency], LINEAR)],
        ScenarioKind::Memory => &[(MEMORY, PROPORTIONAL)],
        ScenarioKind::RuleCount => &[(COUNTS, PROPORTIONAL)],
        ScenarioKind::ColdInstall => &[(COSTS, POWER), (&[Metric::KernelMemory], PROPORTIONAL)],
        ScenarioKind::Resync
        | ScenarioKind::ServiceAdd
        | ScenarioKind::ServiceRemove
        | ScenarioKind::EndpointChurn
        | ScenarioKind::Teardown => &[(COSTS, POWER)],
    }
}

/// The fits of the families whose place is asked for, with the place.
pub(super) fn fits(cells: &Cells<'_>, asked: impl Fn(usize) -> bool) -> Vec<(usize, Vec<Fit>)> {
    let families = cells.by_size().into_iter().enumerate();
    families
        .filter(|(index, _)| asked(*index))
        .map(|(index, family)| (index, fits_of(cells, &family)))
        .collect()
}

/// Every fit of a family.
fn fits_of(cells: &Cells<'_>, family: &[&CellKey]) -> Vec<Fit> {
    let mut fits = Vec::new();
    if let Some(first) = family.first() {
        let wanted = fitted(first.scenario)
            .iter()
            .flat_map(|(metrics, model)| metrics.iter().map(move |metric| (*metric, model)));
        for (metric, model) in wanted {
            let sizes = sizes(cells, family, metric);
            let unit = family
                .iter()
                .find_map(|key| cells.metrics(key).get(&metric).copied());
            let asked = (metric, unit.unwrap_or(metric.unit()));
            let whole = one(first, asked, &sizes, model);
            let bends = whole.is_some() && model.in_parts && sizes.len() > 2;
            fits.extend(whole);
            if bends {
                let pairs = sizes.windows(2);
                fits.extend(pairs.filter_map(|pair| one(first, asked, pair, model)));
            }
        }
    }
    fits
}

/// Marks the fits that rest on noisy rows.
pub(super) fn mark_noisy(fits: &mut [Fit], rows: &[Row]) {
    let noisy: BTreeSet<(&CellKey, Metric)> = rows
        .iter()
        .filter(|row| row.noisy)
        .filter_map(|row| Some((&row.key, row.metric?)))
        .collect();
    for fit in fits {
        fit.noisy = noisy.iter().any(|(key, metric)| {
            *metric == fit.metric
                && key.mode == fit.mode
                && key.scenario == fit.scenario
                && key.environment == fit.environment
                && key.variant == fit.variant
                && key.options == fit.options
        });
    }
}

/// The sizes of a family, by ascending N, drawn once for all of its fits.
fn sizes(cells: &Cells<'_>, family: &[&CellKey], metric: Metric) -> Vec<Size> {
    let seed = family.first().map_or(0, |first| {
        let shape = CellKey {
            services: 0,
            ..(*first).clone()
        };
        seed_of(&format!("{shape} {} {metric} by size", shape.environment))
    });
    family
        .iter()
        .filter_map(|key| {
            let sample = cells.sample(key, metric)?;
            Some(Size::of(key.services, &sample, seed))
        })
        .collect()
}

struct Model {
    name: &'static str,
    /// Whether each adjacent pair of sizes is fitted too: a curve that bends shows there.
    in_parts: bool,
    fit: fn(&[Size]) -> Option<Fitted>,
    unit: fn(Unit) -> String,
}

const LINEAR: Model = Model {
    name: "linear",
    in_parts: false,
    fit: linear,
    unit: |unit| format!("{unit}/service"),
};
const PROPORTIONAL: Model = Model {
    fit: proportional,
    ..LINEAR
};
const POWER: Model = Model {
    name: "power",
    in_parts: true,
    fit: power,
    unit: |_| "exponent".to_owned(),
};

fn one(
    key: &CellKey,
    (metric, unit): (Metric, Unit),
    sizes: &[Size],
    model: &Model,
) -> Option<Fit> {
    let (from, to) = (sizes.first()?.services(), sizes.last()?.services());
    let fitted = (model.fit)(sizes)?;
    Some(Fit {
        mode: key.mode,
        scenario: key.scenario,
        metric,
        environment: key.environment.clone(),
        variant: key.variant.clone(),
        options: key.options.clone(),
        model: model.name.to_owned(),
        intercept: fitted.intercept,
        intercept_ci95: fitted.intercept_ci95,
        estimate: fitted.estimate,
        unit: (model.unit)(unit),
        ci95: fitted.ci95,
        from,
        to,
        sizes: sizes.len() as u32,
        noisy: false,
    })
}
