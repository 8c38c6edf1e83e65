//! `scale-down`: of K services most endpoints leave at once, or all, at size N: what it takes until nothing of them is left.
//!
//! kube-proxy does not delete everything in the sync that follows (1.37.2). In mode iptables chains that nothing leads to are
//! looked for and deleted in that sync up to 1,000 endpoints; in larger clusters in a later one, when the last look is longer
//! ago than syncPeriod, 30 s (pkg/proxy/iptables/proxier.go:1246–1272). In mode nftables a sync empties them, and a
//! transaction of its own deletes those that have been empty for a second, before that of the next sync
//! (pkg/proxy/nftables/proxier.go:1222–1255, 1823–1840). Mode ipvs has no chains of services. The act is the whole: both
//! syncs, one after the other, without the time that kube-proxy lets pass between them.
//!
//! A real kube-proxy is timed until its sync has ended: when it makes the next one is not ours to say.
//!
//! Services that were scaled down stay so: each act takes others, and is proved by the census. A stay has as many acts as
//! there are services for, and of all services at once one: the update in one block, kube-proxy's syncs in the next.

use std::collections::BTreeSet;

use netns_harness::datapath::{RenderOptions, Stale, SyncKind};
use netns_harness::service::Population;
use netns_harness::tracking::{self, Serving};
use netns_sys::clock;
use rand::seq::index;
use schema::{Metric, OptionKey, Options, ScenarioKind, Stage};

use crate::cost::Asked;
use crate::error::{At as _, CellError, Result};
use crate::recorder::Recorder;
use crate::scenario::{Needs, Request, Scenario, rule_options};
use crate::stay::{Stay, tell};
use crate::update::{Change, counts_syncs, see_it_answer, see_it_gone};

/// Timed acts of a stay at most.
const TIMED: usize = 3;

/// The scenario.
#[derive(Debug)]
pub(crate) struct ScaleDown;

/// What an act is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// What the kernel and the tools must do.
    Timed,
    /// kube-proxy's syncs.
    Synced,
}

impl Scenario for ScaleDown {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::ScaleDown
    }

    fn needs(&self) -> Needs {
        Needs::Alone
    }

    /// For each number of endpoints that may be left, where services have more.
    fn cells(&self, asked: Asked, request: &Request) -> Vec<Options> {
        if asked.mode.is_floor() {
            return Vec::new();
        }
        let chosen = &request.chosen;
        let one = rule_options(asked, request);
        let left: BTreeSet<u32> = chosen.scaled_to.iter().copied().collect();
        let cell = |left: u32| {
            let scaled = chosen.scaled.min(request.with_more_than(left, asked));
            let scaled = Some(scaled).filter(|scaled| *scaled > 0)?;
            let one = one.clone().with(OptionKey::Scaled, scaled);
            Some(one.with(OptionKey::ScaledTo, left))
        };
        left.into_iter().filter_map(cell).collect()
    }

    /// A change of the shared part, and the writing of services as they are afterwards.
    fn expected_ns(&self, asked: Asked, options: &Options, _request: &Request) -> u64 {
        let scaled = number(options, OptionKey::Scaled).max(1);
        let after = Asked {
            services: scaled,
            endpoints: number(options, OptionKey::ScaledTo).max(1),
            ..asked
        };
        let act = asked.update_ns() + after.install_ns(true) + asked.listing_ns();
        let acts = (asked.services / scaled).clamp(1, TIMED as u32 + 1);
        u64::from(acts) * act + asked.read_back_ns()
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        let render = stay.render_options(options);
        let scaled = number(options, OptionKey::Scaled) as usize;
        let left = number(options, OptionKey::ScaledTo) as usize;
        if left == 0 && stay.datapath.facts().kube_proxy.is_none() {
            return Err(CellError::unsupported(format!(
                "mode {} leads every service to a chain of its endpoints, and has no layout for one without: ask for --scaled-to 1",
                stay.spec.mode
            )));
        }
        let with_more = scalable(stay.population, left).len();
        let rounds = with_more.checked_div(scaled).filter(|rounds| *rounds > 0);
        let rounds = rounds.ok_or_else(|| {
            let why = format!("{scaled} of {with_more} services cannot be scaled down to {left}");
            CellError::at(Stage::Measure, why)
        })?;
        let has_syncs = stay
            .datapath
            .kube_proxy_sync(SyncKind::Partial, render.large_cluster)
            .is_some()
            && (!stay.spec.counted || counts_syncs(stay.spec));
        let timed = if stay.spec.counted { 1 } else { TIMED };
        let mut from = stay.population.clone();
        for act in acts(rounds, timed, has_syncs, stay.spec.block) {
            let next = scaled_down(stay, &from, scaled, left);
            match act {
                Act::Timed => whole_sampled(stay, &from, &next.to, &render, recorder)?,
                Act::Synced => syncs_sampled(stay, &from, &next.to, &render, recorder)?,
            }
            recorder.fact("census_after_scaling_down", stay.census(&next.to)?);
            see_it_answer(stay, next.witness.as_ref())?;
            see_it_gone(stay, next.gone.as_ref())?;
            from = next.to;
        }
        Ok(())
    }
}

/// The number that an option says.
fn number(options: &Options, key: OptionKey) -> u32 {
    let said = options.get(key).and_then(|number| number.parse().ok());
    said.unwrap_or(0)
}

/// Places of services that have more endpoints than that.
fn scalable(population: &Population, left: usize) -> Vec<usize> {
    let services = population.services.iter().enumerate();
    let more = services.filter(|(_, service)| service.endpoints.len() > left);
    more.map(|(at, _)| at).collect()
}

/// The acts of a stay that has services for so many.
fn acts(rounds: usize, timed: usize, has_syncs: bool, block: u32) -> Vec<Act> {
    let synced = has_syncs && (rounds > 1 || block % 2 == 1);
    let timed = timed.min(rounds - usize::from(synced));
    let mut acts = vec![Act::Timed; timed];
    acts.extend(synced.then_some(Act::Synced));
    acts
}

/// A change that leaves `scaled` random services `left` endpoints each. There are as many that have more.
fn scaled_down(stay: &mut Stay<'_>, from: &Population, scaled: usize, left: usize) -> Change {
    let among = scalable(from, left);
    let mut to = from.clone();
    let mut last = None;
    for nth in index::sample(&mut stay.rng, among.len(), scaled) {
        to.services[among[nth]].keep_endpoints(left);
        last = Some(among[nth]);
    }
    let service = last.map(|at| to.services[at].clone());
    let (witness, gone) = match left {
        0 => (None, service),
        _ => (service, None),
    };
    Change { to, witness, gone }
}

/// Makes the whole change, timed as an update is.
///
/// # Errors
/// The kernel, the tool or kube-proxy refused.
fn whole_sampled(
    stay: &Stay<'_>,
    from: &Population,
    to: &Population,
    render: &RenderOptions,
    recorder: &mut Recorder,
) -> Result {
    if stay.datapath.programmer().is_some() {
        return stay.change_sampled(Some(from), to, render, recorder);
    }
    let start = clock::now();
    let [mut batch, later] = [Stale::Left, Stale::Collected].map(|stale| {
        let options = RenderOptions { stale, ..*render };
        stay.datapath.render(Some(from), to, &options)
    });
    recorder.add_to_fact("operations_of_a_later_sync", later.operations());
    batch.steps.extend(later.steps);
    recorder.sample(Metric::RenderTime, start.elapsed_ns());
    tell(&batch, "timed");
    stay.apply_sampled(&batch, recorder)
}

/// Makes the whole change as kube-proxy's syncs do, and samples what they took together.
///
/// # Errors
/// The kernel or a tool refused.
fn syncs_sampled(
    stay: &Stay<'_>,
    from: &Population,
    to: &Population,
    render: &RenderOptions,
    recorder: &mut Recorder,
) -> Result {
    let way = |kind| {
        let way = stay.datapath.kube_proxy_sync(kind, render.large_cluster);
        way.expect("who makes a sync of one kind makes each")
    };
    let by = |stale| RenderOptions { stale, ..*render };
    let first = way(SyncKind::Partial);
    if let Some(why) = stay.sync_refused(&first)? {
        recorder.fact("sync_time", format!("unsupported: {why}"));
        let batch = stay.datapath.render(Some(from), to, render);
        return stay.carry_out(&batch).at(Stage::Measure);
    }
    let version = stay.version();
    let serving = Serving::changes(from, to).then(|| Serving::of(version, to));
    // Flows that the proof left are no part of it.
    let family = stay.lab.family();
    if let Err(error) = stay.lab.on_node(|| tracking::forget(family)) {
        recorder.fact("proof_flows_forgotten", error);
    }
    let of = (from, to);
    let mut spent = vec![stay.synced(SyncKind::Partial, &first, of, &by(Stale::Left), serving)?];
    let later = way(SyncKind::Late);
    let left = RenderOptions {
        transport: later.transport,
        ..by(Stale::Collected)
    };
    if !stay.datapath.render(Some(from), to, &left).steps.is_empty() {
        spent.push(stay.synced(SyncKind::Late, &later, of, &left, None)?);
    }
    let elapsed_ns: u64 = spent.iter().map(|spent| spent.elapsed_ns).sum();
    recorder.sample(Metric::SyncTime, elapsed_ns);
    for spent in &spent {
        recorder.add_to_fact("sync_tools_cpu_ns", spent.tools_ns);
    }
    recorder.add_to_fact("kube_proxy_syncs", spent.len());
    stay.tell_of(&first, recorder);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use netns_harness::datapath::facts;
    use schema::Mode;

    #[test]
    fn a_stay_has_as_many_acts_as_there_are_services_for_and_of_all_at_once_one_by_turns() {
        use Act::{Synced, Timed};
        assert_eq!(acts(50, 3, true, 0), [Timed, Timed, Timed, Synced]);
        assert_eq!(acts(2, 3, true, 1), [Timed, Synced]);
        assert_eq!(acts(1, 3, true, 0), [Timed]);
        assert_eq!(acts(1, 3, true, 1), [Synced]);
        assert_eq!(acts(1, 3, false, 1), [Timed]);
        assert_eq!(acts(9, 1, true, 0), [Timed, Synced]);
    }

    #[test]
    fn a_cell_is_asked_for_each_number_below_the_endpoints_and_takes_no_more_services_than_there_are()
     {
        let mut request = Request::of_tests();
        request.chosen.scaled = 100;
        request.chosen.scaled_to = vec![1, 0, 1, 5];
        let asked = |mode, services, endpoints| Asked {
            mode,
            transport: facts(mode).ordinary(),
            services,
            endpoints,
            counted: false,
        };
        let cells = |asked| {
            let cells = ScaleDown.cells(asked, &request);
            let both = cells.iter().map(|options| {
                let by = |key| number(options, key);
                (by(OptionKey::Scaled), by(OptionKey::ScaledTo))
            });
            both.collect::<Vec<_>>()
        };
        assert_eq!(cells(asked(Mode::Nftables, 1_000, 5)), [(100, 0), (100, 1)]);
        assert_eq!(cells(asked(Mode::Ipvs, 30, 1)), [(30, 0)]);
        assert!(cells(asked(Mode::Conntrack, 1_000, 5)).is_empty());
    }
}
