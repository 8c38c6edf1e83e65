//! What became of a run, how disturbed it was, and how to take it again, as words.

use std::collections::BTreeMap;
use std::fmt;

use schema::summary::Summary;
use schema::{CellRecord, Outcome, SCHEMA_VERSION, Unit, Variant};

use crate::load::Run;
use crate::quantity::{counted, value, whole};

/// "head: --tool nft=/opt/nft (nft is nftables v1.1, …)".
pub(crate) fn variant_text(variant: &Variant) -> String {
    let own = match variant.options.as_str() {
        "" => "nothing of its own",
        options => options,
    };
    let tools = variant.tools.iter();
    let tools: Vec<String> = tools
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
    let outcomes = coverage.outcomes.iter();
    let mut became: Vec<String> = outcomes
        .map(|(name, count)| format!("{} {name}", whole(*count)))
        .collect();
    let ended = match coverage.ended.as_str() {
        "complete" => "The run came to its end".to_owned(),
        "budget" => "The time budget ended the run".to_owned(),
        "decided" => "The run ended when its comparison was decided".to_owned(),
        "interrupted" => "The run was interrupted".to_owned(),
        "killed" => "The run was killed".to_owned(),
        other => format!("The run ended by {other}"),
    };
    if coverage.missing > 0 {
        became.push(format!("{} without a line", whole(coverage.missing)));
    }
    let planned = whole(coverage.planned);
    format!("{ended}: of {planned} planned cells {}.", became.join(", "))
}

/// Failed checks by stage.
pub(crate) fn checks(run: &Run) -> String {
    let mut failed: BTreeMap<&str, u64> = BTreeMap::new();
    for cell in &run.cells {
        if let Outcome::Failed { stage, .. } = &cell.outcome {
            *failed.entry(stage.name()).or_default() += 1;
        }
    }
    let is_measured = |cell: &&CellRecord| cell.outcome == Outcome::Measured;
    let measured = run.cells.iter().filter(is_measured).count();
    let measured = counted(measured as u64, "cell");
    if failed.is_empty() {
        return format!(
            "No check failed. {measured} gave numbers after the rules were proved to work."
        );
    }
    let failed = failed.into_iter();
    let failed = failed.map(|(stage, count)| format!("{} at {stage}", whole(count)));
    let failed = failed.collect::<Vec<_>>().join(", ");
    format!("Failed, and without numbers: {failed}. {measured} passed every check.")
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
            let lost = whole(self.lost);
            write!(f, "; {lost} had no number when measured again")?;
        }
        match self
            .waited
            .map(|most| value(most as f64, Unit::Nanoseconds))
        {
            None => write!(f, ". How long threads waited for a CPU is not known."),
            Some(most) => write!(f, ". No thread waited longer in a cell than {most}."),
        }
    }
}

/// What the kernel was still doing before a stay began.
pub(crate) fn unsettled(run: &Run) -> String {
    let known = run.cells.iter();
    let known = known.filter_map(|cell| cell.facts.get("settled_before"));
    let (falling, still): (Vec<_>, Vec<_>) = known.partition(|how| *how == "falling");
    if falling.is_empty() && still.is_empty() {
        return "not recorded".to_owned();
    }
    format!(
        "before {} the kernel's memory had settled or stood still; before {} it was still falling, and their rows say so",
        counted(still.len() as u64, "cell"),
        counted(falling.len() as u64, "cell")
    )
}

/// Processor time that the hypervisor took.
pub(crate) fn stolen(run: &Run) -> String {
    let known = run.cells.iter().filter(|cell| cell.steal_ns.is_some());
    let elapsed: u64 = known.clone().map(|cell| cell.elapsed_ns).sum();
    let steal: u64 = known.filter_map(|cell| cell.steal_ns).sum();
    if elapsed == 0 {
        return "unknown: the kernel has no steal clock".to_owned();
    }
    let [steal, elapsed] = [steal, elapsed].map(|ns| value(ns as f64, Unit::Nanoseconds));
    format!("{steal} taken by the hypervisor in {elapsed} of cells, all CPUs together")
}

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
pub(crate) fn command(words: &[String]) -> String {
    let plain = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c))
    };
    let quoted = words.iter().map(|word| match plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    });
    quoted.collect::<Vec<_>>().join(" ")
}
