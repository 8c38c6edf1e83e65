//! What one mode's design costs or saves beside another's: whether a first packet's cost stays flat, the
//! two iptables engines, what a set spares an update, and memory by service.

use schema::summary::{Finding, FindingKind, Fit, PerCpu};
use schema::{CellKey, Engine, Metric, Mode, OptionKey, Options, Position, ScenarioKind, Unit};

use super::growth::{range, share_of};
use super::{Context, Packet, evidence, evidence_of_fit, listed, unit_of};
use crate::quantity::{counted, digits, interval, span, value, whole};
use crate::view::{known_of_fit, series_names, spread_of, spread_of_fit};

/// A slope is flat when N services add less than this share to what a packet costs without them.
const FLAT: f64 = 0.10;

impl Context<'_, '_> {
    /// First-packet fits of a question, by mode.
    pub(super) fn slopes_of(&self, packet: &Packet) -> Vec<&Fit> {
        self.fits(ScenarioKind::FirstPacket, Metric::Latency)
            .filter(|fit| packet.asks_options(&fit.options))
            .collect()
    }

    /// What N services add to the first packet's fixed cost, beyond what they add to the floor's: b·N ÷ a, block by
    /// block.
    pub(super) fn flatness(&self, packet: &Packet) -> Option<Finding> {
        let fits = self.slopes_of(packet);
        let largest = fits.iter().map(|fit| fit.to).max()?;
        // Other ranges would be other questions.
        let fits: Vec<&Fit> = fits.into_iter().filter(|fit| fit.to == largest).collect();
        let series: Vec<(Mode, &Options)> =
            fits.iter().map(|fit| (fit.mode, &fit.options)).collect();
        let (mut parts, mut proof, mut few) = (Vec::new(), Vec::new(), Vec::new());
        for (fit, name) in fits.iter().zip(series_names(&series)) {
            let Some(above) = &fit.above_floor else {
                continue;
            };
            let share = share_of(above, unit_of(fit));
            let verdict = match share.bounds() {
                Some([low, high]) if high < FLAT && low > -FLAT => "flat",
                Some([low, _]) if low > FLAT => "grows",
                Some(_) => "not known to be flat",
                None => "not known",
            };
            few.extend(share.bounds().is_none().then_some(share));
            parts.push(format!(
                "{name} {verdict}, {} % ({})",
                digits(100.0 * share.value),
                spread_of(&share, "block", |ends| format!(
                    "{} %",
                    span(ends.map(|end| 100.0 * end))
                ))
            ));
            proof.push(evidence_of_fit(fit));
        }
        let question = format!(
            "What {} services add to the fixed part of the first {} packet (latency, {} caches) to {} one, beyond what they add to the floor's, flat being below {} %",
            whole(largest.into()),
            packet.protocol.words(),
            packet.cache,
            packet.position.row().which,
            digits(100.0 * FLAT),
        );
        let few = match few.is_empty() {
            true => String::new(),
            false => format!(" Not known: too few blocks ({}).", self.too_few(&few)),
        };
        let verdict = format!("{}.{few}", parts.join("; "));
        (!parts.is_empty()).then(|| Finding {
            evidence: proof,
            services: vec![largest],
            ..self.of_packets(FindingKind::Flatness, packet, question, verdict)
        })
    }

    /// iptables-nft's price of a service passed beside that of the legacy engine. The interval of the
    /// quotient divides the ends of both intervals, so it is wider than 95 %.
    pub(super) fn engines(&self, packet: &Packet) -> Option<Finding> {
        let last = packet.to(Position::Last);
        let fits = self.slopes_of(&last);
        let of = |engine| {
            let mut fits = fits.iter().copied();
            fits.find(|fit| fit.mode.row().iptables == Some(engine))
        };
        let (legacy, nft) = (of(Engine::Legacy)?, of(Engine::Nft)?);
        if (legacy.from, legacy.to) != (nft.from, nft.to) {
            return None;
        }
        let slope = |fit: &Fit| {
            let ends = |ends| interval(ends, unit_of(fit));
            format!(
                "{} ({})",
                value(fit.estimate, unit_of(fit)),
                spread_of_fit(fit, ends)
            )
        };
        let ends = known_of_fit(legacy)
            .bounds()
            .zip(known_of_fit(nft).bounds());
        let quotient = match ends {
            Some((below, above)) if below[0] > 0.0 && above[0] > 0.0 => {
                let bounds = [above[0] / below[1], above[1] / below[0]];
                format!(
                    "a ratio of {} ({})",
                    digits(nft.estimate / legacy.estimate),
                    span(bounds)
                )
            }
            Some(_) => "no ratio, since a slope is not distinguished from 0".to_owned(),
            None => "no ratio, since a slope has no interval".to_owned(),
        };
        let question = format!(
            "What each service passed on the way to the last one costs in both iptables engines, {} packets (latency, {} caches), {}",
            packet.protocol.words(),
            packet.cache,
            range(nft),
        );
        let said = |fit: &Fit| format!("{} {}", fit.mode, slope(fit));
        let verdict = format!("{}, {}; {quotient}.", said(nft), said(legacy));
        Some(Finding {
            evidence: vec![evidence_of_fit(nft), evidence_of_fit(legacy)],
            services: vec![nft.from, nft.to],
            ..self.of_packets(FindingKind::Engines, &last, question, verdict)
        })
    }

    /// Whether adding one service to an ipset sends as many set messages at the largest N as at the smallest.
    pub(super) fn set_messages(&self) -> Option<Finding> {
        let (mut parts, mut proof) = (Vec::new(), Vec::new());
        let small = self.scope.smallest(self.summary);
        let keys = self
            .keys_at_largest(|key| key.mode.row().sets && key.scenario == ScenarioKind::ServiceAdd);
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
            let seen = |(low, high): (f64, f64)| {
                if low == high {
                    digits(low)
                } else {
                    format!("{} to {}", digits(low), digits(high))
                }
            };
            parts.push(if a == b && a.0 == a.1 {
                format!("{name} {} at both, in every sample", seen(a))
            } else {
                format!("{name} {} and {}", seen(a), seen(b))
            });
            proof.extend([evidence(few), evidence(many)]);
        }
        let question = format!(
            "Set messages to add one service at {} and at {} services",
            whole(small.into()),
            whole(self.largest.into()),
        );
        let (kind, scenario) = (FindingKind::SetMessages, ScenarioKind::ServiceAdd);
        (!parts.is_empty()).then(|| Finding {
            evidence: proof,
            services: vec![small, self.largest],
            ..self.finding(kind, scenario, question, format!("{}.", listed(&parts)))
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
                let known = known_of_fit(fit);
                let doubt = if known.ci95.is_some() && !known.leaves_out(0.0) {
                    ": not distinguished from 0"
                } else {
                    ""
                };
                let spread = spread_of_fit(fit, |ends| interval(ends, Unit::Bytes));
                let per_cpu = self.per_cpu(fit).map_or_else(String::new, |of| {
                    format!(
                        ", of that {} a possible CPU on {}",
                        value(of.bytes, Unit::Bytes),
                        counted(of.cpus.into(), "CPU")
                    )
                });
                let range = range(fit);
                let name = match fit.options.words_of(OptionKey::Chunk) {
                    Some(chunk) if !name.contains(&chunk) => format!("{name} ({chunk})"),
                    _ => name,
                };
                format!(
                    "{name} {} ({spread}{doubt}; {range}{per_cpu})",
                    value(fit.estimate, Unit::Bytes),
                )
            })
            .collect();
        let noisy = if fits.iter().any(|fit| fit.noisy) {
            " (noisy, on the host's kernel, which other processes use too)"
        } else {
            ""
        };
        let scenario = self.scope.weighing(self.summary);
        let question =
            format!("Kernel memory of each further service (kernel_memory of {scenario}){noisy}");
        let facts = self.summary.environments.get(&self.scope.environment);
        let cores = facts.map_or(0, |facts| facts.cores);
        let cpus = match fits.iter().any(|fit| self.per_cpu(fit).is_some()) {
            true => String::new(),
            false => format!(
                " What of it is held once for each possible CPU was not read, on a machine of {}.",
                counted(cores.into(), "core")
            ),
        };
        let verdict = format!("{}.{cpus}", parts.join("; "));
        (!parts.is_empty()).then(|| Finding {
            evidence: fits.into_iter().map(evidence_of_fit).collect(),
            headline: true,
            ..self.finding(FindingKind::Memory, scenario, question, verdict)
        })
    }

    /// What the largest size of a fit holds for each possible CPU.
    fn per_cpu(&self, fit: &Fit) -> Option<PerCpu> {
        self.scope
            .rows(self.summary)
            .find(|row| {
                row.key.mode == fit.mode
                    && row.key.scenario == fit.scenario
                    && row.key.options == fit.options
                    && row.key.services == fit.to
                    && row.metric == Some(fit.metric)
            })?
            .per_cpu
    }
}
