//! How costs grow with N, from the fits.
//!
//! A mode adds something to a first packet only beyond what the floor of the same blocks does: what a larger
//! population does to caches, or an hour to a machine, it does to the floor as well.

use schema::summary::{AboveFloor, Finding, FindingKind, Fit, FitModel};
use schema::{Metric, Mode, OptionKey, Options, ScenarioKind, Unit};

use super::{Context, Packet, evidence_of_fit, listed, unit_of};
use crate::quantity::{digits, interval, span, value, whole};
use crate::statistics::Known;
use crate::view::{series_names, spread_of, spread_of_fit};

impl Context<'_, '_> {
    /// What each further service adds to the first packet: to what the headline asks, and in each mode's own worst
    /// position.
    pub(super) fn slopes(&self, packet: &Packet) -> Vec<Finding> {
        let asked: Vec<(&Fit, String)> = self
            .slopes_of(packet)
            .into_iter()
            .map(|fit| (fit, String::new()))
            .collect();
        let mut worst: Vec<(&Fit, String)> = Vec::new();
        for (fit, _) in &asked {
            let steeper = self.worst(packet, fit).unwrap_or(fit);
            let position = steeper.options.position().map_or("", |own| own.row().which);
            worst.push((steeper, format!(" to {position}")));
        }
        let whom = format!("to {} one", packet.position.row().which);
        let worst_of = "in each mode's own worst position";
        // Where one position was asked there is no worse one.
        let other = worst
            .iter()
            .zip(&asked)
            .any(|(a, b)| a.0.options != b.0.options);
        let both = [(asked, whom.as_str()), (worst, worst_of)];
        both.into_iter()
            .take(1 + usize::from(other))
            .filter_map(|(fits, whom)| self.slopes_to(packet, &fits, whom))
            .collect()
    }

    /// The fit of a mode in the position that costs most at the largest N.
    fn worst(&self, packet: &Packet, asked: &Fit) -> Option<&Fit> {
        let same = |options: &Options| options.without(&[OptionKey::Position]);
        let highest = self
            .scope
            .rows(self.summary)
            .filter(|row| {
                row.key.mode == asked.mode
                    && row.key.services == asked.to
                    && row.metric == Some(Metric::Latency)
                    && same(&row.key.options) == same(&asked.options)
            })
            .max_by(|a, b| a.median.unwrap_or(0.0).total_cmp(&b.median.unwrap_or(0.0)))?;
        let packet = packet.to(highest.key.options.position()?);
        let fits = self.slopes_of(&packet).into_iter();
        fits.filter(|fit| fit.options == highest.key.options)
            .find(|fit| (fit.mode, fit.from, fit.to) == (asked.mode, asked.from, asked.to))
    }

    fn slopes_to(&self, packet: &Packet, fits: &[(&Fit, String)], whom: &str) -> Option<Finding> {
        let (mut adds, mut level, mut unknown, mut few) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (fit, position) in fits {
            let unit = unit_of(fit);
            let ends = |ends| interval(ends, unit);
            let above = fit.above_floor.as_ref();
            let beyond = above.map_or_else(String::new, |above| {
                format!(
                    "; beyond {} {} ({})",
                    above.floor,
                    value(above.estimate, unit),
                    spread_of(&slope_of(above, unit), "block", ends)
                )
            });
            let slope = format!(
                "{} in {}{position} ({}{beyond}{})",
                value(fit.estimate, unit),
                fit.mode,
                spread_of_fit(fit, ends),
                misfit(fit)
            );
            let beyond = above.map(|above| slope_of(above, unit));
            match beyond {
                Some(beyond) if beyond.leaves_out(0.0) => adds.push(slope),
                Some(beyond) if beyond.bounds().is_none() => {
                    few.push(beyond);
                    unknown.push(slope);
                }
                _ => level.push(slope),
            }
        }
        let (first, _) = fits.first()?;
        let question = format!(
            "Each further service adds to the first {} packet (latency, {} caches) {whom}, {}",
            packet.protocol.words(),
            packet.cache,
            range(first)
        );
        let nothing = adds.is_empty() && unknown.is_empty();
        let few = format!("too few blocks for an interval ({})", self.too_few(&few));
        let said = |slopes: &[String], what: &str| {
            (!slopes.is_empty()).then(|| format!("{what}{}", listed(slopes)))
        };
        let parts = [
            nothing.then(|| "nothing that is known".to_owned()),
            said(&adds, ""),
            said(&level, "not told apart from the floor: "),
            said(&unknown, &format!("{few}: ")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let verdict = format!("{}.", parts.join("; "));
        Some(Finding {
            evidence: fits.iter().map(|(fit, _)| evidence_of_fit(fit)).collect(),
            services: vec![first.from, first.to],
            ..self.of_packets(FindingKind::Slopes, packet, question, verdict)
        })
    }

    /// The power of N with which an installation from nothing grows beside its fixed part, and that of its last
    /// stretch.
    pub(super) fn exponents(&self) -> Option<Finding> {
        let fits: Vec<&Fit> = self
            .fits(ScenarioKind::ColdInstall, Metric::UpdateTime)
            .collect();
        // Of each series its last stretch: where there are five sizes, beside the whole.
        let last: Vec<&Fit> = fits
            .iter()
            .copied()
            .filter(|fit| fit.model == FitModel::Power && is_last(fit, &fits))
            .collect();
        let series: Vec<(Mode, &Options)> =
            last.iter().map(|fit| (fit.mode, &fit.options)).collect();
        let (mut parts, mut proof) = (Vec::new(), Vec::new());
        for (fit, name) in last.iter().zip(series_names(&series)) {
            let over = |fit: &Fit| {
                format!(
                    "N^{} ({}) over {}",
                    digits(fit.estimate),
                    spread_of_fit(fit, span),
                    range(fit)
                )
            };
            let whole = fits
                .iter()
                .find(|whole| whole.model != FitModel::Power && is_same(whole, fit));
            let whole = whole.map_or_else(String::new, |whole| {
                proof.push(evidence_of_fit(whole));
                format!("{}{}; ", over(whole), misfit(whole))
            });
            parts.push(format!("{name} {whole}last stretch {}", over(fit)));
            proof.push(evidence_of_fit(fit));
        }
        let question = "How installing from nothing grows with N, by update_time (a fixed part and a power of N)";
        let (kind, scenario) = (FindingKind::Exponents, ScenarioKind::ColdInstall);
        (!parts.is_empty()).then(|| Finding {
            evidence: proof,
            headline: true,
            ..self.finding(
                kind,
                scenario,
                question.to_owned(),
                format!("{}.", parts.join(". ")),
            )
        })
    }
}

/// What is known of a slope beyond the floor's.
pub(super) fn slope_of(above: &AboveFloor, unit: Unit) -> Known {
    Known {
        value: above.estimate,
        ci95: above.ci95,
        range: above.range,
        of: above.blocks as usize,
        counted: unit == Unit::Instructions,
    }
}

/// What is known of what the slope makes at the largest N, in parts of the fixed part.
pub(super) fn share_of(above: &AboveFloor, unit: Unit) -> Known {
    Known {
        value: above.share,
        ci95: above.share_ci95,
        range: above.share_range,
        ..slope_of(above, unit)
    }
}

/// Lack of fit, where it shows: "; at 300 services 12 % off the curve, beyond its interval".
fn misfit(fit: &Fit) -> String {
    match fit.misfit {
        Some(misfit) if misfit.beyond == Some(true) => format!(
            "; no good fit: at {} services the value is {} % off the curve",
            whole(misfit.services.into()),
            digits(100.0 * misfit.relative)
        ),
        _ => String::new(),
    }
}

/// Whether no other fit of the series begins later.
fn is_last(fit: &Fit, all: &[&Fit]) -> bool {
    all.iter()
        .filter(|other| is_same(other, fit))
        .all(|other| other.from <= fit.from)
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
