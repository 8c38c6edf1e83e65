//! JUnit's XML, as Ant, Jenkins, GitLab and others read it: a test case for each pool and each cell's metric.
//! A regression, or what is missing, is a failure; what failed in NEW is an error; what nothing can be said of is
//! skipped.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use schema::comparison::{Comparison, Verdict};

use super::{details, failure, headline, metric, name, pool_details, pool_name};
use crate::xml::escaped;

/// What became of a test case that did not pass: the element that says so, its type, and why.
type Case = Option<(&'static str, &'static str, String)>;

pub(super) fn render(comparison: &Comparison) -> String {
    let pools = comparison.pooled.iter().map(|pool| {
        let case = case(pool.verdict, false, pool_details(pool));
        (format!("pooled.{}", pool.scenario), pool_name(pool), case)
    });
    let mut errors = BTreeSet::new();
    let cells = comparison.cells.iter().map(|row| {
        let case = match case(row.verdict, row.allowed.is_some(), details(row)) {
            failure @ Some(("failure", ..)) => failure,
            // Once a cell, not once a metric.
            _ if row.failed > 0 && errors.insert(&row.key) => {
                Some(("error", " type=\"failed\"", failure(row)))
            }
            other => other,
        };
        let class = format!("{}.{}", row.key.scenario, row.key.mode);
        (class, format!("{} {}", name(row), metric(row)), case)
    });
    let cases: Vec<(String, String, Case)> = pools.chain(cells).collect();
    let count = |element: &str| {
        let is = |case: &Case| case.as_ref().is_some_and(|(own, ..)| *own == element);
        cases.iter().filter(|(.., case)| is(case)).count()
    };
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    let _ = writeln!(
        out,
        "  <testsuite id=\"0\" name=\"bench-runner compare\" package=\"bench-runner\" hostname=\"localhost\" timestamp=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"0\">",
        escaped(comparison.new.started.trim_end_matches('Z')),
        cases.len(),
        count("failure"),
        count("error"),
        count("skipped")
    );
    out.push_str("    <properties>\n");
    for (name, value) in [
        ("base", &comparison.base.run),
        ("new", &comparison.new.run),
        ("gate", &comparison.gate),
    ] {
        let value = escaped(value);
        let _ = writeln!(out, "      <property name=\"{name}\" value=\"{value}\"/>");
    }
    out.push_str("    </properties>\n");
    for (class, name, case) in &cases {
        let (class, name) = (escaped(class), escaped(name.trim_end()));
        let _ = write!(
            out,
            "    <testcase classname=\"{class}\" name=\"{name}\" time=\"0\""
        );
        out.push_str(&match case {
            None => "/>\n".to_owned(),
            Some((element, kind, why)) => format!(
                ">\n      <{element}{kind} message=\"{}\"/>\n    </testcase>\n",
                escaped(why)
            ),
        });
    }
    let mut said = vec![headline(comparison)];
    said.extend(comparison.notes.iter().cloned());
    let said = escaped(&said.join("\n"));
    let _ = writeln!(out, "    <system-out>{said}</system-out>");
    out.push_str("    <system-err></system-err>\n  </testsuite>\n</testsuites>\n");
    out
}

fn case(verdict: Verdict, allowed: bool, details: String) -> Case {
    match verdict {
        Verdict::Regressed => Some(("failure", " type=\"regressed\"", details)),
        Verdict::Missing if !allowed => Some(("failure", " type=\"missing\"", details)),
        Verdict::Missing | Verdict::Inconclusive | Verdict::Incomparable => {
            Some(("skipped", "", details))
        }
        Verdict::Improved | Verdict::Unchanged => None,
    }
}
