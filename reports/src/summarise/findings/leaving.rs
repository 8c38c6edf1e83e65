//! What other modes take beside the one that would be left: what an operator asks who runs it today.

use schema::ScenarioKind::{ColdInstall, Idle, ServiceAdd};
use schema::summary::{Finding, FindingKind};
use schema::{CellKey, Metric, Mode, ONE_TRANSACTION, OptionKey};

use super::{Context, Said, Subject, apart, evidence};
use crate::quantity::digits;
use crate::summarise::ratios::ratio;
use crate::view::{as_ranked, known};

/// What is held against the mode that would be left, besides first packets.
const ASKED: &[(schema::ScenarioKind, Metric, &str)] = &[
    (
        ServiceAdd,
        Metric::UpdateTime,
        "adding one service to {N}, what the kernel and the tool must do",
    ),
    (
        ServiceAdd,
        Metric::SyncTime,
        "adding one service to {N}, with all that kube-proxy does for it",
    ),
    (
        ColdInstall,
        Metric::UpdateTime,
        "installing {N} services from nothing",
    ),
    (
        Idle,
        Metric::IdleCpuTime,
        "processor time of an hour in which nothing of {N} services changes",
    ),
];

impl Context<'_, '_> {
    /// The sentences about each mode that would be left: packets, updates, memory, rest.
    pub(super) fn leaving(&self) -> Vec<Finding> {
        let packets = self.packets_asked();
        let packets = packets.into_iter().map(|packet| {
            let what = "the first {protocol} packet (latency, {cache}) to {which} of {N} services";
            (packet, Metric::Latency, what)
        });
        let memory = self.scope.weighing(self.summary);
        let memory = (
            memory,
            Metric::KernelMemory,
            "kernel memory of {N} services",
        );
        let others = ASKED.iter().copied().chain([memory]);
        let others = others.map(|(scenario, metric, what)| (scenario.into(), metric, what));
        let asked: Vec<(Subject, Metric, &str)> = packets.chain(others).collect();
        let of = |left: &Mode| {
            let found = asked
                .iter()
                .map(|(subject, metric, what)| self.left(*left, subject, *metric, what));
            found.flatten().collect::<Vec<_>>()
        };
        self.leaving.iter().flat_map(of).collect()
    }

    /// What every other mode takes, as a multiple of what that one does, for each way in which that one was measured.
    fn left(&self, left: Mode, subject: &Subject, metric: Metric, what: &str) -> Vec<Finding> {
        let cells = self.measured_ways(subject, metric);
        let (bases, others): (Vec<_>, Vec<_>) = cells.iter().partition(|(_, key)| key.mode == left);
        let of = |(name, base): &&(String, &CellKey)| {
            let row = self.row(base, metric).filter(|row| row.median.is_some())?;
            let top = known(&as_ranked(row)).and_then(|known| Some(known.bounds()?[1]));
            let mut said = Said::default();
            said.evidence.push(evidence(row));
            for (other_name, other) in &others {
                if let Some(after_ns) = self.lower_bound(other, metric) {
                    let least = top.map(|top| after_ns / top).filter(|least| *least > 1.0);
                    let clause = least.map(|least| {
                        format!(
                            "{other_name} more than {} times (it timed out)",
                            digits(least)
                        )
                    });
                    said.clauses.extend(clause);
                    continue;
                }
                // Between two tools the translator decides.
                let ratio =
                    ratio(self.cells, other, base, metric).filter(|_| !self.is_qemus(base, other));
                let Some((ratio, row)) = ratio.zip(self.row(other, metric)) else {
                    continue;
                };
                let (spread, doubt) = (ratio.spread(), ratio.doubt());
                let times = digits(ratio.known.value);
                said.add(
                    format!("{other_name} {times} times ({spread}{doubt})"),
                    [evidence(row)],
                );
            }
            let question = format!("Leaving {name}: {what}, as a multiple of what it takes there");
            self.clauses(FindingKind::Leaving, subject, &question, said, apart)
        };
        bases.iter().filter_map(of).collect()
    }

    /// Cells with a figure, or else a lower bound of one; of an install in one transaction and in several the first, if it has
    /// a figure.
    fn measured_ways(&self, subject: &Subject, metric: Metric) -> Vec<(String, &CellKey)> {
        let has_figure = |key: &CellKey| {
            let row = self.row(key, metric);
            row.is_some_and(|row| row.median.is_some())
        };
        let is_known = |key: &CellKey| has_figure(key) || self.lower_bound(key, metric).is_some();
        let mut cells: Vec<(String, &CellKey)> = self
            .named_at_largest(|key| subject.asks(key))
            .filter(|(_, key)| is_known(key))
            .collect();
        if metric == Metric::KernelMemory {
            let shown = |key: &CellKey| {
                let scope = &self.scope;
                scope.shows_memory(self.summary, key.mode, &key.options)
            };
            cells.retain(|(_, key)| shown(key));
            return cells;
        }
        let way = |key: &CellKey| (key.mode, key.options.without(&[OptionKey::Chunk]));
        // A figure before a bound, one transaction before several.
        let rank = |key: &CellKey| {
            let is_whole = key.options.is(OptionKey::Chunk, ONE_TRANSACTION);
            (!has_figure(key), !is_whole)
        };
        let all: Vec<&CellKey> = cells.iter().map(|(_, key)| *key).collect();
        let better = |key: &CellKey| {
            let mut others = all.iter();
            others.any(|other| way(other) == way(key) && rank(other) < rank(key))
        };
        cells.retain(|(_, key)| !better(key));
        cells
    }
}
