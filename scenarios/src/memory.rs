//! `memory`: what N services hold of the kernel's memory.
//!
//! The same three figures of /proc/meminfo for every mode, read when they stand still: with the services, less the
//! mean of before and after. Each installation has a lab of its own, which is there and empty when memory is read
//! before, and gone before the next one's: IPVS keeps the destinations that were removed for minutes and takes them
//! back at the next install in the same namespace (`ip_vs_trash_get_dest`), so that in one lab they are never seen.
//! Other processes of the host move these figures too: a difference is kept as it comes out, negative or not.
//!
//! Pages of per-CPU memory stay with the allocator for a while (`mm/percpu.c`), and no reading after an install is
//! one from before it. That part is told from the reading before the first install.
//!
//! The first install is not sampled. It brings along what comes once in the life of a kernel. It is proved by the
//! census, followed to the tool's exit, charged to a memory cgroup where there can be one, and updated once to see the
//! peak of that. No traffic runs between the readings, so the probes come last.

use std::collections::BTreeSet;
use std::time::Duration;

use netns_harness::HarnessError;
use netns_harness::datapath::{Batch, RenderOptions};
use netns_harness::lab::Lab;
use netns_harness::meters::{self, KernelMemory, MemoryCgroup, Still};
use netns_sys::clock;
use schema::{Metric, OptionKey, Options, ScenarioKind, Stack};

use crate::cost::Asked;
use crate::error::{CellError, Result};
use crate::node::prepared_chunk;
use crate::recorder::{Recorder, median};
use crate::scenario::{Needs, Request, Scenario};
use crate::stay::{Stay, tell};

/// How long kernel memory may take to stand still.
const SETTLE: Duration = Duration::from_secs(2);
/// What waiting for that usually takes, nanoseconds.
const SETTLED_NS: u64 = 250_000_000;
/// Probing up to a thousand services, nanoseconds.
const PROOF_NS: u64 = 150_000_000;

/// Installs that are sampled, each in a lab of its own. Stays differ by more than the pairs of one, so precision
/// comes from stays; where an install is long a difference of a few pages is nothing to what it holds. Where nothing is
/// left to chance the second shows that the first was like any other.
const fn samples(counted: bool, install_ns: u64) -> usize {
    if counted || install_ns > LONG_NS {
        2
    } else {
        6
    }
}

/// An install that takes longer than this is long.
const LONG_NS: u64 = 10_000_000_000;
/// How long the kernel may take to give back what a lab held.
const GIVEN_BACK: Duration = Duration::from_secs(5);
/// A lab's making and its end, nanoseconds.
const LAB_NS: u64 = 400_000_000;

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

    fn needs(&self) -> Needs {
        Needs::Empty
    }

    fn needs_root(&self) -> Option<&'static str> {
        Some(
            "memory needs root: a user namespace can make no memory cgroup to hold the figure against, and its socket buffers bound the transactions whose peak is asked for",
        )
    }

    fn cells(&self, asked: Asked, request: &Request) -> Vec<Options> {
        if asked.mode.is_floor() || asked.services.saturating_mul(SPAN) < request.largest {
            return Vec::new();
        }
        let one = self.options(asked, request);
        if !request.counted {
            return vec![one];
        }
        let cpus: BTreeSet<u32> = request.chosen.possible_cpus.iter().copied().collect();
        let cpus = cpus.into_iter();
        cpus.map(|cpus| one.clone().with(OptionKey::PossibleCpus, cpus))
            .collect()
    }

    fn expected_ns(&self, asked: Asked, _options: &Options, request: &Request) -> u64 {
        let install = asked.install_ns(false);
        // Where instructions are counted, time in which nothing is to be done passes at once.
        let settled = if request.counted { 0 } else { SETTLED_NS };
        let pair = install + install / 4 + 2 * settled + LAB_NS;
        let once = 2 * asked.listing_ns() + 2 * asked.update_ns() + 3 * settled + PROOF_NS;
        (samples(request.counted, install) as u64 + 1) * pair + once
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        let (asked, has) = (options.possible_cpus(), meters::possible_cpus());
        if let Some(asked) = asked.filter(|asked| has != Some(*asked)) {
            // From 6.9 on they are no more than firmware lists (arch/x86/kernel/cpu/topology.c).
            return Err(CellError::unsupported(format!(
                "this kernel was told of {asked} possible CPUs and has {}: from 6.9 on they are no more than the machine's; name an older one with --kernel",
                has.unwrap_or(0)
            )));
        }
        if !meters::kernel_memory()?.is_whole() {
            return Err(CellError::unsupported(
                "this kernel does not state Percpu in /proc/meminfo, as Linux does from 4.19 on: what rules hold of it is not known",
            ));
        }
        if stay.spec.stack == Stack::Dual && stay.datapath.programmer().is_some() {
            return Err(CellError::unsupported(
                "a real kube-proxy on a dual-stack node installs both families at once: what one holds cannot be told",
            ));
        }
        let render = RenderOptions {
            untimed: true,
            ..stay.render_options(options)
        };
        let render = RenderOptions {
            chunk: prepared_chunk(stay.datapath, stay.population, &render),
            ..render
        };
        let batch = stay.datapath.render(None, stay.population, &render);
        tell(&batch, "weighed");
        let mut sampled = Sampled::default();

        let lab = stay.another_lab()?;
        let untouched = sampled.read()?;
        let install_ns = stay.in_lab(&lab, |stay| unsampled(stay, options, &batch, recorder))?;
        let pairs = samples(stay.spec.counted, install_ns);
        let mut settled = gone(lab, untouched)?;

        for pair in 1..=pairs {
            let lab = stay.another_lab()?;
            let before = sampled.read()?;
            let last = pair == pairs;
            stay.in_lab(&lab, |stay| {
                let (done, peak) = meters::peak_during(|| install(stay, &batch))?;
                done?;
                let installed = sampled.read()?;
                sampled.pairs.push(Pair {
                    before,
                    installed,
                    peak,
                });
                if last {
                    stay.damage()?;
                    stay.probe(recorder)?;
                }
                stay.teardown()
            })?;
            settled = settled.max(gone(lab, before)?);
        }
        recorder.fact("settled", settled.name());
        let _empty = stay.another_lab()?;
        let after = sampled.read()?;
        sampled.note(untouched, after, recorder);
        Ok(())
    }
}

fn install(stay: &Stay<'_>, batch: &Batch) -> Result<(), HarnessError> {
    stay.lab.on_node(|| stay.datapath.carry_out(batch))?;
    if let Some(programmer) = stay.datapath.programmer() {
        programmer.leave();
    }
    Ok(())
}

/// What is asked once, of an install that is not sampled; how long that took, nanoseconds.
fn unsampled(
    stay: &mut Stay<'_>,
    options: &Options,
    batch: &Batch,
    recorder: &mut Recorder,
) -> Result<u64> {
    let install_ns = weigh(stay, batch, recorder)?;
    match stay.datapath.programmer() {
        None => {
            let update = stay.render_options(options);
            recorder.fact("kernel_memory_update_peak", update_peak(stay, &update)?);
        }
        Some(_) => recorder.fact(
            "kernel_memory_update_peak",
            "not measured: kube-proxy is ended before memory is read",
        ),
    }
    stay.damage()?;
    recorder.fact("census_services", stay.census(stay.population)?);
    stay.teardown()?;
    Ok(install_ns)
}

/// Lets a lab go, and the kernel give back what it held.
fn gone(lab: Lab, before: KernelMemory) -> Result<meters::Settled> {
    drop(lab);
    Ok(meters::settle(before, GIVEN_BACK)?)
}

/// One sampled install.
#[derive(Debug, Clone, Copy)]
struct Pair {
    /// In a lab with nothing installed.
    before: KernelMemory,
    installed: KernelMemory,
    /// The largest total while installing, bytes.
    peak: u64,
}

/// What was read so far.
#[derive(Debug, Default)]
struct Sampled {
    pairs: Vec<Pair>,
    readings: u32,
    restless: u32,
}

/// The parts of kernel memory, in the order of [`Held::parts`].
const PARTS: [&str; 3] = ["slab", "vmalloc", "percpu"];

/// Bytes that are there only when installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    parts: [i64; 3],
    /// Of the peak.
    peak: i64,
}

impl Held {
    fn total(self) -> i64 {
        self.parts.iter().sum()
    }
}

impl Sampled {
    fn read(&mut self) -> Result<KernelMemory> {
        let Still { memory, stood } = meters::still(SETTLE)?;
        self.readings += 1;
        self.restless += u32::from(!stood);
        Ok(memory)
    }

    /// What each install held: `untouched` was read before the first of all, `after` when the last lab was gone.
    fn held(&self, untouched: KernelMemory, after: KernelMemory) -> Vec<Held> {
        let befores = self.pairs.iter().map(|pair| pair.before);
        let readings: Vec<KernelMemory> = befores.chain([after]).collect();
        // Stated, or nothing is sampled.
        let percpu = |memory: KernelMemory| memory.percpu.unwrap_or(0).cast_signed();
        let of = |(pair, around): (&Pair, &[KernelMemory])| {
            let part = |part: fn(KernelMemory) -> u64| {
                difference([part(around[0]), part(pair.installed), part(around[1])])
            };
            let (slab, vmalloc) = (part(|m| m.slab_unreclaimable), part(|m| m.vmalloc_used));
            let percpu = percpu(pair.installed) - percpu(untouched);
            let beyond = pair.peak.max(pair.installed.total()) - pair.installed.total();
            Held {
                parts: [slab, vmalloc, percpu],
                peak: slab + vmalloc + percpu + beyond.cast_signed(),
            }
        };
        self.pairs.iter().zip(readings.windows(2)).map(of).collect()
    }

    fn note(&self, untouched: KernelMemory, after: KernelMemory, recorder: &mut Recorder) {
        let all = self.held(untouched, after);
        for held in &all {
            recorder.difference(Metric::KernelMemory, held.total());
            recorder.difference(Metric::KernelMemoryPeak, held.peak);
        }
        for (i, name) in PARTS.iter().enumerate() {
            let bytes: Vec<f64> = all.iter().map(|held| held.parts[i] as f64).collect();
            recorder.fact(&format!("kernel_memory_{name}"), median(&bytes));
        }
        recorder.fact(
            "kernel_memory_source",
            "SUnreclaim + VmallocUsed of /proc/meminfo: installed - (before + after) / 2, and Percpu: installed - before the first install; each install in a lab of its own",
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
const fn difference([before, installed, after]: [u64; 3]) -> i64 {
    installed.cast_signed() - u64::midpoint(before, after).cast_signed()
}

/// Installs: the tool is weighed, and the memory cgroup and the mode itself are asked. How long it took, nanoseconds.
fn weigh(stay: &Stay<'_>, batch: &Batch, recorder: &mut Recorder) -> Result<u64> {
    let ((done, peak, install_ns), charged) = charged_during(|| {
        let start = clock::now();
        let (done, peak) = netns_sys::process::weighing(|| install(stay, batch));
        (done, peak, start.elapsed_ns())
    });
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
    Ok(install_ns)
}

/// The largest total while the last service is removed, less what is installed, bytes: a table that is
/// replaced as a whole is there twice. The service is put back.
fn update_peak(stay: &Stay<'_>, render: &RenderOptions) -> Result<i64> {
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
    use netns_harness::datapath::Transport;
    use schema::Mode;

    const fn asked(mode: Mode, services: u32) -> Asked {
        Asked {
            mode,
            transport: Transport::Netlink,
            services,
            endpoints: 2,
            counted: false,
        }
    }

    const fn memory(slab: u64, percpu: u64) -> KernelMemory {
        KernelMemory {
            slab_unreclaimable: slab,
            vmalloc_used: 0,
            percpu: Some(percpu),
        }
    }

    #[test]
    fn a_steady_drift_cancels_and_a_fall_is_negative() {
        // 100 bytes a reading come from elsewhere.
        assert_eq!(difference([1_000, 6_100, 1_200]), 5_000);
        assert_eq!(difference([1_000, 900, 1_000]), -100);
    }

    #[test]
    fn the_next_lab_s_reading_before_is_the_one_after_and_the_last_has_one_of_its_own() {
        let pair = |before, installed: u64| Pair {
            before: memory(before, 0),
            installed: memory(installed, 0),
            peak: installed + 7,
        };
        let sampled = Sampled {
            pairs: vec![pair(1_000, 6_100), pair(1_200, 6_300)],
            ..Sampled::default()
        };
        let held = sampled.held(memory(0, 0), memory(1_400, 0));
        let totals: Vec<i64> = held.iter().map(|h| h.total()).collect();
        assert_eq!((totals, held[0].peak), (vec![5_000, 5_000], 5_007));
    }

    #[test]
    fn per_cpu_pages_that_an_earlier_install_left_are_still_this_one_s() {
        let sampled = Sampled {
            pairs: vec![Pair {
                before: memory(1_000, 90),
                installed: memory(6_000, 100),
                peak: 0,
            }],
            ..Sampled::default()
        };
        let held = sampled.held(memory(900, 10), memory(1_000, 90));
        assert_eq!(held[0].parts, [5_000, 0, 90]);
    }

    #[test]
    fn there_are_six_pairs_unless_an_install_is_long() {
        let of = |counted, ns| samples(counted, ns);
        assert_eq!(
            (of(false, LONG_NS), of(false, LONG_NS + 1), of(true, 1)),
            (6, 2, 2)
        );
    }

    #[test]
    fn a_sweep_asks_its_three_largest_sizes() {
        let request = request(10_000);
        let asked = |n| !Memory.cells(asked(Mode::Ipset, n), &request).is_empty();
        assert_eq!(
            [100, 300, 1_000, 3_000, 10_000].map(asked),
            [false, false, true, true, true]
        );
    }

    fn request(largest: u32) -> Request {
        Request {
            largest,
            ..Request::of_tests()
        }
    }

    #[test]
    fn floors_have_no_memory_cells() {
        let request = request(100);
        for &mode in Mode::ALL {
            let cells = Memory.cells(asked(mode, 100), &request);
            assert_eq!(cells.is_empty(), mode.is_floor(), "{mode}");
        }
    }
}
