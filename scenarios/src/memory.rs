//! `memory`: what N services hold of the kernel's memory.
//!
//! The same three figures of /proc/meminfo for every mode, read when they stand still: installed, less
//! the mean of before and after. Other processes of the host move these figures too: a difference is kept
//! as it comes out, negative or not.
//!
//! The first install is not sampled. It brings along what stays behind for the next ones (tables, hooks,
//! connection tracking, slabs and per-CPU pages that the kernel keeps for a while). It is proved by the census, followed to the tool's exit, charged to a memory cgroup
//! where there can be one, and updated once to see the peak of that. No traffic runs between the readings,
//! so the probes come last.

use std::time::Duration;

use netns_harness::HarnessError;
use netns_harness::datapath::{Batch, RenderOptions, Transport};
use netns_harness::meters::{self, KernelMemory, MemoryCgroup, Still};
use schema::{Metric, Mode, Options, ScenarioKind};

use crate::cost::{self, Size};
use crate::recorder::{Recorder, median};
use crate::scenario::{CellError, Needs, Request, Scenario, rule_options, transport_of};
use crate::stay::Stay;

/// How long kernel memory may take to stand still.
const SETTLE: Duration = Duration::from_secs(2);
/// What waiting for that usually takes, nanoseconds.
const SETTLED_NS: u64 = 250_000_000;
/// Probing up to a thousand services, nanoseconds.
const PROOF_NS: u64 = 150_000_000;

/// Install/remove pairs, all in one lab because of what labs cost; a lab for each pair was not tried. Stays
/// differ by more than the pairs of one, so precision comes from stays. At the largest sizes an install
/// takes up to ten seconds, and what it holds is far more than what other processes move.
const fn pairs(services: u32) -> u32 {
    if services > LARGE { 2 } else { 5 }
}

/// From here on installs are long.
const LARGE: u32 = 3_000;

/// A run that sweeps sizes asks the largest and what is within this factor of it: three half-decades, enough
/// for a price per service. What fewer services hold is lost in what other processes move.
const SPAN: u32 = 30;

/// The scenario.
#[derive(Debug)]
pub(crate) struct Memory;

impl Scenario for Memory {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::Memory
    }

    fn question(&self) -> &'static str {
        "How much kernel memory do N services hold?"
    }

    fn needs(&self) -> Needs {
        Needs::Empty
    }

    /// Its installs and removals take two minutes of a sweep up to 10,000: by name.
    fn in_default_run(&self) -> bool {
        false
    }

    fn needs_root(&self) -> Option<&'static str> {
        Some(
            "memory needs root: a user namespace can make no memory cgroup to hold the figure against, and its socket buffers bound the transactions whose peak is asked for",
        )
    }

    fn cells(
        &self,
        mode: Mode,
        services: u32,
        transport: Transport,
        request: &Request,
    ) -> Vec<Options> {
        if mode.is_floor() || services.saturating_mul(SPAN) < request.largest {
            return Vec::new();
        }
        vec![rule_options(transport, request)]
    }

    fn expected_ns(&self, mode: Mode, size: Size, options: &Options, _request: &Request) -> u64 {
        let transport = transport_of(options);
        let install = cost::install_ns(mode, transport, false, size);
        let pair = install + install / 4 + 2 * SETTLED_NS;
        u64::from(pairs(size.services) + 1) * pair
            + 2 * cost::listing_ns(mode, size)
            + 2 * cost::update_ns(mode, transport, size)
            + 3 * SETTLED_NS
            + PROOF_NS
    }

    fn run(
        &self,
        stay: &mut Stay<'_>,
        options: &Options,
        recorder: &mut Recorder,
    ) -> Result<(), CellError> {
        let render = RenderOptions {
            chunk: stay.datapath.preparation_chunk(),
            untimed: true,
            ..stay.render_options(options)?
        };
        let batch = stay.datapath.render(None, stay.population, &render);
        weigh(stay, &batch, recorder)?;
        let update = stay.render_options(options)?;
        recorder.fact("kernel_memory_update_peak", update_peak(stay, &update)?);
        stay.damage()?;
        recorder.fact("census_services", stay.census(stay.population)?);
        stay.check_order()?;
        stay.teardown()?;

        let mut sampled = Sampled::default();
        let mut before = sampled.read()?;
        let pairs = pairs(stay.spec.services);
        for pair in 1..=pairs {
            let (done, peak) = meters::peak_during(|| install(stay, &batch))?;
            done?;
            let installed = sampled.read()?;
            if pair == pairs {
                // Connections are tracked from here on: the reading before has to do.
                sampled.pair([before, installed, before], peak, recorder);
                break;
            }
            stay.teardown()?;
            let after = sampled.read()?;
            sampled.pair([before, installed, after], peak, recorder);
            before = after;
        }
        sampled.note(recorder);
        stay.damage()?;
        stay.probe(recorder)?;
        stay.teardown()
    }
}

fn install(stay: &Stay<'_>, batch: &Batch) -> Result<(), HarnessError> {
    // What the apply holds open is closed before anything is read.
    stay.lab.on_node(|| stay.datapath.carry_out(batch))
}

/// What was read so far.
#[derive(Debug, Default)]
struct Sampled {
    /// Slab, vmalloc and per-CPU memory of each pair, bytes.
    parts: [Vec<f64>; 3],
    readings: u32,
    restless: u32,
}

impl Sampled {
    fn read(&mut self) -> Result<KernelMemory, CellError> {
        let Still { memory, stood } = meters::still(SETTLE)?;
        self.readings += 1;
        self.restless += u32::from(!stood);
        Ok(memory)
    }

    /// One sample: the readings before, installed and after, and the largest total while installing.
    fn pair(&mut self, readings: [KernelMemory; 3], peak: u64, recorder: &mut Recorder) {
        let [slab, vmalloc, percpu, total] = [
            |memory: KernelMemory| memory.slab_unreclaimable,
            |memory: KernelMemory| memory.vmalloc_used,
            |memory: KernelMemory| memory.percpu,
            KernelMemory::total as fn(KernelMemory) -> u64,
        ]
        .map(|part| held(readings.map(part)));
        for (all, part) in self.parts.iter_mut().zip([slab, vmalloc, percpu]) {
            all.push(part as f64);
        }
        recorder.difference(Metric::KernelMemory, total);
        let [before, installed, after] = readings.map(KernelMemory::total);
        let peak = held([before, peak.max(installed), after]);
        recorder.difference(Metric::KernelMemoryPeak, peak);
    }

    fn note(&self, recorder: &mut Recorder) {
        for (name, part) in ["slab", "vmalloc", "percpu"].into_iter().zip(&self.parts) {
            recorder.fact(&format!("kernel_memory_{name}"), median(part));
        }
        recorder.fact(
            "kernel_memory_source",
            "SUnreclaim + VmallocUsed + Percpu of /proc/meminfo: installed - (before + after) / 2; the last pair: installed - before",
        );
        recorder.fact(
            "kernel_memory_readings",
            format!("{}, {} of them restless", self.readings, self.restless),
        );
        if let Some(cpus) = meters::possible_cpus() {
            recorder.fact("percpu_cpus", cpus);
        }
    }
}

/// What is there only when installed, bytes: less the mean of before and after, so that a steady drift
/// cancels.
fn held([before, installed, after]: [u64; 3]) -> i64 {
    installed.cast_signed() - u64::midpoint(before, after).cast_signed()
}

/// Installs: the tool is weighed, and the memory cgroup and the mode itself are asked.
fn weigh(stay: &Stay<'_>, batch: &Batch, recorder: &mut Recorder) -> Result<(), CellError> {
    let ((done, peak), charged) =
        charged_during(|| netns_sys::process::weighing(|| install(stay, batch)));
    done?;
    if let Some(bytes) = peak {
        recorder.sample(Metric::ToolRss, bytes);
    }
    match charged {
        Ok((bytes, source)) => {
            recorder.difference(Metric::CgroupMemory, bytes);
            recorder.fact("cgroup_memory_source", source);
        }
        Err(why) => recorder.fact("cgroup_memory", format!("not measured: {why}")),
    }
    for (source, bytes) in stay.lab.on_node(|| stay.datapath.stated_memory())? {
        recorder.fact(&format!("stated_memory: {source}"), bytes);
    }
    Ok(())
}

/// The largest total while the last service is removed, less what is installed, bytes: a table that is
/// replaced as a whole is there twice. The service is put back.
fn update_peak(stay: &Stay<'_>, render: &RenderOptions) -> Result<i64, CellError> {
    let mut fewer = stay.population.clone();
    fewer.services.pop();
    let remove = stay.datapath.render(Some(stay.population), &fewer, render);
    let put_back = stay.datapath.render(Some(&fewer), stay.population, render);
    let before = meters::still(SETTLE)?.memory.total();
    let (done, peak) = meters::peak_during(|| install(stay, &remove))?;
    done?;
    install(stay, &put_back)?;
    Ok(peak.cast_signed() - before.cast_signed())
}

/// Runs `act` in a memory cgroup of this process's own: what the group was charged for kernel memory,
/// bytes, and the file that says so; or why there is no such figure.
fn charged_during<T>(act: impl FnOnce() -> T) -> (T, Result<(i64, &'static str), String>) {
    let group = match MemoryCgroup::enter() {
        Ok(group) => group,
        Err(why) => return (act(), Err(why)),
    };
    let read = || {
        meters::still(SETTLE).map_err(|e| e.to_string())?;
        group.kernel_bytes()
    };
    let before = read();
    let done = act();
    let charged = before.and_then(|before| {
        let after = read()?;
        Ok((after.cast_signed() - before.cast_signed(), group.source()))
    });
    (done, charged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_drift_cancels_and_a_fall_is_negative() {
        // 100 bytes a reading come from elsewhere.
        assert_eq!(held([1_000, 6_100, 1_200]), 5_000);
        assert_eq!(held([1_000, 900, 1_000]), -100);
    }

    #[test]
    fn every_size_has_at_least_two_pairs_and_the_smaller_ones_five() {
        assert!((1..=100_000).step_by(97).all(|n| pairs(n) >= 2));
        assert!((1..=LARGE).all(|n| pairs(n) >= 5));
    }

    #[test]
    fn a_sweep_asks_its_three_largest_sizes() {
        let request = request(10_000);
        let asked = |n| {
            !Memory
                .cells(Mode::Ipset, n, Transport::Netlink, &request)
                .is_empty()
        };
        assert_eq!(
            [100, 300, 1_000, 3_000, 10_000].map(asked),
            [false, false, true, true, true]
        );
    }

    fn request(largest: u32) -> Request {
        Request {
            positions: Vec::new(),
            protocols: Vec::new(),
            cache: Default::default(),
            transports: Vec::new(),
            engines: Vec::new(),
            churn: 0,
            large_cluster: true,
            brief: false,
            counted: false,
            flows: 0,
            largest,
        }
    }

    #[test]
    fn floors_have_no_memory_cells() {
        let request = request(100);
        for &mode in Mode::ALL {
            let cells = Memory.cells(mode, 100, Transport::Restore, &request);
            assert_eq!(cells.is_empty(), mode.is_floor(), "{mode}");
        }
    }
}
