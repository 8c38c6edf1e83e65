//! From which N on one curve lies above another.
//!
//! A crossover lies between two adjacent measured sizes, where the sign of the difference of the logarithms
//! changes; inside, both curves are power laws (straight lines between logarithms). It is never sought
//! outside of what was measured. Its interval draws stays first and samples second.

use rand::RngExt;

use super::bca::bca_of_stays;
use super::{RESAMPLES, Sample, Size, generator, quantile};

/// A point where two curves cross.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crossover {
    /// N.
    pub services: f64,
    /// Its 95 % interval; `None` with fewer than three stays at a size, or when fewer than 95 % of the
    /// resamples cross exactly once: then it is not known whether they cross at all.
    pub ci95: Option<[f64; 2]>,
    /// Whether the first curve is the higher one beyond it.
    pub first_is_higher_beyond: bool,
}

/// Where two curves over the same sizes cross. `None` when they do not, or do more than once, or when a value
/// is not positive.
#[must_use]
pub fn crossover(first: &[Size<'_>], second: &[Size<'_>], seed: u64) -> Option<Crossover> {
    let same = first.len() == second.len()
        && first
            .iter()
            .zip(second)
            .all(|(a, b)| a.services == b.services);
    if !same {
        return None;
    }
    let at: Vec<f64> = first.iter().map(|size| f64::from(size.services)).collect();
    let (a, b) = (medians(first), medians(second));
    let (services, first_is_higher_beyond) = cross(&at, &a, &b)?;
    let stays = || {
        first
            .iter()
            .chain(second)
            .map(|size| size.sample.stays().len())
    };
    let ci95 = (stays().min()? >= 3).then(|| {
        let mut rng = generator(seed);
        let mut draw = |sample: &Sample| {
            let stays = sample.stays().len();
            middle(
                (0..stays)
                    .map(|_| sample.resampled_stay_median(rng.random_range(0..stays), &mut rng))
                    .collect(),
            )
        };
        let resampled: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let a: Vec<f64> = first.iter().map(|size| draw(size.sample)).collect();
                let b: Vec<f64> = second.iter().map(|size| draw(size.sample)).collect();
                cross(&at, &a, &b).map(|(services, _)| services)
            })
            .collect();
        if resampled.len() * 100 < RESAMPLES * 95 {
            return None;
        }
        bca_of_stays(
            &resampled,
            services,
            &without_each(&at, (first, &a), (second, &b))?,
        )
    });
    Some(Crossover {
        services,
        ci95: ci95.flatten(),
        first_is_higher_beyond,
    })
}

/// The crossover without each stay in turn. `None` when one of them decides whether there is one.
fn without_each(
    at: &[f64],
    (first, a): (&[Size<'_>], &[f64]),
    (second, b): (&[Size<'_>], &[f64]),
) -> Option<Vec<f64>> {
    let mut found = Vec::new();
    for (side, sizes) in [first, second].into_iter().enumerate() {
        for (place, size) in sizes.iter().enumerate() {
            for left_out in 0..size.sample.stays().len() {
                let rest = (0..size.sample.stays().len()).filter(|stay| *stay != left_out);
                let value = middle(rest.map(|stay| size.sample.stay_median(stay)).collect());
                let (mut a, mut b) = (a.to_vec(), b.to_vec());
                if side == 0 {
                    a[place] = value
                } else {
                    b[place] = value
                }
                found.push(cross(at, &a, &b)?.0);
            }
        }
    }
    Some(found)
}

fn medians(sizes: &[Size<'_>]) -> Vec<f64> {
    sizes
        .iter()
        .map(|size| {
            let stays = 0..size.sample.stays().len();
            middle(stays.map(|stay| size.sample.stay_median(stay)).collect())
        })
        .collect()
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5).unwrap_or(f64::NAN)
}

/// The only crossing, and whether `a` is above `b` beyond it.
fn cross(at: &[f64], a: &[f64], b: &[f64]) -> Option<(f64, bool)> {
    let gaps: Vec<f64> = a.iter().zip(b).map(|(a, b)| (a / b).ln()).collect();
    if gaps.len() < 2 || !gaps.iter().all(|gap| gap.is_finite() && *gap != 0.0) {
        return None;
    }
    let mut found = None;
    for place in 1..gaps.len() {
        let (before, after) = (gaps[place - 1], gaps[place]);
        if (before > 0.0) != (after > 0.0) {
            if found.is_some() {
                return None;
            }
            let share = before / (before - after);
            let n = at[place - 1].ln() + share * (at[place] / at[place - 1]).ln();
            found = Some((n.exp(), after > 0.0));
        }
    }
    found
}
