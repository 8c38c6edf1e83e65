//! OpenMetrics text, version 1.0 (RFC draft-ietf-opsawg-openmetrics): medians and the ends of their intervals as gauges,
//! for a text file that a node exporter reads or a gateway takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schema::summary::{Row, Summary};
use schema::{CellKey, Metric, OutcomeKind, Unit};

use crate::load::Run;

/// Beginning of every name.
const PREFIX: &str = "bench_runner";

/// Samples of one metric and unit: labels and value.
type Samples = Vec<(String, f64)>;

/// The families of what the runs measured, with what became of their cells.
#[must_use]
pub fn render_openmetrics(runs: &[(&Run, &Summary)]) -> String {
    let mut out = String::new();
    // Samples of several runs are told apart by their order; one run needs no label that changes with each.
    let of = |index: usize| match runs.len() {
        1 => String::new(),
        _ => (index + 1).to_string(),
    };
    environments(runs, &of, &mut out);
    outcomes(runs, &of, &mut out);
    let mut families: BTreeMap<(Metric, Unit), [Samples; 3]> = BTreeMap::new();
    for (index, (_, summary)) in runs.iter().enumerate() {
        for row in &summary.cells {
            let (Some(metric), Some(unit), Some(median)) = (row.metric, row.unit, row.median)
            else {
                continue;
            };
            let labels = labels(&row.key, &of(index));
            let [values, lows, highs] = families.entry((metric, unit)).or_default();
            values.push((labels.clone(), median));
            if let Some([low, high]) = row.ci95 {
                lows.push((labels.clone(), low));
                highs.push((labels, high));
            }
        }
    }
    for ((metric, unit), samples) in &families {
        let meaning = metric.row().meaning;
        let what = [
            ("", "median of the medians of the stays"),
            ("_low", "lower end of the 95 % interval of the median"),
            ("_high", "upper end of the 95 % interval of the median"),
        ];
        for ((end, said), samples) in what.iter().zip(samples) {
            let (suffix, factor) = base(*unit);
            let samples = samples
                .iter()
                .map(|(labels, value)| (labels, value / factor));
            let family = Family {
                name: format!("{metric}{end}"),
                kind: "gauge",
                unit: suffix,
                help: format!("{meaning}; {said}"),
            };
            family.write(samples.collect(), &mut out);
        }
    }
    out + "# EOF\n"
}

struct Family<'a> {
    name: String,
    kind: &'a str,
    unit: &'a str,
    help: String,
}

impl Family<'_> {
    /// The family with its samples; nothing of one without.
    fn write(&self, samples: Vec<(&String, f64)>, out: &mut String) {
        if samples.is_empty() {
            return;
        }
        let (kind, unit) = (self.kind, self.unit);
        let mut name = format!("{PREFIX}_{}", self.name);
        if !unit.is_empty() {
            name += &format!("_{unit}");
        }
        let _ = writeln!(out, "# TYPE {name} {kind}");
        if !unit.is_empty() {
            let _ = writeln!(out, "# UNIT {name} {unit}");
        }
        let _ = writeln!(out, "# HELP {name} {}", escaped(&self.help));
        let suffix = if kind == "info" { "_info" } else { "" };
        for (labels, value) in samples {
            let value = match value {
                value if value == f64::INFINITY => "+Inf".to_owned(),
                value => value.to_string(),
            };
            let _ = writeln!(out, "{name}{suffix}{{{labels}}} {value}");
        }
    }
}

fn environments(runs: &[(&Run, &Summary)], of: &dyn Fn(usize) -> String, out: &mut String) {
    let mut samples = Vec::new();
    for (index, (run, _)) in runs.iter().enumerate() {
        for (name, facts) in &run.header.environments {
            let labels = [
                ("environment", name.as_str()),
                ("sandbox", facts.sandbox.name()),
                ("accel", facts.accel.name()),
                ("kernel", &facts.kernel),
                ("machine", &facts.machine),
                ("cpu", &facts.cpu),
                ("started", &run.header.started),
                ("revision", &run.header.revision),
                ("run", &of(index)),
            ];
            samples.push(labelled(&labels));
        }
    }
    let family = Family {
        name: "environment".to_owned(),
        kind: "info",
        unit: "",
        help: "what was measured on, and when".to_owned(),
    };
    family.write(samples.iter().map(|labels| (labels, 1.0)).collect(), out);
}

fn outcomes(runs: &[(&Run, &Summary)], of: &dyn Fn(usize) -> String, out: &mut String) {
    let mut samples: Samples = Vec::new();
    for (index, (_, summary)) in runs.iter().enumerate() {
        // A measured cell has a row for each metric.
        let mut cells: BTreeMap<&CellKey, OutcomeKind> = BTreeMap::new();
        let rows = summary.cells.iter();
        cells.extend(rows.map(|Row { key, outcome, .. }| (key, *outcome)));
        for outcome in OutcomeKind::ALL {
            let of_it = cells.values().filter(|own| *own == outcome).count();
            let labels = [("outcome", outcome.name()), ("run", &of(index))];
            samples.push((labelled(&labels), of_it as f64));
        }
    }
    let family = Family {
        name: "cells".to_owned(),
        kind: "gauge",
        unit: "",
        help: "planned cells by what became of them".to_owned(),
    };
    family.write(
        samples.iter().map(|(labels, n)| (labels, *n)).collect(),
        out,
    );
}

fn labels(key: &CellKey, run: &str) -> String {
    let (services, endpoints) = (key.services.to_string(), key.endpoints.to_string());
    let mut labels = vec![
        ("mode", key.mode.name()),
        ("scenario", key.scenario.name()),
        ("services", &services),
        ("endpoints", &endpoints),
        ("environment", &key.environment),
        ("variant", &key.variant),
        ("run", run),
    ];
    labels.extend(key.options.iter().map(|(k, v)| (k.name(), v)));
    labelled(&labels)
}

/// `a="b",c="d"`, without those that say nothing.
fn labelled(labels: &[(&str, &str)]) -> String {
    let labels = labels.iter().filter(|(_, value)| !value.is_empty());
    let labels: Vec<String> = labels
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    labels.join(",")
}

/// The base of a unit as it ends a name, and how many of ours it holds.
const fn base(unit: Unit) -> (&'static str, f64) {
    match unit {
        Unit::Nanoseconds => ("seconds", 1e9),
        Unit::Bytes => ("bytes", 1.0),
        Unit::Instructions => ("instructions", 1.0),
        Unit::Count => ("", 1.0),
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    text.replace('\n', "\\n")
}
