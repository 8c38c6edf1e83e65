//! Data-plane ratios: every mode against both floors, and one mode against another.

use schema::{CellKey, Metric, Mode, ScenarioKind, Unit};

use super::cells::{Cells, Stay, by_seed, known};
use crate::load::Run;
use crate::statistics::{Known, quotient_interval};
use crate::view::Scope;
use crate::view::words::{Scale, noun_of};

/// A ratio of values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// What is known of it.
    pub known: Known,
    /// Stays of the numerator.
    pub stays_numerator: u32,
    /// Stays of the denominator.
    pub stays_denominator: u32,
}

impl Ratio {
    /// What is known of it, as words.
    #[must_use]
    pub fn spread(&self) -> String {
        match (self.known.ci95, self.known.range) {
            (None, None) => "no interval".to_owned(),
            _ => Scale::Plain.spread(&self.known, noun_of(&self.known)),
        }
    }

    /// Whether it is told apart from 1.
    #[must_use]
    pub fn is_distinguished(&self) -> bool {
        self.known.leaves_out(1.0)
    }

    /// What is to be said where its interval holds 1.
    pub(super) fn doubt(&self) -> &'static str {
        match self.known.bounds() {
            Some(_) if !self.is_distinguished() => ": not distinguished from 1",
            _ => "",
        }
    }
}

/// First-packet latency of a cell ÷ that of each of [`Mode::FLOORS`] at the same N and options.
#[derive(Debug, Clone, PartialEq)]
pub struct FloorRatios {
    /// The cell.
    pub key: CellKey,
    /// Ratios of the values, with their intervals; `None` where a floor was not measured, and for itself.
    pub floors: [Option<Ratio>; 2],
}

/// Ratios to the floors of every first-packet cell of a scope with N services that has one.
#[must_use]
pub fn floor_ratios(run: &Run, scope: &Scope, services: u32) -> Vec<FloorRatios> {
    let here = |key: &CellKey| key.services == services && scope.holds(key);
    let cells = Cells::within(run, here);
    let asked = cells
        .keys()
        .filter(|key| key.scenario == ScenarioKind::FirstPacket);
    let ratios = asked.map(|key| FloorRatios {
        key: key.clone(),
        floors: over_floors(&cells, key),
    });
    ratios
        .filter(|of| of.floors.iter().any(Option::is_some))
        .collect()
}

/// See [`FloorRatios::floors`].
pub(super) fn over_floors(cells: &Cells<'_>, key: &CellKey) -> [Option<Ratio>; 2] {
    Mode::FLOORS.map(|floor| {
        let base = floor_of(cells, key, floor).filter(|_| key.mode > floor)?;
        ratio(cells, key, base, Metric::Latency)
    })
}

/// The floor's cell with the same options, those of rules aside: a floor has none.
pub(super) fn floor_of<'a>(cells: &Cells<'a>, key: &CellKey, floor: Mode) -> Option<&'a CellKey> {
    let matters = |key: &CellKey| CellKey {
        mode: floor,
        options: key.options.only(|option| !option.row().of_rules),
        ..key.clone()
    };
    cells
        .keys()
        .find(|candidate| candidate.mode == floor && matters(candidate) == matters(key))
}

/// Ratio of one cell's value to another's. Of one lab (two positions in it) it is the median of the blocks' quotients: a
/// cell that was measured again, in another stay, belongs to its block. Of executed instructions it is that of the
/// seeds'; of different stays the quotient of the values, with an interval when both have one. Updates are compared by their whole ([`Cells::sums`]).
pub(super) fn ratio(
    cells: &Cells<'_>,
    numerator: &CellKey,
    denominator: &CellKey,
    metric: Metric,
) -> Option<Ratio> {
    let lab = |key: &CellKey| CellKey {
        options: key.options.only(|option| !option.row().in_a_stay),
        ..key.clone()
    };
    let together = lab(numerator) == lab(denominator);
    of_cells(cells, [numerator, denominator], metric, together)
}

/// Ratio of two cells' values whose stays of a block have one population: the median of the blocks' quotients, of executed
/// instructions of the seeds'. Updates are compared by their whole.
pub(super) fn ratio_of_blocks(
    cells: &Cells<'_>,
    numerator: &CellKey,
    denominator: &CellKey,
    metric: Metric,
) -> Option<Ratio> {
    of_cells(cells, [numerator, denominator], metric, true)
}

/// `together`: whether the stays of a block are compared with each other.
fn of_cells(
    cells: &Cells<'_>,
    keys: [&CellKey; 2],
    metric: Metric,
    together: bool,
) -> Option<Ratio> {
    let [unit, other] = keys.map(|key| cells.metrics(key).get(&metric).copied());
    let [above, below] = keys.map(|key| match metric {
        Metric::UpdateTime => cells.sums(key),
        _ => cells.stays(key, metric),
    });
    match unit? == other? {
        true => of_stays((&above, &below), together, unit?),
        false => None,
    }
}

/// Ratio of two metrics of one cell.
pub(super) fn ratio_within(
    cells: &Cells<'_>,
    key: &CellKey,
    over: Metric,
    under: Metric,
) -> Option<Ratio> {
    let unit = *cells.metrics(key).get(&over)?;
    of_stays(
        (&cells.stays(key, over), &cells.stays(key, under)),
        true,
        unit,
    )
}

/// `together`: whether the stays of a block are one lab, or were.
fn of_stays((above, below): (&[Stay], &[Stay]), together: bool, unit: Unit) -> Option<Ratio> {
    let counted = unit == Unit::Instructions;
    let same = |stay: &Stay| below.iter().find(|other| other.block == stay.block);
    let known = if counted {
        let others = by_seed(below);
        let quotients: Vec<f64> = by_seed(above)
            .into_iter()
            .filter_map(|(seed, value)| Some(value / others.get(&seed)?))
            .collect();
        Known::of_seeds(&quotients)?
    } else if together {
        let both = above
            .iter()
            .filter_map(|stay| Some((stay.value, same(stay)?.value)));
        let quotients: Vec<f64> = both.map(|(a, b)| a / b).collect();
        // Two stays that were cut off have no ratio.
        if quotients.iter().any(|quotient| quotient.is_nan()) {
            return None;
        }
        Known::of_stays(&quotients)?
    } else {
        let (a, b) = (known(above, unit)?, known(below, unit)?);
        let intervals = a.ci95.zip(b.ci95);
        Known {
            value: a.value / b.value,
            ci95: intervals.and_then(|(x, y)| quotient_interval((a.value, x), (b.value, y))),
            range: None,
            of: a.of.min(b.of),
            counted: false,
        }
    };
    (known.value.is_finite() && known.value > 0.0).then_some(Ratio {
        known,
        stays_numerator: above.len() as u32,
        stays_denominator: below.len() as u32,
    })
}
