//! Mode × question at the largest N: one row a mode through its ordinary way, with ratios to the lowest and
//! to the floors.

use std::collections::BTreeMap;

use schema::summary::{Row, Summary};
use schema::{
    CellKey, Engine, Metric, Mode, OptionKey, Options, Place, Protocol, ScenarioKind, Topic,
};

use super::cells::Cells;
use super::ratios::{Ratio, floor_of, ratio};
use crate::load::Run;
use crate::view::{Question, Scope, Standing, is_lowest, ranked, standing};

/// One question at the largest N, with the answer of each mode.
#[derive(Debug, Clone)]
pub struct Measure<'a> {
    /// What is asked.
    pub scenario: ScenarioKind,
    /// What is shown of it.
    pub metric: Metric,
    /// The options that tell it from others of its scenario.
    pub options: Options,
    /// N.
    pub services: u32,
    rows: BTreeMap<Mode, &'a Row>,
}

impl<'a> Measure<'a> {
    /// The row of the lowest value (of an update, of its whole) among the modes that serve services.
    #[must_use]
    pub fn lowest(&self) -> Option<&'a Row> {
        let serving = self.rows.values().filter(|row| !row.key.mode.is_floor());
        let measured = serving.filter(|row| row.median.is_some());
        let by = |row: &&&Row| ranked(row).unwrap_or(f64::INFINITY);
        measured.min_by(|a, b| by(a).total_cmp(&by(b))).copied()
    }

    /// The question, with what its answer is of.
    #[must_use]
    pub fn text(&self) -> String {
        let question = Question {
            scenario: self.scenario,
            metric: self.metric,
            options: self.options.clone(),
        };
        question.text(self.services)
    }

    /// Name of the chart that shows it against N.
    #[must_use]
    pub fn chart(&self) -> &'static str {
        match (self.scenario, self.metric) {
            (ScenarioKind::FirstPacket, _) => match self.options.protocol() {
                Some(Protocol::Udp) => "first-packet-udp",
                _ => "first-packet-tcp",
            },
            (_, Metric::KernelMemory) => "kernel-memory",
            (scenario, _) => scenario.name(),
        }
    }
}

/// Whether a cell is programmed in the ordinary way of its mode.
pub(super) fn is_ordinary(key: &CellKey) -> bool {
    let is = |name: OptionKey, usual: bool| key.options.get(name).is_none() || usual;
    let transport = key.options.transport();
    is(
        OptionKey::Transport,
        transport.is_some_and(|own| own.row().ordinary),
    ) && is(
        OptionKey::Engine,
        key.options.engine() == Some(Engine::default()),
    )
}

/// The questions of a scope at its largest N, packets first, each with one row a mode.
#[must_use]
pub fn measures<'a>(summary: &'a Summary, scope: &'a Scope) -> Vec<Measure<'a>> {
    let services = scope.largest(summary);
    let weighing = scope.weighing(summary);
    let shown = scope.shown(summary);
    let mut found: BTreeMap<_, BTreeMap<Mode, &'a Row>> = BTreeMap::new();
    let rows = scope.rows(summary);
    for row in rows.filter(|row| row.key.services == services && is_ordinary(&row.key)) {
        let (scenario, own) = (row.key.scenario, &row.key.options);
        if !shown.holds(own) {
            continue;
        }
        for metric in scenario.asked_at(Place::Matrix).map(|ask| ask.metric) {
            // What an install holds is asked where nothing was weighed by itself.
            let in_passing = scenario.is_update() && metric == Metric::KernelMemory;
            let counts = match row.metric {
                Some(own) => own == metric,
                // A cell without numbers answers for all it was to measure; not every mode has a sync.
                None => metric != Metric::SyncTime,
            };
            if !counts || in_passing && scenario != weighing {
                continue;
            }
            let packets = scenario.row().topic != Topic::Packets;
            let place = (packets, scenario, metric, own.chunk(), own.told());
            // Of cells that differ in other options the first counts.
            let rows = found.entry(place).or_default();
            rows.entry(row.key.mode).or_insert(row);
        }
    }
    let measure = |((_, scenario, metric, _, options), rows)| Measure {
        scenario,
        metric,
        options,
        services,
        rows,
    };
    found.into_iter().map(measure).collect()
}

/// A mode's answer in the matrix.
#[derive(Debug, Clone)]
pub struct Answer<'a> {
    /// The row.
    pub row: &'a Row,
    /// Value ÷ the lowest value, with its interval (of an update, with what is released after it); `None` for the lowest itself and for floors.
    pub times: Option<Ratio>,
    /// How it stands; `None` without a number, without another number beside it, and for floors.
    pub standing: Option<Standing>,
    /// Latency ÷ that of each of [`Mode::FLOORS`].
    pub floors: [Option<Ratio>; 2],
}

/// A line of the matrix.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// The question.
    pub measure: Measure<'a>,
    /// Answers by mode; a mode without a planned cell is not there.
    pub answers: BTreeMap<Mode, Answer<'a>>,
}

/// The matrix of a scope: times that people wait for, and memory.
#[must_use]
pub fn matrix<'a>(run: &Run, summary: &'a Summary, scope: &'a Scope) -> Vec<Asked<'a>> {
    let largest = scope.largest(summary);
    let here = |key: &CellKey| key.services == largest && scope.holds(key);
    let cells = Cells::within(run, here);
    measures(summary, scope)
        .into_iter()
        .map(|measure| Asked {
            answers: answers(&cells, &measure),
            measure,
        })
        .collect()
}

fn answers<'a>(cells: &Cells<'_>, measure: &Measure<'a>) -> BTreeMap<Mode, Answer<'a>> {
    let all: Vec<&Row> = measure.rows.values().copied().collect();
    let lowest = measure.lowest();
    let numbers = all
        .iter()
        .filter(|row| !row.key.mode.is_floor() && row.median.is_some());
    let rivals = numbers.count() > 1;
    let answer = |row: &'a Row| {
        let serving = !row.key.mode.is_floor() && row.median.is_some();
        let times = lowest
            .filter(|lowest| serving && lowest.key.mode != row.key.mode)
            .and_then(|lowest| ratio(cells, &row.key, &lowest.key, measure.metric));
        let standing = lowest
            .filter(|_| serving)
            .and_then(|lowest| match is_lowest(row, &all) {
                true => Some(Standing::Lowest),
                false => rivals.then(|| standing(lowest, row)),
            });
        let floor = |floor: Mode| {
            let wanted = measure.metric == Metric::Latency && row.key.mode > floor;
            let base = floor_of(cells, &row.key, floor).filter(|_| wanted && row.median.is_some());
            ratio(cells, &row.key, base?, Metric::Latency)
        };
        Answer {
            row,
            times,
            standing,
            floors: Mode::FLOORS.map(floor),
        }
    };
    measure
        .rows
        .iter()
        .map(|(mode, row)| (*mode, answer(row)))
        .collect()
}
