//! How far the run's figures are known: the A/A pair, mode `none` measured twice as two series interleaved in the
//! same blocks, and of every scenario's metric how wide its own intervals are. Each speaks for itself alone: what
//! packets show says nothing of updates.

use std::collections::{BTreeMap, BTreeSet};

use schema::summary::{Noise, Row, Spread, Summary};
use schema::{CONTROL, CellKey, Metric, Mode, Options, ScenarioKind, Unit, Variant};

use super::cells::{Cells, Stay};
use crate::quantity::{counted, digits, span, whole};
use crate::statistics::{Known, quotient_interval};
use crate::view::grouped;

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
    let cell = cells.keys().find(|key| bare(key) == lab)?;
    let unit = *cells.metrics(cell).get(&Metric::Latency)?;
    let unusual = cell
        .options
        .only(|key| cell.options.is_unusual(key))
        .words();
    let unusual: String = unusual.iter().map(|words| format!(", {words}")).collect();
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
            unusual,
            counted(pairs.len() as u64, "cell")
        ),
    ))
}

fn labs(cells: &Cells<'_>, variants: &[Variant]) -> Vec<Lab> {
    let names = || {
        let variants = variants.iter().map(|variant| variant.name.as_str());
        [""].into_iter().chain(variants)
    };
    let measured = |control: &CellKey, variant: &str| {
        let key = CellKey {
            variant: variant.to_owned(),
            ..control.clone()
        };
        let stays = cells.stays(&key, Metric::Latency);
        (!stays.is_empty()).then_some((key, stays))
    };
    let pair = |control: &CellKey| {
        let (_, b) = measured(control, CONTROL)?;
        let (ordinary, a) = names().find_map(|name| measured(control, name))?;
        // The cells of a stay share its lab, whatever their options.
        Some((bare(&ordinary), [a, b]))
    };
    let controls = cells.keys().filter(|key| {
        key.mode == Mode::BARE
            && key.scenario == ScenarioKind::FirstPacket
            && key.variant == CONTROL
    });
    grouped(controls.filter_map(pair))
}

/// A cell without its options.
fn bare(key: &CellKey) -> CellKey {
    CellKey {
        options: Options::new(),
        ..key.clone()
    }
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
    let wide = |[low, high]: [f64; 2]| high - low > WIDTH;
    let why: Vec<&str> = match ci95 {
        // Counted: the two series are the same instructions, and any difference is one.
        None if seeds => Vec::new(),
        None => vec!["there are too few stays for an interval"],
        Some(ends) => {
            let wide = wide(ends)
                .then_some("the interval is wider than ±10 % (more than 0.20 from end to end)");
            let out = (ends[0] > 1.0 || ends[1] < 1.0).then_some("the interval leaves 1 out");
            wide.into_iter().chain(out).collect()
        }
    };
    let verdict = match ci95 {
        _ if !why.is_empty() => format!("The run is noisy: {}.", why.join(", and ")),
        Some(_) => "The run is quiet: the interval is no wider than ±10 % (0.20 from end to end) and holds 1.".to_owned(),
        None => "The run is quiet.".to_owned(),
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
        noisy: !why.is_empty(),
    }
}

/// What is asked of a row's scenario, if its value answers that: what an install holds is read in passing where memory
/// was `weighed` by itself.
fn answering(row: &Row, weighed: bool) -> Option<(ScenarioKind, Metric)> {
    let metric = row.metric.filter(|metric| metric.row().answers)?;
    let in_passing = metric == Metric::KernelMemory && row.key.scenario.is_update() && weighed;
    let serves = !row.key.mode.is_floor() && row.median.is_some_and(|median| median > 0.0);
    (serves && !in_passing).then_some((row.key.scenario, metric))
}

/// How wide the intervals are of each scenario's metric, in the modes that serve services.
pub(super) fn spreads(rows: &[Row]) -> Vec<Spread> {
    let mut widths: BTreeMap<_, Vec<f64>> = BTreeMap::new();
    for row in rows {
        let known = row
            .median
            .zip(row.ci95)
            .filter(|(_, ends)| ends[1].is_finite());
        if let Some((asked, (median, [low, high]))) = answering(row, true).zip(known) {
            let half = 0.5 * (high - low) / median;
            widths.entry(asked).or_default().push(half);
        }
    }
    let spread = |((scenario, metric), widths): (_, Vec<f64>)| {
        Some(Spread {
            scenario,
            metric,
            half_width: Known::of_stays(&widths)?.value,
            cells: widths.len() as u32,
        })
    };
    widths.into_iter().filter_map(spread).collect()
}

/// Questions of which some cell has a value and none an interval: "cold-install update_time".
fn without_spread(summary: &Summary) -> Vec<String> {
    let weighs = |row: &Row| row.key.scenario == ScenarioKind::Memory;
    let weighed = summary.cells.iter().any(weighs);
    let timed = summary
        .cells
        .iter()
        .filter(|row| row.unit != Some(Unit::Instructions));
    let asked: BTreeSet<_> = timed.filter_map(|row| answering(row, weighed)).collect();
    let has = |asked: &(ScenarioKind, Metric)| {
        let mut spreads = summary.spreads.iter();
        spreads.any(|spread| (spread.scenario, spread.metric) == *asked)
    };
    let without = asked.into_iter().filter(|asked| !has(asked));
    without
        .map(|(scenario, metric)| format!("{scenario} {metric}"))
        .collect()
}

/// "Half the width of an interval, in the middle of the cells of each question: first-packet latency ±2.1 % (40
/// cells), …". `None` where nothing has an interval.
#[must_use]
pub(crate) fn of_spreads(summary: &Summary) -> Option<String> {
    let part = |spread: &Spread| {
        let half = digits(100.0 * spread.half_width);
        let cells = counted(spread.cells.into(), "cell");
        format!("{} {} ±{half} % ({cells})", spread.scenario, spread.metric)
    };
    let parts: Vec<String> = summary.spreads.iter().map(part).collect();
    let without = match without_spread(summary).join(", ") {
        none if none.is_empty() => none,
        some => format!(" No cell has the six stays that an interval needs of: {some}."),
    };
    (!parts.is_empty()).then(|| {
        format!(
            "How far each figure is known, as half the width of its interval in the middle of the cells: {}. A difference that is smaller than its own metric's means nothing.{without}",
            parts.join(", ")
        )
    })
}
