//! `endpoint-churn`: one endpoint of each of k random services is replaced at size N: a rolling update.

use netns_harness::datapath::Transport;
use rand::RngExt as _;
use rand::seq::index;
use schema::{Mode, OptionKey, Options, ScenarioKind, Stage};

use crate::cost::Size;
use crate::error::CellError;
use crate::population::SPARE_SERVICES;
use crate::recorder::Recorder;
use crate::scenario::{Request, Scenario, rule_options};
use crate::stay::Stay;
use crate::update::{self, Change};

/// The scenario.
#[derive(Debug)]
pub(crate) struct EndpointChurn;

impl Scenario for EndpointChurn {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::EndpointChurn
    }

    fn question(&self) -> &'static str {
        "How long does it take to replace one endpoint of each of k services?"
    }

    /// Costs what service-add does, and says little more: by name.
    fn in_default_run(&self) -> bool {
        false
    }

    fn cells(
        &self,
        mode: Mode,
        services: u32,
        transport: Transport,
        request: &Request,
    ) -> Vec<Options> {
        if mode.is_floor() {
            return Vec::new();
        }
        let churn = request.churn.min(services);
        vec![rule_options(transport, request).with(OptionKey::Churn, churn)]
    }

    fn expected_ns(&self, mode: Mode, size: Size, options: &Options, _request: &Request) -> u64 {
        update::expected_ns(mode, size, options, self.kind())
    }

    fn run(
        &self,
        stay: &mut Stay<'_>,
        options: &Options,
        recorder: &mut Recorder,
    ) -> Result<(), CellError> {
        let churn: u32 = options
            .get(OptionKey::Churn)
            .and_then(|k| k.parse().ok())
            .filter(|k| (1..=stay.spec.services).contains(k))
            .ok_or_else(|| CellError::at(Stage::Measure, "churn must be 1 to N"))?;
        update::run(stay, self.kind(), options, recorder, |stay, from, n| {
            let mut to = from.clone();
            let chosen = index::sample(&mut stay.rng, to.services.len(), churn as usize);
            let mut witness = None;
            for (i, at) in chosen.into_iter().enumerate() {
                // Addresses of services that were never there: no other service has such an endpoint.
                let spare = stay.spec.services + (n * churn + i as u32) % SPARE_SERVICES;
                let fresh = stay.recipe().service(spare).endpoints[0];
                let service = &mut to.services[at];
                let replaced = stay.rng.random_range(0..service.endpoints.len());
                service.endpoints[replaced] = fresh;
                witness = Some(service.clone());
            }
            Change {
                to,
                witness,
                gone: None,
            }
        })
    }
}
