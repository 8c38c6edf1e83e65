//! Scopes beside each other: a question a paragraph, a mode a line.

use schema::summary::Summary;

use super::GAP;
use crate::load::Run;
use crate::summarise::{Beside, BesideLine, beside};
use crate::view::grouped;

/// Every table of a run, each in parts that stand apart; none where all of its nodes serve IPv4 alone and all of its packets
/// are sent to ClusterIPs by clients.
pub(super) fn tables(run: &Run, summary: &Summary, width: usize) -> Vec<String> {
    let all = beside(run, summary);
    all.iter().flat_map(|beside| table(beside, width)).collect()
}

fn table(beside: &Beside<'_>, width: usize) -> Vec<String> {
    let head = format!("{}, {}", beside.title(), beside.place);
    let questions = grouped(beside.lines.iter().map(|line| (&line.asked, line)));
    let parts = questions.iter().map(|(asked, lines)| {
        let mut rows = vec![heads(beside)];
        rows.extend(lines.iter().map(|line| cells(line)));
        [vec![textwrap::fill(asked, width)], aligned(&rows, width)]
            .concat()
            .join("\n")
    });
    [textwrap::fill(&head, width)]
        .into_iter()
        .chain(parts)
        .collect()
}

fn heads(beside: &Beside<'_>) -> [String; 4] {
    let [first, second] = beside.apart.short();
    [String::new(), first, second, beside.apart.ratio()]
}

fn cells(line: &BesideLine<'_>) -> [String; 4] {
    let [first, second] = line.values();
    [line.of.clone(), first, second, line.times()]
}

/// Names to the left, figures to the right; below their names where there is no room beside them.
fn aligned(rows: &[[String; 4]], width: usize) -> Vec<String> {
    let widest = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; 4] = std::array::from_fn(widest);
    let whole = widths.iter().sum::<usize>() + 3 * GAP.len();
    let figures = |row: &[String; 4]| {
        let cells = row.iter().zip(widths).skip(1);
        let cells = cells.map(|(text, width)| format!("{text:>width$}"));
        cells.collect::<Vec<_>>().join(GAP)
    };
    let lines = |row: &[String; 4]| {
        let (name, figures) = (&row[0], figures(row));
        match whole <= width {
            true => vec![format!("{name:<0$}{GAP}{figures}", widths[0])],
            false if name.is_empty() => vec![format!("{GAP}{figures}")],
            false => vec![name.clone(), format!("{GAP}{figures}")],
        }
    };
    rows.iter().flat_map(lines).collect()
}
