//! Kernel memory by possible CPUs: the sentence and the chart of a run that asked several numbers of them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use reports::{Run, plots, summarise};
use schema::{Metric, Mode, OptionKey, ScenarioKind};
use synthetic::Shape;

const CPUS: [u32; 3] = [2, 8, 64];

/// Bytes a service of a mode: a part of its own, and one for each CPU.
fn held(mode: Mode, cpus: u32) -> f64 {
    match mode {
        Mode::IptablesLegacy => 4_000.0 + 100.0 * f64::from(cpus),
        _ => 1_500.0,
    }
}

/// Memory cells at three sizes, with these numbers of CPUs.
fn run(blocks: u32, cpus: &[u32]) -> Run {
    let mut run = synthetic::run(&Shape {
        blocks,
        sizes: vec![1_000, 2_000, 4_000],
        mishaps: false,
        ..Shape::default()
    });
    let modes = [Mode::IptablesLegacy, Mode::Nftables];
    run.cells
        .retain(|c| c.key.scenario == ScenarioKind::Memory && modes.contains(&c.key.mode));
    let cells = run.cells.iter().flat_map(|cell| {
        cpus.iter().map(|cpus| {
            let mut cell = cell.clone();
            cell.key.options.set(OptionKey::PossibleCpus, *cpus);
            let n = f64::from(cell.key.services);
            for series in &mut cell.series {
                if series.metric == Metric::KernelMemory {
                    series.values = vec![50_000.0 + n * held(cell.key.mode, *cpus); 2];
                }
            }
            cell
        })
    });
    run.cells = cells.collect();
    run
}

#[test]
fn a_service_s_own_part_and_that_of_each_cpu_are_told_and_drawn() {
    let run = run(3, &CPUS);
    let summary = summarise(&run);
    let found = summary
        .findings
        .iter()
        .find(|f| f.text.contains("by possible CPUs"));
    let found = found.expect("three numbers of CPUs give a line");
    for clause in [
        "4.00 kB and 100 B for each possible CPU (100 B to 100 B from one number of CPUs to the next; 1,000–4,000 services, 2–64 CPUs, 3 blocks, at most 0",
        "which is 10.4 kB with 64",
        "1.50 kB and 0 B for each possible CPU (0 B to 0 B from one number of CPUs to the next: not distinguished from 0; ",
    ] {
        assert!(found.verdict.contains(clause), "{}", found.verdict);
    }
    assert!(found.headline);
    let figures = plots::figures(&run, &summary);
    let figure = figures
        .iter()
        .find(|figure| figure.name == "memory-by-cpus");
    assert!(
        figure.unwrap().alt.contains("to 10.4 kB with 64"),
        "{}",
        figure.unwrap().alt
    );
}

#[test]
fn two_numbers_of_cpus_give_no_line_and_one_block_no_headline() {
    let two = summarise(&run(3, &CPUS[..2]));
    assert!(
        two.findings
            .iter()
            .all(|f| !f.text.contains("by possible CPUs"))
    );
    let one = summarise(&run(1, &CPUS));
    let found = one
        .findings
        .iter()
        .find(|f| f.text.contains("by possible CPUs"));
    assert!(!found.unwrap().headline);
}
