//! Workflow commands of GitHub Actions. A step shows at most ten of a kind, so the tenth counts the rest. The
//! step's summary is the Markdown format.

use std::fmt::Write as _;

use schema::comparison::{Comparison, Verdict};

use super::{
    details, failed, failure, headline, metric, name, pool_details, pool_name, pools, rows,
};
use crate::quantity::whole;

/// Annotations of a kind that a step shows.
const SHOWN: usize = 10;

pub(super) fn render(comparison: &Comparison) -> String {
    let mut errors: Vec<(String, String)> = Vec::new();
    errors.extend(pools(comparison, Verdict::Regressed).map(|pool| {
        (
            format!("regressed: {}", pool_name(pool)),
            pool_details(pool),
        )
    }));
    for verdict in [Verdict::Regressed, Verdict::Missing] {
        let held = rows(comparison, verdict).filter(|row| row.allowed.is_none());
        errors.extend(held.map(|row| {
            (
                format!("{verdict}: {}", metric(row))
                    .trim_end_matches(": ")
                    .to_owned(),
                format!("{}: {}", name(row), details(row)),
            )
        }));
    }
    errors.extend(failed(comparison).into_iter().map(|row| {
        (
            "failed".to_owned(),
            format!("{}: {}", name(row), failure(row)),
        )
    }));
    let mut warnings: Vec<(String, String)> = comparison
        .notes
        .iter()
        .map(|note| ("note".to_owned(), note.clone()))
        .collect();
    warnings.extend(pools(comparison, Verdict::Inconclusive).map(|pool| {
        (
            format!("inconclusive: {}", pool_name(pool)),
            pool_details(pool),
        )
    }));
    let inconclusive = rows(comparison, Verdict::Inconclusive).count();
    if inconclusive > 0 {
        warnings.insert(
            0,
            (
                "inconclusive".to_owned(),
                format!(
                    "{} single cells: neither a change nor its absence is shown",
                    whole(inconclusive as u64)
                ),
            ),
        );
    }
    warnings.extend(
        rows(comparison, Verdict::Missing)
            .filter(|row| row.allowed.is_some())
            .map(|row| {
                (
                    "missing, allowed".to_owned(),
                    format!("{}: {}", name(row), details(row)),
                )
            }),
    );
    let mut out = String::new();
    annotate(&mut out, "error", &errors);
    annotate(&mut out, "warning", &warnings);
    let improved: Vec<(String, String)> = pools(comparison, Verdict::Improved)
        .map(|pool| (format!("improved: {}", pool_name(pool)), pool_details(pool)))
        .chain(rows(comparison, Verdict::Improved).map(|row| {
            (
                format!("improved: {}", metric(row)),
                format!("{}: {}", name(row), details(row)),
            )
        }))
        .collect();
    annotate(&mut out, "notice", &improved);
    let _ = writeln!(out, "{}", headline(comparison));
    out
}

fn annotate(out: &mut String, kind: &str, all: &[(String, String)]) {
    let shown = if all.len() > SHOWN {
        SHOWN - 1
    } else {
        all.len()
    };
    for (title, message) in &all[..shown] {
        let _ = writeln!(out, "::{kind} title={}::{}", property(title), data(message));
    }
    if all.len() > shown {
        let _ = writeln!(
            out,
            "::{kind} title=and more::{} more of this kind: see the step's summary",
            whole((all.len() - shown) as u64)
        );
    }
}

/// A command's message.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A command's property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
