//! Where a series changed: E-divisive (Matteson and James, *Journal of the American Statistical Association* 109(505),
//! 2014), as MongoDB and Apache Otava use it on histories of benchmarks. A stretch is divided where the energy distance
//! of what is before and after is largest, if no more than a share p of its orders have one as large; and again.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::generator;

/// Values that a part has at least.
const SHORTEST: usize = 3;
/// The most orders that are drawn to judge a division.
const DRAWN: f64 = 1_999.0;

/// Where a series changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangePoints {
    /// First value after each change, ascending.
    pub at: Vec<usize>,
    /// What it took: how many values were looked at, each time that they were.
    pub visited: u64,
}

/// The changes of a series, each of which a permutation test calls one with that p.
#[must_use]
pub fn change_points(values: &[f64], p: f64, seed: u64) -> ChangePoints {
    let mut search = Search {
        values,
        p,
        rng: generator(seed),
        visited: 0,
    };
    let mut found = search.divide((0, values.len()));
    found.sort_unstable_by_key(|division| division.at);
    search.settle(&mut found);
    ChangePoints {
        at: found.iter().map(|division| division.at).collect(),
        visited: search.visited,
    }
}

struct Search<'a> {
    values: &'a [f64],
    p: f64,
    rng: Xoshiro256PlusPlus,
    visited: u64,
}

/// A stretch, and the first value after its change.
struct Division {
    of: (usize, usize),
    at: usize,
}

impl Search<'_> {
    fn divide(&mut self, whole: (usize, usize)) -> Vec<Division> {
        let (mut open, mut found) = (vec![whole], Vec::new());
        while let Some(of) = open.pop() {
            if let Some(at) = self.division(of) {
                found.push(Division { of, at });
                open.extend([(of.0, at), (at, of.1)]);
            }
        }
        found
    }

    /// What was found before its neighbours were is looked for again between these, and dropped where it is none any more.
    fn settle(&mut self, found: &mut Vec<Division>) {
        let mut index = 0;
        while index < found.len() {
            let from = index.checked_sub(1).map_or(0, |before| found[before].at);
            let to = found
                .get(index + 1)
                .map_or(self.values.len(), |next| next.at);
            let at = match found[index].of == (from, to) {
                true => Some(found[index].at),
                false => self.division((from, to)),
            };
            if let Some(at) = at {
                found[index] = Division { of: (from, to), at };
                index += 1;
            } else {
                found.remove(index);
                // Its neighbour has more before it now.
                index = index.saturating_sub(1);
            }
        }
    }

    /// Where a stretch is best divided, if that is more than chance.
    fn division(&mut self, (from, to): (usize, usize)) -> Option<usize> {
        let stretch = Stretch::of(&self.values[from..to])?;
        let mut order: Vec<u32> = stretch.ranks.clone();
        self.visited += order.len() as u64;
        let (place, seen) = stretch.best(&order);
        // The fewest of which none may be as far apart.
        let drawn = ((1.0 / self.p).ceil() - 1.0).min(DRAWN);
        for _ in 0..drawn as u32 {
            shuffle(&mut order, &mut self.rng);
            self.visited += order.len() as u64;
            if stretch.best(&order).1 >= seen - 1e-9 * seen.abs() {
                return None;
            }
        }
        Some(from + place)
    }
}

fn shuffle(order: &mut [u32], rng: &mut Xoshiro256PlusPlus) {
    for last in (1..order.len()).rev() {
        order.swap(last, rng.random_range(0..=last));
    }
}

/// The values of a stretch by rank, with what any order of them has in common.
struct Stretch {
    /// Ascending, less the first of them.
    sorted: Vec<f64>,
    /// Of each value in the order seen.
    ranks: Vec<u32>,
    /// By rank: the sum of its distances to all others.
    distances: Vec<f64>,
    /// Of all pairs.
    sum: f64,
}

impl Stretch {
    /// `None` where it is too short to be divided, or all its values are one.
    fn of(values: &[f64]) -> Option<Self> {
        if values.len() < 2 * SHORTEST {
            return None;
        }
        let mut places: Vec<u32> = (0..values.len() as u32).collect();
        places.sort_by(|a, b| values[*a as usize].total_cmp(&values[*b as usize]));
        let mut ranks = vec![0; values.len()];
        for (rank, place) in (0..).zip(&places) {
            ranks[*place as usize] = rank;
        }
        let least = values[places[0] as usize];
        let sorted: Vec<f64> = places
            .iter()
            .map(|place| values[*place as usize] - least)
            .collect();
        let total: f64 = sorted.iter().sum();
        let (mut below, mut distances) = (0.0, Vec::with_capacity(sorted.len()));
        for (rank, value) in sorted.iter().enumerate() {
            let above = (sorted.len() - rank) as f64;
            distances.push(value * rank as f64 - below + (total - below) - value * above);
            below += value;
        }
        let sum = distances.iter().sum::<f64>() / 2.0;
        (sum > 0.0).then_some(Self {
            sorted,
            ranks,
            distances,
            sum,
        })
    }

    /// The best division of an order of its values, and how far its sides then lie apart.
    fn best(&self, order: &[u32]) -> (usize, f64) {
        let all = order.len();
        let mut before = Sums::new(all);
        let (mut within, mut crossing) = (0.0, 0.0);
        let mut best = (0, f64::NEG_INFINITY);
        for (place, rank) in order.iter().enumerate() {
            let rank = *rank as usize;
            let value = self.sorted[rank];
            let (count, sum) = before.below(rank);
            let distance =
                value * count - sum + (before.sum - sum) - value * (place as f64 - count);
            before.add(rank, value);
            within += distance;
            // Pairs of this value with those before it no longer cross; those with all later ones do.
            crossing += self.distances[rank] - 2.0 * distance;
            let n = place + 1;
            if n >= SHORTEST && all - n >= SHORTEST {
                let after = self.sum - within - crossing;
                let (n, m) = (n as f64, (all - n) as f64);
                let apart =
                    2.0 / (n + m) * (crossing - m / (n - 1.0) * within - n / (m - 1.0) * after);
                if apart > best.1 {
                    best = (place + 1, apart);
                }
            }
        }
        best
    }
}

/// How many values of lower ranks were added, and their sum, in logarithmic time (Fenwick, *Software: Practice and
/// Experience* 24(3), 1994).
struct Sums {
    tree: Vec<(f64, f64)>,
    sum: f64,
}

impl Sums {
    fn new(ranks: usize) -> Self {
        Self {
            tree: vec![(0.0, 0.0); ranks + 1],
            sum: 0.0,
        }
    }

    fn add(&mut self, rank: usize, value: f64) {
        self.sum += value;
        let mut node = rank + 1;
        while let Some((count, sum)) = self.tree.get_mut(node) {
            *count += 1.0;
            *sum += value;
            node += node & node.wrapping_neg();
        }
    }

    fn below(&self, rank: usize) -> (f64, f64) {
        let (mut node, mut found) = (rank, (0.0, 0.0));
        while node > 0 {
            found.0 += self.tree[node].0;
            found.1 += self.tree[node].1;
            node &= node - 1;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, Normal};

    use super::*;

    /// Values of standard deviation 1 around levels, each for so many.
    fn noisy(levels: &[(f64, usize)], seed: u64) -> Vec<f64> {
        let mut rng = generator(seed);
        let levels = levels.iter();
        let levels = levels.flat_map(|(level, times)| vec![*level; *times]);
        levels
            .map(|level| Normal::new(level, 1.0).unwrap().sample(&mut rng))
            .collect()
    }

    /// The same by its definition, in cubic time.
    fn by_definition(values: &[f64]) -> (usize, f64) {
        let pairs = |a: &[f64], b: &[f64]| -> f64 {
            a.iter()
                .flat_map(|x| b.iter().map(move |y| (x - y).abs()))
                .sum()
        };
        let all = values.len() as f64;
        let places = SHORTEST..=values.len() - SHORTEST;
        let apart = places.map(|place| {
            let (a, b) = values.split_at(place);
            let (n, m) = (a.len() as f64, b.len() as f64);
            let within = m / (n - 1.0) * pairs(a, a) + n / (m - 1.0) * pairs(b, b);
            (place, (2.0 * pairs(a, b) - within) / all)
        });
        apart.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
    }

    #[test]
    fn the_energy_distance_is_what_its_definition_says() {
        for seed in 0..20 {
            let mut values = noisy(&[(0.0, 11), (1.0, 9)], seed);
            // Values that are equal, too.
            values[3] = values[7];
            values[12] = values[7];
            let stretch = Stretch::of(&values).unwrap();
            let (place, apart) = stretch.best(&stretch.ranks);
            let (wanted, distance) = by_definition(&values);
            assert_eq!(place, wanted);
            assert!(
                (apart - distance).abs() < 1e-9 * distance.abs(),
                "{apart} {distance}"
            );
        }
    }

    #[test]
    fn steps_of_two_standard_deviations_are_found_within_three_values() {
        let (mut near, mut others) = (0, 0);
        for seed in 0..20 {
            let found = change_points(&noisy(&[(0.0, 100), (2.0, 100)], seed), 0.01, seed).at;
            near += usize::from(found.iter().any(|at| at.abs_diff(100) <= 3));
            others += found.iter().filter(|at| at.abs_diff(100) > 3).count();
        }
        assert!(near >= 19, "{near} of 20");
        assert!(others <= 2, "{others} elsewhere");
    }

    #[test]
    fn a_rise_and_a_fall_are_two_changes() {
        let values = noisy(&[(0.0, 70), (3.0, 60), (0.0, 70)], 1);
        let found = change_points(&values, 0.01, 1).at;
        let near: Vec<bool> = found
            .iter()
            .zip([70, 130])
            .map(|(at, step)| at.abs_diff(step) <= 3)
            .collect();
        assert_eq!(
            (found.len(), &near[..]),
            (2, &[true, true][..]),
            "{found:?}"
        );
    }

    #[test]
    fn what_does_not_change_has_no_change_but_by_chance() {
        let found: usize = (100..140)
            .map(|seed| {
                change_points(&noisy(&[(0.0, 200)], seed), 0.01, seed)
                    .at
                    .len()
            })
            .sum();
        assert!(found <= 2, "{found} in 40");
    }

    #[test]
    fn too_few_values_and_equal_values_have_none() {
        for values in [&[1.0, 1.0, 1.0, 9.0, 9.0][..], &[5.0; 50], &[]] {
            let found = change_points(values, 0.01, 1);
            assert!(found.at.is_empty(), "{values:?}");
        }
    }

    #[test]
    fn ten_thousand_values_are_looked_at_a_few_hundred_times_each() {
        let levels: Vec<(f64, usize)> = (0..10)
            .map(|step| (f64::from(step % 3) * 2.0, 1_000))
            .collect();
        let found = change_points(&noisy(&levels, 1), 0.01, 1);
        assert_eq!(found.at.len(), 9, "{:?}", found.at);
        // A division costs 100 passes over its stretch, and as many between its neighbours.
        assert!(found.visited < 900 * 10_000, "{}", found.visited);
    }
}
