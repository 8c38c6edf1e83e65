//! How costs grow with N, from the fits.

use schema::summary::{Finding, Fit};
use schema::{Metric, Mode, Options, ScenarioKind};

use super::{Context, evidence_of_fit, listed, unit_of};
use crate::quantity::{digits, interval, span, value, whole};
use crate::scope::series_names;

impl Context<'_, '_> {
    /// What each further service adds to the first packet to the last service.
    pub(super) fn slopes(&self, protocol: &str) -> Option<Finding> {
        let is = |fit: &Fit, key: &str, wanted: &str| {
            fit.options.get(key).is_some_and(|value| value == wanted)
        };
        let fits: Vec<&Fit> = self
            .fits(ScenarioKind::FirstPacket, Metric::Latency)
            .filter(|fit| is(fit, "position", "last") && is(fit, "protocol", protocol))
            .collect();
        let (mut adds, mut flat) = (Vec::new(), Vec::new());
        for fit in &fits {
            let unit = unit_of(fit);
            let slope = format!(
                "{} in {} ({})",
                value(fit.estimate, unit),
                fit.mode,
                interval(fit.ci95, unit)
            );
            if fit.ci95[0] > 0.0 || fit.ci95[1] < 0.0 {
                adds.push(slope)
            } else {
                flat.push(slope)
            }
        }
        let range = range(fits.first()?);
        let mut text = format!(
            "Each further service adds to the first {} packet to the last one, {range}: ",
            protocol.to_uppercase()
        );
        if adds.is_empty() {
            text.push_str(&format!(
                "nothing that is distinguished from 0: {}.",
                listed(&flat)
            ));
        } else {
            text.push_str(&listed(&adds));
            if !flat.is_empty() {
                text.push_str(&format!("; not distinguished from 0: {}", listed(&flat)));
            }
            text.push('.');
        }
        Some(Finding {
            text,
            evidence: fits.into_iter().map(evidence_of_fit).collect(),
            headline: false,
        })
    }

    /// The power of N with which an installation from nothing grows, and its last stretch where that
    /// is steeper.
    pub(super) fn exponents(&self) -> Option<Finding> {
        let fits: Vec<&Fit> = self
            .fits(ScenarioKind::ColdInstall, Metric::UpdateTime)
            .collect();
        let whole: Vec<&Fit> = fits
            .iter()
            .copied()
            .filter(|fit| is_whole(fit, &fits))
            .collect();
        let series: Vec<(Mode, &Options)> =
            whole.iter().map(|fit| (fit.mode, &fit.options)).collect();
        let (mut parts, mut proof) = (Vec::new(), Vec::new());
        for (fit, name) in whole.iter().zip(series_names(&series)) {
            let mut part = format!(
                "{name} N^{} ({}) over {}",
                digits(fit.estimate),
                span(fit.ci95),
                range(fit)
            );
            proof.push(evidence_of_fit(fit));
            let last = fits
                .iter()
                .find(|pair| is_same(pair, fit) && pair.to == fit.to && pair.from != fit.from);
            if let Some(last) = last.filter(|last| last.ci95[0] > fit.ci95[1]) {
                part.push_str(&format!(
                    ", N^{} ({}) over its last part, {}",
                    digits(last.estimate),
                    span(last.ci95),
                    range(last)
                ));
                proof.push(evidence_of_fit(last));
            }
            parts.push(part);
        }
        let text = format!(
            "How installing from nothing grows with N: {}.",
            parts.join("; ")
        );
        (!parts.is_empty()).then_some(Finding {
            text,
            evidence: proof,
            headline: false,
        })
    }
}

/// Whether no other fit of the series covers more sizes.
fn is_whole(fit: &Fit, all: &[&Fit]) -> bool {
    all.iter().filter(|other| is_same(other, fit)).all(|other| {
        other.sizes <= fit.sizes && (other.sizes < fit.sizes || other.from >= fit.from)
    })
}

fn is_same(a: &Fit, b: &Fit) -> bool {
    a.mode == b.mode && a.options == b.options && a.environment == b.environment
}

pub(super) fn range(fit: &Fit) -> String {
    format!(
        "{}–{} services",
        whole(fit.from.into()),
        whole(fit.to.into())
    )
}
