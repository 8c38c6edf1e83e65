//! Why to believe the numbers: where they were taken, how noisy that was, what was checked, what is
//! missing, and how to take them again.

use std::collections::BTreeMap;
use std::fmt;

use maud::{Markup, html};
use schema::summary::Summary;
use schema::{Accelerator, Environment, Outcome, SCHEMA_VERSION, Unit, Variant};

use super::Ids;
use crate::load::Run;
use crate::quantity::{counted, shortened, value, whole};
use crate::summarise::of_spreads;

/// What stands behind every value and every word of a verdict.
const ESTIMATOR: &str = "The value of a cell is the median of its stays' medians; a stay is a laboratory of its own, and what samples of one stay agree on \
    another need not. From six stays on its 95 % interval lies between interpolated order statistics of these medians (Hettmansperger and Sheather 1986); two to five stays \
    show their range, which is no interval, one shows nothing. A ratio of different stays has an interval when both sides have one (MOVER on logarithms, Zou and Donner 2008), \
    of the same stays it is the median of their quotients; a slope is the median of the blocks' slopes. Stays that timed out count as longer than all others. “Lowest”, “fastest”, \
    “overtakes”, “adds”, “grows” and “flat” need intervals on both sides that do not overlap (or leave out what they must); of executed instructions three seeds that all agree and a difference beyond a \
    placebo's. Quantiles are type 7, of all samples together; they have no interval.";

/// The last section of the page.
pub(super) fn section(run: &Run, summary: &Summary, ids: &Ids, data: &Markup) -> Markup {
    let header = &run.header;
    html! {
        section {
            h2 id=(ids.of("trust")) { "Why believe this" }
            dl {
                dt { "Noise (A/A pair)" }
                dd {
                    @match &summary.noise {
                        Some(noise) => (noise.text),
                        None => "not measured in this run: unknown",
                    }
                }
                @if let Some(spreads) = of_spreads(summary) {
                    dt { "How far each figure is known" }
                    dd { (spreads) }
                }
                dt { "Disturbance" }
                dd { (Disturbed::of(run)) }
                dt { "Settling" }
                dd { (unsettled(run)) }
                dt { "Coverage" }
                dd { (coverage_text(summary)) }
                dt { "Checks" }
                dd { (checks(run)) }
                dt { "Stolen time" }
                dd { (stolen(run)) }
                dt { "Intervals" }
                dd {
                    (ESTIMATOR)
                }
                dt { "Seed" }
                dd { (header.seed) }
                @if !header.choice.is_empty() {
                    dt { "Measured on" }
                    dd { (header.choice) }
                }
                @if !header.variants.is_empty() {
                    dt { "Variants" }
                    @for variant in &header.variants { dd { (variant_text(variant)) } }
                }
                dt { "To take it again" }
                dd {
                    code { (shortened(&again(header), LONGEST)) }
                    " with revision " (shortened(&header.revision, 60)) " on the same kernel: the same populations, probes and order of stays"
                }
                dt { "Command line" }
                dd { code { (shortened(&command(&header.command_line), LONGEST)) } " (as given)" }
                dt { "Program" }
                dd { "bench-runner " (header.tool_version) ", revision " (shortened(&header.revision, 60)) @if !header.binary.is_empty() { ", executable " (header.binary) } ", schema " (header.schema_version) }
                @if let Some(end) = &run.end {
                    dt { "Length" }
                    dd {
                        (value(end.elapsed_ns as f64, Unit::Nanoseconds)) " (planned " (value(header.planned_time_ns as f64, Unit::Nanoseconds))
                        "); the runner used " (value(end.runner_rss_bytes as f64, Unit::Bytes)) " of memory at most"
                    }
                }
            }
            @for (name, facts) in &summary.environments { (environment(name, facts)) }
            (data)
            details {
                summary { "Resolved arguments" }
                dl { @for (name, argument) in &header.arguments { dt { (name) } dd { code { (shortened(&argument.to_string(), LONGEST)) } } } }
            }
        }
    }
}

/// "head: --tool nft=/opt/nft (nft is nftables v1.1, …)".
pub(crate) fn variant_text(variant: &Variant) -> String {
    let own = match variant.options.as_str() {
        "" => "nothing of its own",
        options => options,
    };
    let tools: Vec<String> = variant
        .tools
        .iter()
        .map(|(name, file)| format!("{name} is {file}"))
        .collect();
    match tools.is_empty() {
        true => format!("{}: {own}", variant.name),
        false => format!("{}: {own} ({})", variant.name, tools.join("; ")),
    }
}

/// What became of the plan, as a sentence.
pub(crate) fn coverage_text(summary: &Summary) -> String {
    let coverage = &summary.coverage;
    let outcomes: Vec<String> = coverage
        .outcomes
        .iter()
        .map(|(name, count)| format!("{} {name}", whole(*count)))
        .collect();
    let ended = match coverage.ended.as_str() {
        "complete" => "The run came to its end".to_owned(),
        "budget" => "The time budget ended the run".to_owned(),
        "interrupted" => "The run was interrupted".to_owned(),
        "killed" => "The run was killed".to_owned(),
        other => format!("The run ended by {other}"),
    };
    let missing = if coverage.missing > 0 {
        format!(", {} without a line", whole(coverage.missing))
    } else {
        String::new()
    };
    format!(
        "{ended}: of {} planned cells {}{missing}.",
        whole(coverage.planned),
        outcomes.join(", ")
    )
}

/// Failed checks by stage.
fn checks(run: &Run) -> String {
    let mut failed: BTreeMap<&str, u64> = BTreeMap::new();
    for cell in &run.cells {
        if let Outcome::Failed { stage, .. } = &cell.outcome {
            *failed.entry(stage.name()).or_default() += 1;
        }
    }
    let measured = run
        .cells
        .iter()
        .filter(|cell| cell.outcome == Outcome::Measured)
        .count() as u64;
    if failed.is_empty() {
        return format!(
            "No check failed. {} gave numbers after the rules were proved to work.",
            counted(measured, "cell")
        );
    }
    let failed: Vec<String> = failed
        .into_iter()
        .map(|(stage, count)| format!("{} at {stage}", whole(count)))
        .collect();
    format!(
        "Failed, and without numbers: {}. {} passed every check.",
        failed.join(", "),
        counted(measured, "cell")
    )
}

/// What a reader of older results must know; `None` of those of this version.
pub(crate) fn older(run: &Run) -> Option<String> {
    let version = run.header.schema_version;
    (version < SCHEMA_VERSION).then(|| {
        format!(
            "Written by schema {version}, and summarised anew: update_time and processor times of netlink transports, update_time of teardown, \
             sync_time of ipvs, kernel_memory of scenario memory and first packets were measured otherwise than by schema {SCHEMA_VERSION}, and every repetition had the same population. \
             compare refuses such figures beside later ones."
        )
    })
}

/// What others took from the threads that measure (docs/noise.md#what-disturbs-a-cell).
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Disturbed {
    /// Measured cells.
    measured: u64,
    /// Measured again, in another stay, and not disturbed there: that is what counts.
    clean: u64,
    /// Measured again, and without a number then.
    lost: u64,
    /// Measured again, and disturbed there too.
    twice: u64,
    /// Disturbed, and not measured again.
    once: u64,
    /// Longest wait of a thread that is known, nanoseconds.
    waited: Option<u64>,
}

/// Share of marked cells from which a run is called disturbed: on a machine whose other use of CPU is below 1 % no more
/// are (`scripts/verify/disturbance`).
const MUCH: f64 = 0.03;

impl Disturbed {
    pub(crate) fn of(run: &Run) -> Self {
        let mut all = Self::default();
        for cell in &run.cells {
            let measured = cell.outcome == Outcome::Measured;
            let again = cell.facts.contains_key("measured_again");
            let marked = !cell.disturbed.is_empty();
            all.measured += u64::from(measured);
            match (again, measured, marked) {
                (true, true, false) => all.clean += 1,
                (true, true, true) => all.twice += 1,
                (true, false, _) => all.lost += 1,
                (false, true, true) => all.once += 1,
                (false, ..) => {}
            }
            if measured {
                all.waited = all.waited.max(cell.run_delay_ns);
            }
        }
        all
    }

    /// Cells that were disturbed when they were first measured.
    pub(crate) fn seen(self) -> u64 {
        self.clean + self.lost + self.twice + self.once
    }

    /// Whether so many still bear a mark that the run is to be taken again.
    pub(crate) fn is_much(self) -> bool {
        (self.twice + self.once) as f64 > MUCH * self.measured as f64
    }
}

impl fmt::Display for Disturbed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let marked = self.twice + self.once;
        write!(
            f,
            "{} of {} measured were disturbed: a thread that measures waited for a CPU for more than a tenth of the cell and more than 20 ms, \
             or medians of batches of flows lay 1.5 times apart. {} measured again, in another stay, and not disturbed there; {} still marked, {} of them not measured again, and their rows say so",
            counted(self.seen(), "cell"),
            whole(self.measured),
            whole(self.clean),
            whole(marked),
            whole(self.once),
        )?;
        if self.lost > 0 {
            write!(
                f,
                "; {} had no number when measured again",
                whole(self.lost)
            )?;
        }
        match self.waited {
            None => write!(f, ". How long threads waited for a CPU is not known."),
            Some(most) => write!(
                f,
                ". No thread waited longer in a cell than {}.",
                value(most as f64, Unit::Nanoseconds)
            ),
        }
    }
}

/// What the kernel was still doing before a stay began.
fn unsettled(run: &Run) -> String {
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for cell in &run.cells {
        if let Some(settled) = cell.facts.get("settled_before") {
            *seen.entry(settled).or_default() += 1;
        }
    }
    let of = |name: &str| counted(seen.get(name).copied().unwrap_or(0), "cell");
    match seen.is_empty() {
        true => "not recorded".to_owned(),
        false => format!(
            "before {} the kernel's memory had settled or stood still; before {} it was still falling, and their rows say so",
            counted(
                seen.iter()
                    .filter(|(name, _)| **name != "falling")
                    .map(|(_, n)| n)
                    .sum(),
                "cell"
            ),
            of("falling")
        ),
    }
}

fn stolen(run: &Run) -> String {
    let known = run
        .cells
        .iter()
        .filter_map(|cell| Some((cell.steal_ns?, cell.elapsed_ns)));
    let (steal, elapsed) = known.fold((0.0, 0.0), |(steal, elapsed), (stolen, took)| {
        (steal + stolen as f64, elapsed + took as f64)
    });
    if elapsed == 0.0 {
        return "unknown: the kernel has no steal clock".to_owned();
    }
    format!(
        "{} taken by the hypervisor in {} of cells, all CPUs together",
        value(steal, Unit::Nanoseconds),
        value(elapsed, Unit::Nanoseconds)
    )
}

/// Letters of a command line or an argument: a file may hold longer ones.
const LONGEST: usize = 2_000;

/// Options whose value names a place: a run never overwrites one.
const PLACES: &[&str] = &["--out", "-o"];

/// The command that takes the same run again: as given, without the place of its results, with its seed.
pub(crate) fn again(header: &schema::Header) -> String {
    let mut words = header.command_line.iter().peekable();
    words.next();
    let mut kept = vec!["bench-runner".to_owned()];
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or_default();
        if PLACES.contains(&name) {
            if !word.contains('=') {
                words.next();
            }
            continue;
        }
        kept.push(word.clone());
    }
    let seeded = kept
        .iter()
        .any(|w| w == "--seed" || w.starts_with("--seed="));
    if !seeded {
        kept.extend(["--seed".to_owned(), header.seed.to_string()]);
    }
    command(&kept)
}

/// A command line that a shell takes back.
fn command(words: &[String]) -> String {
    let plain = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c))
    };
    let quoted: Vec<String> = words
        .iter()
        .map(|word| {
            if plain(word) {
                word.clone()
            } else {
                format!("'{}'", word.replace('\'', "'\\''"))
            }
        })
        .collect();
    quoted.join(" ")
}

fn environment(name: &str, facts: &Environment) -> Markup {
    html! {
        h3 { "Environment " (shortened(name, 100)) }
        dl {
            dt { "Sandbox" }
            dd { (facts.sandbox) @if facts.accel != Accelerator::None { ", " (facts.accel) } @if facts.memory_bytes > 0 { ", " (value(facts.memory_bytes as f64, Unit::Bytes)) " of memory" } }
            dt { "Kernel" }
            dd { (facts.kernel) " " (facts.machine) ", " (facts.kernel_build) }
            dt { "CPU" }
            dd { (facts.cpu) ", " (counted(facts.cores.into(), "core")) "; threads: " (facts.pinning) }
            dt { "Clock" }
            dd {
                (facts.clocksource) ", steps of " (value(facts.clock_step_ns as f64, Unit::Nanoseconds))
                ": a time below " (value(50.0 * facts.clock_step_ns as f64, Unit::Nanoseconds)) " would have failed (its step would exceed 2 % of it)"
            }
            dt { "Tools" }
            dd { (pairs(&facts.tools)) }
        }
        details {
            summary { "Kernel configuration, sysctls and mitigations of " (shortened(name, 60)) }
            dl {
                @for (title, map) in [("Placement", &facts.placement), ("Configuration", &facts.config), ("Sysctls", &facts.sysctls), ("Mitigations", &facts.mitigations)] {
                    dt { (title) }
                    dd { (pairs(map)) }
                }
            }
        }
    }
}

fn pairs(map: &BTreeMap<String, String>) -> String {
    map.iter()
        .map(|(key, value)| format!("{} {}", shortened(key, 100), shortened(value, 300)))
        .collect::<Vec<_>>()
        .join(", ")
}
