//! Scopes beside each other, mode by mode: nodes of IPv4 and of IPv6, a family alone and beside the rules of the other, services
//! reached by their ClusterIPs and by another address, packets of a client and of the node. The only place where two scopes of a
//! run stand side by side with a ratio: they have one kernel, and in every block populations of one seed, which in both
//! families have the same host numbers; addresses and paths are of one stay even.

use std::collections::BTreeMap;

use schema::summary::{Row, Summary};
use schema::{CellKey, Family, Metric, NodeKind, OptionKey, PacketPath, Reach, ReachedBy, Stack};

use super::cells::Cells;
use super::ratios::{Ratio, ratio_of_blocks};
use crate::load::Run;
use crate::quantity::{digits, value, whole};
use crate::view::asked::{self, AskedRow};
use crate::view::words::{behind, missing, programmed};
use crate::view::{Scope, scopes};

/// What sets two scopes apart: below the line of the ratio, and above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apart {
    /// What nodes serve.
    Nodes([NodeKind; 2]),
    /// By which of their addresses services are reached.
    Addresses([ReachedBy; 2]),
    /// Where packets come from.
    Paths([PacketPath; 2]),
}

use Apart::{Addresses, Nodes, Paths};

/// What stands beside what.
const PAIRS: [Apart; 8] = [
    Nodes([
        NodeKind::single(Family::Ipv4),
        NodeKind::single(Family::Ipv6),
    ]),
    Nodes([NodeKind::dual(Family::Ipv4), NodeKind::dual(Family::Ipv6)]),
    Nodes([NodeKind::single(Family::Ipv4), NodeKind::dual(Family::Ipv4)]),
    Nodes([NodeKind::single(Family::Ipv6), NodeKind::dual(Family::Ipv6)]),
    Addresses([ReachedBy::ClusterIp, ReachedBy::NodePort]),
    Addresses([ReachedBy::ClusterIp, ReachedBy::LoadBalancer]),
    Addresses([ReachedBy::ClusterIp, ReachedBy::ExternalIp]),
    Paths([PacketPath::Client, PacketPath::Node]),
];

/// Two scopes beside each other, at the largest size that both have.
#[derive(Debug, Clone)]
pub struct Beside<'a> {
    /// What sets them apart.
    pub apart: Apart,
    /// What they have in common, as a phrase.
    pub place: String,
    /// N.
    pub services: u32,
    /// What was asked of both, a mode a line.
    pub lines: Vec<BesideLine<'a>>,
}

/// A mode, asked the same of both.
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

impl Apart {
    /// The two as words: "IPv4 of a dual-stack node", "node-port".
    #[must_use]
    pub fn names(self) -> [String; 2] {
        match self {
            Nodes(nodes) => nodes.map(NodeKind::words),
            Addresses(addresses) => addresses.map(|by| by.to_string()),
            Paths(paths) => paths.map(PacketPath::words),
        }
    }

    /// The same as they stand above columns of a narrow table.
    #[must_use]
    pub fn short(self) -> [String; 2] {
        match self {
            Nodes([a, b]) if a.stack == b.stack => {
                [a, b].map(|node| node.family.words().to_owned())
            }
            Nodes(nodes) => nodes.map(|node| node.stack.to_string()),
            Addresses(_) => self.names(),
            Paths(paths) => paths.map(|path| path.to_string()),
        }
    }

    /// What the ratio is of: "IPv6 ÷ IPv4", "dual ÷ single".
    #[must_use]
    pub fn ratio(self) -> String {
        let [below, above] = self.short();
        format!("{above} ÷ {below}")
    }

    /// What a title begins with.
    const fn title(self) -> &'static str {
        match self {
            Nodes(_) => "",
            Addresses(_) => "By address: ",
            Paths(_) => "By path: ",
        }
    }

    /// What a reader must know of the two.
    const fn about(self) -> &'static str {
        match self {
            Nodes(
                [
                    NodeKind {
                        stack: Stack::Single,
                        ..
                    },
                    NodeKind {
                        stack: Stack::Single,
                        ..
                    },
                ],
            ) => "Two nodes, each of one family, in labs of their own: no dual-stack node.",
            Nodes(
                [
                    NodeKind {
                        stack: Stack::Dual, ..
                    },
                    NodeKind {
                        stack: Stack::Dual, ..
                    },
                ],
            ) => {
                "Each family of dual-stack nodes, beside the rules of the other, which nothing changes meanwhile; a kube-proxy syncs both at once."
            }
            Nodes(_) => {
                "One family, on nodes of it alone and on dual-stack nodes, beside the rules of the other."
            }
            Addresses(_) => {
                "First packets of one lab to services by their ClusterIPs and by another of their addresses, each of those services of the population that have it."
            }
            Paths(_) => {
                "First packets of one lab from a client, which cross the node, and from the node itself, which passes the rules of its output; both to the same services."
            }
        }
    }

    /// The other of two scopes, of the one that stands below the line; `None` where that is none such.
    fn other(self, scope: &Scope) -> Option<Scope> {
        let reached = |is: &dyn Fn(&Reach) -> bool, other: &dyn Fn(Reach) -> Reach| {
            let reach = scope.reach.as_ref().filter(|reach| is(reach))?;
            Some(Scope {
                reach: Some(other(reach.clone())),
                ..scope.clone()
            })
        };
        match self {
            Nodes([own, other]) => (scope.node == Some(own)).then(|| Scope {
                node: Some(other),
                ..scope.clone()
            }),
            Addresses([own, by]) => {
                reached(&|reach| reach.by == own, &|reach| Reach { by, ..reach })
            }
            Paths([own, from]) => {
                reached(&|reach| reach.from == own, &|reach| Reach { from, ..reach })
            }
        }
    }

    /// What the two have in common.
    fn place(self, scope: &Scope) -> String {
        let node = scope.node.filter(|_| !matches!(self, Nodes(_)));
        let common = Scope {
            node,
            reach: None,
            ..scope.clone()
        };
        let parts = scope.reach.as_ref().map(Reach::parts);
        let [services, by, from] = parts.unwrap_or_default();
        let told = [
            services,
            by.filter(|_| !matches!(self, Addresses(_))),
            from.filter(|_| !matches!(self, Paths(_))),
        ];
        let words = [common.describe()]
            .into_iter()
            .chain(told.into_iter().flatten());
        words.collect::<Vec<_>>().join(", ")
    }

    /// The options in which cells of the two differ.
    const fn options(self) -> &'static [OptionKey] {
        match self {
            Nodes(_) => &[OptionKey::Family, OptionKey::Stack],
            Addresses(_) => &[OptionKey::Reached],
            Paths(_) => &[OptionKey::Path],
        }
    }

    /// Whether two cells are the same but for that. A floor has no addresses, so it is its own twin there and stands beside
    /// nothing.
    fn sets_apart(self, a: &CellKey, b: &CellKey) -> bool {
        let rest = |key: &CellKey| key.options.without(self.options());
        (a.mode, a.scenario) == (b.mode, b.scenario) && a != b && rest(a) == rest(b)
    }
}

impl Beside<'_> {
    /// "IPv4 beside IPv6 at 10,000 services".
    #[must_use]
    pub fn title(&self) -> String {
        let [a, b] = self.apart.names();
        let services = whole(self.services.into());
        format!(
            "{}{a} beside {b} at {services} services",
            self.apart.title()
        )
    }

    /// Headings of the two, and of their ratio.
    #[must_use]
    pub fn headings(&self) -> [String; 3] {
        let [a, b] = self.apart.names();
        [a, b, self.apart.ratio()]
    }

    /// What a reader must know of the table.
    #[must_use]
    pub fn caption(&self) -> String {
        let updates = match self.apart {
            Nodes(_) => {
                ", whose populations have one seed, of updates with what is released after them"
            }
            Addresses(_) | Paths(_) => "",
        };
        format!(
            "{} Medians of stays with 95 % intervals, of fewer than six stays their range. The ratio is the median of the quotients of stays of one block{updates}.",
            self.apart.about()
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

/// Every two scopes of a run that stand beside each other; empty where all nodes serve IPv4 alone and all packets are sent to
/// ClusterIPs by clients.
#[must_use]
pub fn beside<'a>(run: &Run, summary: &'a Summary) -> Vec<Beside<'a>> {
    let scopes = scopes(summary);
    let mut found = Vec::new();
    for apart in PAIRS {
        for scope in &scopes {
            let other = apart.other(scope).filter(|other| scopes.contains(other));
            found.extend(other.and_then(|other| of_two(run, summary, [scope, &other], apart)));
        }
    }
    found
}

fn of_two<'a>(
    run: &Run,
    summary: &'a Summary,
    both: [&Scope; 2],
    apart: Apart,
) -> Option<Beside<'a>> {
    let [sizes, others] = both.map(|scope| scope.sizes(summary));
    let services = *sizes.intersection(&others).last()?;
    let here = |key: &CellKey| key.services == services && both.iter().any(|s| s.holds(key));
    let cells = Cells::within(run, here);
    let rows = summary.cells.iter();
    let others = rows.filter(|row| row.key.services == services && both[1].holds(&row.key));
    let others: Vec<&'a Row> = others.collect();
    let mut lines = BTreeMap::new();
    for own in asked::asked(both[0], summary, services) {
        let AskedRow { place, metric, row } = own;
        let (key, options) = (&row.key, &row.key.options);
        let Some(other) = beside_of(row, metric, &others, apart) else {
            continue;
        };
        let line = BesideLine {
            asked: asked::text(&own),
            of: programmed(key.mode, options),
            metric,
            rows: [row, other],
            ratio: ratio_of_blocks(&cells, &other.key, key, metric),
        };
        lines.insert((place, options.place(), key.mode, options), line);
    }
    (!lines.is_empty()).then(|| Beside {
        apart,
        place: apart.place(both[0]),
        services,
        lines: lines.into_values().collect(),
    })
}

/// The same cell's answer in the other scope; where it has none, the row that says why.
fn beside_of<'a>(row: &Row, metric: Metric, others: &[&'a Row], apart: Apart) -> Option<&'a Row> {
    let alike = |other: &&&'a Row| apart.sets_apart(&row.key, &other.key);
    let mine: Vec<&'a Row> = others.iter().filter(alike).copied().collect();
    let answers = mine.iter().find(|other| other.metric == Some(metric));
    answers
        .or_else(|| mine.iter().find(|other| other.metric.is_none()))
        .copied()
}
