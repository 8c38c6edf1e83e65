//! What a table or chart is about: one environment, one number of endpoints, one variant, and the questions
//! that its cells ask. Cells of different environments are never put side by side.

use std::borrow::Cow;
use std::cmp::Ordering::{self, Equal, Greater, Less};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use schema::summary::{Fit, FitUnit, Row, Summary};
use schema::{
    CONTROL, Cache, CellKey, Metric, Mode, ONE_TRANSACTION, OptionKey, Options, OutcomeKind, Place,
    Position, Role, ScenarioKind, Topic, Unit, filled,
};

use crate::gate::Gate;
use crate::quantity::{counted, interval, value, whole};
use crate::statistics::{Known, SEEDS};

/// One environment, one number of endpoints and one variant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// Name of the environment.
    pub environment: String,
    /// Endpoints of each service.
    pub endpoints: u32,
    /// Name of the variant; "" in a run without any.
    pub variant: String,
}

/// The scopes of a summary, the one with the most numbers first.
#[must_use]
pub fn scopes(summary: &Summary) -> Vec<Scope> {
    let mut measured: BTreeMap<Scope, usize> = BTreeMap::new();
    // The A/A control series is for the noise alone.
    let ordinary = |row: &&Row| row.key.variant != CONTROL;
    for row in summary.cells.iter().filter(ordinary) {
        let scope = Scope {
            environment: row.key.environment.clone(),
            endpoints: row.key.endpoints,
            variant: row.key.variant.clone(),
        };
        *measured.entry(scope).or_default() += usize::from(row.metric.is_some());
    }
    let mut scopes: Vec<_> = measured.into_iter().collect();
    scopes.sort_by_key(|(_, measured)| std::cmp::Reverse(*measured));
    scopes.into_iter().map(|(scope, _)| scope).collect()
}

impl Scope {
    /// Whether a cell belongs here.
    #[must_use]
    pub fn holds(&self, key: &CellKey) -> bool {
        key.environment == self.environment
            && key.endpoints == self.endpoints
            && key.variant == self.variant
    }

    /// The ordinary rows that belong here: not the A/A control series.
    pub fn rows<'a>(&'a self, summary: &'a Summary) -> impl Iterator<Item = &'a Row> {
        summary.cells.iter().filter(|row| self.holds(&row.key))
    }

    /// The largest N that was planned.
    #[must_use]
    pub fn largest(&self, summary: &Summary) -> u32 {
        self.rows(summary)
            .map(|row| row.key.services)
            .max()
            .unwrap_or(0)
    }

    /// The smallest N that was planned.
    #[must_use]
    pub fn smallest(&self, summary: &Summary) -> u32 {
        self.rows(summary)
            .map(|row| row.key.services)
            .min()
            .unwrap_or(0)
    }

    /// Where this is, as a phrase, when there is more than one scope.
    #[must_use]
    pub fn describe(&self) -> String {
        let place = format!(
            "{}, {} endpoints a service",
            self.environment,
            whole(self.endpoints.into())
        );
        match self.variant.as_str() {
            "" => place,
            name => format!("{place}, variant {name}"),
        }
    }

    /// Modes with cells here, in the fixed order.
    #[must_use]
    pub fn modes(&self, summary: &Summary) -> Vec<Mode> {
        let seen: BTreeSet<Mode> = self.rows(summary).map(|row| row.key.mode).collect();
        seen.into_iter().collect()
    }

    /// The position by which first packets are ranked and drawn: the most telling that was asked.
    #[must_use]
    pub fn position(&self, summary: &Summary) -> Option<Position> {
        let asked = self.rows(summary);
        asked.filter_map(|row| row.key.options.position()).max()
    }

    /// Which first packets headlines and charts show: to [`Scope::position`], caches warm unless nothing else was
    /// measured.
    #[must_use]
    pub fn shown(&self, summary: &Summary) -> Shown {
        let caches = self.rows(summary).filter_map(|row| row.key.options.cache());
        Shown {
            position: self.position(summary),
            cache: caches.min().unwrap_or(Cache::Cold),
        }
    }

    /// The scenario whose cells say most of kernel memory here: `memory`, with its pairs of installs and
    /// removals, else the readings around a `cold-install`.
    #[must_use]
    pub(crate) fn weighing(&self, summary: &Summary) -> ScenarioKind {
        let measured = |row: &Row| {
            row.key.scenario == ScenarioKind::Memory && row.metric == Some(Metric::KernelMemory)
        };
        if self.rows(summary).any(measured) {
            ScenarioKind::Memory
        } else {
            ScenarioKind::ColdInstall
        }
    }

    /// Whether the kernel memory of a mode with these options is the one to show: after an install in
    /// chunks where the mode was installed in both ways. What is held then is the same, and chunks leave
    /// more samples.
    #[must_use]
    pub(crate) fn shows_memory(&self, summary: &Summary, mode: Mode, options: &Options) -> bool {
        let without = |options: &Options| options.without(&[OptionKey::Chunk]);
        let in_chunks = |row: &Row| {
            row.key.mode == mode
                && row.metric == Some(Metric::KernelMemory)
                && row.key.options.chunk().is_some()
                && without(&row.key.options) == without(options)
        };
        let whole = options.is(OptionKey::Chunk, ONE_TRANSACTION);
        !whole || !self.rows(summary).any(in_chunks)
    }

    /// The questions asked here, in table order.
    #[must_use]
    pub fn questions(&self, summary: &Summary) -> Vec<Question> {
        let varying = varying(self.rows(summary));
        let mut questions: BTreeSet<Question> = BTreeSet::new();
        for row in self.rows(summary) {
            let scenario = row.key.scenario;
            // What an install holds is asked in passing, at some sizes.
            let in_passing = scenario.row().topic == Topic::Updates;
            for ask in scenario.asked_at(Place::Table) {
                if in_passing && row.metric != Some(ask.metric) {
                    continue;
                }
                questions.insert(Question {
                    scenario,
                    metric: ask.metric,
                    options: asking(&row.key, &varying),
                });
            }
        }
        let mut questions: Vec<_> = questions.into_iter().collect();
        questions.sort_by_cached_key(|q| (q.scenario, q.metric, q.options.place()));
        questions
    }
}

/// Which first packets are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    position: Option<Position>,
    cache: Cache,
}

impl Shown {
    /// " with cold caches": what is not as usual of them, for the end of a title.
    #[must_use]
    pub(crate) fn caches(&self) -> &'static str {
        match self.cache {
            Cache::Cold => " with cold caches",
            Cache::Warm => "",
        }
    }

    /// Whether a cell with these options is; true of all that are no first packets.
    #[must_use]
    pub fn holds(&self, options: &Options) -> bool {
        let is = |key: OptionKey, wanted: Option<&'static str>| {
            let own = options.get(key);
            own.is_none() || own == wanted
        };
        is(OptionKey::Position, self.position.map(Position::name))
            && is(OptionKey::Cache, Some(self.cache.name()))
    }
}

/// Options that take more than one value in a scenario, with the scenario: the only ones worth naming.
pub(crate) fn varying<'a>(
    rows: impl Iterator<Item = &'a Row>,
) -> BTreeSet<(ScenarioKind, OptionKey)> {
    let mut values: BTreeMap<(ScenarioKind, OptionKey), BTreeSet<&str>> = BTreeMap::new();
    for row in rows {
        for (key, value) in row.key.options.iter() {
            let seen = values.entry((row.key.scenario, key)).or_default();
            seen.insert(value);
        }
    }
    let several = values.into_iter().filter(|(_, seen)| seen.len() > 1);
    several.map(|(place, _)| place).collect()
}

/// The options by which a cell asks another question than others: those that always do, and of the others those that
/// differ. Never those that say how its mode is programmed.
pub(crate) fn asking(key: &CellKey, varying: &BTreeSet<(ScenarioKind, OptionKey)>) -> Options {
    key.options.only(|option| match option.role() {
        Role::Way => false,
        Role::Asks => true,
        Role::Cuts | Role::Around => {
            varying.contains(&(key.scenario, option)) || key.options.is_unusual(option)
        }
    })
}

/// How a cell's mode is programmed, as words: "netlink, nft engine". Empty for cells that say nothing
/// of it.
#[must_use]
pub fn way(options: &Options) -> String {
    let keys = [OptionKey::Transport, OptionKey::Engine].into_iter();
    let words: Vec<String> = keys.filter_map(|key| options.words_of(key)).collect();
    words.join(", ")
}

/// The same after an answer: "through netlink, legacy engine", "with the legacy engine".
#[must_use]
pub(crate) fn through(options: &Options) -> Option<String> {
    let way = way(options);
    let programmed = options.get(OptionKey::Transport).is_some();
    (!way.is_empty()).then(|| match programmed {
        true => format!("through {way}"),
        false => format!("with the {way}"),
    })
}

/// One line of the headline table: the same thing asked of every mode.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// Scenario.
    pub scenario: ScenarioKind,
    /// Metric.
    pub metric: Metric,
    /// The options that matter, without transport and engine.
    pub options: Options,
}

impl Question {
    /// Whether a cell answers it.
    #[must_use]
    pub fn asks(&self, key: &CellKey) -> bool {
        let same = |(option, value): (OptionKey, &str)| key.options.is(option, value);
        key.scenario == self.scenario && self.options.iter().all(same)
    }

    /// The question as a phrase, at a size.
    #[must_use]
    pub fn text(&self, services: u32) -> String {
        let ask = self.scenario.ask(self.metric);
        let words = ask.map_or(self.scenario.row().words, |ask| ask.text);
        filled(words, &whole(services.into()), &self.options)
    }
}

/// What stands in a table where there is no number. Why something is unsupported is long and the same for
/// a whole mode: it stands once, in the list of cells without numbers.
#[must_use]
pub(crate) fn instead(row: &Row) -> &str {
    let outcome = row.outcome.name();
    match row.outcome {
        OutcomeKind::Unsupported => outcome,
        _ => row.reason.as_deref().unwrap_or(outcome),
    }
}

/// Rows without numbers; what is unsupported in a mode for one reason is together, in the place of the first:
/// one line says it for all.
#[must_use]
pub(crate) fn by_reason<'a>(rows: &[&'a Row]) -> Vec<Vec<&'a Row>> {
    let why = |row: &'a Row| {
        let key = &row.key;
        (key.mode, &key.variant, &key.environment, &row.reason)
    };
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for &row in rows {
        let shared = row.outcome == OutcomeKind::Unsupported;
        match groups
            .iter_mut()
            .find(|group| shared && why(group[0]) == why(row))
        {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

/// Lower bound of a row without numbers that timed out, nanoseconds of update time. `None` where the
/// scenario does not measure that: a bound of a batch says nothing of the latency of a packet.
///
/// A row of a metric has one where half of its stays timed out.
#[must_use]
pub fn lower_bound(row: &Row) -> Option<f64> {
    let bounded = row.outcome == OutcomeKind::TimedOut && row.key.scenario.is_update();
    row.lower_bound_ns
        .filter(|_| bounded)
        .map(|bound| bound as f64)
}

/// Whether a row is lower than those of every other mode that serves services, and told apart from them ([`order`]);
/// of times of updates, what timed out must have done so above its interval.
#[must_use]
pub fn is_lowest(row: &Row, answers: &[&Row]) -> bool {
    let ranked = !row.key.mode.is_floor() && row.metric.is_none_or(|metric| metric.row().ranked);
    let mut others = answers
        .iter()
        .filter(|other| other.key.mode != row.key.mode && !other.key.mode.is_floor())
        .filter(|other| {
            other.metric.is_some() || lower_bound(other).is_some_and(|_| is_bounded(row))
        })
        .peekable();
    ranked && others.peek().is_some() && others.all(|other| order(row, other) == Some(Less))
}

/// Whether a time limit bounds the metric of a row.
fn is_bounded(row: &Row) -> bool {
    row.metric.is_some_and(|metric| metric.row().bounded)
}

/// What decides every word of a verdict: how two rows are told apart, `Less` when the first is the lower one.
///
/// Timed: both have an interval, and these do not overlap (then the interval of their ratio leaves 1 out as well);
/// of a cell that has no numbers because it timed out, its bound lies above the other's interval. Counted: at least
/// [`SEEDS`] seeds of both, which all agree, and a difference in their middle beyond what a placebo makes.
///
/// Of updates it is their whole ([`Row::whole`]) that is told apart.
#[must_use]
pub fn order(a: &Row, b: &Row) -> Option<Ordering> {
    if a.whole.is_some() || b.whole.is_some() {
        return order(&as_ranked(a), &as_ranked(b));
    }
    if let Some(found) = by_bound(a, b) {
        return Some(found);
    }
    if a.metric.is_none() || a.unit != b.unit {
        return None;
    }
    if a.unit == Some(Unit::Instructions) {
        return by_seed(a, b);
    }
    let ([low_a, high_a], [low_b, high_b]) = (a.ci95?, b.ci95?);
    if high_a < low_b {
        Some(Less)
    } else if high_b < low_a {
        Some(Greater)
    } else {
        None
    }
}

/// A row as it is ranked: of an update with what it releases after its answer.
#[must_use]
pub fn as_ranked(row: &Row) -> Cow<'_, Row> {
    row.whole.as_ref().map_or(Cow::Borrowed(row), |whole| {
        Cow::Owned(Row {
            median: whole.median,
            ci95: whole.ci95,
            range: whole.range,
            by_seed: whole.by_seed.clone(),
            whole: None,
            ..row.clone()
        })
    })
}

/// The value that a row is ranked by.
#[must_use]
pub fn ranked(row: &Row) -> Option<f64> {
    match &row.whole {
        Some(whole) => whole.median,
        None => row.median,
    }
}

/// Whether two rows are told apart: [`order`].
#[must_use]
pub fn are_apart(a: &Row, b: &Row) -> bool {
    order(a, b).is_some()
}

fn by_bound(a: &Row, b: &Row) -> Option<Ordering> {
    let above = |bounded: &Row, other: &Row| {
        let bound = lower_bound(bounded).filter(|_| bounded.metric.is_none() && is_bounded(other));
        let top = known(other).and_then(|known| known.bounds());
        bound.zip(top).is_some_and(|(bound, [_, top])| bound > top)
    };
    match (above(b, a), above(a, b)) {
        (true, _) => Some(Less),
        (_, true) => Some(Greater),
        _ => None,
    }
}

/// What makes a difference of counted figures one: measured with placebos, as the gate's.
static PLACEBO: LazyLock<Gate> = LazyLock::new(|| Gate::shipped().counted());

fn by_seed(a: &Row, b: &Row) -> Option<Ordering> {
    let mut pairs = a
        .by_seed
        .iter()
        .filter_map(|(seed, x)| Some((*x, *b.by_seed.get(seed)?)));
    let (mut shares, mut amounts) = (Vec::new(), Vec::new());
    let first = pairs.clone().next().map(|(x, y)| x.total_cmp(&y))?;
    let agreed = pairs.all(|(x, y)| {
        shares.push(y / x - 1.0);
        amounts.push(y - x);
        x.total_cmp(&y) == first
    });
    let metric = if a.metric == Some(Metric::Latency) {
        Metric::Latency
    } else {
        Metric::UpdateTime
    };
    let thresholds = PLACEBO.thresholds.get(&metric)?;
    let beyond = |values: &[f64], most: f64| {
        Known::of_seeds(values).is_some_and(|middle| middle.value.abs() > most)
    };
    let told = agreed
        && shares.len() >= SEEDS
        && beyond(&shares, thresholds.relative)
        && beyond(&amounts, thresholds.absolute);
    told.then_some(first).filter(|order| *order != Equal)
}

/// What is known of a row's value; of one that timed out in half of its stays that is infinite. `None` without
/// numbers.
#[must_use]
pub fn known(row: &Row) -> Option<Known> {
    let counted = row.unit == Some(Unit::Instructions);
    row.metric?;
    Some(Known {
        value: row.median.unwrap_or(f64::INFINITY),
        ci95: row.ci95,
        range: row.range,
        of: match counted {
            true => row.by_seed.len(),
            false => (row.stays + row.censored) as usize,
        },
        counted,
    })
}

/// Whether a row can be told apart from another at all: it has an interval, of counted runs enough seeds.
#[must_use]
pub(crate) fn has_bounds(row: &Row) -> bool {
    known(row).is_some_and(|known| known.bounds().is_some())
}

/// What is known of a row's value, as words: "28.5–29.9 µs", "range of 3 stays 28.5–29.9 µs", "one stay".
#[must_use]
pub fn spread(row: &Row) -> String {
    let (Some(known), Some(unit)) = (known(row), row.unit) else {
        return "no interval".to_owned();
    };
    let unit_of = |ends: [f64; 2]| match row.lower_bound_ns {
        Some(bound) if ends[1].is_infinite() => {
            format!(
                "{} to more than {}",
                value(ends[0], unit),
                value(bound as f64, unit)
            )
        }
        _ => interval(ends, unit),
    };
    let noun = if known.counted { "seed" } else { "stay" };
    spread_of(&known, noun, unit_of)
}

/// The same of any value, from units called `noun`.
#[must_use]
pub(crate) fn spread_of(known: &Known, noun: &str, ends: impl Fn([f64; 2]) -> String) -> String {
    match (known.ci95, known.range) {
        (Some(ci95), _) => ends(ci95),
        (None, Some(range)) => format!(
            "range of {} {}",
            counted(known.of as u64, noun),
            ends(range)
        ),
        (None, None) => format!("one {noun}"),
    }
}

/// What is known of a fit's estimate.
pub(crate) fn known_of_fit(fit: &Fit) -> Known {
    Known {
        value: fit.estimate,
        ci95: fit.ci95,
        range: fit.range,
        of: fit.blocks as usize,
        counted: fit.unit == FitUnit::Instructions,
    }
}

/// The same, as words.
pub(crate) fn spread_of_fit(fit: &Fit, ends: impl Fn([f64; 2]) -> String) -> String {
    spread_of(&known_of_fit(fit), "block", ends)
}

/// What is drawn of a row beside its value: the interval, else the range of its stays, an open end where it is known
/// to reach.
#[must_use]
pub(crate) fn bar(row: &Row) -> Option<[f64; 2]> {
    let [low, high] = row.ci95.or(row.range)?;
    let open = row.lower_bound_ns.map(|bound| bound as f64).or(row.median);
    Some([
        low,
        if high.is_finite() {
            high
        } else {
            open?.max(low)
        },
    ])
    .filter(|[low, _]| low.is_finite())
}

/// "1 of 8 stays disturbed": what marks a row's numbers. `None` when nothing does.
#[must_use]
pub fn marks(row: &Row) -> Option<String> {
    let of = |count: u32, what: &str| {
        (count > 0).then(|| format!("{count} of {} {what}", counted(row.stays.into(), "stay")))
    };
    let marks: Vec<String> = [
        of(row.disturbed, "disturbed"),
        of(row.unsettled, "begun while memory was still being freed"),
        (row.censored > 0).then(|| format!("{} more timed out", row.censored)),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!marks.is_empty()).then(|| marks.join(", "))
}

/// Why stays of a measured row have no number, unless they were just not run: that takes nothing away
/// from the others.
#[must_use]
pub fn mishap(row: &Row) -> Option<&str> {
    let mut without = row.without.keys();
    let happened = without.any(|outcome| *outcome != OutcomeKind::NotRun);
    row.reason.as_deref().filter(|_| happened)
}

/// Names of series that are drawn or listed together: the mode, and of the options only those in which
/// series of the same mode differ.
#[must_use]
pub fn series_names(series: &[(Mode, &Options)]) -> Vec<String> {
    series
        .iter()
        .map(|(mode, options)| {
            let differs = |key: OptionKey, value: &str| {
                let mut mine = series.iter().filter(|(other, _)| other == mode);
                mine.any(|(_, own)| !own.is(key, value))
            };
            let named = options.iter().filter(|(key, value)| differs(*key, value));
            let words: Vec<String> = named.map(|(key, value)| key.words(value)).collect();
            if words.is_empty() {
                mode.to_string()
            } else {
                format!("{mode} ({})", words.join(", "))
            }
        })
        .collect()
}
