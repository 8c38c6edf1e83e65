//! One file a format, and a row in [`FORMATS`].

mod annotations;
mod csv;
mod junit;
mod markdown;
mod text;
mod trackers;

use schema::comparison::{Change, Compared, Comparison, Conclusion, Pooled, Side, Verdict};
use schema::{Metric, Unit};

use super::found::MANN_WHITNEY;
use crate::quantity::{counted, digits, value, whole};
use crate::statistics::stays_to_tell;

/// A format of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// Its word on the command line.
    pub name: &'static str,
    /// What reads it.
    pub about: &'static str,
    write: fn(&Comparison) -> serde_json::Result<String>,
}

/// Every format.
pub const FORMATS: &[Format] = &[
    Format {
        name: "text",
        about: "a terminal",
        write: |comparison| Ok(text::render(comparison)),
    },
    Format {
        name: "markdown",
        about: "a pull request",
        write: |comparison| Ok(markdown::render(comparison)),
    },
    Format {
        name: "json",
        about: "everything, by `schema comparison`",
        write: |comparison| Ok(serde_json::to_string_pretty(comparison)? + "\n"),
    },
    Format {
        name: "csv",
        about: "a spreadsheet: one line a cell and metric",
        write: |comparison| Ok(csv::render(comparison)),
    },
    Format {
        name: "junit",
        about: "test results, as CI systems read them",
        write: |comparison| Ok(junit::render(comparison)),
    },
    Format {
        name: "github",
        about: "annotations of GitHub Actions, and its step summary",
        write: |comparison| Ok(annotations::render(comparison)),
    },
    Format {
        name: "bencher",
        about: "Bencher Metric Format",
        write: trackers::bencher,
    },
    Format {
        name: "benchmark-action",
        about: "`customSmallerIsBetter` of github-action-benchmark",
        write: trackers::benchmark_action,
    },
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
        (self.write)(comparison)
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
    let allowed = comparison
        .cells
        .iter()
        .filter(|row| row.allowed.is_some())
        .count() as u64;
    let missing = count(Verdict::Missing) - allowed;
    let mut parts = Vec::new();
    for (number, noun) in [
        (count(Verdict::Regressed), "regression"),
        (missing, "missing result"),
    ] {
        if number > 0 {
            parts.push(counted(number, noun));
        }
    }
    let failures = comparison.new.others.get("failed").copied().unwrap_or(0);
    if failures > 0 {
        parts.push(counted(failures, "failed cell"));
    }
    parts.extend(timed_out(comparison));
    if comparison.identical {
        parts.push("identical: BASE and NEW are one measurement".to_owned());
    }
    let unjudged = unjudged(comparison);
    let said = match (comparison.conclusion, unjudged) {
        (Conclusion::Passed, _) if comparison.identical => return parts.join(", "),
        (Conclusion::Passed, Some(unjudged)) => unjudged,
        (Conclusion::Passed, None) => "no regression".to_owned(),
        (conclusion, unjudged) => {
            parts.extend(unjudged);
            match conclusion {
                Conclusion::Failed => "failed".to_owned(),
                _ => "regressed".to_owned(),
            }
        }
    };
    for (verdict, noun) in [
        (Verdict::Improved, "improved"),
        (Verdict::Unchanged, "unchanged"),
        (Verdict::Inconclusive, "inconclusive"),
    ] {
        if count(verdict) > 0 {
            parts.push(format!("{} {noun}", whole(count(verdict))));
        }
    }
    if parts.is_empty() {
        said
    } else {
        format!("{said}: {}", parts.join(", "))
    }
}

/// "nothing timed could be judged (1 stay a side, 8 would do)": where no time that was tested has an interval, be it of
/// its cell or of a pool, no verdict on times was possible. `None` where one was.
fn unjudged(comparison: &Comparison) -> Option<String> {
    let tested: Vec<&Compared> = comparison
        .cells
        .iter()
        .filter(|row| {
            let change = row.change.as_ref();
            change.is_some_and(|change| change.p.is_some() || change.test == MANN_WHITNEY)
        })
        .collect();
    let known = |change: &Change| change.relative_ci95.is_some() || change.absolute_ci95.is_some();
    let any = tested
        .iter()
        .filter_map(|row| row.change.as_ref())
        .any(known)
        || comparison
            .pooled
            .iter()
            .any(|pool| pool.verdict != Verdict::Inconclusive);
    if any || tested.is_empty() {
        return None;
    }
    let sides = || {
        tested
            .iter()
            .flat_map(|row| [&row.base, &row.new])
            .flatten()
    };
    let (least, most) = (
        sides().map(|side| side.stays).min()?,
        sides().map(|side| side.stays).max()?,
    );
    let p = tested
        .iter()
        .filter_map(|row| comparison.thresholds.get(&row.metric?));
    let p = p
        .map(|thresholds| thresholds.p)
        .fold(f64::INFINITY, f64::min);
    let stays = match least == most {
        true => counted(most.into(), "stay"),
        false => format!("{least}–{most} stays"),
    };
    Some(format!(
        "nothing timed could be judged ({stays} a side, {} would do)",
        stays_to_tell(p / tested.len() as f64)
    ))
}

/// "2 timed-out cells (1 in BASE)". They fail nothing, so that they must be seen.
fn timed_out(comparison: &Comparison) -> Option<String> {
    let count = |side: &Side| side.others.get("timed-out").copied().unwrap_or(0);
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
        let part = if side.part.is_empty() {
            String::new()
        } else {
            format!(" ({})", side.part)
        };
        let others: Vec<String> = side
            .others
            .iter()
            .map(|(outcome, n)| format!(", {} {outcome}", whole(*n)))
            .collect();
        (
            name,
            format!(
                "{}{part}, {}, revision {}: {} measured{}",
                side.run,
                side.started,
                side.revision,
                counted(side.measured, "cell"),
                others.concat()
            ),
        )
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
    if pool.change.test == "signed-rank" {
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
    let Some(relative) = change.relative else {
        return format!("{} (BASE is zero)", value(change.absolute, unit));
    };
    let interval = change
        .relative_ci95
        .map_or_else(String::new, |[low, high]| {
            if low == high {
                String::new()
            } else {
                format!(" [{}, {}]", percent(low), percent(high))
            }
        });
    format!("{}{interval}", percent(relative))
}

/// "p 0.0004, adjusted 0.002 (signed-rank)".
fn test(change: &Change) -> String {
    match (change.p, change.p_adjusted) {
        (Some(p), Some(adjusted)) => format!(
            "p {}, adjusted {} ({})",
            p_value(p),
            p_value(adjusted),
            change.test
        ),
        _ => change.test.clone(),
    }
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
    let unit = row.unit.unwrap_or(Unit::Count);
    if row.base.is_some() && row.new.is_some() {
        parts.push(medians(row));
    }
    if let Some(found) = &row.change {
        parts.push(change(found, unit));
        parts.push(test(found));
        parts.push(stays(row));
    }
    if row.noisy {
        parts.push("noisy".to_owned());
    }
    parts.extend(row.reason.clone());
    parts.extend(row.allowed.as_ref().map(|why| format!("allowed: {why}")));
    parts.join("; ")
}

/// Everything that is said of a pool besides its name.
fn pool_details(pool: &Pooled) -> String {
    let mut parts = vec![
        change(&pool.change, pool.metric.unit()),
        format!(
            "{} at the median",
            signed(pool.change.absolute, pool.metric.unit())
        ),
        test(&pool.change),
        format!(
            "{}, {}",
            counted(pool.cells.into(), "cell"),
            pool_units(pool)
        ),
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
    let lacks_stays = |row: &&Compared| match (&row.base, &row.new) {
        (Some(base), Some(new)) => new.stays < base.stays,
        _ => false,
    };
    let (mut first, rest): (Vec<_>, Vec<_>) = rows(comparison, verdict).partition(lacks_stays);
    first.extend(rest);
    first
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
    let mut seen = std::collections::BTreeSet::new();
    rows_with_failures(comparison)
        .filter(|row| seen.insert(&row.key))
        .collect()
}

fn rows_with_failures(comparison: &Comparison) -> impl Iterator<Item = &Compared> {
    let is_listed = |row: &Compared| row.verdict == Verdict::Missing && row.allowed.is_none();
    comparison
        .cells
        .iter()
        .filter(move |row| row.failed > 0 && !is_listed(row))
}

/// "2 of its stays failed".
fn failure(row: &Compared) -> String {
    format!("{} of it failed in NEW", counted(row.failed.into(), "stay"))
}
