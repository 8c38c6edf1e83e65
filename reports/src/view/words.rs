//! Rows and what is asked of them as words, the same wherever they stand.

use schema::summary::{Fit, Row};
use schema::{Metric, Mode, OptionKey, Options, OutcomeKind, Unit};

use super::grouped;
use super::order::{as_ranked, known, known_of_fit, lower_bound};
use crate::quantity::{counted, digits, interval, span, value, whole};
use crate::statistics::Known;

/// How a cell's mode is programmed, as words: "netlink, nft engine". Empty for cells that say nothing
/// of it.
#[must_use]
pub(crate) fn way(options: &Options) -> String {
    words_of(
        options,
        &[
            OptionKey::KubeProxy,
            OptionKey::Transport,
            OptionKey::Suite,
            OptionKey::MinSyncPeriod,
            OptionKey::Engine,
        ],
    )
}

fn words_of(options: &Options, keys: &[OptionKey]) -> String {
    let words = keys.iter().filter_map(|key| options.words_of(*key));
    words.collect::<Vec<_>>().join(", ")
}

/// The same after an answer: "through netlink, legacy engine", "with the legacy engine", "through netlink (kube-proxy 1.36)".
#[must_use]
pub(crate) fn through(options: &Options) -> Option<String> {
    let how = [
        OptionKey::Transport,
        OptionKey::Suite,
        OptionKey::MinSyncPeriod,
        OptionKey::Engine,
    ];
    let way = words_of(options, &how);
    let programmed = options.get(OptionKey::Transport).is_some();
    let way = match programmed {
        _ if way.is_empty() => String::new(),
        true => format!("through {way}"),
        false => format!("with the {way}"),
    };
    let layout = options.words_of(OptionKey::KubeProxy);
    match (way.as_str(), layout) {
        ("", None) => None,
        (_, None) => Some(way),
        ("", Some(layout)) => Some(format!("({layout})")),
        (_, Some(layout)) => Some(format!("{way} ({layout})")),
    }
}

/// Why a row has no number, with what would help.
#[must_use]
pub(crate) fn why(row: &Row) -> String {
    let reason = row.reason.as_deref().unwrap_or(row.outcome.name());
    match &row.remedy {
        Some(remedy) => format!("{reason}: {remedy}"),
        None => reason.to_owned(),
    }
}

/// Rows without numbers; what is unsupported in a mode for one reason is together, in the place of the first:
/// one line says it for all.
#[must_use]
pub(crate) fn by_reason<'a>(rows: &[&'a Row]) -> Vec<Vec<&'a Row>> {
    let by = |row: &'a Row| {
        let key = &row.key;
        let why = (
            key.mode,
            key.options.node(),
            &key.variant,
            &key.environment,
            &row.reason,
        );
        match row.outcome {
            OutcomeKind::Unsupported => (Some(why), None),
            _ => (None, Some(key)),
        }
    };
    let groups = grouped(rows.iter().map(|row| (by(row), *row)));
    groups.into_iter().map(|(_, group)| group).collect()
}

/// What is known of a row's value, as words: "28.5–29.9 µs", "range of 3 stays 28.5–29.9 µs", "one stay".
#[must_use]
pub(crate) fn spread(row: &Row) -> String {
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
    spread_of(&known, noun_of(&known), unit_of)
}

/// Of what values are known: "stay", of executed instructions "seed".
pub(crate) const fn noun_of(known: &Known) -> &'static str {
    if known.counted { "seed" } else { "stay" }
}

/// How a value is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scale {
    /// With its unit.
    Of(Unit),
    /// As hundredths.
    Percent,
    /// As it is.
    Plain,
}

impl Scale {
    fn value(self, known: f64) -> String {
        match self {
            Self::Of(unit) => value(known, unit),
            Self::Percent => format!("{} %", digits(100.0 * known)),
            Self::Plain => digits(known),
        }
    }

    /// What is known of a value, from units called `noun`.
    pub(crate) fn spread(self, known: &Known, noun: &str) -> String {
        spread_of(known, noun, |ends| match self {
            Self::Of(unit) => interval(ends, unit),
            Self::Percent => format!("{} %", span(ends.map(|end| 100.0 * end))),
            Self::Plain => span(ends),
        })
    }
}

/// "80.4 B (79.9–80.8 B; 100–10,000 services)": a value with what is known of it, and more that is to be said.
pub(crate) fn told(known: &Known, noun: &str, scale: Scale, more: &str) -> String {
    let (value, spread) = (scale.value(known.value), scale.spread(known, noun));
    format!("{value} ({spread}{more})")
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

/// The same, as words.
pub(crate) fn spread_of_fit(fit: &Fit, ends: impl Fn([f64; 2]) -> String) -> String {
    spread_of(&known_of_fit(fit), "block", ends)
}

/// "1 of 8 stays disturbed": what marks a row's numbers. `None` when nothing does.
#[must_use]
pub(crate) fn marks(row: &Row) -> Option<String> {
    let stays = counted(row.stays.into(), "stay");
    let of = |count: u32, what: &str| (count > 0).then(|| format!("{count} of {stays} {what}"));
    let marks = [
        of(row.disturbed, "disturbed"),
        of(row.unsettled, "begun while memory was still being freed"),
        (row.censored > 0).then(|| format!("{} more timed out", row.censored)),
    ];
    let marks: Vec<String> = marks.into_iter().flatten().collect();
    (!marks.is_empty()).then(|| marks.join(", "))
}

/// Why stays of a measured row have no number, unless they were just not run: that takes nothing away
/// from the others.
#[must_use]
pub(crate) fn mishap(row: &Row) -> Option<&str> {
    let mut without = row.without.keys();
    let happened = without.any(|outcome| *outcome != OutcomeKind::NotRun);
    row.reason.as_deref().filter(|_| happened)
}

/// Names of series that are drawn or listed together: the mode, the kube-proxy whose rules they are, and of the other
/// options only those in which series of the same mode differ.
#[must_use]
pub(crate) fn series_names(series: &[(Mode, &Options)]) -> Vec<String> {
    let name = |(mode, options): &(Mode, &Options)| {
        let differs = |key: OptionKey, value: &str| {
            let mut mine = series.iter().filter(|(other, _)| other == mode);
            mine.any(|(_, own)| !own.is(key, value))
        };
        let named = options
            .iter()
            .filter(|(key, value)| *key == OptionKey::KubeProxy || differs(*key, value));
        let words: Vec<String> = named.map(|(key, value)| key.words(value)).collect();
        after(*mode, &words.join(", "))
    };
    series.iter().map(name).collect()
}

/// A mode, and what tells it from others of its kind: "nftables (netlink)".
fn after(mode: Mode, words: &str) -> String {
    match words {
        "" => mode.to_string(),
        words => format!("{mode} ({words})"),
    }
}

/// The mode, and how it is programmed where the cell says so: "nftables (netlink)".
#[must_use]
pub(crate) fn programmed(mode: Mode, options: &Options) -> String {
    after(mode, &way(options))
}

/// Why a row has no value of a metric: a time limit of an update as the bound that it is, else outcome and reason. Why
/// something is unsupported is long and the same for a whole mode: it stands once, in the list of cells without numbers.
#[must_use]
pub fn missing(row: &Row, metric: Metric) -> String {
    let bound = lower_bound(row).filter(|_| metric == Metric::UpdateTime);
    let outcome = row.outcome.name();
    match (bound, row.outcome) {
        (Some(bound), _) => format!("timed out: longer than {}", value(bound, Unit::Nanoseconds)),
        (None, OutcomeKind::Unsupported) => outcome.to_owned(),
        (None, _) => row.reason.as_deref().unwrap_or(outcome).to_owned(),
    }
}

/// "28.5–29.9 µs, n = 3,300 in 11 stays".
pub(crate) fn behind(row: &Row) -> String {
    let ends = |name: &str| row.quantiles.get(name);
    let interval = match row.stays > 1 && ends("min").is_some() && ends("min") == ends("max") {
        true => "the same in every sample".to_owned(),
        false => spread(row),
    };
    let stays = counted(row.stays.into(), "stay");
    let marks = marks(row).map_or_else(String::new, |marks| format!("; {marks}"));
    format!("{interval}, n = {} in {stays}{marks}", whole(row.n))
}

/// "26.0 ms": an update with its release, by which it is ranked, where that is another number.
pub(crate) fn together(row: &Row) -> Option<String> {
    let shown = |median: Option<f64>| Some(value(median?, row.unit?));
    let whole = shown(as_ranked(row).median)?;
    (shown(row.median).as_ref() != Some(&whole)).then_some(whole)
}
