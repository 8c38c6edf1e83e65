//! Both sides as Go benchmark text: `benchstat -col side FILE`. A line for each stay, which is what benchstat tests.

use std::collections::BTreeMap;

use schema::comparison::Comparison;

use super::{headline, sides};
use crate::gobench::{heading, name, result};

pub(super) fn render(comparison: &Comparison) -> String {
    let rows = comparison.cells.iter();
    let units = rows.filter_map(|row| Some((row.metric?, row.unit?)));
    let mut out = heading(units);
    // Lines of neither kind are read over.
    for (side, said) in sides(comparison) {
        out += &format!("# {side} {said}\n");
    }
    out += &format!("# {}\n", headline(comparison));
    for side in ["base", "new"] {
        out += &format!("side: {side}\n");
        for row in &comparison.cells {
            // By BASE's name on both sides: what is compared is one benchmark.
            let measured = match side {
                "base" => &row.base,
                _ => &row.new,
            };
            let (Some(metric), Some(unit), Some(measured)) = (row.metric, row.unit, measured)
            else {
                continue;
            };
            let name = name(&row.key);
            for value in &measured.values {
                out += &result(&name, 1, &BTreeMap::from([((metric, unit), *value)]));
            }
        }
    }
    out
}
