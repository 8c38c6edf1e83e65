//! Families beside each other: a question a paragraph, a mode a line.

use schema::summary::Summary;

use super::GAP;
use crate::load::Run;
use crate::summarise::{Beside, BesideLine, beside};
use crate::view::grouped;

/// Every table of a run, each in parts that stand apart; none where all of its nodes serve IPv4 alone.
pub(super) fn tables(run: &Run, summary: &Summary, width: usize) -> Vec<String> {
    let all = beside(run, summary);
    all.iter().flat_map(|beside| table(beside, width)).collect()
}

fn table(beside: &Beside<'_>, width: usize) -> Vec<String> {
    let head = format!("{}, {}", beside.title(), beside.scope.describe());
    let questions = grouped(beside.lines.iter().map(|line| (&line.asked, line)));
    let parts = questions.iter().map(|(asked, lines)| {
        let mut rows = vec![heads(beside)];
        rows.extend(lines.iter().map(|line| cells(line)));
        [vec![textwrap::fill(asked, width)], aligned(&rows)]
            .concat()
            .join("\n")
    });
    [textwrap::fill(&head, width)].into_iter().chain(parts).collect()
}

fn heads(beside: &Beside<'_>) -> [String; 4] {
    let [_, _, ratio] = beside.headings();
    let [first, second] = beside.nodes.map(|node| match beside.nodes[0].stack == beside.nodes[1].stack {
        true => node.family.words().to_owned(),
        false => node.stack.to_string(),
    });
    [String::new(), first, second, ratio]
}

fn cells(line: &BesideLine<'_>) -> [String; 4] {
    let [first, second] = line.values();
    [line.of.clone(), first, second, line.times()]
}

/// Names to the left, figures to the right.
fn aligned(rows: &[[String; 4]]) -> Vec<String> {
    let widest = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; 4] = std::array::from_fn(widest);
    let line = |row: &[String; 4]| {
        let cells = row.iter().zip(widths).enumerate();
        let cells = cells.map(|(at, (text, width))| match at {
            0 => format!("{text:<width$}"),
            _ => format!("{text:>width$}"),
        });
        cells.collect::<Vec<_>>().join(GAP)
    };
    rows.iter().map(line).collect()
}
