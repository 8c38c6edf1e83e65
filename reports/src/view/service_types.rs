//! Services of several types: what a type costs in each mode, a type a line. Types stand below each other, and no line is
//! judged by another.

use std::collections::BTreeMap;

use schema::summary::{Row, Summary};
use schema::{Mode, Reach};

use super::asked::{self, AskedRow};
use super::table::{Answer, Line, Table, of_modes};
use super::{Scope, grouped, is_lowest, scopes};
use crate::quantity::whole;

/// The tables of a summary, one for all scopes that differ in their services alone, each with what these have in common: at
/// the largest size that all have. None where all services are reached as ClusterIPs by a client.
#[must_use]
pub fn service_types(summary: &Summary) -> Vec<(Scope, Table<'_>)> {
    let scopes = scopes(summary);
    let told = scopes.iter().filter_map(|scope| {
        let common = Scope {
            reach: None,
            ..scope.clone()
        };
        Some((common, (scope.reach.as_ref()?, scope)))
    });
    let table = |(common, mut of): (Scope, Vec<(&Reach, &Scope)>)| {
        of.sort();
        Some((common, of_types(summary, &of)?))
    };
    grouped(told).into_iter().filter_map(table).collect()
}

fn of_types<'a>(summary: &'a Summary, of: &[(&Reach, &Scope)]) -> Option<Table<'a>> {
    let sizes = of.iter().map(|(_, scope)| scope.sizes(summary));
    let shared = sizes.reduce(|all, own| all.intersection(&own).copied().collect())?;
    let services = *shared.last()?;
    // Questions in their order, and of each the types.
    let mut found: BTreeMap<_, Vec<AskedRow<'a>>> = BTreeMap::new();
    for (at, (_, scope)) in of.iter().enumerate() {
        let rows = asked::asked(scope, summary, services).into_iter();
        for own in rows.filter(|own| !own.row.key.mode.is_floor()) {
            let told = own.row.key.options.told();
            let line = (own.place, told.place(), told, at);
            found.entry(line).or_default().push(own);
        }
    }
    let modes = found.values().flatten().map(|own| own.row.key.mode);
    let mut modes: Vec<Mode> = modes.collect();
    modes.sort_unstable();
    modes.dedup();
    let lines = found.iter().map(|((.., at), rows)| {
        let all: Vec<&Row> = rows.iter().map(|own| own.row).collect();
        let answer = |own: &AskedRow<'a>| Answer {
            noisy: own.row.noisy,
            lowest: is_lowest(own.row, &all),
            ..Answer::figure(own.row, own.metric)
        };
        let cell = |mode: &Mode| {
            let mine = rows.iter().filter(|own| own.row.key.mode == *mode);
            Some(mine.map(answer).collect())
        };
        Line {
            asked: rows.first().map_or_else(String::new, asked::text),
            of: of[*at].0.to_string(),
            cells: modes.iter().map(cell).collect(),
        }
    });
    let lines: Vec<Line<'a>> = lines.collect();
    (!lines.is_empty()).then(|| Table {
        services,
        title: format!("Service types at {} services", whole(services.into())),
        label: "Service types by mode".to_owned(),
        first: ["Question and type", "questions of types"],
        caption: "Each type in populations of its own, a mix as it says; packets to the address after “by”, else to the ClusterIP. Medians of stays with 95 % intervals, of fewer than six stays their range. “Lowest”: told apart from every other mode, of the same type.".to_owned(),
        hints: Vec::new(),
        columns: of_modes(&modes),
        places: None,
        lines,
    })
}
