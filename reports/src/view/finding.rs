//! Findings as text. Here alone: whoever shows a finding reads its parts.

use schema::Metric;
use schema::summary::Finding;

use super::Scope;

/// What a finding is of, as a phrase; `None` unless its summary has several scopes.
pub(crate) fn place(several: bool, finding: &Finding) -> Option<String> {
    let scope = Scope {
        environment: finding.environment.clone(),
        endpoints: finding.endpoints,
        variant: finding.variant.clone(),
    };
    several.then(|| scope.describe())
}

/// "update_time: nftables 29.1 µs (…). sync_time: …." Empty without any.
pub(crate) fn values(finding: &Finding) -> String {
    let parts: Vec<String> = finding
        .values
        .iter()
        .map(|values| match values.metric {
            // A packet has one.
            Metric::Latency => format!("{}.", values.text),
            metric => format!("{metric}: {}.", values.text),
        })
        .collect();
    parts.join(" ")
}

/// The verdict, and the values that it rests on.
pub(crate) fn answer(finding: &Finding) -> String {
    let values = match finding.values.is_empty() {
        true => String::new(),
        false => format!("Values: {}", values(finding)),
    };
    let parts = [finding.verdict.as_str(), &values];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The whole as a sentence, after the name of its place.
pub(crate) fn text(place: Option<&str>, finding: &Finding) -> String {
    let place = place.map_or_else(String::new, |place| format!("{place}: "));
    format!("{place}{}: {}", finding.question, answer(finding))
}
