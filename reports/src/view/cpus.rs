//! Kernel memory of a further service by possible CPUs: what a kernel holds for each of them is held for each that could
//! come.

use std::collections::BTreeMap;

use schema::summary::{Fit, FitModel};
use schema::{Metric, Mode, OptionKey, Options, ScenarioKind};

use super::{Scope, series_names};
use crate::statistics::{PROPORTIONAL_SIZES, line};

/// What a further service of one way of a mode holds.
#[derive(Debug)]
pub(crate) struct ByCpus<'a> {
    pub(crate) name: String,
    pub(crate) mode: Mode,
    /// Its options, without possible CPUs.
    pub(crate) way: Options,
    /// Possible CPUs, the fewest first: at least three numbers of them, each with what a service holds, by its size.
    pub(crate) points: Vec<(u32, &'a Fit)>,
    /// Bytes of a service itself, and of a service and CPU: the line through them.
    pub(crate) line: (f64, f64),
}

impl ByCpus<'_> {
    /// Bytes of a service and CPU from one number of CPUs to the next: the least and the most.
    pub(crate) fn steps(&self) -> [f64; 2] {
        let steps = self.points.windows(2).map(|two| {
            let [(fewer, less), (more, held)] = two else {
                unreachable!("windows of two")
            };
            (held.estimate - less.estimate) / f64::from(more - fewer)
        });
        steps.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], step| {
            [low.min(step), high.max(step)]
        })
    }

    /// How far the farthest point is from the line, as a share of it.
    pub(crate) fn off(&self) -> f64 {
        let (own, of_a_cpu) = self.line;
        let off = self.points.iter().map(|(cpus, fit)| {
            let on_it = own + of_a_cpu * f64::from(*cpus);
            ((on_it - fit.estimate) / fit.estimate).abs()
        });
        off.fold(0.0, f64::max)
    }
}

/// By way of each mode, where the price of a service was measured with several numbers of possible CPUs.
pub(crate) fn by_cpus<'a>(scope: &Scope, fits: &'a [Fit]) -> Vec<ByCpus<'a>> {
    let mut found: BTreeMap<(Mode, Options), Vec<(u32, &Fit)>> = BTreeMap::new();
    let asked = scope.fits(fits).filter(|fit| {
        (fit.scenario, fit.metric) == (ScenarioKind::Memory, Metric::KernelMemory)
            && fit.model == FitModel::Linear
            && scope.is_of(&fit.options)
    });
    for fit in asked {
        if let Some(cpus) = fit.options.possible_cpus() {
            let way = fit.options.without(&[OptionKey::PossibleCpus]);
            let points = found.entry((fit.mode, way)).or_default();
            points.push((cpus, fit));
        }
    }
    found.retain(|_, points| points.len() >= PROPORTIONAL_SIZES);
    let series: Vec<_> = found.keys().map(|(mode, way)| (*mode, way)).collect();
    let names = series_names(&series);
    let found = names.into_iter().zip(found.iter());
    found
        .filter_map(|(name, ((mode, way), points))| {
            let mut points = points.clone();
            points.sort_by_key(|(cpus, _)| *cpus);
            let xs: Vec<f64> = points.iter().map(|(cpus, _)| f64::from(*cpus)).collect();
            let ys: Vec<f64> = points.iter().map(|(_, fit)| fit.estimate).collect();
            Some(ByCpus {
                name,
                mode: *mode,
                way: way.clone(),
                line: line(&xs, &ys)?,
                points,
            })
        })
        .collect()
}
