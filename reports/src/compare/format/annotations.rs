//! Workflow commands of GitHub Actions. A step shows at most ten of a kind, so the tenth counts the rest. The
//! step's summary is the Markdown format.

use std::fmt::Write as _;

use schema::comparison::{Compared, Comparison, Pooled, Verdict};

use super::{
    details, failed, failure, headline, metric, name, pool_details, pool_name, pools, rows,
};
use crate::quantity::whole;

/// Annotations of a kind that a step shows.
const SHOWN: usize = 10;

/// Title and message.
type Annotation = (String, String);

fn of_pool(pool: &Pooled) -> Annotation {
    let title = format!("{}: {}", pool.verdict, pool_name(pool));
    (title, pool_details(pool))
}

fn of_row(row: &Compared) -> Annotation {
    let title = match metric(row) {
        "" => row.verdict.to_string(),
        metric => format!("{}: {metric}", row.verdict),
    };
    let title = row
        .allowed
        .as_ref()
        .map_or(title, |_| "missing, allowed".to_owned());
    (title, format!("{}: {}", name(row), details(row)))
}

pub(super) fn render(comparison: &Comparison) -> String {
    let mut out = String::new();
    let (allowed, missing): (Vec<&Compared>, _) =
        rows(comparison, Verdict::Missing).partition(|row| row.allowed.is_some());
    let failed = failed(comparison).into_iter().map(|row| {
        let message = format!("{}: {}", name(row), failure(row));
        ("failed".to_owned(), message)
    });
    let errors = pools(comparison, Verdict::Regressed)
        .map(of_pool)
        .chain(
            rows(comparison, Verdict::Regressed)
                .chain(missing)
                .map(of_row),
        )
        .chain(failed);
    annotate(&mut out, "error", errors.collect());
    let inconclusive = rows(comparison, Verdict::Inconclusive).count() as u64;
    let inconclusive = (inconclusive > 0).then(|| {
        let cells = whole(inconclusive);
        let message = format!("{cells} single cells: neither a change nor its absence is shown");
        ("inconclusive".to_owned(), message)
    });
    let notes = comparison.notes.iter();
    let warnings = inconclusive
        .into_iter()
        .chain(notes.map(|note| ("note".to_owned(), note.clone())))
        .chain(pools(comparison, Verdict::Inconclusive).map(of_pool))
        .chain(allowed.into_iter().map(of_row));
    annotate(&mut out, "warning", warnings.collect());
    let improved = pools(comparison, Verdict::Improved).map(of_pool);
    let improved = improved.chain(rows(comparison, Verdict::Improved).map(of_row));
    annotate(&mut out, "notice", improved.collect());
    let _ = writeln!(out, "{}", headline(comparison));
    out
}

fn annotate(out: &mut String, kind: &str, all: Vec<Annotation>) {
    let shown = match all.len() {
        few @ ..=SHOWN => few,
        _ => SHOWN - 1,
    };
    for (title, message) in &all[..shown] {
        let title = data(title).replace(':', "%3A").replace(',', "%2C");
        let _ = writeln!(out, "::{kind} title={title}::{}", data(message));
    }
    if all.len() > shown {
        let _ = writeln!(
            out,
            "::{kind} title=and more::{} more of this kind: see the step's summary",
            whole((all.len() - shown) as u64)
        );
    }
}

/// A command's message; in its properties colons and commas are escaped as well.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}
