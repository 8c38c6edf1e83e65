//! A table of answers as every writer shows it: what is asked down, modes or kernels across. Every cell has a figure or
//! says why it has none.

use std::collections::{BTreeMap, BTreeSet};

use schema::summary::{Row, Summary};
use schema::{Metric, Mode, Options, Position, ScenarioKind, filled};

use super::words::together;
use super::{Question, Scope, asking, is_lowest, varying};
use crate::quantity::{counted, noun, value, whole};

/// A table.
#[derive(Debug, Clone)]
pub struct Table<'a> {
    /// N.
    pub services: u32,
    /// "Rule updates at 10,000 services".
    pub title: String,
    /// What stands across: "Rule updates by mode".
    pub label: String,
    /// What a line is, and what several of them are: "Question", "questions".
    pub first: [&'static str; 2],
    /// What a reader must know of all of it.
    pub caption: String,
    /// What a reader must know of what is asked.
    pub hints: Vec<String>,
    /// Name and heading of each column.
    pub columns: Vec<(String, String)>,
    /// What the columns are where they are no modes: figures stand beside each other, and none is the lowest.
    pub places: Option<Columns>,
    /// The same asked of every column.
    pub lines: Vec<Line<'a>>,
}

/// A line of it.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// The question as words.
    pub asked: String,
    /// Of what, where that is more than the question: the scenario, or the series.
    pub of: String,
    /// One cell a column, with one answer for each way in which the mode was programmed: none where no such cell was
    /// planned. `None` where nothing is missing: the floors have no control plane.
    pub cells: Vec<Option<Vec<Answer<'a>>>>,
}

/// What one way of programming a mode answers.
#[derive(Debug, Clone)]
pub struct Answer<'a> {
    /// The value, or the row that says why there is none.
    pub row: &'a Row,
    /// What is asked of the row.
    pub metric: Metric,
    /// Whether something else moves its value.
    pub noisy: bool,
    /// Whether it is told apart from every other mode, below all of them.
    pub lowest: bool,
    /// What else is known of the same act, as phrases.
    pub also: Vec<String>,
}

/// What stands side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// Environments, with kernels of their own.
    Kernels,
    /// Environments of several runs on one kernel.
    Runs,
    /// Variants, of which each may have environments of its own.
    Variants,
}

impl Columns {
    /// A heading, the name of one, where its figures are, and why nothing is judged.
    const fn words(self) -> [&'static str; 4] {
        match self {
            Self::Kernels => [
                "Kernels",
                "kernel",
                "on each kernel",
                "kernels differ by more than one thing, so no ratio is drawn and nothing is ranked between them.",
            ],
            Self::Runs => [
                "Runs",
                "run",
                "in each run",
                "whether runs differ is what `bench-runner compare` says of two.",
            ],
            Self::Variants => [
                "Variants",
                "variant",
                "in each variant",
                "whether variants differ is what `bench-runner compare` says of the run.",
            ],
        }
    }

    /// As a heading: "Kernels".
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.words()[0]
    }

    /// One of them: "kernel".
    #[must_use]
    pub const fn one(self) -> &'static str {
        self.words()[1]
    }

    /// What a reader must know of the table.
    pub(crate) fn caption(self) -> String {
        let [_, _, place, alone] = self.words();
        format!(
            "Medians of stays with 95 % intervals, of fewer than six stays their range, each mode {place}. Figures only: {alone}"
        )
    }
}

impl<'a> Answer<'a> {
    /// A figure that is not judged.
    pub(crate) const fn figure(row: &'a Row, metric: Metric) -> Self {
        Self {
            row,
            metric,
            noisy: false,
            lowest: false,
            also: Vec::new(),
        }
    }
}

impl Line<'_> {
    /// The row of its first answer.
    #[must_use]
    pub fn first(&self) -> Option<&Row> {
        let mut answers = self.cells.iter().flatten().flatten();
        answers.next().map(|answer| answer.row)
    }
}

/// Packets, memory and rules at the largest size of a scope; `None` where nothing of them was asked.
#[must_use]
pub(crate) fn of_questions<'a>(summary: &'a Summary, scope: &'a Scope) -> Option<Table<'a>> {
    let services = scope.largest(summary);
    let modes = scope.modes(summary);
    let questions = scope.questions(summary);
    let line = |question: &Question| {
        // A cell without numbers answers every question of its scenario.
        let rows: Vec<&Row> = scope
            .rows(summary)
            .filter(|row| row.key.services == services && question.asks(&row.key))
            .filter(|row| row.metric.is_none_or(|metric| metric == question.metric))
            .collect();
        let answer = |row: &&'a Row| Answer {
            noisy: row.noisy,
            lowest: is_lowest(row, &rows),
            ..Answer::figure(row, question.metric)
        };
        let cell = |mode: &Mode| {
            let mine = rows.iter().filter(|row| row.key.mode == *mode);
            let answers: Vec<_> = mine.map(answer).collect();
            let applies = !mode.is_floor() || question.metric == Metric::Latency;
            (applies || !answers.is_empty()).then_some(answers)
        };
        Line {
            asked: question.text(services),
            of: String::new(),
            cells: modes.iter().map(cell).collect(),
        }
    };
    (!questions.is_empty()).then(|| Table {
        services,
        title: format!("Packets, memory and rules at {} services", whole(services.into())),
        label: "Modes by question".to_owned(),
        first: ["Question", "questions"],
        caption: "The median of the stays' medians, its 95 % interval from six stays on, else their range; number of samples n. “Lowest”: told apart from every other mode. \
            The floors none and conntrack serve no services, so they hold no memory for them. Figures marked noisy are moved by whatever else runs on the host's kernel.".to_owned(),
        hints: hints(&questions, &modes, scope, summary),
        columns: of_modes(&modes),
        places: None,
        lines: questions.iter().map(line).collect(),
    })
}

/// What a reader must know of what is asked.
fn hints(questions: &[Question], modes: &[Mode], scope: &Scope, summary: &Summary) -> Vec<String> {
    let asks = |metric: Metric| questions.iter().any(|question| question.metric == metric);
    let is_last = |q: &Question| q.options.position() == Some(Position::Last);
    let is_closed = |q: &Question| q.metric == Metric::Latency && q.options.rate().is_none();
    let last: Vec<String> = modes
        .iter()
        .filter(|mode| !mode.is_floor())
        .map(|mode| format!("in {mode} it is {}", mode.row().last))
        .collect();
    let rows = scope.rows(summary);
    let cpus = rows.filter_map(|row| Some(row.per_cpu?.cpus)).max();
    let hints = [
        questions.iter().any(is_last).then(|| format!(
            "The last service is not the same case in every mode: {}. A random connection pays what “any service” says.",
            last.join("; ")
        )),
        questions.iter().any(is_closed).then(|| "Quantiles of first packets come from a closed loop: the next packet waits for the reply, so a stall counts once, however many packets it would have held up.".to_owned()),
        asks(Metric::KernelMemoryPeak).then(|| "The peak misses what each CPU keeps of freed slab objects, up to 0.5 MB a CPU.".to_owned()),
        cpus.filter(|_| asks(Metric::KernelMemory)).map(|cpus| format!(
            "Kernel memory is that of {}: counters are held for each, and more of them on a larger machine.",
            counted(cpus.into(), "possible CPU")
        )),
    ];
    hints.into_iter().flatten().collect()
}

/// What is counted beside the time of an update, each with what it is called in a cell.
const COUNTED: &[(Metric, &str)] = &[
    (Metric::Messages, "messages"),
    (Metric::BytesSent, "handed over"),
    (Metric::Operations, "operations"),
];

/// Rule updates of a scope: at the largest size that all its modes have, and at the largest of all where
/// some mode has no cells there. A mode *has* a size when an update was planned there: what timed out
/// or is unsupported there stays in the table. Empty without updates.
#[must_use]
pub fn of_updates<'a>(summary: &'a Summary, scope: &'a Scope) -> Vec<Table<'a>> {
    let rows = scope.rows(summary);
    let rows: Vec<&Row> = rows.filter(|row| row.key.scenario.is_update()).collect();
    let planned = rows.iter().map(|row| (row.key.mode, row.key.services));
    let planned: BTreeSet<(Mode, u32)> = planned.collect();
    let modes: BTreeSet<Mode> = planned.iter().map(|(mode, _)| *mode).collect();
    let modes: Vec<Mode> = modes.into_iter().collect();
    let sizes: BTreeSet<u32> = planned.iter().map(|(_, size)| *size).collect();
    let by_all = |size: &&u32| modes.iter().all(|mode| planned.contains(&(*mode, **size)));
    let shared = sizes.iter().rev().find(by_all);
    let shown: BTreeSet<u32> = shared.into_iter().chain(sizes.last()).copied().collect();
    let table = |services: u32| {
        let beyond: Vec<String> = sizes
            .range(services + 1..)
            .map(|n| whole((*n).into()))
            .collect();
        let size = match beyond.is_empty() {
            true => String::new(),
            false => format!(
                " The largest size that all modes have; some have no cells at {}.",
                beyond.join(", ")
            ),
        };
        Table {
            services,
            title: format!("Rule updates at {} services", whole(services.into())),
            label: "Rule updates by mode".to_owned(),
            first: ["Update", "kinds of update"],
            caption: format!(
                "Time: what the kernel and the tool must do (update_time), the median of its stays with its 95 % interval, of fewer than six stays their range; sync: the same update as kube-proxy makes it, \
                 with its read-back (sync_time); released: after its answer, until its sockets are closed (release_time; a tool's is inside its time). Messages are netlink messages of our own: 0 where a tool sends its own. “Lowest”: of both together, told apart from every other mode.{size}"
            ),
            hints: Vec::new(),
            columns: of_modes(&modes),
            places: None,
            lines: updates(summary, scope, services, &modes),
        }
    };
    shown.into_iter().map(table).collect()
}

/// The updates of one size, each in every mode.
fn updates<'a>(
    summary: &'a Summary,
    scope: &'a Scope,
    services: u32,
    modes: &[Mode],
) -> Vec<Line<'a>> {
    let varying = varying(scope.rows(summary));
    let mut found: BTreeMap<_, Vec<&'a Row>> = BTreeMap::new();
    for row in scope.rows(summary) {
        if row.key.scenario.is_update() && row.key.services == services {
            let options = asking(&row.key, &varying);
            let line = (row.key.scenario, options.chunk(), options);
            found.entry(line).or_default().push(row);
        }
    }
    let line = |((scenario, _, options), rows): ((ScenarioKind, _, Options), Vec<&'a Row>)| {
        let is_time = |row: &&Row| row.metric.is_none_or(|own| own == Metric::UpdateTime);
        let times: Vec<&'a Row> = rows.iter().copied().filter(is_time).collect();
        let answer = |row: &'a Row| Answer {
            noisy: row.noisy,
            lowest: is_lowest(row, &times),
            also: beside(row, &rows),
            ..Answer::figure(row, Metric::UpdateTime)
        };
        let cell = |mode: &Mode| {
            let mine = times.iter().filter(|row| row.key.mode == *mode);
            Some(mine.map(|row| answer(row)).collect())
        };
        Line {
            asked: filled(scenario.row().words, "", &options),
            of: scenario.to_string(),
            cells: modes.iter().map(cell).collect(),
        }
    };
    found.into_iter().map(line).collect()
}

/// "12 messages, 3.10 kB, 9 operations"; what the scenario does not count is named as such. Then kube-proxy's sync, and
/// what is released after the answer.
fn beside(time: &Row, rows: &[&Row]) -> Vec<String> {
    let stated = |metric: Metric| {
        let mut same = rows.iter().filter(|row| row.key == time.key);
        let row = same.find(|row| row.metric == Some(metric))?;
        row.median.zip(row.unit)
    };
    let (mut parts, mut uncounted) = (Vec::new(), Vec::new());
    for (metric, plural) in COUNTED {
        match stated(*metric) {
            Some((median, unit)) => {
                parts.push(format!("{} {}", value(median, unit), noun(median, plural)));
            }
            None => uncounted.push(*plural),
        }
    }
    if !uncounted.is_empty() {
        parts.push(format!("not counted: {}", uncounted.join(", ")));
    }
    let mut also = vec![parts.join(", ")];
    if let Some((median, unit)) = stated(Metric::SyncTime) {
        also.push(format!("sync {}", value(median, unit)));
    }
    if let Some((median, unit)) = stated(Metric::ReleaseTime) {
        let together = together(time);
        let together = together.map_or_else(String::new, |whole| format!(", together {whole}"));
        also.push(format!(
            "then released in {}{together}",
            value(median, unit)
        ));
    }
    also
}

/// Modes as columns.
pub(super) fn of_modes(modes: &[Mode]) -> Vec<(String, String)> {
    let names = modes.iter().map(Mode::to_string);
    names.map(|name| (name.clone(), name)).collect()
}
