//! Data-plane ratios: every mode against both floors, and one mode against another.

use schema::{CONTROL, CellKey, Metric, Mode, ScenarioKind};

use super::cells::Cells;
use crate::load::Run;
use crate::scope::Scope;
use crate::statistics::{Ratio, Stratum, ratio_of_independent, ratio_of_medians, seed_of};

/// First-packet latency of a cell ÷ that of a floor at the same N and options.
#[derive(Debug, Clone, PartialEq)]
pub struct FloorRatio {
    /// The cell.
    pub key: CellKey,
    /// The floor.
    pub floor: Mode,
    /// Ratio of the medians, with its interval.
    pub ratio: Ratio,
}

/// Ratios of every measured first-packet cell with N services to both floors. Empty where the floors
/// were not measured.
#[must_use]
pub fn floor_ratios(run: &Run, services: u32) -> Vec<FloorRatio> {
    ratios_of(
        &Cells::within(run, |key| key.services == services),
        services,
    )
}

/// The same of one scope.
#[must_use]
pub fn floor_ratios_in(run: &Run, scope: &Scope, services: u32) -> Vec<FloorRatio> {
    let here = |key: &CellKey| key.services == services && scope.holds(key);
    ratios_of(&Cells::within(run, here), services)
}

fn ratios_of(cells: &Cells<'_>, services: u32) -> Vec<FloorRatio> {
    let floors = || Mode::ALL.iter().copied().filter(|mode| mode.is_floor());
    cells
        .keys()
        .filter(|key| {
            key.services == services
                && key.scenario == ScenarioKind::FirstPacket
                && key.mode != Mode::None
                && key.variant != CONTROL
        })
        .flat_map(|key| {
            floors()
                .filter(|floor| *floor != key.mode)
                .map(move |floor| (key, floor))
        })
        .filter_map(|(key, floor)| {
            let base = floor_of(cells, key, floor)?;
            Some(FloorRatio {
                key: key.clone(),
                floor,
                ratio: ratio(cells, key, base, Metric::Latency)?,
            })
        })
        .collect()
}

/// The floor's cell with the same options, the transport aside: a floor is not programmed as a mode is.
pub(super) fn floor_of<'a>(cells: &Cells<'a>, key: &CellKey, floor: Mode) -> Option<&'a CellKey> {
    let matters = |key: &CellKey| {
        let mut options = key.options.clone();
        options.retain(|name, _| {
            !matches!(
                name.as_str(),
                "transport" | "engine" | "chunk" | "large_cluster"
            )
        });
        CellKey {
            mode: floor,
            options,
            ..key.clone()
        }
    };
    cells
        .keys()
        .find(|candidate| candidate.mode == floor && matters(candidate) == matters(key))
}

/// Ratio of one cell's median to another's, of the same or of different stays.
pub(super) fn ratio(
    cells: &Cells<'_>,
    numerator: &CellKey,
    denominator: &CellKey,
    metric: Metric,
) -> Option<Ratio> {
    let (a, b) = (
        cells.sample(numerator, metric)?,
        cells.sample(denominator, metric)?,
    );
    if a.stays().any(|stay| b.place_of(stay).is_some()) {
        let seed = seed_of(&format!(
            "{numerator} / {denominator} {} {metric}",
            numerator.environment
        ));
        return ratio_of_medians(
            &[Stratum {
                pairs: vec![(&a, &b)],
                same_stays: true,
            }],
            seed,
        );
    }
    let (a, of_a) = cells.resampled(numerator, metric)?;
    let (b, of_b) = cells.resampled(denominator, metric)?;
    ratio_of_independent((&a, of_a.as_slice()), (&b, of_b.as_slice()))
}
