//! Environments and variants side by side: the same mode at the same size, on each kernel and in each variant of
//! the run. The only place where two environments stand beside each other: as figures, never as a ratio, a
//! rank or a verdict, because what differs between two kernels is more than one thing. Variants are compared
//! by `compare`, which knows how far apart they must be.

use std::collections::{BTreeMap, BTreeSet};

use schema::summary::{Row, Summary};
use schema::{Accelerator, CONTROL, Mode, OptionKey, Options, ScenarioKind, filled};

use super::question::{asking, varying};
use super::table::{Answer, Columns, Line, Table};
use super::words::programmed;
use crate::quantity::whole;

/// A column: variant and environment of its cells.
type Place = (String, String);

/// The columns of a summary, and what they are.
fn places(summary: &Summary) -> (Columns, Vec<Place>) {
    let keys = summary.cells.iter().map(|row| &row.key);
    let variants: BTreeSet<Place> = keys
        .filter(|key| !key.variant.is_empty() && key.variant != CONTROL)
        .map(|key| (key.variant.clone(), key.environment.clone()))
        .collect();
    if !variants.is_empty() {
        return (Columns::Variants, variants.into_iter().collect());
    }
    let environments = &summary.environments;
    let kernels: BTreeSet<&str> = environments.values().map(|of| of.kernel.as_str()).collect();
    let of = match kernels.len() {
        1 => Columns::Runs,
        _ => Columns::Kernels,
    };
    let places = environments.keys();
    (
        of,
        places.map(|name| (String::new(), name.clone())).collect(),
    )
}

/// The tables of a summary, one for each number of endpoints at its largest size; none with a single environment and
/// variant.
#[must_use]
pub fn side_by_side(summary: &Summary) -> Vec<Table<'_>> {
    let (of, places) = places(summary);
    if places.len() < 2 {
        return Vec::new();
    }
    let one_environment = places.iter().all(|(_, name)| *name == places[0].1);
    let name = |(variant, environment): &Place| match of {
        Columns::Kernels | Columns::Runs => environment.clone(),
        Columns::Variants if one_environment => variant.clone(),
        Columns::Variants => format!("{variant} on {environment}"),
    };
    let named = |place: &Place| (name(place), heading(summary, &name(place)));
    let mut largest: BTreeMap<u32, u32> = BTreeMap::new();
    for row in &summary.cells {
        let most = largest.entry(row.key.endpoints).or_default();
        *most = row.key.services.max(*most);
    }
    let tables = largest.into_iter().map(|(endpoints, services)| Table {
        services,
        title: format!(
            "{} side by side at {} services, {} endpoints each",
            of.title(),
            whole(services.into()),
            whole(endpoints.into())
        ),
        label: format!("Modes by {}", of.one()),
        first: ["Question and mode", ""],
        caption: of.caption(),
        hints: Vec::new(),
        columns: places.iter().map(named).collect(),
        places: Some(of),
        lines: lines(summary, &places, services, endpoints),
    });
    // Variants with sizes or endpoints of their own have nothing beside them.
    let several = |table: &Table<'_>| {
        let lines = || table.lines.iter();
        let planned = |at: usize| lines().any(|line| line.cells[at].iter().flatten().count() > 0);
        of != Columns::Variants || (0..places.len()).filter(|at| planned(*at)).count() > 1
    };
    let told = |table: &Table<'_>| !table.lines.is_empty() && several(table);
    tables.filter(told).collect()
}

fn lines<'a>(
    summary: &'a Summary,
    places: &[Place],
    services: u32,
    endpoints: u32,
) -> Vec<Line<'a>> {
    let here = || {
        summary.cells.iter().filter(|row| {
            (row.key.services, row.key.endpoints) == (services, endpoints)
                && row.key.variant != CONTROL
        })
    };
    let varying = varying(here());
    let compared = compared(here());
    // Updates before packets before memory; modes of one question together, in their fixed order.
    let mut found: BTreeMap<_, (Options, Vec<Option<Vec<Answer<'a>>>>)> = BTreeMap::new();
    for row in here() {
        let key = &row.key;
        let mut asked = key.scenario.asked_at(schema::Place::SideBySide);
        let asked = asked.find(|ask| row.metric.is_none_or(|own| own == ask.metric));
        let place = (&key.variant, &key.environment);
        let column = places.iter().position(|(v, e)| (v, e) == place);
        let (Some(ask), Some(column)) = (asked, column) else {
            continue;
        };
        let apart = compared.get(&(key.mode, key.scenario));
        let options = key.options.without(apart.map_or(&[], Vec::as_slice));
        let line = (key.scenario, options.place(), key.mode, options.clone());
        let none = || (options, places.iter().map(|_| Some(Vec::new())).collect());
        let (_, cells) = found.entry(line).or_insert_with(none);
        cells[column] = Some(vec![Answer::figure(row, ask.metric)]);
    }
    let line = |(options, cells): (Options, Vec<Option<Vec<Answer<'a>>>>)| {
        let key = &cells.iter().flatten().flatten().next()?.row.key;
        let words = key.scenario.row().words;
        Some(Line {
            asked: filled(words, &whole(services.into()), &asking(key, &varying)),
            of: programmed(key.mode, &options),
            cells,
        })
    };
    found.into_values().filter_map(line).collect()
}

/// Options in which variants differ, of each mode and scenario where each has one value of them or none: what is compared, and
/// no part of a line.
fn compared<'a>(
    rows: impl Iterator<Item = &'a Row>,
) -> BTreeMap<(Mode, ScenarioKind), Vec<OptionKey>> {
    type Values<'a> = BTreeMap<&'a str, BTreeSet<Option<&'a str>>>;
    let mut found: BTreeMap<(Mode, ScenarioKind, OptionKey), Values<'a>> = BTreeMap::new();
    for key in rows.map(|row| &row.key) {
        for option in OptionKey::ALL.iter().filter(|key| key.row().of_variants) {
            let values = found.entry((key.mode, key.scenario, *option)).or_default();
            let own = values.entry(&key.variant).or_default();
            own.insert(key.options.get(*option));
        }
    }
    let mut compared: BTreeMap<_, Vec<OptionKey>> = BTreeMap::new();
    for ((mode, scenario, option), values) in found {
        let all: BTreeSet<_> = values.values().flatten().collect();
        if all.len() > 1 && values.values().all(|own| own.len() == 1) {
            compared.entry((mode, scenario)).or_default().push(option);
        }
    }
    compared
}

/// "Linux 6.1.0-56-cloud-amd64 (guest-6.1, tcg)".
fn heading(summary: &Summary, name: &str) -> String {
    let Some(facts) = summary.environments.get(name) else {
        return name.to_owned();
    };
    let accelerator = match facts.accel {
        Accelerator::None => "",
        Accelerator::Kvm => ", kvm",
        Accelerator::Tcg => ", tcg",
        Accelerator::TcgIcount => ", tcg with icount",
    };
    format!("Linux {} ({name}{accelerator})", facts.kernel)
}
