//! JUnit's XML, as Ant, Jenkins, GitLab and others read it: a test case for each pool and each cell's metric.
//! A regression, or what is missing, is a failure; what failed in NEW is an error; what nothing can be said of is
//! skipped.

use std::fmt::Write as _;

use schema::comparison::Comparison;

use super::case::{Became, Case, cases};
use super::headline;
use crate::xml::escaped;

pub(super) fn render(comparison: &Comparison) -> String {
    let cases = cases(comparison);
    let count = |element: &str| {
        let own = cases.iter().filter_map(|case| said(case.became));
        own.filter(|(own, _)| *own == element).count()
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
    for Case {
        group,
        name,
        became,
        why,
    } in &cases
    {
        let (group, name) = (escaped(group), escaped(name));
        let _ = write!(
            out,
            "    <testcase classname=\"{group}\" name=\"{name}\" time=\"0\""
        );
        out.push_str(&match said(*became) {
            None => "/>\n".to_owned(),
            Some((element, kind)) => format!(
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

/// The element of a case that did not pass, with its type.
fn said(became: Became) -> Option<(&'static str, &'static str)> {
    match became {
        Became::Passed => None,
        Became::Regressed => Some(("failure", " type=\"regressed\"")),
        Became::Missing => Some(("failure", " type=\"missing\"")),
        Became::Failed => Some(("error", " type=\"failed\"")),
        Became::Skipped => Some(("skipped", "")),
    }
}
