//! Mode × question at the largest N: one row a mode through its ordinary way, with ratios to the lowest and
//! to the floors.

use std::collections::BTreeMap;

use schema::summary::{Row, Summary};
use schema::{CellKey, Engine, Metric, Mode, OptionKey, Place, Protocol, ScenarioKind, Topic};

use super::cells::Cells;
use super::ratios::{Ratio, over_floors, ratio};
use crate::load::Run;
use crate::view::{Question, Scope, Standing, is_lowest, ranked, standing};

/// A mode's answer.
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

/// A line of the matrix: one question at the largest N.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// The question.
    pub question: Question,
    /// N.
    pub services: u32,
    /// Answers by mode; a mode without a planned cell is not there.
    pub answers: BTreeMap<Mode, Answer<'a>>,
}

impl Asked<'_> {
    /// The question as words.
    #[must_use]
    pub fn text(&self) -> String {
        self.question.text(self.services)
    }

    /// Name of the chart that shows it against N.
    #[must_use]
    pub fn chart(&self) -> &'static str {
        match (self.question.scenario, self.question.metric) {
            (ScenarioKind::FirstPacket, _) => match self.question.options.protocol() {
                Some(Protocol::Udp) => "first-packet-udp",
                _ => "first-packet-tcp",
            },
            (_, Metric::KernelMemory) => "kernel-memory",
            (scenario, _) => scenario.name(),
        }
    }
}

/// The row of the lowest value (of an update, of its whole) among the modes that serve services.
fn lowest<'a>(rows: impl Iterator<Item = &'a Row>) -> Option<&'a Row> {
    let measured = rows.filter(|row| !row.key.mode.is_floor() && row.median.is_some());
    let by = |row: &Row| ranked(row).unwrap_or(f64::INFINITY);
    measured.min_by(|a, b| by(a).total_cmp(&by(b)))
}

/// Whether a cell is programmed in the ordinary way of its mode.
pub(crate) fn is_ordinary(key: &CellKey) -> bool {
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

/// The matrix of a scope: the questions of times that people wait for, and of memory, packets first.
#[must_use]
pub fn matrix<'a>(run: &Run, summary: &'a Summary, scope: &'a Scope) -> Vec<Asked<'a>> {
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
        for ask in scenario.asked_at(Place::Matrix) {
            let metric = ask.metric;
            // What an install holds is asked where nothing was weighed by itself.
            let in_passing = scenario.is_update() && metric == Metric::KernelMemory;
            let counts = match row.metric {
                Some(own) => own == metric,
                // A cell without numbers answers for all it was to measure; not every mode has a sync, and not every packet is handed over.
                None => !matches!(metric, Metric::SyncTime | Metric::PathTime) && (ask.of)(own),
            };
            if !counts || in_passing && scenario != weighing {
                continue;
            }
            let packets = scenario.row().topic != Topic::Packets;
            let place = (packets, scenario, metric, own.chunk(), own.told());
            // Of several kube-proxies the newest counts, of cells that differ in other options the first.
            let there = found.entry(place).or_default().entry(row.key.mode);
            let version = |row: &Row| row.key.options.get(OptionKey::KubeProxy).map(str::to_owned);
            let there = there.or_insert(row);
            if version(row) > version(there) {
                *there = row;
            }
        }
    }
    let here = |key: &CellKey| key.services == services && scope.holds(key);
    let cells = Cells::within(run, here);
    let asked = |((_, scenario, metric, _, options), rows)| Asked {
        answers: answers(&cells, metric, rows),
        services,
        question: Question {
            scenario,
            metric,
            options,
        },
    };
    found.into_iter().map(asked).collect()
}

fn answers<'a>(
    cells: &Cells<'_>,
    metric: Metric,
    rows: BTreeMap<Mode, &'a Row>,
) -> BTreeMap<Mode, Answer<'a>> {
    let all: Vec<&Row> = rows.values().copied().collect();
    let lowest = lowest(all.iter().copied());
    let serves = |row: &&Row| !row.key.mode.is_floor() && row.median.is_some();
    let rivals = all.iter().copied().filter(serves).count() > 1;
    let answer = |row: &'a Row| {
        let lowest = lowest.filter(|_| serves(&row));
        let above = lowest.filter(|lowest| lowest.key.mode != row.key.mode);
        Answer {
            row,
            times: above.and_then(|lowest| ratio(cells, &row.key, &lowest.key, metric)),
            standing: lowest.and_then(|lowest| match is_lowest(row, &all) {
                true => Some(Standing::Lowest),
                false => rivals.then(|| standing(lowest, row)),
            }),
            floors: match (metric, row.median) {
                (Metric::Latency, Some(_)) => over_floors(cells, &row.key),
                _ => [None, None],
            },
        }
    };
    let answered = rows.into_iter().map(|(mode, row)| (mode, answer(row)));
    answered.collect()
}
