//! `list`: the vocabularies.

use clap::{Args, ValueEnum};
use netns_harness::datapath::facts;
use scenarios::SCENARIOS;
use schema::{Metric, Mode};

use crate::exit::Ended;
use crate::stdout::say;

/// Options of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// What to list.
    pub(crate) what: Listing,
}

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
pub(crate) fn run(args: &ListArgs) -> anyhow::Result<Ended> {
    match args.what {
        Listing::Modes => {
            for mode in Mode::ALL {
                let transports: Vec<&str> = if mode.is_floor() {
                    Vec::new()
                } else {
                    facts(*mode).transports().map(|t| t.name()).collect()
                };
                say!(
                    "{:<16} {:<14} {}",
                    mode,
                    transports.join(","),
                    mode.row().about
                );
            }
        }
        Listing::Scenarios => SCENARIOS.iter().for_each(|s| {
            let mark = if s.in_default_run() { "*" } else { " " };
            say!("{:<16}{mark} {}", s.kind(), s.question());
        }),
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
                say!(
                    "{:<16} {:<6} {}",
                    metric,
                    metric.unit(),
                    metric.row().meaning
                );
            }
        }
    }
    Ok(Ended::Done)
}
