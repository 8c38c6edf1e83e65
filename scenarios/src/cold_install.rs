//! `cold-install`: 0 → N services on an untouched namespace, in one transaction or in chunks.
//!
//! Each sample has a lab of its own: an install after a removal walks what the removal left behind. The
//! sample counts only after the census and the probes have seen the services, and the census has seen
//! them gone.
//!
//! In a stay that goes on after it, where the services are left to the cells that follow, it is one install in the
//! stay's own lab.
//!
//! Where N is large enough the kernel's memory is read before and after as well, as scenario `memory` does for each of
//! its pairs: the lab is there and empty, then the services are installed. That is one reading, with what comes along
//! once in the life of a kernel, and without what the one before left to be used again.

use std::time::Duration;

use netns_harness::datapath::{RenderOptions, Transport, facts};
use netns_harness::meters::{self, KernelMemory};
use schema::{Metric, ONE_TRANSACTION, OptionKey, Options, ScenarioKind};

use crate::cost::{Asked, PROOF_NS};
use crate::error::Result;
use crate::recorder::Recorder;
use crate::scenario::{Needs, Request, Scenario, rule_options};
use crate::stay::Stay;

/// Chunk sizes measured where one transaction costs the square of what it holds: all at once, as
/// kube-proxy's first sync; and 500 services.
const CHUNKS: [Option<u32>; 2] = [None, Some(500)];
/// Labs of one stay, at sizes where an install is cheap.
const SAMPLES: u32 = 3;
const CHEAP: u32 = 300;
/// How long to wait for the kernel to give back the memory of the lab before.
const SETTLE: Duration = Duration::from_secs(5);
/// How long kernel memory may take to stand still.
const STILL: Duration = Duration::from_secs(2);
/// What fewer services hold is lost in what other processes move.
const WEIGHED: u32 = 1_000;
/// What reading it takes, expected, nanoseconds.
const WEIGHING_NS: u64 = 500_000_000;

/// The scenario.
#[derive(Debug)]
pub(crate) struct ColdInstall;

impl Scenario for ColdInstall {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::ColdInstall
    }

    fn needs(&self) -> Needs {
        Needs::Empty
    }

    fn cells(&self, asked: Asked, request: &Request) -> Vec<Options> {
        let chunks: &[Option<u32>] = match asked.mode {
            mode if mode.is_floor() => &[],
            // One process a rule: nothing to divide. A real kube-proxy divides nothing.
            mode if facts(mode).chunked
                && !matches!(asked.transport, Transport::Exec | Transport::KubeProxy) =>
            {
                &CHUNKS
            }
            _ => &[None],
        };
        chunks
            .iter()
            // A chunk that holds everything is the same as no chunk.
            .filter(|chunk| chunk.is_none_or(|c| c < asked.services))
            .map(|chunk| {
                let chunk = chunk.map_or_else(|| ONE_TRANSACTION.to_owned(), |c| c.to_string());
                rule_options(asked, request).with(OptionKey::Chunk, chunk)
            })
            .collect()
    }

    fn expected_ns(&self, asked: Asked, options: &Options, request: &Request) -> u64 {
        let proof = PROOF_NS + asked.listing_ns();
        let install = asked.install_ns(options.chunk().is_none());
        let weighed = asked.services >= WEIGHED && !asked.counted;
        let weighing = if weighed { WEIGHING_NS } else { 0 };
        u64::from(samples(asked.services, request.brief)) * (install + weighing + proof)
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        let render = stay.render_options(options);
        let baseline = meters::kernel_memory()?;
        let mut settled = meters::Settled::Back;
        let once = stay.spec.brief || stay.spec.is_joined();
        for sample in 0..samples(stay.spec.services, once) {
            if sample == 0 {
                install(stay, &render, recorder)?;
                continue;
            }
            settled = settled.max(meters::settle(baseline, SETTLE)?);
            let lab = stay.another_lab()?;
            stay.in_lab(&lab, |stay| install(stay, &render, recorder))?;
        }
        recorder.fact("settled", settled.name());
        Ok(())
    }
}

const fn samples(services: u32, once: bool) -> u32 {
    if services <= CHEAP && !once {
        SAMPLES
    } else {
        1
    }
}

fn install(stay: &mut Stay<'_>, render: &RenderOptions, recorder: &mut Recorder) -> Result {
    // Counters per CPU are an untypical part of it where there is one CPU.
    let real = stay.datapath.programmer().is_some();
    // Nor are the rules alone there while a real kube-proxy runs.
    let asked = stay.spec.services >= WEIGHED && !stay.spec.counted && !real;
    let weighed = asked && meters::kernel_memory()?.is_whole();
    if asked && !weighed {
        let why = "unknown: this kernel does not state Percpu in /proc/meminfo";
        recorder.fact("kernel_memory_source", why);
    }
    let before = if weighed { Some(still()?) } else { None };
    stay.change_sampled(None, stay.population, render, recorder)?;
    if let Some(before) = before {
        let held = still()?.total().cast_signed() - before.total().cast_signed();
        recorder.difference(Metric::KernelMemory, held);
        recorder.fact(
            "kernel_memory_source",
            "SUnreclaim + VmallocUsed + Percpu of /proc/meminfo: installed - before; a first install",
        );
    }
    stay.damage()?;
    recorder.fact("census_services", stay.census(stay.population)?);
    stay.probe(recorder)?;
    if stay.spec.is_joined() {
        return Ok(());
    }
    stay.teardown()
}

fn still() -> Result<KernelMemory> {
    Ok(meters::still(STILL)?.memory)
}
