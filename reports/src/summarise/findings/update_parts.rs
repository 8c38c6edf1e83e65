//! What an update's time is made of: the tool's own part, and what kube-proxy does around the apply.

use schema::summary::{Finding, FindingKind};
use schema::{Engine, Metric, ScenarioKind};

use super::{Context, Said, VERSION, apart, evidence, stated};
use crate::quantity::{counted, digits};
use crate::summarise::cells::known;
use crate::summarise::ratios::ratio_within;
use crate::view::words::{Scale, noun_of, told};

impl Context<'_, '_> {
    /// The user share of an update's processor time in iptables-nft, beside that of the legacy engine:
    /// is it the tool or the kernel that is slow?
    pub(super) fn tool_share(&self) -> impl Iterator<Item = Finding> {
        let acts = [
            (ScenarioKind::ServiceAdd, "adding one service to"),
            (ScenarioKind::ColdInstall, "installing, in one transaction,"),
        ];
        acts.into_iter()
            .filter_map(|(scenario, act)| self.tool_share_of(scenario, act))
    }

    fn tool_share_of(&self, scenario: ScenarioKind, act: &str) -> Option<Finding> {
        let (mut said, mut of_nft) = (Said::default(), false);
        for (name, key) in self.named_at_largest(|key| {
            key.scenario == scenario
                && key.mode.row().iptables.is_some()
                && key.options.chunk().is_none()
        }) {
            let of = [Metric::UserTime, Metric::CpuTime];
            let Some([user, all]) = self.both((key, of[0]), (key, of[1])) else {
                continue;
            };
            let stays = self.cells.together(key, of, |user, all| user / all);
            let Some(share) = known(&stays, all.unit.unwrap_or(of[1].unit())) else {
                continue;
            };
            of_nft |= key.mode.row().iptables == Some(Engine::Nft);
            let stays = counted(stays.len() as u64, "stay");
            let share = told(
                &share,
                noun_of(&share),
                Scale::Percent,
                &format!("; {stays}"),
            );
            said.add(format!("{name} {share}"), [evidence(user), evidence(all)]);
        }
        let question = format!(
            "The tool's own part (user mode) of the processor time of {act} {{N}} services"
        );
        let found = self.clauses(
            FindingKind::ToolShare,
            &scenario.into(),
            &question,
            said,
            apart,
        );
        found.filter(|_| of_nft)
    }

    /// kube-proxy's whole sync against the apply, where both were measured in a cell.
    pub(super) fn syncs(&self) -> Option<Finding> {
        let mut said = Said::default();
        for (name, key) in self.named_at_largest(|key| key.scenario == ScenarioKind::ServiceAdd) {
            let rows = self.both((key, Metric::SyncTime), (key, Metric::UpdateTime));
            let ratio = ratio_within(self.cells, key, Metric::SyncTime, Metric::UpdateTime);
            // Without a version nobody knows whose sync it was.
            let named = !self.cells.facts(key, VERSION).is_empty();
            let Some(([sync, apply], ratio)) = rows.zip(ratio).filter(|_| named) else {
                continue;
            };
            let through = match self.through(key) {
                none if none.is_empty() => String::new(),
                through => format!(" through {}", through.join(" and ")),
            };
            let clause = format!(
                "{name} {}{through} in {}, {} times ({}{}) its update_time of {}",
                stated(sync),
                self.kube_proxy(key),
                digits(ratio.known.value),
                ratio.spread(),
                ratio.doubt(),
                stated(apply)
            );
            said.add(clause, [evidence(sync), evidence(apply)]);
        }
        let question = "kube-proxy's whole sync (its read-back and the apply, sync_time) that adds one service to {N}";
        let subject = ScenarioKind::ServiceAdd.into();
        self.clauses(FindingKind::Syncs, &subject, question, said, apart)
    }
}
