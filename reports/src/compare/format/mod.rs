//! One file a format, and a row in [`FORMATS`].

mod annotations;
mod case;
mod csv;
mod gobench;
mod junit;
mod ktap;
mod markdown;
mod text;
mod trackers;

use std::collections::BTreeSet;

use schema::comparison::{
    Change, Compared, Comparison, Conclusion, Measured, Pooled, Side, Verdict,
};
use schema::{Metric, OutcomeKind, Unit};
use serde_json::Value;

use Write::{Json, Text};

use super::found::{MANN_WHITNEY, SIGNED_RANK};
use crate::gate::within;
use crate::quantity::{counted, digits, value, whole};
use crate::statistics::stays_to_tell;

/// A format of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// Its word on the command line.
    pub name: &'static str,
    /// What reads it.
    pub about: &'static str,
    write: Write,
}

#[derive(Debug, Clone, Copy)]
enum Write {
    Text(fn(&Comparison) -> String),
    Json(fn(&Comparison) -> serde_json::Result<Value>),
}

const fn format(name: &'static str, about: &'static str, write: Write) -> Format {
    Format { name, about, write }
}

/// Every format.
pub const FORMATS: &[Format] = &[
    format("text", "a terminal", Text(text::render)),
    format("markdown", "a pull request", Text(markdown::render)),
    format(
        "json",
        "everything, by `schema comparison`",
        Json(|comparison| serde_json::to_value(comparison)),
    ),
    format(
        "csv",
        "a spreadsheet: one line a cell and metric",
        Text(csv::render),
    ),
    format(
        "junit",
        "test results, as CI systems read them",
        Text(junit::render),
    ),
    format(
        "ktap",
        "tests of the kernel: KTAP version 1 (scripts/kselftest)",
        Text(ktap::render),
    ),
    format(
        "gobench",
        "`benchstat -col side`: a line a stay of either side",
        Text(gobench::render),
    ),
    format(
        "github",
        "annotations of GitHub Actions, and its step summary",
        Text(annotations::render),
    ),
    format(
        "bencher",
        "Bencher Metric Format",
        Json(|comparison| Ok(trackers::bencher(comparison))),
    ),
    format(
        "benchmark-action",
        "`customSmallerIsBetter` of github-action-benchmark",
        Json(|comparison| Ok(trackers::benchmark_action(comparison))),
    ),
];

impl Format {
    /// The format of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        FORMATS.iter().copied().find(|format| format.name == name)
    }

    /// The comparison, with a newline at its end.
    ///
    /// # Errors
    /// A value that JSON cannot hold; a comparison has none.
    pub fn render(&self, comparison: &Comparison) -> serde_json::Result<String> {
        match self.write {
            Text(write) => Ok(write(comparison)),
            Json(write) => Ok(serde_json::to_string_pretty(&write(comparison)?)? + "\n"),
        }
    }
}

/// A share as people read it: "+9.80 %".
#[must_use]
pub fn percent(share: f64) -> String {
    let sign = if share > 0.0 { "+" } else { "" };
    format!("{sign}{} %", digits(100.0 * share))
}

/// What the comparison comes to, in one sentence.
fn headline(comparison: &Comparison) -> String {
    let count = |verdict: Verdict| comparison.verdicts.get(&verdict).copied().unwrap_or(0);
    let some = |number: u64, noun: &str| (number > 0).then(|| counted(number, noun));
    let allowed = comparison.cells.iter().filter(|row| row.allowed.is_some());
    let missing = count(Verdict::Missing) - allowed.count() as u64;
    let identical = "identical: BASE and NEW are one measurement";
    let parts = [
        some(count(Verdict::Regressed), "regression"),
        some(missing, "missing result"),
        some(without(&comparison.new, OutcomeKind::Failed), "failed cell"),
        timed_out(comparison),
        comparison.identical.then(|| identical.to_owned()),
    ];
    let mut parts: Vec<String> = parts.into_iter().flatten().collect();
    let mut unjudged = unjudged(comparison);
    let said = match comparison.conclusion {
        Conclusion::Passed if comparison.identical => return parts.join(", "),
        Conclusion::Passed => unjudged.take(),
        conclusion => Some(conclusion.to_string()),
    };
    let said = said.unwrap_or_else(|| "no regression".to_owned());
    parts.extend(unjudged);
    for verdict in [Verdict::Improved, Verdict::Unchanged, Verdict::Inconclusive] {
        let count = count(verdict);
        parts.extend((count > 0).then(|| format!("{} {verdict}", whole(count))));
    }
    match parts.is_empty() {
        true => said,
        false => format!("{said}: {}", parts.join(", ")),
    }
}

/// "nothing timed could be judged (1 stay a side, 8 would do)": where no time that was tested has an interval, be it of
/// its cell or of a pool, no verdict on times was possible. `None` where one was.
fn unjudged(comparison: &Comparison) -> Option<String> {
    let cells = comparison.cells.iter();
    let tested = cells.filter_map(|row| Some((row, row.change.as_ref()?)));
    let tested: Vec<(&Compared, &Change)> = tested
        .filter(|(_, change)| change.p.is_some() || change.test == MANN_WHITNEY)
        .collect();
    let is_known =
        |change: &Change| change.relative_ci95.is_some() || change.absolute_ci95.is_some();
    let mut pools = comparison.pooled.iter();
    if tested.iter().any(|(_, change)| is_known(change))
        || pools.any(|pool| pool.verdict != Verdict::Inconclusive)
    {
        return None;
    }
    let sides = tested.iter().flat_map(|(row, _)| [&row.base, &row.new]);
    let stays: Vec<u32> = sides.flatten().map(|side| side.stays).collect();
    let p = tested.iter().filter_map(|(row, _)| {
        let (of_all, own) = (&comparison.thresholds, &comparison.scenario_thresholds);
        Some(within(of_all, own, row.metric?, row.key.scenario)?.p)
    });
    let p = p.fold(f64::INFINITY, f64::min);
    let stays = match (stays.iter().min()?, stays.iter().max()?) {
        (least, most) if least == most => counted((*most).into(), "stay"),
        (least, most) => format!("{least}–{most} stays"),
    };
    Some(format!(
        "nothing timed could be judged ({stays} a side, {} would do)",
        stays_to_tell(p / tested.len() as f64)
    ))
}

/// Cells of a side without numbers, by what became of them.
fn without(side: &Side, outcome: OutcomeKind) -> u64 {
    side.others.get(outcome.name()).copied().unwrap_or(0)
}

/// "2 timed-out cells (1 in BASE)". They fail nothing, so that they must be seen.
fn timed_out(comparison: &Comparison) -> Option<String> {
    let count = |side| without(side, OutcomeKind::TimedOut);
    let said = |cells| counted(cells, "timed-out cell");
    match (count(&comparison.new), count(&comparison.base)) {
        (0, _) => None,
        (new, 0) => Some(said(new)),
        (new, base) => Some(format!("{} ({} in BASE)", said(new), whole(base))),
    }
}

/// "BASE runs/a, 320 cells measured".
fn sides(comparison: &Comparison) -> [(&'static str, String); 2] {
    [("BASE", &comparison.base), ("NEW", &comparison.new)].map(|(name, side)| {
        let part = match side.part.as_str() {
            "" => String::new(),
            part => format!(" ({part})"),
        };
        let others = side.others.iter();
        let others: String = others
            .map(|(outcome, n)| format!(", {} {outcome}", whole(*n)))
            .collect();
        let measured = counted(side.measured, "cell");
        let said = format!(
            "{}{part}, {}, revision {}: {measured} measured{others}",
            side.run, side.started, side.revision
        );
        (name, said)
    })
}

/// A cell's name: "nftables first-packet N=1000 E=2 …", and what it is called in NEW where that differs.
fn name(row: &Compared) -> String {
    match &row.new_key {
        Some(new) => format!("{} → {}", row.key, new),
        None => row.key.to_string(),
    }
}

/// A pool's name: "first-packet latency, all modes".
fn pool_name(pool: &Pooled) -> String {
    let whose = pool
        .mode
        .map_or_else(|| "all modes".to_owned(), |mode| mode.to_string());
    format!("{} {}, {whose}", pool.scenario, pool.metric)
}

/// "10 pairs of stays", "10 and 12 stays".
fn pool_units(pool: &Pooled) -> String {
    if pool.change.test == SIGNED_RANK {
        counted(pool.base_units.into(), "pair") + " of stays"
    } else {
        format!("{} and {} stays", pool.base_units, pool.new_units)
    }
}

/// "35.2 µs → 38.9 µs".
fn medians(row: &Compared) -> String {
    let (Some(base), Some(new), Some(unit)) = (&row.base, &row.new, row.unit) else {
        return String::new();
    };
    format!("{} → {}", value(base.median, unit), value(new.median, unit))
}

/// "+9.80 % [+6.10 %, +13.4 %]".
fn change(change: &Change, unit: Unit) -> String {
    match (change.relative, change.relative_ci95) {
        (None, _) => format!("{} (BASE is zero)", value(change.absolute, unit)),
        (Some(relative), Some([low, high])) if low != high => format!(
            "{} [{}, {}]",
            percent(relative),
            percent(low),
            percent(high)
        ),
        (Some(relative), _) => percent(relative),
    }
}

/// "p 0.0004, adjusted 0.002 (signed-rank)".
fn test(change: &Change) -> String {
    let p = change.p.zip(change.p_adjusted).map(|(p, adjusted)| {
        let (p, adjusted) = (p_value(p), p_value(adjusted));
        format!("p {p}, adjusted {adjusted} ({})", change.test)
    });
    p.unwrap_or_else(|| change.test.clone())
}

/// A p as people read it: never "0".
fn p_value(p: f64) -> String {
    if p < 0.0001 {
        format!("{p:.0e}")
    } else {
        digits(p)
    }
}

/// Stays of both sides: "10 and 12 stays".
fn stays(row: &Compared) -> String {
    match (&row.base, &row.new) {
        (Some(base), Some(new)) => format!("{} and {} stays", base.stays, new.stays),
        _ => String::new(),
    }
}

/// Everything that is said of a row besides its name.
fn details(row: &Compared) -> String {
    let mut parts = Vec::new();
    if row.base.is_some() && row.new.is_some() {
        parts.push(medians(row));
    }
    if let Some(found) = &row.change {
        let unit = row.unit.unwrap_or(Unit::Count);
        parts.extend([change(found, unit), test(found), stays(row)]);
    }
    parts.extend(row.noisy.then(|| "noisy".to_owned()));
    parts.extend(row.reason.clone());
    parts.extend(row.allowed.as_ref().map(|why| format!("allowed: {why}")));
    parts.join("; ")
}

/// Everything that is said of a pool besides its name.
fn pool_details(pool: &Pooled) -> String {
    let unit = pool.metric.unit();
    let cells = counted(pool.cells.into(), "cell");
    let mut parts = vec![
        change(&pool.change, unit),
        format!("{} at the median", signed(pool.change.absolute, unit)),
        test(&pool.change),
        format!("{cells}, {}", pool_units(pool)),
    ];
    parts.extend(pool.reason.clone());
    parts.join("; ")
}

fn signed(amount: f64, unit: Unit) -> String {
    let sign = if amount > 0.0 { "+" } else { "" };
    format!("{sign}{}", value(amount, unit))
}

/// A row's metric: "latency", "" where the whole cell is meant.
fn metric(row: &Compared) -> &'static str {
    row.metric.map_or("", Metric::name)
}

/// Rows of a verdict.
fn rows(comparison: &Comparison, verdict: Verdict) -> impl Iterator<Item = &Compared> {
    comparison
        .cells
        .iter()
        .filter(move |row| row.verdict == verdict)
}

/// Rows of a verdict as they are listed, the first so many of them: those that lack stays of NEW come first, because
/// what became of those is in no other row.
fn listed(comparison: &Comparison, verdict: Verdict) -> Vec<&Compared> {
    let stays = |side: &Option<Measured>| side.as_ref().map(|side| side.stays);
    let mut all: Vec<&Compared> = rows(comparison, verdict).collect();
    all.sort_by_key(|row| match (stays(&row.base), stays(&row.new)) {
        (Some(base), Some(new)) => new >= base,
        _ => true,
    });
    all
}

/// Pools of a verdict.
fn pools(comparison: &Comparison, verdict: Verdict) -> impl Iterator<Item = &Pooled> {
    comparison
        .pooled
        .iter()
        .filter(move |pool| pool.verdict == verdict)
}

/// Cells of which stays failed in NEW, each once; those that are missing for it are listed as that.
fn failed(comparison: &Comparison) -> Vec<&Compared> {
    let is_listed = |row: &Compared| row.verdict == Verdict::Missing && row.allowed.is_none();
    let mut seen = BTreeSet::new();
    let rows = comparison.cells.iter();
    rows.filter(|row| row.failed > 0 && !is_listed(row) && seen.insert(&row.key))
        .collect()
}

/// "2 of its stays failed".
fn failure(row: &Compared) -> String {
    format!("{} of it failed in NEW", counted(row.failed.into(), "stay"))
}
