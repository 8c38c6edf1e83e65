//! The table on the terminal at the end of a run: mode × question at the largest size. Modes are rows,
//! so that seven of them fit a terminal; questions are columns, in as many bands as the width asks for.

use std::collections::BTreeSet;

use reports::quantity::value;
use reports::scope::{Scope, scopes};
use reports::update_table::without_time;
use schema::summary::{Row, Summary};
use schema::{CellKey, Metric, Mode, Options, ScenarioKind};

/// Width of a terminal.
const WIDTH: usize = 100;
/// Between columns.
const GAP: &str = "  ";

/// What is asked of a scenario.
const fn metrics(scenario: ScenarioKind) -> &'static [Metric] {
    match scenario {
        ScenarioKind::ServiceAdd => &[
            Metric::UpdateTime,
            Metric::SyncTime,
            Metric::Messages,
            Metric::BytesSent,
        ],
        ScenarioKind::ColdInstall => &[Metric::UpdateTime, Metric::KernelMemory],
        ScenarioKind::Resync
        | ScenarioKind::ServiceRemove
        | ScenarioKind::EndpointChurn
        | ScenarioKind::Teardown => &[Metric::UpdateTime],
        ScenarioKind::FirstPacket => &[Metric::Latency],
        ScenarioKind::Memory => &[Metric::KernelMemory, Metric::KernelMemoryPeak],
        ScenarioKind::RuleCount => &[
            Metric::Rules,
            Metric::Chains,
            Metric::Sets,
            Metric::Elements,
        ],
    }
}

/// Scenarios whose questions stand beside each other.
const TOPICS: &[&[ScenarioKind]] = &[
    &[
        ScenarioKind::ColdInstall,
        ScenarioKind::Resync,
        ScenarioKind::ServiceAdd,
        ScenarioKind::ServiceRemove,
        ScenarioKind::EndpointChurn,
        ScenarioKind::Teardown,
    ],
    &[ScenarioKind::FirstPacket],
    &[ScenarioKind::Memory, ScenarioKind::RuleCount],
];

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    scenario: ScenarioKind,
    metric: Metric,
    /// The options that ask: not how the mode is programmed.
    asked: Options,
}

/// A mode, programmed in one way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    mode: Mode,
    engine: Option<String>,
    transport: Option<String>,
    /// Whether cells that do not say a transport are shown here: in the first series of their engine.
    first: bool,
}

/// Renders the table; empty when nothing was planned.
pub(crate) fn render(summary: &Summary) -> String {
    let scopes = scopes(summary);
    let several = scopes.len() > 1;
    let parts: Vec<String> = scopes
        .iter()
        .map(|scope| of_scope(summary, scope, several))
        .filter(|text| !text.is_empty())
        .collect();
    parts.join("\n\n")
}

fn of_scope(summary: &Summary, scope: &Scope, named: bool) -> String {
    let services = scope.largest(summary);
    let rows: Vec<&Row> = scope
        .rows(summary)
        .filter(|row| row.key.services == services)
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let place = if named {
        format!(", {}", scope.describe())
    } else {
        String::new()
    };
    let noisy = if rows.iter().any(|row| row.noisy) {
        "; ~ moved by other users of the host's kernel"
    } else {
        ""
    };
    let mut text = format!("medians at {services} services{place} (samples/stays{noisy})");
    let series = series(&rows);
    for topic in TOPICS {
        for grid in grids(&rows, &series, &columns(&rows, topic)) {
            text.push_str("\n\n");
            text.push_str(&grid);
        }
    }
    text
}

fn columns(rows: &[&Row], topic: &[ScenarioKind]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for scenario in topic {
        let mine = || rows.iter().filter(|row| row.key.scenario == *scenario);
        let mut shapes: Vec<Options> = mine().map(|row| asked(&row.key)).collect();
        shapes.sort_by_key(order);
        shapes.dedup();
        for shape in shapes {
            for metric in metrics(*scenario) {
                // What no mode has is no question of this run; cells without numbers stand for the first.
                let anyone =
                    mine().any(|row| row.metric == Some(*metric) && asked(&row.key) == shape);
                if anyone || *metric == metrics(*scenario)[0] {
                    columns.push(Column {
                        scenario: *scenario,
                        metric: *metric,
                        asked: shape.clone(),
                    });
                }
            }
        }
    }
    columns
}

/// The options of a cell that ask something.
fn asked(key: &CellKey) -> Options {
    let mut options = key.options.clone();
    options.retain(|name, _| matches!(name.as_str(), "chunk" | "churn" | "position" | "protocol"));
    options
}

/// Protocols, then positions as they lie; one transaction before chunks.
fn order(options: &Options) -> (Option<String>, usize, u64, Option<String>) {
    let of = |name: &str| options.get(name).cloned();
    let places = ["first", "middle", "last", "uniform"];
    let place = of("position").and_then(|p| places.iter().position(|place| *place == p));
    let chunk = of("chunk").and_then(|chunk| chunk.parse().ok());
    (
        of("protocol"),
        place.unwrap_or(places.len()),
        chunk.unwrap_or(0),
        of("churn"),
    )
}

fn series(rows: &[&Row]) -> Vec<Series> {
    let mut found: BTreeSet<(Mode, Option<String>, Option<String>)> = BTreeSet::new();
    for row in rows {
        let of = |name: &str| row.key.options.get(name).cloned();
        found.insert((row.key.mode, of("engine"), of("transport")));
    }
    let mut series: Vec<Series> = Vec::new();
    for (mode, engine, transport) in &found {
        let programmed = found
            .iter()
            .any(|(m, e, t)| m == mode && e == engine && t.is_some());
        if transport.is_none() && programmed {
            continue;
        }
        series.push(Series {
            mode: *mode,
            engine: engine.clone(),
            transport: transport.clone(),
            first: !series
                .iter()
                .any(|s| s.mode == *mode && s.engine == *engine),
        });
    }
    series
}

impl Series {
    fn holds(&self, key: &CellKey) -> bool {
        let transport = key.options.get("transport");
        key.mode == self.mode
            && key.options.get("engine") == self.engine.as_ref()
            && (transport == self.transport.as_ref() || (transport.is_none() && self.first))
    }

    /// The mode, and how it is programmed where it is so in several ways.
    fn name(&self, all: &[Self]) -> String {
        let mine = || all.iter().filter(|other| other.mode == self.mode);
        let mut name = self.mode.to_string();
        for (differs, word) in [
            (
                mine().any(|o| o.transport != self.transport),
                &self.transport,
            ),
            (mine().any(|o| o.engine != self.engine), &self.engine),
        ] {
            if let Some(word) = word.as_ref().filter(|_| differs) {
                name.push('/');
                name.push_str(word);
            }
        }
        name
    }
}

/// Two lines above a column.
fn heading(column: &Column) -> [String; 2] {
    let words: Vec<String> = ["protocol", "position", "chunk", "churn"]
        .iter()
        .filter_map(|name| {
            let value = column.asked.get(*name)?;
            Some(match (*name, value.as_str()) {
                ("chunk", "all") => "all at once".to_owned(),
                ("chunk", chunk) => format!("by {chunk}"),
                ("churn", churn) => format!("{churn} endpoints"),
                _ => value.clone(),
            })
        })
        .collect();
    let second = match column.scenario {
        ScenarioKind::Memory => match column.metric {
            Metric::KernelMemoryPeak => "peak".to_owned(),
            _ => "kernel".to_owned(),
        },
        ScenarioKind::RuleCount => column.metric.to_string(),
        ScenarioKind::ColdInstall if column.metric == Metric::KernelMemory => {
            format!("memory {}", words.join(" "))
        }
        ScenarioKind::ServiceAdd => match column.metric {
            Metric::UpdateTime => "time".to_owned(),
            Metric::SyncTime => "kube-proxy's".to_owned(),
            Metric::BytesSent => "bytes".to_owned(),
            other => other.to_string(),
        },
        _ => words.join(" "),
    };
    [column.scenario.to_string(), second]
}

/// A topic as grids of at most [`WIDTH`] columns; series that were asked nothing of it are left out.
fn grids(rows: &[&Row], all: &[Series], columns: &[Column]) -> Vec<String> {
    let cell = |series: &Series, column: &Column| {
        rows.iter().find(|row| {
            series.holds(&row.key)
                && row.key.scenario == column.scenario
                && asked(&row.key) == column.asked
                && row.metric.is_none_or(|metric| metric == column.metric)
        })
    };
    let shown: Vec<&Series> = all
        .iter()
        .filter(|series| columns.iter().any(|column| cell(series, column).is_some()))
        .collect();
    let names: Vec<String> = shown.iter().map(|series| series.name(all)).collect();
    let first = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    let mut grids: Vec<Vec<String>> = Vec::new();
    let mut used = usize::MAX;
    for column in columns {
        let mut lines: Vec<String> = heading(column).to_vec();
        lines.extend(shown.iter().map(|series| match cell(series, column) {
            Some(row) => describe(row),
            None => absent(series, column, rows).to_owned(),
        }));
        let width = lines
            .iter()
            .map(|line| line.chars().count())
            .max()
            .unwrap_or(0);
        if used.saturating_add(GAP.len() + width) > WIDTH {
            let blank = ["", ""].into_iter();
            let labels = blank.chain(names.iter().map(String::as_str));
            grids.push(labels.map(|name| format!("{name:<first$}")).collect());
            used = first;
        }
        used += GAP.len() + width;
        if let Some(grid) = grids.last_mut() {
            for (line, text) in grid.iter_mut().zip(lines) {
                line.push_str(&format!("{GAP}{text:>width$}"));
            }
        }
    }
    grids.into_iter().map(|lines| lines.join("\n")).collect()
}

/// Why a measured scenario has no such number in a series, or that it was not asked.
fn absent(series: &Series, column: &Column, rows: &[&Row]) -> &'static str {
    let asked_here = rows.iter().any(|row| {
        series.holds(&row.key)
            && row.key.scenario == column.scenario
            && asked(&row.key) == column.asked
    });
    match (asked_here, column.metric) {
        (true, Metric::SyncTime) => "no such mode",
        (true, _) => "not counted",
        (false, _) => "not planned",
    }
}

/// "29.1 µs 3000/15", "> 60 s", "unsupported".
fn describe(row: &Row) -> String {
    match (row.median, row.unit) {
        (Some(median), Some(unit)) => format!(
            "{}{} {}/{}",
            value(median, unit),
            if row.noisy { "~" } else { "" },
            row.n,
            row.stays
        ),
        _ if row.outcome == "timed-out" => without_time(row)
            .trim_start_matches("timed out: ")
            .replace("longer than", ">")
            .split(" (")
            .next()
            .filter(|text| text.starts_with('>'))
            .unwrap_or("timed-out")
            .to_owned(),
        _ => row.outcome.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schema::Unit;
    use schema::summary::Coverage;

    use super::*;

    fn row(mode: Mode, scenario: ScenarioKind, options: &[(&str, &str)], metric: Metric) -> Row {
        Row {
            key: CellKey {
                mode,
                scenario,
                services: 10_000,
                endpoints: 2,
                environment: "netns".to_owned(),
                variant: String::new(),
                options: options
                    .iter()
                    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                    .collect(),
            },
            metric: Some(metric),
            unit: Some(metric.unit()),
            outcome: "measured".to_owned(),
            reason: None,
            n: 15_000,
            stays: 15,
            median: Some(123.4e6),
            ci95: None,
            lower_bound_ns: None,
            quantiles: BTreeMap::new(),
            noisy: metric == Metric::KernelMemory,
        }
    }

    /// Every mode but the floors in every scenario, nftables through two transports.
    fn summary() -> Summary {
        let mut cells = Vec::new();
        for &mode in Mode::ALL {
            let ways: &[&[(&str, &str)]] = match mode {
                Mode::Nftables => &[&[("transport", "netlink")], &[("transport", "nft")]],
                Mode::Ipset => &[&[("transport", "netlink"), ("engine", "legacy")]],
                _ => &[&[("transport", "restore")]],
            };
            let engine: Vec<(&str, &str)> = ways[0]
                .iter()
                .copied()
                .filter(|(k, _)| *k == "engine")
                .collect();
            for position in ["first", "middle", "last", "uniform"] {
                for protocol in ["tcp", "udp"] {
                    let options = [
                        engine.clone(),
                        vec![("position", position), ("protocol", protocol)],
                    ]
                    .concat();
                    cells.push(row(
                        mode,
                        ScenarioKind::FirstPacket,
                        &options,
                        Metric::Latency,
                    ));
                }
            }
            if mode.is_floor() {
                continue;
            }
            for metric in metrics(ScenarioKind::RuleCount) {
                cells.push(row(mode, ScenarioKind::RuleCount, &engine, *metric));
            }
            for way in ways {
                for scenario in TOPICS[0].iter().chain([&ScenarioKind::Memory]) {
                    for metric in metrics(*scenario) {
                        let chunk =
                            (*scenario == ScenarioKind::ColdInstall).then_some(("chunk", "all"));
                        let options: Vec<_> = way.iter().copied().chain(chunk).collect();
                        cells.push(row(mode, *scenario, &options, *metric));
                    }
                }
            }
        }
        Summary {
            schema_version: schema::SCHEMA_VERSION,
            environments: BTreeMap::new(),
            cells,
            fits: Vec::new(),
            findings: Vec::new(),
            noise: None,
            coverage: Coverage {
                planned: 0,
                outcomes: BTreeMap::new(),
                missing: 0,
                ended: "complete".to_owned(),
            },
        }
    }

    #[test]
    fn every_mode_fits_a_terminal_and_every_line_of_a_band_is_as_wide() {
        let text = render(&summary());
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        for band in text.split("\n\n").skip(1) {
            let widths: BTreeSet<usize> = band.lines().map(|line| line.chars().count()).collect();
            assert_eq!(widths.len(), 1, "{band}");
        }
        for mode in Mode::ALL {
            assert!(
                text.lines().any(|line| line.starts_with(mode.name())),
                "{mode}"
            );
        }
        assert!(
            text.contains("nftables/nft") && !text.contains("ipset/"),
            "{text}"
        );
        assert!(text.contains("123 MB~ 15000/15"), "{text}");
    }

    #[test]
    fn every_question_of_every_scenario_is_a_column() {
        let text = render(&summary());
        for scenario in ScenarioKind::ALL {
            assert!(text.contains(scenario.name()), "{scenario}");
        }
        for word in [
            "messages",
            "bytes",
            "elements",
            "tcp last",
            "udp uniform",
            "peak",
        ] {
            assert!(text.contains(word), "{word}");
        }
    }

    #[test]
    fn a_cell_without_a_number_says_why_and_is_never_blank() {
        let mut summary = summary();
        for cell in &mut summary.cells {
            let nft = cell
                .key
                .options
                .get("transport")
                .is_some_and(|t| t == "nft");
            if nft || cell.key.mode == Mode::IptablesNft {
                (cell.metric, cell.unit, cell.median) = (None, None, None);
                cell.outcome = if nft { "unsupported" } else { "timed-out" }.to_owned();
                cell.lower_bound_ns = Some(60_000_000_000);
            }
        }
        summary
            .cells
            .retain(|cell| cell.key.mode != Mode::Ipset || cell.metric != Some(Metric::SyncTime));
        let text = render(&summary);
        let line = |name: &str| {
            text.lines()
                .find(|l| l.starts_with(name))
                .unwrap_or_default()
        };
        assert!(line("nftables/nft ").contains("unsupported"), "{text}");
        assert!(line("iptables-nft ").contains("> 60 s"), "{text}");
        assert!(
            text.contains("no such mode"),
            "kube-proxy has no ipset mode: {text}"
        );
        // A time limit bounds an update, never a packet or bytes.
        let packets = text
            .split("\n\n")
            .find(|band| band.contains("tcp first"))
            .unwrap_or_default();
        assert!(
            packets.contains("timed-out") && !packets.contains("> 60 s"),
            "{packets}"
        );
    }

    #[test]
    fn nothing_planned_is_an_empty_table() {
        let nothing = Summary {
            cells: Vec::new(),
            ..summary()
        };
        assert_eq!(render(&nothing), "");
        assert_eq!(Metric::UpdateTime.unit(), Unit::Nanoseconds);
    }
}
