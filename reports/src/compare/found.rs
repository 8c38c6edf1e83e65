//! What a test finds between stays of BASE and stays of NEW: how far NEW lies above, and how sure that is.

use std::collections::BTreeSet;

use schema::comparison::Change;

use crate::statistics::{
    Shift, cliffs_delta, extremes, mann_whitney, median, middle_of_differences, shift, signed_rank,
};

/// Pairs of stays from which the signs of their differences can say enough: with fewer, the least p that they
/// can give (2 to the power of 1 − n) drowns in the correction for a matrix, and the stays count by themselves.
/// Decided by their number alone, so that it is no choice between results.
const PAIRS: usize = 16;

pub(super) const IDENTICAL: &str = "identical";
pub(super) const EXACT: &str = "exact";
pub(super) const SEEDS_TEST: &str = "seeds";
pub(super) const SIGNED_RANK: &str = "signed-rank";
pub(super) const MANN_WHITNEY: &str = "mann-whitney";
pub(super) const ALIGNED_RANKS: &str = "aligned-ranks";

/// A stay's value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unitary {
    pub(super) block: u32,
    pub(super) seed: u64,
    pub(super) value: f64,
}

/// What a test found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) test: &'static str,
    pub(super) p: Option<f64>,
    /// NEW less BASE: of logarithms where values are compared as factors.
    pub(super) shift: Shift,
    delta: Option<f64>,
    /// Seeds of a deterministic pair, and whether every one of them moved the same way.
    pub(super) seeds: (usize, bool),
}

impl Found {
    /// A shift that is no matter of chance.
    pub(super) fn certain(test: &'static str, estimate: f64, ends: [f64; 2]) -> Self {
        Self {
            test,
            p: None,
            shift: Shift {
                estimate,
                ci95: Some(ends),
            },
            delta: None,
            seeds: (0, false),
        }
    }

    /// A shift with the p of its test.
    pub(super) fn tested(test: &'static str, p: Option<f64>, shift: Shift) -> Self {
        Self {
            p,
            shift,
            ..Self::certain(test, 0.0, [0.0; 2])
        }
    }

    /// By the differences of the same seed, which leave nothing to chance but the choice of seeds. Without a seed that
    /// both sides have, every one of the one side must lie beyond every one of the other.
    pub(super) fn by_seed(base: &[Unitary], new: &[Unitary]) -> Option<Self> {
        let of = |side: &[Unitary], seed: u64| {
            let same = side.iter().filter(|unit| unit.seed == seed);
            median(same.map(|unit| unit.value))
        };
        let seeds: BTreeSet<u64> = base.iter().map(|unit| unit.seed).collect();
        let differences = seeds.into_iter();
        let differences = differences.filter_map(|seed| Some(of(new, seed)? - of(base, seed)?));
        let differences: Vec<f64> = differences.collect();
        let (seeds, estimate, by) = match extremes(&differences) {
            Some(ends) => (differences.len(), median(differences)?, ends),
            None => {
                let (base, new) = (values(base), values(new));
                let ([low, high], [new_low, new_high]) = (extremes(&base)?, extremes(&new)?);
                let seeds = base.len().min(new.len());
                let by = [new_low - high, new_high - low];
                (seeds, median(new)? - median(base)?, by)
            }
        };
        Some(Self {
            seeds: (seeds, by[0] > 0.0 || by[1] < 0.0),
            ..Self::certain(SEEDS_TEST, estimate, by)
        })
    }

    /// By the differences between the two stays of a block; `None` where these are too few.
    pub(super) fn by_pairs(pairs: &[f64]) -> Option<Self> {
        let shift = middle_of_differences(pairs).filter(|_| pairs.len() >= PAIRS)?;
        Some(Self::tested(SIGNED_RANK, signed_rank(pairs), shift))
    }

    /// By stays: where both sides come out of one run, by the two of each block where these are enough.
    pub(super) fn by_stay(base: &[Unitary], new: &[Unitary], one_run: bool) -> Option<Self> {
        let pairs: Vec<f64> = paired(base, new)
            .filter(|_| one_run)
            .map(|(base, new)| new.value - base.value)
            .collect();
        let (base, new) = (values(base), values(new));
        let found = match Self::by_pairs(&pairs) {
            Some(found) => found,
            None => Self::tested(MANN_WHITNEY, mann_whitney(&base, &new), shift(&base, &new)?),
        };
        Some(Self {
            delta: cliffs_delta(&base, &new),
            ..found
        })
    }

    /// What the shift means at BASE's median; `factors`: whether it is one of logarithms.
    pub(super) fn change(&self, base_median: f64, factors: bool) -> Change {
        let relative = |by: f64| match factors {
            true => Some(by.exp_m1()),
            false => (base_median != 0.0).then(|| by / base_median.abs()),
        };
        let absolute = |by: f64| match factors {
            true => base_median * by.exp_m1(),
            false => by,
        };
        let both = |ends: [f64; 2]| Some([relative(ends[0])?, relative(ends[1])?]);
        Change {
            relative: relative(self.shift.estimate),
            relative_ci95: self.shift.ci95.and_then(both),
            absolute: absolute(self.shift.estimate),
            absolute_ci95: self.shift.ci95.map(|ends| ends.map(absolute)),
            cliffs_delta: self.delta,
            test: self.test.to_owned(),
            p: self.p,
            p_adjusted: None,
        }
    }
}

/// The two stays of each block that has both.
pub(super) fn paired<'a>(
    base: &'a [Unitary],
    new: &'a [Unitary],
) -> impl Iterator<Item = (&'a Unitary, &'a Unitary)> {
    base.iter().filter_map(|base| {
        let new = new.iter().find(|new| new.block == base.block)?;
        Some((base, new))
    })
}

pub(super) fn values(side: &[Unitary]) -> Vec<f64> {
    side.iter().map(|unit| unit.value).collect()
}
