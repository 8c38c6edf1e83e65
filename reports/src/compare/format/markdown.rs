//! For a pull request: the conclusion, what fails, what is known over all cells; the rest folded away.

use std::fmt::Write as _;

use schema::Unit;
use schema::comparison::{Comparison, Conclusion, Verdict};

use super::{
    change, failed, failure, headline, listed, medians, metric, name, pool_name, pool_units, sides,
    signed, stays, test,
};
use crate::quantity::whole;

/// Rows of a table; a comment of a pull request has a limit.
const LISTED: usize = 100;

pub(super) fn render(comparison: &Comparison) -> String {
    let mark = match comparison.conclusion {
        Conclusion::Passed => "✅",
        Conclusion::Failed | Conclusion::Regressed => "❌",
    };
    let headline = cell(&headline(comparison));
    let mut out = format!("### {mark} bench-runner compare: {headline}\n\n");
    pooled(&mut out, comparison);
    failures(&mut out, comparison);
    for (verdict, title, open) in [
        (Verdict::Regressed, "Regressed", true),
        (Verdict::Missing, "Missing in NEW", true),
        (Verdict::Improved, "Improved", false),
        (Verdict::Inconclusive, "Inconclusive", false),
        (Verdict::Incomparable, "Not comparable", false),
        (Verdict::Unchanged, "Unchanged", false),
    ] {
        table(&mut out, comparison, verdict, title, open);
    }
    for note in &comparison.notes {
        let _ = writeln!(out, "> {}\n", cell(note));
    }
    for difference in &comparison.differences {
        let _ = writeln!(
            out,
            "- across {}: {} was `{}`, is `{}`",
            difference.key,
            cell(&difference.fact),
            code(&difference.base),
            code(&difference.new)
        );
    }
    let how = match comparison.one_run {
        true => "in the blocks of one run",
        false => "in two runs",
    };
    for (name, side) in sides(comparison) {
        let _ = writeln!(out, "- {name}: {}", cell(&side));
    }
    let _ = writeln!(out, "- measured {how}; gate: {}", cell(&comparison.gate));
    out
}

fn pooled(out: &mut String, comparison: &Comparison) {
    if comparison.pooled.is_empty() || comparison.identical {
        return;
    }
    out.push_str("| over all cells that ask the same | verdict | change [95 % interval] | at the median | test | n |\n|---|---|---|---|---|---|\n");
    for pool in &comparison.pooled {
        let unit = pool.metric.unit();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} cells, {} |",
            pool_name(pool),
            strong(pool.verdict),
            change(&pool.change, unit),
            signed(pool.change.absolute, unit),
            test(&pool.change),
            pool.cells,
            pool_units(pool)
        );
    }
    out.push('\n');
}

fn failures(out: &mut String, comparison: &Comparison) {
    let failed = failed(comparison);
    if failed.is_empty() {
        return;
    }
    out.push_str("**Failed in NEW**\n\n");
    for row in failed.iter().take(LISTED) {
        let _ = writeln!(out, "- {}: {}", cell(&name(row)), failure(row));
    }
    more(out, failed.len());
    out.push('\n');
}

fn table(out: &mut String, comparison: &Comparison, verdict: Verdict, title: &str, open: bool) {
    let all = listed(comparison, verdict);
    if all.is_empty() {
        return;
    }
    let count = whole(all.len() as u64);
    let _ = match open {
        true => writeln!(out, "**{title}** ({count})\n"),
        false => writeln!(out, "<details><summary>{title} ({count})</summary>\n"),
    };
    out.push_str("| cell | metric | BASE → NEW | change [95 % interval] | test | n | why |\n|---|---|---|---|---|---|---|\n");
    for row in all.iter().take(LISTED) {
        let unit = row.unit.unwrap_or(Unit::Count);
        let found = row.change.as_ref();
        let why = row.reason.iter().cloned();
        let why = why.chain(row.allowed.iter().map(|why| format!("allowed: {why}")));
        let why = why.chain(row.noisy.then(|| "noisy".to_owned()));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            cell(&name(row)),
            metric(row),
            medians(row),
            found.map_or_else(String::new, |found| change(found, unit)),
            found.map_or_else(String::new, test),
            stays(row),
            cell(&why.collect::<Vec<_>>().join("; "))
        );
    }
    more(out, all.len());
    out.push_str(if open { "\n" } else { "\n</details>\n\n" });
}

fn more(out: &mut String, all: usize) {
    if all > LISTED {
        let _ = writeln!(out, "\nand {} more", whole((all - LISTED) as u64));
    }
}

fn strong(verdict: Verdict) -> String {
    match verdict {
        Verdict::Regressed | Verdict::Improved => format!("**{verdict}**"),
        _ => verdict.to_string(),
    }
}

/// Text of results, which may hold anything, inside a table.
fn cell(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('|', "\\|")
        .replace('`', "'")
        .replace(['\n', '\r'], " ")
}

/// Text between backquotes.
fn code(text: &str) -> String {
    text.replace('`', "'").replace(['\n', '\r'], " ")
}
