//! Cost against N: latency, memory and rule counts as a + b·N, the cost of updates as a + c·N^k over the whole range,
//! and as a power of N for each adjacent pair of sizes (a curve that bends shows there). The same against E, the endpoints
//! of each service, and against the entries of a list, without pairs: numbers of endpoints may be neighbours, as 319 and 320.

use std::collections::BTreeMap;

use schema::summary::{AboveFloor, Fit, FitModel, FitUnit, Misfit, Over, Row};
use schema::{CellKey, Growth, Metric, Mode, OptionKey, Unit};

use super::cells::Cells;
use super::ratios::floor_of;
use crate::statistics::{Curve, Known, LINEAR_SIZES, POWER_SIZES, PROPORTIONAL_SIZES, fit, line};

/// Numbers of endpoints, or of entries, behind a fit. Nothing is in proportion to them: a service, or an empty list, holds something of its own.
const ENDPOINTS: usize = 4;

/// Every fit of a family.
pub(super) fn fits(cells: &Cells<'_>, over: Over, family: &[&CellKey]) -> Vec<Fit> {
    let mut fits = Vec::new();
    let Some(first) = family.first() else {
        return fits;
    };
    let least = match over {
        Over::Services => 1,
        Over::Endpoints | Over::Entries => ENDPOINTS,
    };
    if family.len() < least {
        return fits;
    }
    for metric in Metric::ALL {
        let Some(growth) = metric.row().growth else {
            continue;
        };
        let model = Model::of(growth);
        let series = Series::of(cells, family, *metric, over);
        if series.sizes.len() >= model.sizes.max(least) {
            let whole = one(first, &series, &model);
            fits.extend(whole.map(|fit| Fit {
                above_floor: above_floor(cells, family, &series),
                ..fit
            }));
        }
        // Each adjacent pair of sizes: a curve that bends shows there.
        if growth == Growth::Power && over == Over::Services {
            let pairs = (1..series.sizes.len()).map(|last| series.between(last - 1, last));
            fits.extend(pairs.filter_map(|pair| one(first, &pair, &PAIR)));
        }
    }
    fits
}

/// Marks the fits that rest on noisy rows.
pub(super) fn mark_noisy(fits: &mut [Fit], rows: &[Row]) {
    let noisy: Vec<&Row> = rows.iter().filter(|row| row.noisy).collect();
    for fit in fits {
        fit.noisy = noisy.iter().any(|row| {
            let key = &row.key;
            row.metric == Some(fit.metric)
                && (key.mode, key.scenario) == (fit.mode, fit.scenario)
                && (&key.environment, &key.variant) == (&fit.environment, &fit.variant)
                && match fit.over {
                    Over::Entries => key.options.without(&[OptionKey::Entries]) == fit.options,
                    _ => key.options == fit.options,
                }
        });
    }
}

/// A metric's values by size (N, or E) and block.
struct Series {
    metric: Metric,
    unit: Unit,
    over: Over,
    sizes: Vec<u32>,
    /// By block, the value at each size that it has.
    blocks: BTreeMap<u32, BTreeMap<u32, f64>>,
}

impl Series {
    fn of(cells: &Cells<'_>, family: &[&CellKey], metric: Metric, over: Over) -> Self {
        let (mut sizes, mut unit) = (Vec::new(), metric.unit());
        let mut blocks: BTreeMap<u32, BTreeMap<u32, f64>> = BTreeMap::new();
        for key in family {
            let stays = cells.stays(key, metric);
            if let Some(own) = cells.metrics(key).get(&metric) {
                unit = *own;
            }
            // A stay that timed out has no place on a curve.
            for stay in stays.iter().filter(|stay| stay.value.is_finite()) {
                let block = blocks.entry(stay.block).or_default();
                block.insert(over.of(key), stay.value);
            }
            sizes.extend((!stays.is_empty()).then_some(over.of(key)));
        }
        Self {
            metric,
            unit,
            over,
            sizes,
            blocks,
        }
    }

    /// Some of its sizes.
    fn between(&self, first: usize, last: usize) -> Self {
        Self {
            sizes: self.sizes[first..=last].to_vec(),
            blocks: self.blocks.clone(),
            ..*self
        }
    }

    /// The values of a block, if it has all sizes.
    fn whole(&self, block: u32) -> Option<Vec<f64>> {
        let values = self.blocks.get(&block)?;
        self.sizes.iter().map(|n| values.get(n).copied()).collect()
    }

    fn counted(&self) -> bool {
        self.unit == Unit::Instructions
    }
}

/// The slope of a first packet's latency less that of the floor in the same blocks.
fn above_floor(cells: &Cells<'_>, family: &[&CellKey], series: &Series) -> Option<AboveFloor> {
    let first = family
        .first()
        .filter(|_| series.metric == Metric::Latency)?;
    let (floor, of_first) = Mode::FLOORS
        .into_iter()
        .rev()
        .filter(|_| !first.mode.is_floor())
        .find_map(|floor| Some((floor, floor_of(cells, first, floor)?)))?;
    let at = |key: &&CellKey| CellKey {
        services: key.services,
        endpoints: key.endpoints,
        ..of_first.clone()
    };
    let floors: Vec<CellKey> = family.iter().map(at).collect();
    let floors: Vec<&CellKey> = floors.iter().collect();
    let base = Series::of(cells, &floors, series.metric, series.over);
    let ns: Vec<f64> = series.sizes.iter().map(|n| f64::from(*n)).collect();
    let pairs = series.blocks.keys().filter_map(|block| {
        let (own, below) = (series.whole(*block)?, base.whole(*block)?);
        if base.sizes != series.sizes {
            return None;
        }
        let (fixed, slope) = line(&ns, &own)?;
        let slope = slope - line(&ns, &below)?.1;
        Some((slope, slope * ns.last()? / fixed))
    });
    let (slopes, shares): (Vec<f64>, Vec<f64>) = pairs.unzip();
    let slope = Known::of(&slopes, series.counted())?;
    let share = Known::of(&shares, series.counted())?;
    Some(AboveFloor {
        floor,
        estimate: slope.value,
        ci95: slope.ci95,
        range: slope.range,
        share: share.value,
        share_ci95: share.ci95,
        share_range: share.range,
        blocks: slope.of as u32,
    })
}

struct Model {
    name: FitModel,
    curve: Curve,
    /// Sizes that it needs.
    sizes: usize,
}

impl Model {
    const fn of(growth: Growth) -> Self {
        let (name, curve, sizes) = match growth {
            Growth::Line => (FitModel::Linear, Curve::Line, LINEAR_SIZES),
            Growth::Price => (FitModel::Linear, Curve::Line, PROPORTIONAL_SIZES),
            Growth::Power => (FitModel::OffsetPower, Curve::OffsetPower, POWER_SIZES),
        };
        Self { name, curve, sizes }
    }
}

const PAIR: Model = Model {
    name: FitModel::Power,
    curve: Curve::Power,
    sizes: 2,
};

fn one(key: &CellKey, series: &Series, model: &Model) -> Option<Fit> {
    let blocks: Vec<Vec<f64>> = series
        .blocks
        .keys()
        .filter_map(|block| series.whole(*block))
        .collect();
    let fitted = fit(model.curve, &series.sizes, &blocks, series.counted())?;
    Some(Fit {
        mode: key.mode,
        scenario: key.scenario,
        metric: series.metric,
        environment: key.environment.clone(),
        variant: key.variant.clone(),
        options: match series.over {
            Over::Entries => key.options.without(&[OptionKey::Entries]),
            _ => key.options.clone(),
        },
        over: series.over,
        services: (series.over != Over::Services).then_some(key.services),
        endpoints: (series.over != Over::Endpoints).then_some(key.endpoints),
        model: model.name,
        intercept: fitted.intercept.value,
        intercept_ci95: fitted.intercept.ci95,
        coefficient: fitted.coefficient,
        estimate: fitted.estimate.value,
        unit: match model.name {
            FitModel::Linear => FitUnit::each(series.over, series.unit),
            FitModel::OffsetPower | FitModel::Power => FitUnit::Exponent,
        },
        ci95: fitted.estimate.ci95,
        range: fitted.estimate.range,
        blocks: blocks.len() as u32,
        misfit: fitted.misfit.map(|(place, relative, beyond)| Misfit {
            at: series.sizes[place],
            relative,
            beyond,
        }),
        above_floor: None,
        from: *series.sizes.first()?,
        to: *series.sizes.last()?,
        sizes: series.sizes.len() as u32,
        noisy: false,
    })
}
