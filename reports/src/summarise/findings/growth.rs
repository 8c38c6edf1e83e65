//! How costs grow with N, from the fits.
//!
//! A mode adds something to a first packet only beyond what the floor of the same blocks does: what a larger
//! population does to caches, or an hour to a machine, it does to the floor as well.

use schema::summary::{AboveFloor, Finding, FindingKind, Fit, FitModel};
use schema::{Metric, OptionKey, Options, ScenarioKind, Unit};

use super::{Context, Said, Subject, apart, evidence_of_fit, listed, named, unit_of, which};
use crate::quantity::{digits, value, whole};
use crate::statistics::Known;
use crate::view::known_of_fit;
use crate::view::words::{Scale, told};

impl Context<'_, '_> {
    /// What each further service adds to the first packet: to what the headline asks, and in each mode's own worst
    /// position.
    pub(super) fn slopes(&self, packet: &Subject) -> Vec<Finding> {
        let asked = self.slopes_of(packet);
        let worst = asked.iter().map(|fit| {
            let steeper = self.worst(packet, fit).unwrap_or(fit);
            (steeper, format!(" to {}", which(&steeper.options)))
        });
        let worst: Vec<(&Fit, String)> = worst.collect();
        // Where one position was asked there is no worse one.
        let mut both = worst.iter().zip(&asked);
        let other = both.any(|((worst, _), asked)| worst.options != asked.options);
        let asked: Vec<_> = asked.into_iter().map(|fit| (fit, String::new())).collect();
        let worst = other.then_some((worst, "in each mode's own worst position"));
        let all = [(asked, "to {which} one")].into_iter().chain(worst);
        all.filter_map(|(fits, whom)| self.slopes_to(packet, &fits, whom))
            .collect()
    }

    /// The fit of a mode in the position that costs most at the largest N.
    fn worst(&self, packet: &Subject, asked: &Fit) -> Option<&Fit> {
        let same = |options: &Options| options.without(&[OptionKey::Position]);
        let rows = self.scope.rows(self.summary).filter(|row| {
            row.key.mode == asked.mode
                && row.key.services == asked.to
                && row.metric == Some(Metric::Latency)
                && same(&row.key.options) == same(&asked.options)
        });
        let highest =
            rows.max_by(|a, b| a.median.unwrap_or(0.0).total_cmp(&b.median.unwrap_or(0.0)))?;
        let packet = packet.to(highest.key.options.position()?);
        let mut fits = self.slopes_of(&packet).into_iter();
        fits.find(|fit| {
            fit.options == highest.key.options
                && (fit.mode, fit.from, fit.to) == (asked.mode, asked.from, asked.to)
        })
    }

    fn slopes_to(&self, packet: &Subject, fits: &[(&Fit, String)], whom: &str) -> Option<Finding> {
        let (mut adds, mut level, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        let mut few = Vec::new();
        let (first, _) = fits.first()?;
        for (fit, position) in fits {
            // Layouts may differ by size, and so do the sizes that a series has.
            let own = match (fit.from, fit.to) == (first.from, first.to) {
                true => String::new(),
                false => format!(" over {}", range(fit)),
            };
            let unit = unit_of(fit);
            let above = fit.above_floor.as_ref();
            let above = above.map(|above| (above.floor, slope_of(above, unit)));
            let beyond = above.as_ref().map_or_else(String::new, |(floor, slope)| {
                format!(
                    "; beyond {floor} {}",
                    told(slope, "block", Scale::Of(unit), "")
                )
            });
            let slope = format!(
                "{} in {}{position}{own} ({}{beyond}{})",
                value(fit.estimate, unit),
                fit.mode,
                Scale::Of(unit).spread(&known_of_fit(fit), "block"),
                misfit(fit)
            );
            match above {
                Some((_, beyond)) if beyond.leaves_out(0.0) => adds.push(slope),
                Some((_, beyond)) if beyond.bounds().is_none() => {
                    few.push(beyond);
                    unknown.push(slope);
                }
                _ => level.push(slope),
            }
        }
        let said = |slopes: &[String], what: &str| {
            (!slopes.is_empty()).then(|| format!("{what}{}", listed(slopes)))
        };
        let few = format!("too few blocks for an interval ({}): ", self.too_few(&few));
        let nothing = adds.is_empty() && unknown.is_empty();
        let parts = [
            nothing.then(|| "nothing that is known".to_owned()),
            said(&adds, ""),
            said(&level, "not told apart from the floor: "),
            said(&unknown, &few),
        ];
        let said = Said {
            clauses: parts.into_iter().flatten().collect(),
            evidence: fits.iter().map(|(fit, _)| evidence_of_fit(fit)).collect(),
        };
        let question = format!(
            "Each further service adds to the first {{protocol}} packet (latency, {{cache}}) {whom}, {}",
            range(first)
        );
        let found = self.clauses(FindingKind::Slopes, packet, &question, said, apart)?;
        let services = vec![first.from, first.to];
        Some(Finding { services, ..found })
    }

    /// The power of N with which an installation from nothing grows beside its fixed part, and that of its last
    /// stretch.
    pub(super) fn exponents(&self) -> Option<Finding> {
        let all: Vec<&Fit> = self
            .fits(ScenarioKind::ColdInstall, Metric::UpdateTime)
            .collect();
        // Of each series its last stretch: where there are five sizes, beside the whole.
        let is_last = |fit: &&&Fit| {
            let mut same = all.iter().filter(|other| is_same(other, fit));
            fit.model == FitModel::Power && same.all(|other| other.from <= fit.from)
        };
        let over = |fit: &Fit| {
            let power = told(&known_of_fit(fit), "block", Scale::Plain, "");
            format!("N^{power} over {}", range(fit))
        };
        let mut said = Said::default();
        for (name, fit) in named(all.iter().filter(is_last).copied().collect()) {
            let whole = |other: &&&Fit| other.model != FitModel::Power && is_same(other, fit);
            let whole = all.iter().find(whole).map_or_else(String::new, |whole| {
                said.evidence.push(evidence_of_fit(whole));
                format!("{}{}; ", over(whole), misfit(whole))
            });
            let clause = format!("{name} {whole}last stretch {}", over(fit));
            said.add(clause, [evidence_of_fit(fit)]);
        }
        let question = "How installing from nothing grows with N, by update_time (a fixed part and a power of N)";
        let (kind, subject) = (FindingKind::Exponents, ScenarioKind::ColdInstall.into());
        let found = self.clauses(kind, &subject, question, said, |clauses| clauses.join(". "))?;
        Some(Finding {
            headline: true,
            ..found
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

/// Lack of fit, where it shows: "; at 300 services 12 % off the curve, beyond its interval".
fn misfit(fit: &Fit) -> String {
    match fit.misfit {
        Some(misfit) if misfit.beyond == Some(true) => format!(
            "; no good fit: at {} services the value is {} % off the curve",
            whole(misfit.at.into()),
            digits(100.0 * misfit.relative)
        ),
        _ => String::new(),
    }
}

fn is_same(a: &Fit, b: &Fit) -> bool {
    a.mode == b.mode && a.options == b.options && a.environment == b.environment
}

pub(super) fn range(fit: &Fit) -> String {
    let (from, to) = (whole(fit.from.into()), whole(fit.to.into()));
    format!("{from}–{to} services")
}
