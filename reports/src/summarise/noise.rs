//! How far the run's figures are known: the A/A pair, mode `none` measured twice as two series interleaved in the
//! same blocks, and of every scenario's metric how wide its own intervals are. Each speaks for itself alone: what
//! packets show says nothing of updates.

use std::collections::{BTreeMap, BTreeSet};

use schema::summary::{Noise, Row, Spread, Summary};
use schema::{CONTROL, CellKey, Metric, Mode, ScenarioKind, Unit, Variant};

use super::cells::{Cells, Stay};
use crate::quantity::{counted, digits, span, whole};
use crate::statistics::{Known, quotient_interval};

/// An interval of the ratio of one size that is wider than this is noisy: ±10 %.
const WIDTH: f64 = 0.20;

/// Cells of one lab: of each, the stays of the ordinary series and those of the control.
type Lab = (CellKey, Vec<[Vec<Stay>; 2]>);

/// States the noise of a run at one size: the largest of those with the most stays; `None` when it has no A/A pair. In
/// a run of variants the second series is that of the first variant of its environment.
pub(super) fn noise(cells: &Cells<'_>, variants: &[Variant]) -> Option<Noise> {
    let (lab, pairs) = labs(cells, variants)
        .into_iter()
        .max_by_key(|(lab, pairs)| {
            let [a, b] = [0, 1].map(|side| stays_of(pairs, side));
            (a.min(b), lab.services)
        })?;
    let cell = lab_cell(cells, &lab)?;
    let unit = *cells.metrics(&cell).get(&Metric::Latency)?;
    let unusual: Vec<String> = (cell
        .options
        .only(|key| cell.options.is_unusual(key))
        .words())
    .into_iter()
    .map(|words| format!(", {words}"))
    .collect();
    let [a, b] = sides(&pairs).map(|logs| {
        let known = Known::of(&logs, unit == Unit::Instructions)?;
        Some(known.map(f64::exp))
    });
    let (a, b) = (a?, b?);
    let ends = a.ci95.zip(b.ci95);
    let ci95 = ends.and_then(|(x, y)| quotient_interval((b.value, y), (a.value, x)));
    Some(stated(
        (b.value / a.value, ci95),
        [0, 1].map(|side| stays_of(&pairs, side)),
        unit == Unit::Instructions,
        format!(
            "first-packet latency in mode none at {} services{}, {}",
            whole(lab.services.into()),
            unusual.concat(),
            counted(pairs.len() as u64, "cell")
        ),
    ))
}

fn lab_cell(cells: &Cells<'_>, lab: &CellKey) -> Option<CellKey> {
    let bare = |key: &CellKey| CellKey {
        options: Default::default(),
        ..key.clone()
    };
    cells.keys().find(|key| bare(key) == *lab).cloned()
}

fn labs(cells: &Cells<'_>, variants: &[Variant]) -> Vec<Lab> {
    let names = || {
        [""].into_iter()
            .chain(variants.iter().map(|v| v.name.as_str()))
    };
    let mut labs: Vec<Lab> = Vec::new();
    for control in cells.keys().filter(|key| {
        key.mode == Mode::BARE
            && key.scenario == ScenarioKind::FirstPacket
            && key.variant == CONTROL
    }) {
        let of = |name: &str| CellKey {
            variant: name.to_owned(),
            ..control.clone()
        };
        let measured = |key: CellKey| {
            let stays = cells.stays(&key, Metric::Latency);
            (!stays.is_empty()).then_some((key, stays))
        };
        let (Some((_, b)), Some((ordinary, a))) = (
            measured(control.clone()),
            names().find_map(|name| measured(of(name))),
        ) else {
            continue;
        };
        // The cells of a stay share its lab, whatever their options.
        let lab = CellKey {
            options: Default::default(),
            ..ordinary
        };
        match labs.iter_mut().find(|(key, _)| *key == lab) {
            Some((_, pairs)) => pairs.push([a, b]),
            None => labs.push((lab, vec![[a, b]])),
        }
    }
    labs
}

fn stays_of(pairs: &[[Vec<Stay>; 2]], side: usize) -> u32 {
    let stays = pairs.iter().flat_map(|pair| &pair[side]);
    // A cell that was measured again, in another stay, belongs to its block's.
    stays.map(|stay| stay.block).collect::<BTreeSet<_>>().len() as u32
}

/// Of each side, the mean over its cells of how far each stay is from the middle of its cell, as logarithms.
fn sides(pairs: &[[Vec<Stay>; 2]]) -> [Vec<f64>; 2] {
    let mut sums: [BTreeMap<u32, (f64, f64)>; 2] = Default::default();
    for pair in pairs {
        let logs: Vec<f64> = pair.iter().flatten().map(|stay| stay.value.ln()).collect();
        let center = Known::of_stays(&logs).map_or(0.0, |known| known.value);
        for (side, stays) in pair.iter().enumerate() {
            for stay in stays {
                let (sum, count) = sums[side].entry(stay.block).or_default();
                *sum += stay.value.ln() - center;
                *count += 1.0;
            }
        }
    }
    sums.map(|side| side.into_values().map(|(sum, count)| sum / count).collect())
}

fn stated(
    (ratio, ci95): (f64, Option<[f64; 2]>),
    [a, b]: [u32; 2],
    seeds: bool,
    of: String,
) -> Noise {
    let mut why = Vec::new();
    match ci95 {
        // Counted: the two series are the same instructions, and any difference is one.
        None if seeds => {}
        None => why.push("there are too few stays for an interval"),
        Some([low, high]) => {
            if high - low > WIDTH {
                why.push("the interval is wider than ±10 % (more than 0.20 from end to end)");
            }
            if low > 1.0 || high < 1.0 {
                why.push("the interval leaves 1 out");
            }
        }
    }
    let noisy = !why.is_empty();
    let verdict = if noisy {
        format!("The run is noisy: {}.", why.join(", and "))
    } else {
        match ci95 {
            Some(_) => "The run is quiet: the interval is no wider than ±10 % (0.20 from end to end) and holds 1.".to_owned(),
            None => "The run is quiet.".to_owned(),
        }
    };
    let interval = ci95.map_or_else(
        || "no interval".to_owned(),
        |ends| format!("95 % interval {}", span(ends)),
    );
    Noise {
        text: format!(
            "The same thing measured twice in the same blocks ({of}) differs by a factor of {} ({interval}; {a} and {b} stays). {verdict}",
            digits(ratio),
        ),
        of,
        stays_a: a,
        stays_b: b,
        ratio,
        ci95,
        noisy,
    }
}

/// How wide the intervals are of each scenario's metric, in the modes that serve services.
pub(super) fn spreads(rows: &[Row]) -> Vec<Spread> {
    let mut widths: BTreeMap<(ScenarioKind, Metric), Vec<f64>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.key.mode.is_floor()) {
        let (Some(metric), Some(median), Some([low, high])) = (row.metric, row.median, row.ci95)
        else {
            continue;
        };
        // What an install holds is read in passing.
        let in_passing = metric == Metric::KernelMemory && row.key.scenario.is_update();
        if metric.row().answers && !in_passing && median > 0.0 && high.is_finite() {
            let half = 0.5 * (high - low) / median;
            widths
                .entry((row.key.scenario, metric))
                .or_default()
                .push(half);
        }
    }
    widths
        .into_iter()
        .filter_map(|((scenario, metric), widths)| {
            Some(Spread {
                scenario,
                metric,
                half_width: Known::of_stays(&widths)?.value,
                cells: widths.len() as u32,
            })
        })
        .collect()
}

/// Questions of which some cell has a value and none an interval: "cold-install update_time".
fn without_spread(summary: &Summary) -> Vec<String> {
    let has = |row: &Row, metric: Metric| {
        let of = |spread: &Spread| (spread.scenario, spread.metric) == (row.key.scenario, metric);
        summary.spreads.iter().any(of)
    };
    let weighed = summary
        .cells
        .iter()
        .any(|row| row.key.scenario == ScenarioKind::Memory);
    let mut found = BTreeSet::new();
    for row in summary.cells.iter().filter(|row| !row.key.mode.is_floor()) {
        let Some(metric) = row.metric.filter(|metric| metric.row().answers) else {
            continue;
        };
        let in_passing = metric == Metric::KernelMemory && row.key.scenario.is_update() && weighed;
        let timed = row.unit != Some(Unit::Instructions);
        if timed
            && !in_passing
            && row.median.is_some_and(|median| median > 0.0)
            && !has(row, metric)
        {
            found.insert((row.key.scenario, metric));
        }
    }
    let named = found.into_iter();
    named
        .map(|(scenario, metric)| format!("{scenario} {metric}"))
        .collect()
}

/// "Half the width of an interval, in the middle of the cells of each question: first-packet latency ±2.1 % (40
/// cells), …". `None` where nothing has an interval.
#[must_use]
pub(crate) fn of_spreads(summary: &Summary) -> Option<String> {
    let parts: Vec<String> = summary
        .spreads
        .iter()
        .map(|spread| {
            format!(
                "{} {} ±{} % ({})",
                spread.scenario,
                spread.metric,
                digits(100.0 * spread.half_width),
                counted(spread.cells.into(), "cell")
            )
        })
        .collect();
    let without = match without_spread(summary) {
        none if none.is_empty() => String::new(),
        some => format!(
            " No cell has the six stays that an interval needs of: {}.",
            some.join(", ")
        ),
    };
    (!parts.is_empty()).then(|| {
        format!(
            "How far each figure is known, as half the width of its interval in the middle of the cells: {}. A difference that is smaller than its own metric's means nothing.{without}",
            parts.join(", ")
        )
    })
}
