//! KTAP version 1, as the kernel's own tests write it (`Documentation/dev-tools/ktap.rst`): a line for each case, with what
//! is said of it before it. A regression, or what is missing, is `not ok`; what nothing can be said of is skipped.

use std::fmt::Write as _;

use schema::comparison::Comparison;

use super::case::{Became, cases};
use super::{headline, sides};

pub(super) fn render(comparison: &Comparison) -> String {
    let cases = cases(comparison);
    let mut out = format!("KTAP version 1\n1..{}\n", cases.len());
    let [base, new] = sides(comparison).map(|(name, side)| format!("{name} {side}"));
    let said = [headline(comparison), base, new];
    for line in said.iter().chain(&comparison.notes) {
        let _ = writeln!(out, "# {}", in_a_line(line));
    }
    for (number, case) in (1..).zip(&cases) {
        // A description ends at the first '#'.
        let name = in_a_line(&case.name).replace('#', "_");
        let why = in_a_line(&case.why);
        let _ = match case.became {
            Became::Skipped => writeln!(out, "ok {number} {name} # SKIP {why}"),
            Became::Failed => writeln!(out, "not ok {number} {name} # ERROR {why}"),
            Became::Passed => writeln!(out, "# {name}: {why}\nok {number} {name}"),
            Became::Regressed | Became::Missing => {
                writeln!(out, "# {name}: {why}\nnot ok {number} {name}")
            }
        };
    }
    let count = |these: &[Became]| {
        let found = cases.iter().filter(|case| these.contains(&case.became));
        found.count()
    };
    // As tools/testing/selftests/kselftest.h ends.
    let _ = writeln!(
        out,
        "# Totals: pass:{} fail:{} xfail:0 xpass:0 skip:{} error:{}",
        count(&[Became::Passed]),
        count(&[Became::Regressed, Became::Missing]),
        count(&[Became::Skipped]),
        count(&[Became::Failed])
    );
    out
}

fn in_a_line(text: &str) -> String {
    text.replace(|letter: char| letter.is_control(), " ")
}
