//! Mode × metric at the largest N: how many times the lowest each mode is, in one picture.

use schema::Mode;

use super::chart::Source;
use super::figure::{Body, Figure, Panel, Tile};
use crate::quantity::{digits, value, whole};
use crate::scope::{Scope, ranked};
use crate::summarise::{Measure, measures};

pub(super) fn figure(source: &Source<'_>, scope: &Scope) -> Option<Figure> {
    let modes: Vec<Mode> = scope.modes(source.summary);
    let modes: Vec<Mode> = modes.into_iter().filter(|mode| !mode.is_floor()).collect();
    let rows: Vec<(String, Vec<Tile>)> = measures(source.summary, scope)
        .iter()
        .filter(|measure| measure.lowest().is_some())
        .map(|measure| {
            let tiles = modes.iter().map(|mode| tile(measure, *mode));
            (measure.short(), tiles.collect())
        })
        .collect();
    if rows.is_empty() || modes.is_empty() {
        return None;
    }
    Some(Figure {
        name: String::new(),
        title: format!(
            "Where does each mode stand? Times the lowest, at {} services",
            whole(scope.largest(source.summary).into())
        ),
        notes: vec![
            "Median ÷ the lowest median of the row; darker is further from it, on a logarithmic scale up to 100 times. 1 is the lowest median, which need not be told apart from the next: the matrix says where it is."
                .to_owned(),
            "Crossed out: no number, with what became of the cell. Through the ordinary way of each mode (iptables-restore, netlink)."
                .to_owned(),
        ],
        alt: "Ratios of medians to the lowest by question and mode.".to_owned(),
        panels: vec![Panel {
            heading: String::new(),
            body: Body::Heat {
                columns: modes,
                rows,
            },
        }],
        legend: Vec::new(),
    })
}

fn tile(measure: &Measure<'_>, mode: Mode) -> Tile {
    let Some(row) = measure.of(mode) else {
        return Tile {
            times: None,
            text: "–".to_owned(),
            hover: "not planned".to_owned(),
        };
    };
    let lowest = measure.lowest().and_then(ranked);
    match (row.median, row.unit, lowest) {
        (Some(median), Some(unit), Some(lowest)) if lowest > 0.0 => {
            let times = ranked(row).unwrap_or(median) / lowest;
            Tile {
                times: Some(times),
                text: digits(times),
                hover: format!(
                    "{}, {}: {} times the lowest, {}",
                    measure.short(),
                    mode,
                    digits(times),
                    value(median, unit)
                ),
            }
        }
        (Some(median), Some(unit), _) => Tile {
            times: Some(1.0),
            text: value(median, unit),
            hover: format!("{}, {mode}: {}", measure.short(), value(median, unit)),
        },
        _ => Tile {
            times: None,
            text: row.outcome.clone(),
            hover: row.reason.clone().unwrap_or_else(|| row.outcome.clone()),
        },
    }
}
