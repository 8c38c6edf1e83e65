//! The table on the terminal at the end of a run: mode × question at the largest size.

use schema::summary::{Row, Summary};
use schema::{Metric, Mode, ScenarioKind, Unit};

/// A question of the table: heading, scenario, metric, options that a row must have.
type Question = (
    &'static str,
    ScenarioKind,
    Metric,
    &'static [(&'static str, &'static str)],
);

const QUESTIONS: &[Question] = &[
    (
        "cold install, one transaction",
        ScenarioKind::ColdInstall,
        Metric::UpdateTime,
        &[("chunk", "all")],
    ),
    (
        "cold install, 500 a transaction",
        ScenarioKind::ColdInstall,
        Metric::UpdateTime,
        &[("chunk", "500")],
    ),
    (
        "add one service",
        ScenarioKind::ServiceAdd,
        Metric::UpdateTime,
        &[],
    ),
    (
        "first packet, tcp, first",
        ScenarioKind::FirstPacket,
        Metric::Latency,
        &[("protocol", "tcp"), ("position", "first")],
    ),
    (
        "first packet, tcp, last",
        ScenarioKind::FirstPacket,
        Metric::Latency,
        &[("protocol", "tcp"), ("position", "last")],
    ),
    (
        "first packet, udp, last",
        ScenarioKind::FirstPacket,
        Metric::Latency,
        &[("protocol", "udp"), ("position", "last")],
    ),
];

/// Renders the table; empty when nothing was planned.
pub(crate) fn render(summary: &Summary) -> String {
    let Some(services) = summary.cells.iter().map(|row| row.key.services).max() else {
        return String::new();
    };
    let rows: Vec<&Row> = summary
        .cells
        .iter()
        .filter(|r| r.key.services == services && r.key.variant.is_empty())
        .collect();
    let modes: Vec<Mode> = Mode::ALL
        .iter()
        .copied()
        .filter(|m| rows.iter().any(|r| r.key.mode == *m))
        .collect();
    let mut text = format!(
        "median at {services} services (n samples / stays)\n{:<32}",
        ""
    );
    for mode in &modes {
        text.push_str(&format!(" {:>24}", mode.name()));
    }
    for (heading, scenario, metric, options) in QUESTIONS {
        let asked: Vec<&&Row> = rows
            .iter()
            .filter(|r| {
                r.key.scenario == *scenario
                    && options
                        .iter()
                        .all(|(k, v)| r.key.options.get(*k).is_some_and(|o| o == v))
            })
            .collect();
        if asked.is_empty() {
            continue;
        }
        text.push_str(&format!("\n{heading:<32}"));
        for mode in &modes {
            let cell = asked
                .iter()
                .find(|r| r.key.mode == *mode && (r.metric == Some(*metric) || r.metric.is_none()))
                .map_or_else(|| "-".to_owned(), |r| describe(r));
            text.push_str(&format!(" {cell:>24}"));
        }
    }
    text
}

fn describe(row: &Row) -> String {
    match (row.median, row.outcome.as_str()) {
        (Some(ns), _) => format!(
            "{} ({}/{})",
            reports::quantity::value(ns, Unit::Nanoseconds),
            row.n,
            row.stays
        ),
        (None, "timed-out") => row
            .reason
            .clone()
            .unwrap_or_else(|| "timed-out".to_owned())
            .replace("longer than", ">"),
        (None, outcome) => outcome.to_owned(),
    }
}
