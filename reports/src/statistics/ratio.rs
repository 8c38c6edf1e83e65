//! The ratio of two medians, over any number of strata.

use rand::{Rng, RngExt};

use super::few::{FEW_STAYS, Mean, hull};
use super::{RESAMPLES, Replication, Sample, Scratch, generator, percentile_interval};

/// Pairs of samples whose stays are drawn together: the cells of one population size.
#[derive(Debug, Clone)]
pub struct Stratum<'a> {
    /// (numerator, denominator), each pair with equal options.
    pub pairs: Vec<(&'a Sample, &'a Sample)>,
    /// Both sides come out of the same stays (two positions in one lab): a drawn stay counts on both.
    pub same_stays: bool,
}

/// A ratio of medians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// Geometric mean, over all pairs, of median ÷ median.
    pub ratio: f64,
    /// Its 95 % interval; `None` when a side has fewer than two samples, and with few stays when the
    /// median of one is not positive.
    pub ci95: Option<[f64; 2]>,
    /// Distinct stays of the numerators.
    pub stays_numerator: u32,
    /// Distinct stays of the denominators.
    pub stays_denominator: u32,
}

impl Ratio {
    /// Whether the interval leaves 1 out: the two differ by more than chance explains.
    #[must_use]
    pub fn is_distinguished(&self) -> bool {
        self.ci95.is_some_and(|[low, high]| low > 1.0 || high < 1.0)
    }
}

/// Ratio of medians over strata, with its interval: stays are drawn inside each stratum, once for all
/// of its pairs, samples inside stays; every pair weighs the same. Where a stratum has a single stay
/// its spread is unknown: then the strata are drawn, too, and are the units of replication.
///
/// With fewer than [`FEW_STAYS`] stays (over several strata: with no more degrees of freedom than so
/// few have) the interval is Student's, of the logarithms of the stays' medians: of their quotients where
/// both sides come out of the same stays, else of the difference of the two sides; and never narrower
/// than the resampled one.
///
/// `None` without pairs or when a median is not positive.
#[must_use]
pub fn ratio_of_medians(strata: &[Stratum<'_>], seed: u64) -> Option<Ratio> {
    let pairs = || strata.iter().flat_map(|stratum| &stratum.pairs);
    let logs: Vec<f64> = pairs()
        .map(|(a, b)| (a.median() / b.median()).ln())
        .collect();
    if logs.is_empty() || !logs.iter().all(|log| log.is_finite()) {
        return None;
    }
    let enough = pairs().all(|(a, b)| a.n() >= 2 && b.n() >= 2);
    let sides: Vec<_> = strata.iter().map(Sides::of).collect();
    let behind = Behind::of(strata, &sides);
    let ci95 = if enough {
        let strata_too = matches!(behind, Behind::Strata(_));
        let resampled = resampled(strata, &sides, strata_too, seed);
        let resampled = percentile_interval(resampled, behind.replication());
        match behind {
            Behind::Stays(behind) if behind.freedom + 1 < u64::from(FEW_STAYS) => resampled
                .zip(of_few(strata, &sides))
                .and_then(|(resampled, few)| hull(resampled, few)),
            _ => resampled,
        }
    } else {
        None
    };
    Some(Ratio {
        ratio: (logs.iter().sum::<f64>() / logs.len() as f64).exp(),
        ci95,
        stays_numerator: sides.iter().map(|s| s.numerators.len() as u32).sum(),
        stays_denominator: sides.iter().map(|s| s.denominators.len() as u32).sum(),
    })
}

/// Ratio of the medians of two samples that share no stay, from their resampled medians: quotients of
/// independent resamples are resamples of the quotient. With two to four stays on a side the interval is
/// Student's, of the difference of the mean logarithms of the stays' medians, with the degrees of freedom
/// of the side with fewer stays, and never narrower than the resampled one; with one stay on a side it is
/// the resampled one.
///
/// `None` when a median is not positive.
#[must_use]
pub fn ratio_of_independent(
    numerator: (&Sample, &[f64]),
    denominator: (&Sample, &[f64]),
) -> Option<Ratio> {
    let ((a, resampled_a), (b, resampled_b)) = (numerator, denominator);
    let ratio = a.median() / b.median();
    let enough = a.n() >= 2 && b.n() >= 2;
    let quotients = || {
        resampled_a
            .iter()
            .zip(resampled_b)
            .map(|(a, b)| a / b)
            .collect()
    };
    (ratio.is_finite() && ratio > 0.0).then(|| Ratio {
        ratio,
        ci95: if enough {
            let fewer = a.units().min(b.units());
            let resampled = percentile_interval(quotients(), Replication::of(fewer));
            let replicated = a.stays().len().min(b.stays().len()) >= 2;
            if replicated && (a.has_few_stays() || b.has_few_stays()) {
                let [a, b] = [a, b].map(|sample| Mean::of(&logs(sample.stay_medians())));
                let few = a.zip(b).and_then(|(a, b)| a.minus(b).interval());
                resampled
                    .zip(few)
                    .and_then(|(resampled, few)| hull(resampled, few.map(f64::exp)))
            } else {
                resampled
            }
        } else {
            None
        },
        stays_numerator: a.stays().len() as u32,
        stays_denominator: b.stays().len() as u32,
    })
}

fn logs(values: Vec<f64>) -> Vec<f64> {
    values.into_iter().map(f64::ln).collect()
}

/// Student's interval of the ratio from the medians of the stays; strata weigh as many as their pairs.
/// `None` when a stratum has fewer than two stays that can be used.
fn of_few(strata: &[Stratum<'_>], sides: &[Sides]) -> Option<[f64; 2]> {
    let pairs: usize = strata.iter().map(|stratum| stratum.pairs.len()).sum();
    let means: Option<Vec<(f64, Mean)>> = strata
        .iter()
        .zip(sides)
        .map(|(stratum, sides)| {
            let weight = stratum.pairs.len() as f64 / pairs as f64;
            Some((weight, mean_of_stays(stratum, sides)?))
        })
        .collect();
    Some(Mean::weighted(&means?).interval()?.map(f64::exp))
}

/// Logarithm of a stratum's ratio.
fn mean_of_stays(stratum: &Stratum<'_>, sides: &Sides) -> Option<Mean> {
    let log = |sample: &Sample, stay: u32| {
        let place = sample.place_of(stay)?;
        Some(sample.stay_median(place).ln())
    };
    let pairs = || stratum.pairs.iter();
    if stratum.same_stays {
        return mean_over(&sides.numerators, |stay| {
            pairs()
                .filter_map(|(a, b)| Some(log(a, stay)? - log(b, stay)?))
                .collect()
        });
    }
    let above = mean_over(&sides.numerators, |stay| {
        pairs().filter_map(|(a, _)| log(a, stay)).collect()
    })?;
    let below = mean_over(&sides.denominators, |stay| {
        pairs().filter_map(|(_, b)| log(b, stay)).collect()
    })?;
    Some(above.minus(below))
}

/// Mean over stays, of which each counts with the mean over the pairs that it measured.
fn mean_over(stays: &[u32], values: impl Fn(u32) -> Vec<f64>) -> Option<Mean> {
    let means: Vec<f64> = stays
        .iter()
        .map(|&stay| values(stay))
        .filter(|values| !values.is_empty())
        .map(|values| values.iter().sum::<f64>() / values.len() as f64)
        .collect();
    Mean::of(&means)
}

/// The distinct stays of a stratum.
struct Sides {
    numerators: Vec<u32>,
    denominators: Vec<u32>,
}

impl Sides {
    fn of(stratum: &Stratum<'_>) -> Self {
        let distinct = |samples: &mut dyn Iterator<Item = &Sample>| {
            let mut stays: Vec<u32> = samples.flat_map(Sample::stays).collect();
            stays.sort_unstable();
            stays.dedup();
            stays
        };
        Self {
            numerators: distinct(&mut stratum.pairs.iter().map(|pair| pair.0)),
            denominators: distinct(&mut stratum.pairs.iter().map(|pair| pair.1)),
        }
    }
}

/// What is replicated behind a ratio.
enum Behind {
    /// Stays, in every stratum.
    Stays(Replication),
    /// Strata: some have a single stay.
    Strata(Replication),
    /// Samples of the only stay.
    Samples(Replication),
}

impl Behind {
    fn of(strata: &[Stratum<'_>], sides: &[Sides]) -> Self {
        let counts = |side: fn(&Sides) -> &Vec<u32>| -> Vec<u64> {
            sides.iter().map(|sides| side(sides).len() as u64).collect()
        };
        let (above, below) = (counts(|s| &s.numerators), counts(|s| &s.denominators));
        let group = above.iter().chain(&below).copied().min().unwrap_or(0);
        if group < 2 && strata.len() > 1 {
            return Self::Strata(Replication::of(strata.len() as u64));
        }
        if group < 2 {
            let samples = strata.iter().flat_map(|stratum| &stratum.pairs);
            let fewest = samples.map(|(a, b)| a.n().min(b.n())).min().unwrap_or(0);
            return Self::Samples(Replication::of(fewest));
        }
        let freedom = |counts: &[u64]| counts.iter().map(|stays| stays - 1).sum::<u64>();
        Self::Stays(Replication {
            freedom: freedom(&above).min(freedom(&below)),
            group,
        })
    }

    const fn replication(&self) -> Replication {
        match self {
            Self::Stays(behind) | Self::Strata(behind) | Self::Samples(behind) => *behind,
        }
    }
}

/// The ratio in each resample; `strata_too`: strata are drawn with replacement before their stays.
fn resampled(strata: &[Stratum<'_>], sides: &[Sides], strata_too: bool, seed: u64) -> Vec<f64> {
    let mut rng = generator(seed);
    let mut drawers: Vec<Drawer<'_>> = strata
        .iter()
        .zip(sides)
        .map(|(stratum, sides)| Drawer::of(stratum, sides))
        .collect();
    let mut sums = vec![(0.0, 0u32); RESAMPLES];
    if strata_too {
        for sum in &mut sums {
            for _ in 0..strata.len() {
                let index = rng.random_range(0..strata.len());
                drawers[index].draw(&mut rng, sum);
            }
        }
    } else {
        // One stratum after the other: what is drawn from stays near.
        for drawer in &mut drawers {
            for sum in &mut sums {
                drawer.draw(&mut rng, sum);
            }
        }
    }
    let ratio = |(sum, count): (f64, u32)| (sum / f64::from(count)).exp();
    sums.into_iter().map(ratio).collect()
}

/// A sample, and where in it each stay of its stratum stands.
struct Placed<'a> {
    sample: &'a Sample,
    places: Vec<Option<usize>>,
}

impl<'a> Placed<'a> {
    fn of(sample: &'a Sample, stays: &[u32]) -> Self {
        let places = stays.iter().map(|stay| sample.place_of(*stay)).collect();
        Self { sample, places }
    }
}

/// Draws from one stratum.
struct Drawer<'a> {
    pairs: Vec<(Placed<'a>, Placed<'a>)>,
    same_stays: bool,
    /// Stays of the numerators and of the denominators, as indices.
    upper: Vec<usize>,
    lower: Vec<usize>,
    places: Vec<usize>,
    scratch: Scratch,
}

impl<'a> Drawer<'a> {
    fn of(stratum: &Stratum<'a>, sides: &Sides) -> Self {
        // Of the same stays, those of the numerators are drawn.
        let below = if stratum.same_stays {
            &sides.numerators
        } else {
            &sides.denominators
        };
        let placed = |(a, b): &(&'a Sample, &'a Sample)| {
            (Placed::of(a, &sides.numerators), Placed::of(b, below))
        };
        Self {
            pairs: stratum.pairs.iter().map(placed).collect(),
            same_stays: stratum.same_stays,
            upper: vec![0; sides.numerators.len()],
            lower: vec![0; below.len()],
            places: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// Adds the logarithm of each pair's ratio in one resample, and how many there are.
    fn draw(&mut self, rng: &mut impl Rng, (sum, count): &mut (f64, u32)) {
        draw(&mut self.upper, rng);
        if self.same_stays {
            self.lower.clone_from(&self.upper);
        } else {
            draw(&mut self.lower, rng);
        }
        for (a, b) in &self.pairs {
            let mut median = |side: &Placed<'_>, drawn: &[usize]| {
                self.places.clear();
                self.places
                    .extend(drawn.iter().filter_map(|stay| side.places[*stay]));
                side.sample
                    .resampled_median(&self.places, rng, &mut self.scratch)
            };
            // A pair that none of the drawn stays measured says nothing in this resample.
            if let (Some(a), Some(b)) = (median(a, &self.upper), median(b, &self.lower)) {
                *sum += (a / b).ln();
                *count += 1;
            }
        }
    }
}

/// As many stays as there are, with replacement.
fn draw(stays: &mut [usize], rng: &mut impl Rng) {
    let all = stays.len();
    for stay in stays {
        *stay = rng.random_range(0..all);
    }
}
