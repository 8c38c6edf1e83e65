//! A comparison as test cases: one for each pool and one for each cell's metric.

use std::collections::BTreeSet;

use schema::comparison::{Comparison, Verdict};

use super::{details, failure, metric, name, pool_details, pool_name};

/// What became of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Became {
    /// Unchanged or improved.
    Passed,
    /// Worse.
    Regressed,
    /// BASE has it and NEW has not, and the gate does not allow that.
    Missing,
    /// Stays of it failed in NEW.
    Failed,
    /// Nothing can be said of it.
    Skipped,
}

/// A case.
pub(super) struct Case {
    /// What it belongs to: "first-packet.nftables".
    pub(super) group: String,
    pub(super) name: String,
    pub(super) became: Became,
    /// What is said of it.
    pub(super) why: String,
}

/// Every case, in the order of the tables. A cell of which stays failed is a failed case once, not once a metric.
pub(super) fn cases(comparison: &Comparison) -> Vec<Case> {
    let pools = comparison.pooled.iter().map(|pool| Case {
        group: format!("pooled.{}", pool.scenario),
        name: pool_name(pool),
        became: became(pool.verdict, false),
        why: pool_details(pool),
    });
    let mut failed = BTreeSet::new();
    let cells = comparison.cells.iter().map(|row| {
        let (became, why) = match became(row.verdict, row.allowed.is_some()) {
            worse @ (Became::Regressed | Became::Missing) => (worse, details(row)),
            _ if row.failed > 0 && failed.insert(&row.key) => (Became::Failed, failure(row)),
            other => (other, details(row)),
        };
        Case {
            group: format!("{}.{}", row.key.scenario, row.key.mode),
            name: format!("{} {}", name(row), metric(row))
                .trim_end()
                .to_owned(),
            became,
            why,
        }
    });
    pools.chain(cells).collect()
}

fn became(verdict: Verdict, allowed: bool) -> Became {
    match verdict {
        Verdict::Regressed => Became::Regressed,
        Verdict::Missing if !allowed => Became::Missing,
        Verdict::Missing | Verdict::Inconclusive | Verdict::Incomparable => Became::Skipped,
        Verdict::Improved | Verdict::Unchanged => Became::Passed,
    }
}
