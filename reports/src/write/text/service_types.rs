//! Services of several types: a question a part, a type a line, modes across in as many bands as the width asks for. And lists of addresses: a list a
//! line, sizes across.

use schema::summary::Summary;

use super::laid;
use crate::quantity::value;
use crate::view::table::{Answer, Line, Table};
use crate::view::{Scope, grouped, lists, service_types};

/// Every table of a run, each in parts that stand apart; none where all services are reached as ClusterIPs by a client.
pub(super) fn tables(summary: &Summary, width: usize) -> Vec<String> {
    let all = service_types(summary);
    let parts = all
        .iter()
        .flat_map(|(scope, table)| parts(scope, table, width));
    parts.collect()
}

/// The tables of lists; none without lists.
pub(super) fn lists_of(summary: &Summary, width: usize) -> Vec<String> {
    let part = |table: &Table<'_>| {
        let lines = table.lines.iter();
        let names = lines.map(|line| format!("{} ({})", line.asked, line.of));
        let names: Vec<String> = ["entries".to_owned()].into_iter().chain(names).collect();
        let columns = table.columns.iter().enumerate().map(|(at, (entries, _))| {
            let values = table.lines.iter().map(|line| values(line, at));
            [entries.clone()].into_iter().chain(values).collect()
        });
        let bands = laid(&names, columns, width);
        [textwrap::fill(&table.title, width)]
            .into_iter()
            .chain(bands)
            .collect::<Vec<_>>()
            .join("\n")
    };
    lists(summary).iter().map(part).collect()
}

fn parts(scope: &Scope, table: &Table<'_>, width: usize) -> Vec<String> {
    let head = format!("{}, {}", table.title, scope.describe());
    let questions = grouped(table.lines.iter().map(|line| (&line.asked, line)));
    let of_question = questions.into_iter().map(|(asked, lines)| {
        let types = lines.iter().map(|line| line.of.clone());
        let names: Vec<String> = [String::new()].into_iter().chain(types).collect();
        let columns = table.columns.iter().enumerate().map(|(at, (mode, _))| {
            let values = lines.iter().map(|line| values(line, at));
            [mode.clone()].into_iter().chain(values).collect()
        });
        let bands = laid(&names, columns, width);
        [textwrap::fill(asked, width)]
            .into_iter()
            .chain(bands)
            .collect::<Vec<_>>()
            .join("\n")
    });
    [textwrap::fill(&head, width)]
        .into_iter()
        .chain(of_question)
        .collect()
}

/// The answers of a mode, one for each way of programming it.
fn values(line: &Line<'_>, at: usize) -> String {
    let answers = line.cells[at].iter().flatten();
    let values: Vec<String> = answers.map(of_answer).collect();
    match values.is_empty() {
        true => "not planned".to_owned(),
        false => values.join(", "),
    }
}

fn of_answer(answer: &Answer<'_>) -> String {
    match answer.row.median.zip(answer.row.unit) {
        Some((median, unit)) => value(median, unit),
        None => answer.row.outcome.to_string(),
    }
}
