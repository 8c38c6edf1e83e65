//! Go benchmark text (golang.org/design/14313-benchmark-format): what its names, units and lines are to us. `benchstat`
//! tells benchmarks apart by their names and counts their lines, so a line is a stay.

use std::collections::{BTreeMap, BTreeSet};

use schema::{CellKey, Metric, Unit};

/// The metrics of a stay with their units, and its values.
pub(crate) type Values = BTreeMap<(Metric, Unit), f64>;

/// Which way is better, unit by unit.
pub(crate) fn heading(units: impl Iterator<Item = (Metric, Unit)>) -> String {
    let units: BTreeSet<(Metric, Unit)> = units.collect();
    let lines = units
        .into_iter()
        .map(|(metric, unit)| format!("Unit {} better=lower\n", name_of(metric, unit)));
    lines.collect()
}

/// "BenchmarkFirstPacket/mode=nftables/services=1000/endpoints=2/position=last".
pub(crate) fn name(key: &CellKey) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    let scenario: String = key.scenario.name().split('-').map(capital).collect();
    let mut name = format!(
        "Benchmark{scenario}/mode={}/services={}/endpoints={}",
        key.mode, key.services, key.endpoints
    );
    let options = key.options.iter();
    let mut parts: Vec<(String, &str)> = options.map(|(k, v)| (k.to_string(), v)).collect();
    parts.push(("variant".to_owned(), &key.variant));
    parts.push(("environment".to_owned(), &key.environment));
    for (part, value) in parts.iter().filter(|(_, value)| !value.is_empty()) {
        name += &format!("/{part}={}", word(value));
    }
    name
}

/// A line: a benchmark's name, how many samples it is of, values with their units.
pub(crate) fn result(name: &str, samples: u64, values: &Values) -> String {
    let mut line = format!("{name} {samples}");
    for ((metric, unit), value) in values {
        line += &format!(" {value} {}", name_of(*metric, *unit));
    }
    line + "\n"
}

/// A line that holds for all results after it.
pub(crate) fn setting(name: &str, value: &str) -> String {
    let value = value.replace(|letter: char| letter.is_control(), " ");
    format!("{name}: {value}\n")
}

/// "latency-ns", which benchstat reads as seconds; of numbers of things the metric alone.
fn name_of(metric: Metric, unit: Unit) -> String {
    match unit {
        Unit::Nanoseconds => format!("{metric}-ns"),
        Unit::Instructions => format!("{metric}-instructions"),
        Unit::Bytes => format!("{metric}-B"),
        Unit::Count => metric.to_string(),
    }
}

/// Without what ends a name or a part of one.
fn word(value: &str) -> String {
    value.replace(
        |letter: char| letter.is_whitespace() || letter.is_control() || letter == '/',
        "_",
    )
}
