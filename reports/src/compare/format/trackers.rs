//! NEW's values for trackers that keep a history of their own.

use schema::comparison::{Comparison, Measured};
use schema::{Metric, Unit};
use serde_json::{Map, Value, json};

use super::{change, name};
use crate::quantity::counted;

/// Cells of NEW with numbers: name, metric, unit, value.
fn measured(
    comparison: &Comparison,
) -> impl Iterator<Item = (String, Metric, Unit, &Measured, String)> {
    comparison.cells.iter().filter_map(|row| {
        let (metric, unit, new) = (row.metric?, row.unit?, row.new.as_ref()?);
        let against = row.change.as_ref().map_or_else(String::new, |found| {
            format!("; against BASE {}", change(found, unit))
        });
        let extra = format!(
            "{}, {}; {}{against}",
            counted(new.stays.into(), "stay"),
            counted(new.n, "sample"),
            row.verdict
        );
        Some((name(row), metric, unit, new, extra))
    })
}

/// Bencher Metric Format: benchmark → measure → value and bounds.
pub(super) fn bencher(comparison: &Comparison) -> Value {
    let mut benchmarks: Map<String, Value> = Map::new();
    for (name, metric, _, new, _) in measured(comparison) {
        let mut value = json!({ "value": new.median });
        if let Some([low, high]) = new.ci95 {
            value["lower_value"] = low.into();
            value["upper_value"] = high.into();
        }
        let measures = benchmarks.entry(name).or_insert_with(|| json!({}));
        measures[metric.name()] = value;
    }
    benchmarks.into()
}

/// `customSmallerIsBetter`: a list of name, unit, value, range, extra.
pub(super) fn benchmark_action(comparison: &Comparison) -> Value {
    measured(comparison)
        .map(|(name, metric, unit, new, extra)| {
            let mut entry = json!({
                "name": format!("{name} {metric}"),
                "unit": unit.name(),
                "value": new.median,
                "extra": extra,
            });
            if let Some([low, high]) = new.ci95 {
                entry["range"] = format!("{low:.0}..{high:.0}").into();
            }
            entry
        })
        .collect()
}
