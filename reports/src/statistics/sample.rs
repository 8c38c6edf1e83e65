//! The samples of one cell and metric, grouped by stay, and the resampling of their median.
//!
//! A resample of 15 stays × 1,000 samples need not be drawn value by value. How many of a stay's draws
//! fall into the lower part of an interval of values is binomial, and so is, given that, how many fall
//! into the lower part of *that*: [`Sample::resampled_median`] splits the range of values until one is
//! left, drawing binomial numbers on the way. It has exactly the distribution of drawing every value and
//! takes microseconds instead of a tenth of a millisecond (the test below compares the two).

use data_encoding::BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use rand::{Rng, RngExt};
use rand_distr::{Beta, Binomial, Distribution};
use schema::Samples;

use super::few::{FEW_STAYS, hull, interval_of_few};
use super::{RESAMPLES, Replication, generator, percentile_interval, quantile_by};

/// One stay's samples as ranks into [`Sample::values`].
#[derive(Debug, Clone)]
struct Stay {
    number: u32,
    /// Distinct ranks, ascending.
    ranks: Vec<u32>,
    /// `below[j]`: samples at `ranks[..j]`; one entry more than `ranks`.
    below: Vec<u64>,
}

impl Stay {
    fn n(&self) -> u64 {
        self.below.last().copied().unwrap_or(0)
    }

    /// Rank of the stay's sample number `order`, 0-based, ascending.
    fn rank_at(&self, order: u64) -> usize {
        self.ranks[self.below.partition_point(|&below| below <= order) - 1] as usize
    }
}

/// Samples of one cell and metric, grouped by stay. Never empty.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Distinct values, ascending.
    values: Vec<f64>,
    /// By stay number, ascending: the order in which lines were written does not matter.
    stays: Vec<Stay>,
    /// `below[r]`: samples under `values[r]`; one entry more than `values`.
    below: Vec<u64>,
}

/// Memory that resampling reuses.
#[derive(Debug, Default)]
pub struct Scratch {
    times: Vec<u64>,
    inside: Vec<Slot>,
    left: Vec<Slot>,
    right: Vec<Slot>,
    next: Vec<Slot>,
}

/// A drawn stay inside an interval of values: how many of its draws lie there, and which of its
/// distinct values do.
#[derive(Debug, Clone, Copy)]
struct Slot {
    stay: usize,
    draws: u64,
    from: usize,
    to: usize,
}

impl Sample {
    /// Groups samples by stay; entries with the same stay are one. `None` without samples.
    ///
    /// Values that are not finite cannot come out of JSON and are left out.
    #[must_use]
    pub fn new<'a>(stays: impl IntoIterator<Item = (u32, &'a Samples)>) -> Option<Self> {
        let mut weighted: Vec<(u32, f64, u64)> = Vec::new();
        for (stay, samples) in stays {
            let counted = counted(samples).ok()?;
            weighted.extend(
                counted
                    .into_iter()
                    .filter(|(v, _)| v.is_finite())
                    .map(|(v, c)| (stay, v, c)),
            );
        }
        let mut values: Vec<f64> = weighted.iter().map(|&(_, value, _)| value).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        weighted.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut pooled = vec![0; values.len() + 1];
        let mut grouped: Vec<Stay> = Vec::new();
        for (number, value, count) in weighted {
            let rank = values.partition_point(|&v| v < value);
            pooled[rank + 1] += count;
            if grouped.last().is_none_or(|stay| stay.number != number) {
                grouped.push(Stay {
                    number,
                    ranks: Vec::new(),
                    below: vec![0],
                });
            }
            let stay = grouped.last_mut()?;
            if stay.ranks.last() == Some(&(rank as u32)) {
                *stay.below.last_mut()? += count;
            } else {
                stay.ranks.push(rank as u32);
                stay.below.push(stay.n() + count);
            }
        }
        for rank in 1..pooled.len() {
            pooled[rank] += pooled[rank - 1];
        }
        (!values.is_empty()).then_some(Self {
            values,
            stays: grouped,
            below: pooled,
        })
    }

    /// Whether samples can be read.
    ///
    /// # Errors
    /// A histogram that is not base64 or not an HDR V2 encoding, as a sentence.
    pub fn check(samples: &Samples) -> Result<(), String> {
        counted(samples).map(drop)
    }

    /// Samples in all.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.below.last().copied().unwrap_or(0)
    }

    /// The stays' numbers in the run, ascending.
    pub fn stays(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.stays.iter().map(|stay| stay.number)
    }

    /// Independent units of replication: the stays, or of a single stay its samples.
    #[must_use]
    pub fn units(&self) -> u64 {
        if self.stays.len() > 1 {
            self.stays.len() as u64
        } else {
            self.n()
        }
    }

    /// Place of a stay among [`Sample::stays`], by its number in the run.
    #[must_use]
    pub fn place_of(&self, stay: u32) -> Option<usize> {
        self.stays.binary_search_by_key(&stay, |s| s.number).ok()
    }

    /// Smallest sample.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.values[0]
    }

    /// Largest sample.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.values[self.values.len() - 1]
    }

    /// Type 7 quantile of all samples together; `p` between 0 and 1.
    #[must_use]
    pub fn quantile(&self, p: f64) -> f64 {
        let at = |order| self.values[self.below.partition_point(|&below| below <= order) - 1];
        quantile_by(self.n(), p, at).unwrap_or(f64::NAN)
    }

    /// Median of all samples together.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Median of the samples of one stay, by its place.
    #[must_use]
    pub fn stay_median(&self, place: usize) -> f64 {
        let stay = &self.stays[place];
        quantile_by(stay.n(), 0.5, |order| self.values[stay.rank_at(order)]).unwrap_or(f64::NAN)
    }

    /// Whether there are two stays or more, but too few to resample them.
    pub(super) fn has_few_stays(&self) -> bool {
        (2..FEW_STAYS as usize).contains(&self.stays.len())
    }

    /// Medians of the stays, in their order.
    pub(super) fn stay_medians(&self) -> Vec<f64> {
        (0..self.stays.len())
            .map(|place| self.stay_median(place))
            .collect()
    }

    /// Draws stays with replacement: as many places as there are stays.
    pub fn draw_stays(&self, rng: &mut impl Rng, drawn: &mut Vec<usize>) {
        drawn.clear();
        drawn.extend((0..self.stays.len()).map(|_| rng.random_range(0..self.stays.len())));
    }

    /// Median of a resample: from each drawn stay (by place, repeats allowed) as many draws, with
    /// replacement, as it has samples, all taken together. `None` when no stay is drawn.
    pub fn resampled_median(
        &self,
        drawn: &[usize],
        rng: &mut impl Rng,
        scratch: &mut Scratch,
    ) -> Option<f64> {
        let total: u64 = drawn.iter().map(|&place| self.stays[place].n()).sum();
        let mut rank = total.checked_sub(1)? / 2;
        // A stay that is drawn k times gives k times its number of draws.
        scratch.times.clear();
        scratch.times.resize(self.stays.len(), 0);
        for &place in drawn {
            scratch.times[place] += 1;
        }
        let Scratch {
            inside: slots,
            times,
            ..
        } = scratch;
        slots.clear();
        slots.extend(
            self.stays
                .iter()
                .zip(times)
                .enumerate()
                .filter(|(_, (_, times))| **times > 0)
                .map(|(stay, (of, times))| Slot {
                    stay,
                    draws: of.n() * *times,
                    from: 0,
                    to: of.ranks.len(),
                }),
        );
        let (mut low, mut high, mut inside) = (0, self.values.len(), total);
        let mut after = None;
        while high - low > 1 {
            let left_part = beside(high - low, rank, inside);
            let middle = low + left_part;
            let left = self.split(middle, rng, scratch);
            if rank < left {
                if inside > left {
                    after = Some((middle, high));
                    std::mem::swap(&mut scratch.next, &mut scratch.right);
                }
                std::mem::swap(&mut scratch.inside, &mut scratch.left);
                (high, inside) = (middle, left);
            } else {
                std::mem::swap(&mut scratch.inside, &mut scratch.right);
                (low, rank, inside) = (middle, rank - left, inside - left);
            }
        }
        let lower = self.values[low];
        if total % 2 == 1 || rank + 1 < inside {
            return Some(lower);
        }
        // The upper of the two middle draws is the smallest one above: the lowest of the part that was
        // last left aside.
        let (low, high) = after?;
        std::mem::swap(&mut scratch.inside, &mut scratch.next);
        Some(0.5 * (lower + self.lowest(low, high, rng, scratch)))
    }

    /// The smallest draw in an interval that holds at least one.
    fn lowest(
        &self,
        mut low: usize,
        mut high: usize,
        rng: &mut impl Rng,
        scratch: &mut Scratch,
    ) -> f64 {
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.split(middle, rng, scratch) > 0 {
                std::mem::swap(&mut scratch.inside, &mut scratch.left);
                high = middle;
            } else {
                std::mem::swap(&mut scratch.inside, &mut scratch.right);
                low = middle;
            }
        }
        self.values[low]
    }

    /// Splits the draws of `scratch.inside` at a rank into `left` and `right`; returns how many are left.
    /// Stays without draws in a part are dropped from it.
    fn split(&self, middle: usize, rng: &mut impl Rng, scratch: &mut Scratch) -> u64 {
        scratch.left.clear();
        scratch.right.clear();
        let mut total = 0;
        for &slot in &scratch.inside {
            let stay = &self.stays[slot.stay];
            let at = slot.from
                + stay.ranks[slot.from..slot.to].partition_point(|&rank| (rank as usize) < middle);
            let part = stay.below[at] - stay.below[slot.from];
            let whole = stay.below[slot.to] - stay.below[slot.from];
            let left = binomial(slot.draws, part, whole, rng);
            if left > 0 {
                scratch.left.push(Slot {
                    draws: left,
                    to: at,
                    ..slot
                });
            }
            if left < slot.draws {
                scratch.right.push(Slot {
                    draws: slot.draws - left,
                    from: at,
                    ..slot
                });
            }
            total += left;
        }
        total
    }

    /// Median of a resample of one stay alone. The k-th smallest of n draws from n samples is the sample
    /// number ⌊n·U⌋ with U the k-th smallest of n uniform numbers, which is Beta(k, n + 1 − k).
    pub fn resampled_stay_median(&self, place: usize, rng: &mut impl Rng) -> f64 {
        let stay = &self.stays[place];
        let n = stay.n();
        let at = |u: f64| self.values[stay.rank_at(((n as f64 * u) as u64).min(n - 1))];
        if stay.ranks.len() == 1 {
            return at(0.0);
        }
        let k = n.div_ceil(2);
        let Ok(beta) = Beta::new(k as f64, (n + 1 - k) as f64) else {
            return f64::NAN;
        };
        let lower: f64 = beta.sample(rng);
        if n % 2 == 1 {
            return at(lower);
        }
        // The next of the n − k uniform numbers that lie above it.
        let step = 1.0 - rng.random::<f64>().powf(1.0 / (n - k) as f64);
        0.5 * (at(lower) + at(lower + (1.0 - lower) * step))
    }
}

/// Where to split an interval of `width` values that holds `inside` draws, so that the draw of 0-based
/// `rank` falls with it into the smaller part: two standard deviations beside the expected place. Any
/// place gives the right distribution; this one needs a handful of splits instead of log₂ of the width.
fn beside(width: usize, rank: u64, inside: u64) -> usize {
    let share = (rank as f64 + 0.5) / inside as f64;
    let margin = 2.0 * (share * (1.0 - share) / inside as f64).sqrt();
    let at = if share > 0.5 {
        share - margin
    } else {
        share + margin
    };
    ((at * width as f64).round() as usize).clamp(1, width - 1)
}

/// How many of `draws` fall into a part that holds `part` of `whole` equally likely samples.
fn binomial(draws: u64, part: u64, whole: u64, rng: &mut impl Rng) -> u64 {
    if part == 0 {
        return 0;
    }
    if part == whole {
        return draws;
    }
    let p = part as f64 / whole as f64;
    if draws <= 8 {
        return (0..draws).filter(|_| rng.random::<f64>() < p).count() as u64;
    }
    Binomial::new(draws, p).map_or(0, |b| b.sample(rng))
}

/// Values with how often each was seen.
fn counted(samples: &Samples) -> Result<Vec<(f64, u64)>, String> {
    match samples {
        Samples::Values(values) => Ok(values.iter().map(|&value| (value, 1)).collect()),
        Samples::Hdr(text) => {
            let bytes = BASE64
                .decode(text.as_bytes())
                .map_err(|error| format!("histogram: {error}"))?;
            let histogram: Histogram<u64> = Deserializer::new()
                .deserialize(&mut bytes.as_slice())
                .map_err(|error| format!("histogram: {error:?}"))?;
            Ok(histogram
                .iter_recorded()
                .map(|step| {
                    (
                        histogram.median_equivalent(step.value_iterated_to()) as f64,
                        step.count_at_value(),
                    )
                })
                .collect())
        }
    }
}

/// What is left of a stay's samples where only their middle is asked for: how many there are, their type 7
/// median, and whether they are all equal. Values that are not finite are left out, as in [`Sample::new`].
///
/// # Errors
/// As [`Sample::check`].
pub(crate) fn middle_of(samples: &Samples) -> Result<Option<(u64, f64, bool)>, String> {
    let mut pairs: Vec<(f64, u64)> = counted(samples)?;
    pairs.retain(|(value, _)| value.is_finite());
    if let Samples::Values(_) = samples {
        // One of each: the middle is found without sorting.
        let n = pairs.len();
        if n == 0 {
            return Ok(None);
        }
        let order = |a: &(f64, u64), b: &(f64, u64)| a.0.total_cmp(&b.0);
        let constant = pairs.iter().all(|(value, _)| *value == pairs[0].0);
        let (below, middle, _) = pairs.select_nth_unstable_by(n / 2, order);
        let upper = middle.0;
        let lower = if n % 2 == 1 {
            upper
        } else {
            below
                .iter()
                .map(|(value, _)| *value)
                .fold(f64::MIN, f64::max)
        };
        return Ok(Some((n as u64, lower + 0.5 * (upper - lower), constant)));
    }
    Ok(Sample::new([(0, samples)])
        .map(|sample| (sample.n(), sample.median(), sample.min() == sample.max())))
}

/// The median of all samples in each of [`RESAMPLES`] resamples. Those of samples with different stays
/// are independent, so that quotients of two such lists are resamples of the ratio.
#[must_use]
pub fn resampled_medians(sample: &Sample, seed: u64) -> Vec<f64> {
    // Whatever is drawn of equal values is that value: counts of messages, bytes and rules.
    if sample.min() == sample.max() {
        return vec![sample.min(); RESAMPLES];
    }
    let (mut rng, mut scratch, mut drawn) = (generator(seed), Scratch::default(), Vec::new());
    (0..RESAMPLES)
        .filter_map(|_| {
            sample.draw_stays(&mut rng, &mut drawn);
            sample.resampled_median(&drawn, &mut rng, &mut scratch)
        })
        .collect()
}

/// 95 % interval of the median of all samples: by resampling, and with fewer than [`FEW_STAYS`] stays
/// Student's from the medians of the stays, never narrower than the resampled one; with one stay its
/// samples are resampled, and what differs between stays is left out. `None` with fewer than two samples.
#[must_use]
pub fn median_interval(sample: &Sample, seed: u64) -> Option<[f64; 2]> {
    interval_of_medians(sample, &resampled_medians(sample, seed))
}

/// The same from medians that were resampled before.
#[must_use]
pub fn interval_of_medians(sample: &Sample, medians: &[f64]) -> Option<[f64; 2]> {
    let resampled = percentile_interval(medians.to_vec(), Replication::of(sample.units()))?;
    if sample.has_few_stays() {
        return hull(resampled, interval_of_few(&sample.stay_medians())?);
    }
    Some(resampled)
}
