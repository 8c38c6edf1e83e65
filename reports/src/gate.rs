//! `gate.toml`: when a change counts, and which cells may be missing. Every threshold has a reason; what is not
//! understood is refused, because a gate that is read wrongly passes what it should hold back.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use schema::comparison::Thresholds;
use schema::{CellKey, Metric, Mode, OptionKey, Options, ScenarioKind, Unit};
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
    /// Thresholds where times are executed instructions; a metric that is not here has its ordinary ones.
    pub counted: BTreeMap<Metric, Thresholds>,
    /// Cells that NEW may lack.
    pub allowed: Vec<Allowed>,
}

/// Cells that NEW may lack: those that are equal in every field that is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    mode: Option<Mode>,
    scenario: Option<ScenarioKind>,
    services: Option<u32>,
    endpoints: Option<u32>,
    metric: Option<Metric>,
    options: Options,
    /// Why.
    pub reason: String,
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

/// Keys of a metric's table.
const KEYS: &[&str] = &["relative", "absolute", "p", "reason"];
/// The same where nothing is left to chance but the seeds, which must all agree.
const COUNTED_KEYS: &[&str] = &["relative", "absolute", "reason"];
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
        gate.thresholds.extend(self.counted.clone());
        gate
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
        self.mode.is_none_or(|mode| mode == key.mode)
            && self
                .scenario
                .is_none_or(|scenario| scenario == key.scenario)
            && self
                .services
                .is_none_or(|services| services == key.services)
            && self
                .endpoints
                .is_none_or(|endpoints| endpoints == key.endpoints)
            && self.metric.is_none_or(|wanted| metric == Some(wanted))
            && self
                .options
                .iter()
                .all(|(name, value)| key.options.is(name, value))
    }
}

/// A gate's text, or what is wrong with it.
fn parse(text: &str, name: &str) -> Result<Gate, String> {
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..at]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        let said = error.message().replace('\n', "; ");
        format!("line {line}: {said}; write TOML as `bench-runner list gate` prints it")
    })?;
    let metrics = match table.remove("metrics") {
        Some(Value::Table(metrics)) if !metrics.is_empty() => metrics,
        _ => {
            return Err(
                "there is no [metrics.NAME] table, so that nothing would be compared; add one, as `bench-runner list gate` prints them"
                    .to_owned(),
            );
        }
    };
    let counted = match table.remove("deterministic") {
        None => Table::new(),
        Some(Value::Table(counted)) => counted,
        Some(_) => {
            return Err(
                "deterministic: write it as [deterministic.NAME], once for each metric".to_owned(),
            );
        }
    };
    let allowed = match table.remove("allow-missing") {
        None => Vec::new(),
        Some(Value::Array(rules)) => rules
            .into_iter()
            .enumerate()
            .map(|(place, rule)| allow(place + 1, rule))
            .collect::<Result<_, _>>()?,
        Some(_) => {
            return Err(
                "allow-missing: write it as [[allow-missing]], once for each rule".to_owned(),
            );
        }
    };
    if let Some(key) = table.keys().next() {
        return Err(format!(
            "unknown key '{key}'; known: metrics, deterministic, allow-missing: correct or remove it"
        ));
    }
    Ok(Gate {
        name: name.to_owned(),
        thresholds: all_thresholds("metrics", metrics, KEYS, |unit| unit)?,
        counted: all_thresholds("deterministic", counted, COUNTED_KEYS, Unit::counted)?,
        allowed,
    })
}

/// The thresholds of a table, whose amounts are in `unit_of` a metric's own unit.
fn all_thresholds(
    table: &str,
    metrics: Table,
    keys: &[&str],
    unit_of: impl Fn(Unit) -> Unit,
) -> Result<BTreeMap<Metric, Thresholds>, String> {
    let one = |(name, value): (String, Value)| {
        let at = format!("{table}.{name}");
        let metric: Metric = name.parse().map_err(|error| format!("{at}: {error}"))?;
        Ok((
            metric,
            thresholds(&at, unit_of(metric.unit()), keys, value)?,
        ))
    };
    metrics.into_iter().map(one).collect()
}

fn thresholds(at: &str, unit: Unit, keys: &[&str], value: Value) -> Result<Thresholds, String> {
    let Value::Table(mut table) = value else {
        return Err(format!(
            "{at}: write it as a table with {}",
            keys.join(", ")
        ));
    };
    if let Some(key) = table.keys().find(|key| !keys.contains(&key.as_str())) {
        return Err(format!(
            "{at}.{key}: unknown key; known: {}: correct or remove it",
            keys.join(", ")
        ));
    }
    let reason = reason(at, &mut table)?;
    let relative = number(
        at,
        &mut table,
        "relative",
        "a share from 0 to 10, such as 0.05",
        |v| (0.0..=10.0).contains(&v),
    )?;
    let p = if keys.contains(&"p") {
        number(
            at,
            &mut table,
            "p",
            "more than 0 and at most 0.5, such as 0.01",
            |v| v > 0.0 && v <= 0.5,
        )?
    } else {
        1.0
    };
    let example = unit.row().example;
    let absolute = match table.remove("absolute") {
        Some(Value::String(text)) => quantity(&text, unit),
        Some(Value::Integer(count)) if unit == Unit::Count => Some(count as f64),
        None => return Err(format!("{at}.absolute: missing; add absolute = \"{example}\"")),
        Some(_) => None,
    }
    .filter(|amount| amount.is_finite() && *amount >= 0.0)
    .ok_or_else(|| {
        format!("{at}.absolute: not an amount in {}; write a number with its unit, such as absolute = \"{example}\"", units(unit))
    })?;
    Ok(Thresholds {
        relative,
        absolute,
        unit,
        p,
        reason,
    })
}

fn reason(at: &str, table: &mut Table) -> Result<String, String> {
    match table.remove("reason") {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text),
        _ => Err(format!(
            "{at}.reason: missing; say in one sentence why: reason = \"…\""
        )),
    }
}

fn number(
    at: &str,
    table: &mut Table,
    key: &str,
    range: &str,
    fits: impl Fn(f64) -> bool,
) -> Result<f64, String> {
    let value = match table.remove(key) {
        Some(Value::Float(value)) => value,
        Some(Value::Integer(value)) => value as f64,
        None => return Err(format!("{at}.{key}: missing; add a number, {range}")),
        Some(_) => f64::NAN,
    };
    if fits(value) {
        Ok(value)
    } else {
        Err(format!("{at}.{key}: give a number, {range}"))
    }
}

/// "100 µs" in nanoseconds, "256 kB" in bytes, "1" as it is.
fn quantity(text: &str, unit: Unit) -> Option<f64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let amount: f64 = text[..digits].parse().ok()?;
    let name = text[digits..].trim();
    let (_, factor) = unit.row().scales.iter().find(|(known, _)| *known == name)?;
    Some(amount * factor)
}

fn units(unit: Unit) -> String {
    match unit {
        Unit::Count => "a plain number".to_owned(),
        _ => {
            let names = unit.row().scales.iter().map(|(name, _)| *name);
            names.collect::<Vec<_>>().join(", ")
        }
    }
}

fn allow(place: usize, rule: Value) -> Result<Allowed, String> {
    let at = format!("allow-missing {place}");
    let Value::Table(mut table) = rule else {
        return Err(format!("{at}: write it as [[allow-missing]] with fields"));
    };
    let reason = reason(&at, &mut table)?;
    if table.is_empty() {
        return Err(format!(
            "{at}: it names no field, so that everything might be missing; add mode, scenario, services, endpoints, metric or an option"
        ));
    }
    let mut allowed = Allowed {
        mode: None,
        scenario: None,
        services: None,
        endpoints: None,
        metric: None,
        options: Options::new(),
        reason,
    };
    for (key, value) in table {
        let text = match &value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            _ => return Err(format!("{at}.{key}: write a word or a number")),
        };
        let wrong = |error: schema::UnknownName| format!("{at}.{key}: {error}");
        let whole = || {
            text.parse::<u32>()
                .map_err(|_| format!("{at}.{key}: '{text}' is no whole number"))
        };
        match key.as_str() {
            "mode" => allowed.mode = Some(text.parse().map_err(wrong)?),
            "scenario" => allowed.scenario = Some(text.parse().map_err(wrong)?),
            "metric" => allowed.metric = Some(text.parse().map_err(wrong)?),
            "services" => allowed.services = Some(whole()?),
            "endpoints" => allowed.endpoints = Some(whole()?),
            option => match option.parse::<OptionKey>() {
                Ok(option) => allowed.options.set(option, text),
                Err(unknown) => {
                    return Err(format!(
                        "{at}.{key}: unknown key; known: mode, scenario, services, endpoints, metric, reason, {}: correct or remove it",
                        unknown.known
                    ));
                }
            },
        }
    }
    Ok(allowed)
}
