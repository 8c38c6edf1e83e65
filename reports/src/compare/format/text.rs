//! For a terminal.

use std::fmt::Write as _;

use schema::comparison::{Comparison, Verdict};

use super::{
    details, failed, failure, headline, listed, metric, name, pool_details, pool_name, pools, rows,
    sides,
};
use crate::quantity::whole;

/// Rows of a kind that are listed; the rest is counted.
const LISTED: usize = 40;

pub(super) fn render(comparison: &Comparison) -> String {
    let mut out = String::new();
    for (name, side) in sides(comparison) {
        let _ = writeln!(out, "{name:<5}{side}");
    }
    let how = match comparison.one_run {
        true => "both sides in the blocks of one run",
        false => "two runs",
    };
    let _ = writeln!(out, "gate {}; {how}", comparison.gate);
    for difference in &comparison.differences {
        let _ = writeln!(
            out,
            "across {}: {} was \"{}\", is \"{}\"",
            difference.key, difference.fact, difference.base, difference.new
        );
    }
    let _ = writeln!(out);
    if !comparison.pooled.is_empty() && !comparison.identical {
        let _ = writeln!(out, "over all cells that ask the same:");
        for pool in &comparison.pooled {
            let (name, details) = (pool_name(pool), pool_details(pool));
            let _ = writeln!(out, "  {:<13} {name}: {details}", pool.verdict);
        }
        let _ = writeln!(out);
    }
    let failed = failed(comparison);
    if !failed.is_empty() {
        let _ = writeln!(out, "failed in NEW ({}):", whole(failed.len() as u64));
        for row in failed {
            let _ = writeln!(out, "  {}: {}", name(row), failure(row));
        }
        let _ = writeln!(out);
    }
    for verdict in [
        Verdict::Regressed,
        Verdict::Missing,
        Verdict::Improved,
        Verdict::Inconclusive,
        Verdict::Incomparable,
    ] {
        list(&mut out, comparison, verdict);
    }
    let unchanged = rows(comparison, Verdict::Unchanged).count()
        + pools(comparison, Verdict::Unchanged).count();
    if unchanged > 0 {
        let unchanged = whole(unchanged as u64);
        let _ = writeln!(out, "unchanged: {unchanged} (--format csv lists them)\n");
    }
    for note in &comparison.notes {
        let _ = writeln!(out, "note: {note}");
    }
    let _ = writeln!(out, "{}", headline(comparison));
    out
}

fn list(out: &mut String, comparison: &Comparison, verdict: Verdict) {
    let all = listed(comparison, verdict);
    if all.is_empty() {
        return;
    }
    let _ = writeln!(out, "{verdict} ({}):", whole(all.len() as u64));
    for row in all.iter().take(LISTED) {
        let metric = metric(row);
        let gap = if metric.is_empty() { "" } else { " " };
        let _ = writeln!(out, "  {}{gap}{metric}: {}", name(row), details(row));
    }
    if all.len() > LISTED {
        let more = whole((all.len() - LISTED) as u64);
        let _ = writeln!(out, "  and {more} more (--format csv lists them)");
    }
    let _ = writeln!(out);
}
