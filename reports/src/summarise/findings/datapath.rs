//! What one mode's design costs or saves beside another's: whether a first packet's cost stays flat, the
//! two iptables engines, what a set spares an update, and memory by service.

use schema::summary::{Finding, Fit};
use schema::{CellKey, Metric, Mode, Options, ScenarioKind, Unit};

use super::growth::range;
use super::{Context, evidence, evidence_of_fit, listed, unit_of};
use crate::quantity::{digits, interval, span, value, whole};
use crate::scope::series_names;

/// A slope is flat when N services add less than this share to what a packet costs without them.
const FLAT: f64 = 0.10;

impl Context<'_, '_> {
    /// First-packet fits to the last service, by mode.
    fn slopes_of(&self, protocol: &str) -> Vec<&Fit> {
        let is = |fit: &Fit, key: &str, wanted: &str| {
            fit.options.get(key).is_some_and(|value| value == wanted)
        };
        self.fits(ScenarioKind::FirstPacket, Metric::Latency)
            .filter(|fit| is(fit, "position", "last") && is(fit, "protocol", protocol))
            .collect()
    }

    /// What N services add to the first packet's fixed cost: b·N ÷ a. The interval divides the ends of
    /// both intervals, so it is wider than 95 %.
    pub(super) fn flatness(&self, protocol: &str) -> Option<Finding> {
        let fits = self.slopes_of(protocol);
        let largest = fits.iter().map(|fit| fit.to).max()?;
        // Other ranges would be other questions.
        let fits: Vec<&Fit> = fits
            .into_iter()
            .filter(|fit| fit.to == largest && fit.intercept_ci95[0] > 0.0)
            .collect();
        let series: Vec<(Mode, &Options)> =
            fits.iter().map(|fit| (fit.mode, &fit.options)).collect();
        let mut parts = Vec::new();
        for (fit, name) in fits.iter().zip(series_names(&series)) {
            let n = f64::from(fit.to);
            let share = n * fit.estimate / fit.intercept;
            let [low, high] = fit.ci95.map(|b| n * b);
            let [least, most] = fit.intercept_ci95;
            let low = low / if low < 0.0 { least } else { most };
            let high = high / if high < 0.0 { most } else { least };
            let verdict = if high < FLAT && low > -FLAT {
                "flat"
            } else if low > FLAT {
                "grows"
            } else {
                "not known to be flat"
            };
            parts.push(format!(
                "{name} {verdict}, {} % ({} %)",
                digits(100.0 * share),
                span([100.0 * low, 100.0 * high])
            ));
        }
        (!parts.is_empty()).then(|| Finding {
            text: format!(
                "What {} services add to the fixed part of the first {} packet to the last one, flat being below {} %: {}.",
                whole(largest.into()),
                protocol.to_uppercase(),
                digits(100.0 * FLAT),
                parts.join("; ")
            ),
            evidence: fits.into_iter().map(evidence_of_fit).collect(),
            headline: false,
        })
    }

    /// iptables-nft's price of a service passed beside that of the legacy engine. The interval of the
    /// quotient divides the ends of both intervals, so it is wider than 95 %.
    pub(super) fn engines(&self, protocol: &str) -> Option<Finding> {
        let fits = self.slopes_of(protocol);
        let of = |mode| fits.iter().copied().find(|fit| fit.mode == mode);
        let (legacy, nft) = (of(Mode::IptablesLegacy)?, of(Mode::IptablesNft)?);
        if (legacy.from, legacy.to) != (nft.from, nft.to) {
            return None;
        }
        let slope = |fit: &Fit| {
            format!(
                "{} ({})",
                value(fit.estimate, unit_of(fit)),
                interval(fit.ci95, unit_of(fit))
            )
        };
        let quotient = if legacy.ci95[0] > 0.0 && nft.ci95[0] > 0.0 {
            let bounds = [nft.ci95[0] / legacy.ci95[1], nft.ci95[1] / legacy.ci95[0]];
            format!(
                "a ratio of {} ({})",
                digits(nft.estimate / legacy.estimate),
                span(bounds)
            )
        } else {
            "no ratio, since a slope is not distinguished from 0".to_owned()
        };
        Some(Finding {
            text: format!(
                "What each service passed on the way to the last one costs in both iptables engines, {} packets, {}: iptables-nft {}, iptables-legacy {}; {quotient}.",
                protocol.to_uppercase(),
                range(nft),
                slope(nft),
                slope(legacy)
            ),
            evidence: vec![evidence_of_fit(nft), evidence_of_fit(legacy)],
            headline: false,
        })
    }

    /// Whether adding one service to an ipset sends as many set messages at the largest N as at the smallest.
    pub(super) fn set_messages(&self) -> Option<Finding> {
        let (mut parts, mut proof) = (Vec::new(), Vec::new());
        let small = self.scope.smallest(self.summary);
        let keys = self.keys_at_largest(|key| {
            key.mode == Mode::Ipset && key.scenario == ScenarioKind::ServiceAdd
        });
        let named = super::names(&keys);
        for (key, name) in keys.iter().zip(named) {
            let at_smallest = CellKey {
                services: small,
                ..(*key).clone()
            };
            let (Some(few), Some(many)) = (
                self.row(&at_smallest, Metric::Messages),
                self.row(key, Metric::Messages),
            ) else {
                continue;
            };
            // A tool sends its own messages, which are not counted here.
            let sent = |row: &schema::summary::Row| {
                Some((*row.quantiles.get("min")?, *row.quantiles.get("max")?))
            };
            let (Some(a), Some(b)) = (sent(few), sent(many)) else {
                continue;
            };
            if small == key.services || b == (0.0, 0.0) {
                continue;
            }
            let counted = |(low, high): (f64, f64)| {
                if low == high {
                    digits(low)
                } else {
                    format!("{} to {}", digits(low), digits(high))
                }
            };
            parts.push(if a == b && a.0 == a.1 {
                format!("{name} {} at both, in every sample", counted(a))
            } else {
                format!("{name} {} and {}", counted(a), counted(b))
            });
            proof.extend([evidence(few), evidence(many)]);
        }
        (!parts.is_empty()).then(|| Finding {
            text: format!(
                "Set messages to add one service at {} and at {} services: {}.",
                whole(small.into()),
                whole(self.largest.into()),
                listed(&parts)
            ),
            evidence: proof,
            headline: false,
        })
    }

    /// Kernel memory of each further service.
    pub(super) fn memory(&self) -> Option<Finding> {
        let fits: Vec<&Fit> = self
            .fits(self.scope.weighing(self.summary), Metric::KernelMemory)
            .filter(|fit| {
                self.scope
                    .shows_memory(self.summary, fit.mode, &fit.options)
            })
            .collect();
        let series: Vec<(Mode, &Options)> =
            fits.iter().map(|fit| (fit.mode, &fit.options)).collect();
        let parts: Vec<String> = fits
            .iter()
            .zip(series_names(&series))
            .map(|(fit, name)| {
                let known = if fit.ci95[0] <= 0.0 && fit.ci95[1] >= 0.0 {
                    ": not distinguished from 0"
                } else {
                    ""
                };
                let range = range(fit);
                format!(
                    "{name} {} ({}{known}; {range})",
                    value(fit.estimate, Unit::Bytes),
                    interval(fit.ci95, Unit::Bytes)
                )
            })
            .collect();
        let noisy = if fits.iter().any(|fit| fit.noisy) {
            " (noisy, on the host's kernel, which other processes use too)"
        } else {
            ""
        };
        (!parts.is_empty()).then(|| Finding {
            text: format!(
                "Kernel memory of each further service{noisy}: {}.",
                parts.join("; ")
            ),
            evidence: fits.into_iter().map(evidence_of_fit).collect(),
            headline: false,
        })
    }
}
