//! The words that options accept, and what is said of one that they do not.

use std::time::Duration;

use clap::ValueEnum;
use netns_harness::service::{MAX_ENDPOINTS, MAX_SERVICES};
use schema::{Cache, Damage, Engine, Family, Mode, Position, Protocol, ScenarioKind, Transport};

/// A switch with two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnOff {
    On,
    Off,
}

/// A word of `--sandbox`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SandboxOption {
    Auto,
    Netns,
    Guest,
}

impl SandboxOption {
    const ALL: [Self; 3] = [Self::Auto, Self::Netns, Self::Guest];

    /// The word.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Netns => "netns",
            Self::Guest => "guest",
        }
    }
}

/// Names that the design has and this version has not.
const NOT_BUILT: &[&str] = &[
    "established",
    "connect-rate",
    "throughput",
    "miss",
    "service-types",
    "update-under-load",
    "conntrack-limit",
    "spread",
    "affinity",
    "failover",
    "match-list",
    "live-set",
    "ipv6",
];

/// The value of that name, or a message with the nearest name.
fn named<T: Copy>(
    kind: &str,
    text: &str,
    all: &[T],
    name: impl Fn(&T) -> &'static str,
) -> Result<T, String> {
    if let Some(found) = all.iter().find(|v| name(v) == text) {
        return Ok(*found);
    }
    if NOT_BUILT.contains(&text) {
        return Err(format!("{kind} '{text}' is not in this version"));
    }
    let known = all.iter().map(&name).collect::<Vec<_>>().join(", ");
    let nearest = all
        .iter()
        .map(|v| (strsim::damerau_levenshtein(text, name(v)), name(v)))
        .min()
        .filter(|(distance, candidate)| *distance <= candidate.len() / 2);
    Err(match nearest {
        Some((_, candidate)) => {
            format!("no {kind} '{text}'; did you mean '{candidate}'? (known: {known})")
        }
        None => format!("no {kind} '{text}' (known: {known})"),
    })
}

pub(crate) fn mode(text: &str) -> Result<Mode, String> {
    named("mode", text, Mode::ALL, |m| m.name())
}

/// A word of `--scenarios`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenarios {
    All,
    One(ScenarioKind),
}

pub(crate) fn scenario(text: &str) -> Result<Scenarios, String> {
    if text == "all" {
        return Ok(Scenarios::All);
    }
    named("scenario", text, ScenarioKind::ALL, |s| s.name()).map(Scenarios::One)
}

pub(crate) fn engine(text: &str) -> Result<Engine, String> {
    named("engine", text, Engine::ALL, |e| e.name())
}

pub(crate) fn transport(text: &str) -> Result<Transport, String> {
    named("transport", text, Transport::ALL, |t| t.name())
}

pub(crate) fn cache(text: &str) -> Result<Cache, String> {
    named("cache", text, Cache::ALL, |c| c.name())
}

pub(crate) fn position(text: &str) -> Result<Position, String> {
    named("position", text, Position::ALL, |p| p.name())
}

pub(crate) fn protocol(text: &str) -> Result<Protocol, String> {
    named("protocol", text, Protocol::ALL, |p| p.name())
}

pub(crate) fn family(text: &str) -> Result<Family, String> {
    named("family", text, Family::ALL, |f| f.name())
}

pub(crate) fn sandbox(text: &str) -> Result<SandboxOption, String> {
    named("sandbox", text, &SandboxOption::ALL, |s| s.name())
}

pub(crate) fn damage(text: &str) -> Result<Damage, String> {
    named("damage", text, Damage::ALL, |d| d.name())
}

pub(crate) fn services(text: &str) -> Result<u32, String> {
    bounded(text, MAX_SERVICES, "services", "the address plan's limit")
}

pub(crate) fn endpoints(text: &str) -> Result<u32, String> {
    bounded(text, MAX_ENDPOINTS, "endpoints", "the address plan's limit")
}

fn bounded(text: &str, most: u32, what: &str, why: &str) -> Result<u32, String> {
    match text.parse::<i64>() {
        Err(_) => Err(format!("give a whole number of {what}, 1 to {most}")),
        Ok(n) if n < 1 => Err(format!("give at least 1 of {what}")),
        Ok(n) if n > i64::from(most) => Err(format!("at most {most} {what} ({why})")),
        Ok(n) => Ok(n as u32),
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(d) if d.is_zero() => Err("give a time longer than zero, as in 90s or 5m".to_owned()),
        Ok(d) => Ok(d),
        Err(_) => Err(format!("'{text}' is not a time; write 90s, 5m or 1h")),
    }
}
