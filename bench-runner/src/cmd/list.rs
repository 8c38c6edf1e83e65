//! `list`: the vocabularies.

use clap::ValueEnum;
use netns_harness::datapath::facts;
use schema::{Metric, Mode, ScenarioKind};

use crate::exit::Ended;
use crate::stdout::say;

/// A vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listing {
    Modes,
    Scenarios,
    Metrics,
    /// How many rules, chains, elements and messages each mode needs.
    Formulas,
    /// The thresholds of `compare`, as a gate.toml.
    Gate,
    /// Every word that results, options and charts use, with its meaning, as a Markdown table.
    Glossary,
}

#[allow(clippy::unnecessary_wraps, reason = "every verb has this signature")]
pub(crate) fn run(what: Listing) -> anyhow::Result<Ended> {
    match what {
        Listing::Modes => {
            for mode in Mode::ALL {
                let transports = facts(*mode).transports().filter(|_| !mode.is_floor());
                let transports: Vec<&str> = transports.map(|t| t.name()).collect();
                let about = mode.row().about;
                say!("{mode:<16} {:<14} {about}", transports.join(","));
            }
        }
        Listing::Scenarios => {
            for scenario in ScenarioKind::ALL {
                let row = scenario.row();
                let mark = if row.in_default_run { "*" } else { " " };
                say!("{scenario:<16}{mark} {}", row.question);
            }
        }
        Listing::Formulas => {
            say!("law of size: N services with E endpoints each, large-cluster layout");
            for mode in Mode::ALL {
                for (what, formula) in facts(*mode).law_of_size {
                    say!("{mode:<16} {what}: {formula}");
                }
            }
        }
        Listing::Gate => say!("{}", reports::gate::DEFAULT_GATE.trim_end()),
        Listing::Glossary => {
            say!("| word | is a | and means |\n|---|---|---|");
            for [kind, word, meaning] in schema::glossary() {
                say!("| `{word}` | {kind} | {meaning} |");
            }
        }
        Listing::Metrics => {
            for metric in Metric::ALL {
                let (unit, meaning) = (metric.unit(), metric.row().meaning);
                say!("{metric:<16} {unit:<6} {meaning}");
            }
        }
    }
    Ok(Ended::Done)
}
