//! What is known of a run: which planned cells have their outcome, and what was learnt from them. All of
//! it follows from the lines of results, one by one, so a run that is carried on knows what the run before
//! knew.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use reports::statistics::Sample;
use scenarios::Needs;
use scenarios::spec::{CellSpec, StaySpec};
use schema::{CellKey, CellRecord, Metric, NotRun, OptionKey, Outcome, OutcomeKind};

use crate::plan::{Plan, PlannedStay, key};
use crate::verdict::not_run;

/// The fact that holds how long a cell's stay took in all, milliseconds.
pub(crate) const STAY_MS: &str = "stay_ms";
/// The fact of a cell that was measured again: what had disturbed it.
pub(crate) const AGAIN: &str = "measured_again";

/// A cell of the plan: place of its stay, place of the cell in it.
type Place = (usize, usize);

/// What repetitions of a stay showed.
#[derive(Debug, Clone, Default)]
struct History {
    /// How long it took last, nanoseconds.
    took_ns: Option<u64>,
    /// Median of each repetition, by block.
    medians: BTreeMap<(usize, Metric), BTreeMap<u32, f64>>,
    /// Cells that time out; the others may still give numbers.
    hopeless: BTreeSet<usize>,
}

/// Outcomes that the last sentence of a run always counts.
const ALWAYS: [OutcomeKind; 4] = [
    OutcomeKind::Measured,
    OutcomeKind::Unsupported,
    OutcomeKind::Failed,
    OutcomeKind::TimedOut,
];

/// What is known of a run.
pub(crate) struct Ledger {
    /// Blocks of each stay.
    blocks: Vec<u32>,
    /// Whether a stay is counted, whose time is not the budget's.
    counted: Vec<bool>,
    places: HashMap<CellKey, Place>,
    cells: Vec<usize>,
    /// Cells without an outcome, by block and stay; absent: none of them has one.
    open: HashMap<(u32, usize), BTreeSet<usize>>,
    /// Cells that were disturbed and not measured again yet, with what disturbed them.
    disturbed: BTreeMap<(u32, Place), String>,
    histories: Vec<History>,
    /// Preparations that took too long: not tried again.
    unprepared: HashSet<String>,
    /// Stays with numbers of their own, beyond those of the plan, start here.
    next_stay: u32,
    /// Stays that gave numbers.
    measured: HashSet<u32>,
    /// Time of the run up to the end of the last cell, nanoseconds.
    spent_ns: u64,
    /// The same up to the end of the last that was counted.
    counted_ns: u64,
    /// Cells that did not fit into the budget from the start.
    cut: u64,
    /// Cells by outcome; those that were not run by reason, too.
    counts: BTreeMap<String, u64>,
    failures: Vec<String>,
}

/// What one mode at one size needs before its cells, by name.
fn preparation(key: &CellKey) -> String {
    let engine = key.options.get(OptionKey::Engine).unwrap_or_default();
    let node = key.options.node();
    format!(
        "{} {engine} {} {} {} {} {} {} {}",
        key.mode,
        key.options.mix(),
        node.stack,
        node.family,
        key.services,
        key.endpoints,
        key.environment,
        key.variant
    )
}

fn prepares(key: &CellKey) -> bool {
    scenarios::scenario(key.scenario).needs() != Needs::Empty
}

/// An outcome as it is counted: "measured", "not-run (budget)".
fn label(outcome: &Outcome) -> String {
    match outcome {
        Outcome::NotRun { why } => format!("{} ({})", outcome.name(), why.kind()),
        _ => outcome.name().to_owned(),
    }
}

/// Whether a cell with this outcome is run when the run is carried on.
fn is_interrupted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotRun { why } if *why == NotRun::Interrupted)
}

impl Ledger {
    /// Nothing has happened yet.
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut places = HashMap::new();
        for (stay, planned) in plan.stays.iter().enumerate() {
            for (cell, spec) in planned.spec.cells.iter().enumerate() {
                places.insert(key(&planned.spec, spec), (stay, cell));
            }
        }
        let cut = plan.stays.iter();
        let cut = cut.filter(|stay| stay.left_out == Some(NotRun::Budget));
        let cut = cut.map(|stay| u64::from(stay.blocks) * stay.spec.cells.len() as u64);
        Self {
            blocks: plan.stays.iter().map(|s| s.blocks).collect(),
            counted: plan.stays.iter().map(|s| s.spec.counted).collect(),
            places,
            cells: plan.stays.iter().map(|s| s.spec.cells.len()).collect(),
            open: HashMap::new(),
            disturbed: BTreeMap::new(),
            histories: vec![History::default(); plan.stays.len()],
            unprepared: HashSet::new(),
            next_stay: plan.blocks * plan.stays.len() as u32,
            measured: HashSet::new(),
            spent_ns: 0,
            counted_ns: 0,
            cut: cut.sum(),
            counts: BTreeMap::new(),
            failures: Vec::new(),
        }
    }

    /// Takes note of a line that was (or was found) written.
    ///
    /// # Errors
    /// The cell is not of this plan, or has its outcome already.
    pub(crate) fn note(&mut self, record: &CellRecord) -> Result<(), String> {
        let Some(&(stay, cell)) = self.places.get(&record.key) else {
            return Err(format!("{} is not of this plan", record.key));
        };
        if record.block >= self.blocks[stay] {
            return Err(format!("block {} is not of this plan", record.block));
        }
        self.spent_ns = self.spent_ns.max(record.started_ns + record.elapsed_ns);
        if self.counted[stay] {
            self.counted_ns = self.counted_ns.max(record.started_ns + record.elapsed_ns);
        }
        self.next_stay = self.next_stay.max(record.stay + 1);
        if record.outcome == Outcome::Measured {
            self.measured.insert(record.stay);
        }
        let cells = self.cells[stay];
        let open = self
            .open
            .entry((record.block, stay))
            .or_insert_with(|| (0..cells).collect());
        let again = self
            .disturbed
            .remove(&(record.block, (stay, cell)))
            .is_some();
        if !open.remove(&cell) && !again {
            return Err(format!(
                "{} has its outcome in block {}",
                record.key, record.block
            ));
        }
        if again {
            // Only a measured cell is measured again.
            let measured = self.counts.entry(label(&Outcome::Measured)).or_default();
            *measured = measured.saturating_sub(1);
        }
        *self.counts.entry(label(&record.outcome)).or_default() += 1;
        if !record.disturbed.is_empty() && !record.facts.contains_key(AGAIN) {
            let what: Vec<&str> = record.disturbed.iter().map(|d| d.name()).collect();
            self.disturbed
                .insert((record.block, (stay, cell)), what.join(", "));
        }
        self.learn(stay, cell, record);
        Ok(())
    }

    /// As [`Ledger::note`], for a line of a run that is carried on: what was interrupted is open.
    ///
    /// # Errors
    /// As [`Ledger::note`].
    pub(crate) fn note_earlier(&mut self, record: &CellRecord) -> Result<(), String> {
        if is_interrupted(&record.outcome) {
            self.spent_ns = self.spent_ns.max(record.started_ns);
            return Ok(());
        }
        self.note(record)
    }

    fn learn(&mut self, stay: usize, cell: usize, record: &CellRecord) {
        let history = &mut self.histories[stay];
        let ms = record.facts.get(STAY_MS);
        let ms = ms.and_then(|ms| ms.parse::<u64>().ok());
        // What was measured again was alone in its stay.
        if let Some(ms) = ms.filter(|_| !record.facts.contains_key(AGAIN)) {
            history.took_ns = Some(ms.saturating_mul(1_000_000));
        }
        match &record.outcome {
            Outcome::Measured => {
                for series in record.series.iter().filter(|s| s.metric.row().answers) {
                    if let Some(sample) = Sample::new([(0, series.values.as_slice())]) {
                        let medians = history.medians.entry((cell, series.metric)).or_default();
                        medians.insert(record.block, sample.median());
                    }
                }
            }
            Outcome::TimedOut { .. } => {
                history.hopeless.insert(cell);
            }
            Outcome::NotRun {
                why: NotRun::Preparation(_),
            } if prepares(&record.key) => {
                self.unprepared.insert(preparation(&record.key));
            }
            Outcome::Failed { stage, reason } => {
                let line = format!("{}: failed ({stage}): {reason}", record.key);
                self.failures.push(line);
            }
            Outcome::NotRun { .. } | Outcome::Unsupported { .. } => {}
        }
    }

    fn place(&self, spec: &StaySpec, cell: &CellSpec) -> Option<Place> {
        self.places.get(&key(spec, cell)).copied()
    }

    /// Cells of a stay that have no outcome yet, in its order.
    pub(crate) fn open_cells(&self, stay: &PlannedStay) -> Vec<CellSpec> {
        let spec = &stay.spec;
        let is_open = |cell: &&CellSpec| {
            self.place(spec, cell).is_some_and(|(stay, cell)| {
                let open = self.open.get(&(spec.block, stay));
                open.is_none_or(|open| open.contains(&cell))
            })
        };
        spec.cells.iter().filter(is_open).cloned().collect()
    }

    /// The first block in which a stay has open cells.
    pub(crate) fn next_block(&self, place: usize) -> Option<u32> {
        (0..self.blocks[place]).find(|block| {
            let open = self.open.get(&(*block, place));
            open.is_none_or(|open| !open.is_empty())
        })
    }

    /// Cells of a stay that were disturbed and are to be measured again, in its order.
    pub(crate) fn disturbed_cells(&self, stay: &PlannedStay) -> Vec<CellSpec> {
        let spec = &stay.spec;
        let is_disturbed = |cell: &&CellSpec| self.what_disturbed(spec, cell).is_some();
        spec.cells.iter().filter(is_disturbed).cloned().collect()
    }

    /// A disturbed cell could not be measured again: it stays as it is.
    pub(crate) fn keep_disturbed(&mut self, spec: &StaySpec, cell: &CellSpec) {
        if let Some(place) = self.place(spec, cell) {
            self.disturbed.remove(&(spec.block, place));
        }
    }

    /// What disturbed a cell that was not measured again yet.
    pub(crate) fn what_disturbed(&self, spec: &StaySpec, cell: &CellSpec) -> Option<&str> {
        let place = self.place(spec, cell)?;
        let what = self.disturbed.get(&(spec.block, place))?;
        Some(what)
    }

    /// Whether running the cell again would only time out again; then why.
    pub(crate) fn is_hopeless(&self, spec: &StaySpec, cell: &CellSpec) -> bool {
        let key = key(spec, cell);
        let unprepared = prepares(&key) && self.unprepared.contains(&preparation(&key));
        let timed_out =
            |(stay, cell): (usize, usize)| self.histories[stay].hopeless.contains(&cell);
        unprepared || self.place(spec, cell).is_some_and(timed_out)
    }

    /// How long a stay took last, nanoseconds.
    pub(crate) fn took_ns(&self, place: usize) -> Option<u64> {
        self.histories[place].took_ns
    }

    /// How far apart a stay's repetitions lie, relative: the widest of its answers, as half of Student's 95 % interval
    /// of their mean. For planning alone: no figure rests on it. An answer that only some repetitions give (a cell
    /// that timed out) counts as far as it goes. `None` while none has two; 0 where repeating shows nothing new.
    pub(crate) fn width(&self, place: usize) -> Option<f64> {
        let answers = self.histories[place].medians.values();
        if answers.len() == 0 {
            return Some(0.0);
        }
        answers
            .filter_map(|medians| relative_half_width(medians.values().copied()))
            .reduce(f64::max)
    }

    /// A number for a stay: the one that the plan gave it, unless a process that was killed has measured
    /// something under it. Each process is a replication of its own.
    pub(crate) fn stay_number(&mut self, planned: u32) -> u32 {
        if self.measured.contains(&planned) {
            self.new_stay()
        } else {
            planned
        }
    }

    /// A number that no stay has had.
    pub(crate) fn new_stay(&mut self) -> u32 {
        self.next_stay += 1;
        self.next_stay - 1
    }

    /// Time of the run up to the end of the last cell, nanoseconds.
    pub(crate) fn spent_ns(&self) -> u64 {
        self.spent_ns
    }

    /// Time of the run up to the end of the last cell that was counted, nanoseconds; before what is timed.
    pub(crate) fn counted_ns(&self) -> u64 {
        self.counted_ns
    }

    /// Cells that have their outcome.
    pub(crate) fn closed(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Cells planned, over all blocks.
    pub(crate) fn planned(&self) -> u64 {
        let stays = self.cells.iter().zip(&self.blocks);
        stays
            .map(|(cells, blocks)| *cells as u64 * u64::from(*blocks))
            .sum()
    }

    /// Failed cells, each with its reason.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Whether cells were left out because the question was answered.
    pub(crate) fn is_decided(&self) -> bool {
        self.counts.contains_key(&label(&not_run(NotRun::Decided)))
    }

    /// "complete", "budget", "decided" or "interrupted".
    pub(crate) fn ended(&self, interrupted: bool) -> &'static str {
        let budget = self.counts.get(&label(&not_run(NotRun::Budget)));
        let budget = budget.copied().unwrap_or_default();
        match () {
            () if interrupted => "interrupted",
            () if budget > self.cut => "budget",
            () if self.is_decided() => "decided",
            () => "complete",
        }
    }

    /// Cells with that outcome.
    pub(crate) fn count(&self, outcome: OutcomeKind) -> u64 {
        self.counts.get(outcome.name()).copied().unwrap_or(0)
    }

    /// Cells that have no outcome, which at the end is a mistake of this program.
    pub(crate) fn unaccounted(&self) -> u64 {
        self.planned().saturating_sub(self.closed())
    }

    /// "complete: 90 cells planned: 80 measured, 0 failed, …": the outcomes add up to the plan.
    pub(crate) fn sentence(&self, interrupted: bool) -> String {
        let always = ALWAYS.map(|outcome| format!("{} {outcome}", self.count(outcome)));
        let told = |name: &String| ALWAYS.iter().any(|outcome| outcome.name() == name);
        let others = self.counts.iter().filter(|(name, _)| !told(name));
        let others = others.map(|(name, count)| format!("{count} {name}"));
        let missing = match self.unaccounted() {
            0 => None,
            cells => Some(format!("{cells} without an outcome")),
        };
        let parts: Vec<String> = always.into_iter().chain(others).chain(missing).collect();
        let (ended, planned) = (self.ended(interrupted), self.planned());
        format!("{ended}: {planned} cells planned: {}", parts.join(", "))
    }
}

fn relative_half_width(medians: impl Iterator<Item = f64>) -> Option<f64> {
    /// 97.5 % points of Student's distribution with 1 to 4 degrees of freedom; beyond, near enough.
    const STUDENT: [f64; 4] = [12.71, 4.30, 3.18, 2.78];
    let medians: Vec<f64> = medians.collect();
    let n = medians.len() as f64;
    let freedom = medians.len().checked_sub(2)?;
    let mean = medians.iter().sum::<f64>() / n;
    let variance = medians.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = STUDENT.get(freedom).copied().unwrap_or(2.4) * (variance / n).sqrt();
    Some(if half == 0.0 { 0.0 } else { half / mean.abs() })
}

#[cfg(test)]
mod tests;
