//! What other modes take beside the one that would be left: what an operator asks who runs it today.

use schema::ScenarioKind::{ColdInstall, Idle, ServiceAdd};
use schema::summary::{Finding, FindingKind};
use schema::{CellKey, Metric, Mode};

use super::{Context, Said, Subject, apart, evidence};
use crate::quantity::digits;
use crate::summarise::ratios::ratio;
use crate::view::known;

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

    /// What every other mode takes, as a multiple of what that one does.
    fn left(&self, left: Mode, subject: &Subject, metric: Metric, what: &str) -> Option<Finding> {
        let mut said = Said::default();
        let cells: Vec<(String, &CellKey)> = self
            .named_at_largest(|key| subject.asks(key))
            .filter(|(_, key)| {
                metric != Metric::KernelMemory
                    || self
                        .scope
                        .shows_memory(self.summary, key.mode, &key.options)
            })
            .collect();
        let (bases, others): (Vec<_>, Vec<_>) = cells.iter().partition(|(_, key)| key.mode == left);
        for (base_name, base) in &bases {
            let Some(base_row) = self.row(base, metric) else {
                continue;
            };
            let beside = match bases.len() {
                1 => String::new(),
                _ => format!(" those of {base_name}"),
            };
            for (name, other) in &others {
                // Transactions of another size are another question, and between two tools the translator decides.
                if other.options.chunk() != base.options.chunk() || self.is_qemus(base, other) {
                    continue;
                }
                if let Some(after_ns) = self.lower_bound(other, metric) {
                    let least = known(base_row)
                        .and_then(|known| known.bounds())
                        .map(|[_, top]| after_ns / top);
                    if let Some(least) = least.filter(|least| *least > 1.0) {
                        let clause = format!(
                            "{name} more than {} times{beside} (it timed out)",
                            digits(least)
                        );
                        said.add(clause, [evidence(base_row)]);
                    }
                    continue;
                }
                let ratio = ratio(self.cells, other, base, metric);
                let Some((ratio, row)) = ratio.zip(self.row(other, metric)) else {
                    continue;
                };
                let clause = format!(
                    "{name} {} times{beside} ({}{})",
                    digits(ratio.known.value),
                    ratio.spread(),
                    ratio.doubt()
                );
                said.add(clause, [evidence(row), evidence(base_row)]);
            }
        }
        said.evidence.dedup();
        let question = format!("Leaving {left}: {what}, as a multiple of {left}'s");
        self.clauses(FindingKind::Leaving, subject, &question, said, apart)
    }
}
