//! A line a run and a column a series, as Apache Otava's CSV importer reads it: `time` is its time column, `run`, `revision`
//! and `around` its attributes, every other column a metric. Where a run lacks a value it has that of the run before, or
//! at the beginning that of the first which has one, as Otava itself fills its series.

use std::collections::BTreeMap;

use schema::trend::Trend;

use super::name;

pub(super) fn render(trend: &Trend) -> String {
    let mut around: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for change in &trend.environments {
        let facts = change.differences.iter();
        let facts = facts.map(|of| format!("{} {} → {}", of.fact, of.base, of.new));
        around.entry(change.at).or_default().extend(facts);
    }
    let columns: Vec<(String, Vec<f64>)> = trend
        .series
        .iter()
        .filter_map(|series| Some((name(series), filled(&series.values)?)))
        .collect();
    let heads = ["time", "run", "revision", "around"].map(str::to_owned);
    let heads = heads
        .into_iter()
        .chain(columns.iter().map(|(name, _)| name.clone()));
    let mut out = line(heads);
    for (at, run) in (0..).zip(&trend.runs) {
        let changes = around.get(&at).map_or_else(String::new, |of| of.join("; "));
        let facts = [
            run.started.clone(),
            run.run.clone(),
            run.revision.clone(),
            changes,
        ];
        let values = columns
            .iter()
            .map(|(_, values)| values[at as usize].to_string());
        out += &line(facts.into_iter().chain(values));
    }
    out
}

/// `None` without a value.
fn filled(values: &[Option<f64>]) -> Option<Vec<f64>> {
    let mut last = values.iter().find_map(|value| *value)?;
    let filled = values.iter().map(|value| {
        last = value.unwrap_or(last);
        last
    });
    Some(filled.collect())
}

fn line(fields: impl Iterator<Item = String>) -> String {
    let quoted = fields.map(|field| match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field,
    });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}
