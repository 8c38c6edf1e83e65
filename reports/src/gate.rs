//! `gate.toml`: when a change counts, and which cells may be missing. Every threshold has a reason; what is not
//! understood is refused, because a gate that is read wrongly passes what it should hold back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use schema::comparison::Thresholds;
use schema::{CellKey, Metric, Mode, OptionKey, Options, ScenarioKind, Unit};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

/// The gate that ships with the program.
pub const DEFAULT_GATE: &str = include_str!("../gate/default.toml");
/// What the default gate is called.
pub const DEFAULT_NAME: &str = "default";

/// Thresholds by metric, and what may be missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// "default" or the file.
    pub name: String,
    /// Metrics that are not here are not compared.
    pub thresholds: BTreeMap<Metric, Thresholds>,
    /// Those of a metric in one scenario, in place of the former.
    pub of_scenarios: ByScenario,
    /// Thresholds where times are executed instructions; a metric that is not here has its ordinary ones.
    pub counted: BTreeMap<Metric, Thresholds>,
    /// Cells that NEW may lack.
    pub allowed: Vec<Allowed>,
}

/// Thresholds by scenario and metric.
pub type ByScenario = BTreeMap<ScenarioKind, BTreeMap<Metric, Thresholds>>;

/// Cells that NEW may lack: those that are equal in every field that is given.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Allowed {
    mode: Option<Mode>,
    scenario: Option<ScenarioKind>,
    services: Option<u32>,
    endpoints: Option<u32>,
    metric: Option<Metric>,
    /// Why.
    pub reason: String,
    // Whatever else is named is an option, or refused as none.
    #[serde(flatten, deserialize_with = "options")]
    options: Options,
}

/// Why a gate cannot be used. One line: the file, the key, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// It cannot be read.
    #[error("--gate {path}: {source}; name a gate.toml, or leave --gate out for the default")]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is not TOML, or says something that is not understood.
    #[error("--gate {path}: {why}")]
    Refused {
        /// Which file.
        path: PathBuf,
        /// Key and remedy.
        why: String,
    },
}

impl Gate {
    /// The gate that ships with the program.
    ///
    /// # Panics
    /// Never: a test reads it.
    #[must_use]
    pub fn shipped() -> Self {
        parse(DEFAULT_GATE, DEFAULT_NAME).expect("the default gate is tested")
    }

    /// Reads a gate's file.
    ///
    /// # Errors
    /// [`GateError`], one line.
    pub fn load(path: &Path) -> Result<Self, GateError> {
        let text = std::fs::read_to_string(path).map_err(|source| GateError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        parse(&text, &path.display().to_string()).map_err(|why| GateError::Refused {
            path: path.to_path_buf(),
            why,
        })
    }

    /// This gate where times are executed instructions. There nothing but the seed moves them, so that far less counts.
    #[must_use]
    pub fn counted(&self) -> Self {
        let mut gate = self.clone();
        let counted = |metric: &Metric| self.counted.contains_key(metric);
        for thresholds in gate.of_scenarios.values_mut() {
            thresholds.retain(|metric, _| !counted(metric));
        }
        gate.thresholds.extend(self.counted.clone());
        gate
    }

    /// When a change of a metric counts in a scenario; `None`: it is not compared.
    #[must_use]
    pub fn of(&self, metric: Metric, scenario: ScenarioKind) -> Option<&Thresholds> {
        within(&self.thresholds, &self.of_scenarios, metric, scenario)
    }

    /// Why the gate allows a cell (or one metric of it) to be missing.
    #[must_use]
    pub fn allows(&self, key: &CellKey, metric: Option<Metric>) -> Option<&str> {
        let rule = self.allowed.iter().find(|rule| rule.covers(key, metric));
        rule.map(|rule| rule.reason.as_str())
    }
}

impl Allowed {
    fn covers(&self, key: &CellKey, metric: Option<Metric>) -> bool {
        fn is<T: PartialEq>(wanted: Option<T>, own: T) -> bool {
            wanted.is_none_or(|wanted| wanted == own)
        }
        let mut options = self.options.iter();
        is(self.mode, key.mode)
            && is(self.scenario, key.scenario)
            && is(self.services, key.services)
            && is(self.endpoints, key.endpoints)
            && is(self.metric.map(Some), metric)
            && options.all(|(name, value)| key.options.is(name, value))
    }
}

/// The thresholds of a metric in a scenario, of those of all scenarios and those of single ones.
#[must_use]
pub fn within<'a>(
    of_all: &'a BTreeMap<Metric, Thresholds>,
    of_scenarios: &'a ByScenario,
    metric: Metric,
    scenario: ScenarioKind,
) -> Option<&'a Thresholds> {
    let own = of_scenarios.get(&scenario).and_then(|own| own.get(&metric));
    own.or_else(|| of_all.get(&metric))
}

/// A gate's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    #[serde(default)]
    metrics: Table,
    exact: Option<Value>,
    #[serde(default)]
    scenario: BTreeMap<String, Table>,
    #[serde(default)]
    deterministic: Table,
    #[serde(default)]
    allow_missing: Vec<Value>,
}

/// The table of a metric. Where nothing is left to chance but the seeds, which must all agree, there is no p.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    relative: f64,
    absolute: Word,
    p: Option<f64>,
    reason: String,
}

/// A word or a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Number(f64),
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

fn options<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Options, D::Error> {
    let named = BTreeMap::<OptionKey, Word>::deserialize(deserializer)?;
    Ok(named.into_iter().collect())
}

/// What the reader may do about it.
const AS_PRINTED: &str = "write it as `bench-runner list gate` does";

/// A gate's text, or what is wrong with it.
fn parse(text: &str, name: &str) -> Result<Gate, String> {
    let written: Written = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text[..at].lines().count().max(1);
        format!("line {line}: {}; {AS_PRINTED}", said(&error))
    })?;
    if written.metrics.is_empty() {
        return Err(
            "there is no [metrics.NAME] table, so that nothing would be compared; add one, as `bench-runner list gate` prints them"
                .to_owned(),
        );
    }
    let allowed = written.allow_missing.into_iter().enumerate();
    let mut limits = all_thresholds("metrics", written.metrics, true)?;
    if let Some(exact) = written.exact {
        let exact = thresholds("exact", Unit::Count, true, exact)?;
        for metric in Metric::ALL
            .iter()
            .filter(|metric| metric.row().exact && metric.unit() == Unit::Count)
        {
            limits.entry(*metric).or_insert_with(|| exact.clone());
        }
    }
    let scenarios = written.scenario.into_iter();
    let of_scenarios = scenarios.map(|(name, metrics)| {
        let at = format!("scenario.{name}");
        let kind = name.parse().map_err(|error| format!("{at}: {error}"))?;
        let own = all_thresholds(&at, metrics, true)?;
        match own.keys().find(|metric| !limits.contains_key(metric)) {
            Some(metric) => Err(format!(
                "{at}.{metric}: there is no [metrics.{metric}], of which it is an exception; add one"
            )),
            None => Ok((kind, own)),
        }
    });
    let of_scenarios = of_scenarios.collect::<Result<_, String>>()?;
    Ok(Gate {
        name: name.to_owned(),
        thresholds: limits,
        of_scenarios,
        counted: all_thresholds("deterministic", written.deterministic, false)?,
        allowed: allowed
            .map(|(place, rule)| allow(&format!("allow-missing {}", place + 1), rule))
            .collect::<Result<_, _>>()?,
    })
}

/// On one line.
fn said(error: &toml::de::Error) -> String {
    error.message().replace('\n', "; ")
}

/// A part of a gate.
fn read<T: DeserializeOwned>(at: &str, value: Value) -> Result<T, String> {
    let refused = |error: toml::de::Error| format!("{at}: {}; {AS_PRINTED}", said(&error));
    value.try_into().map_err(refused)
}

/// The thresholds of a table; `timed`: of times, with p, not of executed instructions.
fn all_thresholds(
    table: &str,
    metrics: Table,
    timed: bool,
) -> Result<BTreeMap<Metric, Thresholds>, String> {
    let one = |(name, value): (String, Value)| {
        let at = format!("{table}.{name}");
        let metric: Metric = name.parse().map_err(|error| format!("{at}: {error}"))?;
        let unit = match timed {
            true => metric.unit(),
            false => metric.unit().counted(),
        };
        Ok((metric, thresholds(&at, unit, timed, value)?))
    };
    metrics.into_iter().map(one).collect()
}

fn thresholds(at: &str, unit: Unit, timed: bool, value: Value) -> Result<Thresholds, String> {
    let limits: Limits = read(at, value)?;
    has_reason(at, &limits.reason)?;
    let wrong = |field: &str, remedy: &str| Err(format!("{at}.{field}: {remedy}"));
    if !(0.0..=10.0).contains(&limits.relative) {
        return wrong("relative", "give a share from 0 to 10, such as 0.05");
    }
    let p = match (timed, limits.p) {
        (true, Some(p)) if p > 0.0 && p <= 0.5 => p,
        (true, _) => {
            return wrong(
                "p",
                "give a number, more than 0 and at most 0.5, such as 0.01",
            );
        }
        (false, None) => 1.0,
        (false, Some(_)) => return wrong("p", "seeds must all agree, there is no p: remove it"),
    };
    let row = unit.row();
    let amount = quantity(&limits.absolute.to_string(), row.scales);
    let Some(absolute) = amount.filter(|amount| amount.is_finite() && *amount >= 0.0) else {
        let names = row.scales.iter().map(|(name, _)| *name);
        let names = match names.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "a plain number".to_owned(),
            names => names,
        };
        let example = row.example;
        return wrong(
            "absolute",
            &format!("not an amount in {names}; write one such as absolute = \"{example}\""),
        );
    };
    Ok(Thresholds {
        relative: limits.relative,
        absolute,
        unit,
        p,
        reason: limits.reason,
    })
}

fn has_reason(at: &str, reason: &str) -> Result<(), String> {
    match reason.trim().is_empty() {
        true => Err(format!(
            "{at}.reason: say in one sentence why: reason = \"…\""
        )),
        false => Ok(()),
    }
}

/// "100 µs" in nanoseconds, "256 kB" in bytes, "1" as it is.
fn quantity(text: &str, scales: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let amount: f64 = text[..digits].parse().ok()?;
    let name = text[digits..].trim();
    let (_, factor) = scales.iter().find(|(known, _)| *known == name)?;
    Some(amount * factor)
}

fn allow(at: &str, rule: Value) -> Result<Allowed, String> {
    let named = rule.as_table().map_or(0, Table::len);
    let allowed: Allowed = read(at, rule)?;
    has_reason(at, &allowed.reason)?;
    if named < 2 {
        return Err(format!(
            "{at}: it names no field, so that everything might be missing; add mode, scenario, services, endpoints, metric or an option"
        ));
    }
    Ok(allowed)
}
