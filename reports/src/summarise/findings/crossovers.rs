//! From which N on another mode is the cheaper one. Only crossings with an interval are told: where
//! some resamples do not cross, it is not known whether the curves do.

use schema::summary::Finding;
use schema::{CellKey, Metric};

use super::{Context, evidence, listed, names};
use crate::quantity::{counted, digits, span, whole};
use crate::statistics::{Sample, Size, crossover, seed_of};

impl Context<'_, '_> {
    /// Crossings of the curves of different modes over N.
    pub(super) fn crossovers(
        &self,
        question: &str,
        asks: impl Fn(&CellKey) -> bool,
        metric: Metric,
    ) -> Option<Finding> {
        let keys = self.keys_at_largest(asks);
        let names = names(&keys);
        let curves: Vec<Vec<(u32, Sample)>> =
            keys.iter().map(|key| self.curve(key, metric)).collect();
        let (mut parts, mut proof) = (Vec::new(), Vec::new());
        for first in 0..keys.len() {
            for second in first + 1..keys.len() {
                if keys[first].mode == keys[second].mode {
                    continue;
                }
                let (a, b) = common(&curves[first], &curves[second]);
                let seed = seed_of(&format!(
                    "{} {} {metric} crossover",
                    keys[first], keys[second]
                ));
                let Some((found, ci95)) = crossover(&a, &b, seed).and_then(|c| Some((c, c.ci95?)))
                else {
                    continue;
                };
                let (lower, higher) = if found.first_is_higher_beyond {
                    (second, first)
                } else {
                    (first, second)
                };
                let stays = a
                    .iter()
                    .chain(&b)
                    .map(|size| size.sample.stays().len())
                    .min()
                    .unwrap_or(0);
                parts.push(format!(
                    "{} lies below {} from {} services on ({}; at least {} a size)",
                    names[lower],
                    names[higher],
                    digits(found.services),
                    span(ci95),
                    counted(stays as u64, "stay")
                ));
                proof.extend(
                    [first, second]
                        .iter()
                        .filter_map(|at| self.row(keys[*at], metric))
                        .map(evidence),
                );
            }
        }
        let text = format!(
            "{question}, where curves cross between {} and {} services: {}.",
            whole(self.scope.smallest(self.summary).into()),
            whole(self.largest.into()),
            listed(&parts)
        );
        (!parts.is_empty()).then_some(Finding {
            text,
            evidence: proof,
        })
    }

    /// A series by N, ascending.
    fn curve(&self, largest: &CellKey, metric: Metric) -> Vec<(u32, Sample)> {
        let same = |key: &&CellKey| {
            CellKey {
                services: largest.services,
                ..(*key).clone()
            } == *largest
        };
        let mut curve: Vec<(u32, Sample)> = self
            .cells
            .keys()
            .filter(same)
            .filter_map(|key| Some((key.services, self.cells.sample(key, metric)?)))
            .collect();
        curve.sort_by_key(|(services, _)| *services);
        curve
    }
}

/// Both curves at the sizes that both have.
fn common<'a>(a: &'a [(u32, Sample)], b: &'a [(u32, Sample)]) -> (Vec<Size<'a>>, Vec<Size<'a>>) {
    let at = |curve: &'a [(u32, Sample)], other: &[(u32, Sample)]| -> Vec<Size<'a>> {
        curve
            .iter()
            .filter(|(services, _)| other.iter().any(|(n, _)| n == services))
            .map(|(services, sample)| Size {
                services: *services,
                sample,
            })
            .collect()
    };
    (at(a, b), at(b, a))
}
