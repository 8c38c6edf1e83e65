//! Resampling the median of a sample: stays first, samples of each drawn stay second.
//!
//! A resample of 15 stays × 1,000 samples need not be drawn value by value. How many of a stay's draws
//! fall into the lower part of an interval of values is binomial, and so is, given that, how many fall
//! into the lower part of *that*: [`Sample::resampled_median`] splits the range of values until one is
//! left, drawing binomial numbers on the way. It has exactly the distribution of drawing every value and
//! takes microseconds instead of tens of them. Few values ([`ONE_BY_ONE`]) are drawn one by one, which is
//! quicker still: their ranks are counted, and the counts added up to the middle; nothing is sorted. The
//! tests compare all of this with drawing every value.

use rand::{Rng, RngExt};
use rand_distr::{Binomial, Distribution};

use super::few::{hull, interval_of_few};
use super::middle::{Middle, StayMedians};
use super::sample::LISTED;
use super::{RESAMPLES, Replication, Sample, generator, percentile_interval, quantile};

/// Samples that are drawn one by one when there are no more of them.
const ONE_BY_ONE: u64 = LISTED;

/// Memory that resampling reuses.
#[derive(Debug, Default)]
pub struct Scratch {
    /// How often each rank was drawn.
    counts: Vec<u32>,
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
    /// Draws stays with replacement: as many places as there are stays.
    pub fn draw_stays(&self, rng: &mut impl Rng, drawn: &mut Vec<usize>) {
        drawn.clear();
        indices(self.stays.len() as u32, rng, |place| {
            drawn.push(place as usize);
        });
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
        if total <= ONE_BY_ONE {
            return self.one_by_one(drawn, total, rng, &mut scratch.counts);
        }
        self.by_splitting(drawn, total, rng, scratch)
    }

    /// Every draw counted at its rank.
    fn one_by_one(
        &self,
        drawn: &[usize],
        total: u64,
        rng: &mut impl Rng,
        counts: &mut Vec<u32>,
    ) -> Option<f64> {
        let rank = total.checked_sub(1)? / 2;
        counts.clear();
        counts.resize(self.values.len(), 0);
        for &place in drawn {
            let listed = self.stays[place].listed();
            indices(listed.len() as u32, rng, |order| {
                counts[listed[order as usize] as usize] += 1;
            });
        }
        let mut ranks = counts.iter().zip(&self.values);
        let (mut up_to, mut lower) = (0, f64::NAN);
        while up_to <= rank {
            let (count, value) = ranks.next()?;
            up_to += u64::from(*count);
            lower = *value;
        }
        if total % 2 == 1 || rank + 1 < up_to {
            return Some(lower);
        }
        let (_, upper) = ranks.find(|(count, _)| **count > 0)?;
        Some(0.5 * (lower + upper))
    }

    /// The same in a number of steps that hardly grows with the number of draws.
    fn by_splitting(
        &self,
        drawn: &[usize],
        total: u64,
        rng: &mut impl Rng,
        scratch: &mut Scratch,
    ) -> Option<f64> {
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

    /// Median of a resample of one stay alone, by its place.
    fn resampled_stay_median(&self, place: usize, middle: Middle, rng: &mut impl Rng) -> f64 {
        let stay = &self.stays[place];
        if let [rank] = stay.ranks[..] {
            return self.values[rank as usize];
        }
        let n = stay.n();
        middle.median(rng, |uniform| {
            self.values[stay.rank_at(((n as f64 * uniform) as u64).min(n - 1))]
        })
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

/// As many indices below `n` as `n`, each equally likely but for less than n/2³²: two of each number of the
/// generator.
fn indices(n: u32, rng: &mut impl Rng, mut take: impl FnMut(u32)) {
    let scaled = |half: u32| ((u64::from(half) * u64::from(n)) >> 32) as u32;
    for _ in 0..n / 2 {
        let bits = rng.next_u64();
        take(scaled((bits >> 32) as u32));
        take(scaled(bits as u32));
    }
    if n % 2 == 1 {
        take(scaled((rng.next_u64() >> 32) as u32));
    }
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

/// The median of the medians of the stays in each of [`RESAMPLES`] resamples: of as many drawn stays as there
/// are, each resampled in turn.
#[must_use]
pub fn resampled_middles(sample: &Sample, seed: u64) -> Vec<f64> {
    if sample.min() == sample.max() {
        return vec![sample.min(); RESAMPLES];
    }
    let (mut rng, stays) = (generator(seed), sample.stays.len());
    if let Some((medians, middle)) = StayMedians::of(sample).zip(Middle::of(stays as u64)) {
        // A drawn stay's resampled median is one draw from all that there can be.
        let draw = |_| middle.median(&mut rng, |uniform| medians.at(uniform));
        return (0..RESAMPLES).map(draw).collect();
    }
    let of_each: Option<Vec<Middle>> = sample.stays.iter().map(|s| Middle::of(s.n())).collect();
    let of_each = of_each.unwrap_or_default();
    let mut medians = vec![0.0; stays];
    (0..RESAMPLES)
        .map(|_| {
            for median in &mut medians {
                let place = rng.random_range(0..of_each.len());
                *median = sample.resampled_stay_median(place, of_each[place], &mut rng);
            }
            medians.sort_unstable_by(f64::total_cmp);
            quantile(&medians, 0.5).unwrap_or(f64::NAN)
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use schema::Samples;

    use super::*;

    fn sample(stays: &[Vec<f64>]) -> Sample {
        let stays: Vec<Samples> = stays.iter().cloned().map(Samples::Values).collect();
        Sample::new((0..).zip(&stays)).unwrap()
    }

    /// Stays of unequal length, with ties, off by up to a fifth.
    fn unequal(samples: &[usize]) -> Sample {
        let stays: Vec<Vec<f64>> = samples
            .iter()
            .enumerate()
            .map(|(stay, samples)| {
                (0..*samples)
                    .map(|i| 1_000.0 + 40.0 * stay as f64 + (i * 37 % 101) as f64)
                    .collect()
            })
            .collect();
        sample(&stays)
    }

    /// Two lists of estimates come from the same distribution: their shares up to each value differ by no more
    /// than those of 20,000 draws do once in a thousand times (Kolmogorov and Smirnov).
    #[track_caller]
    fn alike(mut a: Vec<f64>, mut b: Vec<f64>) {
        a.sort_by(f64::total_cmp);
        b.sort_by(f64::total_cmp);
        let up_to = |list: &[f64], value: f64| {
            list.partition_point(|v| *v <= value) as f64 / list.len() as f64
        };
        for value in a.iter().chain(&b) {
            let (x, y) = (up_to(&a, *value), up_to(&b, *value));
            assert!((x - y).abs() <= 0.0195, "{value}: {x} and {y}");
        }
    }

    const DRAWS: usize = 20_000;

    #[test]
    fn splitting_and_counting_one_by_one_draw_from_the_same_distribution() {
        for samples in [[30, 30, 30], [7, 40, 12], [1, 2, 90]] {
            let sample = unequal(&samples);
            let (mut rng, mut scratch, mut drawn) = (generator(5), Scratch::default(), Vec::new());
            let mut draws = |splitting: bool| -> Vec<f64> {
                (0..DRAWS)
                    .map(|_| {
                        sample.draw_stays(&mut rng, &mut drawn);
                        let total = drawn.iter().map(|&place| sample.stays[place].n()).sum();
                        if splitting {
                            sample.by_splitting(&drawn, total, &mut rng, &mut scratch)
                        } else {
                            sample.one_by_one(&drawn, total, &mut rng, &mut scratch.counts)
                        }
                        .unwrap()
                    })
                    .collect()
            };
            let (a, b) = (draws(true), draws(false));
            alike(a, b);
        }
    }

    #[test]
    fn medians_of_stays_come_from_one_number_as_from_drawing_every_value() {
        // Listed outcomes where stays are short, a number of each stay where one is long.
        for samples in [&[4, 4, 4, 4, 4][..], &[1, 6, 3, 16], &[40, 5, 21]] {
            let sample = unequal(samples);
            let seen = (0..DRAWS / RESAMPLES)
                .flat_map(|seed| resampled_middles(&sample, seed as u64))
                .collect();
            let mut rng = generator(7);
            let middle = |values: &mut Vec<f64>| {
                values.sort_by(f64::total_cmp);
                quantile(values, 0.5).unwrap()
            };
            let stays = sample.stays.len();
            let drawn = (0..DRAWS)
                .map(|_| {
                    let mut medians: Vec<f64> = (0..stays)
                        .map(|_| {
                            let stay = sample.stays[rng.random_range(0..stays)].listed();
                            let mut values: Vec<f64> = (0..stay.len())
                                .map(|_| {
                                    sample.values[stay[rng.random_range(0..stay.len())] as usize]
                                })
                                .collect();
                            middle(&mut values)
                        })
                        .collect();
                    middle(&mut medians)
                })
                .collect();
            alike(seen, drawn);
        }
    }
}
