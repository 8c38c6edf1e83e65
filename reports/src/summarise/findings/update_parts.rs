//! What an update's time is made of: the tool's own part, and what kube-proxy does around the apply.

use schema::summary::{Finding, FindingKind};
use schema::{Engine, Metric, OptionKey, ScenarioKind};

use super::{Context, TRANSPORT, VERSION, evidence, names, stated};
use crate::quantity::{counted, digits, span, whole};
use crate::summarise::cells::known;
use crate::summarise::ratios::ratio_within;
use crate::view::spread_of;

impl Context<'_, '_> {
    /// The user share of an update's processor time in iptables-nft, beside that of the legacy engine:
    /// is it the tool or the kernel that is slow?
    pub(super) fn tool_share(&self) -> Vec<Finding> {
        [
            (ScenarioKind::ServiceAdd, "adding one service to"),
            (ScenarioKind::ColdInstall, "installing, in one transaction,"),
        ]
        .into_iter()
        .filter_map(|(scenario, act)| self.tool_share_of(scenario, act))
        .collect()
    }

    fn tool_share_of(&self, scenario: ScenarioKind, act: &str) -> Option<Finding> {
        let keys = self.keys_at_largest(|key| {
            key.scenario == scenario
                && key.mode.row().iptables.is_some()
                && key.options.chunk().is_none()
        });
        let (mut parts, mut proof, mut of_nft) = (Vec::new(), Vec::new(), false);
        for (key, name) in keys.iter().zip(names(&keys)) {
            let (Some(user), Some(all)) = (
                self.row(key, Metric::UserTime),
                self.row(key, Metric::CpuTime),
            ) else {
                continue;
            };
            let of = [Metric::UserTime, Metric::CpuTime];
            let stays = self.cells.together(key, of, |user, all| user / all);
            let Some(share) = known(&stays, all.unit.unwrap_or(Metric::CpuTime.unit())) else {
                continue;
            };
            of_nft |= key.mode.row().iptables == Some(Engine::Nft);
            let noun = if share.counted { "seed" } else { "stay" };
            parts.push(format!(
                "{name} {} % ({}; {})",
                digits(100.0 * share.value),
                spread_of(&share, noun, |ends| format!(
                    "{} %",
                    span(ends.map(|end| 100.0 * end))
                )),
                counted(stays.len() as u64, "stay")
            ));
            proof.extend([evidence(user), evidence(all)]);
        }
        let question = format!(
            "The tool's own part (user mode) of the processor time of {act} {} services",
            whole(self.largest.into()),
        );
        let verdict = format!("{}.", parts.join("; "));
        of_nft.then(|| Finding {
            evidence: proof,
            ..self.finding(FindingKind::ToolShare, scenario, question, verdict)
        })
    }

    /// kube-proxy's whole sync against the apply, where both were measured in a cell.
    pub(super) fn syncs(&self) -> Option<Finding> {
        let keys = self.keys_at_largest(|key| key.scenario == ScenarioKind::ServiceAdd);
        let (mut parts, mut proof) = (Vec::new(), Vec::new());
        for (key, name) in keys.iter().zip(names(&keys)) {
            let (Some(sync), Some(apply)) = (
                self.row(key, Metric::SyncTime),
                self.row(key, Metric::UpdateTime),
            ) else {
                continue;
            };
            // Without a version nobody knows whose sync it was.
            let named = !self.cells.facts(key, VERSION).is_empty();
            let ratio = ratio_within(self.cells, key, Metric::SyncTime, Metric::UpdateTime);
            let Some(ratio) = ratio.filter(|_| named) else {
                continue;
            };
            let through: Vec<String> = self
                .cells
                .facts(key, TRANSPORT)
                .iter()
                .map(|transport| OptionKey::Transport.words(transport))
                .collect();
            let through = if through.is_empty() {
                String::new()
            } else {
                format!(" through {}", through.join(" and "))
            };
            let ci95 = format!("{}{}", ratio.spread(), ratio.doubt());
            parts.push(format!(
                "{name} {}{through} in {}, {} times ({ci95}) its update_time of {}",
                stated(sync),
                self.kube_proxy(key),
                digits(ratio.known.value),
                stated(apply)
            ));
            proof.extend([evidence(sync), evidence(apply)]);
        }
        let question = format!(
            "kube-proxy's whole sync (its read-back and the apply, sync_time) that adds one service to {}",
            whole(self.largest.into()),
        );
        let verdict = format!("{}.", parts.join("; "));
        (!parts.is_empty()).then(|| Finding {
            evidence: proof,
            ..self.finding(
                FindingKind::Syncs,
                ScenarioKind::ServiceAdd,
                question,
                verdict,
            )
        })
    }
}
