//! Findings as text. Here alone: whoever shows a finding reads its parts.

use schema::Metric;
use schema::summary::Finding;

use super::Scope;

/// What a finding is of, as a phrase; `None` unless the scopes of its summary are `named`.
pub(crate) fn place(named: bool, finding: &Finding) -> Option<String> {
    named.then(|| Scope::of(finding).describe())
}

/// "update_time: nftables 29.1 µs (…). sync_time: …." Empty without any.
pub(crate) fn values(finding: &Finding) -> String {
    let values = finding.values.iter();
    let parts = values.map(|values| match values.metric {
        // A packet has one.
        Metric::Latency => format!("{}.", values.text),
        metric => format!("{metric}: {}.", values.text),
    });
    parts.collect::<Vec<_>>().join(" ")
}

/// The verdict, and the values that it rests on.
pub(crate) fn answer(finding: &Finding) -> String {
    let values = values(finding);
    match (finding.verdict.as_str(), values.as_str()) {
        (verdict, "") => verdict.to_owned(),
        ("", values) => format!("Values: {values}"),
        (verdict, values) => format!("{verdict} Values: {values}"),
    }
}

/// The whole as a sentence, after the name of its place.
pub(crate) fn text(place: Option<&str>, finding: &Finding) -> String {
    let place = place.map_or_else(String::new, |place| format!("{place}: "));
    format!("{place}{}: {}", finding.question, answer(finding))
}
