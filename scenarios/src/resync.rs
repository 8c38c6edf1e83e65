//! `resync`: N → N services, unchanged, everything written again: what a restart of kube-proxy or its
//! periodic full sync costs.

use netns_harness::datapath::{RenderOptions, Transport};
use schema::{Options, ScenarioKind};

use crate::cost::Asked;
use crate::error::Result;
use crate::recorder::Recorder;
use crate::scenario::{Needs, Request, Scenario};
use crate::stay::Stay;

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
        u64::from(repetitions(asked.services)) * (by_restore.install_ns(true) + asked.listing_ns())
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
            stay.check_order()?;
        }
        stay.probe(recorder)
    }
}
