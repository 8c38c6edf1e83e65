//! What one mode's design costs or saves beside another's: whether a first packet's cost stays flat, the
//! two iptables engines, what a set spares an update, and memory by service.

use std::collections::BTreeSet;

use schema::summary::{Finding, FindingKind, Fit, PerCpu, Row};
use schema::{Engine, Metric, Mode, OptionKey, Options, Position, ScenarioKind, Unit};

use super::growth::{range, slope_of};
use super::{Context, Said, Subject, apart, evidence, evidence_of_fit, listed, named, unit_of};
use crate::quantity::{counted, digits, span, value, whole};
use crate::statistics::{Known, SEEDS};
use crate::view::words::{Scale, told};
use crate::view::{by_cpus, known_of_fit};

/// A slope is flat when N services add less than this share to what a packet costs without them.
const FLAT: f64 = 0.10;

/// What a further service holds of memory, by mode, in brief.
#[derive(Default)]
struct Prices(Vec<(Mode, f64)>);

impl Prices {
    /// One, if it is known to be more than nothing.
    fn add(&mut self, mode: Mode, known: bool, bytes: f64) {
        if known {
            self.0.push((mode, bytes));
        }
    }

    /// "Kernel memory of each further service: nftables 1.41 kB, ipvs 2.9 kB." Empty where a mode has several, or none is known.
    fn brief(mut self, what: &str) -> String {
        self.0.sort_by(|a, b| a.1.total_cmp(&b.1));
        let modes: BTreeSet<Mode> = self.0.iter().map(|(mode, _)| *mode).collect();
        if self.0.is_empty() || modes.len() != self.0.len() {
            return String::new();
        }
        let of = |(mode, bytes): &(Mode, f64)| format!("{mode} {}", value(*bytes, Unit::Bytes));
        format!(
            "{what}: {}.",
            listed(&self.0.iter().map(of).collect::<Vec<_>>())
        )
    }
}

impl Context<'_, '_> {
    /// First-packet fits of a question, by mode.
    pub(super) fn slopes_of(&self, packet: &Subject) -> Vec<&Fit> {
        self.fits(ScenarioKind::FirstPacket, Metric::Latency)
            .filter(|fit| packet.agrees(&fit.options))
            .collect()
    }

    /// What N services add to the first packet's fixed cost, beyond what they add to the floor's: b·N ÷ a, block by
    /// block.
    pub(super) fn flatness(&self, packet: &Subject) -> Option<Finding> {
        let mut fits = self.slopes_of(packet);
        let largest = fits.iter().map(|fit| fit.to).max()?;
        // Other ranges would be other questions.
        fits.retain(|fit| fit.to == largest);
        let (mut said, mut few) = (Said::default(), Vec::new());
        for (name, fit) in named(fits) {
            let Some(above) = &fit.above_floor else {
                continue;
            };
            let share = Known {
                value: above.share,
                ci95: above.share_ci95,
                range: above.share_range,
                ..slope_of(above, unit_of(fit))
            };
            let verdict = match share.bounds() {
                Some([low, high]) if high < FLAT && low > -FLAT => "flat",
                Some([low, _]) if low > FLAT => "grows",
                Some(_) => "not known to be flat",
                None => "not known",
            };
            let told = told(&share, "block", Scale::Percent, "");
            said.add(format!("{name} {verdict}, {told}"), [evidence_of_fit(fit)]);
            few.extend(share.bounds().is_none().then_some(share));
        }
        let question = format!(
            "What {} services add to the fixed part of the first {{protocol}} packet (latency, {{cache}}) to {{which}} one, beyond what they add to the floor's, flat being below {} %",
            whole(largest.into()),
            digits(100.0 * FLAT),
        );
        let mut found = self.clauses(FindingKind::Flatness, packet, &question, said, apart)?;
        found.services = vec![largest];
        if !few.is_empty() {
            let few = self.too_few(&few);
            let verdict = &mut found.verdict;
            verdict.push_str(&format!(" Not known: too few blocks ({few})."));
        }
        Some(found)
    }

    /// iptables-nft's price of a service passed beside that of the legacy engine. The interval of the
    /// quotient divides the ends of both intervals, so it is wider than 95 %.
    pub(super) fn engines(&self, packet: &Subject) -> Option<Finding> {
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
        let ends = [legacy, nft].map(|fit| known_of_fit(fit).bounds());
        let quotient = match ends {
            [Some(below), Some(above)] if below[0] > 0.0 && above[0] > 0.0 => format!(
                "a ratio of {} ({})",
                digits(nft.estimate / legacy.estimate),
                span([above[0] / below[1], above[1] / below[0]])
            ),
            [Some(_), Some(_)] => "no ratio, since a slope is not distinguished from 0".to_owned(),
            _ => "no ratio, since a slope has no interval".to_owned(),
        };
        let slope = |fit: &Fit| {
            let slope = told(&known_of_fit(fit), "block", Scale::Of(unit_of(fit)), "");
            format!("{} {slope}", fit.mode)
        };
        let said = Said {
            clauses: vec![format!("{}, {}", slope(nft), slope(legacy)), quotient],
            evidence: vec![evidence_of_fit(nft), evidence_of_fit(legacy)],
        };
        let question = format!(
            "What each service passed on the way to the last one costs in both iptables engines, {{protocol}} packets (latency, {{cache}}), {}",
            range(nft),
        );
        let found = self.clauses(FindingKind::Engines, &last, &question, said, apart)?;
        let services = vec![nft.from, nft.to];
        Some(Finding { services, ..found })
    }

    /// Whether adding one service to an ipset sends as many set messages at the largest N as at the smallest.
    pub(super) fn set_messages(&self) -> Option<Finding> {
        let mut said = Said::default();
        let asks =
            |key: &schema::CellKey| key.mode.row().sets && key.scenario == ScenarioKind::ServiceAdd;
        for (name, key) in self.named_at_largest(asks) {
            let Some(small) = self.at_smallest(key) else {
                continue;
            };
            let rows = self.both((&small, Metric::Messages), (key, Metric::Messages));
            let sent = |row: &Row| Some([*row.quantiles.get("min")?, *row.quantiles.get("max")?]);
            let Some([few, many]) = rows else { continue };
            let (Some(a), Some(b)) = (sent(few), sent(many)) else {
                continue;
            };
            // A tool sends its own messages, which are not counted here.
            if b == [0.0, 0.0] {
                continue;
            }
            let seen = |[low, high]: [f64; 2]| match low == high {
                true => digits(low),
                false => format!("{} to {}", digits(low), digits(high)),
            };
            let clause = match a == b && a[0] == a[1] {
                true => format!("{name} {} at both, in every sample", seen(a)),
                false => format!("{name} {} and {}", seen(a), seen(b)),
            };
            said.add(clause, [evidence(few), evidence(many)]);
        }
        let question = "Set messages to add one service at {from} and at {N} services";
        let subject = ScenarioKind::ServiceAdd.into();
        self.at_both(self.clauses(FindingKind::SetMessages, &subject, question, said, listed))
    }

    /// Kernel memory of each further service.
    pub(super) fn memory(&self) -> Option<Finding> {
        let scenario = self.scope.weighing(self.summary);
        let fits = self.fits(scenario, Metric::KernelMemory);
        // Where there is a line over CPUs, that says the same.
        let lined = by_cpus(&self.scope, &self.summary.fits);
        let lined: BTreeSet<(Mode, Options)> =
            lined.into_iter().map(|way| (way.mode, way.way)).collect();
        let way_of = |fit: &Fit| (fit.mode, fit.options.without(&[OptionKey::PossibleCpus]));
        let shown = |fit: &&Fit| {
            self.scope
                .shows_memory(self.summary, fit.mode, &fit.options)
                && !(fit.options.possible_cpus().is_some() && lined.contains(&way_of(fit)))
        };
        let fits: Vec<&Fit> = fits.filter(shown).collect();
        let noisy = match fits.iter().any(|fit| fit.noisy) {
            true => " (noisy, on the host's kernel, which other processes use too)",
            false => "",
        };
        let (mut said, mut read, mut prices) = (Said::default(), false, Prices::default());
        let mut has_bounds = false;
        for (name, fit) in named(fits) {
            let known = known_of_fit(fit);
            let bounds = known.bounds();
            has_bounds |= bounds.is_some();
            prices.add(
                fit.mode,
                bounds.is_some_and(|[low, _]| low > 0.0),
                known.value,
            );
            let doubt = match known.ci95.is_some() && !known.leaves_out(0.0) {
                true => ": not distinguished from 0",
                false => "",
            };
            let per_cpu = self.per_cpu(fit);
            read |= per_cpu.is_some();
            let per_cpu = per_cpu.map_or_else(String::new, |of| {
                let cpus = counted(of.cpus.into(), "CPU");
                format!(
                    ", of that {} a possible CPU on {cpus}",
                    value(of.bytes, Unit::Bytes)
                )
            });
            let name = match fit.options.words_of(OptionKey::Chunk) {
                Some(chunk) if !name.contains(&chunk) => match name.strip_suffix(')') {
                    Some(name) => format!("{name}, {chunk})"),
                    None => format!("{name} ({chunk})"),
                },
                _ => name,
            };
            let more = format!("{doubt}; {}{per_cpu}", range(fit));
            let price = told(&known, "block", Scale::Of(Unit::Bytes), &more);
            said.add(format!("{name} {price}"), [evidence_of_fit(fit)]);
        }
        let question =
            format!("Kernel memory of each further service (kernel_memory of {scenario}){noisy}");
        let mut found = self.clauses(
            FindingKind::Memory,
            &scenario.into(),
            &question,
            said,
            apart,
        )?;
        found.headline = true;
        found.brief = prices.brief("Kernel memory of each further service");
        if !has_bounds {
            found.brief = self.held(scenario);
        }
        if !read {
            let facts = self.summary.environments.get(&self.scope.environment);
            let cores = counted(facts.map_or(0, |facts| facts.cores).into(), "core");
            found.verdict.push_str(&format!(
                " What of it is held once for each possible CPU was not read, on a machine of {cores}."
            ));
        }
        Some(found)
    }

    /// What the largest size holds, where of no service anything is known: as it was read.
    fn held(&self, scenario: ScenarioKind) -> String {
        let mut prices = Prices::default();
        for key in self.keys_at_largest(|key| key.scenario == scenario) {
            let row = self.row(key, Metric::KernelMemory);
            let shown = self
                .scope
                .shows_memory(self.summary, key.mode, &key.options);
            let held = row.filter(|_| shown).and_then(|row| row.median);
            prices.add(key.mode, held.is_some(), held.unwrap_or(0.0));
        }
        prices.brief(&format!(
            "Kernel memory of {} services, of too few stays for an interval",
            whole(self.largest.into())
        ))
    }

    /// What a further service holds for itself and for each possible CPU: a line over the numbers of possible CPUs that were
    /// asked.
    pub(super) fn memory_by_cpus(&self) -> Option<Finding> {
        let (mut said, mut sure, mut cpus) = (Said::default(), true, None);
        let mut prices = Prices::default();
        for way in by_cpus(&self.scope, &self.summary.fits) {
            let [(least, _), .., (most, fit)] = &way.points[..] else {
                continue;
            };
            let (own, of_a_cpu) = way.line;
            let [low, high] = way.steps();
            let doubt = match low <= 0.0 && high >= 0.0 {
                true => ": not distinguished from 0",
                false => "",
            };
            let [own, of_a_cpu, low, high, held] =
                [own, of_a_cpu, low, high, fit.estimate].map(|bytes| value(bytes, Unit::Bytes));
            let fits = way.points.iter().map(|(_, fit)| evidence_of_fit(fit));
            said.evidence.extend(fits);
            let blocks = way.points.iter().map(|(_, fit)| fit.blocks).min();
            let blocks = blocks.unwrap_or(0);
            sure &= blocks as usize >= SEEDS;
            prices.add(
                way.mode,
                blocks as usize >= SEEDS && fit.estimate > 0.0,
                fit.estimate,
            );
            cpus = Some(*most);
            said.clauses.push(format!(
                "{} {own} and {of_a_cpu} for each possible CPU ({low} to {high} from one number of CPUs to the next{doubt}; {}, {least}–{most} CPUs, {}, at most {} % from that line), which is {held} with {most}",
                way.name,
                range(fit),
                counted(blocks.into(), "block"),
                digits(100.0 * way.off()),
            ));
        }
        let question =
            "Kernel memory of each further service, by possible CPUs (kernel_memory of memory)";
        let subject = ScenarioKind::Memory.into();
        let found = self.clauses(FindingKind::MemoryByCpus, &subject, question, said, apart)?;
        let cpus = cpus.map_or_else(String::new, |cpus| format!(" with {cpus} possible CPUs"));
        Some(Finding {
            headline: sure,
            brief: prices.brief(&format!("Kernel memory of each further service{cpus}")),
            ..found
        })
    }

    /// What the largest size of a fit holds for each possible CPU.
    fn per_cpu(&self, fit: &Fit) -> Option<PerCpu> {
        let mut rows = self.scope.rows(self.summary);
        let row = rows.find(|row| {
            row.key.mode == fit.mode
                && row.key.scenario == fit.scenario
                && row.key.options == fit.options
                && row.key.services == fit.to
                && row.metric == Some(fit.metric)
        })?;
        row.per_cpu
    }
}
