//! The A/A pair: mode `none` measured twice, as two series interleaved in the same blocks. What
//! differs between them is the run's noise, and no other difference smaller than it means anything.

use schema::summary::Noise;
use schema::{CONTROL, CellKey, Metric, Mode, ScenarioKind, Variant};

use super::cells::Cells;
use crate::quantity::{digits, span};
use crate::statistics::{Ratio, Sample, Stratum, ratio_of_medians, seed_of};

/// Fewer stays than this cannot state the noise.
const STAYS: u32 = 10;
/// An interval of the ratio wider than this is noisy: ±5 %.
const WIDTH: f64 = 0.10;

/// States the noise of a run; `None` when it has no A/A pair. In a run of variants the second series is that of
/// the first variant of its environment.
pub(super) fn noise(cells: &Cells<'_>, variants: &[Variant]) -> Option<Noise> {
    let names = || {
        [""].into_iter()
            .chain(variants.iter().map(|v| v.name.as_str()))
    };
    let mut strata: Vec<(CellKey, Vec<(Sample, Sample)>)> = Vec::new();
    for control in cells.keys().filter(|key| {
        key.mode == Mode::None
            && key.scenario == ScenarioKind::FirstPacket
            && key.variant == CONTROL
    }) {
        let of = |name: &str| CellKey {
            variant: name.to_owned(),
            ..control.clone()
        };
        let measured = |name| {
            let key = of(name);
            cells
                .sample(&key, Metric::Latency)
                .map(|sample| (key, sample))
        };
        let (Some(b), Some((ordinary, a))) = (
            cells.sample(control, Metric::Latency),
            names().find_map(measured),
        ) else {
            continue;
        };
        // One stratum a size: the cells of a stay share its lab, whatever their options.
        let lab = CellKey {
            options: Default::default(),
            ..ordinary
        };
        match strata.iter_mut().find(|(key, _)| *key == lab) {
            Some((_, pairs)) => pairs.push((b, a)),
            None => strata.push((lab, vec![(b, a)])),
        }
    }
    let sizes: Vec<u32> = strata.iter().map(|(lab, _)| lab.services).collect();
    let cells_paired: usize = strata.iter().map(|(_, pairs)| pairs.len()).sum();
    let strata: Vec<Stratum<'_>> = strata
        .iter()
        .map(|(_, pairs)| Stratum {
            pairs: pairs.iter().map(|(b, a)| (b, a)).collect(),
            same_stays: false,
        })
        .collect();
    let ratio = ratio_of_medians(&strata, seed_of("noise none control"))?;
    // The same size of several environments is one size.
    let sizes = std::collections::BTreeSet::from_iter(sizes)
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    Some(stated(
        &ratio,
        format!("first-packet latency in mode none, N = {sizes}, {cells_paired} cells"),
    ))
}

fn stated(ratio: &Ratio, of: String) -> Noise {
    let (a, b) = (ratio.stays_denominator, ratio.stays_numerator);
    // Without an interval nothing is known of the ratio: no bound can be stated, and none is invented.
    let ci95 = ratio.ci95.unwrap_or([ratio.ratio, ratio.ratio]);
    let mut why = Vec::new();
    if ratio.ci95.is_none() {
        why.push("there are too few samples for an interval".to_owned());
    }
    if ci95[1] - ci95[0] > WIDTH {
        why.push("the interval is wider than ±5 %".to_owned());
    }
    if ci95[0] > 1.0 || ci95[1] < 1.0 {
        why.push("the interval leaves 1 out".to_owned());
    }
    if a.min(b) < STAYS {
        why.push(format!("there are fewer than {STAYS} stays of each"));
    }
    let noisy = !why.is_empty();
    let verdict = if noisy {
        format!("The run is noisy: {}.", why.join(", and "))
    } else {
        "The run is quiet.".to_owned()
    };
    Noise {
        of,
        stays_a: a,
        stays_b: b,
        ratio: ratio.ratio,
        ci95,
        noisy,
        text: format!(
            "The same thing measured twice in the same blocks differs by a factor of {} (95 % interval {}, {a} and {b} stays). {verdict}",
            digits(ratio.ratio),
            span(ci95),
        ),
    }
}
