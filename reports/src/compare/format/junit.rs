//! JUnit's XML, as Ant, Jenkins, GitLab and others read it: a test case for each pool and each cell's metric.
//! A regression, or what is missing, is a failure; what failed in NEW is an error; what nothing can be said of is
//! skipped.

use std::fmt::Write as _;

use schema::comparison::{Comparison, Verdict};

use super::{details, failure, headline, metric, name, pool_details, pool_name};

/// What became of a test case.
enum Case {
    Passed,
    Failure(&'static str, String),
    Error(String),
    Skipped(String),
}

pub(super) fn render(comparison: &Comparison) -> String {
    let mut cases: Vec<(String, String, Case)> = comparison
        .pooled
        .iter()
        .map(|pool| {
            let case = case(pool.verdict, false, pool_details(pool));
            (format!("pooled.{}", pool.scenario), pool_name(pool), case)
        })
        .collect();
    let mut errors = std::collections::BTreeSet::new();
    cases.extend(comparison.cells.iter().map(|row| {
        let case = match case(row.verdict, row.allowed.is_some(), details(row)) {
            failure @ Case::Failure(..) => failure,
            // Once a cell, not once a metric.
            _ if row.failed > 0 && errors.insert(&row.key) => Case::Error(failure(row)),
            other => other,
        };
        (
            format!("{}.{}", row.key.scenario, row.key.mode),
            format!("{} {}", name(row), metric(row)),
            case,
        )
    }));
    let count =
        |wanted: fn(&Case) -> bool| cases.iter().filter(|(_, _, case)| wanted(case)).count();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    let _ = writeln!(
        out,
        "  <testsuite id=\"0\" name=\"bench-runner compare\" package=\"bench-runner\" hostname=\"localhost\" timestamp=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"0\">",
        attribute(comparison.new.started.trim_end_matches('Z')),
        cases.len(),
        count(|case| matches!(case, Case::Failure(..))),
        count(|case| matches!(case, Case::Error(_))),
        count(|case| matches!(case, Case::Skipped(_)))
    );
    out.push_str("    <properties>\n");
    for (name, value) in [
        ("base", &comparison.base.run),
        ("new", &comparison.new.run),
        ("gate", &comparison.gate),
    ] {
        let _ = writeln!(
            out,
            "      <property name=\"{name}\" value=\"{}\"/>",
            attribute(value)
        );
    }
    out.push_str("    </properties>\n");
    for (class, name, case) in &cases {
        let head = format!(
            "    <testcase classname=\"{}\" name=\"{}\" time=\"0\"",
            attribute(class),
            attribute(name.trim_end())
        );
        let _ = match case {
            Case::Passed => writeln!(out, "{head}/>"),
            Case::Failure(kind, why) => writeln!(
                out,
                "{head}>\n      <failure type=\"{kind}\" message=\"{}\"/>\n    </testcase>",
                attribute(why)
            ),
            Case::Error(why) => writeln!(
                out,
                "{head}>\n      <error type=\"failed\" message=\"{}\"/>\n    </testcase>",
                attribute(why)
            ),
            Case::Skipped(why) => writeln!(
                out,
                "{head}>\n      <skipped message=\"{}\"/>\n    </testcase>",
                attribute(why)
            ),
        };
    }
    let said: Vec<String> = std::iter::once(headline(comparison))
        .chain(comparison.notes.iter().cloned())
        .collect();
    let _ = writeln!(
        out,
        "    <system-out>{}</system-out>",
        attribute(&said.join("\n"))
    );
    out.push_str("    <system-err></system-err>\n  </testsuite>\n</testsuites>\n");
    out
}

fn case(verdict: Verdict, allowed: bool, details: String) -> Case {
    match verdict {
        Verdict::Regressed => Case::Failure("regressed", details),
        Verdict::Missing if !allowed => Case::Failure("missing", details),
        Verdict::Missing | Verdict::Inconclusive | Verdict::Incomparable => Case::Skipped(details),
        Verdict::Improved | Verdict::Unchanged => Case::Passed,
    }
}

/// Text as an attribute's value or an element's content: what XML 1.0 cannot hold is replaced.
fn attribute(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if (c as u32) < 0x20 || matches!(c as u32, 0xfffe | 0xffff) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
