//! Scopes beside each other, each mode a line.

use maud::{Markup, html};
use schema::summary::Summary;

use super::table::{Column, figures};
use crate::load::Run;
use crate::summarise::{Beside, BesideLine, beside};

/// Every table of a run; nothing where all of its nodes serve IPv4 alone and all of its packets are sent to ClusterIPs by
/// clients.
pub(super) fn tables(run: &Run, summary: &Summary) -> Markup {
    html! { @for beside in &beside(run, summary) { (table(beside)) } }
}

/// A column of words.
const fn text(name: &str) -> Column<'_> {
    (name, None, Some("t"))
}

fn table(beside: &Beside<'_>) -> Markup {
    let [first, second, ratio] = beside.headings();
    let columns: [Column<'_>; 5] = [
        ("Question", None, None),
        text("Mode"),
        text(&first),
        text(&second),
        text(&ratio),
    ];
    let line = |line: &BesideLine<'_>| {
        let [first, second] = line.figures();
        let (asked, of) = (line.asked.clone(), line.of.clone());
        vec![asked, of, first, second, line.times()]
    };
    html! {
        section {
            h2 { (beside.title()) ": " (beside.place) }
            (figures(
                format!("{first} beside {second} by mode"),
                "full figures",
                beside.caption(),
                &columns,
                beside.lines.iter().map(line),
                None,
            ))
        }
    }
}
