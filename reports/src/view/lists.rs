//! Lists of addresses: what holds one down, how many entries it has across. Nothing is ranked: an entry more or less, and a hit or a miss, are
//! other questions.

use std::collections::{BTreeMap, BTreeSet};

use schema::summary::{Fit, FitModel, Over, Row, Summary};
use schema::{Hit, ListKind, Metric, NodeKind, OptionKey, Options, Topic};

use super::grouped;
use super::table::{Answer, Line, Table};
use super::words::way;
use crate::quantity::{interval, value, whole};

/// Whether a row is of a list.
pub(crate) fn is_of_list(row: &Row) -> bool {
    row.key.scenario.row().topic == Topic::Lists
}

/// What lists of a summary are of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Name of the environment.
    environment: String,
    /// Name of the variant; "" in a run without any.
    variant: String,
    /// Of which family.
    node: NodeKind,
}

impl Place {
    fn of(row: &Row) -> Self {
        Self {
            environment: row.key.environment.clone(),
            variant: row.key.variant.clone(),
            node: row.key.options.node(),
        }
    }

    /// As words: "netns, IPv6, variant head".
    pub(crate) fn words(&self) -> String {
        let mut words = vec![self.environment.clone()];
        words.extend((!self.node.is_ordinary()).then(|| self.node.words()));
        words.extend((!self.variant.is_empty()).then(|| format!("variant {}", self.variant)));
        words.join(", ")
    }
}

/// The rows of lists of each place.
pub(crate) fn places(summary: &Summary) -> BTreeMap<Place, Vec<&Row>> {
    let mut found: BTreeMap<Place, Vec<&Row>> = BTreeMap::new();
    for row in summary.cells.iter().filter(|row| is_of_list(row)) {
        found.entry(Place::of(row)).or_default().push(row);
    }
    found
}

/// What is asked of lists: the metric, what the table is called, and what its caption says.
const TABLES: &[(Metric, &str, &str)] = &[
    (
        Metric::PathTime,
        "What does a packet take that is looked up in a list?",
        "What the node takes for a packet that passes (path_time), by the number of entries: the median of stays, with its 95 % interval from six stays on. Hits are asked of lists whose entries pass, misses of lists whose entries are dropped; no connection is tracked.",
    ),
    (
        Metric::UpdateTime,
        "How long does it take to fill a list, and to change one entry of it?",
        "update_time, by the number of entries that are there, or are filled in: the median of stays, with its 95 % interval from six stays on. A set lies there empty, made with its size where its kind has one.",
    ),
    (
        Metric::Wrong,
        "How many packets fare wrong while a list is replaced under them?",
        "Packets (wrong) of two kinds in turn, 25,000 a second where the datapath lets so many through, while the list was replaced up to 100 times by one of which a tenth is other: to addresses that are in the list before and after, and to addresses that never are.",
    ),
    (
        Metric::Stall,
        "How long does a packet wait while a list is replaced under it?",
        "stall: the longest time between two packets beyond that which was to be.",
    ),
    (
        Metric::KernelMemory,
        "What does a list hold of the kernel's memory?",
        "kernel_memory of the list and its rule: what is held once it is filled, less what was before either was made.",
    ),
];

/// The tables of a summary; none without lists.
#[must_use]
pub fn lists(summary: &Summary) -> Vec<Table<'_>> {
    let places = places(summary);
    let several = places.len() > 1;
    let tables = places.iter().flat_map(|(place, rows)| {
        let title = |title: &str| match several || !place.node.is_ordinary() {
            true => format!("{title} ({})", place.words()),
            false => title.to_owned(),
        };
        TABLES.iter().filter_map(move |(metric, head, caption)| {
            let table = table(rows, *metric, &title(head), caption)?;
            let hints = match metric {
                Metric::PathTime => crossings(place, rows, &summary.fits),
                _ => Vec::new(),
            };
            Some(Table { hints, ..table })
        })
    });
    tables.collect()
}

/// Sets that rules are held against, of about so many entries: a hash takes the same with any number.
const HELD_AGAINST: [ListKind; 2] = [ListKind::HashIp, ListKind::Set];
const ABOUT: u32 = 1_000;

/// From which number of entries on a packet that is in none passes a set faster than rules: where a + b·n is what the set takes, by the ends of all
/// three intervals. None without intervals.
fn crossings(place: &Place, rows: &[&Row], fits: &[Fit]) -> Vec<String> {
    let of_rules = fits.iter().filter(|fit| {
        (&fit.environment, &fit.variant) == (&place.environment, &place.variant)
            && fit.options.node() == place.node
            && (fit.over, fit.model) == (Over::Entries, FitModel::Linear)
            && fit.metric == Metric::PathTime
            && fit.options.list_kind() == Some(ListKind::Rules)
            && fit.options.hit() == Some(Hit::Miss)
    });
    let set = |kind: ListKind| {
        let mine = rows.iter().filter(|row| {
            row.metric == Some(Metric::PathTime)
                && row.key.options.list_kind() == Some(kind)
                && row.key.options.hit() == Some(Hit::Miss)
        });
        mine.min_by_key(|row| row.key.options.entries().unwrap_or(0).abs_diff(ABOUT))
    };
    let sentence = |fit: &Fit, row: &Row| {
        let ([a, b], [fixed, each]) = (row.ci95?, [fit.intercept_ci95?, fit.ci95?]);
        let (median, unit) = row.median.zip(row.unit)?;
        if each[0] <= 0.0 || fit.estimate <= 0.0 {
            return None;
        }
        let at =
            |takes: f64, fixed: f64, each: f64| ((takes - fixed) / each).max(0.0).round() as u64;
        Some(format!(
            "In {} each rule that a packet passes takes {} ({}); a {} of {} ({}) takes {} for a packet that is in none of its entries: rules take longer from about {} entries on (within {} to {}).",
            fit.mode,
            value(fit.estimate, unit),
            interval(each, unit),
            row.key.options.list_kind()?.words(),
            whole(row.key.options.entries()?.into()),
            row.key.mode,
            value(median, unit),
            whole(at(median, fit.intercept, fit.estimate)),
            whole(at(a, fixed[1], each[1])),
            whole(at(b, fixed[0], each[0])),
        ))
    };
    let sets: Vec<&&Row> = HELD_AGAINST.into_iter().filter_map(set).collect();
    of_rules
        .flat_map(|fit| sets.iter().filter_map(move |row| sentence(fit, row)))
        .collect()
}

/// What a cell asks but for the number of entries.
fn asked(options: &Options) -> Options {
    options.without(&[OptionKey::Entries, OptionKey::Family, OptionKey::Stack])
}

fn table<'a>(rows: &[&'a Row], metric: Metric, title: &str, caption: &str) -> Option<Table<'a>> {
    let first = |row: &&&Row| match row.metric {
        Some(own) => own == metric,
        // A cell without numbers stands for what is asked of it first.
        None => {
            let mut asks = row.key.scenario.row().asks.iter();
            asks.next().is_some_and(|ask| ask.metric == metric)
        }
    };
    let rows: Vec<&'a Row> = rows.iter().filter(first).copied().collect();
    let entries: BTreeSet<u32> = rows
        .iter()
        .filter_map(|row| row.key.options.entries())
        .collect();
    let columns = entries.iter().map(|entries| {
        let said = whole((*entries).into());
        (said.clone(), said)
    });
    let of = rows.iter().map(|row| {
        let options = asked(&row.key.options);
        ((row.key.options.list_kind(), row.key.mode, options), *row)
    });
    let mut lines = grouped(of);
    lines.sort_by(|((kind, mode, options), _), ((other, of, others), _)| {
        (kind, mode, options).cmp(&(other, of, others))
    });
    let lines: Vec<Line<'a>> = lines
        .into_iter()
        .map(|((kind, mode, options), rows)| {
            let done = [OptionKey::Hit, OptionKey::Change, OptionKey::Way];
            let done = done.iter().filter_map(|key| options.words_of(*key));
            let ways = way(&options);
            let through = (!ways.is_empty()).then(|| format!(" ({ways})"));
            Line {
                asked: format!(
                    "{}: {}",
                    kind.map_or_else(|| "list".to_owned(), |kind| kind.words()),
                    done.collect::<Vec<_>>().join(", "),
                ),
                of: format!("{mode}{}", through.unwrap_or_default()),
                cells: entries
                    .iter()
                    .map(|entries| {
                        let here = rows
                            .iter()
                            .filter(|row| row.key.options.entries() == Some(*entries));
                        let answers: Vec<Answer<'a>> = here
                            .map(|row| Answer {
                                noisy: row.noisy,
                                ..Answer::figure(row, metric)
                            })
                            .collect();
                        Some(answers)
                    })
                    .collect(),
            }
        })
        .collect();
    (!lines.is_empty()).then(|| Table {
        services: 0,
        title: title.to_owned(),
        label: title.to_owned(),
        first: ["List", "lists"],
        caption: caption.to_owned(),
        hints: Vec::new(),
        columns: columns.collect(),
        places: None,
        lines,
    })
}
