//! Families beside each other: what the same services cost a node of IPv4 and a node of IPv6, and a family alone and
//! beside the rules of the other. The only place where two scopes of a run stand side by side with a ratio: they have one
//! kernel, and in every block populations of one seed, which in both families have the same host numbers.

use std::collections::BTreeMap;

use schema::summary::{Row, Summary};
use schema::{CellKey, Family, Metric, NodeKind, ScenarioKind, Stack, filled};

use super::cells::Cells;
use super::ratios::{Ratio, ratio_of_blocks};
use crate::load::Run;
use crate::quantity::{digits, value, whole};
use crate::view::words::{behind, missing, programmed};
use crate::view::{Scope, scopes};

/// What stands beside what: below the line of the ratio, and above it.
const PAIRS: [[NodeKind; 2]; 4] = [
    [NodeKind::single(Family::Ipv4), NodeKind::single(Family::Ipv6)],
    [NodeKind::dual(Family::Ipv4), NodeKind::dual(Family::Ipv6)],
    [NodeKind::single(Family::Ipv4), NodeKind::dual(Family::Ipv4)],
    [NodeKind::single(Family::Ipv6), NodeKind::dual(Family::Ipv6)],
];

/// What is asked of both, in the order of the table; memory is that of [`Scope::weighing`].
const ASKED: [(ScenarioKind, Metric); 7] = [
    (ScenarioKind::FirstPacket, Metric::Latency),
    (ScenarioKind::ServiceAdd, Metric::UpdateTime),
    (ScenarioKind::ServiceAdd, Metric::SyncTime),
    (ScenarioKind::ColdInstall, Metric::UpdateTime),
    (ScenarioKind::ColdInstall, Metric::KernelMemory),
    (ScenarioKind::Memory, Metric::KernelMemory),
    (ScenarioKind::RuleCount, Metric::Rules),
];

/// Two kinds of node beside each other, at the largest size that both have.
#[derive(Debug, Clone)]
pub struct Beside<'a> {
    /// Where both are: the scope that they have in common.
    pub scope: Scope,
    /// The two.
    pub nodes: [NodeKind; 2],
    /// N.
    pub services: u32,
    /// What was asked of both, a mode a line.
    pub lines: Vec<BesideLine<'a>>,
}

/// A mode, asked the same on both.
#[derive(Debug, Clone)]
pub struct BesideLine<'a> {
    /// The question as words.
    pub asked: String,
    /// The mode, and how it is programmed.
    pub of: String,
    /// What is asked.
    pub metric: Metric,
    /// The answers.
    pub rows: [&'a Row; 2],
    /// The second ÷ the first; `None` where one has no number, or no block has both.
    pub ratio: Option<Ratio>,
}

impl Beside<'_> {
    /// "IPv4 beside IPv6 at 10,000 services".
    #[must_use]
    pub fn title(&self) -> String {
        let [a, b] = self.nodes.map(NodeKind::words);
        format!("{a} beside {b} at {} services", whole(self.services.into()))
    }

    /// Headings of the two, and of their ratio.
    #[must_use]
    pub fn headings(&self) -> [String; 3] {
        let [a, b] = self.nodes.map(NodeKind::words);
        let ratio = match self.nodes[0].stack == self.nodes[1].stack {
            true => format!(
                "{} ÷ {}",
                self.nodes[1].family.words(),
                self.nodes[0].family.words()
            ),
            false => "dual ÷ single".to_owned(),
        };
        [a, b, ratio]
    }

    /// What a reader must know of the table.
    #[must_use]
    pub fn caption(&self) -> String {
        let what = match self.nodes.map(|node| node.stack) {
            [Stack::Single, Stack::Single] => {
                "Two nodes, each of one family, in labs of their own: no dual-stack node."
            }
            [Stack::Dual, Stack::Dual] => {
                "Each family of dual-stack nodes, beside the rules of the other, which nothing changes meanwhile; a kube-proxy syncs both at once."
            }
            _ => {
                "One family, on nodes of it alone and on dual-stack nodes, beside the rules of the other."
            }
        };
        format!(
            "{what} Medians of stays with 95 % intervals, of fewer than six stays their range. The ratio is the median of the quotients of stays of one block, whose populations have one seed, of updates with what is released after them."
        )
    }
}

impl BesideLine<'_> {
    /// "29.1 µs (28.5–29.9 µs, n = 3,300 in 11 stays)", of either; or why there is no number.
    #[must_use]
    pub fn figures(&self) -> [String; 2] {
        self.rows.map(|row| match row.median.zip(row.unit) {
            Some((median, unit)) => {
                let noisy = if row.noisy { ", noisy" } else { "" };
                format!("{} ({}{noisy})", value(median, unit), behind(row))
            }
            None => missing(row, self.metric),
        })
    }

    /// The same without what it rests on.
    #[must_use]
    pub fn values(&self) -> [String; 2] {
        self.rows.map(|row| match row.median.zip(row.unit) {
            Some((median, unit)) => value(median, unit),
            None => row.outcome.to_string(),
        })
    }

    /// "1.07 (1.05–1.09)"; "–" without a ratio.
    #[must_use]
    pub fn times(&self) -> String {
        self.ratio.map_or_else(
            || "–".to_owned(),
            |ratio| format!("{} ({})", digits(ratio.known.value), ratio.spread()),
        )
    }
}

/// Every two kinds of node of a run that stand beside each other; empty where all nodes serve IPv4 alone.
#[must_use]
pub fn beside<'a>(run: &Run, summary: &'a Summary) -> Vec<Beside<'a>> {
    let scopes = scopes(summary);
    let mut found = Vec::new();
    for nodes in PAIRS {
        for scope in scopes.iter().filter(|scope| scope.node == Some(nodes[0])) {
            let other = Scope {
                node: Some(nodes[1]),
                ..scope.clone()
            };
            if scopes.contains(&other) {
                found.extend(of_two(run, summary, [scope, &other], nodes));
            }
        }
    }
    found
}

fn of_two<'a>(
    run: &Run,
    summary: &'a Summary,
    both: [&Scope; 2],
    nodes: [NodeKind; 2],
) -> Option<Beside<'a>> {
    let [sizes, others] = both.map(|scope| scope.sizes(summary));
    let services = *sizes.intersection(&others).last()?;
    let rows = both.map(|scope| {
        let rows = summary.cells.iter();
        let here = rows.filter(|row| row.key.services == services && scope.holds(&row.key));
        here.collect::<Vec<&'a Row>>()
    });
    let here = |key: &CellKey| key.services == services && both.iter().any(|s| s.holds(key));
    let cells = Cells::within(run, here);
    let (shown, weighing) = (both[0].shown(summary), both[0].weighing(summary));
    let mut lines = BTreeMap::new();
    for row in &rows[0] {
        let (key, options) = (&row.key, &row.key.options);
        for (place, (scenario, metric)) in ASKED.into_iter().enumerate() {
            let weighed = metric == Metric::KernelMemory;
            let asked = scenario == key.scenario
                && shown.holds(options)
                && (!weighed || scenario == weighing)
                && (!weighed || both[0].shows_memory(summary, key.mode, options));
            // A cell without numbers stands once, for what is asked of it first.
            let first = ASKED.iter().position(|(own, _)| *own == scenario);
            let answers = match row.metric {
                Some(own) => own == metric,
                None => first == Some(place) && !weighed,
            };
            if !asked || !answers {
                continue;
            }
            let Some(other) = beside_of(row, metric, &rows[1]) else {
                continue;
            };
            let ask = scenario.ask(metric);
            let words = ask.map_or(scenario.row().words, |ask| ask.text);
            let line = BesideLine {
                asked: filled(words, &whole(services.into()), &options.told()),
                of: programmed(key.mode, options),
                metric,
                rows: [*row, other],
                ratio: ratio_of_blocks(&cells, &other.key, key, metric),
            };
            lines.insert((place, options.place(), key.mode, options), line);
        }
    }
    (!lines.is_empty()).then(|| Beside {
        scope: Scope {
            node: None,
            ..both[0].clone()
        },
        nodes,
        services,
        lines: lines.into_values().collect(),
    })
}

/// The same cell's answer on the other node; where it has none, the row that says why.
fn beside_of<'a>(row: &Row, metric: Metric, others: &[&'a Row]) -> Option<&'a Row> {
    let alike = |other: &&&'a Row| {
        let (a, b) = (&row.key, &other.key);
        (a.mode, a.scenario) == (b.mode, b.scenario)
            && a.options.on_any_node() == b.options.on_any_node()
    };
    let mine: Vec<&'a Row> = others.iter().filter(alike).copied().collect();
    let answers = mine.iter().find(|other| other.metric == Some(metric));
    answers
        .or_else(|| mine.iter().find(|other| other.metric.is_none()))
        .copied()
}
