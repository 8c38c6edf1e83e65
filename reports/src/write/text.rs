//! A run as plain text: the table on the terminal at its end, mode × question at the largest size, and the same below the
//! five sentences for a mail. Modes are rows, so that seven of them fit a terminal; questions are columns, in as many bands
//! as the width asks for.

mod beside;
mod questions;
mod series;
mod service_types;
#[cfg(test)]
mod tests;

use schema::summary::{Row, Summary};
use schema::{Metric, Unit};
use textwrap::Options;

use crate::load::Run;
use crate::quantity::{counted, shortened, value};
use crate::view::brief::{self, Brief};
use crate::view::trust::{again, coverage_text};
use crate::view::{Scope, are_named, lower_bound, scopes};

use questions::{Column, TOPICS, columns};
use series::{Series, series};

/// Columns of a terminal.
pub const TERMINAL: usize = 100;
/// Columns of a mail that is quoted once or twice.
const MAIL: usize = 75;
/// Bytes of a mail: lists refuse larger ones.
const MAIL_BYTES: usize = 95_000;
/// Between columns.
const GAP: &str = "  ";

/// Renders the tables within so many columns; empty when nothing was planned.
#[must_use]
pub fn render_tables(summary: &Summary, width: usize) -> String {
    tables(summary, width).join("\n\n")
}

fn tables(summary: &Summary, width: usize) -> Vec<String> {
    let scopes = scopes(summary);
    let named = are_named(&scopes);
    let parts = scopes
        .iter()
        .flat_map(|scope| of_scope(summary, scope, named, width));
    parts
        .chain(service_types::lists_of(summary, width))
        .collect()
}

/// Renders a run as a mail: what was measured on what, five sentences, the tables, and how to take it again; at most 75
/// columns and 100 kB, but for a command line, which stays whole.
#[must_use]
pub fn render_text(run: &Run, summary: &Summary) -> String {
    let header = &run.header;
    let mut parts = vec!["Linux service datapaths".to_owned()];
    let places = summary.environments.iter().map(|(name, of)| {
        let (kernel, cpu, cores) = (&of.kernel, &of.cpu, counted(of.cores.into(), "CPU"));
        wrapped(
            "",
            &format!("{name}: Linux {kernel}, {cpu}, {cores}, {}", header.started),
        )
    });
    parts.push(places.collect::<Vec<_>>().join("\n"));
    parts.push(wrapped("", &brief::subject(summary)));
    for Brief { question, answers } in brief::briefs(summary) {
        let said = answers.iter().map(|(place, answer)| match place {
            Some(place) => wrapped("  ", &format!("({place}) {answer}")),
            None => wrapped("  ", answer),
        });
        parts.push(format!(
            "{}\n{}",
            wrapped("", &format!("{question}:")),
            said.collect::<Vec<_>>().join("\n")
        ));
    }
    let noise = summary.noise.as_ref();
    parts.extend(noise.map(|noise| wrapped("", &format!("Noise: {}", noise.text))));
    let tail = format!(
        "{}\n\nbench-runner {}, revision {}. To take it again:\n  {}\n",
        wrapped("", &coverage_text(summary)),
        header.tool_version,
        header.revision,
        shortened(&again(header), MAIL_BYTES / 20),
    );
    let mut text = parts.join("\n\n");
    // What a run of several types or families is for stands first: later tables may have no room.
    let types = service_types::tables(summary, MAIL).into_iter();
    let beside = beside::tables(run, summary, MAIL);
    let tables: Vec<String> = types.chain(beside).chain(tables(summary, MAIL)).collect();
    let fits = tables.iter().scan(text.len() + tail.len(), |bytes, table| {
        *bytes += table.len() + 2;
        Some(*bytes)
    });
    let fits = fits.take_while(|bytes| *bytes < MAIL_BYTES).count();
    for table in &tables[..fits] {
        text.push_str(&format!("\n\n{table}"));
    }
    if fits < tables.len() {
        let more = tables.len() - fits;
        text.push_str(&format!(
            "\n\n{more} more tables are in the page and in summary.json."
        ));
    }
    format!("{text}\n\n{tail}")
}

/// A paragraph, indented, within the columns of a mail.
fn wrapped(indent: &str, text: &str) -> String {
    let options = Options::new(MAIL)
        .initial_indent(indent)
        .subsequent_indent(indent)
        .break_words(false);
    textwrap::fill(text, options)
}

/// The parts of a scope's table: what it is, and its grids.
fn of_scope(summary: &Summary, scope: &Scope, named: bool, width: usize) -> Vec<String> {
    let services = scope.largest(summary);
    let rows = scope.rows(summary);
    let rows: Vec<&Row> = rows.filter(|row| row.key.services == services).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let place = match named {
        true => format!(", {}", scope.describe()),
        false => String::new(),
    };
    let any = |of: fn(&Row) -> bool| rows.iter().any(|row| of(row));
    let signs = [
        ("± half of the 95 % interval", any(|row| row.ci95.is_some())),
        ("! stays disturbed", any(|row| row.disturbed > 0)),
        ("~ moved by other users of the kernel", any(|row| row.noisy)),
    ];
    let signs = signs.iter().filter_map(|(what, any)| any.then_some(*what));
    let head = format!("medians at {services} services{place} (samples/stays)");
    let mut head = vec![textwrap::fill(&head, width)];
    head.push(textwrap::fill(&signs.collect::<Vec<_>>().join("; "), width));
    head.retain(|line| !line.is_empty());
    let series = series(&rows);
    let topics = TOPICS.iter().map(|topic| columns(&rows, *topic));
    let grids = topics.flat_map(|columns| grids(&rows, &series, &columns, width));
    [head.join("\n")].into_iter().chain(grids).collect()
}

/// A topic as grids of at most `width` columns; series that were asked nothing of it are left out.
fn grids(rows: &[&Row], all: &[Series], columns: &[Column], width: usize) -> Vec<String> {
    let of = |series: &Series, column: &Column| -> Vec<&Row> {
        let mine = rows
            .iter()
            .filter(|row| series.holds(&row.key) && column.holds(&row.key));
        mine.copied().collect()
    };
    let cell = |series: &Series, column: &Column| {
        let mine = of(series, column);
        mine.into_iter()
            .find(|row| row.metric.is_none_or(|metric| metric == column.ask.metric))
    };
    let is_asked = |series: &&Series| columns.iter().any(|column| cell(series, column).is_some());
    let shown: Vec<&Series> = all.iter().filter(is_asked).collect();
    // Beside the two lines of a heading stands nothing.
    let names = shown.iter().map(|series| series.name(all));
    let names: Vec<String> = [String::new(), String::new()]
        .into_iter()
        .chain(names)
        .collect();
    let columns = columns.iter().map(|column| {
        let mut lines: Vec<String> = column.heading().to_vec();
        lines.extend(shown.iter().map(|series| match cell(series, column) {
            Some(row) => describe(row),
            // Why a measured scenario has no such number in a series, or that it was not asked.
            None if of(series, column).is_empty() => "not planned".to_owned(),
            None if column.ask.metric == Metric::SyncTime && !series.has_kube_proxy() => {
                "no such mode".to_owned()
            }
            None => "not counted".to_owned(),
        }));
        lines
    });
    laid(&names, columns, width)
}

/// Columns behind the names of their lines, to the right, in as many grids of at most `width` columns as that asks for.
fn laid(names: &[String], columns: impl Iterator<Item = Vec<String>>, width: usize) -> Vec<String> {
    let widest = |lines: &[String]| {
        let lines = lines.iter().map(|line| line.chars().count());
        lines.max().unwrap_or(0)
    };
    let first = widest(names);
    let mut grids: Vec<Vec<String>> = Vec::new();
    let mut used = usize::MAX;
    for lines in columns {
        let own = widest(&lines);
        if used.saturating_add(GAP.len() + own) > width {
            let labels = names.iter().map(|name| format!("{name:<first$}"));
            grids.push(labels.collect());
            used = first;
        }
        used += GAP.len() + own;
        for (line, text) in grids.iter_mut().rev().take(1).flatten().zip(lines) {
            line.push_str(&format!("{GAP}{text:>own$}"));
        }
    }
    grids.into_iter().map(|lines| lines.join("\n")).collect()
}

/// " ±4%": how far a value is known, where that is.
fn half_width(row: &Row) -> Option<String> {
    let (median, [low, high]) = (row.median?, row.ci95?);
    let half = 50.0 * (high - low) / median;
    (median > 0.0 && half.is_finite() && half > 0.0).then(|| match half {
        less if less < 0.95 => " ±<1%".to_owned(),
        half => format!(" ±{half:.0}%"),
    })
}

/// "29.1 µs ±4% 3000/15", "> 60 s", "unsupported".
fn describe(row: &Row) -> String {
    match (row.median, row.unit) {
        (Some(median), Some(unit)) => format!(
            "{}{}{}{} {}/{}",
            value(median, unit),
            if row.noisy { "~" } else { "" },
            if row.disturbed > 0 { "!" } else { "" },
            half_width(row).unwrap_or_default(),
            row.n,
            row.stays
        ),
        _ => match lower_bound(row) {
            Some(bound) => format!("> {}", value(bound, Unit::Nanoseconds)),
            None => row.outcome.to_string(),
        },
    }
}
