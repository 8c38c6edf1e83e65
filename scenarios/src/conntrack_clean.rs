//! `conntrack-clean`: an endpoint of a UDP service is replaced while flows are tracked: what kube-proxy's sync costs then, by the
//! number of flows. Connection tracking keeps sending a UDP flow to the endpoint that it began with; kube-proxy looks through
//! the table after such a change, and deletes the flows whose endpoint has left.
//!
//! Flows are opened by the client before each sync, to every UDP service in turn, and each is answered; after the sync exactly
//! those whose endpoint has left must be gone. One service changes at a time: a real kube-proxy may make two syncs of more.

use std::collections::BTreeSet;

use netns_harness::datapath::{SyncKind, Transport, facts};
use netns_harness::meters;
use netns_harness::service::{Frontend, Population};
use netns_harness::tracking::{self, Serving};
use netns_harness::treatment::answering;
use schema::{OptionKey, Options, Protocol, ScenarioKind, Stage};

use crate::cost::Asked;
use crate::endpoint_churn;
use crate::error::{At as _, CellError, Result};
use crate::recorder::Recorder;
use crate::scenario::{Needs, Request, Scenario, rule_options};
use crate::stay::Stay;
use crate::update;

/// Syncs of a cell.
const TIMES: u32 = 3;
/// Opening a flow and having it answered, nanoseconds.
const FLOW_NS: u64 = 30_000;
/// What a flow costs in the listings of a sync and of its check, nanoseconds.
const LISTED_NS: u64 = 3_000;
/// How long an answered UDP flow is tracked, seconds; 30 where nobody says, in which many flows cannot be opened everywhere.
pub const TRACKED_S: (&str, &str) = ("net.netfilter.nf_conntrack_udp_timeout", "3600");

/// The scenario.
#[derive(Debug)]
pub(crate) struct ConntrackClean;

impl Scenario for ConntrackClean {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::ConntrackClean
    }

    fn needs(&self) -> Needs {
        Needs::Alone
    }

    /// For each number of flows, where kube-proxy has such a mode and there are UDP services.
    fn cells(&self, asked: Asked, request: &Request) -> Vec<Options> {
        let udp = request.protocols.iter();
        let udp = udp.filter(|protocol| **protocol == Protocol::Udp).count();
        if facts(asked.mode).kube_proxy.is_none() || udp == 0 {
            return Vec::new();
        }
        let one = rule_options(asked, request);
        let flows: BTreeSet<u32> = request.chosen.tracked_flows.iter().copied().collect();
        flows
            .into_iter()
            .map(|flows| one.clone().with(OptionKey::TrackedFlows, flows))
            .collect()
    }

    fn expected_ns(&self, asked: Asked, options: &Options, _request: &Request) -> u64 {
        let flows = u64::from(tracked_flows(options));
        let sync = asked.read_back_ns() + asked.update_ns();
        u64::from(TIMES) * (sync + flows * (FLOW_NS + LISTED_NS)) + asked.listing_ns()
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        let flows = u64::from(tracked_flows(options));
        prepare(stay, flows)?;
        let services = stay.population.services.iter().enumerate();
        let mode = stay.spec.mode;
        let udp = services.filter(|(_, service)| {
            service.frontend.protocol == Protocol::Udp && !answering(service, mode).is_empty()
        });
        let (udp, to): (Vec<usize>, Vec<Frontend>) =
            udp.map(|(at, service)| (at, service.frontend)).unzip();
        let render = stay.render_options(options);
        let (mut from, family) = (stay.population.clone(), stay.lab.family());
        for n in 0..TIMES {
            let next = endpoint_churn::replaced(stay, &from, &udp, 1, n)?;
            stay.on_node(Stage::Measure, || tracking::forget(family))?;
            let answered = {
                let _pinned = stay.pin()?;
                stay.client.leave_flows(&to, flows as usize)
            };
            let answered = answered.at(Stage::Measure)?;
            let asked = udp.iter().cycle().zip(&answered);
            let left = asked.filter(|(at, by)| !next.to.services[**at].endpoints.contains(by));
            let left = left.count() as u64;
            check(stay, &from, flows, "before the sync")?;
            match stay.spec.transport {
                Transport::KubeProxy => {
                    stay.change_sampled(Some(&from), &next.to, &render, recorder)?;
                }
                _ => stay.sync_sampled(&from, &next.to, &render, recorder)?,
            }
            check(stay, &next.to, flows - left, "after the sync")?;
            recorder.add_to_fact("flows_of_endpoints_that_left", left);
            update::see_it_answer(stay, next.witness.as_ref())?;
            from = next.to;
        }
        recorder.fact("census_after_update", stay.census(&from)?);
        Ok(())
    }
}

fn tracked_flows(options: &Options) -> u32 {
    let flows = options.get(OptionKey::TrackedFlows);
    flows.and_then(|flows| flows.parse().ok()).unwrap_or(0)
}

/// The sync must be possible; the table must have room for the flows and as many again, and must keep them.
fn prepare(stay: &Stay<'_>, flows: u64) -> Result {
    let way = stay
        .datapath
        .kube_proxy_sync(SyncKind::Partial, stay.spec.large_cluster);
    if let Some(way) = way.filter(|_| stay.datapath.programmer().is_none())
        && let Some(why) = stay.sync_refused(&way)?
    {
        return Err(CellError::unsupported(why));
    }
    let (name, seconds) = TRACKED_S;
    let seen = stay.on_node(Stage::Preparation, || {
        netns_sys::isolation::write_sysctl(name, seconds)
            .map_err(|e| netns_harness::HarnessError::system(format!("set {name}={seconds}"), e))?;
        meters::conntrack()
    })?;
    match seen.max {
        Some(max) if 2 * flows <= max => Ok(()),
        Some(max) => Err(CellError::unsupported(format!(
            "{flows} flows would pass half of nf_conntrack_max ({max}), which cannot be raised in a namespace: ask for fewer --tracked-flows"
        ))),
        None => Err(CellError::unsupported(
            "nf_conntrack_max cannot be read: whether the table has room is unknown".to_owned(),
        )),
    }
}

/// So many flows must be tracked, each answered by who is an endpoint.
fn check(stay: &Stay<'_>, population: &Population, wanted: u64, when: &str) -> Result {
    let serving = Serving::of(stay.version(), population);
    match stay.on_node(Stage::Counters, || tracking::tracked(&serving))? {
        (tracked, 0) if tracked == wanted => Ok(()),
        (tracked, stale) => Err(CellError::at(
            Stage::Counters,
            format!(
                "{tracked} flows are tracked {when}, {stale} of them answered by who is no endpoint; {wanted} must be, and none"
            ),
        )),
    }
}
