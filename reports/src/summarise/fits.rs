//! Cost against N: latency as a + b·N, control-plane cost as a power of N for the whole range and for
//! each adjacent pair of sizes (a curve that bends shows there).

use schema::summary::Fit;
use schema::{CellKey, Metric, ScenarioKind, Unit};

use super::cells::Cells;
use crate::statistics::{Fitted, Sample, Size, linear, power, seed_of};

/// Control-plane costs that are fitted.
const COSTS: &[Metric] = &[
    Metric::UpdateTime,
    Metric::CpuTime,
    Metric::Operations,
    Metric::Messages,
    Metric::BytesSent,
];

pub(super) fn fits(cells: &Cells<'_>) -> Vec<Fit> {
    let mut fits = Vec::new();
    for family in cells.by_size() {
        let Some(first) = family.first() else {
            continue;
        };
        if first.scenario == ScenarioKind::FirstPacket {
            let samples = samples(cells, &family, Metric::Latency);
            fits.extend(one(first, Metric::Latency, &samples, &LINEAR));
            continue;
        }
        for &metric in COSTS {
            let samples = samples(cells, &family, metric);
            let whole = one(first, metric, &samples, &POWER);
            let whole_range = whole.is_some();
            fits.extend(whole);
            if whole_range && samples.len() > 2 {
                fits.extend(
                    samples
                        .windows(2)
                        .filter_map(|pair| one(first, metric, pair, &POWER)),
                );
            }
        }
    }
    fits
}

/// Samples by N, ascending.
fn samples(cells: &Cells<'_>, family: &[&CellKey], metric: Metric) -> Vec<(u32, Sample)> {
    family
        .iter()
        .filter_map(|key| Some((key.services, cells.sample(key, metric)?)))
        .collect()
}

struct Model {
    name: &'static str,
    fit: fn(&[Size<'_>], u64) -> Option<Fitted>,
    unit: fn(Unit) -> String,
}

const LINEAR: Model = Model {
    name: "linear",
    fit: linear,
    unit: |unit| format!("{unit}/service"),
};
const POWER: Model = Model {
    name: "power",
    fit: power,
    unit: |_| "exponent".to_owned(),
};

fn one(key: &CellKey, metric: Metric, samples: &[(u32, Sample)], model: &Model) -> Option<Fit> {
    let sizes: Vec<Size<'_>> = samples
        .iter()
        .map(|(services, sample)| Size {
            services: *services,
            sample,
        })
        .collect();
    let (from, to) = (sizes.first()?.services, sizes.last()?.services);
    let family = CellKey {
        services: 0,
        ..key.clone()
    };
    let seed = seed_of(&format!(
        "{family} {} {metric} {} {from} {to}",
        key.environment, model.name
    ));
    let fitted = (model.fit)(&sizes, seed)?;
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
        unit: (model.unit)(metric.unit()),
        ci95: fitted.ci95,
        from,
        to,
        sizes: sizes.len() as u32,
    })
}
