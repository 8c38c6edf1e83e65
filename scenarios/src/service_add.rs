//! `service-add`: N → N + 1 services at size N, as kube-proxy would make the change.
//!
//! Each repetition adds a service that was never there before, sees it answer, and removes it again,
//! untimed. The full census is taken after the first addition and after the last removal.

use netns_harness::datapath::{RenderOptions, Transport};
use netns_harness::service::Population;
use schema::{Mode, Options, Protocol, ScenarioKind, Stage};

use crate::proof;
use crate::recorder::Recorder;
use crate::scenario::{CellError, Request, Scenario};
use crate::stay::Stay;

/// Additions in one stay. More stays say more than more additions in one, and above [`LARGE`] an
/// iptables update and its undoing take a second and a half.
const fn repetitions(services: u32) -> u32 {
    if services > LARGE { 4 } else { 10 }
}
const LARGE: u32 = 1_000;

/// The scenario.
#[derive(Debug)]
pub(crate) struct ServiceAdd;

impl Scenario for ServiceAdd {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::ServiceAdd
    }

    fn question(&self) -> &'static str {
        "How long does it take to add one service to N?"
    }

    fn cells(
        &self,
        mode: Mode,
        _services: u32,
        transport: Transport,
        request: &Request,
    ) -> Vec<Options> {
        if mode.is_floor() {
            return Vec::new();
        }
        let layout = if request.large_cluster { "on" } else { "off" };
        vec![Options::from([
            ("transport".to_owned(), transport.name().to_owned()),
            ("large_cluster".to_owned(), layout.to_owned()),
        ])]
    }

    /// iptables rewrites KUBE-SERVICES; nftables sends a few elements. Each addition is undone.
    fn expected_ns(
        &self,
        mode: Mode,
        services: u32,
        endpoints: u32,
        options: &Options,
        _request: &Request,
    ) -> u64 {
        let n = u64::from(services);
        let rules = n * (2 + 3 * u64::from(endpoints));
        let once = match (mode, options.get("transport").map(String::as_str)) {
            (Mode::IptablesLegacy, _) => 10_000_000 + 7_000 * rules,
            (_, Some("nft")) => 20_000_000 + 17_000 * n,
            _ => 2_000_000 + 1_000 * n,
        };
        u64::from(repetitions(services)) * 2 * once + 2 * 8_000 * rules
    }

    fn run(
        &self,
        stay: &mut Stay<'_>,
        options: &Options,
        recorder: &mut Recorder,
    ) -> Result<(), CellError> {
        let render = RenderOptions {
            transport: stay.transport()?,
            large_cluster: options.get("large_cluster").is_none_or(|v| v == "on"),
            chunk: None,
            untimed: false,
        };
        let current = stay.population;
        for repetition in 0..repetitions(stay.spec.services) {
            let mut grown = current.clone();
            grown
                .services
                .push(stay.recipe().service(stay.spec.services + repetition));
            let batch = stay.render_sampled(Some(current), &grown, &render, recorder);
            stay.apply_sampled(&batch, recorder)?;
            see_it_answer(stay, &grown)?;
            if repetition == 0 {
                recorder.fact("census_after_add", stay.census(&grown)?);
            }
            let undo = stay.datapath.render(Some(&grown), current, &render);
            stay.lab
                .on_node(|| stay.datapath.apply(&undo))
                .map_err(|e| CellError::at(Stage::Measure, e))?;
        }
        recorder.fact("census_after_removal", stay.census(current)?);
        Ok(())
    }
}

/// The added service answers through each protocol it has, from one of its endpoints.
fn see_it_answer(stay: &mut Stay<'_>, grown: &Population) -> Result<(), CellError> {
    let Some(added) = grown.services.last() else {
        return Ok(());
    };
    debug_assert!(Protocol::ALL.contains(&added.frontend.protocol));
    let answers = stay
        .client
        .probe_all(&[added.frontend])
        .map_err(|e| CellError::at(Stage::Proof, e))?;
    answers.into_iter().try_for_each(|reached| {
        proof::check_reached(stay.spec.mode, added, added.frontend, reached)
    })
}
