//! Why to believe the numbers: where they were taken, how noisy that was, what was checked, what is
//! missing, and how to take them again.

use std::collections::BTreeMap;

use maud::{Markup, html};
use schema::summary::Summary;
use schema::{Accelerator, Environment, Unit};

use super::Ids;
use crate::load::Run;
use crate::quantity::{counted, shortened, value};
use crate::summarise::of_spreads;
use crate::view::is_timed;
use crate::view::trust::{
    Disturbed, again, checks, command, coverage_text, stolen, unsettled, variant_text,
};

/// Letters of a command line or an argument: a file may hold longer ones.
const LONGEST: usize = 2_000;

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
                        None if !is_timed(summary) => "none: instructions are counted, the same at every run",
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
