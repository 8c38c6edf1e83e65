//! `resync`: N → N services, unchanged: what a full sync of kube-proxy's costs, as at its start or after a failure, and in some
//! versions once an hour (`idle`). `update_time` is of what it writes,
//! `sync_time` of what it reads and asks before that too; a real kube-proxy is started anew.

use netns_harness::datapath::{RenderOptions, SyncKind, Transport};
use schema::{Options, ScenarioKind};

use crate::cost::Asked;
use crate::error::Result;
use crate::recorder::Recorder;
use crate::scenario::{Needs, Request, Scenario};
use crate::stay::Stay;
use crate::update::counts_syncs;

/// Repetitions at sizes where a resync is cheap.
const fn repetitions(services: u32) -> u32 {
    if services > 1_000 { 1 } else { 3 }
}

/// The scenario.
#[derive(Debug)]
pub(crate) struct Resync;

impl Scenario for Resync {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::Resync
    }

    fn needs(&self) -> Needs {
        Needs::Alone
    }

    fn expected_ns(&self, asked: Asked, _options: &Options, _request: &Request) -> u64 {
        let by_restore = Asked {
            transport: Transport::Restore,
            ..asked
        };
        let times = u64::from(repetitions(asked.services)) + 1;
        times * (by_restore.install_ns(true) + asked.listing_ns()) + asked.read_back_ns()
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        let render = RenderOptions {
            resync: true,
            ..stay.render_options(options)
        };
        let population = stay.population;
        for _ in 0..repetitions(stay.spec.services) {
            stay.change_sampled(Some(population), population, &render, recorder)?;
            recorder.fact("census_after_resync", stay.census(population)?);
        }
        // What is read before it, and by how many processes, with what it writes.
        let large = render.large_cluster;
        let synced = stay
            .datapath
            .kube_proxy_sync(SyncKind::Full, large)
            .is_some();
        if synced && (!stay.spec.counted || counts_syncs(stay.spec)) {
            stay.sync_sampled(population, population, &render, recorder)?;
            recorder.fact("census_after_sync", stay.census(population)?);
        }
        stay.probe(recorder)
    }
}
